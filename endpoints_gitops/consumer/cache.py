"""A cache of answers: in this process, or in a Redis that machines share."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer
    from endpoints_gitops.consumer.redis_answers import RedisAnswers

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer and its age in seconds. `is_stale`: it is older than `seconds`, so only a failing server excuses it."""

    age: float
    answer: RunAnswer
    is_stale: bool = False


@dataclass(slots=True, weakref_slot=True, eq=False)
class Cache:
    """A cache of answers by host, project, pin and variables, shared by any number of `Endpoints`.

        endpoints = Endpoints.from_lock(cache=Cache(seconds=30, most=500))
        endpoints = Endpoints.from_lock(cache=Cache(seconds=60, stale_if_error=3600, url="redis://cache:6379/0"))

    Concurrent calls for the same answer share one request. A cached answer is up to `seconds` old, in addition to the
    server's own cache and the freshness of a materialized table; `rows.age` is its age. For `stale_if_error` further
    seconds it is used if the server cannot be reached, is over a limit (429) or fails (5xx), at the first
    attempt; then `rows.is_stale`. At most `most` answers are kept; the least recently used one is removed first.

    With `url` the answers are in that Redis (extra `redis`), which several processes and machines share, and which
    limits its own memory. While it cannot be reached, calls go to the server, and a warning is logged.

    Raises UsageError for a number out of range, for a URL that is not of a Redis, and without the package `redis`.
    """

    seconds: float
    most: int = _MOST
    now: Callable[[], float] = time.monotonic
    _: KW_ONLY
    stale_if_error: float = 0
    url: str | None = field(default=None, repr=False)  # it can hold a password
    _redis: RedisAnswers | None = field(default=None, init=False, repr=False)
    _kept: OrderedDict[str, tuple[float, RunAnswer]] = field(default_factory=OrderedDict, init=False, repr=False)
    _pending: dict[str, Future[CachedAnswer | None]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf and self.most > 0):
            fix = "pass cache=30 to keep answers for 30 seconds, or omit it for no cache"
            raise UsageError("the seconds and the size of a cache must be above 0", fix=fix, code="usage.cache")
        if not 0 <= self.stale_if_error < math.inf:
            fix = "pass stale_if_error=3600 to use answers for another hour, or omit it to use none"
            raise UsageError("stale_if_error must be a number of seconds, at least 0", fix=fix, code="usage.cache")
        if self.url is not None:
            if self.most != _MOST or self.now is not time.monotonic:
                message = "most and now are for a cache in this process; a Redis limits its memory, and has a clock"
                raise UsageError(message, fix="omit them, or omit url", code="usage.cache")
            from endpoints_gitops.consumer.redis_answers import RedisAnswers

            self._redis = RedisAnswers(self.url, self.seconds, self.stale_if_error)
        _CACHES.add(self)

    @property
    def is_remote(self) -> bool:
        """Whether the answers are on another machine or in another process, for which an event loop must not block."""
        return self._redis is not None

    def get(self, key: str) -> CachedAnswer | None:
        """Return the answer, perhaps a stale one; None if it is missing or too old."""
        if self._redis is not None:
            return self._redis.get(key)
        with self._lock:
            return self._find(key)

    def put(self, key: str, answer: RunAnswer) -> None:
        """Cache an answer. If there are too many, remove the least recently used one."""
        if self._redis is not None:
            self._redis.put(key, answer)
            return
        with self._lock:
            self._kept[key] = (self.now(), answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Remove every answer; from a Redis those of all apps that cache answers in this database.

        Raises CacheUnreachable if the Redis cannot be used.
        """
        if self._redis is not None:
            self._redis.clear()
        with self._lock:
            self._kept.clear()

    def claim(self, key: str, *, anew: bool = False) -> CachedAnswer | Future[CachedAnswer | None] | None:
        """Return a fresh answer of this process; or the future of a running request; or None, and the caller must make
        the request and then call `settle`. `anew`: the answer of this process does not count.
        """
        with self._lock:
            kept = None if anew else self._find(key)
            if kept is not None and not kept.is_stale:
                return kept
            pending = self._pending.get(key)
            if pending is None:
                self._pending[key] = Future()
            return pending

    def settle(self, key: str, answer: CachedAnswer | None = None, error: Exception | None = None) -> None:
        """End a claim: with an answer or an error, which all waiting callers get; or with neither, and the next of them
        makes the request.
        """
        with self._lock:
            pending = self._pending.pop(key, None)
        if pending is not None and error is not None:
            pending.set_exception(error)
        elif pending is not None:
            pending.set_result(answer)

    def _find(self, key: str) -> CachedAnswer | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        age = self.now() - kept[0]
        if age > self.seconds + self.stale_if_error:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return CachedAnswer(age, kept[1], age > self.seconds)

    def _after_fork(self) -> None:
        """Reset lock and requests in a forked child, which does not have the threads that hold them."""
        self._lock = threading.Lock()
        self._pending = {}


_CACHES: weakref.WeakSet[Cache] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in tuple(_CACHES):
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
