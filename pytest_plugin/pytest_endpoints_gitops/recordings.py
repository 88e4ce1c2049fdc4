"""The folder of recordings, beside the lock."""

from __future__ import annotations

import marshal
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from endpoints_gitops.codecs.recording import Recording, read_recording
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.workspace.files import read_regular_file, rewrite_file, shown
from pytest_endpoints_gitops.failures import (
    DamagedRecording,
    Detail,
    ExpiredRecording,
    NoRecording,
    StaleRecording,
)
from pytest_endpoints_gitops.real import now
from pytest_endpoints_gitops.values import Call

_NEAREST: Final = 3
_SETTLED: Final = 1_000_000_000
"""Nanoseconds after which a file's times tell its next change from its last."""
_FILE: Final = re.compile(r"([^/]+/)?[^/]+/v[0-9]+/[a-z0-9-]+-[0-9a-f]{12}\.json")


def folder_of(environment: str) -> str:
    """Where the recordings of an environment are, where the lock pins several."""
    return f"{quote(environment, safe='').replace('.', '%2E')}/"


@dataclass(frozen=True, slots=True)
class Recordings:
    """`max_age` in days; 0: recordings never expire."""

    folder: Path
    max_age: int = 0

    def path(self, file: str) -> Path:
        return self.folder / file

    def holds(self, call: Call) -> bool:
        return self.path(call.file).is_file()

    def choose(self, call: Call) -> Call:
        """The call whose recording answers this one: a page without its own is cut out of the recording of all rows."""
        is_in_whole = call.limit is not None and not self.holds(call) and self.holds(call.whole)
        return call.whole if is_in_whole else call

    def find(self, call: Call) -> Recording:
        """The recording of a call.

        Raises NoRecording, DamagedRecording, StaleRecording or ExpiredRecording.
        """
        path = self.path(call.file)
        try:
            kept = _kept(path)
        except FileNotFoundError:
            raise self._missing(call) from None
        except (InvalidInput, OSError, ValueError) as error:  # ValueError: nested more deeply than can be packed
            raise _damaged(call, path, error) from None
        self._check(call, path, kept)
        return replace(kept.recording, rows=marshal.loads(kept.rows))  # noqa: S302 - packed by this process

    def store(self, file: str, content: bytes) -> None:
        rewrite_file(self.path(file), content, folder=self.folder.parent)

    def files(self) -> Iterator[str]:
        """Every recording in the folder, as `name/v3/…json` or `environment/name/v3/…json`, and no other file."""
        for path in sorted((*self.folder.glob("*/v*/*.json"), *self.folder.glob("*/*/v*/*.json"))):
            file = path.relative_to(self.folder).as_posix()
            if _FILE.fullmatch(file):
                yield file

    def remove(self, file: str) -> None:
        """Delete one, and the folders that it leaves empty."""
        path = self.path(file)
        path.unlink()
        for folder in path.relative_to(self.folder).parents[:-1]:
            folder = self.folder / folder
            if any(folder.iterdir()):
                return
            folder.rmdir()

    def version_with(self, name: str, column: str, *, other_than: int) -> int | None:
        """The newest other version of which an answer with this column was recorded."""
        found = set()
        for file in self.files():
            endpoint, version, _ = file.split("/")[-3:]
            if endpoint == name and int(version[1:]) != other_than:
                recording = _readable(self.path(file))
                if recording and column in (recording.columns or ()):
                    found.add(recording.version)
        return max(found, default=None)

    def _check(self, call: Call, path: Path, kept: _Kept) -> None:
        recording = kept.recording
        is_same = kept.variables == canonical(call.shown) or _is_same(recording.variables, call)
        said = (recording.endpoint, recording.version, recording.limit, recording.offset)
        if not is_same or said != (call.pin.name, call.pin.version, call.limit, call.offset):
            verdict = f"{call.label}: the recording is of another call than its name says"
            expected = f"{call.label} {canonical(call.shown)}"
            received = f"{recording.endpoint}@{recording.version} {kept.variables}"
            details = (("expected", expected), ("received", received), ("defined", shown(path)))
            raise DamagedRecording(verdict, *details, command=call.command("refresh"))
        if recording.query_hash != call.query_hash or _is_another(recording.version_id, call.pin.version_id):
            raise _stale(call, path, recording)
        if self.max_age and (_today() - recording.recorded_on).days > self.max_age:
            raise self._expired(call, path, recording)

    def _expired(self, call: Call, path: Path, recording: Recording) -> ExpiredRecording:
        age = (_today() - recording.recorded_on).days
        return ExpiredRecording(
            f"{call.label}: the recording is {age} days old, and {self.max_age} is the most",
            ("received", f"recorded on {recording.recorded_on}"),
            ("defined", shown(path)),
            command=call.command("refresh"),
        )

    def _missing(self, call: Call) -> NoRecording:
        moved = self._only_moved(call)
        verdict = f"{call.label}: no recording" + (" since the pin moved" if moved else " of this call")
        return NoRecording(
            verdict,
            ("expected", f"{canonical(call.shown)}     {shown(self.path(call.file))}"),
            ("received", moved or "\n".join(self._nearest(call)) or "nothing is recorded of this version"),
            command=call.command("record"),
        )

    def _only_moved(self, call: Call) -> str:
        """The same call recorded of another version: only the pin is new."""
        name = Path(call.file).name
        others = sorted(self.folder.glob(f"{call.folder}{call.pin.name}/v*/{name}"))
        return "\n".join(f"the same call of {path.parent.name}     {shown(path)}" for path in others)

    def _nearest(self, call: Call) -> Iterator[str]:
        """Recordings of the same version, those first that share most variables with the call."""
        found = []
        for path in sorted(self.path(call.file).parent.glob("*.json")):
            recording = _readable(path)
            if recording:
                variables = recording.variables
                shared = sum(call.shown.get(name) == value for name, value in variables.items())
                found.append((-shared, f"{canonical(variables)}     {shown(path)}"))
        yield from (text for _, text in sorted(found)[:_NEAREST])


class _Kept(NamedTuple):
    """A recording without its rows; those packed, so that each test gets rows of its own to change."""

    recording: Recording
    rows: bytes
    variables: str


def _kept(path: Path) -> _Kept:
    """What the file holds now. It is read once, until it changes; one that changed just now could change again within
    the same tick of the file system's clock, so that is read each time.

    Raises FileNotFoundError, and InvalidInput or ValueError for what is no recording.
    """
    found = path.stat()
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    read = _read if time.time_ns() - changed > _SETTLED else _read.__wrapped__
    return read(str(path), (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=128)
def _read(path: str, _version: tuple[int, ...]) -> _Kept:
    recording = read_recording(read_regular_file(Path(path)), path)
    rows: Any = recording.rows
    return _Kept(replace(recording, rows=()), marshal.dumps(rows), canonical(recording.variables))


def _damaged(call: Call, path: Path, error: InvalidInput | OSError | ValueError) -> DamagedRecording:
    said = error.problems[0].message if isinstance(error, InvalidInput) else str(error)
    if isinstance(error, OSError):
        said = error.strerror or str(error)
    verdict = f"{call.label}: the recording cannot be read"
    details = (("received", one_line(said)), ("defined", shown(path)))
    return DamagedRecording(verdict, *details, command=call.command("refresh"))


def _stale(call: Call, path: Path, recording: Recording) -> StaleRecording:
    pin = call.pin
    details: tuple[Detail, ...] = (
        ("expected", one_line(f"query {call.query_hash[:12]}, version id {pin.version_id or 'unknown'}     the lock")),
        ("received", one_line(f"query {recording.query_hash[:12]}, version id {recording.version_id or 'unknown'}")),
        ("defined", shown(path)),
    )
    return StaleRecording(f"{call.label}: the recording is of another query", *details, command=call.command("refresh"))


def _readable(path: Path) -> Recording | None:
    """For looking around: a file that is damaged is told to the test that asks for it."""
    try:
        return read_recording(read_regular_file(path), str(path))
    except (InvalidInput, OSError):
        return None


def _is_same(recorded: JsonObject, call: Call) -> bool:
    """Whether the variables of a recording differ from those of a call in redacted values alone."""
    known, sent = (
        {name: None if name in call.hidden else value for name, value in variables.items()}
        for variables in (recorded, call.shown)
    )
    return canonical(known) == canonical(sent)


def _is_another(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _today() -> date:
    return now().date()
