"""Calls and answers held against the lock, by the library's own rules, told as failures of a test."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.consumer import errors
from endpoints_gitops.consumer.checking import check_answer, check_variables
from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.config import redacted_variables
from pytest_endpoints_gitops.failures import (
    ContractBroken,
    Detail,
    EndpointRecreated,
    EndpointsWarning,
    Failure,
    MissingVariable,
    UndeclaredVariable,
    WrongVariableType,
)
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.facts import TestLog

_VARIABLES: Final = {
    errors.UnknownVariable: UndeclaredVariable,
    errors.MissingVariable: MissingVariable,
    errors.WrongVariableType: WrongVariableType,
}
_READERS_SHOWN: Final = 4


def right_variables(app: App, pin: Pin, sent: Mapping[str, Any], log: TestLog) -> dict[str, Json]:
    """What is sent for these values. Raises UndeclaredVariable, MissingVariable or WrongVariableType."""
    try:
        return check_variables(pin, sent)
    except errors.VariablesWrong as error:
        first, *others = error.mistakes
        shown_variables = redacted_variables(sent, app.config.redact)
        details: tuple[Detail, ...] = (
            ("expected", f"{_signature(pin)}     {shown(app.session.lock_path)}"),
            ("received", " · ".join(f"{name}={value!r}" for name, value in shown_variables.items()) or "no variables"),
            ("also", "\n".join(one_line(other.message) for other in others)),
            ("read by", log.nodeid),
            ("defined", app.place(pin)),
            ("fix", "change the call, then"),
        )
        command = f"pytest {log.target}"
        raise _VARIABLES[type(error)](f"{pin.label}: {first.message}", *details, command=command) from None


def hold_to_contract(app: App, call: Call, answer: Answer, *, is_quiet: bool = False) -> None:
    """Raise where an answer is not what the lock promises, or warn, as `--endpoints-contract` says.

    `is_quiet`: without the warning, for an answer that is looked at again.
    """
    how = app.session.settings.contract.value
    if how == "off":
        return
    try:
        check_answer(call.pin, answer.run, app.uses.get(call.pin.name))
    except errors.ContractBroken as error:
        failure = _broken(app, call, answer, error)
        if how == "strict":
            raise failure from None
        if not is_quiet:
            warnings.warn(EndpointsWarning(str(failure)), stacklevel=2)


def _broken(app: App, call: Call, answer: Answer, error: errors.ContractBroken) -> Failure:
    command = _command(call, answer)
    if isinstance(error, errors.EndpointRecreated):
        made = call.pin.created_at.isoformat() if call.pin.created_at else "unknown"
        return EndpointRecreated(
            f"{call.label}: the endpoint was made anew; this is not the pinned version",
            ("expected", f"made {made}     {shown(app.session.lock_path)}"),
            ("received", f"made {one_line(error.answered)}     {answer.origin}"),
            ("defined", app.place(call.pin)),
            command=f"endpoints-gitops upgrade {call.label} --env {call.pin.environment}",
        )
    if isinstance(error, errors.ColumnsBroken):
        return _columns(app, call, answer, error, command)
    what = error.message.removeprefix(f"{call.label}: ")
    details = (("received", answer.origin), ("read by", readers(app, call, ())), ("defined", app.place(call.pin)))
    return ContractBroken(f"{call.label}: {what}", *details, command=command)


def _columns(app: App, call: Call, answer: Answer, error: errors.ColumnsBroken, command: str) -> Failure:
    first = error.mistakes[0]
    verdict = first.message.partition(";")[0].replace("'", '"')
    received = [(name, type_word(written) if written else "unknown") for name, written in error.received]
    expected = [(column.name, column.type) for column in call.pin.columns or ()]
    changes = "\n".join(_changes(expected, received))
    details: tuple[Detail, ...] = (
        ("expected", f"{_listed(expected)}     {shown(app.session.lock_path)}"),
        ("received", f"{_listed(received)}     {answer.origin}\n{changes}".rstrip()),
        ("also", "\n".join(one_line(other.message) for other in error.mistakes[1:] if other.kind != "gone")),
        ("read by", readers(app, call, [mistake.column for mistake in error.mistakes])),
        ("defined", app.place(call.pin)),
    )
    return ContractBroken(f"{call.label}: {verdict}", *details, command=command)


def _changes(expected: list[tuple[str, str]], received: list[tuple[str, str]]) -> list[str]:
    """Columns that went and came, as lines of a difference; a rename is guessed from type and place."""
    gone = [column for column in expected if column not in received]
    new = [column for column in received if column not in expected]
    lines = [f"- {name}: {kind}" for name, kind in gone]
    for name, kind in new:
        place = received.index((name, kind))
        was = expected[place] if place < len(expected) else None
        guess = "       same type, same place: renamed?" if was in gone and was and was[1] == kind else ""
        lines.append(f"+ {name}: {kind}{guess}")
    return list(map(one_line, lines))


def readers(app: App, call: Call, columns: list[str] | tuple[str, ...]) -> str:
    """The tests that read these columns, as far as it is known: this one first, then those of earlier runs."""
    known = app.session.readers().get(call.pin.name, {})
    others = [test for test, read in sorted(known.items()) if not columns or not {*columns}.isdisjoint(read)]
    tests = list(dict.fromkeys([call.test, *others]))
    said = _shortened(tests[:_READERS_SHOWN])
    more = len(tests) - _READERS_SHOWN
    return f"{said} and {more} more" if more > 0 else said


def _shortened(tests: list[str]) -> str:
    """Node ids, the file said once where several in a row are in it."""
    words: list[str] = []
    file = ""
    for test in tests:
        path, _, name = test.partition("::")
        words.append(f"::{name}" if path == file else test)
        file = path
    return ", ".join(words)


def _command(call: Call, answer: Answer) -> str:
    if answer.origin.startswith("live"):
        return f"endpoints-gitops lock --verify --env {call.pin.environment}"
    return call.command("refresh")


def _listed(columns: list[tuple[str, str]]) -> str:
    return one_line(" · ".join(f"{name}: {kind}" for name, kind in columns)) or "no columns"


def _signature(pin: Pin) -> str:
    said = (f"{one.name}: {one.type}{'' if one.required else ' (optional)'}" for one in pin.variables)
    return " · ".join(said) or "no variables"
