"""The header of a run, with each setting and its source, and its summary: counts and one command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_endpoints_gitops.names import MARKER
from pytest_endpoints_gitops.options import OPTIONS, Setting

_TO_A_LINE: Final = 4

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Lock
    from pytest_endpoints_gitops.call_log import LoggedCall, TestRecord
    from pytest_endpoints_gitops.cleanup import Cleanup
    from pytest_endpoints_gitops.suite import Suite


def header(suite: Suite) -> list[str]:
    """Every setting with its source, a few to a line; those that decide what is called come first."""
    values = [f"{option.name.replace('_', ' ')} {_value(suite, option.name)}" for option in OPTIONS]
    values += ["prune (--endpoints-prune)"] if suite.settings.prune else []
    lines = [", ".join(values[start : start + _TO_A_LINE]) for start in range(0, len(values), _TO_A_LINE)]
    return [f"{'endpoints:' if number == 0 else '':<10} {line}" for number, line in enumerate(lines)]


def summarize(suite: Suite, cleanups: Sequence[Cleanup], reporter: pytest.TerminalReporter) -> None:
    """Show the summary, if there is anything to show: that of each lock, and one command for the run."""
    names_locks = [cleanup.lock for cleanup in cleanups] != [suite.run_lock]
    lines = [line for cleanup in cleanups for line in _lines(suite, cleanup, names_lock=names_locks)]
    if names_locks and suite.run_folder.spent:
        lines.append(f"{_many(suite.run_folder.spent, 'live call')} for all locks")
    if lines:
        from endpoints_gitops.model.printable import one_line

        command = _command(suite, cleanups)
        lines += [f"  next       {command}"] if command else []
        reporter.ensure_newline()
        reporter.section("endpoints", "-")
        for line in lines:
            reporter.write_line(one_line(line))
        for cleanup in cleanups:
            for line in _deprecated(suite, cleanup.lock):
                reporter.write_line(one_line(line), yellow=True)


def collected(suite: Suite, items: Iterable[pytest.Item]) -> list[str]:
    """The locks of the tests that use a fixture, where the header does not name them all."""
    locks = Counter(suite.lock_of(item.path) for item in items if item.get_closest_marker(MARKER) is not None)
    if set(locks) <= {suite.run_lock}:
        return []
    return [f"endpoints: {lock or 'no lock'}, {_many(count, 'test')}" for lock, count in sorted(locks.items())]


def deprecated_pins(lock: Lock, environments: Collection[str], today: date) -> Iterator[str]:
    """A line for each deprecated pin of these environments, with the days left."""
    for pin in lock.pins:
        if pin.deprecation is not None and pin.environment in environments:
            replacement = f"; use {pin.deprecation.replaced_by} instead" if pin.deprecation.replaced_by else ""
            yield f"  deprecated {pin.label} ({pin.environment}): {pin.deprecation.when(today)}{replacement}"


def _deprecated(suite: Suite, lock: str) -> Iterator[str]:
    environments = {call.environment for call in _calls_of(suite, lock)}
    if environments:
        yield from deprecated_pins(suite.project(lock).lock, environments, datetime.now(UTC).date())


def _calls_of(suite: Suite, lock: str) -> list[LoggedCall]:
    return [call for record in suite.records.values() for call in record.calls if call.lock == lock]


def show_files(reporter: pytest.TerminalReporter, changed: Collection[str], errors: Iterable[str]) -> None:
    """Whether evidence is of a dirty checkout, and which files could not be written."""
    from endpoints_gitops.model.printable import one_line

    if changed:
        some = ", ".join(sorted(changed)[:3])
        reporter.write_line(one_line(f"evidence: the checkout is dirty, {len(changed)} changed: {some}"))
    for error in errors:
        reporter.write_line(one_line(error), red=True)


def _value(suite: Suite, name: str) -> str:
    setting: Setting = getattr(suite.settings, name)
    if name in {"lock", "evidence", "report"} and setting.value:
        return str(Setting(_shown(Path(setting.value), suite.config.rootpath), setting.source))
    if name == "lock" and not setting.value:
        return "the nearest above each test (default)"
    if name == "environment" and not setting.value:
        return "of the configuration (default)"
    if name == "max_age" and setting.value == "0":
        return f"unlimited ({setting.source})"
    return str(setting)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _lines(suite: Suite, cleanup: Cleanup, *, names_lock: bool) -> Iterator[str]:
    sentence = _counts(suite, cleanup, names_lock=names_lock)
    lock = f"{cleanup.lock or 'no lock'}: " if names_lock else ""
    if sentence:
        yield f"{lock}{sentence}"
    if cleanup.error:
        yield f"{lock}recordings were not updated: {cleanup.error}"
    folder = f"{_shown(suite.recordings_path(cleanup.lock), suite.config.rootpath)}/" if names_lock else ""
    yield from (f"  unused     {folder}{file}" for file in cleanup.unused)
    yield from (f"  orphaned   {folder}{file}" for file in cleanup.orphaned)


def _counts(suite: Suite, cleanup: Cleanup, *, names_lock: bool) -> str:
    """One sentence; empty where there is nothing to count. Failures are those of tests that call with this lock, or
    with none. Live calls are those of the run, so that a sentence about one of several locks does not have them.
    """
    calls = _calls_of(suite, cleanup.lock)
    records = [record for record in suite.records.values() if _is_about(suite, record, cleanup.lock)]
    tests = sum(bool(record.calls or record.failures) for record in records)
    parts = [_calls(suite, calls, tests, names_lock=names_lock)] if calls else []
    failed = Counter(failure.kind for record in records for failure in record.failures)
    if failed:
        parts.append(f"failed: {', '.join(f'{count} {_words(kind)}' for kind, count in sorted(failed.items()))}")
    parts += _recordings(suite, cleanup)
    return "; ".join(parts)


def _is_about(suite: Suite, record: TestRecord, lock: str) -> bool:
    """Whether a test calls with this lock. One that fails without a call is counted with the lock of the run."""
    locks = {call.lock for call in record.calls}
    return lock in locks or (not locks and lock == suite.run_lock)


def _calls(suite: Suite, calls: list[LoggedCall], tests: int, *, names_lock: bool) -> str:
    versions = len({(call.environment, call.label) for call in calls})
    made = suite.run_folder.spent
    live = _many(made, "live call") if made else "nothing asked of the server"
    stubbed = sum(call.is_stubbed for call in calls)
    count = sum(call.fixture is None for call in calls) + len(set(_keys_of_shared(calls)))
    parts = [f"{_many(count, 'call')} of {_many(versions, 'pinned version')} in {_many(tests, 'test')}"]
    parts += [f"{stubbed} stubbed"] if stubbed else []
    return ", ".join(parts if made and names_lock else [*parts, live])


def _keys_of_shared(calls: list[LoggedCall]) -> Iterator[tuple[str, ...]]:
    """What tells calls of fixtures apart: each is in the log of every test that uses its fixture."""
    for call in calls:
        if call.fixture is not None:
            yield call.fixture, call.environment, call.label, repr(call.variables), call.file or ""


def _words(kind: str) -> str:
    """`NoRecording` is "no recording"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()


def _recordings(suite: Suite, cleanup: Cleanup) -> list[str]:
    groups = (
        (cleanup.replaced, "replaced"),
        (cleanup.kept_old, "not replaced: a test that asked did not pass"),
        (cleanup.unused, "unused"),
        (cleanup.orphaned, "orphaned"),
        (cleanup.pruned, "deleted"),
    )
    parts = [f"{_many(len(files), 'recording')} {word}" for files, word in groups if files]
    if suite.settings.prune and cleanup.partial:
        parts.append(f"no recording deleted: {cleanup.partial}")
    return parts


def _command(suite: Suite, cleanups: Iterable[Cleanup]) -> str | None:
    """The one that helps most of what failed, else the one that tidies up."""
    failures = [failure for record in suite.records.values() for failure in record.failures]
    kinds = {failure.kind for failure in failures}
    if "NoRecording" in kinds:
        return "pytest --endpoints=record"
    if {"StaleRecording", "ExpiredRecording", "DamagedRecording"} & kinds:
        return "pytest --endpoints=refresh"
    if failures:
        return failures[0].command_line
    has_unneeded = any(cleanup.unused or cleanup.orphaned for cleanup in cleanups)
    return "pytest --endpoints-prune" if has_unneeded else None


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
