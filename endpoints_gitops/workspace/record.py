"""The record: what the last pull or push of this checkout left, one entry for each endpoint name.

It is memory and no truth: without it history is asked instead, so one that cannot be used is said and does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically
from endpoints_gitops.workspace.state import held

SCHEMA_VERSION: Final = 1
_NAME: Final = "record.json"
_WAIT_SECONDS: Final = 10.0  # a save takes milliseconds; who waits longer waits for something that hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """The entries by endpoint name. `warning` says why there are none although a record is there."""

    entries: Mapping[str, JsonObject] = field(default_factory=dict)
    warning: str | None = None


def load_record(folder: Path) -> StoredRecord:
    """The record in a state folder; empty where there is none, and with a warning where it cannot be used."""
    path = folder / _NAME
    try:
        value = json.loads(read_regular_file(path))
    except FileNotFoundError:
        return StoredRecord()
    except OSError as error:
        return _without(path, f"cannot be read ({error.strerror or error})")
    except (ValueError, RecursionError):
        return _without(path, "is damaged")
    if not isinstance(value, dict) or not isinstance(value.get("schema_version"), int):
        return _without(path, "is damaged")
    if value["schema_version"] != SCHEMA_VERSION:
        return _without(path, "was written by another release of endpoints-gitops")
    return _entries(path, value.get("endpoints"))


def update_record(folder: Path, changes: Mapping[str, JsonObject | None]) -> None:
    """Save entries, None removing one; the others stay, also those that another process saved meanwhile.

    A record that cannot be used is kept beside the new one as `record.json.unusable`. Raises UsageError where the state
    folder cannot be written, and Conflict where another process holds the record for long.
    """
    path = folder / _NAME
    with held(folder, "record", wait_seconds=_WAIT_SECONDS):
        stored = load_record(folder)
        if stored.warning is not None:
            _set_aside(path)
        entries = {**stored.entries, **changes}
        kept = {name: entry for name, entry in sorted(entries.items()) if entry is not None}
        value = {"schema_version": SCHEMA_VERSION, "endpoints": kept}
        write_atomically(path, json.dumps(value, separators=(",", ":")).encode("ascii"))


def _entries(path: Path, value: Any) -> StoredRecord:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        return _without(path, "is damaged")
    return StoredRecord(entries=value)


def _without(path: Path, what: str) -> StoredRecord:
    return StoredRecord(
        warning=f"the record of earlier pulls and pushes {what} and is not used, git's history is: {shown(path)}"
    )


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(f"{path.name}.unusable"))
    except OSError as error:
        message = f"cannot replace the record {shown(path)}: {error.strerror or error}"
        raise UsageError(message, code="state.unwritable") from error
