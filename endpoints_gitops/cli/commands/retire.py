"""`retire [SELECTOR…]`: deactivate endpoints whose sunset has passed and that are no longer called."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from endpoints_gitops.cli.against import known_callers
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError, worst
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import ErrorEntry, Outcome, failures_of_all
from endpoints_gitops.model.sunset import Announcement, notice_item

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.operations.retire import RetireContext, Retirement


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the selectors and --versions."""
    parser.add_argument(
        "selectors",
        nargs="*",
        metavar="SELECTOR",
        help="a name, a glob, tag:TAG or a path; none means every definition with a `deprecation`",
    )
    parser.add_argument(
        "--versions",
        action="store_true",
        help="first switch off old versions that no known app pins and nothing calls: their tables, then the versions",
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show what can be retired and what is refused, have it confirmed, and switch it off."""
    from endpoints_gitops.operations.retire import RetireState, retire

    with CommandContext.of(arguments, console) as context:
        names, judged = _judge(context)
        console.show(line for retirement in judged for line in _lines(retirement))
        ready = [retirement for retirement in judged if retirement.state is RetireState.READY]
        if ready:
            context.announce()
            _confirm(context, len(ready))
            if not arguments.yes:  # the answer may have taken hours, in which something was called
                judged = _still_ready(_judge(context, names)[1], ready)
            judged = retire(context.client, judged, context.progress)
            console.show(line for retirement in judged for line in _result_lines(retirement, ready))
        else:
            console.say("nothing to retire")
        console.say(*_file_notes(judged))
        today = context.today
    return _outcome(judged, [_item(retirement, today) for retirement in judged])


def _judge(
    context: CommandContext, selected: frozenset[str] | None = None
) -> tuple[frozenset[str], tuple[Retirement, ...]]:
    """The names that the command line means, and what is to become of each. `selected` are the names, once known."""
    from endpoints_gitops.operations.retire import judge

    arguments, client = context.arguments, context.client
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    names = _selected(context, endpoints) if selected is None else selected
    judging = _retire_context(context, endpoints, is_named=bool(arguments.selectors) and not arguments.versions)
    return names, judge(client, judging, names, endpoints, versions=arguments.versions)


def _selected(context: CommandContext, endpoints: dict[str, Endpoint]) -> frozenset[str]:
    """The names of managed definitions, and of managed endpoints that the user names."""
    from endpoints_gitops.workspace.selection import managed, select_names

    environment, selectors = context.environment, context.arguments.selectors
    definitions = context.definitions
    strangers = tuple(endpoints.values()) if selectors else ()
    names = select_names(
        selectors,
        definitions=definitions,
        endpoints=strangers,
        folder=context.folder,
        environment=environment.name,
        configuration=context.naming_configuration,
    )
    inside = managed(environment.manage, definitions=definitions, endpoints=strangers, environment=environment.name)
    if names and not names & inside:
        message = f"nothing of that is managed here: manage = [{', '.join(environment.manage)}]"
        raise UsageError(message, fix="change `manage` in the configuration", code="usage.selector")
    return names & inside


def _retire_context(context: CommandContext, endpoints: dict[str, Endpoint], *, is_named: bool) -> RetireContext:
    from endpoints_gitops.operations.retire import RetireContext
    from endpoints_gitops.workspace.selection import managed

    environment, definitions = context.environment, context.definitions
    announced = (Announcement.of(loaded, environment.name) for loaded in definitions)
    return RetireContext(
        environment=environment.name,
        announcements={item.name: item for item in announced if item is not None},
        callers=known_callers(context, endpoints),
        protected=managed(
            environment.protect,
            definitions=definitions,
            endpoints=endpoints.values(),
            environment=environment.name,
        ),
        policy=context.configuration.deprecation,
        now=context.now,
        is_named=is_named,
    )


def _confirm(context: CommandContext, count: int) -> None:
    """Ask before anything is written. Raises UsageError if the answer is no, or stdin is not a terminal."""
    access = context.access
    where = f"{access.environment} ({access.host}, project {access.project_id})"
    if not context.console.confirm(f"Switch off {count} of these in {where}?", yes=context.arguments.yes):
        raise UsageError("not confirmed; nothing was written", code="usage.unconfirmed")


def _still_ready(judged: Sequence[Retirement], confirmed: Sequence[Retirement]) -> tuple[Retirement, ...]:
    """The new verdicts. Only what was confirmed is written: something that became ready meanwhile waits."""
    from endpoints_gitops.operations.retire import RetireState

    labels = {(retirement.key, retirement.endpoint_id) for retirement in confirmed}
    return tuple(
        retirement
        if retirement.state is not RetireState.READY or (retirement.key, retirement.endpoint_id) in labels
        else replace(retirement, state=RetireState.REFUSED, reasons=("it changed since you were asked",))
        for retirement in judged
    )


def _lines(retirement: Retirement) -> Iterator[Line]:
    from endpoints_gitops.operations.retire import RetireState

    match retirement.state:
        case RetireState.READY:
            steps = ", then ".join(retirement.steps)
            sunset = f"; sunset {retirement.announcement.notice.sunset}" if retirement.announcement else ""
            yield Line(f"- {retirement.label}: {steps} ({retirement.last_call}{sunset})", Style.WARN)
        case RetireState.REFUSED:
            yield Line(f"! {retirement.label}: refused, {'; '.join(_reasons(retirement))}", Style.BAD)
        case RetireState.UNKNOWN:
            yield Line(f"? {retirement.label}: unknown, {'; '.join(retirement.reasons)}", Style.WARN)
        case _:
            yield Line(f"  {retirement.label}: {'; '.join(retirement.reasons)}", Style.FAINT)


def _reasons(retirement: Retirement) -> Iterator[str]:
    yield from retirement.reasons
    yield retirement.last_call


def _result_lines(retirement: Retirement, confirmed: Sequence[Retirement]) -> Iterator[Line]:
    from endpoints_gitops.operations.retire import RetireState

    if retirement.key not in {ready.key for ready in confirmed}:
        return
    if retirement.state is RetireState.RETIRED:
        yield Line(f"{retirement.label}: {', '.join(retirement.done)}", Style.GOOD)
    elif retirement.error is not None:
        done = f" after {', '.join(retirement.done)}" if retirement.done else ""
        yield Line(f"{retirement.label}: failed{done}", Style.BAD)
    else:
        yield from _lines(retirement)


def _file_notes(judged: Sequence[Retirement]) -> Iterator[str]:
    """What is left to do in the files of retired endpoints."""
    from endpoints_gitops.operations.retire import RetireState

    for retirement in judged:
        announcement = retirement.announcement
        if retirement.state is RetireState.RETIRED and announcement is not None and announcement.is_on:
            yield f"{announcement.where.path}: write `active: false`, or delete the file"


def _item(retirement: Retirement, today: date) -> JsonObject:
    notice = retirement.announcement.notice if retirement.announcement else None
    return {
        "name": retirement.name,
        "version": retirement.version or None,
        "state": retirement.state,
        "steps": [*retirement.steps],
        "done": [*retirement.done],
        "reasons": [*retirement.reasons],
        "last_call": retirement.called.isoformat() if retirement.called else None,
        "deprecation": notice_item(notice, today),
        "error": str(retirement.error) if retirement.error else None,
    }


def _outcome(judged: Sequence[Retirement], items: Sequence[JsonObject]) -> Outcome:
    from endpoints_gitops.operations.retire import RetireState

    states = [retirement.state for retirement in judged]
    errors = [(retirement.name, retirement.error) for retirement in judged if retirement.error]
    codes = [error.exit_code for _, error in errors]
    if RetireState.FAILED in states and any(retirement.done for retirement in judged):
        codes.append(ExitCode.PARTLY_APPLIED)
    unknown = [
        ErrorEntry(code="retire.unknown", message=f"{retirement.label}: {'; '.join(retirement.reasons)}")
        for retirement in judged
        if retirement.state is RetireState.UNKNOWN and retirement.error is None
    ]
    if RetireState.UNKNOWN in states:
        codes.append(ExitCode.COULD_NOT_FIND_OUT)
    if RetireState.REFUSED in states:
        codes.append(ExitCode.FINDINGS)
    return Outcome(
        command="retire",
        exit_code=worst(*codes),
        summary={str(state): states.count(state) for state in RetireState if state is not RetireState.READY},
        items=tuple(items),
        errors=(*failures_of_all(errors), *unknown),
    )
