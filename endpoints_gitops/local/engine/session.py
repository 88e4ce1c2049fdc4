"""The embedded ClickHouse: one database in memory for each engine, dropped with it, and its values as the API writes
them (docs/server.md#hogql). The only module that knows chdb.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from endpoints_gitops.contract.clickhouse import ClickHouseType, parse_type
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import from_clickhouse

type Convert = Callable[[Any], Any]

_AS_IS: Final[Convert] = lambda value: value  # noqa: E731 - compared by identity, to leave whole columns alone


def converted(rows: list[list[Any]], types: list[str]) -> list[list[Any]]:
    """The rows with datetimes in ISO 8601 and floats as numbers; ClickHouse writes all other values like the API."""
    converters = [converter(name) for name in types]
    if all(convert is _AS_IS for convert in converters):
        return rows
    return [[convert(value) for convert, value in zip(converters, row, strict=True)] for row in rows]


def converter(written: str) -> Convert:
    """The conversion of values of this type; NULL is not converted."""
    of = parse_type(written)
    if of.name.startswith("DateTime"):
        return _timestamps(of)
    if of.name.startswith(("Float", "BFloat")):
        return lambda value: float(value) if isinstance(value, int) else value
    if of.name == "Array":
        return _items(converter(of.inner[0]))
    if of.name == "Tuple":
        return _parts([converter(part) for part in of.inner])
    if of.name == "Map":
        return _values(converter(of.inner[1]))
    return _AS_IS


def _items(convert: Convert) -> Convert:
    if convert is _AS_IS:
        return _AS_IS
    return lambda value: value if value is None else [convert(item) for item in value]


def _parts(converters: list[Convert]) -> Convert:
    if all(convert is _AS_IS for convert in converters):
        return _AS_IS
    return lambda value: value and [convert(item) for convert, item in zip(converters, value, strict=True)]


def _values(convert: Convert) -> Convert:
    if convert is _AS_IS:
        return _AS_IS
    return lambda value: value and {key: convert(item) for key, item in value.items()}


def _timestamps(of: ClickHouseType) -> Convert:
    """Convert a time from UTC, in which ClickHouse returns it, to the zone of the column."""
    zone = next((argument.strip("'") for argument in of.arguments if argument.startswith("'")), None)

    def convert(value: Any) -> Any:  # noqa: ANN401 - a text or None
        if value is None:
            return None
        timestamp = _read(value).astimezone(UTC if zone is None else ZoneInfo(zone))
        written = timestamp.replace(tzinfo=None).isoformat(
            timespec="microseconds" if timestamp.microsecond else "seconds"
        )
        return written + ("" if zone is None else _offset(timestamp, zone))

    return convert


def _read(value: str) -> datetime:
    """Truncate nanoseconds to the precision of the API."""
    whole, dot, fraction = value.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}{dot}{fraction[:6]}").replace(tzinfo=UTC)


def _offset(timestamp: datetime, zone: str) -> str:
    return "Z" if zone == "UTC" else timestamp.isoformat()[-6:]


SECONDS: Final = 10
"""Seconds that a query may take."""
MEMORY: Final = 2_000_000_000
"""Bytes that a query may use."""
MEMORY_OF_ALL: Final = 3_000_000_000
"""Bytes that all queries of the process may use at the same time; over it, ClickHouse stops the largest."""
CONNECTIONS: Final = 8
"""Queries that run at the same time; further ones wait."""
_SETTINGS: Final = {
    "session_timezone": "'UTC'",
    "transform_null_in": 1,
    "max_memory_usage": MEMORY,
    "max_memory_usage_for_user": MEMORY_OF_ALL,
    "max_threads": 2,
    "optimize_min_equality_disjunction_chain_length": 4294967295,
    "allow_experimental_join_condition": 1,
    "max_ast_elements": 4_000_000,
    "max_query_size": 2_000_000,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_named_tuples_as_objects": 0,
    "output_format_json_validate_utf8": 1,
    "date_time_output_format": "'iso'",
    "use_variant_as_common_type": 0,
}
_CLOSED: Final = "DROP DATABASE IF EXISTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer of ClickHouse: names, types and rows."""

    names: list[str]
    types: list[str]
    rows: list[list[Any]]


class ClickHouseSession:
    """A database of its own. Several threads may ask: each query has a connection, and waits while none of the
    `CONNECTIONS` is free.

    A query may take `seconds`. All engines of a process share one ClickHouse in memory, so each keeps to a database of
    its own.
    """

    def __init__(self, *, seconds: int = SECONDS) -> None:
        self.database = f"engine_{uuid.uuid4().hex}"
        self._settings = {**_SETTINGS, "max_execution_time": seconds}
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._idle: list[Any] = [self._connected()]
        self._is_closed = False

    def execute(self, sql: str, answer_format: str = "TSVRaw") -> str:
        """Execute a statement and return its text. Raises QueryRefused with ClickHouse's reason."""
        return self._asked(sql, answer_format)

    def ask(self, sql: str) -> RawAnswer:
        """Execute a query and return its answer. Raises QueryRefused with ClickHouse's reason."""
        answer = json.loads(self._asked(sql, "JSONCompact"))
        meta = answer["meta"]
        return RawAnswer(
            names=[str(column["name"]) for column in meta],
            types=[str(column["type"]) for column in meta],
            rows=answer["data"],
        )

    def types_of(self, sql: str) -> list[str]:
        """The types of a query's columns, without running it."""
        described: Sequence[Sequence[Any]] = self.ask(f"DESCRIBE ({sql})").rows
        return [str(row[1]) for row in described]

    def columns_of(self, table: str) -> list[tuple[str, str]]:
        """The names and types of a table's columns."""
        return [(str(row[0]), str(row[1])) for row in self.ask(f"DESCRIBE TABLE {identifier(table)}").rows]

    def close(self) -> None:
        """Drop the database, after the queries that run."""
        if self._is_closed:
            return
        self._is_closed = True
        for _ in range(CONNECTIONS):
            self._free.acquire()
        self._idle[-1].query(f"{_CLOSED} {self.database}")
        while self._idle:
            self._idle.pop().close()
        self._free.release(CONNECTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self, sql: str, answer_format: str) -> str:
        with self._connection() as connection:
            try:
                return str(connection.query(sql, answer_format))
            except RuntimeError as error:
                # output of a failed query would precede the next answer: this statement consumes it
                connection.query("SELECT 1", answer_format)
                raise from_clickhouse(str(error)) from None

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection that no other thread uses. Raises QueryRefused if the session is closed."""
        with self._free:
            if self._is_closed:
                raise from_clickhouse("The engine is closed")
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connected()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def _connected(self) -> Any:  # noqa: ANN401 - chdb has no types
        from chdb import session

        untyped: Any = session
        connection = untyped.Session()
        connection.query(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        connection.query(f"USE {self.database}")
        connection.query("SET " + ", ".join(f"{name} = {value}" for name, value in self._settings.items()))
        return connection
