"""A local PostHog: the state that all routes share, including the engine and the rate limits."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from endpoints_gitops.local.access import AccessControl, AccessLevel
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.errors import throttled
from endpoints_gitops.local.faults import Faults, RequestLog
from endpoints_gitops.local.result_cache import ResultCache
from endpoints_gitops.local.store import ApiKey, Project, Store, StoredEndpoint, StoredUser, StoredVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rate limits of a key; all project secret keys of a project share theirs."""

    per_minute: int = 240
    per_hour: int = 2_400
    materialized_per_minute: int = 1_200
    materialized_per_hour: int = 12_000


@dataclass(slots=True, kw_only=True)
class Limiter:
    """Counts requests and refuses those over the limits. Without `limits`, all are admitted."""

    limits: Limits | None = None
    seconds: Callable[[], float] = time.monotonic
    _log: dict[tuple[str, ...], deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, limits: Limits, key: ApiKey, *, materialized: bool) -> None:
        """Count a request. Raises a 429 if a limit is used up; the request still counts against the other limits."""
        with self._lock:
            waits = [self._wait(*throttle) for throttle in self._throttles(limits, key, materialized)]
        longest = max(waits)
        if longest > 0:
            raise throttled(max(1, math.ceil(longest)))

    def _throttles(self, limits: Limits, key: ApiKey, materialized: bool) -> list[tuple[tuple[str, ...], int, int]]:
        minute = limits.materialized_per_minute if materialized else limits.per_minute
        hour = limits.materialized_per_hour if materialized else limits.per_hour
        kind = "materialized" if materialized else "inline"
        counted_keys = [("key", key.id)] + ([("project", str(key.project_id))] if key.is_project_secret else [])
        return [
            ((*counted, kind, str(window)), window, most)
            for counted in counted_keys
            for window, most in ((60, minute), (3600, hour))
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


ORGANIZATION_ID = "018f0000-0000-7000-8000-000000000001"
ORGANIZATION_NAME = "Local organization"
AUTHOR = 1
COLLEAGUE = 2


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`definitions` holds the examples for insights that are not computed; a build takes `build_seconds`,
    and every one fails with `builds_fail`. `host_names` are names of this machine besides localhost, in lower case,
    under which requests are answered. `result_cache` holds results of this engine only: another deployment has its
    own."""

    store: Store
    engine: QueryEngine
    definitions: Path | None = None
    clock: Callable[[], datetime] = wall_clock
    build_seconds: float = 0.0
    builds_fail: bool = False
    host_names: set[str] = field(default_factory=set)
    limiter: Limiter = field(default_factory=Limiter)
    faults: Faults = field(default_factory=Faults)
    log: RequestLog = field(default_factory=RequestLog)
    access: AccessControl = field(default_factory=lambda: AccessControl(user_id=AUTHOR))
    result_cache: ResultCache = field(init=False, default_factory=ResultCache)

    def set_access(self, level: AccessLevel, endpoint: str | None = None) -> None:
        """Set the level of the user whose keys are announced, for all endpoints or for one of the first project.

        Raises LookupError if there is no such endpoint.
        """
        if endpoint is None:
            self.access.default = level
            return
        with self.store.lock:
            found = self.store.endpoint(self.store.projects.select()[0], endpoint)
        if found is None:
            raise LookupError(f"there is no endpoint '{endpoint}'")
        self.access.endpoints[found.id] = level

    def age(self, by: timedelta) -> None:
        """Move every time of endpoints, versions and cached results into the past, for tests."""
        with self.store.transaction():
            for endpoint in self.store.endpoints.select():
                self.store.endpoints.update(_older(endpoint, by))
            for version in self.store.versions.select():
                self.store.versions.update(_older(version, by))
            self.store.idle_checked_at = None
        self.result_cache.age(by)


def _older[Row: (StoredEndpoint, StoredVersion)](row: Row, by: timedelta) -> Row:
    times: dict[str, Any] = {
        field.name: value - by for field in fields(row) if isinstance(value := getattr(row, field.name), datetime)
    }
    return replace(row, **times)


def furnish(store: Store) -> Project:
    """The first project and its two users, created on first use."""
    with store.transaction():
        for number, first_name in ((AUTHOR, "Author"), (COLLEAGUE, "Colleague")):
            if store.user(number) is None:
                store.users.insert(_user(number, first_name))
        project = store.projects.first("id = ?", (1,))
        return project or store.projects.insert(Project(id=1, name="Local project"))


def _user(number: int, first_name: str) -> StoredUser:
    return StoredUser(
        id=number,
        uuid=str(uuid.UUID(int=number)),
        distinct_id=f"local-user-{number}",
        first_name=first_name,
        email=f"{first_name.lower()}@example.com",
    )
