"""Answers kept for a while in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer


@dataclass(slots=True)
class Cache:
    """Answers by pin and variables. One may be handed to several `Endpoints`.

    An answer that is given again is up to `seconds` older than what the server would say now, on top of the server's
    own cache and of the freshness of a materialised table; `rows.age` says by how much. `most` answers are kept; the
    one that was longest not asked for goes first.
    """

    seconds: float
    most: int = 1_000
    now: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, tuple[float, RunAnswer]] = field(default_factory=OrderedDict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.seconds < float("inf") and self.most > 0):
            fix = "cache=30 keeps answers for 30 seconds; leave it away for none"
            raise UsageError("a cache keeps answers for some seconds", fix=fix, code="usage.cache")

    def get(self, key: str) -> tuple[float, RunAnswer] | None:
        """The age of an answer in seconds, and the answer; None where there is none that is young enough."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            age = self.now() - found[0]
            if age > self.seconds:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return age, found[1]

    def put(self, key: str, answer: RunAnswer) -> None:
        with self._lock:
            self._kept[key] = (self.now(), answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._kept.clear()
