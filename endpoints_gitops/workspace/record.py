"""The record: the state after the last pull or push of this checkout, with one entry for each endpoint name.

The record is optional: without it, git's history is used. So an unreadable record is a warning, not an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from endpoints_gitops.codecs.reader import Document, check_schema_version
from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically
from endpoints_gitops.workspace.state import exclusive_lock

SCHEMA_VERSION: Final = 1
_NAME: Final = "record.json"
_WAIT_SECONDS: Final = 10.0  # a save takes milliseconds, so a longer wait means that a process hangs


@dataclass(kw_only=True, eq=False, repr=False)
class _RecordFile:
    schema_version: int
    endpoints: Mapping[str, JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """The entries by endpoint name. `warning` says why an existing record cannot be used."""

    entries: Mapping[str, JsonObject] = field(default_factory=dict)
    warning: str | None = None


def load_record(folder: Path) -> StoredRecord:
    """The record in a state folder; empty if there is none, with a warning if it cannot be used."""
    path = folder / _NAME
    try:
        document = Document.of_json(read_regular_file(path), shown(path), code="record.damaged")
        check_schema_version(document, SCHEMA_VERSION)
        return StoredRecord(entries=document.read(_RecordFile).endpoints)
    except FileNotFoundError:
        return StoredRecord()
    except OSError as error:
        return _unused(f"{shown(path)}: cannot be read: {error.strerror or error}")
    except InvalidInput as error:
        return _unused(str(error))


def update_record(folder: Path, changes: Mapping[str, JsonObject | None]) -> None:
    """Save entries, and remove those that are None. Other entries stay, including those that another process saved.

    An unusable record is kept next to the new one as `record.json.unusable`. Raises UsageError if the state folder
    cannot be written, and Conflict if another process locks the record for too long.
    """
    path = folder / _NAME
    with exclusive_lock(folder, "record", wait_seconds=_WAIT_SECONDS):
        stored = load_record(folder)
        if stored.warning is not None:
            _set_aside(path)
        entries = {**stored.entries, **changes}
        kept = {name: entry for name, entry in sorted(entries.items()) if entry is not None}
        value = {"schema_version": SCHEMA_VERSION, "endpoints": kept}
        write_atomically(path, json.dumps(value, separators=(",", ":")).encode("ascii"))


def _unused(reason: str) -> StoredRecord:
    message = f"the record of earlier pulls and pushes cannot be used; git's history is used instead: {reason}"
    return StoredRecord(warning=message)


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(f"{path.name}.unusable"))
    except OSError as error:
        message = f"cannot replace the record {shown(path)}: {error.strerror or error}"
        raise UsageError(message, code="state.unwritable") from error
