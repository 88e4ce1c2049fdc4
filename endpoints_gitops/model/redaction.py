"""Replace private values by the names of columns, keys and variables: in recordings, and in copied events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

type Redaction = Mapping[str, Any]
"""By name of a column, key or variable: what replaces its value, or a function from the value to that."""


def redacted(rows: list[Any], columns: tuple[str, ...] | None, redact: Redaction) -> list[Any]:
    """The rows with what `redact` names put in place: columns, and keys of objects inside of values, JSON texts too."""
    if not redact:
        return rows
    if columns is None:
        return [redacted_value(row, redact) for row in rows]
    return [_of_row(row, columns, redact) for row in rows]


def redacted_value(value: Any, redact: Redaction) -> Any:  # noqa: ANN401 - any JSON value
    """The same of one value: what `redact` names is replaced in the objects inside of it."""
    if isinstance(value, dict):
        return {
            key: _put(redact[key], item) if key in redact else redacted_value(item, redact)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted_value(item, redact) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        return _of_text(value, redact)
    return value


def redacted_variables(variables: Mapping[str, Any], redact: Redaction) -> dict[str, Any]:
    """The same of what a call sends, by the name of the variable."""
    shown: dict[str, Any] = redacted_value(dict(variables), redact) if redact else dict(variables)
    return shown


def _of_row(row: Any, columns: tuple[str, ...], redact: Redaction) -> Any:  # noqa: ANN401 - a row that is none is said later
    if not isinstance(row, list):
        return row
    names = (*columns, *[""] * (len(row) - len(columns)))
    return [
        _put(redact[name], value) if name in redact else redacted_value(value, redact)
        for name, value in zip(names, row, strict=False)
    ]


def _of_text(text: str, redact: Redaction) -> str:
    """Properties are read as JSON texts; a text in which nothing is redacted stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    changed = redacted_value(value, redact)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _put(instead: Any | Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return instead(value) if callable(instead) else instead
