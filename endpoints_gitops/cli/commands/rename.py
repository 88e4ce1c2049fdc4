"""`rename OLD NEW`: create the new name, rename in the file, keep the old one until `--finish` switches it off."""

from __future__ import annotations

import argparse
from dataclasses import replace

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import plans, pushes
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.pushes import confirm_and_push
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.push.results import PushResult
from endpoints_gitops.operations.rename import Renaming, finishing, prepare, rename_in_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add both names and --finish."""
    parser.add_argument("old", metavar="OLD", help="the name that callers use now")
    parser.add_argument("new", metavar="NEW", help="the name to create")
    parser.add_argument("--finish", action="store_true", help="deactivate OLD, once no app calls it any more")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Create NEW and rename in the file; with --finish, deactivate OLD."""
    with CommandContext.of(arguments, console) as context:
        return _finish(context) if arguments.finish else _rename(context)


def _rename(context: CommandContext) -> Outcome:
    arguments, console = context.arguments, context.console
    renaming = prepare(context.project, context.definitions, arguments.old, arguments.new)
    context.announce()
    if renaming.unmanaged and not renaming.plan.is_empty:
        keys = ", ".join(renaming.unmanaged)
        unmanaged = f"the definition does not manage these settings of {renaming.old}"
        console.warn(Line(f"{unmanaged}, so {renaming.new} will not have them: {keys}", Style.WARN))
    snapshot, checkout = renaming.comparison.snapshot, renaming.comparison.checkout
    checked_plan = plans.check_plan(context, renaming.plan, snapshot, checkout)
    result = confirm_and_push(context, checked_plan, snapshot, checkout)
    is_renamed = rename_in_file(renaming, result, context.folder)
    if not renaming.plan.is_empty:
        console.show(pushes.lines(result))
    if is_renamed:
        console.show([Line(f"{renaming.loaded.path}: renamed to {renaming.new}", Style.GOOD)])
        console.say(
            f"{renaming.old} stays for its callers; when no app calls it any more:",
            Advice("  ", Command("rename", renaming.old, renaming.new, "--finish")),
        )
    elif not (result.errors or result.plan.withheld):
        console.show([f"{renaming.new} already exists, on the server and in {renaming.loaded.path}"])
    outcome = pushes.outcome("rename", result, checked_plan=checked_plan)
    return _outcome(outcome, renaming, result, is_renamed=is_renamed)


def _outcome(outcome: Outcome, renaming: Renaming, result: PushResult, *, is_renamed: bool) -> Outcome:
    item: JsonObject = {
        "name": renaming.new,
        "renamed_from": renaming.old,
        "path": renaming.loaded.path,
        "state": "renamed" if is_renamed else "failed" if result.errors or result.plan.withheld else "unchanged",
        "version": next((change.version for change in result.written), None),
        "error": next((str(error) for error in result.errors), None),
    }
    return replace(outcome, items=(item,))


def _finish(context: CommandContext) -> Outcome:
    from endpoints_gitops.cli.commands.activate import report
    from endpoints_gitops.operations.lifecycle import set_active

    arguments, console = context.arguments, context.console
    old = finishing(context.project, context.definitions, arguments.old, arguments.new)
    context.announce()
    question = f"{_last_run(old)} Deactivate {old.name}? Apps that still call it get an error."
    if old.is_active and not console.confirm(question, yes=arguments.yes):
        raise UsageError("not confirmed; nothing was written", code="usage.unconfirmed")
    done = set_active(context.client, [old], active=False, version=None, progress=context.progress)
    return report("rename", done, console)


def _last_run(endpoint: Endpoint) -> str:
    if endpoint.last_executed_at is None:
        return f"{endpoint.name} was never run, as far as the server knows."
    return f"{endpoint.name} was last run about {endpoint.last_executed_at:%Y-%m-%d %H:%M} UTC."
