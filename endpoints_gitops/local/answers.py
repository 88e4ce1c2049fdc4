"""Response bodies of endpoints and versions (docs/server.md#answers)."""

from __future__ import annotations

from datetime import UTC, datetime

from endpoints_gitops.local import materialization
from endpoints_gitops.local.store import Project, Store, StoredEndpoint, StoredUser, StoredVersion
from endpoints_gitops.model.json import Json


def endpoint_item(
    store: Store, project: Project, endpoint: StoredEndpoint, version: StoredVersion, now: datetime, site: str | None
) -> dict[str, Json]:
    """An endpoint with the settings of one version. Without `site` the URLs are null."""
    path = f"/api/projects/{project.id}/endpoints/{endpoint.name}/run"
    current = store.current_version(endpoint)
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "description": version.description,
        "query": version.query,
        "is_active": endpoint.is_active,
        "data_freshness_seconds": version.data_freshness_seconds,
        "endpoint_path": path,
        "url": site and f"{site}{path}",
        "ui_url": site and f"{site}/project/{project.id}/endpoints/{endpoint.name}",
        "created_at": zulu(endpoint.created_at),
        "updated_at": zulu(endpoint.updated_at),
        "created_by": user_item(store.user(endpoint.created_by)),
        "is_materialized": version.is_materialized,
        "current_version": current.number if current else version.number,
        "current_version_id": version.id,
        "versions_count": store.versions_count(endpoint),
        "derived_from_insight": endpoint.derived_from_insight,
        "last_executed_at": iso(endpoint.last_executed_at),
        "materialization": materialization.state(version, now),
        "bucket_overrides": version.bucket_overrides,
        "columns": version.columns,
        "tags": sorted(endpoint.tags),
        "optional_breakdown_properties": version.optional_breakdown_properties,
    }


def version_item(
    store: Store, project: Project, endpoint: StoredEndpoint, version: StoredVersion, now: datetime
) -> dict[str, Json]:
    """A version: `is_active` is the flag of the version, and it has no URLs."""
    return endpoint_item(store, project, endpoint, version, now, None) | {
        "is_active": version.is_active,
        "last_executed_at": iso(version.last_executed_at),
        "version": version.number,
        "version_id": version.id,
        "endpoint_is_active": endpoint.is_active,
        "version_created_at": iso(version.created_at),
        "version_updated_at": iso(version.updated_at),
        "version_created_by": user_item(store.user(version.created_by)),
    }


def user_item(user: StoredUser | None) -> Json:
    if user is None:
        return None
    return {
        "id": user.id,
        "uuid": user.uuid,
        "distinct_id": user.distinct_id,
        "first_name": user.first_name,
        "last_name": "",
        "email": user.email,
        "is_email_verified": None,
        "hedgehog_config": None,
        "role_at_organization": None,
    }


def zulu(timestamp: datetime) -> str:
    """A time as the serializers write it, with `Z` for UTC."""
    return timestamp.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def iso(timestamp: datetime | None) -> str | None:
    """A time as Python writes it, with `+00:00` for UTC."""
    return None if timestamp is None else timestamp.astimezone(UTC).isoformat()
