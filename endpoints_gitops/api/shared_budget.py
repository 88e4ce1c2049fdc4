"""The budget of a key that several machines share, in Redis (docs/server.md#budgets).

The same windows as in the file of one machine, by the same library; times are Redis' own, so that machines whose clocks
differ count alike. Only hashes of keys are sent there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from endpoints_gitops.api.budget import (
    DIRECT,
    HOUR,
    MATERIALIZED,
    MINUTE,
    Allowance,
    Left,
    kind_of,
    milliseconds_of,
    owner_of,
)
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from pyrate_limiter import Rate
    from redis import Redis

_PATIENCE_SECONDS: Final = 1.0
_OUTAGE_SECONDS: Final = 30.0
_CLEAN_EVERY: Final = 200
_COUNT: Final = """
local time = redis.call('TIME')
local behind = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
ARGV[1] = ARGV[1] + behind
for place = 5, #ARGV, 3 do ARGV[place] = ARGV[place] + behind end
local function put()
{put}
end
local reply = put()
redis.call('PEXPIRE', KEYS[1], {kept})
return reply
"""
"""The library's own script, at the moment in which it runs: it leaves out of its count what is stamped later than the
item, and of two that come at once the first can be. Nothing is kept for ever."""

_LONGER: Final = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end
"""


class SharedBudget:
    """As `Budget`, over the Redis at `url`.

    A Redis that cannot be used is no reason to stop: it is said, and asked again half a minute later. Raises UsageError
    where the package `redis` is not installed, or the address is none.
    """

    is_remote: Final = True

    def __init__(
        self,
        url: str,
        connection: Connection,
        *,
        notice: Callable[[str], None],
        direct: Allowance = DIRECT,
        materialized: Allowance = MATERIALIZED,
    ) -> None:
        self._redis = _opened(url)
        self._notice = notice
        self._lock = threading.Lock()
        self._taken = 0
        self._out_until = 0.0
        self._script: str | None = None
        self._owner = owner_of(connection)
        self._allowances = {"direct": direct, "materialized": materialized}

    def take(self, *, materialized: bool) -> float:
        """Count one request that is about to be sent, and return 0; or count none, and return the seconds to wait."""
        kind = kind_of(materialized)
        return self._asked(lambda: self._take(kind), 0.0)

    def pause(self, seconds: float, *, materialized: bool) -> None:
        """The server says that the budget is spent: nobody asks before that is over."""
        key, milliseconds = self._pause(kind_of(materialized)), milliseconds_of(seconds)
        self._asked(lambda: self._redis.eval(_LONGER, 1, key, str(milliseconds)), None)

    def left(self) -> Mapping[str, Left]:
        """For `direct` and `materialized` requests; empty where Redis cannot be used."""
        return self._asked(lambda: {kind: self._left(kind) for kind in self._allowances}, {})

    def reset(self) -> None:
        """Forget what was counted for the key, and every pause."""
        keys = [name(kind) for kind in self._allowances for name in (self._key, self._pause)]
        self._asked(lambda: self._redis.delete(*keys), None)

    def close(self) -> None:
        self._redis.close()

    def _asked[T](self, work: Callable[[], T], otherwise: T) -> T:
        from redis.exceptions import RedisError

        if time.monotonic() < self._out_until:
            return otherwise
        try:
            return work()
        except (RedisError, OSError) as error:
            self._out_until = time.monotonic() + _OUTAGE_SECONDS
            self._notice(f"going on without counting requests for {_OUTAGE_SECONDS:.0f} s: no Redis ({_reason(error)})")
            return otherwise

    def _take(self, kind: str) -> float:
        from redis.exceptions import NoScriptError

        now, paused = self._now(kind)
        if paused > 0:
            return paused / 1000
        try:
            return self._put(kind, now)
        except NoScriptError:  # Redis was started anew, and has forgotten it
            self._script = None
            return self._put(kind, now)

    def _put(self, kind: str, now: int) -> float:
        from pyrate_limiter import RateItem, RedisBucket

        if self._script is None:
            self._script = self._loaded()
        bucket, item = RedisBucket(self._rates(kind), self._redis, self._key(kind), self._script), RateItem("", now)
        if not bucket.put(item):
            wait = bucket.waiting(item)
            assert isinstance(wait, int), "Redis is not asynchronous"
            return min(max(1, wait), HOUR) / 1000
        with self._lock:
            self._taken += 1
            is_time = self._taken % _CLEAN_EVERY == 0
        if is_time:
            bucket.leak(now)
        return 0.0

    def _loaded(self) -> str:
        from pyrate_limiter.buckets.redis_bucket import LuaScript

        return str(self._redis.script_load(_COUNT.format(put=LuaScript.PUT_ITEM, kept=2 * HOUR)))

    def _now(self, kind: str) -> tuple[int, int]:
        """Redis' time and what is left of a pause, in milliseconds; one exchange."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.pttl(self._pause(kind))
        (seconds, micros), pause = pipeline.execute()
        return seconds * 1000 + micros // 1000, pause if 0 < pause <= HOUR else 0

    def _left(self, kind: str) -> Left:
        now, paused = self._now(kind)
        allowed, key = self._allowances[kind], self._key(kind)
        minute, hour = (int(self._redis.zcount(key, now - window, now)) for window in (MINUTE, HOUR))
        return Left(
            minute=max(0, allowed.minute - minute), hour=max(0, allowed.hour - hour), paused_seconds=paused / 1000
        )

    def _rates(self, kind: str) -> list[Rate]:
        from pyrate_limiter import Rate

        allowed = self._allowances[kind]
        return [Rate(allowed.minute, MINUTE), Rate(allowed.hour, HOUR)]

    def _key(self, kind: str) -> str:
        return f"endpoints-gitops:{kind}:{self._owner}"

    def _pause(self, kind: str) -> str:
        return f"endpoints-gitops:pause:{kind}:{self._owner}"


def _opened(url: str) -> Redis:
    try:
        from redis import Redis
    except ImportError:
        fix = "pip install 'endpoints-gitops[redis]'"
        raise UsageError("a shared budget needs the package redis", fix=fix, code="usage.extra") from None
    try:
        return Redis.from_url(url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS)
    except ValueError:  # its text is not repeated: there may be a password in the address
        fix = "budget_url is an address such as redis://cache.internal:6379/0"
        raise UsageError("budget_url is no address of a Redis", fix=fix, code="usage.budget") from None


def _reason(error: Exception) -> str:
    """The kind alone: the text can hold the address, and with it a password."""
    return type(error).__name__
