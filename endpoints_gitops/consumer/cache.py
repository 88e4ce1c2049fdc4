"""Answers kept for a while in this process."""

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
    """Answers by pin and variables, for any number of `Endpoints`. Callers that ask for the same at the same time share
    one request.

    An answer that is given again is up to `seconds` older than what the server would say now, on top of the server's
    own cache and of the freshness of a materialised table; `rows.age` says by how much. `most` answers are kept; the
    one that was longest not asked for goes first.
    """

    seconds: float
    most: int = 1_000
    now: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, tuple[float, RunAnswer]] = field(default_factory=OrderedDict, init=False, repr=False)
    _asked: dict[str, Future[RunAnswer | None]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.seconds < float("inf") and self.most > 0):
            fix = "cache=30 keeps answers for 30 seconds; leave it away for none"
            raise UsageError("a cache keeps answers for some seconds", fix=fix, code="usage.cache")
        _CACHES.add(self)

    def get(self, key: str) -> tuple[float, RunAnswer] | None:
        """Returns the age of an answer in seconds and the answer; None if there is none that is young enough."""
        with self._lock:
            return self._young(key)

    def _young(self, key: str) -> tuple[float, RunAnswer] | None:
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
        """The threads that held the lock or were asking are not in the child."""
        self._lock = threading.Lock()
        self._asked = {}

    def claim(self, key: str) -> tuple[float, RunAnswer] | Future[RunAnswer | None] | None:
        """Returns the age and the answer; else the future of a caller that is asking; else None: the claim is now this
        caller's, which asks and then calls `settle`.
        """
        with self._lock:
            kept = self._young(key)
            if kept is not None:
                return kept
            asked = self._asked.get(key)
            if asked is None:
                self._asked[key] = Future()
            return asked

    def settle(self, key: str, answer: RunAnswer | None = None, error: Exception | None = None) -> None:
        """End a claim: with an answer, which is kept; with the error of every caller; or with neither, and the next
        caller asks.
        """
        if answer is not None:
            self.put(key, answer)
        with self._lock:
            asked = self._asked.pop(key, None)
        if asked is not None and error is not None:
            asked.set_exception(error)
        elif asked is not None:
            asked.set_result(answer)

    def put(self, key: str, answer: RunAnswer) -> None:
        """Keep an answer; where there are too many, the one that was longest not asked for goes."""
        with self._lock:
            self._kept[key] = (self.now(), answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._kept.clear()


_CACHES: weakref.WeakSet[Cache] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in tuple(_CACHES):
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
