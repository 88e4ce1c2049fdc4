"""The ways in which a call fails its test, a class for each kind, so that a suite can expect one and a report name it.

    Failure
    ├── NotSetUp                 the lock, the configuration or the key is missing or wrong
    ├── NotPinned                the lock does not pin this endpoint
    ├── VariableUndeclared, VariableMistyped, VariableMissing
    ├── NoRecording, StaleRecording, ExpiredRecording, DamagedRecording, UnsafeRecording
    ├── GeneratedStale           generated code is of another pin
    ├── ContractViolated         the answer is not what the lock promises
    │   └── ColumnUnknown        the test reads a column that the answer does not have
    ├── InactiveVersion, InactiveEndpoint, RecreatedEndpoint
    ├── RateLimited, CeilingReached, RowsCut, NetworkUsed
    ├── RehearsalUnmet           a rehearsed error that no call met
    ├── StubInvalid, StubUnmet   rows by hand that the pin does not allow, or that no call asked for
    ├── CallRefused              any other refusal by the server, or no answer from it
    └── ExampleMissing, RowsDiffer of `endpoint_case`

All are pytest's own kind of failure, without a traceback: the first line is the verdict, the last a command that runs.
They do not derive from `Exception` (except ColumnUnknown), so an app's `except Exception` cannot swallow them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest

THEN: Final = "&&"
"""The word between two commands of which the second runs if the first succeeds."""

_WIDTH: Final = 80
_LABEL: Final = 10

type Detail = tuple[str, str]
"""A label such as `expected`, and its text; further lines are indented below the first. Text of a server or a file goes
through `one_line` first, so that only our own line breaks make lines."""


class EndpointRef(NamedTuple):
    """An endpoint by name, and the version where it is known."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class Failure(pytest.fail.Exception):  # type: ignore[name-defined, misc]  # a name that mypy cannot follow
    """One failure as data; its text is rendered from that.

    `subject` is what the failure is about: an endpoint, else a file, a setting or a host. `problem` completes the first
    line. `advice` says what to do before `command` is run, which is a tuple of words. `is_expected` is set once
    `pytest.raises` has caught it.
    """

    def __init__(
        self,
        subject: EndpointRef | str,
        problem: str,
        *details: Detail,
        command: Sequence[str],
        advice: str = "",
    ) -> None:
        # plain strings: xdist sends them, and refuses subclasses such as the library's Advice
        self.subject = subject if isinstance(subject, EndpointRef) else str(subject)
        self.problem = str(problem)
        self.details = tuple((label, str(text)) for label, text in details if text)
        self.command = tuple(map(str, command))
        self.advice = str(advice)
        self.is_expected = False
        super().__init__("\n".join(self._lines()), pytrace=False)

    def run_in(self, folder: str) -> None:
        """Let the command run in the folder of the lock, where it is one that looks for the configuration from its
        working directory upward. No folder: the one where pytest was started.
        """
        if folder and self.command[0] == "endpoints-gitops":
            self.command = ("cd", folder, THEN, *self.command)
            self.msg = "\n".join(self._lines())
            self.args = (self.msg,)

    @property
    def kind(self) -> str:
        """The name of the class."""
        return type(self).__name__

    @property
    def endpoint(self) -> EndpointRef | None:
        """The endpoint that the failure is about, if it is about one."""
        return self.subject if isinstance(self.subject, EndpointRef) else None

    @property
    def verdict(self) -> str:
        """The first line, cut to 80 columns."""
        line = self._whole_verdict
        return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"

    @property
    def command_line(self) -> str:
        """`command` as it is typed into a shell."""
        return " ".join(word if word == THEN else shlex.quote(word) for word in self.command)

    @property
    def _whole_verdict(self) -> str:
        from endpoints_gitops.model.printable import one_line  # only a failure needs the library: it costs a start

        return one_line(" ".join(f"{self.subject}: {self.problem}".split()))

    def _lines(self) -> Iterable[str]:
        from endpoints_gitops.model.printable import one_line

        yield self.verdict
        whole = (("in full", self._whole_verdict),) if self.verdict != self._whole_verdict else ()
        advice = (("fix", f"{self.advice}{'\n' if '\n' in self.advice else ', '}then"),) if self.advice else ()
        for label, text in (*whole, *self.details, *advice, ("next", self.command_line)):
            for number, line in enumerate(text.split("\n")):
                yield f"  {label if number == 0 else '':<{_LABEL}} {one_line(line)}".rstrip()

    def as_plain(self) -> dict[str, Any]:
        """As plain values, for the other processes of the same run."""
        return {
            "kind": self.kind,
            "subject": list(self.subject) if isinstance(self.subject, EndpointRef) else self.subject,
            "problem": self.problem,
            "details": [list(detail) for detail in self.details],
            "command": list(self.command),
            "advice": self.advice,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return from_plain, (self.as_plain(),)


class NotSetUp(Failure):
    """Nothing can be called yet: the lock, the configuration or the key is missing or wrong."""


class NotPinned(Failure):
    """The lock does not pin this endpoint in this environment (P101)."""


class GeneratedStale(Failure):
    """Generated code is for another pin than the lock has: that of a call, or a file of a configured target."""


class VariableUndeclared(Failure):
    """The call sends a variable that the pinned version does not take."""


class VariableMistyped(Failure):
    """The call sends a value that the variable's type does not allow."""


class VariableMissing(Failure):
    """The call lacks a variable that the pinned version requires."""


class NoRecording(Failure):
    """There is no recording for this version and these variables."""


class StaleRecording(Failure):
    """The recording belongs to another query than the lock pins: the endpoint was recreated, or a file was edited."""


class ExpiredRecording(Failure):
    """The recording is older than the maximum age."""


class DamagedRecording(Failure):
    """The file is not a recording, or belongs to another call than its name says."""


class UnsafeRecording(Failure):
    """The answer contains a key, so it was not stored."""


class ContractViolated(Failure):
    """The answer does not have the columns that the lock promises."""


class ColumnUnknown(ContractViolated, AttributeError, KeyError):
    """The test reads a column that the answer does not have.

    It is an AttributeError and a KeyError too, as `row.x` and `row["x"]` raise them, so that `hasattr` works.
    """


class InactiveVersion(Failure):
    """The pinned version was deactivated or deleted."""


class InactiveEndpoint(Failure):
    """The endpoint was deactivated or deleted, or never existed."""


class RecreatedEndpoint(Failure):
    """The server has a version of this number, but not the one that was pinned."""


class RateLimited(Failure):
    """The key has no requests left for now."""


class CeilingReached(Failure):
    """This run has made as many live calls as it may."""


class RowsCut(Failure):
    """The answer is one page of several."""


class NetworkUsed(Failure):
    """A test of a replaying run used the network."""


class CallRefused(Failure):
    """The server refused the call, or did not answer; the message says why."""


class RehearsalUnmet(Failure):
    """No call of the test met an error that `endpoints_server.fail` rehearsed."""


class StubInvalid(Failure):
    """A stub has rows that the pinned version cannot return."""


class StubUnmet(Failure):
    """No call of the test asked for a stub, or for one of its answers."""


class ExampleMissing(Failure):
    """A version that requires a variable cannot be called without an example."""


class RowsDiffer(Failure):
    """The rows are not those that the example declares."""


KINDS: Final[dict[str, type[Failure]]] = {
    kind.__name__: kind
    for kind in (
        *(NotSetUp, NotPinned, GeneratedStale, VariableUndeclared, VariableMistyped, VariableMissing),
        *(NoRecording, StaleRecording, ExpiredRecording, DamagedRecording, UnsafeRecording),
        *(ContractViolated, ColumnUnknown, InactiveVersion, InactiveEndpoint, RecreatedEndpoint),
        *(RateLimited, CeilingReached, RowsCut, NetworkUsed, RehearsalUnmet, StubInvalid, StubUnmet),
        *(CallRefused, ExampleMissing, RowsDiffer),
    )
}


def from_plain(plain: Mapping[str, Any]) -> Failure:
    """The failure that another process of this run had."""
    subject = plain["subject"]
    return KINDS[plain["kind"]](
        subject if isinstance(subject, str) else EndpointRef(*subject),
        plain["problem"],
        *((label, text) for label, text in plain["details"]),
        command=plain["command"],
        advice=plain["advice"],
    )


def only_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure in a group of exceptions that holds nothing else, as a task group raises it; otherwise the group."""
    inside: BaseException = group
    while isinstance(inside, BaseExceptionGroup) and len(inside.exceptions) == 1:
        inside = inside.exceptions[0]
    return inside if isinstance(inside, Failure) else group


class EndpointsWarning(UserWarning):
    """A violated contract with `--endpoints-contract=warn`, or a call of the app without a version."""
