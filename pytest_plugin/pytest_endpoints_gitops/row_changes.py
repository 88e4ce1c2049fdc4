"""The rows of a call against those of its candidate: in which columns they differ, how often, and one pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_endpoints_gitops.comparing import is_number, same_value

_LONGEST: Final = 40
_MISSING: Final = object()

type Columns = Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """`count` rows differ in this column; `before` and `after` are the first pair, as they are shown."""

    name: str
    count: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} differs in {_rows(self.count)}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """How many rows there are on each side; where that is the same, the columns in which they differ."""

    before: int
    after: int
    columns: tuple[ColumnChange, ...] = ()

    def __str__(self) -> str:
        if self.before != self.after:
            return f"{_rows(self.before)} became {_rows(self.after)}"
        return "; ".join(map(str, self.columns))


def row_changes(
    before: Sequence[Any],
    after: Sequence[Any],
    columns: tuple[Columns, Columns],
    *,
    is_unordered: bool,
    tolerance: float,
) -> RowChanges | None:
    """None where both say the same in the columns that they share: the others are the contract's business.

    `columns` are those of the two sides, None for insights, whose results are objects. Where rows are unordered, those
    are paired that agree in what is no number.
    """
    mine, other = _as_objects(before, columns[0]), _as_objects(after, columns[1])
    if len(mine) != len(other):
        return RowChanges(before=len(mine), after=len(other))
    names = _shared(mine, other, columns)
    if is_unordered:
        mine, other = (sorted(rows, key=lambda row: _place(row, names)) for rows in (mine, other))
    found = [_in_column(name, mine, other, tolerance) for name in names]
    differing = tuple(one for one in found if one is not None)
    return RowChanges(before=len(mine), after=len(other), columns=differing) if differing else None


def _as_objects(rows: Sequence[Any], columns: Columns) -> list[Mapping[str, Any]]:
    if columns is not None:
        return [dict(zip(columns, row, strict=False)) if isinstance(row, list | tuple) else {} for row in rows]
    return [row if isinstance(row, Mapping) else {"result": row} for row in rows]


def _shared(
    mine: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], columns: tuple[Columns, Columns]
) -> list[str]:
    left, right = columns
    if left is not None and right is not None:
        return [name for name in dict.fromkeys(left) if name in right]
    return sorted({key for row in (*mine, *other) for key in row})


def _in_column(
    name: str, mine: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], tolerance: float
) -> ColumnChange | None:
    pairs = [(row.get(name, _MISSING), against.get(name, _MISSING)) for row, against in zip(mine, other, strict=True)]
    differing = [pair for pair in pairs if not same_value(*pair, tolerance)]
    if not differing:
        return None
    before, after = _shown(*differing[0])
    return ColumnChange(name=name, count=len(differing), before=before, after=after)


def _place(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, list[float]]:
    values = [row.get(name) for name in names]
    words = json.dumps([None if is_number(value) else value for value in values], sort_keys=True, default=str)
    return words, [float(value) for value in values if value is not None and is_number(value)]


def _shown(before: object, after: object) -> tuple[str, str]:
    """With their types where they would look alike."""
    left, right = _printed(before), _printed(after)
    if left.strip('"') == right.strip('"'):
        return f"{left} ({_kind(before)})", f"{right} ({_kind(after)})"
    return left, right


def _printed(value: object) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _kind(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "float", str: "string", type(None): "null"}
    return kinds.get(type(value), "array" if isinstance(value, list | tuple) else "object")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
