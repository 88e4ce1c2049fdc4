"""The journal of a push in flight: what it set out to do and what of that is done, safe against a kill at any moment.

One JSON object a line, the first one whole before anything is sent, each later one on the disk before the push goes on.
Lines that wait at the same time go to the disk together.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically

SCHEMA_VERSION: Final = 1
_NAME: Final = "journal.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A push that did not come to its end.

    `plan` and `head` are what `begin` was given; `done` holds the entries that landed, each with its result,
    `uncertain` those that were sent and not heard of again, `left` those that were not sent.
    """

    plan: JsonObject
    done: Mapping[str, Json]
    uncertain: tuple[str, ...]
    left: tuple[str, ...]
    head: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether every entry is done and only the end was missed."""
        return not (self.uncertain or self.left)


@dataclass(slots=True, kw_only=True)
class Journal:
    """What a push in flight writes to, from several threads at once. Whoever has it holds `state.held(folder)`."""

    path: Path
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _syncing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _written: int = field(default=0, init=False, compare=False)
    _on_disk: int = field(default=0, init=False, compare=False)
    _failure: OSError | None = field(default=None, init=False, compare=False)

    def sending(self, entry: str) -> None:
        """An entry's request goes out now."""
        self._append({"sending": entry})

    def done(self, entry: str, result: Json = None) -> None:
        """An entry landed and was verified; `result` is kept for whoever reads the journal."""
        self._append({"done": entry, "result": result})

    def finish(self) -> None:
        """Nothing is left: the journal goes."""
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
        """Everything that is written by now goes to the disk, with the lines of those who wait for their turn."""
        written = self._written
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
        self._on_disk = written

    @contextmanager
    def _alone(self, lock: threading.Lock) -> Iterator[None]:
        """Where the disk failed once, it fails from then on: half a line must stay the last one, and the system tells
        of a lost page only once.
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
    """Start the journal of a push in a state folder, in place of any that is there. `plan` holds no secrets, `head` is
    the commit of HEAD.
    """
    first: JsonObject = {"schema_version": SCHEMA_VERSION, "plan": plan, "entries": list(entries), "head": head}
    path = folder / _NAME
    write_atomically(path, _line(first))
    return Journal(path=path)


def unfinished(folder: Path) -> Unfinished | None:
    """The push that was interrupted, None where there is none.

    Raises UsageError for a journal that cannot be read, or that another release wrote. Half a line at the end, where
    the machine stopped, is no mistake: what it would have said did not happen.
    """
    path = folder / _NAME
    try:
        content = read_regular_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    lines = content.split(b"\n")[:-1]
    records = [_record(path, number, line) for number, line in enumerate(lines, start=1)]
    return _replayed(path, records)


def forget(folder: Path) -> None:
    """Remove the journal, read or not."""
    (folder / _NAME).unlink(missing_ok=True)


def _replayed(path: Path, records: list[dict[str, Any]]) -> Unfinished | None:
    first, *events = records or [{}]
    plan, entries, head = first.get("plan"), first.get("entries"), first.get("head")
    if first.get("schema_version") != SCHEMA_VERSION:
        raise _unusable(path, "was written by another release of endpoints-gitops")
    if not isinstance(plan, dict) or not isinstance(entries, list) or not all(isinstance(one, str) for one in entries):
        raise _unusable(path, "does not begin with a plan")
    if any(event.get("finished") for event in events):
        return None
    done = {event["done"]: event.get("result") for event in events if "done" in event}
    sent = {event["sending"] for event in events if "sending" in event} - done.keys()
    return Unfinished(
        plan=plan,
        done=done,
        uncertain=tuple(entry for entry in entries if entry in sent),
        left=tuple(entry for entry in entries if entry not in sent and entry not in done),
        head=head if isinstance(head, str) else None,
    )


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"is damaged in line {number}") from error
    if not isinstance(value, dict) or not all(isinstance(value.get(key, ""), str) for key in ("done", "sending")):
        raise _unusable(path, f"is damaged in line {number}")
    return value


def _line(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _unusable(path: Path, what: str) -> UsageError:
    fix = f"endpoints-gitops plan shows what is left to do; remove {shown(path)} to go on"
    return UsageError(f"the journal {shown(path)} {what}", fix=fix, code="journal.unusable")
