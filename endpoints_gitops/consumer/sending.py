"""Convert values of variables from Python to JSON, and check their types."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import PinnedVariable

_LARGEST: Final = sys.float_info.max


class Unsendable(Exception):
    """A value that JSON cannot represent."""


def as_json(value: object) -> Json:
    """A value as JSON: dates as ISO 8601 text, decimals as numbers. Raises Unsendable."""
    if isinstance(value, int) and not isinstance(value, bool) and not abs(value) <= _LARGEST:
        raise Unsendable("an integer of more than 308 digits cannot be sent as a JSON number")
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, Enum) else value
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            written: Json = write(value)
            return written
    return _refuse(value)


def mistake_of(variable: PinnedVariable, sent: Json, value: object, *, is_insight: bool) -> str | None:
    """Why a value does not fit a variable, or None if it does. `sent` is the value as JSON."""
    if fits(variable, sent, is_insight=is_insight):
        return None
    shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}…"
    return f"variable {variable.name!r} must be {_TYPES.get(variable.type, variable.type)}, not {shown}"


_TYPES: Final = {
    "String": "a string (String)",
    "Number": "a number (Number)",
    "Boolean": "true or false (Boolean)",
    "List": "a string or a list of strings (List)",
    "Date": "a date, or an ISO 8601 string such as 2026-07-01 (Date)",
}


def fits(variable: PinnedVariable, value: Json, *, is_insight: bool, is_item: bool = False) -> bool:
    """Whether a value as JSON fits a variable. Null fits any. Lists are accepted for lists, for variables whose default
    is a list, and for insights."""
    if value is None and not is_item:
        return True
    if isinstance(value, list) and not is_item:
        takes_lists = variable.type == "List" or isinstance(variable.default, list | tuple) or is_insight
        return takes_lists and all(fits(variable, item, is_insight=is_insight, is_item=True) for item in value)
    if variable.type == "Number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if variable.type == "Boolean":
        return isinstance(value, bool)
    if variable.type in ("String", "List"):
        return isinstance(value, str)
    if variable.type == "Date":
        return isinstance(value, str) and (is_insight or _has_free_form(variable) or _is_date(value))
    return True


def _has_free_form(variable: PinnedVariable) -> bool:
    """Whether the query accepts dates in a form other than ISO 8601, as its default shows."""
    return isinstance(variable.default, str) and bool(variable.default) and not _is_date(variable.default)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number(value: float) -> Json:
    if not abs(value) <= _LARGEST:
        raise Unsendable(f"{value} is not a JSON number")
    return value


def _exact(value: Decimal) -> Json:
    """A decimal as a JSON number. The server reads it as a float, so a decimal that a float cannot represent is
    refused."""
    if not (value.is_finite() and abs(value) <= _LARGEST):
        raise Unsendable(f"{value} is not a JSON number")
    if value == value.to_integral_value():
        return int(value)
    if Decimal(repr(float(value))) != value:
        raise Unsendable(f"Decimal('{value}') has more digits than a JSON number keeps")
    return float(value)


def _object(value: Mapping[object, object]) -> Json:
    return {str(key): as_json(item) for key, item in value.items()}


def _refuse(value: object) -> Json:
    raise Unsendable(f"{type(value).__name__} cannot be sent as JSON")


_WRITERS: Final[tuple[tuple[Any, Callable[[Any], Json]], ...]] = (
    (Enum, lambda value: as_json(value.value)),
    (float, _number),
    (Decimal, _exact),
    (date | datetime | time, lambda value: value.isoformat()),
    (UUID, str),
    (Mapping, _object),
    (Set, lambda value: sorted((as_json(item) for item in value), key=repr)),
    (bytes | bytearray, _refuse),
    (Sequence, lambda value: [as_json(item) for item in value]),
)
