"""The cache of the results that runs computed (docs/local-server.md#the-cache-of-results)."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.model.json import Json

MOST_RESULTS: Final = 1_000
MOST_BYTES: Final = 64_000_000
"""All results together, as JSON text. A result that is larger by itself is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedResult:
    """A result as JSON text, so that no caller can change it, and the time of the run that computed it."""

    text: bytes
    computed_at: datetime

    @property
    def content(self) -> dict[str, Any]:
        """A new copy of the result."""
        content: dict[str, Any] = json.loads(self.text)
        return content


class ResultCache:
    """Results by key, in memory. Threads can use it concurrently.

    A key has to hold everything that decides the result. Whether a result is still fresh is the reader's decision. When
    there are too many results or too many bytes, those that were not read for longest are dropped.
    """

    def __init__(self, *, most_results: int = MOST_RESULTS, most_bytes: int = MOST_BYTES) -> None:
        self._most_results = most_results
        self._most_bytes = most_bytes
        self._results: OrderedDict[str, CachedResult] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> CachedResult | None:
        with self._lock:
            result = self._results.get(key)
            if result is not None:
                self._results.move_to_end(key)
            return result

    def put(self, key: str, content: dict[str, Json], computed_at: datetime) -> None:
        """Keep a result instead of an older one. One that a later run computed stays."""
        text = json.dumps(content, separators=(",", ":")).encode()
        with self._lock:
            kept = self._results.get(key)
            if kept is not None and kept.computed_at > computed_at:
                return
            self._drop(key)
            if len(text) > self._most_bytes:
                return
            self._results[key] = CachedResult(text=text, computed_at=computed_at)
            self._bytes += len(text)
            while len(self._results) > self._most_results or self._bytes > self._most_bytes:
                self._drop(next(iter(self._results)))

    def age(self, by: timedelta) -> None:
        """Move the time of every result into the past."""
        with self._lock:
            for key, result in self._results.items():
                self._results[key] = replace(result, computed_at=result.computed_at - by)

    def _drop(self, key: str) -> None:
        dropped = self._results.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped.text)
