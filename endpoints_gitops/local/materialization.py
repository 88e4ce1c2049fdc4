"""Materialization as flags: what the table has, when it is built, and what callers see of it
(docs/server.md#materialization).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.local.errors import RequestRefused, invalid
from endpoints_gitops.local.faults import eligibility_breaks
from endpoints_gitops.local.store import Project, Store, StoredEndpoint, StoredVersion, new_id
from endpoints_gitops.model.freshness import IDLE_AFTER
from endpoints_gitops.model.json import Json

BUCKETS: Final = ("minute", "fifteen_minutes", "hour", "day", "week", "month")
_ONE_DAY: Final = timedelta(days=1)
_ONE_MINUTE: Final = timedelta(minutes=1)
FAILED: Final = "Failed to enable materialization."
UNCHECKED: Final = (
    "Couldn't check whether this query can be materialized. Try again, and if it keeps happening contact support."
)
BUILD_FAILED: Final = "The table could not be built: a fault that a test asked for."


class Failed(Exception):
    """An internal error while materialization was being enabled."""


def reason_against(node: Mapping[str, Any]) -> str | None:
    """Why a query cannot be materialized; None if it can."""
    from endpoints_gitops.hogql.eligibility import reason

    return reason(node)


def not_eligible(reason: str) -> RequestRefused:
    return invalid(f"Cannot materialize endpoint. Reason: {reason}")


def check_overrides(overrides: Mapping[str, str] | None) -> None:
    """Refuse unknown bucket names."""
    wrong = {column: name for column, name in (overrides or {}).items() if name not in BUCKETS}
    if wrong:
        raise invalid(f"Invalid bucket override values: {wrong}. Valid options: {list(BUCKETS)}")


def enabled(
    store: Store,
    project: Project,
    endpoint: StoredEndpoint,
    version: StoredVersion,
    overrides: Mapping[str, str] | None,
    now: datetime,
) -> StoredVersion:
    """The version with materialization asked for; its table comes with the next build.

    Where it was on already only the overrides change, and a build starts when they changed to something.
    """
    if version.reason is not None:
        raise not_eligible(version.reason)
    view = f"{endpoint.name}_v{version.number}"
    if store.views.first("project_id = ? AND name = ?", (project.id, view)) is not None:
        raise invalid(
            f"A saved query named '{view}' already exists and is not managed by this endpoint. "
            "Rename or delete it before enabling materialization."
        )
    starts = not version.is_enabled or (overrides is not None and overrides != version.bucket_overrides)
    return replace(
        version,
        bucket_overrides=overrides,
        saved_query_id=version.saved_query_id or new_id(),
        materialized_since=version.materialized_since or now,
        building_since=now if starts else version.building_since,
        build_error=None if starts else version.build_error,
    )


def disabled(version: StoredVersion) -> StoredVersion:
    """The version without its table. The overrides are kept, as on the server."""
    return replace(
        version, saved_query_id=None, building_since=None, built_at=None, build_error=None, materialized_since=None
    )


def finish_builds(store: Store, now: datetime, build_seconds: float) -> None:
    """Finish the builds that have run long enough; a build with a known error fails."""
    started = now - timedelta(seconds=build_seconds)
    where, tail = "building_since IS NOT NULL AND building_since <= ?", "ORDER BY building_since"
    finished = store.versions.select(where, (started.isoformat(),), tail=tail)
    if not finished:
        return
    with store.transaction():
        for version in finished:
            built = now if version.build_error is None else version.built_at
            store.versions.update(replace(version, building_since=None, built_at=built))


def switch_off_idle(store: Store, now: datetime) -> None:
    """Take the tables of versions that no key has called for 30 days, as PostHog does once a day
    (docs/server.md#tables-that-idle). Neither activity nor `updated_at` tells of it.

    Looks at most once a minute, and again after the times were moved: it reads each table that is 30 days old.
    """
    if store.idle_checked_at is not None and store.idle_checked_at <= now < store.idle_checked_at + _ONE_MINUTE:
        return
    store.idle_checked_at = now
    where, tail = "saved_query_id IS NOT NULL AND materialized_since <= ?", "ORDER BY materialized_since"
    for version in store.versions.select(where, ((now - IDLE_AFTER).isoformat(),), tail=tail):
        refreshed = version.refreshed_at(now)
        is_built = refreshed is not None and now - refreshed <= _ONE_DAY
        if is_built and _is_idle(store, version, now):
            store.versions.update(disabled(version))


def _is_idle(store: Store, version: StoredVersion, now: datetime) -> bool:
    """Whether a version has idled, by its last call or else that of the endpoint; a superseded version always has."""
    if version.last_executed_at is not None:
        return now - version.last_executed_at > IDLE_AFTER
    endpoint = store.endpoints.first("id = ?", (version.endpoint_id,))
    current = store.current_version(endpoint) if endpoint is not None else None
    if current is not None and current.number > version.number:
        return True
    called = endpoint.last_executed_at if endpoint is not None else None
    return called is not None and now - called > IDLE_AFTER


def state(version: StoredVersion, now: datetime) -> dict[str, Json]:
    """The `materialization` object of an answer."""
    if not version.is_enabled and eligibility_breaks():
        return {"enabled": False, "ready": False, "can_materialize": False, "reason": UNCHECKED}
    if not version.is_enabled:
        return {"enabled": False, "ready": False, "can_materialize": version.reason is None, "reason": version.reason}
    refreshed = version.refreshed_at(now)
    return {
        "enabled": True,
        "ready": is_ready(version, now),
        "status": _status(version),
        "can_materialize": True,
        "last_materialized_at": refreshed.isoformat() if refreshed else None,
        "error": version.build_error or "",
        "saved_query_id": version.saved_query_id,
    }


def is_ready(version: StoredVersion, now: datetime) -> bool:
    """Whether the version has a table that was built within its freshness."""
    refreshed = version.refreshed_at(now) if version.is_materialized else None
    return refreshed is not None and now - refreshed <= timedelta(seconds=version.data_freshness_seconds)


def _status(version: StoredVersion) -> str:
    if version.building_since is not None:
        return "Running"
    return "Failed" if version.build_error is not None else "Completed"
