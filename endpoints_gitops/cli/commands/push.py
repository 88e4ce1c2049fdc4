"""`push`: apply the definitions to the server; never overwrites other people's changes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from endpoints_gitops.cli import plans, pushes
from endpoints_gitops.cli.arguments import add_plan_options, plan_options, seconds
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.pushes import confirm_and_push, definitions_if_any, wait_for_tables
from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.checkout import Checkout, refresh_record
from endpoints_gitops.operations.compare import Comparison, compare, plan_of
from endpoints_gitops.operations.push.execute import DEFAULT_SECONDS, check_target, read_snapshot
from endpoints_gitops.plan.settings import Key


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of a push."""
    add_plan_options(parser)
    parser.add_argument("--plan", metavar="FILE", help="apply exactly this plan, saved by `plan -o FILE`")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=lambda text: seconds(text) if text else DEFAULT_SECONDS,
        help=f"wait until endpoints are materialised (default: {DEFAULT_SECONDS:g})",
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the plan, have it confirmed, write, and report the result of each endpoint."""
    _refuse_contradiction(arguments)
    with CommandContext.of(arguments, console) as context:
        pushing = _SavedPlan(context) if arguments.plan is not None else _Definitions(context)
        context.announce()
        return pushing.outcome()


class _Definitions:
    """A push of the definitions as they are."""

    def __init__(self, context: CommandContext) -> None:
        self.context = context
        self.console = context.console
        self.arguments = context.arguments

    def outcome(self) -> Outcome:
        context, arguments = self.context, self.arguments
        options, definitions = plan_options(arguments), context.definitions
        _say_interrupted(context)
        comparison = compare(context.project, definitions, arguments.selectors, prune=options.prune)
        for warning in comparison.warnings:
            self.console.warn(Line(warning, Style.WARN))
        snapshot, checkout = comparison.snapshot, comparison.checkout
        plan = plan_of(context.project, comparison, options)
        checked_plan = plans.check_plan(context, plan, snapshot, checkout, names=checkout.local)
        result = confirm_and_push(context, checked_plan, snapshot, checkout)
        refresh_record(context.project, comparison.checkout.record, comparison.diffs)
        result = wait_for_tables(context, result, _materialised(comparison))
        self.console.show(pushes.lines(result))
        self.console.say(*plans.reminders(comparison))
        outcome = pushes.outcome(
            "push",
            result,
            same=comparison.unchanged,
            outside=comparison.outside,
            fail_on_drift=arguments.fail_on_drift,
            checked_plan=checked_plan,
        )
        return replace(
            outcome,
            summary={**outcome.summary, **plans.reminder_counts(comparison)},
            items=(*outcome.items, *plans.dropped_items(comparison)),
        )


class _SavedPlan:
    """A push of a saved plan; never overwrites what changed on the server since."""

    def __init__(self, context: CommandContext) -> None:
        self.context = context
        self.console = context.console
        self.plan = plans.read_saved_plan(Path(context.arguments.plan))

    def outcome(self) -> Outcome:
        context = self.context
        check_target(context.project, self.plan)
        _say_interrupted(context)
        snapshot = read_snapshot(context.project, self.plan)
        checkout = Checkout.of(context.project, definitions_if_any(context), snapshot)
        checked_plan = plans.check_plan(context, self.plan, snapshot, checkout)
        result = wait_for_tables(context, confirm_and_push(context, checked_plan, snapshot, checkout), ())
        self.console.show(pushes.lines(result))
        fail_on_drift = context.arguments.fail_on_drift
        return pushes.outcome("push", result, fail_on_drift=fail_on_drift, checked_plan=checked_plan)


def _materialised(comparison: Comparison) -> list[Endpoint]:
    """Endpoints without a change that should be materialised: their tables may not be built yet."""
    return [
        diff.endpoint
        for diff in comparison.diffs
        if diff.endpoint and diff.local_settings.get(Key.MATERIALIZATION) is True
    ]


def _say_interrupted(context: CommandContext) -> None:
    """Mention the journal of an interrupted push. This push replaces it, and writes what that push left."""
    from endpoints_gitops.workspace.journal import unfinished

    try:
        left = unfinished(context.state)
    except EndpointsError as error:
        context.console.warn(Line(f"{error.message}; this push replaces it", Style.WARN))
        return
    if left is not None and not left.is_over:
        count = len(left.uncertain) + len(left.left)
        context.console.say(f"an earlier push left {count} to do; this push replaces it")


def _refuse_contradiction(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that a saved plan already includes."""
    options = {
        "a SELECTOR": bool(arguments.selectors),
        "--prune": arguments.prune,
        "--overwrite": arguments.overwrite is not None,
        "--allow-cosmetic": arguments.allow_cosmetic,
        "--shared-variables": arguments.shared_variables,
    }
    beside = [word for word, is_given in options.items() if is_given]
    if arguments.plan is not None and beside:
        message = f"--plan applies exactly that plan, so {' and '.join(beside)} cannot be combined with it"
        raise UsageError(message, fix="pass the option to `plan`, and push the new plan", code="usage.arguments")
