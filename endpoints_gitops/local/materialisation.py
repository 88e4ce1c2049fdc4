"""Materialisation as flags: what is kept as a table, when that is built, and what a caller is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.local.errors import Refused, invalid
from endpoints_gitops.local.store.database import Store, new_id
from endpoints_gitops.local.store.rows import Project, StoredEndpoint, StoredVersion
from endpoints_gitops.model.endpoint import IDLE_AFTER
from endpoints_gitops.model.json import Json

BUCKETS: Final = ("minute", "fifteen_minutes", "hour", "day", "week", "month")
_ONE_DAY: Final = timedelta(days=1)
FAILED: Final = "Failed to enable materialization."
BUILD_FAILED: Final = "The table could not be built: a fault that a test asked for."


class Failed(Exception):
    """An internal fault while materialisation was being enabled."""


def reason_against(node: Mapping[str, Any]) -> str | None:
    """Why a query cannot be materialised; None when it can."""
    from endpoints_gitops.hogql.eligibility import reason

    return reason(node)


def not_eligible(reason: str) -> Refused:
    return invalid(f"Cannot materialize endpoint. Reason: {reason}")


def check_overrides(overrides: Mapping[str, str] | None) -> None:
    """Refuse bucket names that there are none of."""
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
    """The version with materialisation asked for; its table comes with the next build.

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
    """The version without its table. The overrides stay, as they do on the server."""
    return replace(
        version, saved_query_id=None, building_since=None, built_at=None, build_error=None, materialized_since=None
    )


def finish_builds(store: Store, now: datetime, build_seconds: float) -> None:
    """End the builds that were started long enough ago; one whose error is known already fails with it."""
    started = now - timedelta(seconds=build_seconds)
    for version in store.versions.select("building_since IS NOT NULL"):
        if version.building_since is not None and version.building_since <= started:
            built = now if version.build_error is None else version.built_at
            store.versions.update(replace(version, building_since=None, built_at=built))


def switch_off_idle(store: Store, now: datetime) -> None:
    """Take the tables of versions that no key has called for 30 days, as PostHog does once a day
    (docs/server.md#tables-that-idle). Neither activity nor `updated_at` tells of it.
    """
    old = (now - IDLE_AFTER).isoformat()
    for version in store.versions.select("saved_query_id IS NOT NULL AND materialized_since <= ?", (old,)):
        refreshed = version.refreshed_at(now)
        is_built = refreshed is not None and now - refreshed <= _ONE_DAY
        if is_built and _is_idle(store, version, now):
            store.versions.update(disabled(version))


def _is_idle(store: Store, version: StoredVersion, now: datetime) -> bool:
    """By its own last call; without one by the endpoint's, and a superseded version is not spared."""
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
    """Whether there is a table, built within the freshness of the version."""
    refreshed = version.refreshed_at(now) if version.is_materialized else None
    return refreshed is not None and now - refreshed <= timedelta(seconds=version.data_freshness_seconds)


def _status(version: StoredVersion) -> str:
    if version.building_since is not None:
        return "Running"
    return "Failed" if version.build_error is not None else "Completed"
