"""What a suite says about its calls, by overriding the fixture `endpoints_config`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

type Redaction = Mapping[str, Any]
"""By name of a column, key or variable: what replaces its value, or a function from the value to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsConfig:
    """What holds for every call of the tests that see the fixture.

    `environment`: whose pins are called; None leaves it to option and configuration. `redact`: by name, a constant or a
    function of the value. It covers columns, keys inside of values, and variables wherever they are written down, and
    is applied before an answer is stored and before a test sees it. `variables`: defaults for the calls of versions
    that declare them. `tables`: for mode `local`, a file for each table (see `serve --data`), or none for the sample
    product.
    """

    environment: str | None = None
    redact: Redaction = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()


DEFAULT: Final = EndpointsConfig()


def redacted(rows: list[Any], columns: tuple[str, ...] | None, redact: Redaction) -> list[Any]:
    """The rows with what `redact` names put in place: columns, and keys of objects inside of values, JSON texts too."""
    if not redact:
        return rows
    if columns is None:
        return [_of_value(row, redact) for row in rows]
    return [_of_row(row, columns, redact) for row in rows]


def redacted_variables(variables: Mapping[str, Any], redact: Redaction) -> dict[str, Any]:
    """The same of what a call sends, by the name of the variable."""
    redacted_value: dict[str, Any] = _of_value(dict(variables), redact) if redact else dict(variables)
    return redacted_value


def _of_row(row: Any, columns: tuple[str, ...], redact: Redaction) -> Any:  # noqa: ANN401 - a row that is none is said later
    if not isinstance(row, list):
        return row
    names = (*columns, *[""] * (len(row) - len(columns)))
    return [
        _put(redact[name], value) if name in redact else _of_value(value, redact)
        for name, value in zip(names, row, strict=False)
    ]


def _of_value(value: Any, redact: Redaction) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {
            key: _put(redact[key], item) if key in redact else _of_value(item, redact) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_of_value(item, redact) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        return _of_text(value, redact)
    return value


def _of_text(text: str, redact: Redaction) -> str:
    """Properties are read as JSON texts; a text in which nothing is redacted stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    changed = _of_value(value, redact)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _put(instead: Any | Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return instead(value) if callable(instead) else instead
