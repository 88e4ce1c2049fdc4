"""What the server knows of the engine: its interface, and one that opens the engine on first use.

The engine and its translation take long to import, and a server needs them for its first query only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT, ProjectData

MAXIMUM_LIMIT: Final = 50_000
"""The most rows of a query."""
type RowsOfSystemTable = Callable[[str], Iterable[Mapping[str, Any]]]
"""The rows of a system table by its name."""


def no_rows(_name: str) -> Iterable[Mapping[str, Any]]:
    """The rows of system tables where there is no server."""
    return ()


class DescribedColumn(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class EngineRows(Protocol):
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def types(self) -> Sequence[tuple[str, str]]: ...
    @property
    def results(self) -> Sequence[Sequence[Any]]: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def clickhouse(self) -> str: ...


class QueryEngine(Protocol):
    """The interface of the engine. Both methods raise QueryRefused."""

    @property
    def project(self) -> ProjectData: ...

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]: ...
    def run(
        self,
        sql: str,
        values: Mapping[str, Any],
        *,
        limit: int | None,
        offset: int | None,
        maximum: int = ...,
        rows_of: RowsOfSystemTable = ...,
    ) -> EngineRows: ...
    def close(self) -> None: ...


class LazyEngine:
    """Opens the engine once, on first use."""

    def __init__(self, open_engine: Callable[[], QueryEngine], project: ProjectData = UNKNOWN_PROJECT) -> None:
        self._open = open_engine
        self.project = project
        self._engine: QueryEngine | None = None
        self._lock = threading.Lock()

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]:
        return self.open().describe(query_node)

    def run(
        self,
        sql: str,
        values: Mapping[str, Any],
        *,
        limit: int | None,
        offset: int | None,
        maximum: int = MAXIMUM_LIMIT,
        rows_of: RowsOfSystemTable = no_rows,
    ) -> EngineRows:
        return self.open().run(sql, values, limit=limit, offset=offset, maximum=maximum, rows_of=rows_of)

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def open(self) -> QueryEngine:
        """The engine. Raises InvalidInput for mistakes in its data files."""
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine
