"""The values of variables as Python has them, and as JSON has them."""

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
    """A value that JSON has no word for."""


def as_json(value: object) -> Json:
    """A value as JSON sends it: dates in ISO's form, decimals as the number they are. Raises Unsendable."""
    if isinstance(value, int) and not isinstance(value, bool) and not abs(value) <= _LARGEST:
        raise Unsendable("a whole number of more than 308 digits is no number that JSON has")
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, Enum) else value
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            written: Json = write(value)
            return written
    return _refuse(value)


def mistake_of(variable: PinnedVariable, sent: Json, given: object, *, is_insight: bool) -> str | None:
    """What is wrong with a value for this variable, in words; None where nothing is. `sent` is it as JSON."""
    if sent is None or _fits(variable, sent, is_insight=is_insight):
        return None
    shown = repr(given) if len(repr(given)) < 80 else f"{repr(given)[:80]}…"
    return f"variable {variable.name!r} is {_TYPES.get(variable.type, variable.type)}, and was given {shown}"


_TYPES: Final = {
    "String": "a text (String)",
    "Number": "a number (Number)",
    "Boolean": "true or false (Boolean)",
    "List": "a text or a list of texts (List)",
    "Date": "a date, or a text in ISO's form such as 2026-07-01 (Date)",
}


def _fits(variable: PinnedVariable, value: Json, *, is_insight: bool, is_item: bool = False) -> bool:
    """A list stands for any of its items: where a default is one, and for what an insight is broken down by."""
    if isinstance(value, list) and not is_item:
        takes_lists = variable.type == "List" or isinstance(variable.default, list | tuple) or is_insight
        return takes_lists and all(_fits(variable, item, is_insight=is_insight, is_item=True) for item in value)
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
    """Whether the query understands more than ISO's dates, as its own default shows."""
    return isinstance(variable.default, str) and bool(variable.default) and not _is_date(variable.default)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number(value: float) -> Json:
    if not abs(value) <= _LARGEST:
        raise Unsendable(f"{value} is no number that JSON has")
    return value


def _exact(value: Decimal) -> Json:
    """JSON's numbers arrive as floats there, so only a decimal that is the shortest text of one is the same there."""
    if not (value.is_finite() and abs(value) <= _LARGEST):
        raise Unsendable(f"{value} is no number that JSON has")
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
