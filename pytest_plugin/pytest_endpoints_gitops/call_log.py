"""The call log of a test: noted while it runs, and carried by its reports.

Reports survive a worker that is killed later, so each phase's report carries everything that is known by then, and the
last one counts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pytest_endpoints_gitops.failures import Failure, from_plain
from pytest_endpoints_gitops.stubs import StubbedCalls

STUBBED: Final = "stub"
"""The mode of a call that a stub answered."""


class RunningTest(NamedTuple):
    """The test that makes a call: its node id, and the argument with which pytest runs it alone."""

    nodeid: str
    target: str

    def command(self, mode: str | None = None) -> tuple[str, ...]:
        """The command that runs this test, in another mode if one is given."""
        return ("pytest", *([f"--endpoints={mode}"] if mode else []), self.target)


@dataclass(slots=True, kw_only=True)
class LoggedCall:
    """One call. `lock` is the path of the lock from the rootdir. `file` is its recording, None in modes without; `kept`
    is where in the run's folder the answer waits that is to replace it. `read` are the columns that were read by name,
    and `is_whole` says that rows were read as a whole, so every column. `is_answered`: the test got an answer that
    keeps the contract, in its last attempt; a stub is no such answer. `fixture`: the module- or session-scoped fixture
    that made the call, for each test that uses it.
    """

    lock: str
    environment: str
    endpoint: str
    version: int
    variables: dict[str, Any]
    mode: str
    file: str | None = None
    kept: str | None = None
    read: set[str] = field(default_factory=set)
    is_whole: bool = False
    is_answered: bool = False
    fixture: str | None = None

    @property
    def label(self) -> str:
        return f"{self.endpoint}@{self.version}"

    @property
    def is_stubbed(self) -> bool:
        """Whether a stub of the test answered, so that the call proves nothing of the pin."""
        return self.mode == STUBBED

    def as_plain(self) -> dict[str, Any]:
        return {
            "lock": self.lock,
            "environment": self.environment,
            "endpoint": self.endpoint,
            "version": self.version,
            "variables": self.variables,
            "mode": self.mode,
            "file": self.file,
            "kept": self.kept,
            "read": sorted(self.read),
            "is_whole": self.is_whole,
            "is_answered": self.is_answered,
            "fixture": self.fixture,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> LoggedCall:
        return cls(**{**plain, "read": set(plain["read"])})


class TestLog:
    """What one attempt of one test has done so far.

    `folder` is where commands of endpoints-gitops run, if not where pytest was started. `shared` are calls of fixtures
    that other tests use too, `refused` those that are not of the test's lock. `canary` are entries of the canary,
    `findings` those of the plugin's server, `failures` the failures that were raised. Every failure is noted, whether
    or not a caller saw it: one that was neither raised nor expected fails the test at its end, and one that comes after
    the end goes to `late`.
    """

    __test__ = False

    def __init__(self, item: pytest.Item, late: list[tuple[TestLog, Failure]]) -> None:
        self.item = item
        self.nodeid = item.nodeid
        self.properties = item.user_properties
        self.calls: list[LoggedCall] = []
        self.shared: list[LoggedCall] = []
        self.refused: list[LoggedCall] = []
        self.canary: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.stubs = StubbedCalls()
        self.has_stubs = False
        self.folder = ""
        self.is_used = False
        self.is_canary_off = False
        self.has_failed = False
        self._late = late
        self._noted: list[Failure] = []
        self._has_ended = False
        self._lock = threading.RLock()  # a destructor may send, and note a failure, at any moment
        self._test: RunningTest | None = None

    @property
    def test(self) -> RunningTest:
        """The test, for messages."""
        if self._test is None:
            self._test = RunningTest(self.nodeid, _target(self.item))
        return self._test

    def next_attempt(self) -> TestLog:
        """The log of the same test that is run again: its calls add up, its failures do not. What the calls of this
        attempt were answered proves nothing of the next one.
        """
        for call in self.calls:
            call.is_answered = False
        log = TestLog(self.item, self._late)
        log.calls, log.canary, log.findings, log.is_used = self.calls, self.canary, self.findings, self.is_used
        return log

    def note_endpoint(self, label: str) -> None:
        """Add each version that the test asked for to the properties that JUnit reports show."""
        entry = ("endpoint", label)
        if entry not in self.properties:
            self.properties.append(entry)

    def share(self, call: LoggedCall) -> None:
        """Count a call of a fixture that the test uses, once."""
        if all(known is not call for known in self.shared):
            self.shared.append(call)
            self.note_endpoint(call.label)
            self.is_used = True

    def note(self, failure: Failure) -> None:
        """Note a failure of this attempt, where it is born."""
        self.is_used = True
        failure.run_in(self.folder)
        with self._lock:
            if self._has_ended:
                self._late.append((self, failure))
            elif all(noted is not failure for noted in self._noted):
                self._noted.append(failure)

    def end(self) -> Failure | None:
        """The first failure that was neither raised nor expected. What comes after this call is late.

        Tracebacks and contexts of the failures, which nothing shows, go: they keep the test's objects alive.
        """
        with self._lock:
            self._has_ended = True
            ended = tuple(self._noted)
        self.has_stubs = False
        self.stubs.clear()
        for failure in ended:  # outside of the lock: an object that goes with a traceback may note a failure itself
            failure.__traceback__ = failure.__context__ = None
        return next((failure for failure in ended if not self.is_known(failure)), None)

    def is_known(self, failure: Failure) -> bool:
        """Whether the failure was expected, or raised already."""
        return failure.is_expected or failure.as_plain() in self.failures

    def as_plain(self) -> dict[str, Any]:
        return {
            "calls": [call.as_plain() for call in (*self.shared, *self.calls)],
            "canary": self.canary,
            "findings": self.findings,
            "failures": self.failures,
            "is_canary_off": self.is_canary_off,
        }


LOG: Final = pytest.StashKey[TestLog]()


@contextmanager
def noting(log: TestLog) -> Iterator[None]:
    """Note each failure that leaves this block as one of that attempt, whatever the caller makes of it."""
    try:
        yield
    except Failure as failure:
        log.note(failure)
        raise


def begin_attempt(item: pytest.Item, late: list[tuple[TestLog, Failure]]) -> TestLog:
    """Start the log of an attempt; to be called each time that a test is run."""
    known = item.stash.get(LOG, None)
    item.stash[LOG] = TestLog(item, late) if known is None else known.next_attempt()
    return item.stash[LOG]


def log_of(item: pytest.Item) -> TestLog:
    """The log of the attempt that runs; reports carry it from the first fixture of ours on that asks for it."""
    log = item.stash[LOG] if LOG in item.stash else begin_attempt(item, [])
    log.is_used = True
    return log


def _target(item: pytest.Item) -> str:
    """The argument with which pytest, from the folder where it was started, runs this test alone."""
    file, *names = item.nodeid.split("::")
    path = _relative_to_start(file, item.config.rootpath, item.config.invocation_params.dir)
    return "::".join([path, *names])


@lru_cache(maxsize=256)
def _relative_to_start(file: str, root: Path, start: Path) -> str:
    return Path(os.path.relpath(root / file, start)).as_posix()


@dataclass(slots=True)
class TestRecord:
    """What the reports of one test say: pytest's word for how it ended, and its log."""

    __test__ = False

    outcome: str = ""
    calls: list[LoggedCall] = field(default_factory=list)
    canary: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    is_canary_off: bool = False

    def take(self, plain: dict[str, Any]) -> None:
        """Take the log from a report; a later report has all that an earlier one has."""
        self.calls = [LoggedCall.from_plain(call) for call in plain["calls"]]
        self.failures = [from_plain(failure) for failure in plain["failures"]]
        self.canary, self.findings = plain["canary"], plain["findings"]
        self.is_canary_off = plain["is_canary_off"]
