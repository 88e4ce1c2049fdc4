"""Rate limits of a key, enforced before a request is sent (docs/server.md#budgets).

The server limits the requests of a key per minute and per hour. Each limiter here keeps a sliding
window log, which all processes that use the key share: in a SQLite file (`FileRateLimiter`) or in Redis
(`RedisRateLimiter`).

The algorithm: the log holds the time of every admitted request of the last hour. A request is admitted when, for each
window (N requests in T milliseconds), fewer than N logged requests are younger than T. Otherwise it waits until the
Nth newest leaves the window. Deciding and logging are one atomic step: a SQLite transaction, or a script in Redis.

`CallSlots` limit the calls that one process makes at once.

Only hashes of keys are stored. Entries with a time in the future come from a clock that was ahead, and do not count.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from endpoints_gitops.api.connection import Connection
from endpoints_gitops.errors import UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.secret import KeyKind

if TYPE_CHECKING:
    from redis import Redis

# The server logs a request when it arrives, which is later than here by a varying delay.
_MARGIN: Final = 1_000
MINUTE: Final = 60_000 + _MARGIN
HOUR: Final = 3_600_000 + _MARGIN
LONGEST_WAIT: Final = HOUR / 1000
"""Seconds: the longest window, and the maximum of every wait that a header, a clock or a file asks for."""

_KINDS: Final = ("direct", "materialized")
_FILE_PATIENCE: Final = 5.0
_REDIS_PATIENCE: Final = 1.0
REDIS_OUTAGE: Final = 30.0

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS requests (bucket TEXT NOT NULL, sent INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS requests_by_time ON requests (bucket, sent)",
    "CREATE TABLE IF NOT EXISTS pauses (bucket TEXT PRIMARY KEY, until INTEGER NOT NULL)",
)
_NTH_NEWEST: Final = "SELECT sent FROM requests WHERE bucket = ? ORDER BY sent DESC LIMIT 1 OFFSET ?"
_PAUSE: Final = (
    "INSERT INTO pauses VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE "
    "SET until = CASE WHEN until BETWEEN excluded.until AND ? THEN until ELSE excluded.until END"
)
"""Keeps the longer pause, unless it is longer than any window."""

_ACQUIRE_IN_REDIS: Final = """
local log, pauses, request = KEYS[1], KEYS[2], ARGV[1]
local longest, margin = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = redis.call('PTTL', pauses)
if wait > 0 and wait <= longest then return wait end
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - longest - 1)
redis.call('ZREMRANGEBYSCORE', log, now + margin + 1, '+inf')
wait = 0
for argument = 4, #ARGV, 2 do
    local limit, window = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
    local nth = redis.call('ZREVRANGE', log, limit - 1, limit - 1, 'WITHSCORES')
    if nth[2] then wait = math.max(wait, nth[2] + window + 1 - now) end
end
if wait == 0 then
    redis.call('ZADD', log, now, request)
    redis.call('PEXPIRE', log, 2 * longest)
end
return wait
"""
"""All times are from Redis, so that machines with different clocks count alike."""

_PAUSE_IN_REDIS: Final = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests that the server allows in a minute and in an hour."""

    minute: int
    hour: int

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """Pairs of limit and window in milliseconds."""
        return (self.minute, MINUTE), (self.hour, HOUR)


DIRECT: Final = RateLimit(minute=240, hour=2_400)
MATERIALIZED: Final = RateLimit(minute=1_200, hour=12_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """The remaining requests in the current minute and hour, as far as this limiter knows.

    `paused_seconds` is the rest of a pause that the server asked for with a 429.
    """

    minute: int
    hour: int
    paused_seconds: float = 0.0


class RateLimiter(Protocol):
    """Limits the requests of a client. Materialized runs have separate limits."""

    @property
    def is_remote(self) -> bool:
        """Whether the limiter calls another machine, for which an event loop must not block."""

    def acquire(self, *, materialized: bool) -> float:
        """Admit and log one request and return 0; or admit none and return the seconds to wait."""

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """Admit no request for this many seconds, in any process, because the server asked for a pause."""

    def remaining(self) -> Mapping[str, Remaining]:
        """The remaining requests of the limits `direct` and `materialized`; empty if the log cannot be read."""

    def reset(self) -> None:
        """Forget every request and pause of the key."""

    def close(self) -> None:
        """Release the log. Later requests are admitted without being counted."""


_SQLITE: Final = threading.RLock()
"""Held while this process uses SQLite, so that a fork waits for it. A child could never take a mutex that another
thread of its parent holds in SQLite.
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_SQLITE.acquire, after_in_parent=_SQLITE.release, after_in_child=_SQLITE.release)


class FileRateLimiter:
    """The limits of one key on one host, shared by all processes of a user. The secret keys of a project share one log.

    If the file cannot be used, requests are admitted uncounted and `notice` is called once with the reason: the server
    enforces its limits anyway. `opens_later` opens the file with the first request instead of here; an event loop
    leaves both to a thread, as another process may have locked the file. `now` returns milliseconds.
    """

    is_remote: Final = False

    def __init__(
        self,
        path: Path,
        connection: Connection,
        *,
        notice: Callable[[str], None],
        direct: RateLimit = DIRECT,
        materialized: RateLimit = MATERIALIZED,
        opens_later: bool = False,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._path = path
        self._notice = notice
        self._now = now
        self._windows = {"direct": direct.windows, "materialized": materialized.windows}
        owner = _owner(connection)
        self._buckets = {kind: f"{kind}_{owner}" for kind in _KINDS}
        self._sqlite: sqlite3.Connection | None = None
        self._is_opened = False
        if not opens_later:
            with _SQLITE:
                self._open()

    def acquire(self, *, materialized: bool) -> float:
        """Admit and log one request and return 0; or admit none and return the seconds to wait."""
        return self._transaction(partial(self._acquire, kind=_KINDS[materialized]), 0.0)

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """Admit no request for this many seconds, in any process of the user."""
        now = self._now()
        row = (self._buckets[_KINDS[materialized]], now + _pause_milliseconds(seconds), now + HOUR)
        self._transaction(lambda sqlite: sqlite.execute(_PAUSE, row), None)

    def remaining(self) -> Mapping[str, Remaining]:
        """The remaining requests of the limits `direct` and `materialized`; empty if the file cannot be used."""
        return self._transaction(lambda sqlite: {kind: self._remaining(sqlite, kind) for kind in _KINDS}, {})

    def reset(self) -> None:
        """Forget every request and pause of the key."""
        buckets = [(self._buckets[kind],) for kind in _KINDS]

        def forget(sqlite: sqlite3.Connection) -> None:
            sqlite.executemany("DELETE FROM requests WHERE bucket = ?", buckets)
            sqlite.executemany("DELETE FROM pauses WHERE bucket = ?", buckets)

        self._transaction(forget, None)

    def close(self) -> None:
        """Close the file. Later requests are admitted without being counted."""
        with _SQLITE:
            self._is_opened = True
            if self._sqlite is not None:
                self._sqlite.close()
            self._sqlite = None

    def _open(self) -> None:
        self._is_opened = True
        try:
            self._sqlite = _open_file(self._path)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        self._transaction(self._prepare, None)

    def _prepare(self, sqlite: sqlite3.Connection) -> None:
        """Create the tables, and delete the requests of all keys that are older than an hour."""
        for statement in _SCHEMA:
            sqlite.execute(statement)
        sqlite.execute("DELETE FROM requests WHERE sent < ?", (self._now() - HOUR,))

    def _transaction[T](self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Call `work` in an exclusive transaction and return its result; `otherwise` if the file cannot be used."""
        with _SQLITE:
            if not self._is_opened:
                self._open()
            if self._sqlite is None:
                return otherwise
            try:
                _execute(self._sqlite, "BEGIN IMMEDIATE")
                result = work(self._sqlite)
                _execute(self._sqlite, "COMMIT")
            except sqlite3.Error as error:
                self._give_up(error)  # closing rolls back
                return otherwise
            return result

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._notice(f"requests are not counted: cannot use {self._path} ({error})")

    def _acquire(self, sqlite: sqlite3.Connection, kind: str) -> float:
        now, bucket = self._now(), self._buckets[kind]
        paused = _paused_milliseconds(sqlite, bucket, now)
        if paused:
            return paused / 1000
        sqlite.execute("DELETE FROM requests WHERE bucket = ? AND sent < ?", (bucket, now - HOUR))
        wait = self._wait(sqlite, kind, now)
        if (
            wait
            and sqlite.execute("DELETE FROM requests WHERE bucket = ? AND sent > ?", (bucket, now + _MARGIN)).rowcount
        ):
            wait = self._wait(sqlite, kind, now)
        if wait == 0:
            sqlite.execute("INSERT INTO requests VALUES (?, ?)", (bucket, now))
        return min(wait, HOUR) / 1000

    def _wait(self, sqlite: sqlite3.Connection, kind: str, now: int) -> int:
        """Milliseconds until every window admits a request."""
        wait = 0
        for limit, window in self._windows[kind]:
            row = sqlite.execute(_NTH_NEWEST, (self._buckets[kind], limit - 1)).fetchone()
            if row is not None:
                wait = max(wait, row[0] + window + 1 - now)
        return wait

    def _remaining(self, sqlite: sqlite3.Connection, kind: str) -> Remaining:
        now, bucket = self._now(), self._buckets[kind]
        count = "SELECT count(*) FROM requests WHERE bucket = ? AND sent BETWEEN ? AND ?"
        minute, hour = (
            max(0, limit - sqlite.execute(count, (bucket, now - window, now + _MARGIN)).fetchone()[0])
            for limit, window in self._windows[kind]
        )
        paused = _paused_milliseconds(sqlite, bucket, now)
        return Remaining(minute=minute, hour=hour, paused_seconds=paused / 1000)


class RedisRateLimiter:
    """The limits of one key on one host, shared by all machines that use the Redis at `url`.

    If Redis cannot be reached, requests are admitted uncounted for half a minute, and `notice` is called with the
    reason; then Redis is used again. Raises UsageError if the package `redis` is not installed or `url` is not a Redis
    URL.
    """

    is_remote: Final = True

    def __init__(
        self,
        url: str,
        connection: Connection,
        *,
        notice: Callable[[str], None],
        direct: RateLimit = DIRECT,
        materialized: RateLimit = MATERIALIZED,
    ) -> None:
        self._redis = connect_redis(url, "budget_url")
        self._script = self._redis.register_script(_ACQUIRE_IN_REDIS)
        self._notice = notice
        self._limits = {"direct": direct, "materialized": materialized}
        self._owner = _owner(connection)
        self._retry_at = 0.0

    def acquire(self, *, materialized: bool) -> float:
        """Admit and log one request and return 0; or admit none and return the seconds to wait."""
        kind = _KINDS[materialized]
        windows = [number for window in self._limits[kind].windows for number in window]
        arguments: list[str | int] = [uuid.uuid4().hex, HOUR, _MARGIN, *windows]
        keys = [self._log(kind), self._pause(kind)]
        return self._ask(lambda: min(int(self._script(keys=keys, args=arguments)), HOUR) / 1000, 0.0)

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """Admit no request for this many seconds, on any machine."""
        key, milliseconds = self._pause(_KINDS[materialized]), _pause_milliseconds(seconds)
        self._ask(lambda: self._redis.eval(_PAUSE_IN_REDIS, 1, key, str(milliseconds)), None)

    def remaining(self) -> Mapping[str, Remaining]:
        """The remaining requests of the limits `direct` and `materialized`; empty if Redis cannot be used."""
        return self._ask(lambda: {kind: self._remaining(kind) for kind in _KINDS}, {})

    def reset(self) -> None:
        """Forget every request and pause of the key."""
        keys = [name(kind) for kind in _KINDS for name in (self._log, self._pause)]
        self._ask(lambda: self._redis.delete(*keys), None)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._redis.close()

    def _ask[T](self, work: Callable[[], T], otherwise: T) -> T:
        from redis.exceptions import RedisError

        if time.monotonic() < self._retry_at:
            return otherwise
        try:
            return work()
        except (RedisError, OSError) as error:
            self._retry_at = time.monotonic() + REDIS_OUTAGE
            kind = type(error).__name__  # the text can hold the URL, and with it a password
            self._notice(f"requests are not counted for {REDIS_OUTAGE:.0f} s: cannot use Redis ({kind})")
            return otherwise

    def _remaining(self, kind: str) -> Remaining:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.pttl(self._pause(kind))
        (seconds, micros), paused = pipeline.execute()
        now = seconds * 1000 + micros // 1000
        minute, hour = (
            max(0, limit - int(self._redis.zcount(self._log(kind), now - window, now + _MARGIN)))
            for limit, window in self._limits[kind].windows
        )
        return Remaining(minute=minute, hour=hour, paused_seconds=paused / 1000 if 0 < paused <= HOUR else 0.0)

    def _log(self, kind: str) -> str:
        return f"endpoints-gitops:{kind}:{self._owner}"

    def _pause(self, kind: str) -> str:
        return f"endpoints-gitops:pause:{kind}:{self._owner}"


class CallSlots:
    """Counts the running calls of one key on one host, and lets others wait for one of them to end.

    Calls that are read from a table have a count of their own, as on the server. Who waits continues in the order of
    arrival. A limit belongs to a caller, so clients with different limits can share the count.
    """

    _lock: threading.Lock
    _running: list[int]
    _waiting: tuple[deque[tuple[int, Future[None]]], ...]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start to count anew, as in a forked child, where no call of the parent is running."""
        self._lock = threading.Lock()
        self._running = [0, 0]
        self._waiting = (deque(), deque())

    def claim(self, limit: int, *, materialized: bool) -> Future[None] | None:
        """Count a call, which has to `release` its slot, and return None. If `limit` calls are running, return a
        future instead, which is done when the call is counted; a caller that stops waiting for it has to `withdraw`.
        """
        with self._lock:
            if self._running[materialized] < limit:
                self._running[materialized] += 1
                return None
            future: Future[None] = Future()
            self._waiting[materialized].append((limit, future))
            return future

    def release(self, *, materialized: bool) -> None:
        """Count a call as ended, and let those continue that wait for it."""
        with self._lock:
            self._running[materialized] = max(0, self._running[materialized] - 1)  # 0 after a fork in its call
            waiting, following = self._waiting[materialized], []
            for entry in tuple(waiting):
                limit, future = entry
                if self._running[materialized] < limit:
                    self._running[materialized] += 1
                    waiting.remove(entry)
                    following.append(future)
        for future in following:
            with suppress(InvalidStateError):  # its caller is about to withdraw
                future.set_result(None)

    def withdraw(self, future: Future[None], *, materialized: bool) -> None:
        """Stop waiting for a slot. One that was counted in the meantime is released."""
        with self._lock:
            waiting = self._waiting[materialized]
            entry = next((entry for entry in waiting if entry[1] is future), None)
            if entry is not None:
                waiting.remove(entry)
        if entry is None:
            self.release(materialized=materialized)

    def running(self, *, materialized: bool) -> int:
        """The number of running calls."""
        return self._running[materialized]


_SLOTS: Final[dict[str, CallSlots]] = {}


def call_slots(connection: Connection) -> CallSlots:
    """The slots of the key of a connection, which all clients of this process share."""
    return _SLOTS.setdefault(_owner(connection), CallSlots())


def _reset_slots() -> None:
    for slots in tuple(_SLOTS.values()):
        slots.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_slots)


def _open_file(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sqlite = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _execute(sqlite, "PRAGMA synchronous = OFF")  # losing entries in a power cut does no harm
        _execute(sqlite, "PRAGMA journal_mode = WAL")  # creating a journal for each request is slower than counting it
    except sqlite3.Error:
        sqlite.close()
        raise
    return sqlite


def _execute(sqlite: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that other processes can delay; tried again until the lock is free or patience ends.

    SQLite's own busy timeout is not used: it sleeps for up to 100 ms between tries, so among several busy processes one
    can miss the lock for seconds. Waits are added up, as some tests stop the clock.
    """
    waited = 0.0
    while True:
        try:
            sqlite.execute(statement)
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_busy or waited >= _FILE_PATIENCE:
                raise
        else:
            return
        pause = random.uniform(0.0002, 0.002)  # noqa: S311 - not a secret
        time.sleep(pause)
        waited += pause


def _paused_milliseconds(sqlite: sqlite3.Connection, bucket: str, now: int) -> int:
    """The rest of a pause. A pause longer than any window was stored under a wrong clock and is ignored."""
    row = sqlite.execute("SELECT until FROM pauses WHERE bucket = ?", (bucket,)).fetchone()
    left: int = row[0] - now if row else 0
    return left if 0 < left <= HOUR else 0


def connect_redis(url: str, setting: str) -> Redis:
    """A client of the Redis at a URL, which `setting` has.

    Raises MissingExtra if the package `redis` is not installed, and UsageError if it is not a Redis URL.
    """
    require("redis", setting)
    from redis import Redis

    try:
        return Redis.from_url(url, socket_timeout=_REDIS_PATIENCE, socket_connect_timeout=_REDIS_PATIENCE)
    except (ValueError, AttributeError):  # its text is not repeated: the URL may contain a password
        remedy = f"set {setting} to a URL such as redis://cache.internal:6379/0"
        raise UsageError(f"{setting} is not a Redis URL", fix=remedy, code="usage.budget") from None


def _owner(connection: Connection) -> str:
    """A hash of the host and the owner of the limits: the project for a secret key, otherwise the key itself."""
    key = connection.key
    owner = f"project {connection.project_id}" if key.kind is KeyKind.PROJECT_SECRET else f"key {key.reveal()}"
    return hashlib.sha256(f"{connection.host.lower()}\n{owner}".encode()).hexdigest()[:32]


def _pause_milliseconds(seconds: float) -> int:
    """A pause that the server asks for, capped at the longest window."""
    return int(min(max(0.001, seconds), LONGEST_WAIT) * 1000)
