"""One number, what it may be at most (or at least), and how it is told."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """`limit` is the most that `value` may be; with `at_least` the least. None where nothing was promised."""

    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> tuple[str, str, str]:
        sign = "≥" if self.at_least else "≤"
        limit = "" if self.limit is None else f"{sign} {_number(self.limit)}{_spaced(self.unit)}"
        verdict = "" if self.holds else "  BROKEN"
        return (
            self.what,
            f"{_number(self.value)}{_spaced(self.unit)}{verdict}",
            f"{limit}{self.note and f'  {self.note}'}",
        )


def table(measures: Iterable[Measure]) -> str:
    """A Markdown table, as docs/numbers.md holds it."""
    rows: Sequence[tuple[str, str, str]] = [("what", "measured", "promised"), *(each.cells() for each in measures)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def by_turns(first: Callable[[], object], second: Callable[[], object], times: int) -> tuple[float, float]:
    """The median milliseconds of both, each asked once before anything counts."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(times + 1):
        for call, all_taken in zip((first, second), taken, strict=True):
            started = time.perf_counter()
            call()
            if turn:
                all_taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken[0]), statistics.median(taken[1])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""
