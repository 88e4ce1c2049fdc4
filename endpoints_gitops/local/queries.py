"""The engine that the server asks, opened at the first question: it takes a second and many uses need none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class DescribedColumn(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class Rows(Protocol):
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
    """What the server needs of the engine. Both questions raise QueryRefused."""

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]: ...
    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> Rows: ...
    def close(self) -> None: ...


class LazyEngine:
    """Opens the engine once, when it is first needed."""

    def __init__(self, open_engine: Callable[[], QueryEngine]) -> None:
        self._open = open_engine
        self._engine: QueryEngine | None = None
        self._lock = threading.Lock()

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]:
        return self.open().describe(query_node)

    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> Rows:
        return self.open().run(sql, values, limit=limit, offset=offset)

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def open(self) -> QueryEngine:
        """The engine itself. Raises InvalidInput where its data files are wrong."""
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine
