"""A session with ClickHouse: what the engine needs of one, embedded or on a server, and its values as the API writes
them (docs/server.md#hogql).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Protocol, Self
from zoneinfo import ZoneInfo

from endpoints_gitops.contract.clickhouse import ClickHouseType, parse_type
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import ClickHouseUnavailable

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
    return _timestamps_of(next((argument.strip("'") for argument in of.arguments if argument.startswith("'")), None))


@lru_cache(maxsize=8)
def _timestamps_of(zone: str | None) -> Convert:
    @lru_cache(maxsize=4_096)  # the starts of intervals are few, and repeat in every row and every answer
    def convert(value: str | None) -> str | None:
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
"""Seconds that a query of a user may take."""
MEMORY: Final = 2_000_000_000
"""Bytes that a query of a user may use."""
MEANING: Final[dict[str, str | int]] = {
    "session_timezone": "UTC",
    "transform_null_in": 1,
    "optimize_min_equality_disjunction_chain_length": 4294967295,
    "allow_experimental_join_condition": 1,
    "use_variant_as_common_type": 0,
    "max_ast_elements": 4_000_000,
    "max_query_size": 2_000_000,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_named_tuples_as_objects": 0,
    "output_format_json_validate_utf8": 1,
    "date_time_output_format": "iso",
}
"""The settings that answers depend on."""


def limits(seconds: int) -> dict[str, str | int]:
    """The settings of a query of a user: it writes nothing, reads no files or other servers, and ends."""
    return {"max_execution_time": seconds, "max_memory_usage": MEMORY, "readonly": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer of ClickHouse: names, types and rows."""

    names: list[str]
    types: list[str]
    rows: list[list[Any]]


class FileReader(Protocol):
    """What reads files of this machine: queries of the table function `file`. They raise QueryRefused with ClickHouse's
    reason."""

    def execute(self, sql: str) -> str:
        """Execute a statement and return its text."""

    def ask(self, sql: str) -> RawAnswer:
        """Execute a query and return its answer."""

    def stream(self, sql: str, answer_format: str) -> Iterator[bytes]:
        """The answer of a query in parts of whole rows."""

    def close(self) -> None:
        """End the reader."""


class ClickHouseSession(ABC):
    """A database of its own in a ClickHouse. Several threads may ask at the same time.

    Tables are created and filled first. After `restrict` every statement is a query of a user: it is read-only, and
    limited in time and memory.
    """

    database: str
    on_cluster = ""
    """What statements that create or drop something say after the name."""

    @abstractmethod
    def execute(self, sql: str, answer_format: str = "TSVRaw") -> str:
        """Execute a statement and return its text. Raises QueryRefused with ClickHouse's reason."""

    @abstractmethod
    def insert(self, table: str, lines: str) -> None:
        """Add rows to a table: a JSON object on each line."""

    @abstractmethod
    def load(self, table: str, source: str) -> None:
        """Create a table with the rows of a source that `files` reads, which infers names and types."""

    @property
    @abstractmethod
    def files(self) -> FileReader:
        """What reads files of this machine. Raises UsageError if there is none."""

    @abstractmethod
    def restrict(self) -> None:
        """Accept only queries of users from now on."""

    @abstractmethod
    def close(self) -> None:
        """Drop the database."""

    def engine_of(self, table: str, version: str = "") -> str:  # noqa: ARG002 - for sessions with replicas
        """The table engine of a table, whose rows with the same key the one with the highest `version` replaces."""
        return f"ReplacingMergeTree({version})" if version else "MergeTree"

    def create_table(self, table: str, columns: Sequence[str], order: str, version: str = "") -> None:
        """Create an empty table. `columns` are declarations, `order` the expressions that it is sorted by. Of rows with
        the same `order`, OPTIMIZE leaves the one with the highest value in the column `version`, if it is given."""
        self.execute(
            f"CREATE TABLE {identifier(table)}{self.on_cluster} ({', '.join(columns)}) "
            f"ENGINE = {self.engine_of(table, version)} ORDER BY ({order})"
        )

    def fill(self, table: str, query: str, order: str) -> None:
        """Create a table with the rows of a query."""
        described = self.ask(f"DESCRIBE ({query})").rows
        self.create_table(table, [f"{identifier(str(name))} {written}" for name, written, *_ in described], order)
        self.execute(f"INSERT INTO {identifier(table)} {query}")

    def ask(self, sql: str) -> RawAnswer:
        """Execute a query and return its answer. Raises QueryRefused with ClickHouse's reason."""
        written = self.execute(sql, "JSONCompact")
        try:
            answer = json.loads(written)
        except ValueError:  # a proxy before a server can answer anything
            raise ClickHouseUnavailable(f"an answer of ClickHouse is not JSON: {written[:100]!r}") from None
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
