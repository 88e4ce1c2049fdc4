"""One local PostHog: what all of its routes share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from endpoints_gitops.local.faults import Faults
from endpoints_gitops.local.limits import Limiter
from endpoints_gitops.local.queries import QueryEngine
from endpoints_gitops.local.request_log import RequestLog
from endpoints_gitops.local.store.database import Store
from endpoints_gitops.local.store.rows import Project, StoredEndpoint, StoredVersion, User

ORGANIZATION_ID = "018f0000-0000-7000-8000-000000000001"
ORGANIZATION_NAME = "Local organization"
AUTHOR = 1
COLLEAGUE = 2


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`definitions` is the folder whose examples insight runs answer from; a build takes `build_seconds`."""

    store: Store
    engine: QueryEngine
    definitions: Path | None = None
    clock: Callable[[], datetime] = wall_clock
    build_seconds: float = 0.0
    limiter: Limiter = field(default_factory=Limiter)
    faults: Faults = field(default_factory=Faults)
    log: RequestLog = field(default_factory=RequestLog)

    def age(self, by: timedelta) -> None:
        """Move every time of endpoints and versions back by so much; for tests."""
        with self.store.transaction():
            for endpoint in self.store.endpoints.select():
                self.store.endpoints.update(_older(endpoint, by))
            for version in self.store.versions.select():
                self.store.versions.update(_older(version, by))


def _older[Row: (StoredEndpoint, StoredVersion)](row: Row, by: timedelta) -> Row:
    times: dict[str, Any] = {
        field.name: value - by for field in fields(row) if isinstance(value := getattr(row, field.name), datetime)
    }
    return replace(row, **times)


def furnish(store: Store) -> Project:
    """The first project and the two people in it, made where they are not there yet."""
    with store.transaction():
        for number, first_name in ((AUTHOR, "Author"), (COLLEAGUE, "Colleague")):
            if store.user(number) is None:
                store.users.insert(_user(number, first_name))
        project = store.projects.first("id = ?", (1,))
        return project or store.projects.insert(Project(id=1, name="Local project"))


def _user(number: int, first_name: str) -> User:
    return User(
        id=number,
        uuid=str(uuid.UUID(int=number)),
        distinct_id=f"local-user-{number}",
        first_name=first_name,
        email=f"{first_name.lower()}@example.com",
    )
