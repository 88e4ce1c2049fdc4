"""Rows that remember which of their columns were read: what is never read can change without breaking the app."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from endpoints_gitops.consumer.rows import Row, Rows, Shape, rows_of
from pytest_endpoints_gitops.facts import CallFact
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from pytest_endpoints_gitops.failures import ColumnUnknown


@dataclass(frozen=True, slots=True)
class Reading:
    """Where reads are noted, and what a read of a column that is not there comes to."""

    fact: CallFact
    unknown: Callable[[str], ColumnUnknown]

    def column(self, name: str, shape: Shape) -> None:
        """Raises ColumnUnknown."""
        if name not in shape.columns:
            raise self.unknown(name)
        self.fact.read.add(name)

    def whole(self) -> None:
        self.fact.is_whole = True


class TestedRow(Row):
    """As the library's, and noted."""

    __test__ = False
    __slots__ = ("_reading",)

    def __init__(self, shape: Shape, values: Sequence[Any], reading: Reading) -> None:
        super().__init__(shape, values)
        self._reading = reading

    def as_dict(self) -> dict[str, Any]:
        self._reading.whole()
        return super().as_dict()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the value of a column
        if not name.startswith("_"):
            self._reading.column(name, self._shape)
        return super().__getattr__(name)

    def __getitem__(self, key: str | int) -> Any:  # noqa: ANN401 - the value of a column
        if isinstance(key, str):
            self._reading.column(key, self._shape)
        elif isinstance(key, int) and -len(self) <= key < len(self):
            self._reading.column(self._shape.columns[key], self._shape)
        else:
            self._reading.whole()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        self._reading.whole()
        return super().__iter__()

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        self._reading.whole()
        return super().__eq__(other)

    def __repr__(self) -> str:
        return repr(Row(self._shape, self._values))  # what pytest prints is nobody's reading


class TestedRows(Rows):
    """As the library's, and noted. The records of an insight are read as a whole."""

    __test__ = False

    _reading: Reading

    @classmethod
    def of_answer(cls, call: Call, answer: Answer, reading: Reading) -> Self:
        made = cls._restored(rows_of(call.pin, answer.run, has_more=answer.run.has_more).__dict__)
        made._reading = reading
        return made

    def column(self, name: str) -> list[Any]:
        if self._is_insight:
            self._reading.whole()
        else:
            self._reading.column(name, self._shape)
        return super().column(name)

    def as_dicts(self) -> list[dict[str, Any]]:
        self._reading.whole()
        return super().as_dicts()

    def to_pandas(self) -> pd.DataFrame:
        self._reading.whole()
        return super().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        self._reading.whole()
        return super().to_polars()

    def _record(self, raw: Any) -> Any:  # noqa: ANN401 - a row, or the dataclass of an insight
        if self._is_insight:
            self._reading.whole()
            return super()._record(raw)
        return TestedRow(self._shape, self._converted(raw), self._reading)
