"""Faults on purpose, for tests of clients: which request goes wrong, and how; and the log of requests.

Set them in the process that runs the server (`RunningServer.faults.add`), or by POST to `/__faults__` where the server
was started with that route.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from endpoints_gitops.local.errors import unreadable

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


class Effect(StrEnum):
    """What happens to the request."""

    ERROR = "error"
    """Answered with `status`, and `retry_after` where that is set."""
    HANG = "hang"
    """Not answered for `seconds`, then dropped."""
    HALF = "half"
    """Half of the body that was announced, then the connection is closed. The request was handled."""
    HTML = "html"
    """A page of HTML with `status`, as a proxy would send."""
    WRONG_JSON = "wrong_json"
    """JSON that is none of what the API answers."""
    BROKEN_JSON = "broken_json"
    """A 200 that says it is JSON and is not."""
    DROP = "drop"
    """The connection is cut."""
    DELAY = "delay"
    """Handled as always, `seconds` later."""
    EDIT = "edit"
    """Somebody else makes the request in `edit`."""
    BREAK_MATERIALIZATION = "break_materialization"
    """Enabling materialisation runs into an internal fault."""
    FAIL_BUILD = "fail_build"
    """The table that this request asks for cannot be built."""


class When(StrEnum):
    """Before the request is handled, so that nothing of it lands, or after it was."""

    BEFORE = "before"
    AFTER = "after"


@checked_dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A request by another user. `path` is within the project (`endpoints/NAME/`)."""

    method: str = "PATCH"
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)


@checked_dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which requests, and what happens to them.

    `path` is a glob over the path, without query and trailing slash. `nth` counts the requests that match since the
    fault was set, from 1; None means each of them.
    """

    effect: Effect
    method: str = "*"
    path: str = "*"
    nth: int | None = None
    when: When = When.BEFORE
    status: int = 500
    retry_after: int | None = None
    seconds: float = 30.0
    edit: Edit | None = None

    def matches(self, method: str, path: str) -> bool:
        return fnmatchcase(method, self.method.upper()) and fnmatchcase(path.removesuffix("/"), self.path)


@dataclass(slots=True)
class _Set:
    fault: Fault
    seen: int = 0


class Faults:
    """The faults that are set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: list[_Set] = []

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._set += [_Set(fault) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._set.clear()

    def striking(self, method: str, path: str) -> tuple[Fault, ...]:
        """The faults that this request runs into; each that matches counts it."""
        struck = []
        with self._lock:
            for each in self._set:
                if not each.fault.matches(method, path):
                    continue
                each.seen += 1
                if each.fault.nth in {None, each.seen}:
                    struck.append(each.fault)
        return tuple(struck)


FAULTS_OF_THIS_REQUEST: ContextVar[frozenset[Effect]] = ContextVar("FAULTS_OF_THIS_REQUEST", default=frozenset())
_LIST: TypeAdapter[list[Fault]] = TypeAdapter(list[Fault])


def materialisation_breaks() -> bool:
    """Whether enabling materialisation fails in the request that is being handled."""
    return Effect.BREAK_MATERIALIZATION in FAULTS_OF_THIS_REQUEST.get()


def build_fails() -> bool:
    """Whether the build that the request being handled starts will fail."""
    return Effect.FAIL_BUILD in FAULTS_OF_THIS_REQUEST.get()


def parse_faults(sent: object) -> list[Fault]:
    """One fault or a list of them, from JSON."""
    try:
        return _LIST.validate_python(sent if isinstance(sent, list) else [sent])
    except ValidationError as error:
        raise unreadable(str(error)) from None
