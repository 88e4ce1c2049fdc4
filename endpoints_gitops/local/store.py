"""The state of the local server: rows, their tables in SQLite, and the queries of the routes."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

from endpoints_gitops.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUser:
    id: int
    uuid: str
    distinct_id: str
    first_name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its text. `user_id` is None for a project secret key; `project_id` is that of `@current`."""

    id: str
    hash: str
    label: str
    scopes: Sequence[str]
    project_id: int
    user_id: int | None
    scoped_projects: Sequence[int]
    created_at: datetime
    last_used_at: datetime | None = None

    @property
    def is_project_secret(self) -> bool:
        return self.user_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEndpoint:
    id: str
    project_id: int
    name: str
    is_active: bool
    derived_from_insight: str | None
    tags: Sequence[str]
    created_by: int
    created_at: datetime
    updated_at: datetime
    last_executed_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version. `reason` says why it cannot be materialized, None when it can.

    It is materialized or being so while `saved_query_id` is set; there is a table once `built_at` is set.
    `building_since` is set while a build runs. `materialized_since` is when it was first asked for.
    """

    id: str
    endpoint_id: str
    number: int
    query: Mapping[str, Any]
    description: str
    data_freshness_seconds: int
    is_active: bool
    optional_breakdown_properties: Sequence[str]
    columns: Sequence[Mapping[str, str]]
    reason: str | None
    created_by: int
    created_at: datetime
    updated_at: datetime | None = None
    last_executed_at: datetime | None = None
    bucket_overrides: Mapping[str, str] | None = None
    saved_query_id: str | None = None
    building_since: datetime | None = None
    built_at: datetime | None = None
    build_error: str | None = None
    materialized_since: datetime | None = None

    @property
    def kind(self) -> str:
        return str(self.query["kind"])

    @property
    def sql(self) -> str:
        """The HogQL text; empty for an insight."""
        return str(self.query.get("query") or "") if self.kind == "HogQLQuery" else ""

    @property
    def is_enabled(self) -> bool:
        return self.saved_query_id is not None

    @property
    def is_materialized(self) -> bool:
        return self.is_enabled and self.built_at is not None

    def refreshed_at(self, now: datetime) -> datetime | None:
        """The time of the last build, which is repeated every `data_freshness_seconds` unless it fails."""
        if self.built_at is None or self.build_error is not None:
            return self.built_at
        every = timedelta(seconds=self.data_freshness_seconds)
        return self.built_at + every * max(0, (now - self.built_at) // every)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVariable:
    id: str
    project_id: int
    name: str
    code_name: str
    type: str
    default_value: Any
    values: Any
    is_multi: bool
    values_query: str | None
    values_query_connection_id: str | None
    created_by: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    id: str
    endpoint_id: str
    instance_id: str
    timestamp: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved query that a user created in PostHog; its name is in use."""

    id: str
    project_id: int
    name: str


_SCALARS = (str, int, bool, float)


class StoredTable[Row]:
    """A table of one kind of row. The first field is the primary key; rows are in order of creation."""

    def __init__(self, connection: sqlite3.Connection, kind: type[Row], name: str) -> None:
        self._connection = connection
        self._kind = kind
        self.name = name
        hints = get_type_hints(kind)
        types = {field.name: _plain(hints[field.name]) for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
        self._names = tuple(types)
        self._writers = tuple((column, _writer(of)) for column, of in types.items())
        self._readers = tuple((column, _reader(of)) for column, of in types.items())
        self.key = self._names[0]
        columns = ", ".join(f'"{column}"' for column in self._names)
        marks = ", ".join("?" * len(self._names))
        changes = ", ".join(f'"{column}" = ?' for column in self._names)
        self._select = f"SELECT {columns} FROM {name}"  # noqa: S608 - our own names
        self._insert = f"INSERT INTO {name} ({columns}) VALUES ({marks})"  # noqa: S608 - our own names
        self._update = f'UPDATE {name} SET {changes} WHERE "{self.key}" = ?'  # noqa: S608 - our own names
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS {name} (place INTEGER PRIMARY KEY, {columns}, UNIQUE("{self.key}"))'
        )

        there = {record[1] for record in connection.execute(f"PRAGMA table_info({name})")}
        for column in (column for column in self._names if column not in there):  # the state is from an older release
            connection.execute(f'ALTER TABLE {name} ADD COLUMN "{column}"')

    def insert(self, row: Row) -> Row:
        self._connection.execute(self._insert, self._written(row))
        return row

    def update(self, row: Row) -> Row:
        self._connection.execute(self._update, (*self._written(row), getattr(row, self.key)))
        return row

    def delete(self, key: str | int) -> None:
        self._connection.execute(f'DELETE FROM {self.name} WHERE "{self.key}" = ?', (key,))  # noqa: S608 - our own names

    def select(self, where: str = "1", values: Sequence[Any] = (), *, tail: str = "ORDER BY place") -> list[Row]:
        sql = f"{self._select} WHERE {where} {tail}"  # our own conditions, values are bound
        return [self._read(record) for record in self._connection.execute(sql, tuple(values))]

    def first(self, where: str, values: Sequence[Any] = (), *, tail: str = "ORDER BY place") -> Row | None:
        found = self.select(where, values, tail=f"{tail} LIMIT 1")
        return found[0] if found else None

    def count(self, where: str = "1", values: Sequence[Any] = ()) -> int:
        sql = f"SELECT count(*) FROM {self.name} WHERE {where}"  # noqa: S608 - our own conditions, values are bound
        (number,) = self._connection.execute(sql, tuple(values)).fetchone()
        return int(number)

    def _written(self, row: Row) -> tuple[Any, ...]:
        values = ((getattr(row, name), write) for name, write in self._writers)
        return tuple(value if value is None or write is None else write(value) for value, write in values)

    def _read(self, record: Sequence[Any]) -> Row:
        pairs = zip(self._readers, record, strict=True)
        return self._kind(
            **{name: value if value is None or read is None else read(value) for (name, read), value in pairs}
        )


def _plain(hint: Any) -> Any:  # noqa: ANN401 - a type of any form
    """The type without `| None`; anything but scalars and times is stored as JSON."""
    arguments = get_args(hint)
    named = [kind for kind in arguments if kind is not type(None)] if type(None) in arguments else [hint]
    return named[0] if len(named) == 1 and named[0] in (*_SCALARS, datetime) else object


def _writer(kind: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - a type
    """What makes a value one that SQLite holds; None for what it holds already."""
    if kind is object:
        return json.dumps
    return datetime.isoformat if kind is datetime else None


def _reader(kind: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - a type
    """What makes a value of SQLite one of this type; None for what it is already."""
    if kind is object:
        return json.loads
    if kind is datetime:
        return datetime.fromisoformat
    return bool if kind is bool else None


FILE_NAME = "local-server.sqlite3"


class Store:
    """The state of a local server. Hold `lock` for changes that must not be interleaved with other requests."""

    def __init__(self, folder: Path | None) -> None:
        """Open the state in a folder, or an empty one in memory. Raises UsageError for a folder that cannot be used,
        and for a file that holds no state."""
        self.lock = threading.RLock()
        self.idle_checked_at: datetime | None = None
        """When tables that idle were looked for; None where times were moved since."""
        file = _file(folder)
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        try:
            self._open_tables()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise UsageError(
                f"{file}: cannot read the state of the local server: {error}",
                fix="delete the file, or choose another folder for --state",
                code="usage.state",
            ) from None

    def _open_tables(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self.projects = StoredTable(self._connection, Project, "projects")
        self.users = StoredTable(self._connection, StoredUser, "users")
        self.keys = StoredTable(self._connection, ApiKey, "keys")
        self.endpoints = StoredTable(self._connection, StoredEndpoint, "endpoints")
        self.versions = StoredTable(self._connection, StoredVersion, "versions")
        self.variables = StoredTable(self._connection, StoredVariable, "variables")
        self.logs = StoredTable(self._connection, LogEntry, "logs")
        self.views = StoredTable(self._connection, View, "views")
        for statement in _INDEXES:
            self._connection.execute(statement)

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    @contextmanager
    def transaction(self, *, keep: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Run the block in a transaction. An exception undoes the block, unless it is one of `keep`."""
        with self.lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except keep:
                self._connection.execute("COMMIT")
                raise
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def execute(self, sql: str) -> None:
        """Execute a statement, for tests that make the database fail."""
        self._connection.execute(sql)

    def endpoint(self, project: Project, name: str) -> StoredEndpoint | None:
        return self.endpoints.first("project_id = ? AND name = ? AND deleted_at IS NULL", (project.id, name))

    def current_version(self, endpoint: StoredEndpoint) -> StoredVersion | None:
        return self.versions.first("endpoint_id = ?", (endpoint.id,), tail="ORDER BY number DESC")

    def version(self, endpoint: StoredEndpoint, number: int) -> StoredVersion | None:
        if not 0 < number < 2**63:
            return None
        return self.versions.first("endpoint_id = ? AND number = ?", (endpoint.id, number))

    def versions_count(self, endpoint: StoredEndpoint) -> int:
        return self.versions.count("endpoint_id = ?", (endpoint.id,))

    def user(self, user_id: int | None) -> StoredUser | None:
        return None if user_id is None else self.users.first("id = ?", (user_id,))

    def variables_of(self, project: Project) -> list[StoredVariable]:
        return self.variables.select("project_id = ?", (project.id,))


def new_id() -> str:
    """A UUID that sorts by creation time, like PostHog's."""
    milliseconds = time.time_ns() // 1_000_000
    text = f"{milliseconds:012x}7{secrets.randbits(12):03x}{0x8000 | secrets.randbits(14):04x}{secrets.token_hex(6)}"
    return str(uuid.UUID(text))


def _file(folder: Path | None) -> str:
    if folder is None:
        return ":memory:"
    file = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        is_file = isinstance(error, FileExistsError)
        reason = "it is a file, not a folder" if is_file else f"{error.filename}: {error.strerror}"
        raise UsageError(
            f"--state {folder}: cannot keep the state of the local server there: {reason}",
            fix="choose another folder for --state",
            code="usage.state",
        ) from None
    return str(file)


_INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS endpoint_names ON endpoints (project_id, name) WHERE deleted_at IS NULL",
    "CREATE INDEX IF NOT EXISTS all_endpoint_names ON endpoints (project_id, name)",
    "CREATE INDEX IF NOT EXISTS endpoint_pages ON endpoints (project_id, place) WHERE deleted_at IS NULL",
    "CREATE UNIQUE INDEX IF NOT EXISTS version_numbers ON versions (endpoint_id, number)",
    "CREATE UNIQUE INDEX IF NOT EXISTS code_names ON variables (project_id, code_name)",
    "CREATE UNIQUE INDEX IF NOT EXISTS key_hashes ON keys (hash)",
    "CREATE INDEX IF NOT EXISTS builds ON versions (building_since) WHERE building_since IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS tables ON versions (materialized_since) WHERE saved_query_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS log_entries ON logs (endpoint_id, timestamp)",
)
