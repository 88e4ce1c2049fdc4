"""What was asked of the server: for counting requests in tests."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
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
    """Requests in the order in which they ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Logged] = []

    def add(self, method: str, path: str, query: str, status: int | None) -> None:
        kept = urlencode([(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key != _SECRET])
        with self._lock:
            self._entries.append(Logged(method=method, path=f"{path}?{kept}" if kept else path, status=status))

    def entries(self, *, methods: Collection[str] | None = None) -> tuple[Logged, ...]:
        with self._lock:
            return tuple(entry for entry in self._entries if methods is None or entry.method in methods)

    def writes(self) -> tuple[Logged, ...]:
        return tuple(entry for entry in self.entries() if entry.is_write)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
