"""The end of a run, in the controller: recordings are replaced, and it is judged which were not needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.errors import EndpointsError
from pytest_endpoints_gitops.failures import NotSetUp
from pytest_endpoints_gitops.options import WITHOUT_RECORDINGS
from pytest_endpoints_gitops.recordings import Recordings, folder_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.session import Session


@dataclass(slots=True, kw_only=True)
class Ending:
    """What became of the recordings. `unused` and `orphaned` are empty, and `partial` says why, where a run judges
    nothing.
    """

    replaced: list[str] = field(default_factory=list)
    kept_old: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    partial: str | None = None
    trouble: str | None = None


def finish(session: Session) -> Ending:
    """Nothing is written for a test that failed, and nothing deleted by a run that was not full."""
    ending = Ending(partial=session.run.why_partial() or session.run.unsure or _asks_for_none(session))
    if not session.settings.lock.value:
        return ending
    folder = session.recordings_folder
    recordings = Recordings(folder)
    try:
        _replace(session, recordings, ending)
        if folder.is_dir() and ending.partial is None:
            _judge(session, recordings, ending)
            _prune(session, recordings, ending)
    except (EndpointsError, NotSetUp, OSError) as error:
        ending.trouble = str(error).partition("\n")[0]
    return ending


def _asks_for_none(session: Session) -> str | None:
    """In a mode without recordings nothing asks for one, which says nothing of whether replaying needs it."""
    mode = session.settings.mode.value
    return f"mode {mode} asks for none" if mode in WITHOUT_RECORDINGS else None


def _replace(session: Session, recordings: Recordings, ending: Ending) -> None:
    """Those that a test asked for that passed, and none that failed."""
    waiting: dict[str, str] = {}
    failed: set[str] = set()
    passed: set[str] = set()
    for facts in session.facts.values():
        for call in facts.calls:
            if call.kept is not None and call.file is not None:
                waiting.setdefault(call.file, call.kept)
                outcomes = {"passed": passed, "failed": failed, "error": failed}
                outcomes.get(facts.outcome, set()).add(call.file)
    for file, kept in sorted(waiting.items()):
        answer = session.run_directory / kept
        if file in passed - failed and answer.is_file():
            recordings.store(file, answer.read_bytes())
            ending.replaced.append(file)
        else:
            ending.kept_old.append(file)


def _judge(session: Session, recordings: Recordings, ending: Ending) -> None:
    calls = [call for facts in session.facts.values() for call in facts.calls]
    asked = {call.file for call in calls if call.file is not None}
    ran = {call.environment for call in calls}
    pins = session.lock.pins
    several = len({pin.environment for pin in pins}) > 1
    pinned = {f"{folder_of(pin.environment) if several else ''}{pin.name}/v{pin.version}": pin for pin in pins}
    for file in recordings.files():
        pin = pinned.get(file.rpartition("/")[0])
        if pin is None:
            ending.orphaned.append(file)
        elif file not in asked and pin.environment in ran:
            ending.unused.append(file)


def _prune(session: Session, recordings: Recordings, ending: Ending) -> None:
    if not session.settings.prune:
        return
    for file in (*ending.unused, *ending.orphaned):
        recordings.remove(file)
        ending.pruned.append(file)
    ending.unused, ending.orphaned = [], []


def spent(run_directory: Path) -> int:
    """How many live calls this run made."""
    counted = run_directory / "spent"
    return int(counted.read_text()) if counted.is_file() else 0
