"""What a test did, as far as others need to know: noted while it runs, and carried by its reports.

Reports survive a worker that is killed later, so each phase's report carries all that is known by then, and the last
one counts.
"""

from __future__ import annotations

import os
import shlex
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


@dataclass(slots=True)
class TestLog:
    """What one test has done so far. `swallowed` are failures that nobody raised yet, of other threads: the test fails
    with the first of them at its end. `canary` is the canary's; `findings` are of what the plugin's server saw.
    """

    __test__ = False

    nodeid: str
    target: str
    properties: list[tuple[str, object]] = field(default_factory=list)
    calls: list[CallFact] = field(default_factory=list)
    canary: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    swallowed: list[Failure] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def note_endpoint(self, label: str) -> None:
        """For JUnit's and other reports of properties: each version that the test asked for."""
        if ("endpoint", label) not in self.properties:
            self.properties.append(("endpoint", label))

    def as_plain(self) -> dict[str, Any]:
        return {
            "calls": [call.as_plain() for call in self.calls],
            "canary": self.canary,
            "findings": self.findings,
            "failures": self.failures,
        }


LOG: Final = pytest.StashKey[TestLog]()


def log_of(item: pytest.Item) -> TestLog:
    """The log of a test; it begins with the first fixture that asks for it."""
    if LOG not in item.stash:
        item.stash[LOG] = TestLog(item.nodeid, _target(item), item.user_properties)
    return item.stash[LOG]


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

    def take(self, plain: dict[str, Any]) -> None:
        self.calls = [CallFact.from_plain(call) for call in plain["calls"]]
        self.canary, self.failures = plain["canary"], plain["failures"]
        self.findings = plain["findings"]
