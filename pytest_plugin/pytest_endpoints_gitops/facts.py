"""What a test did, as far as others need to know: noted while it runs, and carried by its reports.

Reports survive a worker that is killed later, so each phase's report carries all that is known by then, and the last
one counts.
"""

from __future__ import annotations

import os
import shlex
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pytest_endpoints_gitops.failures import Failure

REPORTED: Final = "_endpoints"
"""The attribute of a report that the facts travel in: plain values, so that they pass between processes."""


@dataclass(slots=True, kw_only=True)
class CallFact:
    """One call. `file` is its recording, None in modes without; `kept` is where in the run's folder an answer waits
    that is to replace it. `read` are the columns that were read by name, and `is_whole` says that rows were read as a
    whole, so all of them.
    """

    environment: str
    endpoint: str
    version: int
    variables: dict[str, Any]
    mode: str
    file: str | None = None
    kept: str | None = None
    read: set[str] = field(default_factory=set)
    is_whole: bool = False

    @property
    def label(self) -> str:
        return f"{self.endpoint}@{self.version}"

    def as_plain(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "endpoint": self.endpoint,
            "version": self.version,
            "variables": self.variables,
            "mode": self.mode,
            "file": self.file,
            "kept": self.kept,
            "read": sorted(self.read),
            "is_whole": self.is_whole,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> CallFact:
        return cls(**{**plain, "read": set(plain["read"])})


class TestLog:
    """What one attempt of one test has done so far.

    `born` are its failures, whether or not anyone saw them: one that was neither raised nor expected fails the test at
    its end. One that comes later is added to `late`. `failures` are those that were raised. `canary` is the canary's;
    `findings` are of what the plugin's server saw.
    """

    __test__ = False

    def __init__(self, item: pytest.Item, late: list[tuple[TestLog, Failure]]) -> None:
        self.item = item
        self.nodeid = item.nodeid
        self.target = _target(item)
        self.properties = item.user_properties
        self.calls: list[CallFact] = []
        self.canary: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.is_used = False
        self.is_canary_off = False
        self.has_failed = False
        self._late = late
        self._born: list[Failure] = []
        self._has_ended = False
        self._lock = threading.Lock()

    def next_attempt(self) -> TestLog:
        """The log of the same test that is run again: its calls add up, its failures do not."""
        log = TestLog(self.item, self._late)
        log.calls, log.canary, log.findings, log.is_used = self.calls, self.canary, self.findings, self.is_used
        return log

    def note_endpoint(self, label: str) -> None:
        """For JUnit's and other reports of properties: each version that the test asked for."""
        if ("endpoint", label) not in self.properties:
            self.properties.append(("endpoint", label))

    def note(self, failure: Failure) -> None:
        """A failure of this attempt, where it is born."""
        self.is_used = True
        with self._lock:
            if self._has_ended:
                self._late.append((self, failure))
            elif all(known is not failure for known in self._born):
                self._born.append(failure)

    def end(self) -> Failure | None:
        """The first failure that was neither raised nor expected. What comes after this is late."""
        with self._lock:
            self._has_ended = True
            left = (one for one in self._born if not one.is_expected and one.as_plain() not in self.failures)
            return next(left, None)

    def as_plain(self) -> dict[str, Any]:
        return {
            "calls": [call.as_plain() for call in self.calls],
            "canary": self.canary,
            "findings": self.findings,
            "failures": self.failures,
            "is_canary_off": self.is_canary_off,
        }


LOG: Final = pytest.StashKey[TestLog]()


def begin_attempt(item: pytest.Item, late: list[tuple[TestLog, Failure]]) -> TestLog:
    """To be called each time that a test is run."""
    known = item.stash.get(LOG, None)
    item.stash[LOG] = TestLog(item, late) if known is None else known.next_attempt()
    return item.stash[LOG]


def log_of(item: pytest.Item) -> TestLog:
    """The log of the attempt that runs; what a test's reports carry begins with the first fixture that asks for it."""
    log = item.stash[LOG] if LOG in item.stash else begin_attempt(item, [])
    log.is_used = True
    return log


def _target(item: pytest.Item) -> str:
    """What to give to pytest, in a shell and from where it was started, to run this test alone."""
    file, *names = item.nodeid.split("::")
    path = _from_where_it_was_started(file, item.config.rootpath, item.config.invocation_params.dir)
    return shlex.quote("::".join([path, *names]))


@lru_cache(maxsize=256)
def _from_where_it_was_started(file: str, root: Path, start: Path) -> str:
    """Found once for each file: a path takes longer than all else that a test's log begins with."""
    return Path(os.path.relpath(root / file, start)).as_posix()


@dataclass(slots=True)
class TestFacts:
    """What the reports of one test say: pytest's word for how it ended, and its calls."""

    __test__ = False

    outcome: str = ""
    calls: list[CallFact] = field(default_factory=list)
    canary: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    is_canary_off: bool = False

    def take(self, plain: dict[str, Any]) -> None:
        self.calls = [CallFact.from_plain(call) for call in plain["calls"]]
        self.canary, self.failures = plain["canary"], plain["failures"]
        self.findings, self.is_canary_off = plain["findings"], plain["is_canary_off"]
