"""Two lists of rows: in which columns they differ, in how many rows, and the first pair of values that differs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MISSING: Final = object()
"""The value of a column that a row does not have."""

_LONGEST: Final = 60

type NamedRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDifference:
    """`count` rows differ in this column; `before` and `after` are the values of the first pair, at `row` of the first
    list, as they are shown.
    """

    name: str
    count: int
    row: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} differs in {_rows(self.count)}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowComparison:
    """How many rows each list has; where that is the same, the columns in which they differ, that of the first row
    first.
    """

    before: int
    after: int
    columns: tuple[ColumnDifference, ...] = ()

    def __bool__(self) -> bool:
        """Whether the rows differ."""
        return self.before != self.after or bool(self.columns)

    def __str__(self) -> str:
        if self.before != self.after:
            return f"{_rows(self.before)} became {_rows(self.after)}"
        return "; ".join(map(str, self.columns))


def compare_rows(
    before: Sequence[NamedRow], after: Sequence[NamedRow], *, is_unordered: bool, tolerance: float
) -> RowComparison:
    """The differences in the columns that the rows of `before` name. Numbers within `tolerance` are the same.

    Unordered rows are paired with the same row while there is one, then with a row that agrees in texts and booleans.
    """
    if len(before) != len(after):
        return RowComparison(before=len(before), after=len(after))
    pairs = [(index, row, after[index]) for index, row in enumerate(before)]
    if is_unordered:
        pairs = _paired(before, after, tolerance)
    differing: dict[str, list[tuple[int, Any, Any]]] = defaultdict(list)
    for index, row, other in pairs:
        for name, value in row.items():
            other_value = other.get(name, MISSING)
            if not same_value(value, other_value, tolerance):
                differing[name].append((index, value, other_value))
    columns = (_difference(name, cells) for name, cells in differing.items())
    return RowComparison(
        before=len(before), after=len(after), columns=tuple(sorted(columns, key=lambda column: column.row))
    )


def named_rows(rows: Sequence[Any], columns: Sequence[str] | None) -> list[NamedRow]:
    """Rows as objects. A list has the columns' names (a name that comes twice with its position), anything else that is
    not an object the name `the row`.
    """
    names = _unique(columns or ())
    return [_named(row, names) for row in rows]


def whole_rows(rows: Sequence[Any]) -> list[NamedRow]:
    """Rows as objects of one value each, `the row`."""
    return [{"the row": row} for row in rows]


def filled(rows: Sequence[NamedRow], names: Iterable[str]) -> list[NamedRow]:
    """Rows that name exactly these columns."""
    wanted = tuple(names)
    return [{name: row.get(name, MISSING) for name in wanted} for row in rows]


def same_value(value: Any, other: Any, tolerance: float) -> bool:  # noqa: ANN401 - JSON
    """Whether two values are the same: numbers within the tolerance, anything else of the same type and equal."""
    if _is_number(value) and _is_number(other):
        return bool(value == other or abs(value - other) <= tolerance)
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return len(value) == len(other) and all(
            same_value(left, right, tolerance) for left, right in zip(value, other, strict=True)
        )
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(same_value(value[key], other[key], tolerance) for key in value)
    return type(value) is type(other) and bool(value == other)


def _unique(columns: Sequence[str]) -> list[str]:
    return [
        name if columns.index(name) == position else f"{name} (column {position})"
        for position, name in enumerate(columns)
    ]


def _named(row: Any, names: Sequence[str]) -> NamedRow:  # noqa: ANN401 - JSON
    if isinstance(row, Mapping):
        return row
    if isinstance(row, list | tuple) and len(row) == len(names):
        return dict(zip(names, row, strict=True))
    return {"the row": row}


def _paired(
    before: Sequence[NamedRow], after: Sequence[NamedRow], tolerance: float
) -> list[tuple[int, NamedRow, NamedRow]]:
    """Only rows of one group are tried with each other: those that agree in texts and booleans."""
    names = sorted(set.intersection(*(set(row) for row in before))) if before else []
    groups: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((before, after)):
        for index, row in enumerate(rows):
            groups[_group(row, names)][side].append(index)
    pairs: list[tuple[int, int]] = []
    left: tuple[list[int], list[int]] = ([], [])
    for key in sorted(groups):
        mine, theirs = groups[key]
        alone = []
        for index in mine:
            match = next((at for at in theirs if _is_same_row(before[index], after[at], tolerance)), None)
            if match is None:
                alone.append(index)
            else:
                theirs.remove(match)
                pairs.append((index, match))
        alone.sort(key=lambda index: _numbers(before[index], names))
        theirs.sort(key=lambda index: _numbers(after[index], names))
        pairs += zip(alone, theirs, strict=False)
        left[0].extend(alone[len(theirs) :])
        left[1].extend(theirs[len(alone) :])
    pairs += zip(*left, strict=True)
    return [(index, before[index], after[other]) for index, other in sorted(pairs)]


def _group(row: NamedRow, names: Sequence[str]) -> str:
    values = (row.get(name) for name in names)
    return json.dumps([value if isinstance(value, str | bool) else None for value in values])


def _numbers(row: NamedRow, names: Sequence[str]) -> list[float]:
    values = (row.get(name) for name in names)
    return [float(value) for value in values if value is not None and _is_number(value)]


def _is_same_row(row: NamedRow, other: NamedRow, tolerance: float) -> bool:
    return all(same_value(value, other.get(name, MISSING), tolerance) for name, value in row.items())


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | float) and not isinstance(value, bool)


def _difference(name: str, cells: Sequence[tuple[int, Any, Any]]) -> ColumnDifference:
    row, before, after = cells[0]
    left, right = _shown(before), _shown(after)
    if left.strip('"') == right.strip('"'):  # they would look alike without their types
        left, right = f"{left} ({_type(before)})", f"{right} ({_type(after)})"
    return ColumnDifference(name=name, count=len(cells), row=row, before=left, after=right)


def _shown(value: object) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _type(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "float", str: "string", type(None): "null"}
    return kinds.get(type(value), "array" if isinstance(value, list | tuple) else "object")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
