"""How many requests a key may still make: the server's windows kept on this side too (docs/server.md#budgets).

One SQLite file for all processes of a user on this machine. Only hashes of keys are in it. The windows are
pyrate-limiter's; a transaction of SQLite, opened for writing before anything is read, keeps processes from counting at
the same time.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from endpoints_gitops.api.connection import Connection
from endpoints_gitops.model.secret import KeyKind

if TYPE_CHECKING:
    from pyrate_limiter import SQLiteBucket

# the server counts a request when it arrives, which is after we counted it, by a time that varies
_MARGIN: Final = 1_000
MINUTE: Final = 60_000 + _MARGIN
HOUR: Final = 3_600_000 + _MARGIN
LONGEST_WAIT: Final = HOUR / 1000
"""Seconds. No window of the server lasts longer, so no wait does: whatever a header, a clock or a file says."""
_PATIENCE_SECONDS: Final = 5.0
_CLEAN_EVERY: Final = 200
_PAUSE: Final = (
    "INSERT INTO pauses VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE "
    "SET until = CASE WHEN until BETWEEN excluded.until AND ? THEN until ELSE excluded.until END"
)
"""A longer pause stays, unless it is longer than any can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Requests in a minute and in an hour."""

    minute: int
    hour: int


DIRECT: Final = Allowance(minute=240, hour=2_400)
MATERIALIZED: Final = Allowance(minute=1_200, hour=12_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left in the present minute and hour, as far as this machine knows; `paused_seconds` while a 429 of the
    server lasts.
    """

    minute: int
    hour: int
    paused_seconds: float = 0.0


class Counting(Protocol):
    """What a client counts its requests in. `is_remote`: another machine is asked, which an event loop must not wait
    for.
    """

    @property
    def is_remote(self) -> bool: ...

    def take(self, *, materialized: bool) -> float:
        """Count one request that is about to be sent, and return 0; or count none, and return the seconds to wait."""

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """The server says that the budget is spent for so long."""

    def left(self) -> Mapping[str, Left]:
        """What is left, for `direct` and `materialized` requests."""

    def reset(self) -> None:
        """Forget what was counted for the key, and every pause."""

    def close(self) -> None:
        """Nothing is counted any more."""


class Budget:
    """The budget of one key on one host; of all project secret keys of a project together.

    A file that cannot be used is no reason to stop: the server has the last word. `notice` is told, once.
    `opens_later`: with the first count, which an event loop leaves to a thread, as another process may hold the file.
    """

    is_remote: Final = False

    def __init__(
        self,
        path: Path,
        connection: Connection,
        *,
        notice: Callable[[str], None],
        direct: Allowance = DIRECT,
        materialized: Allowance = MATERIALIZED,
        opens_later: bool = False,
    ) -> None:
        self._path = path
        self._notice = notice
        self._lock = threading.RLock()
        self._taken = 0
        self._owner = owner_of(connection)
        self._allowances = {"direct": direct, "materialized": materialized}
        self._buckets: dict[str, SQLiteBucket] = {}
        self._sqlite: sqlite3.Connection | None = None
        self._is_opened = False
        if not opens_later:
            self._open()

    def take(self, *, materialized: bool) -> float:
        """Count one request that is about to be sent, and return 0; or count none, and return the seconds to wait."""
        kind = kind_of(materialized)
        if self._taken % _CLEAN_EVERY == 0:
            self._alone(lambda _: self._buckets[kind].leak(_now()), 0)
        self._taken += 1
        return self._alone(lambda sqlite: self._paused(sqlite, kind) or self._put(sqlite, kind), 0.0)

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """The server says that the budget is spent: no process on this machine asks before that is over."""
        now = _now()
        row = (self._table(kind_of(materialized)), now + milliseconds_of(seconds), now + HOUR)
        self._alone(lambda sqlite: sqlite.execute(_PAUSE, row), None)

    def left(self) -> Mapping[str, Left]:
        """For `direct` and `materialized` requests; empty where the file cannot be used."""
        return self._alone(lambda sqlite: {kind: self._left(sqlite, kind) for kind in self._allowances}, {})

    def reset(self) -> None:
        """Forget what was counted for the key, and every pause."""
        self._alone(self._forget, None)

    def close(self) -> None:
        """Nothing is counted any more."""
        with self._lock:
            self._is_opened = True
            if self._sqlite is not None:
                self._sqlite.close()
            self._sqlite = None

    def _open(self) -> None:
        if self._is_opened:
            return
        self._is_opened = True
        try:
            self._sqlite = _opened(self._path)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        self._alone(self._make_tables, None)

    def _alone[T](self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What `work` returns, done while no other process counts; `otherwise` where the file cannot be used."""
        with self._lock:
            self._open()
            if self._sqlite is None:
                return otherwise
            try:
                self._sqlite.execute("BEGIN IMMEDIATE")
                try:
                    return work(self._sqlite)
                finally:
                    self._sqlite.commit()
            except sqlite3.Error as error:
                self._give_up(error)
                return otherwise

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._notice(f"going on without counting requests: {self._path} cannot be used ({error})")

    def _make_tables(self, sqlite: sqlite3.Connection) -> None:
        from pyrate_limiter import Rate, SQLiteBucket
        from pyrate_limiter.buckets.sqlite_bucket import Queries

        sqlite.execute("CREATE TABLE IF NOT EXISTS pauses (bucket TEXT PRIMARY KEY, until INTEGER NOT NULL)")
        for kind, allowed in self._allowances.items():
            table = self._table(kind)
            sqlite.execute(Queries.CREATE_BUCKET_TABLE.format(table=table))
            sqlite.execute(Queries.CREATE_INDEX_ON_TIMESTAMP.format(index_name=f"{table}_times", table_name=table))
            rates = [Rate(allowed.minute, MINUTE), Rate(allowed.hour, HOUR)]
            self._buckets[kind] = SQLiteBucket(rates, sqlite, table)

    def _put(self, sqlite: sqlite3.Connection, kind: str) -> float:
        from pyrate_limiter import RateItem

        bucket, item = self._buckets[kind], RateItem("", _now())
        if bucket.put(item) or (self._drop_future(sqlite, kind) and bucket.put(item)):
            return 0.0
        wait = bucket.waiting(item)
        assert isinstance(wait, int), "SQLite's bucket is not asynchronous"
        return min(max(1, wait), HOUR) / 1000

    def _forget(self, sqlite: sqlite3.Connection) -> None:
        for table in map(self._table, self._allowances):
            sqlite.execute(f"DELETE FROM {table}")  # noqa: S608 - a hash
            sqlite.execute("DELETE FROM pauses WHERE bucket = ?", (table,))

    def _drop_future(self, sqlite: sqlite3.Connection, kind: str) -> bool:
        """Whether requests were counted at times that are not here yet: a clock was ahead. They count no longer."""
        table = self._table(kind)
        dropped = sqlite.execute(f"DELETE FROM {table} WHERE item_timestamp > ?", (_now() + _MARGIN,))  # noqa: S608 - a hash
        return dropped.rowcount > 0

    def _paused(self, sqlite: sqlite3.Connection, kind: str) -> float:
        """A pause that would last longer than any window was written under another clock, and does not count."""
        row = sqlite.execute("SELECT until FROM pauses WHERE bucket = ?", (self._table(kind),)).fetchone()
        milliseconds = row[0] - _now() if row else 0
        return milliseconds / 1000 if 0 < milliseconds <= HOUR else 0.0

    def _left(self, sqlite: sqlite3.Connection, kind: str) -> Left:
        allowed = self._allowances[kind]
        counted = f"SELECT count(*) FROM {self._table(kind)} WHERE item_timestamp BETWEEN ? AND ?"  # noqa: S608 - a hash
        now = _now()
        minute, hour = (
            sqlite.execute(counted, (now - window, now + _MARGIN)).fetchone()[0] for window in (MINUTE, HOUR)
        )
        return Left(
            minute=max(0, allowed.minute - minute),
            hour=max(0, allowed.hour - hour),
            paused_seconds=self._paused(sqlite, kind),
        )

    def _table(self, kind: str) -> str:
        return f"{kind}_{self._owner}"


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sqlite = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        sqlite.execute("PRAGMA synchronous = OFF")  # a count that a power cut loses is no loss
        with contextlib.suppress(sqlite3.OperationalError):  # another process is at it; and a mode is no need
            sqlite.execute("PRAGMA journal_mode = WAL")  # making a journal for each request costs more than counting it
    except sqlite3.Error:
        sqlite.close()
        raise
    return sqlite


def owner_of(connection: Connection) -> str:
    """Whose budget it is. A project's secret keys share one, which is never larger than that of any of them alone."""
    key = connection.key
    who = f"project {connection.project_id}" if key.kind is KeyKind.PROJECT_SECRET else f"key {key.reveal()}"
    return hashlib.sha256(f"{connection.host.lower()}\n{who}".encode()).hexdigest()[:32]


def milliseconds_of(seconds: float) -> int:
    """A pause that the server asks for, no longer than the longest window."""
    return int(min(max(0.001, seconds), LONGEST_WAIT) * 1000)


def kind_of(materialized: bool) -> str:
    return "materialized" if materialized else "direct"


def _now() -> int:
    return time.time_ns() // 1_000_000
