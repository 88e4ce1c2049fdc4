"""A cache of answers in this process."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer


@dataclass(slots=True, weakref_slot=True, eq=False)
class Cache:
    """A cache of answers by pin and variables, shared by any number of `Endpoints`.

        endpoints = Endpoints.from_lock(cache=Cache(seconds=30, most=500))

    Concurrent calls for the same answer share one request. A cached answer is up to `seconds` old, in addition to the
    server's own cache and the freshness of a materialized table; `rows.age` is its age. At most `most` answers are
    kept; the least recently used one is removed first. Raises UsageError unless both are positive.
    """

    seconds: float
    most: int = 1_000
    now: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, tuple[float, RunAnswer]] = field(default_factory=OrderedDict, init=False, repr=False)
    _pending: dict[str, Future[RunAnswer | None]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.seconds < float("inf") and self.most > 0):
            fix = "pass cache=30 to keep answers for 30 seconds, or omit it for no cache"
            raise UsageError("the seconds and the size of a cache must be above 0", fix=fix, code="usage.cache")
        _CACHES.add(self)

    def get(self, key: str) -> tuple[float, RunAnswer] | None:
        """Return the age in seconds and the answer, or None if the answer is missing or too old."""
        with self._lock:
            return self._fresh(key)

    def _fresh(self, key: str) -> tuple[float, RunAnswer] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        age = self.now() - kept[0]
        if age > self.seconds:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return age, kept[1]

    def _after_fork(self) -> None:
        """Reset lock and requests in a forked child, which does not have the threads that hold them."""
        self._lock = threading.Lock()
        self._pending = {}

    def claim(self, key: str) -> tuple[float, RunAnswer] | Future[RunAnswer | None] | None:
        """Return the age and the answer; or the future of a running request; or None, and the caller must make the
        request and then call `settle`.
        """
        with self._lock:
            kept = self._fresh(key)
            if kept is not None:
                return kept
            pending = self._pending.get(key)
            if pending is None:
                self._pending[key] = Future()
            return pending

    def settle(self, key: str, answer: RunAnswer | None = None, error: Exception | None = None) -> None:
        """End a claim: with an answer, which is cached; with an error, which all waiting callers get; or with neither,
        and the next caller makes the request.
        """
        if answer is not None:
            self.put(key, answer)
        with self._lock:
            pending = self._pending.pop(key, None)
        if pending is not None and error is not None:
            pending.set_exception(error)
        elif pending is not None:
            pending.set_result(answer)

    def put(self, key: str, answer: RunAnswer) -> None:
        """Cache an answer. If there are too many, remove the least recently used one."""
        with self._lock:
            self._kept[key] = (self.now(), answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Remove every answer."""
        with self._lock:
            self._kept.clear()


_CACHES: weakref.WeakSet[Cache] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in tuple(_CACHES):
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
