"""Rows of an answer: records that are read by attribute, by key or by place, converted when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

from endpoints_gitops.consumer.checking import HOGQL, typed_columns
from endpoints_gitops.consumer.errors import ResultsBroken, UnreadableValue
from endpoints_gitops.consumer.insights import records
from endpoints_gitops.consumer.values import Reader, holds_containers, nullable, own, reader
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.pin import Pin

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from pydantic import BaseModel

    from endpoints_gitops.api.answers import RunAnswer


class Row:
    """One row: `row.users`, `row["users"]`, `row[1]`; `a, b = row` takes it apart. Two are equal when all values are.

    A column whose name is no Python word, or is `as_dict`, is read by its key. There are no other methods, so that
    columns called `count` or `index` are attributes.
    """

    __slots__ = ("_shape", "_values")

    def __init__(self, shape: Shape, values: Sequence[Any]) -> None:
        self._shape = shape
        self._values = values

    def as_dict(self) -> dict[str, Any]:
        """Raises UsageError where two columns have one name: a dictionary would lose one of them."""
        return dict(zip(self._shape.unique_names(), self._values, strict=True))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the value of a column
        if name.startswith("__") or name in Row.__slots__:
            raise AttributeError(name)
        index = self._shape.indexes.get(name)
        if index is None:
            raise AttributeError(self._shape.missing_column(name))
        return self._values[index]

    def __getitem__(self, key: str | int) -> Any:  # noqa: ANN401 - the value of a column
        if isinstance(key, str):
            index = self._shape.indexes.get(key)
            if index is None:
                raise KeyError(self._shape.missing_column(key))
            return self._values[index]
        return self._values[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._shape.columns if name.isidentifier())]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            return self._shape.columns == other._shape.columns and list(self) == list(other)
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._values))

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self._shape.columns, self, strict=True))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self._shape.columns, self._shape.types, tuple(self._values))


def _row(columns: tuple[str, ...], types: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return Row(shape_of(columns, types), values)


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of an answer, and what converts their values. `places` has the names that mean one column."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    indexes: Mapping[str, int]
    readers: tuple[tuple[int, Reader], ...]

    def unique_names(self) -> tuple[str, ...]:
        """Returns the names of the columns. Raises UsageError where two columns have one name."""
        twice = next((name for name in self.columns if name not in self.indexes), None)
        if twice is None:
            return self.columns
        fix = "read rows by place (row[0]), or give the columns names of their own (AS)"
        raise UsageError(f"several columns are called {twice!r}", fix=fix, code="rows.names")

    def index(self, name: str) -> int:
        """Raises KeyError."""
        if name not in self.indexes:
            raise KeyError(self.missing_column(name))
        return self.indexes[name]

    def missing_column(self, name: str) -> str:
        """Returns the message about a name that is not that of one column."""
        if name in self.columns:
            return f"several columns are called {name!r}: read them by place"
        from endpoints_gitops.model.suggestions import did_you_mean

        return f"there is no column {name!r}{did_you_mean(name, self.columns) or f'; there are {list(self.columns)}'}"


@lru_cache(maxsize=1024)
def shape_of(columns: tuple[str, ...], types: tuple[str, ...]) -> Shape:
    """Returns the shape of rows with these columns; the same object for the same columns."""
    readers = ((index, nullable(reader(written)) or _owner(written)) for index, written in enumerate(types))
    return Shape(
        columns=columns,
        types=types,
        indexes={name: index for index, name in enumerate(columns) if columns.count(name) == 1},
        readers=tuple((index, read) for index, read in readers if read is not None),
    )


def _owner(written: str) -> Reader | None:
    """What makes lists and objects the caller's own: those of an answer may be in a cache."""
    return own if holds_containers(written) else None


class Rows(Sequence[Any]):
    """The rows of one answer, in the server's order. A record is a Row; of an insight it is the dataclass of its kind
    (TrendSeries, FunnelStep …), and `of` says so to a type checker.

    Values are converted when they are looked at; what does not fit its type raises UnreadableValue then.
    """

    def __init__(
        self,
        pin: Pin,
        answer: RunAnswer,
        *,
        results: Sequence[Any],
        has_more: bool | None = False,
        age: float = 0.0,
        is_shared: bool = False,
    ) -> None:
        self.pin = pin
        self.columns: tuple[str, ...] = answer.columns or ()
        """Names in order; empty for an insight."""
        words = {column.name: column.type for column in pin.columns or ()}
        self.types: tuple[str, ...] = tuple(
            [written or words.get(name, "unknown") for name, written in typed_columns(self.columns, answer.types)]
        )
        """The type of each column: ClickHouse's, or the server's word for it where the answer says none."""
        self.has_more = has_more
        """Whether the server has more rows than these; None where it did not say: 100 rows without `_limit`."""
        self.age = age
        """Seconds that this answer has lain in the cache of this process: what the cache adds to staleness."""
        self.is_from_table = answer.materialized
        """Whether the server read a materialised table."""
        self._raw: JsonObject = answer.raw
        self._is_shared = is_shared
        self._results = results
        self._shape = shape_of(self.columns, self.types)
        self._is_insight = answer.columns is None

    @property
    def raw(self) -> JsonObject:
        """The whole answer as it came."""
        if self._is_shared:
            self._raw, self._is_shared = own(self._raw), False
        return self._raw

    @property
    def version(self) -> int:
        """The version that answered."""
        return self.pin.version

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> Any: ...  # noqa: ANN401 - a Row, or the dataclass of an insight
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._record(raw) for raw in self._results[index]]
        return self._record(self._results[index])

    def __iter__(self) -> Iterator[Any]:
        return map(self._record, self._results)

    def __repr__(self) -> str:
        what = f"{len(self)} results" if self._is_insight else f"{len(self)} rows of {', '.join(self.columns)}"
        return f"<Rows of {self.pin.label}: {what}>"

    def of[Record](self, kind: type[Record]) -> tuple[Record, ...]:
        """The records, all of them of this class, for a type checker: `rows.of(TrendSeries)`, `rows.of(Row)`.

        Raises UsageError where they are of another.
        """
        all_records = tuple(self)
        other = next((record for record in all_records if not isinstance(record, kind)), None)
        if other is not None:
            message = f"{self.pin.label} gives {type(other).__name__}, not {kind.__name__}"
            raise UsageError(message, fix=f"rows.of({type(other).__name__})", code="rows.kind")
        return all_records

    def column(self, name: str) -> list[Any]:
        """The values of one column; of an insight, what stands under this key in each result. Raises KeyError."""
        if self._is_insight:
            return [item[name] for item in self._objects()]
        return self._column(self._shape.index(name))

    def as_dicts(self) -> list[dict[str, Any]]:
        """A dictionary for each row; the results of an insight as they came.

        Raises UsageError where two columns have one name: a dictionary would lose one of them.
        """
        if self._is_insight:
            return [dict(item) for item in self._objects()]
        names = self._shape.unique_names()
        return [dict(zip(names, self._converted(raw), strict=True)) for raw in self._results]

    def to_models[Model: BaseModel](self, model: type[Model]) -> list[Model]:
        """Each row as a model of pydantic, by the names of the columns. Raises pydantic's ValidationError."""
        return [model.model_validate(item) for item in self.as_dicts()]

    def to_pandas(self) -> pd.DataFrame:
        """Needs the extra `pandas`. Whole numbers stay whole beside nulls and beyond 2^53."""
        from endpoints_gitops.consumer.frames import pandas_frame

        if self._is_insight:
            return pandas_frame(_columns_of(self.as_dicts()))
        return pandas_frame([(name, written, self._column(index)) for index, name, written in self._typed_columns()])

    def to_polars(self) -> pl.DataFrame:
        """Needs the extra `polars`. Raises UsageError where two columns have one name."""
        from endpoints_gitops.consumer.frames import polars_frame

        if self._is_insight:
            return polars_frame(_columns_of(self.as_dicts()))
        self._shape.unique_names()
        return polars_frame([(name, written, self._column(index)) for index, name, written in self._typed_columns()])

    def _typed_columns(self) -> Iterator[tuple[int, str, str]]:
        for index, (name, written) in enumerate(zip(self.columns, self.types, strict=True)):
            yield index, name, written

    def _record(self, raw: Any) -> Any:  # noqa: ANN401 - see the class
        return raw if self._is_insight else Row(self._shape, self._converted(raw))

    def _objects(self) -> Iterator[JsonObject]:
        """What an insight's results are made from."""
        return (getattr(item, "raw", item) for item in self._results)

    def _converted(self, raw: list[Any]) -> list[Any]:
        values = raw.copy()
        for index, read in self._shape.readers:
            try:
                values[index] = read(raw[index])
            except (ValueError, TypeError, ArithmeticError):
                self._unreadable(index, raw[index])
        return values

    def _column(self, index: int) -> list[Any]:
        read = next((item for at, item in self._shape.readers if at == index), None)
        values = [raw[index] for raw in self._results]
        if read is None:
            return values
        converted = []
        for value in values:
            try:
                converted.append(read(value))
            except (ValueError, TypeError, ArithmeticError):
                self._unreadable(index, value)
        return converted

    def _unreadable(self, index: int, value: object) -> NoReturn:
        raise UnreadableValue(self.pin, self.columns[index], self.types[index], value) from None

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _unpickled, (type(self), self.__dict__ | {"_shape": None})

    @classmethod
    def _restored(cls, state: dict[str, Any]) -> Self:
        rows = cls.__new__(cls)
        rows.__dict__.update(state)
        rows._shape = shape_of(rows.columns, rows.types)
        return rows


def _unpickled(kind: type[Rows], state: dict[str, Any]) -> Rows:
    return kind._restored(state)


def rows_of[Kind: Rows](
    pin: Pin,
    answer: RunAnswer,
    *,
    results: list[Any] | None = None,
    has_more: bool | None = False,
    age: float = 0.0,
    is_shared: bool = False,
    kind: type[Kind] = Rows,  # type: ignore[assignment]  # the default of every caller that names no other class
) -> Kind:
    """What an app gets for an answer; `results` are those of its rows that count. `is_shared`: a cache gives the same
    answer to others, who see no change that is made to these rows. Raises ResultsBroken for an insight whose results
    are not of its kind. `kind` is the class of the rows.
    """
    if is_shared and answer.columns is None:
        raw = own(answer.raw)
        sent = raw["results"]
        answer = replace(answer, raw=raw, results=sent if isinstance(sent, list) else [sent])
        is_shared = False
    kept: Sequence[Any] = answer.results if results is None else results
    if answer.columns is None:
        if pin.kind == HOGQL:
            raise ResultsBroken(pin, "there are no columns in the answer")
        kept = records(pin, kept)
    return kind(pin, answer, results=kept, has_more=has_more, age=age, is_shared=is_shared)


def _columns_of(objects: list[dict[str, Any]]) -> list[tuple[str, str, list[Any]]]:
    keys = dict.fromkeys(key for item in objects for key in item)
    return [(key, "unknown", [item.get(key) for item in objects]) for key in keys]
