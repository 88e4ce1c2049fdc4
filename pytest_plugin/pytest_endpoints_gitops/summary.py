"""What a run says of itself: which settings hold and who said so, and at the end counts and one command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_endpoints_gitops.options import OPTIONS, Setting

_TO_A_LINE: Final = 4

if TYPE_CHECKING:
    from pytest_endpoints_gitops.facts import CallFact
    from pytest_endpoints_gitops.finishing import Ending
    from pytest_endpoints_gitops.session import Session


def header(session: Session) -> list[str]:
    """Every setting with its source, a few to a line; those that decide what is called come first."""
    said = [f"{option.name.replace('_', ' ')} {_value(session, option.name)}" for option in OPTIONS]
    said += ["prune (--endpoints-prune)"] if session.settings.prune else []
    lines = [", ".join(said[start : start + _TO_A_LINE]) for start in range(0, len(said), _TO_A_LINE)]
    return [f"{'endpoints:' if number == 0 else '':<10} {line}" for number, line in enumerate(lines)]


def summarize(session: Session, ending: Ending | None, reporter: pytest.TerminalReporter) -> None:
    """Nothing where no test called anything and nothing is to be said."""
    lines = [] if ending is None else list(_lines(session, ending))
    if lines:
        from endpoints_gitops.model.printable import one_line

        reporter.ensure_newline()
        reporter.section("endpoints", "-")
        for line in lines:
            reporter.write_line(one_line(line))
    for section in session.sections:
        section(reporter)


def _value(session: Session, name: str) -> str:
    setting: Setting = getattr(session.settings, name)
    if name in {"lock", "evidence", "report"} and setting.value:
        return str(Setting(_shown(Path(setting.value), session.config.rootpath), setting.source))
    if name == "environment" and not setting.value:
        return "of the configuration (default)"
    if name == "max_age" and setting.value == "0":
        return f"unlimited ({setting.source})"
    return str(setting)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _lines(session: Session, ending: Ending) -> Iterator[str]:
    sentence = _counts(session, ending)
    if sentence:
        yield sentence
    if ending.trouble:
        yield f"the recordings were not looked after: {ending.trouble}"
    yield from (f"  unused     {file}" for file in ending.unused)
    yield from (f"  orphaned   {file}" for file in ending.orphaned)
    command = _command(session, ending)
    if command:
        yield f"  next       {command}"


def _counts(session: Session, ending: Ending) -> str:
    """One sentence; empty where there is nothing to count."""
    calls = [call for facts in session.facts.values() for call in facts.calls]
    tests = sum(bool(facts.calls or facts.failures) for facts in session.facts.values())
    parts = [_calls(session, calls, tests)] if calls else []
    failed = Counter(failure["kind"] for facts in session.facts.values() for failure in facts.failures)
    if failed:
        parts.append(f"failed: {', '.join(f'{count} {_words(kind)}' for kind, count in sorted(failed.items()))}")
    parts += _recordings(session, ending)
    return "; ".join(parts)


def _calls(session: Session, calls: list[CallFact], tests: int) -> str:
    from pytest_endpoints_gitops.finishing import spent

    versions = len({(call.environment, call.label) for call in calls})
    made = spent(session.run_directory) if session.has_run_directory else 0
    asked = f"{_many(made, 'live call')}" if made else "nothing asked of the server"
    return f"{_many(len(calls), 'call')} of {_many(versions, 'pinned version')} in {_many(tests, 'test')}, {asked}"


def _words(kind: str) -> str:
    """`NoRecording` is "no recording"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()


def _recordings(session: Session, ending: Ending) -> list[str]:
    found = (
        (ending.replaced, "replaced"),
        (ending.kept_old, "left as it was: a test that asked did not pass"),
        (ending.unused, "unused"),
        (ending.orphaned, "orphaned"),
        (ending.pruned, "deleted"),
    )
    parts = [f"{_many(len(files), 'recording')} {word}" for files, word in found if files]
    if session.settings.prune and ending.partial:
        parts.append(f"no recording deleted: {ending.partial}")
    return parts


def _command(session: Session, ending: Ending) -> str | None:
    """The one that helps most of what failed, else the one that tidies up."""
    failures = [failure for facts in session.facts.values() for failure in facts.failures]
    kinds = [failure["kind"] for failure in failures]
    if "NoRecording" in kinds:
        return "pytest --endpoints=record"
    if {"StaleRecording", "ExpiredRecording", "DamagedRecording"} & {*kinds}:
        return "pytest --endpoints=refresh"
    if failures:
        return str(failures[0]["command"])
    return "pytest --endpoints-prune" if ending.unused or ending.orphaned else None


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
