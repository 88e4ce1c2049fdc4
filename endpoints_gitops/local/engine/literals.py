"""Quote values and names as SQL text. All text from callers goes through this module."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from endpoints_gitops.local.engine.refusals import QueryRefused

_ESCAPES: Final = {
    "\\": "\\\\",
    "'": "\\'",
    "`": "\\`",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
    "\a": "\\a",
    "\v": "\\v",
}
_IN_TEXT: Final = str.maketrans({key: value for key, value in _ESCAPES.items() if key != "`"})
_IN_NAME: Final = str.maketrans({key: value for key, value in _ESCAPES.items() if key != "'"})
_NUMBERS: Final = {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}
_INTEGER: Final = re.compile(r"-?[0-9]+")


def literal(value: Any) -> str:  # noqa: ANN401 - any JSON value may be sent for a variable
    """The ClickHouse literal of a value. Raises QueryRefused for a value without a literal (an object)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(literal(item) for item in value)}]"
    raise QueryRefused(f"A variable can not be an object: {value!r}")


def text(value: str) -> str:
    """A quoted text. Half of a surrogate pair cannot be sent to ClickHouse and is refused."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise QueryRefused("Half of a surrogate pair is not text")
    return f"'{value.translate(_IN_TEXT)}'"


def number(value: str) -> str:
    """A number that the parser returns as text because JSON cannot represent it."""
    if value in _NUMBERS:
        return _NUMBERS[value]
    if _INTEGER.fullmatch(value):
        return value
    raise QueryRefused(f"Not a number: {value}")


def timestamp(value: datetime) -> str:
    stamp = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"toDateTime64('{stamp}', 6, 'UTC')"


def identifier(name: str) -> str:
    """A column, table or alias, always in backticks, because a word can be one of ClickHouse's keywords."""
    if "%" in name:
        raise QueryRefused(f'The HogQL identifier "{name}" is not permitted as it contains the "%" character')
    if not name:
        raise QueryRefused("An identifier can not be empty")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise QueryRefused("Half of a surrogate pair is not text")
    return f"`{name.translate(_IN_NAME)}`"


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    written = repr(value)
    return written if any(mark in written for mark in ".e") else f"{written}.0"
