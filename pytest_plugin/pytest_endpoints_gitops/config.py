"""What a suite says about its calls, by overriding the fixture `endpoints_config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

type Redaction = Mapping[str, Any]
"""By column: what stands there instead, or a function from the value to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsConfig:
    """What holds for every call of the tests that see the fixture.

    `environment`: whose pins are called; None leaves it to option and configuration. `redact`: by column, a constant or
    a function of the value, asked once, before an answer is stored and before a test sees it. `variables`: defaults for
    the calls of versions that declare them. `tables`: for mode `local`, a file for each table (see `serve --data`), or
    none for the sample product.
    """

    environment: str | None = None
    redact: Redaction = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()


DEFAULT: Final = EndpointsConfig()


def redacted(rows: list[Any], columns: tuple[str, ...] | None, redact: Redaction) -> list[Any]:
    """The rows with what `redact` names put in place; of insights, the keys of each result."""
    if not redact:
        return rows
    if columns is None:
        return [_of_object(row, redact) for row in rows]
    places = [(place, redact[name]) for place, name in enumerate(columns) if name in redact]
    return [_of_row(row, places) for row in rows]


def _of_row(row: Any, places: list[tuple[int, Any]]) -> Any:  # noqa: ANN401 - a row that is none is said later
    if not isinstance(row, list):
        return row
    changed = list(row)
    for place, instead in places:
        if place < len(changed):
            changed[place] = _put(instead, changed[place])
    return changed


def _of_object(row: Any, redact: Redaction) -> Any:  # noqa: ANN401 - a result of any shape
    if not isinstance(row, dict):
        return row
    return {key: _put(redact[key], value) if key in redact else value for key, value in row.items()}


def _put(instead: Any | Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return instead(value) if callable(instead) else instead
