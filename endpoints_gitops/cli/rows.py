"""Rows on stdout, as a table for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from unicodedata import combining, east_asian_width

from endpoints_gitops.model.json import Json
from endpoints_gitops.model.printable import one_line, printable_json


def table(columns: Sequence[str], rows: Iterable[Sequence[Json]]) -> str:
    """Columns aligned, numbers to the right; a header, a rule, a line for each row."""
    body = [list(row) for row in rows]
    texts = [[_cell(value) for value in row] for row in body]
    header = [_cell(name) for name in columns]
    widths = [max([_width(name), *(_width(row[index]) for row in texts)]) for index, name in enumerate(header)]
    right = [bool(body) and all(_is_number(row[index]) for row in body) for index in range(len(columns))]
    lines = [header, ["-" * width for width in widths], *texts]
    return "".join(one_line(_aligned(line, widths, right)) + "\n" for line in lines)


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
