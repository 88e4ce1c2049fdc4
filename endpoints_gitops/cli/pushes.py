"""A push: show the plan, have it confirmed, write, and report what became of each endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import plans
from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import ErrorEntry, Outcome, failures_of_all
from endpoints_gitops.operations.checkout import Checkout
from endpoints_gitops.operations.push.execute import (
    NOT_BEGUN,
    push,
    read_snapshot,
    wait_for,
)
from endpoints_gitops.operations.push.results import ChangeOutcome, ChangeResult, PushResult, VariableResult
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import Snapshot
from endpoints_gitops.plan.variables import VariableAction


def confirm_and_push(
    context: CommandContext, checked_plan: plans.CheckedPlan, snapshot: Snapshot, checkout: Checkout
) -> PushResult:
    """Show the plan, have it confirmed, and push it. Raises UsageError if it is not confirmed."""
    console, plan = context.console, checked_plan.plan
    if not plan.is_empty or plan.drifted or plan.idled:
        console.say(*plans.lines(plan, conflicts=False))
    console.say(*plans.notes(plan, verbose=console.verbose))
    console.say(*checked_plan.lines(verbose=console.verbose))
    if not plan.is_empty:
        confirm(context, plan)
        if not context.arguments.yes:  # the answer may have taken hours: read again
            snapshot = read_snapshot(context.project, plan)
            checkout = Checkout.of(context.project, checkout.definitions.values(), snapshot)
    return replace(push(context.project, plan, snapshot, checkout), findings=checked_plan.findings)


def confirm(context: CommandContext, plan: Plan) -> None:
    """Ask before anything is written. Raises UsageError if the answer is no."""
    access = context.access
    where = f"{access.environment} ({access.host}, project {access.project_id})"
    count = len(plan.changes) + len(plan.variables)
    question = f"Write {count} change{'s' if count != 1 else ''} to {where}?"
    if not context.console.confirm(question, yes=context.arguments.yes):
        raise UsageError("not confirmed; nothing was written", code="usage.unconfirmed")


def definitions_if_any(context: CommandContext) -> tuple[LoadedDefinition, ...]:
    """The definitions, for the record of what was pushed; () if they cannot be read, which a push tolerates."""
    try:
        return context.definitions
    except UsageError:
        return ()


def wait_for_tables(context: CommandContext, result: PushResult, others: Iterable[Endpoint]) -> PushResult:
    """With --wait, wait for the tables of `others` and of the endpoints that were written."""
    seconds_to_wait = getattr(context.arguments, "wait", None)
    if seconds_to_wait is None:
        return result
    endpoints = {endpoint.name: endpoint for endpoint in others}
    endpoints |= {change.name: change.endpoint for change in result.written if change.endpoint and change.is_agreed}
    faulty = {change.name for change in result.written if change.errors}
    waiting = [endpoint for name, endpoint in endpoints.items() if name not in faulty]
    return replace(result, waited=wait_for(context.project, waiting, seconds_to_wait))


_STYLES = {
    ChangeOutcome.CREATED: Style.GOOD,
    ChangeOutcome.UPDATED: Style.GOOD,
    ChangeOutcome.DEACTIVATED: Style.WARN,
    ChangeOutcome.ALREADY: Style.FAINT,
}


def lines(result: PushResult) -> Iterator[Line | str]:
    """One line for each variable and endpoint of the plan."""
    if result.plan.is_empty:
        yield plans.counted(result.plan)
    for variable in result.variables:
        done = variable.error is None
        yield Line(f"shared variable {variable.change.code_name}: {_variable_state(variable)}", _of(done))
    for written in result.written:
        yield Line(f"{written.name}: {_told(written)}", _STYLES.get(written.state, Style.BAD))
    for waited in result.waited:
        yield Line(
            f"{waited.name}: {'materialised' if waited.error is None else 'not materialised'}", _of(not waited.error)
        )


def outcome(
    command: str,
    result: PushResult,
    *,
    same: int = 0,
    outside: int = 0,
    fail_on_drift: bool = False,
    checked_plan: plans.CheckedPlan | None = None,
) -> Outcome:
    """The outcome of a push, with what was skipped and the failures of `checked_plan`."""
    code = result.exit_code(fail_on_drift=fail_on_drift)
    return Outcome(
        command=command,
        exit_code=worst(code, checked_plan.exit_code) if checked_plan else code,
        summary={**_summary(result), "same": same, "outside": outside},
        items=(*(_variable_item(variable, result) for variable in result.variables), *_items(result)),
        errors=(
            *_failures(result),
            *plans.failures(result.plan, fail_on_drift=fail_on_drift),
            *(checked_plan.failures if checked_plan else ()),
            *_resumable(result),
        ),
    )


def _failures(result: PushResult) -> Iterator[ErrorEntry]:
    """The errors, each with the name that it is about: the answer to a POST has none."""
    named = [(variable.change.code_name, variable.error) for variable in result.variables if variable.error]
    named += [(change.name, error) for change in result.written for error in change.errors]
    named += [(waited.name, waited.error) for waited in result.waited if waited.error]
    return failures_of_all(named, NOT_BEGUN)


def _resumable(result: PushResult) -> tuple[ErrorEntry, ...]:
    """An entry for what is left, with the next step: `resume`, unless the files themselves are wrong."""
    if result.is_settled:
        return ()
    left: list[Sequence[EndpointsError]] = [change.errors for change in result.written if not change.is_settled]
    left += [(variable.error,) for variable in result.variables if variable.error is not None]
    message = f"{len(left)} of {len(result.written) + len(result.variables)} not finished"
    if all(error.exit_code is ExitCode.USAGE for errors in left for error in errors):
        fix = "correct the files and push again: that does what is left, and nothing is done twice"
    else:
        fix = Advice(Command("resume"), " finishes it, when the causes above are fixed; nothing is done twice")
    return (ErrorEntry(code="push.unfinished", message=message, fix=fix),)


def _summary(result: PushResult) -> dict[str, int]:
    states = Counter(written.state for written in result.written)
    planned = plans.summary(result.plan)
    return {
        "created": states[ChangeOutcome.CREATED],
        "updated": states[ChangeOutcome.UPDATED],
        "deactivated": states[ChangeOutcome.DEACTIVATED],
        "already": states[ChangeOutcome.ALREADY],
        "not_written": sum(
            states[state]
            for state in (ChangeOutcome.CONFLICT, ChangeOutcome.FAILED, ChangeOutcome.UNCERTAIN, ChangeOutcome.NOT_SENT)
        ),
        "variables": sum(variable.error is None for variable in result.variables),
        "drifted": planned["drifted"],
        "conflicts": planned["conflicts"],
        "idled": planned["idled"],
        "withheld": planned["withheld"],
        "cosmetic": planned["cosmetic"],
    }


def _items(result: PushResult) -> Iterator[JsonObject]:
    written = {change.name: change for change in result.written}
    for item in plans.items(result.plan, result.findings):
        if item.get("kind") == "endpoint":
            yield {**item, **_result_of(written.get(str(item["name"])))}


def _result_of(written: ChangeResult | None) -> Mapping[str, Json]:
    if written is None:
        return {"error": None}
    return {
        "state": written.state,
        "before": written.before,
        "version": written.version,
        "landed": written.landed,
        "error": "; ".join(map(str, written.errors)) or None,
    }


def _variable_item(variable: VariableResult, result: PushResult) -> JsonObject:
    item = plans.variable_item(variable.change, result.findings)
    return {**item, "state": _variable_state(variable), "error": _error(variable.error)}


def _variable_state(variable: VariableResult) -> str:
    if variable.error is not None:
        return "uncertain" if variable.is_uncertain else "not written"
    if not variable.landed:
        return "already so"
    return "created" if variable.change.action is VariableAction.CREATE else "changed"


def _error(error: Exception | None) -> str | None:
    return str(error) if error is not None else None


def _told(written: ChangeResult) -> str:
    versions = ""
    if written.state is ChangeOutcome.CONFLICT and not written.landed:
        versions = f", nothing written; the server has version {written.version}" if written.version else ""
    elif written.version is not None:
        is_new = written.before is not None and written.version != written.before
        versions = f", version {written.before} -> {written.version}" if is_new else f", version {written.version}"
    fault = ", not as planned" if written.errors and written.landed else ""
    return f"{written.state}{versions}{fault}"


def _of(done: bool) -> Style:
    return Style.GOOD if done else Style.BAD
