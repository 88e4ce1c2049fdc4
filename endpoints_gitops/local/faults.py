"""Faults on purpose, for tests of clients: which request goes wrong, and how; and the log of requests.

Set them in the process that runs the server (`RunningServer.faults.add`), or by POST to `/__faults__` where the server
was started with that route.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, urlencode

WRITES = ("POST", "PUT", "PATCH", "DELETE")
_SECRET = "personal_api_key"  # noqa: S105 - the name of a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A logged request. `path` includes the query string without keys; `status` is None without an answer.

    `port` is the port of the client: the requests of one connection have the same.
    """

    method: str
    path: str
    status: int | None
    port: int | None = None

    @property
    def is_write(self) -> bool:
        """Whether it can have changed an endpoint or a variable; runs and reads by POST do not count."""
        last = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        return self.method in WRITES and last not in _QUESTIONS


_QUESTIONS = (
    "run",
    "query",
    "execute_sql",
    "last_execution_times",
    "materialization_preview",
    "materialization_suggestion",
)


_MOST_LOGGED = 20_000
_FORGOTTEN_AT_ONCE = 2_000


class RequestLog:
    """A log of requests, in order of arrival: the last 20,000, or at least 18,000 of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Logged] = []
        self._cleared_at = 0

    def begin(self, method: str, path: str, query: str, port: int | None) -> int:
        """Add a request that is not answered yet; return its number for `answered`."""
        kept = urlencode([(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key != _SECRET])
        with self._lock:
            asked = f"{path}?{kept}" if kept else path
            self._entries.append(Logged(method=method, path=asked, status=None, port=port))
            if len(self._entries) > _MOST_LOGGED:
                del self._entries[:_FORGOTTEN_AT_ONCE]
                self._cleared_at += _FORGOTTEN_AT_ONCE
            return self._cleared_at + len(self._entries) - 1

    def answered(self, number: int, status: int) -> None:
        """Record the answer of a request before it is sent, unless the log was cleared in the meantime."""
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
    """The effect of a fault on the request."""

    ERROR = "error"
    """Answered with `status`, and `retry_after` if it is set."""
    HANG = "hang"
    """Not answered for `seconds`, then dropped."""
    HALF = "half"
    """Handled; then half of the announced body is sent and the connection is closed."""
    HTML = "html"
    """An HTML page with `status`, as from a proxy."""
    WRONG_JSON = "wrong_json"
    """JSON that the API never answers."""
    BROKEN_JSON = "broken_json"
    """A 200 with invalid JSON."""
    DROP = "drop"
    """The connection is closed."""
    DELAY = "delay"
    """Handled normally after `seconds`."""
    EDIT = "edit"
    """Another user makes the request in `edit`."""
    BREAK_MATERIALIZATION = "break_materialization"
    """Enabling materialization fails with an internal error."""
    BREAK_ELIGIBILITY = "break_eligibility"
    """This answer could not find out whether a query can be materialized."""
    FAIL_BUILD = "fail_build"
    """The build of the table that this request starts fails."""


class When(StrEnum):
    """When the fault occurs: before the request is handled, so that it has no effect, or afterwards."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A request by another user. `path` is relative to the project (`endpoints/NAME/`)."""

    method: str = "PATCH"
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """The configured faults."""

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
        """The faults for this request; each matching fault counts it."""
        struck = []
        with self._lock:
            for counted in self._set:
                if not counted.fault.matches(method, path):
                    continue
                counted.seen += 1
                if counted.fault.nth in {None, counted.seen}:
                    struck.append(counted.fault)
        return tuple(struck)


_STATUSES = range(200, 600)
FAULTS_OF_THIS_REQUEST: ContextVar[frozenset[Effect]] = ContextVar("FAULTS_OF_THIS_REQUEST", default=frozenset())


def materialization_breaks() -> bool:
    """Whether enabling materialization fails in the current request."""
    return Effect.BREAK_MATERIALIZATION in FAULTS_OF_THIS_REQUEST.get()


def eligibility_breaks() -> bool:
    """Whether the check of eligibility fails in the current request."""
    return Effect.BREAK_ELIGIBILITY in FAULTS_OF_THIS_REQUEST.get()


def build_fails() -> bool:
    """Whether the build that the current request starts will fail."""
    return Effect.FAIL_BUILD in FAULTS_OF_THIS_REQUEST.get()


def parse_faults(content: bytes) -> list[Fault]:
    """One fault or a list of them, from JSON. Raises InvalidInput with every mistake and its place in the text."""
    from endpoints_gitops.codecs.reader import Document

    document = Document.of_json(content, "body", code="faults.invalid")
    sent = document.value
    if not isinstance(sent, list | dict):
        document.refuse("expected a fault, as an object, or a list of faults")
    items: dict[tuple[int, ...], object] = {(): sent}
    if isinstance(sent, list):
        items = {(index,): item for index, item in enumerate(sent)}
    faults = []
    for location, value in items.items():
        fault = document.part(Fault, value, location)
        if fault is None:
            continue
        faults.append(fault)
        for key, mistake in _mistakes(fault):
            document.add((*location, key), mistake)
    document.raise_mistakes()
    return faults


def _mistakes(fault: Fault) -> Iterator[tuple[str, str]]:
    """The values of a fault that could have no effect, each by its key."""
    if fault.edit is None and fault.effect is Effect.EDIT:
        yield "effect", 'the effect "edit" needs the request of the other user in edit'
    if fault.edit is not None and fault.effect is not Effect.EDIT:
        yield "edit", f'edit is for the effect "edit", not for "{fault.effect}"'
    if fault.nth is not None and fault.nth < 1:
        yield "nth", "nth must be at least 1: it counts from there"
    if fault.retry_after is not None and (fault.effect is not Effect.ERROR or fault.retry_after < 0):
        yield "retry_after", 'retry_after must be at least 0, and is for the effect "error"'
    if not 0 <= fault.seconds < math.inf:
        yield "seconds", "seconds must be at least 0"
    if fault.status not in _STATUSES:
        yield "status", f"status must be from {_STATUSES[0]} to {_STATUSES[-1]}"
