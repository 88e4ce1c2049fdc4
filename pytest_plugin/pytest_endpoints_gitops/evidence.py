"""What a run proves that it exercised, written for the release gate: on failing runs too, and over all workers."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.workspace.files import write_atomically
from endpoints_gitops.workspace.git import git, repository, tracked_changes
from pytest_endpoints_gitops.failures import NotSetUp

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import LoggedCall, TestRecord
    from pytest_endpoints_gitops.suite import Suite

LOCK_PLACEHOLDER: Final = "{lock}"
"""Stands for the lock in the name of a file of evidence."""

WORDS: Final = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit and tree of the checkout. A pull request's test commit and its squash have the same tree.

    `changed` are the tracked files that differ from them.
    """

    commit: str | None = None
    tree: str | None = None
    changed: frozenset[str] = frozenset()

    def changes_until(self, end: Head) -> frozenset[str]:
        """What was not as in this commit, at the start or at the end of the run, or moved between the two."""
        return self.changed | end.changed | ({"HEAD"} if self.commit != end.commit else set())


def head(folder: Path, *, besides: Iterable[Path] = ()) -> Head:
    """HEAD, and the tracked files that differ from it, the run's own output left out; untracked files do not count."""
    checkout = repository(folder)
    if checkout is None:
        return Head()
    output = {path.resolve() for path in besides}
    changed = tracked_changes(checkout, checkout.top) - output
    tree = git(checkout.top, "rev-parse", f"{checkout.head}^{{tree}}").decode("ascii").strip()
    names = frozenset(path.relative_to(checkout.top).as_posix() for path in changed)
    return Head(commit=checkout.head, tree=tree, changed=names)


def write(suite: Suite, start: Head, exit_code: int) -> frozenset[str]:
    """A file for each lock that tests used. Returns what was not as in the commit, so that the evidence is dirty.

    Raises OSError where a file cannot be written, and UsageError where several locks have one name.
    """
    end = head(suite.config.rootpath, besides=outputs(suite))
    moved = {lock for lock, content in suite.contents.items() if content != suite.content_of(lock)}
    changed = start.changes_until(end) | moved
    for lock, path in _files(suite).items():
        write_atomically(path, write_evidence(_evidence(suite, start, lock, exit_code, is_dirty=bool(changed))))
    return changed


def _files(suite: Suite) -> dict[str, Path]:
    """The file of each lock that tests used; that of the run's lock where none did. Raises UsageError."""
    name = suite.settings.evidence.value
    locks = suite.used_locks or [suite.run_lock]
    files = {lock: Path(name.replace(LOCK_PLACEHOLDER, _slug(lock))) for lock in locks}
    if len(set(files.values())) < len(files):
        named = f"put {LOCK_PLACEHOLDER} into the name, as in --endpoints-evidence=evidence-{LOCK_PLACEHOLDER}.json"
        message = f"the tests used {len(locks)} locks ({', '.join(locks)}), and a file is about one: {named}"
        raise UsageError(message, code="evidence.locks")
    return files


def _slug(lock: str) -> str:
    """What stands for a lock in the name of a file: its folder, from the rootdir."""
    folder = PurePosixPath(lock).parent.as_posix()
    return "root" if folder == "." else folder.replace("/", "-")


def _evidence(suite: Suite, start: Head, lock: str, exit_code: int, *, is_dirty: bool) -> Evidence:
    return Evidence(
        commit=start.commit,
        tree=start.tree,
        is_dirty=is_dirty,
        mode=suite.settings.mode.value,
        contract=suite.settings.contract.value,
        outcome="passed" if exit_code == 0 else "failed",
        partial=suite.completeness.why_partial(),
        counts=counts(suite),
        pins=tuple(_exercised(lock, pin, suite.records) for pin in _pins(suite, lock)),
    )


def outputs(suite: Suite) -> tuple[Path, ...]:
    """The files that this run writes, without recordings: those are part of what was tested."""
    paths = [Path(path) for path in (suite.settings.evidence.value, suite.settings.report.value) if path]
    several = [path for path in paths if LOCK_PLACEHOLDER in path.name]
    earlier = (path.parent.glob(glob.escape(path.name).replace(LOCK_PLACEHOLDER, "*")) for path in several)
    return (*paths, *(path for found in earlier for path in found))


def counts(suite: Suite) -> dict[str, int]:
    """By pytest's words, over all tests of the run; those that call something where nothing reports to a terminal."""
    reporter = suite.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        outcomes = [records.outcome for records in suite.records.values()]
        return {word: outcomes.count(word) for word in WORDS if word in outcomes}
    return {word: len(reporter.stats[word]) for word in WORDS if reporter.stats.get(word)}


def _pins(suite: Suite, lock: str) -> tuple[Pin, ...]:
    """None where the lock cannot be read: then nothing was exercised."""
    try:
        return suite.project(lock).lock.pins
    except NotSetUp:
        return ()


def _exercised(lock: str, pin: Pin, records: Mapping[str, TestRecord]) -> ExercisedPin:
    """A stubbed call proves nothing of the pin. The columns that the app reads of it count: a break in them hits it."""
    called = {nodeid: [call for call in test.calls if _is_of(call, lock, pin)] for nodeid, test in records.items()}
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


def _is_of(call: LoggedCall, lock: str, pin: Pin) -> bool:
    called = (call.lock, call.environment, call.endpoint, call.version)
    return called == (lock, pin.environment, pin.name, pin.version)
