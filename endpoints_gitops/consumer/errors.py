"""Errors of a pinned call before it is sent, and of its answer, with attributes for tests and reports.

    EndpointsError
    ├── CacheUnreachable       the Redis of a cache that was to be cleared cannot be used
    ├── PinMissing             the lock has no pin of this name (rule P101)
    ├── ClientOutdated         generated code is not that of the lock's pin
    ├── VariablesWrong         before the request: ├ UnknownVariable ├ MissingVariable └ WrongVariableType
    └── ContractBroken         the answer: ├ WrongVersion ├ EndpointRecreated ├ ColumnsBroken ├ RowsBroken
                               └ ResultsBroken └ UnreadableValue

Errors of the server are ApiErrors (`endpoints_gitops.api.errors`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError
from endpoints_gitops.model.pin import Pin, PinnedColumn
from endpoints_gitops.model.printable import one_line


class PinMissing(EndpointsError):
    """The app calls an endpoint that its lock does not pin (rule P101). Nothing was sent."""

    code = "P101"
    exit_code = ExitCode.FINDINGS

    def __init__(self, message: str, *, name: str, environment: str, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.name = name
        self.environment = environment


class ClientOutdated(EndpointsError):
    """Generated code calls an endpoint whose pin is not the one that it was generated for. Nothing was sent.

    `pin` is that of the lock, `module` the name of the generated module. `endpoints-gitops generate` writes it again.
    """

    code = "generate.outdated"
    exit_code = ExitCode.FINDINGS

    def __init__(self, message: str, *, pin: Pin, module: str, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.pin = pin
        self.module = module


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableMistake:
    """A mistake in one variable. `near` is the closest known name; `expected` is the type of the variable."""

    name: str
    message: str
    near: str | None = None
    expected: str | None = None


class VariablesWrong(UsageError):
    """The variables of a call do not match those of the pinned version. Nothing was sent.

    `mistakes` has all of them; the class of the error is that of the first.
    """

    code = "call.variables"

    def __init__(self, pin: Pin, mistakes: tuple[VariableMistake, ...], *, fix: str | None = None) -> None:
        super().__init__(f"{pin.label}: " + "; ".join(mistake.message for mistake in mistakes), fix=fix)
        self.pin = pin
        self.mistakes = mistakes


class UnknownVariable(VariablesWrong):
    """The pinned version has no variable of this name. Nothing was sent."""

    code = "call.unknown_variable"


class MissingVariable(VariablesWrong):
    """A required variable of the pinned version is missing. Nothing was sent.

    A materialized version requires all of its variables, despite their defaults.
    """

    code = "call.missing_variable"


class WrongVariableType(VariablesWrong):
    """A value does not have the type of the variable. Nothing was sent.

    The server does not check this: it inserts any value into the query, which then fails or returns no rows.
    """

    code = "call.variable_type"


class ContractBroken(EndpointsError):
    """An answer does not match the contract in the lock. `pin` has the contract, `problem` says what is wrong.

    With `contract="warn"` it is a ContractWarning; with `contract="off"` only the length of the rows is checked.
    """

    code = "contract.broken"
    exit_code = ExitCode.FINDINGS

    def __init__(self, pin: Pin, message: str, *, fix: str | None = None) -> None:
        self.problem = one_line(message)
        text = one_line(f"{pin.label}: {message}")
        super().__init__(text, fix=fix or Advice(Command("lock", "--verify", "--env", pin.environment)))
        self.pin = pin


class WrongVersion(ContractBroken):
    """The answer is from a different version than the pinned one, or names none. `answered` is the version that it
    names."""

    code = "contract.version"

    def __init__(self, pin: Pin, answered: int | None) -> None:
        text = "does not name its version" if answered is None else f"is from version {answered}"
        super().__init__(pin, f"the answer {text}")
        self.answered = answered


class EndpointRecreated(ContractBroken):
    """The endpoint was deleted and recreated: the answer is from a different endpoint with the same name and version
    number.

    `answered` is the creation time of the version that answered.
    """

    code = "contract.recreated"

    def __init__(self, pin: Pin, answered: str) -> None:
        pinned = pin.created_at.isoformat() if pin.created_at else "?"
        super().__init__(pin, f"the version that answered was created at {answered}, the pinned one at {pinned}")
        self.answered = answered


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMistake:
    """A mismatch of one column. `kind` is `gone`, `type`, `nullable` or `moved`; `received` is the ClickHouse type."""

    kind: str
    column: str
    message: str
    expected: str | None = None
    received: str | None = None


class ColumnsBroken(ContractBroken):
    """The columns of the answer do not match the pinned ones, in a way that breaks how this app reads.

    `expected` are the pinned columns, `received` the names and ClickHouse types of the answer, `mistakes` the
    differences.
    """

    code = "contract.columns"

    def __init__(self, pin: Pin, mistakes: Iterable[ColumnMistake], received: tuple[tuple[str, str], ...]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(pin, "; ".join(mistake.message for mistake in self.mistakes))
        self.expected: tuple[PinnedColumn, ...] = pin.columns or ()
        self.received = received


class RowsBroken(ContractBroken):
    """A row does not have one value per column, so its values cannot be assigned to columns."""

    code = "contract.rows"


class ResultsBroken(ContractBroken):
    """The results of an insight do not have the shape of their kind. `at` is the index of the result, None for all."""

    code = "contract.results"

    def __init__(self, pin: Pin, message: str, *, at: int | None = None) -> None:
        super().__init__(pin, message if at is None else f"result {at}: {message}")
        self.at = at


class UnreadableValue(ContractBroken):
    """A value cannot be converted to the type of its column. `rows.raw` has the original value."""

    code = "contract.value"

    def __init__(self, pin: Pin, column: str, type: str, value: object) -> None:  # noqa: A002 - the name of the attribute
        shown = repr(value)
        super().__init__(
            pin, f"column {column!r} has type {type} but the value {shown if len(shown) < 80 else shown[:80] + '…'}"
        )
        self.column = column
        self.type = type
        self.value = value


class CacheUnreachable(EndpointsError):
    """The Redis of a cache cannot be used, so its answers could not be removed. Calls do not raise this: they go to the
    server.
    """

    code = "cache.unreachable"


class ContractWarning(UserWarning):
    """Replaces ContractBroken with `contract="warn"`."""


class PagingWarning(UserWarning):
    """Rows can be missing or duplicated. Issued once for each pin."""
