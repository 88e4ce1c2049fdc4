"""`plan`: show what a push would do; with -o, save it for `push --plan`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command, Options, with_options
from endpoints_gitops.cli import plans
from endpoints_gitops.cli.arguments import add_plan_options, plan_options
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, worst
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.compare import compare, plan_of
from endpoints_gitops.plan.changes import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `push`, and where to save the plan."""
    add_plan_options(parser)
    parser.add_argument("-o", "--out", metavar="FILE", help="save the plan, for `push --plan FILE`")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit with 1 if there is something to write")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the plan, and exit with the code that a push of it would have, such as 6 for a conflict."""
    options = plan_options(arguments)
    with CommandContext.of(arguments, console) as context:
        context.announce()
        comparison = compare(context.project, context.definitions, arguments.selectors, prune=options.prune)
        plan = plan_of(context.project, comparison, options)
        checkout = comparison.checkout
        checked_plan = plans.check_plan(context, plan, comparison.snapshot, checkout, names=checkout.local)
    plan = checked_plan.plan
    for warning in comparison.warnings:
        console.warn(Line(warning, Style.WARN))
    console.show(plans.lines(plan))
    console.show(checked_plan.lines(verbose=console.verbose))
    console.say(*plans.notes(plan, verbose=console.verbose), *plans.reminders(comparison))
    if arguments.out is not None:
        _save(plan, Path(arguments.out), console)
    return Outcome(
        command="plan",
        exit_code=worst(_exit_code(plan, arguments), checked_plan.exit_code),
        summary={
            **plans.summary(plan),
            "same": comparison.unchanged,
            "outside": comparison.outside,
            **plans.reminder_counts(comparison),
        },
        items=(*plans.items(plan, checked_plan.findings), *plans.dropped_items(comparison)),
        errors=(*plans.warnings(plan, fail_on_drift=arguments.fail_on_drift), *checked_plan.failures),
    )


def _save(plan: Plan, path: Path, console: Console) -> None:
    from endpoints_gitops.codecs.plan import write_plan
    from endpoints_gitops.workspace.files import refuse_other_file, shown, write_atomically

    refuse_other_file(path, "a plan")
    write_atomically(path, write_plan(_with_options(plan, console.repeated)))
    console.say(
        Advice(f"saved in {shown(path)}; ", Command("push", "--plan", shown(path)), " applies exactly this plan")
    )


def _with_options(plan: Plan, options: Options) -> Plan:
    """The plan with these options in the commands of its fixes, which a file keeps as text."""
    left_alone = tuple(replace(left, fix=with_options(left.fix, options)) for left in plan.left_alone)
    withheld = tuple(
        replace(withheld, fix=withheld.fix and with_options(withheld.fix, options)) for withheld in plan.withheld
    )
    return replace(plan, left_alone=left_alone, withheld=withheld)


def _exit_code(plan: Plan, arguments: argparse.Namespace) -> ExitCode:
    something_to_write = arguments.detailed_exitcode and not plan.is_empty
    codes = plan.exit_codes(fail_on_drift=arguments.fail_on_drift)
    return worst(*codes, ExitCode.FINDINGS if something_to_write else ExitCode.DONE)
