"""The rows of an answer, read by attribute, key or index. Values are converted on access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, overload

from endpoints_gitops.consumer.checking import HOGQL, column_mistakes, typed_columns
from endpoints_gitops.consumer.errors import ColumnsBroken, ResultsBroken, UnreadableValue
from endpoints_gitops.consumer.insights import records
from endpoints_gitops.consumer.values import Reader, holds_containers, nullable, own, reader
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.pin import Pin

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from pydantic import BaseModel

    from endpoints_gitops.api.answers import RunAnswer


class Row:
    """One row: `row.users`, `row["users"]` or `row[1]`; `a, b = row` unpacks it. Rows are equal if all values are.

    Read a column whose name is not an identifier, or is `as_dict`, by its key. A row has no other methods, so that
    columns such as `count` or `index` are attributes. Raises AttributeError, KeyError or IndexError for a column that
    does not exist.
    """

    __slots__ = ("_shape", "_values")

    def __init__(self, shape: Shape, values: Sequence[Any]) -> None:
        self._shape = shape
        self._values = values

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a dictionary. Raises UsageError if two columns have the same name."""
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
    """The columns of an answer and the converters of their values. `indexes` has the unique names."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    indexes: Mapping[str, int]
    readers: tuple[tuple[int, Reader], ...]

    def unique_names(self) -> tuple[str, ...]:
        """Return the names of the columns. Raises UsageError if two columns have the same name."""
        duplicate = next((name for name in self.columns if name not in self.indexes), None)
        if duplicate is None:
            return self.columns
        fix = "read rows by index (row[0]), or give the columns different names (AS)"
        raise UsageError(f"several columns are named {duplicate!r}", fix=fix, code="rows.names")

    def index(self, name: str) -> int:
        """Return the index of a column. Raises KeyError."""
        if name not in self.indexes:
            raise KeyError(self.missing_column(name))
        return self.indexes[name]

    def missing_column(self, name: str) -> str:
        """Return the message about a name that does not exist or is not unique."""
        if name in self.columns:
            return f"several columns are named {name!r}: read them by index"
        from endpoints_gitops.model.suggestions import did_you_mean

        suggestion = did_you_mean(name, self.columns) or f"; the columns are {list(self.columns)}"
        return f"there is no column {name!r}{suggestion}"


@lru_cache(maxsize=1024)
def shape_of(columns: tuple[str, ...], types: tuple[str, ...]) -> Shape:
    """Return the shape of rows with these columns; the same object for the same columns."""
    readers = ((index, nullable(reader(written)) or _copier(written)) for index, written in enumerate(types))
    return Shape(
        columns=columns,
        types=types,
        indexes={name: index for index, name in enumerate(columns) if columns.count(name) == 1},
        readers=tuple((index, read) for index, read in readers if read is not None),
    )


def _copier(written: str) -> Reader | None:
    """A converter that copies lists and objects, because the answer can be shared by a cache."""
    return own if holds_containers(written) else None


class Rows(Sequence[Any]):
    """The rows of one answer, in the server's order: a sequence of Row, or of the dataclass of an insight (TrendSeries,
    FunnelStep …).

        rows = endpoints.run("monthly_active_users")
        for row in rows:
            print(row.month, row.users)

    `of` gives type checkers the class of the records. Values are converted on access; one that does not fit its type
    raises UnreadableValue.
    """

    def __init__(
        self,
        pin: Pin,
        answer: RunAnswer,
        *,
        results: Sequence[Any],
        has_more: bool | None = False,
        age: float = 0.0,
        is_stale: bool = False,
        is_shared: bool = False,
    ) -> None:
        self.pin = pin
        self.columns: tuple[str, ...] = answer.columns or ()
        """The column names in order; empty for an insight."""
        words = {column.name: column.type for column in pin.columns or ()}
        self.types: tuple[str, ...] = tuple(
            [written or words.get(name, "unknown") for name, written in typed_columns(self.columns, answer.types)]
        )
        """The type of each column: the ClickHouse type, or the pinned type if the answer has none."""
        self.has_more = has_more
        """Whether the server has more rows; None if that is unknown (100 rows of a query without LIMIT and
        `_limit`)."""
        self.age = age
        """How many seconds this answer was in the cache."""
        self.is_stale = is_stale
        """Whether this is an older answer of the cache, because the server failed (`Cache(stale_if_error=…)`)."""
        self.is_from_table = answer.materialized
        """Whether the answer comes from a materialized table."""
        self._raw: JsonObject = answer.raw
        self._is_shared = is_shared
        self._results = results
        self._shape = shape_of(self.columns, self.types)
        self._is_insight = answer.columns is None

    @property
    def raw(self) -> JsonObject:
        """The original JSON object of the answer."""
        if self._is_shared:
            self._raw, self._is_shared = own(self._raw), False
        return self._raw

    @property
    def version(self) -> int:
        """The version that answered, which is the pinned one."""
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
        """Return all records, typed for type checkers: `rows.of(TrendSeries)`, `rows.of(Row)`.

        Raises UsageError if a record has a different class.
        """
        all_records = tuple(self)
        other = next((record for record in all_records if not isinstance(record, kind)), None)
        if other is not None:
            message = f"the records of {self.pin.label} are {type(other).__name__}, not {kind.__name__}"
            raise UsageError(message, fix=f"rows.of({type(other).__name__})", code="rows.kind")
        return all_records

    def column(self, name: str) -> list[Any]:
        """Return the values of one column, or of one key of an insight's results. Raises KeyError."""
        if self._is_insight:
            return [item[name] for item in self._objects()]
        return self._column(self._shape.index(name))

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary for each row, or the original results of an insight.

        Raises UsageError if two columns have the same name.
        """
        if self._is_insight:
            return [dict(item) for item in self._objects()]
        names = self._shape.unique_names()
        return [dict(zip(names, self._converted(raw), strict=True)) for raw in self._results]

    def to_models[Model: BaseModel](self, model: type[Model]) -> list[Model]:
        """Return each row as a pydantic model, with column names as fields. Raises pydantic's ValidationError."""
        return [model.model_validate(item) for item in self.as_dicts()]

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame (extra `pandas`). Integers stay exact next to nulls and beyond 2^53.

        Raises UsageError if pandas is not installed.
        """
        from endpoints_gitops.consumer.frames import pandas_frame

        if self._is_insight:
            return pandas_frame(_columns_of(self.as_dicts()))
        return pandas_frame([(name, written, self._column(index)) for index, name, written in self._typed_columns()])

    def to_polars(self) -> pl.DataFrame:
        """Return a polars DataFrame (extra `polars`).

        Raises UsageError if polars is not installed, or if two columns have the same name.
        """
        from endpoints_gitops.consumer.frames import polars_frame

        if self._is_insight:
            return polars_frame(_columns_of(self.as_dicts()))
        self._shape.unique_names()
        return polars_frame([(name, written, self._column(index)) for index, name, written in self._typed_columns()])

    def to_arrow(self) -> pa.Table:
        """Return a table of Arrow (extra `arrow`), whose schema follows from the types of the columns.

        Raises MissingExtra if pyarrow is not installed, and UsageError if two columns have the same name.
        """
        from endpoints_gitops.consumer.frames import arrow_table

        if self._is_insight:
            return arrow_table(_columns_of(self.as_dicts()))
        self._shape.unique_names()
        return arrow_table([(name, written, self._column(index)) for index, name, written in self._typed_columns()])

    def _repr_html_(self) -> str:
        """The first rows as a table, for notebooks: values as in the answer, all text escaped."""
        from html import escape

        columns: Sequence[str] = self.columns
        table: Sequence[Sequence[Any]] = self._results[:_ROWS_IN_HTML]
        if self._is_insight:
            shown = [dict(item) for item in islice(self._objects(), _ROWS_IN_HTML)]
            columns = tuple(dict.fromkeys(key for item in shown for key in item))
            table = [[item.get(column) for column in columns] for item in shown]
        head = "".join([f"<th>{escape(name)}</th>" for name in columns])
        body = "".join([f"<tr>{''.join([f'<td>{_cell(value)}</td>' for value in row])}</tr>" for row in table])
        left = len(self) - len(table)
        notes = [f"{left:,} more rows"] if left else []
        notes += ["the server has more"] if self.has_more else []
        notes += [f"an answer that is {self.age:.0f} s old, because the server failed"] if self.is_stale else []
        foot = f"<p>{'; '.join(notes)}</p>" if notes else ""
        return f"<table><caption>{escape(self.pin.label)}</caption><tr>{head}</tr>{body}</table>{foot}"

    def _typed_columns(self) -> Iterator[tuple[int, str, str]]:
        for index, (name, written) in enumerate(zip(self.columns, self.types, strict=True)):
            yield index, name, written

    def _record(self, raw: Any) -> Any:  # noqa: ANN401 - see the class
        return raw if self._is_insight else Row(self._shape, self._converted(raw))

    def _objects(self) -> Iterator[JsonObject]:
        """The original objects of an insight's results."""
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


class TypedRows[Record](Rows):
    """The rows of a typed call: a sequence of the class that was generated for the endpoint.

        rows = endpoints.run(revenue_by_plan(month="2026-07"))
        rows[0].mrr

    Everything else is as in `Rows`.
    """

    _record_class: type[Any]
    _fields: tuple[str, ...] | None
    _order: tuple[int, ...] | None

    @classmethod
    def typed(cls, rows: Rows, record: type[Any], fields: tuple[str, ...] | None) -> Self:
        """The same rows with records of a class. `fields` are its fields in the order of the pinned columns, None for
        records that stay as they are.

        Raises ColumnsBroken if the columns do not have the pinned names and types, and ResultsBroken for a record of
        another class.
        """
        typed = cls.__new__(cls)
        typed.__dict__.update(rows.__dict__, _record_class=record, _fields=fields, _order=None)
        if fields is not None:
            typed._order = _order_of_columns(rows)
        elif other := next((item for item in rows if not isinstance(item, record)), None):
            raise ResultsBroken(rows.pin, f"expected {record.__name__}, got {type(other).__name__}")
        return typed

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Record]:
        return super().__iter__()

    def __reversed__(self) -> Iterator[Record]:
        return super().__reversed__()

    def _record(self, raw: Any) -> Any:  # noqa: ANN401 - see the class
        if self._fields is None:
            return super()._record(raw)
        values = self._converted(raw)
        if self._order is not None:
            values = [values[index] for index in self._order]
        return self._record_class(**dict(zip(self._fields, values, strict=True)))


def _order_of_columns(rows: Rows) -> tuple[int, ...] | None:
    """The indexes of the pinned columns in the rows; None if they are the same. Columns of the same name keep their
    order.

    Raises ColumnsBroken.
    """
    pinned = tuple([replace(column, type="unknown") if column.varies else column for column in rows.pin.columns or ()])
    received = tuple(zip(rows.columns, rows.types, strict=True))
    mistakes = column_mistakes(pinned, received, "name", None, bool(rows.is_from_table))
    if mistakes:
        raise ColumnsBroken(rows.pin, mistakes, received)
    if rows.columns == tuple([column.name for column in pinned]):
        return None
    indexes: dict[str, list[int]] = {}
    for index, name in reversed([*enumerate(rows.columns)]):
        indexes.setdefault(name, []).append(index)
    return tuple([indexes[column.name].pop() for column in pinned])


_ROWS_IN_HTML: Final = 20
_TEXT_IN_HTML: Final = 200


def _cell(value: object) -> str:
    """A value as HTML, cut if it is long."""
    from html import escape

    if value is None:
        return "<em>None</em>"
    text = value if isinstance(value, str) else str(value)
    return escape(text if len(text) <= _TEXT_IN_HTML else f"{text[:_TEXT_IN_HTML]}…")


def _unpickled(kind: type[Rows], state: dict[str, Any]) -> Rows:
    return kind._restored(state)


def rows_of[Kind: Rows](
    pin: Pin,
    answer: RunAnswer,
    *,
    results: list[Any] | None = None,
    has_more: bool | None = False,
    age: float = 0.0,
    is_stale: bool = False,
    is_shared: bool = False,
    kind: type[Kind] = Rows,  # type: ignore[assignment]  # the default for callers that pass no class
) -> Kind:
    """The rows of an answer, or only `results` if they are passed.

    `is_shared`: a cache shares the answer, so its containers are copied before the app gets them. `kind` is the class
    of the returned rows. Raises ResultsBroken for an insight whose results do not have the shape of their kind.
    """
    if is_shared and answer.columns is None:
        raw = own(answer.raw)
        raw_results = raw["results"]
        answer = replace(answer, raw=raw, results=raw_results if isinstance(raw_results, list) else [raw_results])
        is_shared = False
    records_or_rows: Sequence[Any] = answer.results if results is None else results
    if answer.columns is None:
        if pin.kind == HOGQL:
            raise ResultsBroken(pin, "the answer has no columns")
        records_or_rows = records(pin, records_or_rows)
    return kind(
        pin,
        answer,
        results=records_or_rows,
        has_more=has_more,
        age=age,
        is_stale=is_stale,
        is_shared=is_shared,
    )


def _columns_of(objects: list[dict[str, Any]]) -> list[tuple[str, str, list[Any]]]:
    keys = dict.fromkeys(key for item in objects for key in item)
    return [(key, "unknown", [item.get(key) for item in objects]) for key in keys]
