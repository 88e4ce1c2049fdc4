"""The contract in the lock, enforced: calls and answers are checked by the library's rules, and what breaks one is a
failure of the test.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from endpoints_gitops.consumer import errors
from endpoints_gitops.consumer.checking import check_answer, check_variables
from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.redaction import Redaction, redacted_variables
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import AnswerOrigin, PinnedCall, SourceAnswer
from pytest_endpoints_gitops.errors import signature
from pytest_endpoints_gitops.failures import (
    ContractViolated,
    EndpointRef,
    EndpointsWarning,
    Failure,
    RecreatedEndpoint,
    VariableMissing,
    VariableMistyped,
    VariableUndeclared,
)
from pytest_endpoints_gitops.project import PinnedEnvironment

type Readers = Mapping[str, Mapping[str, Sequence[str]]]
"""By endpoint and test: the columns that the test read."""

_VARIABLES: Final = {
    errors.UnknownVariable: VariableUndeclared,
    errors.MissingVariable: VariableMissing,
    errors.WrongVariableType: VariableMistyped,
}
_READERS_SHOWN: Final = 4


class ContractEnforcer:
    """`mode` is `strict`, `warn` or `off`. `readers` are what earlier runs read, for messages."""

    def __init__(
        self, environment: PinnedEnvironment, mode: str, redact: Redaction, readers: Callable[[], Readers]
    ) -> None:
        self._environment = environment
        self._mode = mode
        self._redact = redact
        self._readers = readers
        self._fitting: set[tuple[EndpointRef, Hashable]] = set()

    def variables(self, pin: Pin, given: Mapping[str, Any], test: RunningTest) -> dict[str, Json]:
        """The variables as they are sent. Raises VariableUndeclared, VariableMissing or VariableMistyped."""
        try:
            return check_variables(pin, given)
        except errors.VariablesWrong as error:
            first, *others = error.mistakes
            received = redacted_variables(given, self._redact)
            raise _VARIABLES[type(error)](
                EndpointRef(pin.name, pin.version),
                first.message,
                ("expected", f"{signature(pin)}     {self._lock}"),
                ("received", " · ".join(f"{name}={value!r}" for name, value in received.items()) or "no variables"),
                ("also", "\n".join(one_line(other.message) for other in others)),
                ("read by", test.nodeid),
                ("defined", self._environment.location(pin)),
                advice="change the call",
                command=test.command(),
            ) from None

    def check(self, call: PinnedCall, answer: SourceAnswer, test: RunningTest, *, is_quiet: bool = False) -> None:
        """Raise where an answer is not what the lock promises, or warn, as `--endpoints-contract` says.

        `is_quiet`: do not warn of an answer that is checked again later.
        """
        key = (call.endpoint, answer.content)
        if self._mode == "off" or key in self._fitting:
            return
        try:
            check_answer(call.pin, answer.run, self._environment.uses.get(call.pin.name))
        except errors.ContractBroken as error:
            failure = self._failure(call, answer, test, error)
            if self._mode == "strict":
                raise failure from None
            if not is_quiet:
                warnings.warn(EndpointsWarning(str(failure)), stacklevel=2)
        else:
            if answer.content is not None:
                self._fitting.add(key)

    def readers_of(self, call: PinnedCall, columns: Sequence[str], test: RunningTest) -> str:
        """The tests that read these columns (any, if none are named), as far as it is known: this test first."""
        known = self._readers().get(call.pin.name, {})
        others = [nodeid for nodeid, read in sorted(known.items()) if not columns or not {*columns}.isdisjoint(read)]
        tests = list(dict.fromkeys([test.nodeid, *others]))
        more = len(tests) - _READERS_SHOWN
        return _shortened(tests[:_READERS_SHOWN]) + (f" and {more} more" if more > 0 else "")

    @property
    def _lock(self) -> str:
        return shown(self._environment.project.lock_path)

    def _failure(
        self, call: PinnedCall, answer: SourceAnswer, test: RunningTest, error: errors.ContractBroken
    ) -> Failure:
        defined = ("defined", self._environment.location(call.pin))
        if isinstance(error, errors.EndpointRecreated):
            created = call.pin.created_at.isoformat() if call.pin.created_at else "unknown"
            return RecreatedEndpoint(
                call.endpoint,
                "the endpoint was recreated; this is not the pinned version",
                ("expected", f"created {created}     {self._lock}"),
                ("received", f"created {one_line(error.answered)}     {answer.shown_origin}"),
                defined,
                command=("endpoints-gitops", "upgrade", str(call.endpoint), "--env", call.pin.environment),
            )
        if isinstance(error, errors.ColumnsBroken):
            return self._columns(call, answer, test, error)
        return ContractViolated(
            call.endpoint,
            error.problem,
            ("received", answer.shown_origin),
            ("read by", self.readers_of(call, (), test)),
            defined,
            command=refreshing(call, answer, test),
        )

    def _columns(
        self, call: PinnedCall, answer: SourceAnswer, test: RunningTest, error: errors.ColumnsBroken
    ) -> Failure:
        received = [(name, type_word(written)) for name, written in error.received]
        expected = [(column.name, column.type) for column in call.pin.columns or ()]
        changes = "\n".join(_changes(expected, received))
        others = (other.message for other in error.mistakes[1:] if other.kind != "gone")
        return ContractViolated(
            call.endpoint,
            _verdict(error.mistakes[0]),
            ("expected", f"{_listed(expected)}     {self._lock}"),
            ("received", f"{_listed(received)}     {answer.shown_origin}\n{changes}".rstrip()),
            ("also", "\n".join(map(one_line, others))),
            ("read by", self.readers_of(call, [mistake.column for mistake in error.mistakes], test)),
            ("defined", self._environment.location(call.pin)),
            command=refreshing(call, answer, test),
        )


def refreshing(call: PinnedCall, answer: SourceAnswer, test: RunningTest) -> tuple[str, ...]:
    """The command that gets a right answer in place of this one."""
    if answer.origin is AnswerOrigin.LIVE:
        return ("endpoints-gitops", "lock", "--verify", "--env", call.pin.environment)
    return test.command("refresh")


def _verdict(mistake: errors.ColumnMistake) -> str:
    match mistake.kind:
        case "gone" if mistake.column:
            return f'column "{mistake.column}" is gone'
        case "type":
            return f'column "{mistake.column}" was {mistake.expected}, and is {mistake.received}'
        case "nullable":
            return f'column "{mistake.column}" can be null now: it is {mistake.received}'
    return mistake.message


def _changes(expected: list[tuple[str, str]], received: list[tuple[str, str]]) -> list[str]:
    """Removed and added columns, as lines of a diff; a rename is guessed from type and position."""
    removed = [column for column in expected if column not in received]
    added = [column for column in received if column not in expected]
    lines = [f"- {name}: {kind}" for name, kind in removed]
    for name, kind in added:
        position = received.index((name, kind))
        was = expected[position] if position < len(expected) else None
        is_renamed = was is not None and was in removed and was[1] == kind
        lines.append(f"+ {name}: {kind}{'       same type, same place: renamed?' if is_renamed else ''}")
    return list(map(one_line, lines))


def _shortened(nodeids: list[str]) -> str:
    """Node ids, with the file only once where several in a row are in it."""
    words: list[str] = []
    file = ""
    for nodeid in nodeids:
        path, _, name = nodeid.partition("::")
        words.append(f"::{name}" if path == file else nodeid)
        file = path
    return ", ".join(words)


def _listed(columns: list[tuple[str, str]]) -> str:
    return one_line(" · ".join(f"{name}: {kind}" for name, kind in columns)) or "no columns"
