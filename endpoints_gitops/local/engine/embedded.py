"""The embedded ClickHouse: a database in memory for each session, dropped with it. The only module that knows chdb."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, Final

from endpoints_gitops.local.engine.literals import identifier, literal
from endpoints_gitops.local.engine.refusals import from_clickhouse, timed_out
from endpoints_gitops.local.engine.session import MEANING, SECONDS, ClickHouseSession, limits

MEMORY_OF_ALL: Final = 3_000_000_000
"""Bytes that all queries of the process may use at the same time; over it, ClickHouse stops the largest."""
CONNECTIONS: Final = 8
"""Queries that run at the same time; further ones wait."""
_PATIENCE: Final = 2.0
"""Seconds that a query gets beyond its own: to wait for a connection, and to be ended by ClickHouse."""
_OF_MACHINE: Final[dict[str, str | int]] = {"max_threads": 2, "max_memory_usage_for_user": MEMORY_OF_ALL}
_OF_FILES: Final[dict[str, str | int]] = {
    "input_format_max_rows_to_read_for_schema_inference": 2**62,
    "input_format_max_bytes_to_read_for_schema_inference": 2**62,
}
"""The types of a file's columns are those of all its rows: of its first rows alone (25,000 by default), a column that
comes later would be left out without a word."""
_FAILED: Final = "Streaming query failed: "


class EmbeddedSession(ClickHouseSession):
    """A database in the ClickHouse of this process. Each query has a connection, and waits while none of the
    `CONNECTIONS` is free.

    A query of a user may take `seconds`. All sessions of a process share one ClickHouse in memory, so each keeps to a
    database of its own.
    """

    def __init__(self, *, seconds: int = SECONDS) -> None:
        self.database = f"engine_{uuid.uuid4().hex}"
        self._seconds = seconds
        self._is_restricted = False
        self._settings = MEANING | _OF_MACHINE | _OF_FILES
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._is_closed = False
        connection = _connected()
        connection.query(f"CREATE DATABASE {self.database}")
        self._idle: list[Any] = [self._prepared(connection)]

    @property
    def files(self) -> EmbeddedSession:
        return self

    def execute(self, sql: str, answer_format: str = "TSVRaw") -> str:
        """As of every session. A query of a user ends after its seconds here even where ClickHouse does not end it: it
        looks at the time between blocks, and one call of a function on a long text can take minutes."""
        if not self._is_restricted:
            with self._connection() as connection:
                return _answer(connection, sql, answer_format)
        answer: Future[str] = Future()
        Thread(target=self._answer_into, args=(answer, sql, answer_format), daemon=True).start()
        try:
            return answer.result(self._seconds + _PATIENCE)
        except TimeoutError:
            answer.cancel()
            raise timed_out() from None

    def _answer_into(self, answer: Future[str], sql: str, answer_format: str) -> None:
        try:
            with self._connection() as connection:
                if answer.set_running_or_notify_cancel():
                    answer.set_result(_answer(connection, sql, answer_format))
        except BaseException as error:
            answer.set_exception(error)

    def stream(self, sql: str, answer_format: str) -> Iterator[bytes]:
        """The answer of a query in parts of whole rows. Raises QueryRefused with ClickHouse's reason."""
        with self._connection() as connection:
            try:
                for part in connection.send_query(sql, answer_format):
                    yield part.bytes()
            except RuntimeError as error:
                raise from_clickhouse(str(error).removeprefix(_FAILED)) from None

    def insert(self, table: str, lines: str) -> None:
        self.execute(f"INSERT INTO {identifier(table)} FORMAT JSONEachRow\n{lines}")

    def load(self, table: str, source: str) -> None:
        created = f"CREATE TABLE {identifier(table)} ENGINE = MergeTree ORDER BY tuple()"
        self.execute(f"{created} AS SELECT * FROM {source}")  # noqa: S608 - our own name, quoted

    def restrict(self) -> None:
        self._is_restricted = True
        self._settings |= limits(self._seconds)
        before, self._idle = self._idle, [self._prepared(_connected())]
        with suppress(RuntimeError):  # a build of ClickHouse for another system can do without jemalloc
            before[0].query("SYSTEM JEMALLOC PURGE")  # else what loading took goes back to the system much later
        for connection in before:
            connection.close()

    def close(self) -> None:
        """Drop the database, after the queries that run."""
        if self._is_closed:
            return
        self._is_closed = True
        end = time.monotonic() + self._seconds + _PATIENCE
        free = [self._free.acquire(timeout=max(0.0, end - time.monotonic())) for _ in range(CONNECTIONS)]
        if not all(free):
            return  # a query that ClickHouse does not end still uses the database, which goes with the process
        unrestricted = _connected()
        unrestricted.query(f"DROP DATABASE IF EXISTS {self.database}")
        for connection in (*self._idle, unrestricted):
            connection.close()
        self._free.release(CONNECTIONS)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection that no other thread uses. Raises QueryRefused if the session is closed."""
        with self._free:
            if self._is_closed:
                raise from_clickhouse("The engine is closed")
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._prepared(_connected())
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def _prepared(self, connection: Any) -> Any:  # noqa: ANN401 - chdb has no types
        connection.query(f"USE {self.database}")
        connection.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in self._settings.items()))
        return connection


def _answer(connection: Any, sql: str, answer_format: str) -> str:  # noqa: ANN401 - chdb has no types
    try:
        return str(connection.query(sql, answer_format))
    except RuntimeError as error:
        # output of a failed query would precede the next answer: this statement consumes it
        connection.query("SELECT 1", answer_format)
        raise from_clickhouse(str(error)) from None


def _connected() -> Any:  # noqa: ANN401 - chdb has no types
    from chdb import session

    untyped: Any = session
    return untyped.Session()
