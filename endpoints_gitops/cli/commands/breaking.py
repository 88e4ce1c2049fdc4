"""`breaking --against WHAT`: what the definitions would break for callers of the endpoints."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.against import WHAT, resolved
from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import worst
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.plan.diff import DroppedKey


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the selectors, the base, and which findings fail."""
    add_selectors(parser)
    parser.add_argument("--against", metavar="WHAT", required=True, help=WHAT)
    findings.configure(parser)
    parser.add_argument("--allow-unknown", action="store_true", help="treat undecidable changes (C112, M107) as safe")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the findings; exit code 1 for errors (see --fail-on), 4 if something could not be compared."""
    from endpoints_gitops.operations.against import dropped_keys
    from endpoints_gitops.operations.callers import findings_of_diffs

    with CommandContext.of(arguments, console) as context:
        against, callers = resolved(context, arguments.against, arguments.selectors)
        dropped = dropped_keys(against, context.folder, context.environment.name)
        changes = findings_of_diffs(
            against.diffs,
            callers,
            is_move=against.is_move,
            is_unknown_error=not arguments.allow_unknown,
            today=context.today,
            policy=context.configuration.deprecation,
        )
        found = context.judge.apply(changes, comments=against.ignores).all
        fail_on = findings.fail_on(arguments, context.judge.policy)
    shown = findings.shown(found, verbose=console.verbose)
    console.show(findings.lines(shown, fails=lambda finding: finding.fails(fail_on)))
    console.show(findings.caller_lines(callers, shown, context.today))
    console.say(*against.notes, *(f"{name}: {dropped_key.message}" for name, dropped_key in dropped))
    compared = len(against.diffs)
    console.show([Line(_counted(found, compared, against.what, verbose=console.verbose), Style.HEAD)])
    return Outcome(
        command="breaking",
        exit_code=worst(findings.exit_code(found, fail_on), *(error.exit_code for error in against.failures)),
        summary={
            "compared": compared,
            "unreadable": len(against.unreadable),
            "dropped_keys": len(dropped),
            **findings.summary(found),
        },
        items=(*findings.items(found), *(_dropped_item(name, dropped_key) for name, dropped_key in dropped)),
        errors=tuple(failure for error in against.failures for failure in failures_of(error)),
        findings=found,
        fail_on=fail_on,
    )


def _dropped_item(name: str, dropped: DroppedKey) -> JsonObject:
    """Beside the findings: it breaks no caller."""
    return {
        "code": "dropped_key",
        "severity": "info",
        "endpoint": name,
        "key": dropped.key,
        "server": dropped.remote,
        "commit": dropped.commit,
        "message": dropped.message,
    }


def _counted(found: tuple[Finding, ...], compared: int, what: str, *, verbose: bool) -> str:
    compared_text = f"{compared} endpoint{'s' if compared != 1 else ''} compared with {what}"
    return f"{findings.counted(found, verbose=verbose) or 'no findings'}; {compared_text}"
