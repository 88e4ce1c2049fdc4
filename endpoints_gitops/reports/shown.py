"""An outcome whose texts are changed before a report shows them: redacted, with the options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from endpoints_gitops.errors import Location
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.outcome import Outcome


def with_texts(outcome: Outcome, change: Callable[[str], str], place: Callable[[str], str]) -> Outcome:
    """The outcome with `change` applied to every text, and `place` to the path of every location.

    The `where` of an error that names a file becomes a `Location`. Fingerprints stay those of the outcome.
    """

    def changed(value: Any) -> Any:  # noqa: ANN401 - any part of an outcome
        if isinstance(value, Location):
            return Location(place(change(value.path)), value.line, value.column)
        if isinstance(value, str) and not isinstance(value, Enum):
            return change(value)
        if isinstance(value, Mapping):
            return {changed(key): changed(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(changed(item) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            return _changed_fields(value)
        return value

    def _changed_fields(value: Any) -> Any:  # noqa: ANN401 - an instance of any dataclass
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(parts.get("where"), str):
            parts["where"] = _location(parts["where"])
        shown = replace(value, **{name: changed(part) for name, part in parts.items()})
        if isinstance(value, Finding):
            shown.__dict__["fingerprint"] = value.fingerprint
        return shown

    result: Outcome = changed(outcome)
    return result


def _location(where: str) -> str:
    """A Location where the text names a file that exists; else the text, which may name a request or an option."""
    if isinstance(where, Location):
        return where
    location = Location.of(where)
    try:
        return location if location.path and Path(location.path).is_file() else where
    except (OSError, ValueError):
        return where
