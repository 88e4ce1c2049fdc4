"""The end of a run, in the controller: recordings are replaced, and those that were not needed are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.errors import EndpointsError
from pytest_endpoints_gitops.failures import NotSetUp
from pytest_endpoints_gitops.options import WITHOUT_RECORDINGS
from pytest_endpoints_gitops.project import has_several_environments, recordings_subfolder
from pytest_endpoints_gitops.recordings import Recordings

if TYPE_CHECKING:
    from pytest_endpoints_gitops.suite import Suite


@dataclass(slots=True, kw_only=True)
class Cleanup:
    """What happened to the recordings of a lock. Where a run cannot judge them, `unused` and `orphaned` are empty, and
    `partial` says why.
    """

    lock: str = ""
    replaced: list[str] = field(default_factory=list)
    kept_old: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    partial: str | None = None
    error: str | None = None


def finish(suite: Suite, lock: str) -> Cleanup:
    """Replace and judge recordings. Nothing is written for a test that failed, nothing deleted by a partial run."""
    completeness = suite.completeness
    partial = completeness.why_partial() or _is_above(suite, lock) or completeness.unsure or _asks_for_none(suite)
    cleanup = Cleanup(lock=lock, partial=partial)
    if not lock:
        return cleanup
    try:
        folder = suite.recordings_folder(lock)
        recordings = Recordings(folder)
        _replace(suite, recordings, cleanup)
        if folder.is_dir() and cleanup.partial is None:
            _judge(suite, recordings, cleanup)
            _prune(suite, recordings, cleanup)
    except NotSetUp as failure:
        cleanup.error = failure.verdict
    except (EndpointsError, OSError) as error:
        cleanup.error = str(error)
    return cleanup


def _is_above(suite: Suite, lock: str) -> str | None:
    """Why no run of this rootdir can judge a lock above it."""
    root = suite.config.rootpath.resolve()
    if Path(suite.path_of(lock)).parent.resolve().is_relative_to(root):
        return None
    return "the lock is above the rootdir, and other suites may use its recordings"


def _asks_for_none(suite: Suite) -> str | None:
    """Why the mode makes no judgement possible: without recordings, it does not show which ones replaying needs."""
    mode = suite.settings.mode.value
    return f"mode {mode} asks for none" if mode in WITHOUT_RECORDINGS else None


def _replace(suite: Suite, recordings: Recordings, cleanup: Cleanup) -> None:
    """Replace the recordings of tests that passed, unless a test that failed asked for the same."""
    waiting: dict[str, str] = {}
    failed: set[str] = set()
    passed: set[str] = set()
    for record in suite.records.values():
        for call in record.calls:
            if call.lock == cleanup.lock and call.kept is not None and call.file is not None:
                waiting.setdefault(call.file, call.kept)
                outcomes = {"passed": passed, "failed": failed, "error": failed}
                outcomes.get(record.outcome, set()).add(call.file)
    for file, kept in sorted(waiting.items()):
        answer = suite.run_folder.path / kept
        if file in passed - failed and answer.is_file():
            recordings.store(file, answer.read_bytes())
            cleanup.replaced.append(file)
        else:
            cleanup.kept_old.append(file)


def _judge(suite: Suite, recordings: Recordings, cleanup: Cleanup) -> None:
    calls = [call for record in suite.records.values() for call in record.calls if call.lock == cleanup.lock]
    asked = {call.file for call in calls if call.file is not None}
    ran = {call.environment for call in calls}
    locked = suite.project(cleanup.lock).lock
    has_several = has_several_environments(locked)
    pinned = {
        f"{recordings_subfolder(pin.environment) if has_several else ''}{pin.name}/v{pin.version}": pin
        for pin in locked.pins
    }
    for file in recordings.files():
        pin = pinned.get(file.rpartition("/")[0])
        if pin is None:
            cleanup.orphaned.append(file)
        elif file not in asked and pin.environment in ran:
            cleanup.unused.append(file)


def _prune(suite: Suite, recordings: Recordings, cleanup: Cleanup) -> None:
    if not suite.settings.prune:
        return
    for file in (*cleanup.unused, *cleanup.orphaned):
        recordings.remove(file)
        cleanup.pruned.append(file)
    cleanup.unused, cleanup.orphaned = [], []
