"""The folder of recordings, beside the lock."""

from __future__ import annotations

import marshal
import re
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from endpoints_gitops.codecs.recording import Recording, read_recording
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.workspace.files import read_regular_file, rewrite_file, shown
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import PinnedCall
from pytest_endpoints_gitops.failures import DamagedRecording, ExpiredRecording, NoRecording, StaleRecording
from pytest_endpoints_gitops.fakes import now

_NEAREST: Final = 3
_SETTLED: Final = 1_000_000_000
"""Nanoseconds after which a file's times tell its next change from its last."""
_FILE: Final = re.compile(r"([^/]+/)?[^/]+/v[0-9]+/[a-z0-9-]+-[0-9a-f]{12}\.json")


class StoredRecording(NamedTuple):
    """A recording without its rows; those packed, so that each test gets rows of its own to change.

    `content` is the same for as long as the file is.
    """

    recording: Recording
    packed_rows: bytes
    variables: str
    content: Hashable

    @property
    def unpacked(self) -> Recording:
        """The recording with rows of its own."""
        return replace(self.recording, rows=marshal.loads(self.packed_rows))  # noqa: S302 - packed by this process


@dataclass(frozen=True, slots=True)
class Recordings:
    """`max_age` is in days; 0: recordings never expire."""

    folder: Path
    max_age: int = 0

    def path(self, file: str) -> Path:
        return self.folder / file

    def holds(self, call: PinnedCall) -> bool:
        return self.path(call.file).is_file()

    def choose(self, call: PinnedCall) -> PinnedCall:
        """The call whose recording answers this one: a page without its own is cut out of the recording of all rows."""
        is_in_whole = call.limit is not None and not self.holds(call) and self.holds(call.whole)
        return call.whole if is_in_whole else call

    def find(self, call: PinnedCall, test: RunningTest) -> StoredRecording:
        """The recording of a call.

        Raises NoRecording, DamagedRecording, StaleRecording or ExpiredRecording.
        """
        path = self.folder / call.file
        try:
            stored = _stored(path)
        except FileNotFoundError:
            raise self._missing(call, test) from None
        except (InvalidInput, OSError, ValueError) as error:  # ValueError: nested more deeply than can be packed
            raise _damaged(call, test, path, error) from None
        self._check(call, test, path, stored)
        return stored

    def store(self, file: str, content: bytes) -> None:
        rewrite_file(self.path(file), content, folder=self.folder.parent)

    def files(self) -> Iterator[str]:
        """Every recording in the folder, as `name/v3/…json` or `environment/name/v3/…json`, and no other file."""
        for path in sorted((*self.folder.glob("*/v*/*.json"), *self.folder.glob("*/*/v*/*.json"))):
            file = path.relative_to(self.folder).as_posix()
            if _FILE.fullmatch(file):
                yield file

    def remove(self, file: str) -> None:
        """Delete a recording, and the folders that it leaves empty."""
        path = self.path(file)
        path.unlink()
        for name in path.relative_to(self.folder).parents[:-1]:
            folder = self.folder / name
            if any(folder.iterdir()):
                return
            folder.rmdir()

    def version_with(self, name: str, column: str, *, other_than: int) -> int | None:
        """The newest other version that has a recorded answer with this column."""
        versions = set()
        for file in self.files():
            endpoint, version, _ = file.split("/")[-3:]
            if endpoint == name and int(version[1:]) != other_than:
                recording = _readable(self.path(file))
                if recording and column in (recording.columns or ()):
                    versions.add(recording.version)
        return max(versions, default=None)

    def _check(self, call: PinnedCall, test: RunningTest, path: Path, stored: StoredRecording) -> None:
        recording = stored.recording
        is_same = stored.variables == call.shown_text or _is_same(recording.variables, call)
        identity = (recording.endpoint, recording.version, recording.limit, recording.offset)
        if not is_same or identity != (call.pin.name, call.pin.version, call.limit, call.offset):
            raise DamagedRecording(
                call.endpoint,
                "the recording belongs to another call than its name says",
                ("expected", f"{call.label} {call.shown_text}"),
                ("received", f"{recording.endpoint}@{recording.version} {stored.variables}"),
                ("defined", shown(path)),
                command=test.command("refresh"),
            )
        is_same_version = None in (recording.version_id, call.pin.version_id) or (
            recording.version_id == call.pin.version_id
        )
        if recording.query_hash != call.query_hash or not is_same_version:
            raise _stale(call, test, path, recording)
        if self.max_age and (_today() - recording.recorded_on).days > self.max_age:
            raise self._expired(call, test, path, recording)

    def _expired(self, call: PinnedCall, test: RunningTest, path: Path, recording: Recording) -> ExpiredRecording:
        age = (_today() - recording.recorded_on).days
        return ExpiredRecording(
            call.endpoint,
            f"the recording is {age} days old; the maximum is {self.max_age}",
            ("received", f"recorded on {recording.recorded_on}"),
            ("defined", shown(path)),
            command=test.command("refresh"),
        )

    def _missing(self, call: PinnedCall, test: RunningTest) -> NoRecording:
        moved = self._of_other_versions(call)
        nearest = moved or "\n".join(self._nearest(call))
        return NoRecording(
            call.endpoint,
            "no recording since the pin moved" if moved else "no recording of this call",
            ("expected", f"{call.shown_text}     {shown(self.path(call.file))}"),
            ("received", nearest or "no recording of this version"),
            command=test.command("record"),
        )

    def _of_other_versions(self, call: PinnedCall) -> str:
        """Recordings of the same call of other versions, a line for each."""
        name = Path(call.file).name
        others = sorted(self.folder.glob(f"{call.folder}{call.pin.name}/v*/{name}"))
        return "\n".join(f"the same call of {path.parent.name}     {shown(path)}" for path in others)

    def _nearest(self, call: PinnedCall) -> Iterator[str]:
        """Recordings of the same version, those first that share most variables with the call."""
        nearest = []
        for path in sorted(self.path(call.file).parent.glob("*.json")):
            recording = _readable(path)
            if recording:
                variables = recording.variables
                shared = sum(call.shown.get(name) == value for name, value in variables.items())
                nearest.append((-shared, f"{canonical(variables)}     {shown(path)}"))
        yield from (text for _, text in sorted(nearest)[:_NEAREST])


def _stored(path: Path) -> StoredRecording:
    """What the file holds now. It is read once, until it changes; one that changed just now could change again within
    the same tick of the file system's clock, so that is read each time.

    Raises FileNotFoundError, and InvalidInput or ValueError for what is not a recording.
    """
    status = path.stat()
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    read = _read if time.time_ns() - changed > _SETTLED else _read.__wrapped__
    return read(str(path), (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=128)
def _read(path: str, version: tuple[int, ...]) -> StoredRecording:
    recording = read_recording(read_regular_file(Path(path)), path)
    rows: Any = recording.rows
    content = (path, *version)
    return StoredRecording(replace(recording, rows=()), marshal.dumps(rows), canonical(recording.variables), content)


def _damaged(
    call: PinnedCall, test: RunningTest, path: Path, error: InvalidInput | OSError | ValueError
) -> DamagedRecording:
    reason = error.problems[0].message if isinstance(error, InvalidInput) else str(error)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
    details = (("received", one_line(reason)), ("defined", shown(path)))
    return DamagedRecording(call.endpoint, "the recording cannot be read", *details, command=test.command("refresh"))


def _stale(call: PinnedCall, test: RunningTest, path: Path, recording: Recording) -> StaleRecording:
    expected = f"query {call.query_hash[:12]}, version id {call.pin.version_id or 'unknown'}     the lock"
    received = f"query {recording.query_hash[:12]}, version id {recording.version_id or 'unknown'}"
    return StaleRecording(
        call.endpoint,
        "the recording belongs to another query",
        ("expected", one_line(expected)),
        ("received", one_line(received)),
        ("defined", shown(path)),
        command=test.command("refresh"),
    )


def _readable(path: Path) -> Recording | None:
    """The recording, None where it is damaged: that is reported to the test that asks for it."""
    try:
        return read_recording(read_regular_file(path), str(path))
    except (InvalidInput, OSError):
        return None


def _is_same(recorded: JsonObject, call: PinnedCall) -> bool:
    """Whether the variables of a recording differ from those of a call in redacted values alone."""
    hidden = call.hidden
    known, sent = (
        {name: None if name in hidden else value for name, value in variables.items()}
        for variables in (recorded, call.shown)
    )
    return canonical(known) == canonical(sent)


def _today() -> date:
    return now().date()
