"""What a run proves that it exercised, written for the release gate: on failing runs too, and over all workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.workspace.configuration import LOCK_NAME
from endpoints_gitops.workspace.files import read_regular_file, write_atomically
from endpoints_gitops.workspace.git import git, repository, tracked_changes
from pytest_endpoints_gitops.failures import NotSetUp

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import LoggedCall, TestRecord
    from pytest_endpoints_gitops.suite import Suite

WORDS: Final = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit and tree of the checkout. A pull request's test commit and its squash have the same tree.

    `changed` are the tracked files that differ from them, and `lock` is the content of the lock, tracked or not.
    """

    commit: str | None = None
    tree: str | None = None
    changed: frozenset[str] = frozenset()
    lock: bytes | None = None

    def changes_until(self, end: Head) -> frozenset[str]:
        """What was not as in this commit, at the start or at the end of the run, or moved between the two."""
        moved = {"HEAD": self.commit != end.commit, LOCK_NAME: self.lock != end.lock}
        return self.changed | end.changed | {name for name, is_moved in moved.items() if is_moved}


def head(folder: Path, lock_path: str, *, besides: Iterable[Path] = ()) -> Head:
    """HEAD, and the tracked files that differ from it, the run's own output left out; untracked files do not count,
    except the lock, which must not change during the run.
    """
    try:
        lock = read_regular_file(Path(lock_path)) if lock_path else None
    except OSError:  # reported by the fixtures
        lock = None
    checkout = repository(folder)
    if checkout is None:
        return Head(lock=lock)
    output = {path.resolve() for path in besides}
    changed = tracked_changes(checkout, checkout.top) - output
    tree = git(checkout.top, "rev-parse", f"{checkout.head}^{{tree}}").decode("ascii").strip()
    names = frozenset(path.relative_to(checkout.top).as_posix() for path in changed)
    return Head(commit=checkout.head, tree=tree, changed=names, lock=lock)


def write(suite: Suite, start: Head, exit_code: int) -> frozenset[str]:
    """Returns what was not as in the commit, so that the evidence is dirty. Raises OSError where the file cannot be
    written.
    """
    path = Path(suite.settings.evidence.value)
    end = head(suite.config.rootpath, suite.settings.lock.value, besides=outputs(suite))
    changed = start.changes_until(end)
    evidence = Evidence(
        commit=start.commit,
        tree=start.tree,
        is_dirty=bool(changed),
        mode=suite.settings.mode.value,
        contract=suite.settings.contract.value,
        outcome="passed" if exit_code == 0 else "failed",
        partial=suite.completeness.why_partial(),
        counts=counts(suite),
        pins=tuple(_exercised(pin, suite.records) for pin in _pins(suite)),
    )
    write_atomically(path, write_evidence(evidence))
    return changed


def outputs(suite: Suite) -> tuple[Path, ...]:
    """The files that this run writes, without recordings: those are part of what was tested."""
    paths = (suite.settings.evidence.value, suite.settings.report.value)
    return tuple(Path(path) for path in paths if path)


def counts(suite: Suite) -> dict[str, int]:
    """By pytest's words, over all tests of the run; those that call something where nothing reports to a terminal."""
    reporter = suite.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        outcomes = [records.outcome for records in suite.records.values()]
        return {word: outcomes.count(word) for word in WORDS if word in outcomes}
    return {word: len(reporter.stats[word]) for word in WORDS if reporter.stats.get(word)}


def _pins(suite: Suite) -> tuple[Pin, ...]:
    """None where the lock cannot be read: then nothing was exercised."""
    try:
        return suite.project.lock.pins
    except NotSetUp:
        return ()


def _exercised(pin: Pin, records: Mapping[str, TestRecord]) -> ExercisedPin:
    """A stubbed call proves nothing of the pin. The columns that the app reads of it count: a break in them hits it."""
    called = {nodeid: [call for call in test.calls if _is_of(call, pin)] for nodeid, test in records.items()}
    calls = [call for calls_of_test in called.values() for call in calls_of_test]
    answered = {nodeid: [call for call in of_test if not call.is_stubbed] for nodeid, of_test in called.items()}
    sent: dict[str, JsonObject] = {
        canonical(call.variables): call.variables for of_test in answered.values() for call in of_test
    }
    read = sorted({name for call in calls for name in call.read})
    return ExercisedPin.of(
        pin,
        variables=tuple(sent[key] for key in sorted(sent)),
        columns_read=None if any(call.is_whole for call in calls) else tuple(read),
        tests=(
            ExercisedTest(test=nodeid, outcome=records[nodeid].outcome)
            for nodeid in sorted(answered)
            if answered[nodeid] and (records[nodeid].outcome != "passed" or _is_answered(answered[nodeid]))
        ),
    )


def _is_answered(calls: Iterable[LoggedCall]) -> bool:
    """Whether a call got an answer: a test that passes because a call fails as expected proves nothing of the pin."""
    return any(call.is_answered for call in calls)


def _is_of(call: LoggedCall, pin: Pin) -> bool:
    return (call.environment, call.endpoint, call.version) == (pin.environment, pin.name, pin.version)
