"""Rows against the rows that somebody expects: the first column that differs is named, not every cell printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` completes a verdict; the two sides are those of the first row that differs."""

    what: str
    expected: str
    received: str


def difference(
    expected: Sequence[Any], received: Sequence[Any], columns: Sequence[str], *, is_unordered: bool, tolerance: float
) -> Difference | None:
    """None where the rows are the same; expected rows are lists, or objects that name some of the columns."""
    if len(expected) != len(received):
        return Difference("the number of rows differs", f"{len(expected)} rows", f"{len(received)} rows")
    pairs = list(zip(expected, received, strict=True))
    if is_unordered:
        pairs = _matched(expected, received, columns, tolerance)
    wrong = [(number, *pair) for number, pair in enumerate(pairs) if not _same_row(*pair, columns, tolerance)]
    return _told(wrong, len(pairs), columns, tolerance) if wrong else None


def _matched(
    expected: Sequence[Any], received: Sequence[Any], columns: Sequence[str], tolerance: float
) -> list[tuple[Any, Any]]:
    """Each expected row with one that is the same, as long as there is one; the rest as they come."""
    left = list(received)
    pairs: list[tuple[Any, Any]] = []
    alone = []
    for row in expected:
        at = next((at for at, other in enumerate(left) if _same_row(row, other, columns, tolerance)), None)
        if at is None:
            alone.append(row)
        else:
            pairs.append((row, left.pop(at)))
    return [*pairs, *zip(alone, left, strict=True)]


def _same_row(expected: Any, received: Any, columns: Sequence[str], tolerance: float) -> bool:  # noqa: ANN401 - JSON
    return all(same_value(one, other, tolerance) for _, one, other in _cells(expected, received, columns))


def _cells(expected: Any, received: Any, columns: Sequence[str]) -> list[tuple[str, Any, Any]]:  # noqa: ANN401 - JSON
    if isinstance(expected, Mapping) and isinstance(received, list):
        values = dict(zip(columns, received, strict=False))
        return [(name, value, values.get(name, _Nothing())) for name, value in expected.items()]
    if isinstance(expected, list | tuple) and isinstance(received, list) and len(expected) == len(received):
        names = [*columns, *map(str, range(len(columns), len(expected)))]
        return list(zip(names, expected, received, strict=False))
    return [("the row", expected, received)]


class _Nothing:
    def __repr__(self) -> str:
        return "no such column"


def same_value(one: Any, other: Any, tolerance: float) -> bool:  # noqa: ANN401 - JSON
    """Numbers within the tolerance, everything else alike; text is no number."""
    if is_number(one) and is_number(other):
        return bool(one == other or abs(one - other) <= tolerance)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same_value(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key], tolerance) for key in one)
    return type(one) is type(other) and bool(one == other)


def is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(wrong: list[tuple[int, Any, Any]], total: int, columns: Sequence[str], tolerance: float) -> Difference:
    number, expected, received = wrong[0]
    name, one, other = next(
        cell for cell in _cells(expected, received, columns) if not same_value(cell[1], cell[2], tolerance)
    )
    what = f'column "{name}" differs in {len(wrong)} of {total} rows' if name in columns else f"{name} differs"
    said, got = _said(one), _said(other)
    if said == got or str(one) == str(other):
        said, got = f"{said} ({type(one).__name__})", f"{got} ({type(other).__name__})"
    return Difference(what, f"row {number}: {said}", f"row {number}: {got}")


def _said(value: Any) -> str:  # noqa: ANN401 - JSON
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
