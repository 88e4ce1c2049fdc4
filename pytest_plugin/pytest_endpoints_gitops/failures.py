"""The ways in which a call fails its test, a class for each kind, so that a suite can expect one and a report name it.

    Failure
    ├── NotSetUp                             no lock, a lock or configuration that is not whole, no key
    ├── NotPinned                            the lock holds no such endpoint
    ├── UndeclaredVariable, WrongVariableType, MissingVariable
    ├── NoRecording, StaleRecording, ExpiredRecording, DamagedRecording, UnsafeRecording
    ├── ContractBroken                       the answer is not what the lock promises
    │   └── ColumnUnknown                    the test reads a column that the answer has not
    ├── VersionInactive, EndpointInactive, EndpointRecreated
    ├── BudgetSpent, CeilingReached, RowsCut, NetworkUsed
    ├── RehearsalUnmet                       an error was rehearsed that no call met
    ├── CallRefused                          anything else that the server answers, or that keeps it from answering
    └── ExampleMissing, RowsDiffer           of `endpoint_case`

All are pytest's own kind of failure, without a traceback: the first line is the verdict, the last a command that runs.
They are no `Exception` (ColumnUnknown aside), so what an app does to errors cannot swallow them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

_WIDTH: Final = 80
_LABEL: Final = 10

type Detail = tuple[str, str]
"""A label such as `expected`, and what stands behind it; further lines are set below the first. Text of a server or a
file goes through `one_line` first: only our own line breaks make lines."""


class Failure(pytest.fail.Exception):  # type: ignore[name-defined, misc]  # a name that mypy cannot follow
    """`verdict` is the first line: `name@version: what happened`. `command` is what to type next.

    `is_expected` once `pytest.raises` has caught it.
    """

    def __init__(self, verdict: str, *details: Detail, command: str) -> None:
        self.verdict = _fitting(verdict)
        whole = () if self.verdict == verdict else (("in full", verdict),)
        self.details = tuple((label, said) for label, said in (*whole, *details) if said)
        self.command = command
        self.is_expected = False
        super().__init__("\n".join(self._lines()), pytrace=False)

    @property
    def kind(self) -> str:
        """The class, by which others know it again."""
        return type(self).__name__

    def _lines(self) -> Iterable[str]:
        from endpoints_gitops.model.printable import one_line  # only a failure needs the library: it costs a start

        yield self.verdict
        for label, said in (*self.details, ("next", self.command)):
            for number, line in enumerate(said.split("\n")):
                yield f"  {label if number == 0 else '':<{_LABEL}} {one_line(line)}".rstrip()

    def as_plain(self) -> dict[str, Any]:
        """For the processes of the same run."""
        return {"kind": self.kind, "verdict": self.verdict, "details": list(self.details), "command": self.command}

    def __reduce__(self) -> tuple[Any, ...]:
        return from_plain, (self.as_plain(),)


class NotSetUp(Failure):
    """Nothing can be called yet: lock, configuration or key are missing or wrong."""


class NotPinned(Failure):
    """The lock holds no pin of this endpoint in this environment (P101)."""


class UndeclaredVariable(Failure):
    """The pinned version does not know a variable that was sent."""


class WrongVariableType(Failure):
    """A variable was sent as something that its type does not take."""


class MissingVariable(Failure):
    """A variable that the pinned version requires was not sent."""


class NoRecording(Failure):
    """Nothing was recorded for this version and these variables."""


class StaleRecording(Failure):
    """The recording is of another query than the lock pins: the endpoint was made anew, or a file was edited."""


class ExpiredRecording(Failure):
    """The recording is older than recordings may be."""


class DamagedRecording(Failure):
    """The file is no recording, or of another call than its name says."""


class UnsafeRecording(Failure):
    """The answer holds a key, so it was not stored."""


class ContractBroken(Failure):
    """The answer has not the columns that the lock promises."""


class ColumnUnknown(ContractBroken, AttributeError, KeyError):
    """The test reads a column that this version does not answer with.

    Reading `row.x` and `row["x"]` otherwise raise AttributeError and KeyError, which `hasattr` and the like rely on.
    """


class VersionInactive(Failure):
    """The pinned version was switched off, or is gone."""


class EndpointInactive(Failure):
    """The endpoint was switched off, deleted, or never was there."""


class EndpointRecreated(Failure):
    """There is a version of this number, and it is not the one that was pinned."""


class BudgetSpent(Failure):
    """The key may not ask any more for now."""


class CeilingReached(Failure):
    """This run has made as many live calls as it may."""


class RowsCut(Failure):
    """The answer is one page of several."""


class NetworkUsed(Failure):
    """A test of a replaying run reached for the network."""


class CallRefused(Failure):
    """The call came to nothing; the message is the server's, or says why there is none."""


class RehearsalUnmet(Failure):
    """`endpoints_server.fail` rehearsed an error, and no call of the test met it."""


class ExampleMissing(Failure):
    """A version cannot be called without an example: it requires a variable."""


class RowsDiffer(Failure):
    """The rows are not those that the example declares."""


KINDS: Final[dict[str, type[Failure]]] = {
    kind.__name__: kind
    for kind in (
        *(NotSetUp, NotPinned, UndeclaredVariable, WrongVariableType, MissingVariable),
        *(NoRecording, StaleRecording, ExpiredRecording, DamagedRecording, UnsafeRecording),
        *(ContractBroken, ColumnUnknown, VersionInactive, EndpointInactive, EndpointRecreated),
        *(BudgetSpent, CeilingReached, RowsCut, NetworkUsed, RehearsalUnmet, CallRefused, ExampleMissing, RowsDiffer),
    )
}


def from_plain(plain: Mapping[str, Any]) -> Failure:
    """The failure that another process of this run had."""
    details = [(label, said) for label, said in plain["details"]]
    return KINDS.get(plain["kind"], CallRefused)(plain["verdict"], *details, command=plain["command"])


class EndpointsWarning(UserWarning):
    """A broken contract where `--endpoints-contract=warn` holds."""


def _fitting(verdict: str) -> str:
    """The verdict on one line of 80 columns."""
    from endpoints_gitops.model.printable import one_line

    line = one_line(" ".join(verdict.split()))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
