"""What was asked of the server: for counting requests in tests. Complete for every answer that a client has seen."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

WRITES = ("POST", "PUT", "PATCH", "DELETE")
_SECRET = "personal_api_key"  # noqa: S105 - the name of a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request. `path` holds the query string, without any key; `status` is None where no answer went out."""

    method: str
    path: str
    status: int | None

    @property
    def is_write(self) -> bool:
        """Whether it may have changed an endpoint or a variable; runs and questions that are POSTs do not count."""
        last = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        return self.method in WRITES and last not in _QUESTIONS


_QUESTIONS = ("run", "query", "last_execution_times", "materialization_preview", "materialization_suggestion")


class RequestLog:
    """Requests in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Logged] = []
        self._cleared_at = 0

    def begin(self, method: str, path: str, query: str) -> int:
        """Enter a request that is not answered yet; its number is for `answered`."""
        kept = urlencode([(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key != _SECRET])
        with self._lock:
            self._entries.append(Logged(method=method, path=f"{path}?{kept}" if kept else path, status=None))
            return self._cleared_at + len(self._entries) - 1

    def answered(self, number: int, status: int) -> None:
        """To be called before the answer goes out. Of a request that was forgotten meanwhile nothing is kept."""
        with self._lock:
            if number >= self._cleared_at:
                place = number - self._cleared_at
                self._entries[place] = replace(self._entries[place], status=status)

    def entries(self, *, methods: Collection[str] | None = None) -> tuple[Logged, ...]:
        with self._lock:
            return tuple(entry for entry in self._entries if methods is None or entry.method in methods)

    def writes(self) -> tuple[Logged, ...]:
        return tuple(entry for entry in self.entries() if entry.is_write)

    def clear(self) -> None:
        with self._lock:
            self._cleared_at += len(self._entries)
            self._entries.clear()
