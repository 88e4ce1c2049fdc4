"""The rows of a run as a table for people, CSV for spreadsheets or JSON for programs.

A HogQL query returns rows; the result of an insight is a table only if its objects fit into one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from unicodedata import combining, east_asian_width

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.printable import one_line, printable_json

if TYPE_CHECKING:
    from endpoints_gitops.operations.run import RunResult

_GAP: Final = 2
_NARROWEST: Final = 8
_BREAKDOWNS: Final = ("breakdown", "breakdown_value")
_LEFT_OUT: Final = "… {} more"


def document(rows: RunResult, output: str, width: int | None = None) -> str:
    """The result as `table`, `csv` or `json`; `width` is the terminal's, for a table.

    Raises UsageError for CSV for a result that is not a table; `table` prints that as JSON.
    """
    if rows.columns is not None:
        return _written(rows.columns, rows.rows, output, width)
    table_like = _table_of_insight(rows.rows)
    if output == "json" or (table_like is None and output == "table"):
        return printable_json(json.dumps(list(rows.rows), indent=2, ensure_ascii=False)) + "\n"
    if table_like is None:
        raise UsageError("this result is not a table", fix="add --output json", code="run.no-table")
    return _written(*table_like, output, width)


def _written(columns: Sequence[str], rows: Sequence[Sequence[Json]], output: str, width: int | None) -> str:
    if output == "table":
        return table(columns, rows, width)
    return comma_separated(columns, rows) if output == "csv" else as_json(columns, rows)


def items(rows: RunResult) -> tuple[JsonObject, ...]:
    """The rows as objects; if two columns share a name, as lists of columns and values."""
    if rows.columns is None:
        return tuple(row if isinstance(row, Mapping) else {"value": row} for row in rows.rows)
    if len(set(rows.columns)) == len(rows.columns):
        return tuple(dict(zip(rows.columns, row, strict=True)) for row in rows.rows)
    return tuple({"columns": rows.columns, "values": row} for row in rows.rows)


def _table_of_insight(results: Sequence[Any]) -> tuple[list[str], list[list[Any]]] | None:
    """The columns and rows of an insight with all its numbers; None if they do not fit into a table."""
    if not results or not all(isinstance(result, Mapping) for result in results):
        return None
    if all("values" in result for result in results):
        return _retention(results)
    return _series(results) or _records(results)


def _series(results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]] | None:
    """Trends and similar results: a row for each day, a column for each series. Series of other days, such as those of
    the previous period, follow a column with theirs."""
    days: list[Any] = []
    names: list[str] = []
    columns: list[list[Any]] = []
    for index, result in enumerate(results):
        own, data = result.get("days") or result.get("labels"), result.get("data")
        if not isinstance(own, list) or not isinstance(data, list) or len(own) != len(data):
            return None
        if own != days:
            names.append("day")
            columns.append(own)
            days = own
        names.append(_series_name(result, index))
        columns.append(data)
    if len({len(column) for column in columns}) > 1:
        return None
    return names, [list(row) for row in zip(*columns, strict=True)]


def _series_name(series: Mapping[str, Any], index: int) -> str:
    """The label, else the breakdown value, as the series of funnels have no label."""
    value = series.get("breakdown_value")
    values = [str(part) for part in (value if isinstance(value, list) else [value]) if part is not None]
    name = str(series.get("label") or "::".join(values) or f"series {index}")
    return f"{name} ({series['compare_label']})" if series.get("compare_label") else name


def _retention(results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]] | None:
    """Retention: a row for each cohort, a column for the count of each interval, and one for its sum or average if the
    insight has them."""
    heads = [{key: value for key, value in result.items() if key != "values"} for result in results]
    cells = [_numbers_of_intervals(result["values"]) for result in results]
    first, first_cells = heads[0], cells[0]
    if first_cells is None or any(head.keys() != first.keys() for head in heads):
        return None
    rows = [[*head.values(), *row.values()] for head, row in zip(heads, cells, strict=True) if row is not None]
    if any(row is None or row.keys() != first_cells.keys() for row in cells):
        return None
    return ["cohort" if key == "label" else key for key in first] + list(first_cells), rows


def _numbers_of_intervals(values: Any) -> dict[str, Any] | None:  # noqa: ANN401 - part of an answer
    if not isinstance(values, list) or not all(isinstance(value, Mapping) and "label" in value for value in values):
        return None
    return {
        str(value["label"]) if key == "count" else f"{value['label']} {key}": number
        for value in values
        for key, number in value.items()
        if key != "label"
    }


def _records(results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]] | None:
    """Objects such as the steps of a funnel or totals: keys with plain values and breakdown values are columns. Objects
    (the settings of a series) and empty lists are left out; another list would be lost, so that this is not a table.
    """
    keys = list(dict.fromkeys(key for result in results for key in result))
    columns = []
    for key in keys:
        values = [result.get(key) for result in results]
        if all(_plain(value) for value in values) or key in _BREAKDOWNS:
            columns.append(key)
        elif any(isinstance(value, list) and value for value in values):
            return None
    return (columns, [[result.get(key) for key in columns] for result in results]) if len(columns) > 1 else None


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def table(columns: Sequence[str], rows: Iterable[Sequence[Json]], width: int | None = None) -> str:
    """A table with a header, numbers aligned to the right.

    `width` is that of a terminal; None prints everything. Where it is too narrow, long texts end in an ellipsis, and
    if that is not enough the header says how many of the last columns are left out.
    """
    body = [list(row) for row in rows]
    texts = [[_cell(value) for value in row] for row in body]
    header = [_cell(name) for name in columns]
    widths = [max([_width(name), *(_width(row[index]) for row in texts)]) for index, name in enumerate(header)]
    right = [bool(body) and all(_is_number(row[index]) for row in body) for index in range(len(columns))]
    if width is not None:
        widths = _fitting(widths, right, width)
        left_out = len(columns) - len(widths)
        header, *texts = [
            [_cut(cell, most) for cell, most in zip(row, widths, strict=False)] for row in (header, *texts)
        ]
        if left_out:
            header.append(_LEFT_OUT.format(left_out))
            widths.append(_width(header[-1]))
            texts = [[*row, ""] for row in texts]
            right = [*right[: len(header) - 1], False]
    lines = [header, ["-" * width for width in widths], *texts]
    return "".join(one_line(_aligned(line, widths, right)) + "\n" for line in lines)


def _fitting(widths: Sequence[int], right: Sequence[bool], total: int) -> list[int]:
    """The widths of the first columns that fit. Numbers are never cut; all texts have the same limit."""
    least = [width if is_number else min(width, _NARROWEST) for width, is_number in zip(widths, right, strict=True)]
    count = len(widths)
    while count > 1 and _total(least[:count], all_of_them=count == len(widths)) > total:
        count -= 1
    fitting = list(widths[:count])
    for limit in range(max(total, 1), 0, -1):
        fitting = [width if right[index] else min(width, limit) for index, width in enumerate(widths[:count])]
        if _total(fitting, all_of_them=count == len(widths)) <= total:
            break
    return fitting


def _total(widths: Sequence[int], *, all_of_them: bool) -> int:
    return sum(widths) + _GAP * (len(widths) - 1) + (0 if all_of_them else _GAP + len(_LEFT_OUT))


def _cut(text: str, width: int) -> str:
    """The text cut to a width, with an ellipsis."""
    if _width(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += _width(char)
        if used >= width:
            break
        kept += char
    return f"{kept}…"


def comma_separated(columns: Sequence[str], rows: Iterable[Sequence[Json]]) -> str:
    """CSV (RFC 4180) with a header; NULL is an empty field, lists and objects are JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue()


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Json]]) -> str:
    """A list of objects; if two columns share a name, a list of lists, since an object would lose one."""
    if len(set(columns)) == len(columns):
        return _dumped([dict(zip(columns, row, strict=True)) for row in rows])
    return _dumped([list(row) for row in rows])


def _dumped(rows: Sequence[Json]) -> str:
    if not rows:
        return "[]\n"
    return "[\n" + ",\n".join(f"  {printable_json(json.dumps(row, ensure_ascii=False))}" for row in rows) + "\n]\n"


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    spaces = (" " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    padded = (
        space + cell if to_the_right else cell + space
        for cell, space, to_the_right in zip(cells, spaces, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """The width on a terminal: wide characters take two columns, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _is_number(value: Json) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Json) -> str:
    if value is None:
        return "∅"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text).replace("\t", "\\t")


def _field(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
