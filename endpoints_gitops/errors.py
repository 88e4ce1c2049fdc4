"""Every error this package raises, and the exit code each one ends in.

    EndpointsError
    ├── UsageError             2   the command line, the configuration, or a file that is needed and wrong
    │   ├── InvalidInput       2   carries problems: every mistake in every file, each with its place
    │   └── MissingExtra       2   packages of an extra are not installed
    ├── CredentialsError       3   no key, a refused key, a missing scope
    ├── CouldNotFindOut        4   network or server failure; nothing was changed
    ├── PartlyApplied          5   some writes landed, or one landed with a fault
    ├── Conflict               6   the server moved; not overwritten
    └── ApiError               –   an answer of the API; `api/` has one class for each row of its error tables

An error says what happened (`message`), where (`where`: file:line or request) and what to do next (`fix`: preferably a
command that can be pasted). `code` is stable: machines may match it, and `endpoints-gitops explain CODE` prints more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """The one table of exit codes, for all commands."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    CREDENTIALS = 3
    COULD_NOT_FIND_OUT = 4
    PARTLY_APPLIED = 5
    CONFLICT = 6
    INTERRUPTED = 130


_PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.PARTLY_APPLIED,
    ExitCode.CREDENTIALS,
    ExitCode.CONFLICT,
    ExitCode.COULD_NOT_FIND_OUT,
    ExitCode.USAGE,
    ExitCode.FINDINGS,
)


def worst(*codes: ExitCode) -> ExitCode:
    """The exit code of a command in which several things ended differently."""
    return next((code for code in _PRECEDENCE if code in codes), ExitCode.DONE)


_LOCATION: Final = re.compile(r"(.*?)(?::(\d+))?(?::(\d+))?", re.DOTALL)


class Location(str):
    """A place in a file. As a `str` it is `path:line:column`, and shorter without a column or a line (0)."""

    path: str
    line: int
    column: int

    def __new__(cls, path: str, line: int = 0, column: int = 0) -> Location:
        text = ":".join((path, *map(str, filter(None, (line, line and column)))))
        location = super().__new__(cls, text)
        location.path, location.line, location.column = path, line, column
        return location

    @classmethod
    def of(cls, text: str) -> Location:
        """The place that a text from outside names, such as a plan file or a plugin."""
        match = _LOCATION.fullmatch(text)
        assert match is not None, "the pattern matches every text"
        return cls(match[1], int(match[2] or 0), int(match[3] or 0))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in one file. `line` and `column` count from 1; 0 means that the whole file is meant.

    `is_committed`: the file is that of a commit, which `path` names in front (`main:endpoints/a.yaml`).
    """

    path: str
    line: int = 0
    column: int = 0
    message: str
    code: str = "definition.invalid"
    fix: str | None = None
    is_committed: bool = False

    @property
    def where(self) -> str:
        """The place: a `Location`, except in a file of a commit, where reports cannot point at a line."""
        location = Location(self.path, self.line, self.column)
        return str(location) if self.is_committed else location

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


MOST_PROBLEMS = 20
"""Mistakes of one file that are reported; whoever made more of them made the same one again."""


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The first mistakes of one file in the order of the file, each once, then how many more there are."""
    found = sorted(dict.fromkeys(problems), key=lambda problem: (problem.path, problem.line, problem.column))
    more = found[MOST_PROBLEMS:]
    if not more:
        return tuple(found)
    message = f"and {len(more):,} more mistake{'s' if len(more) > 1 else ''} from here on"
    return (*found[:MOST_PROBLEMS], replace(more[0], message=message, fix="correct those above first"))


class EndpointsError(Exception):
    """Base of everything this package raises on purpose.

    `subject` is the endpoint or shared variable that `message` names, None where it names none.
    """

    code = "error"
    exit_code = ExitCode.COULD_NOT_FIND_OUT

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        code: str | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.subject = subject
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(EndpointsError):
    """The command line or the configuration does not say something that can be done."""

    code = "usage"
    exit_code = ExitCode.USAGE


class InvalidInput(UsageError):
    """Files that a command needs right are wrong; `problems` holds every mistake, in file order."""

    code = "input.invalid"

    def __init__(self, problems: tuple[Problem, ...], *, message: str | None = None, fix: str | None = None) -> None:
        count = len(problems)
        super().__init__(message or f"{count} mistake{'s' if count != 1 else ''} in the files", fix=fix)
        self.problems = problems

    def __str__(self) -> str:
        """The first mistake with its place, and how many more there are."""
        if not self.problems:
            return self.message
        more = len(self.problems) - 1
        others = f" (and {more} more mistake{'s' if more > 1 else ''})" if more else ""
        return f"{self.problems[0]}{others}"


class MissingExtra(UsageError):
    """Packages that an extra of this distribution brings are not installed. `fix` is the command that installs them.

    `extra` is the name of the extra, `packages` are the missing packages.
    """

    code = "usage.extra"

    def __init__(self, purpose: str, *, extra: str, packages: tuple[str, ...], fix: str) -> None:
        listed = " and ".join(filter(None, (", ".join(packages[:-1]), packages[-1])))
        verb = "is" if len(packages) == 1 else "are"
        super().__init__(f"{purpose} needs {listed}, which {verb} not installed", fix=fix)
        self.add_note(f"fix: {fix}")  # tracebacks and pytest show it
        self.extra = extra
        self.packages = packages


class CredentialsError(EndpointsError):
    """A key is missing, malformed, refused, or not allowed to do this."""

    code = "credentials"
    exit_code = ExitCode.CREDENTIALS


class CouldNotFindOut(EndpointsError):
    """The network or the server failed; nothing was changed."""

    code = "unreachable"
    exit_code = ExitCode.COULD_NOT_FIND_OUT


class PartlyApplied(EndpointsError):
    """Some writes landed and some did not, or one landed with a fault."""

    code = "partly_applied"
    exit_code = ExitCode.PARTLY_APPLIED


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while something was written: `message` says how much was, and `fix` how to go on."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class Conflict(EndpointsError):
    """The server moved; nothing of it was overwritten."""

    code = "conflict"
    exit_code = ExitCode.CONFLICT
