"""The journal of a running push: its plan and its progress, which survive a kill at any time.

Each line is a JSON object. The first line is on disk before anything is sent, and each later one before the push
continues. Concurrent lines are synced to disk together.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.reader import Document, check_schema_version
from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically

SCHEMA_VERSION: Final = 1
_NAME: Final = "journal.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedPush:
    """A push that was interrupted.

    `plan` and `head` are the arguments of `begin`. `done` has the completed entries with their results, `uncertain`
    those that were sent without an answer, `left` those that were not sent.
    """

    plan: JsonObject
    done: Mapping[str, Json]
    uncertain: tuple[str, ...]
    left: tuple[str, ...]
    head: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether every entry is done and only the end of the journal is missing."""
        return not (self.uncertain or self.left)


@dataclass(slots=True, kw_only=True)
class Journal:
    """The journal of a push, safe for threads. Its owner holds `state.exclusive_lock(folder)`."""

    path: Path
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _syncing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _written: int = field(default=0, init=False, compare=False)
    _on_disk: int = field(default=0, init=False, compare=False)
    _failure: OSError | None = field(default=None, init=False, compare=False)

    def sending(self, entry: str) -> None:
        """Record that the request of an entry is about to be sent. Raises UsageError if the journal cannot be
        written."""
        self._append({"sending": entry})

    def done(self, entry: str, result: Json = None) -> None:
        """Record that an entry is done and verified, with its result.

        Raises UsageError if the journal cannot be written.
        """
        self._append({"done": entry, "result": result})

    def finish(self) -> None:
        """Remove the journal, because the push is complete. Raises UsageError if it cannot be written."""
        self._append({"finished": True})
        self.path.unlink(missing_ok=True)

    def _append(self, line: JsonObject) -> None:
        try:
            with self._alone(self._writing), self.path.open("ab") as file:
                file.write(_line(line))
                file.flush()
                self._written = mine = self._written + 1
            with self._alone(self._syncing):
                if self._on_disk < mine:
                    self._sync()
        except OSError as error:
            message = f"cannot write the journal {shown(self.path)}: {error.strerror or error}"
            raise UsageError(message, code="journal.unwritable") from error

    def _sync(self) -> None:
        """Sync all written lines to disk, including those of waiting threads."""
        written = self._written
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
        self._on_disk = written

    @contextmanager
    def _alone(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock. After one failed write every later one fails too: a partial line must stay the last one, and the
        system reports a lost page only once.
        """
        with lock:
            if self._failure is not None:
                raise self._failure
            try:
                yield
            except OSError as error:
                self._failure = error
                raise


def begin(folder: Path, *, plan: JsonObject, entries: Sequence[str], head: str | None = None) -> Journal:
    """Start the journal of a push in a state folder, replacing an earlier one. `plan` has no secrets; `head` is the
    commit of HEAD. Raises UsageError if the folder cannot be written.
    """
    first: JsonObject = {"schema_version": SCHEMA_VERSION, "plan": plan, "entries": list(entries), "head": head}
    path = folder / _NAME
    write_atomically(path, _line(first))
    return Journal(path=path)


def unfinished(folder: Path) -> InterruptedPush | None:
    """The interrupted push, or None.

    Raises UsageError for a journal that cannot be read, and InvalidInput for a damaged one or one of another release. A
    partial line at the end is ignored: its event did not happen.
    """
    path = folder / _NAME
    try:
        content = read_regular_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the journal {shown(path)} cannot be read: {error.strerror or error}"
        raise UsageError(message, fix=_fix(path), code="journal.unusable") from error
    try:
        return _replayed(path, content.split(b"\n")[:-1])
    except InvalidInput as error:
        message = f"the journal {shown(path)} cannot be used"
        raise InvalidInput(error.problems, message=message, fix=_fix(path)) from None


def forget(folder: Path) -> None:
    """Remove the journal, even a damaged one."""
    (folder / _NAME).unlink(missing_ok=True)


@dataclass(kw_only=True, eq=False, repr=False)
class _FirstLine:
    schema_version: int
    plan: JsonObject
    entries: tuple[str, ...]
    head: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class _Event:
    """A later line: an entry that was sent, one that is done, or the end."""

    sending: str | None = None
    done: str | None = None
    result: Json = None
    finished: bool = False


def _replayed(path: Path, lines: Sequence[bytes]) -> InterruptedPush | None:
    first_line = _document(path, 1, lines[0] if lines else b"")
    check_schema_version(first_line, SCHEMA_VERSION)
    first = first_line.read(_FirstLine)
    events = [_document(path, number, line).read(_Event) for number, line in enumerate(lines[1:], start=2)]
    if any(event.finished for event in events):
        return None
    done = {event.done: event.result for event in events if event.done is not None}
    sent = {event.sending for event in events if event.sending is not None} - done.keys()
    return InterruptedPush(
        plan=first.plan,
        done=done,
        uncertain=tuple(entry for entry in first.entries if entry in sent),
        left=tuple(entry for entry in first.entries if entry not in sent and entry not in done),
        head=first.head,
    )


def _document(path: Path, number: int, line: bytes) -> Document:
    return Document.of_json(line, shown(path), code="journal.unusable", fix=_fix(path), first_line=number)


def _line(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _fix(path: Path) -> str:
    return Advice(Command("plan"), f" shows the remaining changes; remove {shown(path)} to continue")
