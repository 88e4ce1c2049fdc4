"""Rows that note which of their columns are read: a column that is never read can change without breaking the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from opcode import opmap
from typing import TYPE_CHECKING, Any, Final, Self

from endpoints_gitops.consumer.rows import Row, Rows, Shape, rows_of
from pytest_endpoints_gitops.call_log import LoggedCall

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from endpoints_gitops.api.answers import RunAnswer
    from endpoints_gitops.model.pin import Pin
    from pytest_endpoints_gitops.failures import ColumnUnknown, Failure

_LOAD_ATTR: Final = opmap["LOAD_ATTR"]


@dataclass(frozen=True, slots=True)
class ColumnReads:
    """Where reads are noted. `unknown` makes the failure for a column that the answer does not have, and `note` notes
    it.
    """

    call: LoggedCall
    note: Callable[[Failure], None]
    unknown: Callable[[str], ColumnUnknown]

    def column(self, name: str, shape: Shape) -> None:
        """Note a read. Raises ColumnUnknown, which is noted too."""
        if name not in shape.columns:
            failure = self.unknown(name)
            self.note(failure)
            raise failure
        self.call.read.add(name)

    def whole(self) -> None:
        """Note that all columns were read."""
        self.call.is_whole = True


class TestedRow(Row):
    """The library's, and what is read of it is noted."""

    __test__ = False
    __slots__ = ("_reads",)

    def __init__(self, shape: Shape, values: Sequence[Any], reads: ColumnReads) -> None:
        super().__init__(shape, values)
        self._reads = reads

    def as_dict(self) -> dict[str, Any]:
        self._reads.whole()
        return super().as_dict()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the value of a column
        if not name.startswith("_"):
            if name not in self._shape.columns and not _is_attribute_read(sys._getframe(1)):
                raise self._reads.unknown(name)
            self._reads.column(name, self._shape)
        return super().__getattr__(name)

    def __getitem__(self, key: str | int) -> Any:  # noqa: ANN401 - the value of a column
        if isinstance(key, str):
            self._reads.column(key, self._shape)
        elif isinstance(key, int) and -len(self) <= key < len(self):
            self._reads.column(self._shape.columns[key], self._shape)
        else:
            self._reads.whole()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        self._reads.whole()
        return super().__iter__()

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        self._reads.whole()
        return super().__eq__(other)

    def __repr__(self) -> str:
        return repr(Row(self._shape, self._values))  # printing by pytest is not a read


class TestedRows(Rows):
    """The library's, and what is read of them is noted. The records of an insight are read as a whole."""

    __test__ = False

    _reads: ColumnReads

    @classmethod
    def of_answer(cls, pin: Pin, answer: RunAnswer, reads: ColumnReads, results: Sequence[Any] | None = None) -> Self:
        """The rows of an answer; only `results` if they are given. Raises ResultsBroken for results of an insight that
        do not have the shape of its kind.
        """
        only = None if results is None else list(results)
        rows = rows_of(pin, answer, results=only, has_more=answer.has_more, kind=cls)
        rows._reads = reads
        return rows

    def column(self, name: str) -> list[Any]:
        if self._is_insight:
            self._reads.whole()
        else:
            self._reads.column(name, self._shape)
        return super().column(name)

    def as_dicts(self) -> list[dict[str, Any]]:
        self._reads.whole()
        return super().as_dicts()

    def to_pandas(self) -> pd.DataFrame:
        self._reads.whole()
        return super().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        self._reads.whole()
        return super().to_polars()

    def to_arrow(self) -> pa.Table:
        self._reads.whole()
        return super().to_arrow()

    def _record(self, raw: Any) -> Any:  # noqa: ANN401 - a row, or the dataclass of an insight
        if self._is_insight:
            self._reads.whole()
            return super()._record(raw)
        return TestedRow(self._shape, self._converted(raw), self._reads)


def _is_attribute_read(frame: Any) -> bool:  # noqa: ANN401 - a frame
    """Whether the code reads an attribute, as in `row.x`; `hasattr` and `getattr` are calls, which ask whether
    there is one.
    """
    return bool(frame.f_code.co_code[frame.f_lasti] == _LOAD_ATTR)
