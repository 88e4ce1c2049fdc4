"""What is wrong with a call before it is sent, or with its answer. Each carries what a test or a report shows of it.

    EndpointsError
    ├── PinMissing             nothing is pinned under this name (rule P101)
    ├── VariablesWrong         before anything is sent: ├ UnknownVariable ├ MissingVariable └ WrongVariableType
    └── ContractBroken         the answer: ├ WrongVersion ├ EndpointRecreated ├ ColumnsBroken ├ RowsBroken
                               └ ResultsBroken └ UnreadableValue

What the server itself refuses is an ApiError (`endpoints_gitops.api.errors`).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableMistake:
    """One variable. `near` is the name that was probably meant; `expected` the type, in the server's word."""

    name: str
    message: str
    near: str | None = None
    expected: str | None = None


class VariablesWrong(UsageError):
    """The variables of a call are not those that the pinned version takes. Nothing was sent.

    `mistakes` holds every one of them; the class is that of the first.
    """

    code = "call.variables"

    def __init__(self, pin: Pin, mistakes: tuple[VariableMistake, ...], *, fix: str | None = None) -> None:
        super().__init__(f"{pin.label}: " + "; ".join(mistake.message for mistake in mistakes), fix=fix)
        self.pin = pin
        self.mistakes = mistakes


class UnknownVariable(VariablesWrong):
    """The pinned version does not take a variable of this name. Nothing was sent."""

    code = "call.unknown_variable"


class MissingVariable(VariablesWrong):
    """A variable that the pinned version requires was not given. Nothing was sent.

    A materialised version requires all of its variables, whatever their defaults.
    """

    code = "call.missing_variable"


class WrongVariableType(VariablesWrong):
    """A value is of another type than the variable. Nothing was sent.

    The server would not say so: it puts any value into the query, which then fails or finds nothing.
    """

    code = "call.variable_type"


class ContractBroken(EndpointsError):
    """An answer is not what the lock promised. `pin` is the promise, `problem` what is wrong with the answer.

    `contract="warn"` makes it a ContractWarning, and `contract="off"` looks at nothing but whether rows can be read.
    """

    code = "contract.broken"
    exit_code = ExitCode.FINDINGS

    def __init__(self, pin: Pin, message: str, *, fix: str | None = None) -> None:
        self.problem = one_line(message)
        text = one_line(f"{pin.label}: {message}")
        super().__init__(text, fix=fix or Advice(Command("lock", "--verify", "--env", pin.environment)))
        self.pin = pin


class WrongVersion(ContractBroken):
    """The answer is of another version than the pinned one, or does not say of which: `answered` is what it says."""

    code = "contract.version"

    def __init__(self, pin: Pin, answered: int | None) -> None:
        text = "does not say of which version it is" if answered is None else f"is of version {answered}"
        super().__init__(pin, f"the answer {text}")
        self.answered = answered


class EndpointRecreated(ContractBroken):
    """The endpoint was deleted and one of the same name made: the number of the version is the same, and nothing else.

    `answered` is when the version that answered was made.
    """

    code = "contract.recreated"

    def __init__(self, pin: Pin, answered: str) -> None:
        pinned = pin.created_at.isoformat() if pin.created_at else "?"
        super().__init__(pin, f"the version that answers was made at {answered}, the pinned one at {pinned}")
        self.answered = answered


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMistake:
    """One column. `kind` is `gone`, `type`, `nullable` or `moved`; `received` is ClickHouse's type."""

    kind: str
    column: str
    message: str
    expected: str | None = None
    received: str | None = None


class ColumnsBroken(ContractBroken):
    """Columns of the answer are not those that were pinned, as far as this app's way of reading goes.

    `expected` are the pinned ones, `received` the names and ClickHouse types of the answer, `mistakes` what differs.
    """

    code = "contract.columns"

    def __init__(self, pin: Pin, mistakes: Iterable[ColumnMistake], received: tuple[tuple[str, str], ...]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(pin, "; ".join(mistake.message for mistake in self.mistakes))
        self.expected: tuple[PinnedColumn, ...] = pin.columns or ()
        self.received = received


class RowsBroken(ContractBroken):
    """A row has another number of values than there are columns: values would move to other columns."""

    code = "contract.rows"


class ResultsBroken(ContractBroken):
    """The results of an insight are not of the shape of their kind. `at` is which of them, from 0; None: all."""

    code = "contract.results"

    def __init__(self, pin: Pin, message: str, *, at: int | None = None) -> None:
        super().__init__(pin, message if at is None else f"result {at}: {message}")
        self.at = at


class UnreadableValue(ContractBroken):
    """A value is not what the type of its column says, so it cannot be converted. `rows.raw` has it as it came."""

    code = "contract.value"

    def __init__(self, pin: Pin, column: str, type: str, value: object) -> None:  # noqa: A002 - what it is called
        shown = repr(value)
        super().__init__(
            pin, f"column {column!r} is {type}, and holds {shown if len(shown) < 80 else shown[:80] + '…'}"
        )
        self.column = column
        self.type = type
        self.value = value


class ContractWarning(UserWarning):
    """With `contract="warn"`: what would be a ContractBroken."""


class PagingWarning(UserWarning):
    """Rows may be missing or come twice; said once for each pin."""
