"""Where answers come from. No mode's meaning depends on whether a file exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.values import Answer, Call, answer_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App


class Mode(Protocol):
    """`is_immediate`: answers without waiting, so that an event loop may ask it directly. `uses_recordings`: the calls
    of a test in this mode need their recordings.
    """

    name: str
    is_immediate: bool
    uses_recordings: bool

    def answer(self, call: Call) -> Answer:
        """Raises a Failure where there is none."""


def mode_named(name: str, app: App) -> Mode:
    if name == "local":
        from pytest_endpoints_gitops.local_mode import Local

        local: Mode = Local(app)
        return local
    kinds: dict[str, Callable[[App], Mode]] = {"replay": Replay, "record": Record, "refresh": Refresh, "live": Live}
    return kinds[name](app)


@dataclass(slots=True)
class Replay:
    """Recordings, and nothing else: no transport exists."""

    app: App
    name: str = "replay"
    is_immediate: bool = True
    uses_recordings: bool = True

    def answer(self, call: Call) -> Answer:
        recordings = self.app.recordings
        chosen = recordings.choose(call)
        recording = recordings.find(chosen)
        path, day = recordings.path(chosen.file), recording.recorded_on
        return answer_of(call, recording, lambda: f"{shown(path)}, {day}")


@dataclass(slots=True)
class Record:
    """Recordings; what is missing is called, and added."""

    app: App
    name: str = "record"
    is_immediate: bool = False
    uses_recordings: bool = True

    def answer(self, call: Call) -> Answer:
        recordings = self.app.recordings
        if not recordings.holds(recordings.choose(call)):
            recordings.store(call.file, self.app.live.recorded(call))
        return self.app.mode("replay").answer(call)


@dataclass(slots=True)
class Refresh:
    """Everything that is asked for is called; the controller replaces recordings at the end (`refreshing`)."""

    app: App
    name: str = "refresh"
    is_immediate: bool = False
    uses_recordings: bool = True

    def answer(self, call: Call) -> Answer:
        return self.app.live.answer(call)


@dataclass(slots=True)
class Live:
    """The server, once for each distinct call of this run. Nothing is written."""

    app: App
    name: str = "live"
    is_immediate: bool = False
    uses_recordings: bool = False

    def answer(self, call: Call) -> Answer:
        return self.app.live.answer(call)
