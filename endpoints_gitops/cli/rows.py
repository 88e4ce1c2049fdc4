"""Rows on stdout, as a table for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import combining, east_asian_width

from endpoints_gitops.model.json import Json
from endpoints_gitops.model.printable import one_line, printable_json

_GAP: Final = 2
_NARROWEST: Final = 8
_LEFT_OUT: Final = "… {} more"


def table(columns: Sequence[str], rows: Iterable[Sequence[Json]], width: int | None = None) -> str:
    """Columns aligned, numbers to the right; a header, a rule, a line for each row.

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
    lines = [header, ["-" * one for one in widths], *texts]
    return "".join(one_line(_aligned(line, widths, right)) + "\n" for line in lines)


def _fitting(widths: Sequence[int], right: Sequence[bool], total: int) -> list[int]:
    """The widths of the first columns that there is room for. Numbers stay whole; all texts have one limit."""
    least = [one if is_number else min(one, _NARROWEST) for one, is_number in zip(widths, right, strict=True)]
    count = len(widths)
    while count > 1 and _total(least[:count], all_of_them=count == len(widths)) > total:
        count -= 1
    fitting = list(widths[:count])
    for limit in range(max(total, 1), 0, -1):
        fitting = [one if right[index] else min(one, limit) for index, one in enumerate(widths[:count])]
        if _total(fitting, all_of_them=count == len(widths)) <= total:
            break
    return fitting


def _total(widths: Sequence[int], *, all_of_them: bool) -> int:
    return sum(widths) + _GAP * (len(widths) - 1) + (0 if all_of_them else _GAP + len(_LEFT_OUT))


def _cut(text: str, width: int) -> str:
    """The text in so many columns of a terminal, with an ellipsis for what is cut off."""
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
    """RFC 4180 with a header; NULL is an empty field, lists and objects are JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue()


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Json]]) -> str:
    """A list of objects; where two columns share a name, a list of lists, since an object would lose one of them."""
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
    """Columns of a terminal: wide letters take two, those that combine with the one before none."""
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
