"""`rollback NAME@N`: make the query of an older version the newest one, and write it to the file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import pushes
from endpoints_gitops.cli.against import known_callers
from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.plans import CheckedPlan, plan_findings
from endpoints_gitops.cli.pushes import confirm_and_push
from endpoints_gitops.errors import Conflict, ExitCode, worst
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.operations.rollback import Rollback, RolledBack, prepare, write_back


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the endpoint and the version."""
    parser.add_argument("target", metavar="NAME@N", type=_target, help="the endpoint, and the version to go back to")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the plan, have it confirmed, write, verify, and write the query into the file."""
    name, version = arguments.target
    with CommandContext.of(arguments, console) as context:
        definitions = context.existing_definitions
        rollback = prepare(context.project, definitions, name, version)
        context.announce()
        _guard_the_file(rollback, console, yes=arguments.yes)
        result = confirm_and_push(context, _judged(context, rollback), rollback.snapshot, rollback.comparison.checkout)
        done = write_back(context.project, rollback, result)
    console.show(_lines(name, version, done))
    return _outcome(name, version, done)


def _target(text: str) -> tuple[str, int]:
    name, at, number = text.rpartition("@")
    if not at or not is_endpoint_name(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME@N, such as revenue@3")
    return name, version_number(number)


def _guard_the_file(rollback: Rollback, console: Console, *, yes: bool) -> None:
    """Refuse to replace an edit that no commit has; a person may go on, and a copy is kept.

    What was committed and never pushed is replaced where the command line or a person says so.
    """
    edit, loaded = rollback.unpushed, rollback.diff.loaded
    if loaded is None or (edit is None and not rollback.is_uncommitted):
        return
    message = "the file has an edit of the query that no commit has"
    fix = Advice("commit or stash the edit first; ", Command("diff", loaded.name), " shows it")
    if edit is not None:
        message = f"the query in the file was never pushed: {edit.reason}"
        fix = fix if rollback.is_uncommitted else Advice(fix, "; --yes replaces it")
    if yes and not rollback.is_uncommitted:
        console.warn(Line(f"{loaded.where('query')}: {message}", Style.WARN))
    elif yes or not console.interactive or not console.confirm(f"{loaded.path}: {message}. Replace it?", yes=False):
        raise Conflict(message, where=loaded.where("query"), fix=fix, code="rollback.unpushed")


def _judged(context: CommandContext, rollback: Rollback) -> CheckedPlan:
    """The plan with its findings, which withhold nothing: a rollback is urgent, and the version served before."""
    plan, snapshot = rollback.plan, rollback.snapshot
    callers = known_callers(context, snapshot.endpoints)
    found = plan_findings(context, plan, snapshot, rollback.comparison.checkout, callers)
    return CheckedPlan(
        plan=plan,
        for_callers=found,
        in_definitions=(),
        is_enforced=False,
        callers=callers,
        today=context.today,
    )


def _lines(name: str, version: int, done: RolledBack) -> Iterator[Line | str]:
    if done.result.plan.is_empty:
        yield f"{name}: the newest version asks what version {version} does; nothing was sent"
    else:
        yield from pushes.lines(done.result)
    for path in done.paths:
        yield Line(f"{path}: has the query of version {version}", Style.GOOD)
    for copy in done.copies:
        yield Line(f"the file had an edit that no commit has; a copy is in {copy}", Style.WARN)
    if done.error is not None:
        yield Line(f"{name}: the file was not written", Style.BAD)


def _outcome(name: str, version: int, done: RolledBack) -> Outcome:
    outcome = pushes.outcome("rollback", done.result)
    errors = (*outcome.errors, *(failures_of(done.error) if done.error else ()))
    code = worst(outcome.exit_code, ExitCode.PARTLY_APPLIED) if done.error else outcome.exit_code
    written = next(iter(done.result.written), None)
    item: JsonObject = {
        "name": name,
        "to": version,
        "state": written.state if written else "unchanged",
        "version": done.endpoint.current_version if done.endpoint else None,
        "paths": list(done.paths),
        "error": next((str(error) for error in (*done.result.errors, done.error) if error), None),
    }
    return replace(outcome, exit_code=code, items=(item,), errors=errors)
