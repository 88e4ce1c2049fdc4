"""Rate limits: a log of requests for each key, over a sliding window (docs/server.md#budgets). Off unless asked for."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from endpoints_gitops.local.errors import throttled
from endpoints_gitops.local.store.rows import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests that one key may make, and for project secret keys all of a project together."""

    per_minute: int = 240
    per_hour: int = 2_400
    materialized_per_minute: int = 1_200
    materialized_per_hour: int = 12_000


@dataclass(slots=True, kw_only=True)
class Limiter:
    """Counts and refuses. `limits` None lets everything through."""

    limits: Limits | None = None
    seconds: Callable[[], float] = time.monotonic
    _log: dict[tuple[str, ...], deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, limits: Limits, key: ApiKey, *, materialized: bool) -> None:
        """Count a request. Raises a 429 where a budget is spent; the request then counts against the other ones."""
        with self._lock:
            waits = [self._wait(*throttle) for throttle in self._throttles(limits, key, materialized)]
        longest = max(waits)
        if longest > 0:
            raise throttled(max(1, math.ceil(longest)))

    def _throttles(self, limits: Limits, key: ApiKey, materialized: bool) -> list[tuple[tuple[str, ...], int, int]]:
        minute = limits.materialized_per_minute if materialized else limits.per_minute
        hour = limits.materialized_per_hour if materialized else limits.per_hour
        kind = "materialized" if materialized else "inline"
        who = [("key", key.id)] + ([("project", str(key.project_id))] if key.is_project_secret else [])
        return [
            ((*each, kind, str(window)), window, most) for each in who for window, most in ((60, minute), (3600, hour))
        ]

    def _wait(self, bucket: tuple[str, ...], window: int, most: int) -> float:
        now = self.seconds()
        log = self._log.setdefault(bucket, deque())
        while log and log[0] <= now - window:
            log.popleft()
        if len(log) >= most:
            return log[0] + window - now
        log.append(now)
        return 0.0
