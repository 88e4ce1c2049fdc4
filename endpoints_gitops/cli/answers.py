"""What a run answered, printed: rows of a HogQL query, and what insights answer, which only sometimes is a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from endpoints_gitops.cli import rows as printed
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.printable import printable_json

if TYPE_CHECKING:
    from endpoints_gitops.operations.running import Rows


def document(rows: Rows, output: str, width: int | None = None) -> str:
    """The answer as `table`, `csv` or `json`; `width` is the terminal's, for a table.

    Raises UsageError for CSV of what is no table; as a table it is JSON.
    """
    if rows.columns is not None:
        return _written(rows.columns, rows.rows, output, width)
    found = _series(rows.rows) or _records(rows.rows)
    if output == "json" or (found is None and output == "table"):
        return printable_json(json.dumps(list(rows.rows), indent=2, ensure_ascii=False)) + "\n"
    if found is None:
        raise UsageError("this answer is no table", fix="add --output json", code="run.no-table")
    return _written(*found, output, width)


def _written(columns: Sequence[str], rows: Sequence[Sequence[Json]], output: str, width: int | None) -> str:
    if output == "table":
        return printed.table(columns, rows, width)
    return printed.comma_separated(columns, rows) if output == "csv" else printed.as_json(columns, rows)


def items(rows: Rows) -> tuple[JsonObject, ...]:
    """The rows as objects; where two columns share a name, columns and values apart, since an object would lose one."""
    if rows.columns is None:
        return tuple(row if isinstance(row, Mapping) else {"value": row} for row in rows.rows)
    if len(set(rows.columns)) == len(rows.columns):
        return tuple(dict(zip(rows.columns, row, strict=True)) for row in rows.rows)
    return tuple({"columns": rows.columns, "values": row} for row in rows.rows)


def _series(results: Sequence[Any]) -> tuple[list[str], list[list[Any]]] | None:
    """Trends and their like: a line for each day, a column for each series."""
    if not results or not all(isinstance(one, Mapping) for one in results):
        return None
    days = results[0].get("days") or results[0].get("labels")
    if not isinstance(days, list) or not all(_fits(one, days) for one in results):
        return None
    names = [str(one.get("label") or f"series {place}") for place, one in enumerate(results)]
    return ["day", *names], [[day, *(one["data"][place] for one in results)] for place, day in enumerate(days)]


def _fits(series: Mapping[str, Any], days: list[Any]) -> bool:
    return (series.get("days") or series.get("labels")) == days and _length(series.get("data")) == len(days)


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else -1


def _records(results: Sequence[Any]) -> tuple[list[str], list[list[Any]]] | None:
    """Steps of a funnel, paths: objects with the same keys, of which those with plain values are columns."""
    if not results or not all(isinstance(one, Mapping) for one in results):
        return None
    keys = [key for key in results[0] if all(key in one and _plain(one[key]) for one in results)]
    return (keys, [[one[key] for key in keys] for one in results]) if len(keys) > 1 else None


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
