"""The database: its tables, its lock, and the questions that several routes ask."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from endpoints_gitops.local.store.rows import (
    ApiKey,
    LogEntry,
    Project,
    StoredEndpoint,
    StoredVariable,
    StoredVersion,
    User,
    View,
)
from endpoints_gitops.local.store.table import Table

FILE_NAME = "local-server.sqlite3"


class Store:
    """All state of one local server. Hold `lock` around what must not be interleaved with other requests."""

    def __init__(self, folder: Path | None) -> None:
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(_file(folder), check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self.projects = Table(self._connection, Project, "projects")
        self.users = Table(self._connection, User, "users")
        self.keys = Table(self._connection, ApiKey, "keys")
        self.endpoints = Table(self._connection, StoredEndpoint, "endpoints")
        self.versions = Table(self._connection, StoredVersion, "versions")
        self.variables = Table(self._connection, StoredVariable, "variables")
        self.logs = Table(self._connection, LogEntry, "logs")
        self.views = Table(self._connection, View, "views")
        for statement in _INDEXES:
            self._connection.execute(statement)

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing of it."""
        with self.lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def execute(self, sql: str) -> None:
        """For tests that need the database to fail in a certain way."""
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

    def user(self, user_id: int | None) -> User | None:
        return None if user_id is None else self.users.first("id = ?", (user_id,))

    def variables_of(self, project: Project) -> list[StoredVariable]:
        return self.variables.select("project_id = ?", (project.id,))


def new_id() -> str:
    """A UUID that sorts by the time it was made at, as PostHog's do."""
    moment = time.time_ns() // 1_000_000
    text = f"{moment:012x}7{secrets.randbits(12):03x}{0x8000 | secrets.randbits(14):04x}{secrets.token_hex(6)}"
    return str(uuid.UUID(text))


def _file(folder: Path | None) -> str:
    if folder is None:
        return ":memory:"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE_NAME
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    return str(file)


_INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS endpoint_names ON endpoints (project_id, name) WHERE deleted_at IS NULL",
    "CREATE UNIQUE INDEX IF NOT EXISTS version_numbers ON versions (endpoint_id, number)",
    "CREATE UNIQUE INDEX IF NOT EXISTS code_names ON variables (project_id, code_name)",
    "CREATE UNIQUE INDEX IF NOT EXISTS key_hashes ON keys (hash)",
    "CREATE INDEX IF NOT EXISTS builds ON versions (building_since) WHERE building_since IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS log_entries ON logs (endpoint_id, timestamp)",
)
