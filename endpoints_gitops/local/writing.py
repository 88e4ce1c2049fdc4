"""Creating, updating and deleting endpoints: the effects, in the server's order (docs/server.md#versions)."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.local import checks, materialisation
from endpoints_gitops.local.bodies import EndpointRequest
from endpoints_gitops.local.call import Call
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import Refused, broken, invalid
from endpoints_gitops.local.faults import build_fails, materialisation_breaks
from endpoints_gitops.local.query_nodes import checked
from endpoints_gitops.local.store.database import new_id
from endpoints_gitops.local.store.rows import StoredEndpoint, StoredVersion
from endpoints_gitops.model.freshness import DEFAULT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What an update left. `targeted`: a version was named, so the answer is that version's."""

    endpoint: StoredEndpoint
    version: StoredVersion
    targeted: bool
    materialization_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    """An update that passed its checks."""

    deployment: Deployment
    call: Call
    body: EndpointRequest
    endpoint: StoredEndpoint
    current: StoredVersion
    target: StoredVersion | None
    query: Mapping[str, Any] | None
    columns: list[Mapping[str, str]]


def create(deployment: Deployment, call: Call, body: EndpointRequest) -> tuple[StoredEndpoint, StoredVersion]:
    """A new endpoint with version 1; whatever fails, nothing of it stays."""
    name, sent = checks.check_required(body)
    store = deployment.store
    query, columns = checked(sent, store.variables_of(call.project), deployment.engine)
    checks.check_freshness(body)
    checks.check_breakdowns(body.optional_breakdown_properties, query)
    if store.endpoint(call.project, name) is not None:
        raise invalid("An endpoint with this name already exists for this team.", "name")
    try:
        with store.transaction():
            endpoint = store.endpoints.insert(_new_endpoint(call, body, name))
            version = store.versions.insert(_first_version(call, body, endpoint, query, columns))
            if body.is_materialized:
                version = store.versions.update(_enabled(deployment, call, endpoint, version, body.bucket_overrides))
    except sqlite3.Error:
        raise invalid("Failed to create endpoint.") from None
    except materialisation.Failed:
        raise broken(materialisation.FAILED) from None
    return endpoint, version


def update(
    deployment: Deployment, call: Call, endpoint: StoredEndpoint, current: StoredVersion, body: EndpointRequest
) -> Updated:
    """Check, then change; what fails after the checks leaves what came before it."""
    plan = _checked_update(deployment, call, endpoint, current, body)
    try:
        return _apply(plan)
    except sqlite3.Error:
        raise invalid("Failed to update endpoint.") from None


def delete(deployment: Deployment, call: Call, endpoint: StoredEndpoint) -> None:
    """Soft: the versions stay where nobody reaches them, the name is free."""
    store = deployment.store
    with store.transaction():
        _disable_all(deployment, endpoint)
        store.endpoints.update(replace(endpoint, deleted_at=call.now, updated_at=call.now))


def _new_endpoint(call: Call, body: EndpointRequest, name: str) -> StoredEndpoint:
    return StoredEndpoint(
        id=new_id(),
        project_id=call.project.id,
        name=name,
        is_active=body.is_active is not False,
        derived_from_insight=_short_id(body.derived_from_insight),
        tags=checks.tagified(body.tags or ()),
        created_by=call.user_id,
        created_at=call.now,
        updated_at=call.now,
    )


def _short_id(text: str | None) -> str | None:
    if text is not None and len(text) > 12:
        raise invalid("Failed to create endpoint.")
    return text


def _first_version(
    call: Call,
    body: EndpointRequest,
    endpoint: StoredEndpoint,
    query: Mapping[str, Any],
    columns: list[Mapping[str, str]],
) -> StoredVersion:
    return StoredVersion(
        id=str(uuid.uuid4()),
        endpoint_id=endpoint.id,
        number=1,
        query=query,
        description=body.description or "",
        data_freshness_seconds=body.data_freshness_seconds or DEFAULT_SECONDS,
        is_active=True,
        optional_breakdown_properties=tuple(body.optional_breakdown_properties or ()),
        columns=columns,
        reason=materialisation.reason_against(query),
        created_by=call.user_id,
        created_at=call.now,
    )


def _checked_update(
    deployment: Deployment, call: Call, endpoint: StoredEndpoint, current: StoredVersion, body: EndpointRequest
) -> _Update:
    number = body.version if body.version is not None else call.incoming.asked_integer("version")
    checks.check_freshness(body)
    checks.check_materialisable(body, endpoint, current)
    store = deployment.store
    query, columns = (
        (None, []) if body.query is None else checked(body.query, store.variables_of(call.project), deployment.engine)
    )
    target = None if number is None else store.version(endpoint, number)
    judged = query or (target.query if target else current.query if number is None else None)
    if judged is not None:
        checks.check_breakdowns(body.optional_breakdown_properties, judged)
    if number is not None and target is None:
        raise invalid(f"Version {number} not found for this endpoint.", "version")
    if target is not None and query is not None:
        raise invalid(
            "Cannot change query when targeting a specific version. Query changes create a new version.", "query"
        )
    return _Update(
        deployment=deployment,
        call=call,
        body=body,
        endpoint=endpoint,
        current=current,
        target=target,
        query=query,
        columns=columns,
    )


def _apply(plan: _Update) -> Updated:
    store, body, now = plan.deployment.store, plan.body, plan.call.now
    endpoint = replace(plan.endpoint, updated_at=now)
    if plan.target is None and body.is_active is not None:
        endpoint = replace(endpoint, is_active=body.is_active)
    store.endpoints.update(endpoint)
    if plan.target is None and not endpoint.is_active:
        _disable_all(plan.deployment, endpoint)
    bumped = plan.query is not None and plan.query != plan.current.query
    before = _again(plan, plan.target or plan.current)
    version = store.versions.insert(_next_version(plan)) if bumped else before
    version = _settle(plan, version)
    version, error = _materialise(plan, endpoint, before, version, bumped=bumped)
    if body.tags is not None:
        endpoint = store.endpoints.update(replace(endpoint, tags=checks.tagified(body.tags)))
    return Updated(endpoint=endpoint, version=version, targeted=plan.target is not None, materialization_error=error)


def _again(plan: _Update, version: StoredVersion) -> StoredVersion:
    """The version as it is now: deactivating the endpoint may just have taken its table away."""
    return plan.deployment.store.version(plan.endpoint, version.number) or version


def _next_version(plan: _Update) -> StoredVersion:
    """A version inherits description, freshness, and what is left of its optional breakdowns."""
    assert plan.query is not None
    known = breakdown_properties(plan.query)
    return StoredVersion(
        id=str(uuid.uuid4()),
        endpoint_id=plan.endpoint.id,
        number=plan.current.number + 1,
        query=plan.query,
        description=plan.current.description,
        data_freshness_seconds=plan.current.data_freshness_seconds,
        is_active=True,
        optional_breakdown_properties=tuple(
            name for name in plan.current.optional_breakdown_properties if name in known
        ),
        columns=plan.columns,
        reason=materialisation.reason_against(plan.query),
        created_by=plan.call.user_id,
        created_at=plan.call.now,
    )


def _settle(plan: _Update, version: StoredVersion) -> StoredVersion:
    """The settings of a version; only what was sent changes."""
    body = plan.body
    changes: dict[str, Any] = {}
    if body.description is not None:
        changes["description"] = body.description
    if "data_freshness_seconds" in body.model_fields_set:
        changes["data_freshness_seconds"] = body.data_freshness_seconds or DEFAULT_SECONDS
    if "optional_breakdown_properties" in body.model_fields_set:
        changes["optional_breakdown_properties"] = tuple(body.optional_breakdown_properties or ())
    if plan.target is not None and body.is_active is not None:
        changes["is_active"] = body.is_active
    return _saved(plan, version, replace(version, **changes))


def _materialise(
    plan: _Update, endpoint: StoredEndpoint, before: StoredVersion, version: StoredVersion, *, bumped: bool
) -> tuple[StoredVersion, str | None]:
    """Switch the table of a version on or off. A new version stays whatever becomes of its table."""
    wanted = _wanted(plan, endpoint, before, version)
    if wanted is None:
        return version, None
    if not wanted:
        return _saved(plan, version, materialisation.disabled(version)), None
    overrides: Mapping[str, str] | None = plan.body.bucket_overrides
    if overrides is None and bumped:
        overrides = before.bucket_overrides
    try:
        materialisation.check_overrides(overrides)
        on = _enabled(plan.deployment, plan.call, endpoint, version, overrides)
    except Refused as refusal:
        if not bumped:
            raise
        return version, f"[ErrorDetail(string={refusal.detail!r}, code='invalid')]"
    except materialisation.Failed:
        if not bumped:
            raise broken(materialisation.FAILED) from None
        return version, materialisation.FAILED
    return _saved(plan, version, on), None


def _wanted(plan: _Update, endpoint: StoredEndpoint, before: StoredVersion, version: StoredVersion) -> bool | None:
    """Whether the version is to be materialised after this; None leaves it as it is."""
    if plan.target is not None and not version.is_active:
        return False if version.is_enabled else None
    if not endpoint.is_active:
        return None
    if plan.body.is_materialized is not None:
        return plan.body.is_materialized
    return True if before.is_enabled else None


def _enabled(
    deployment: Deployment,
    call: Call,
    endpoint: StoredEndpoint,
    version: StoredVersion,
    overrides: Mapping[str, str] | None,
) -> StoredVersion:
    if materialisation_breaks():
        raise materialisation.Failed
    on = materialisation.enabled(deployment.store, call.project, endpoint, version, overrides, call.now)
    return replace(on, build_error=materialisation.BUILD_FAILED) if build_fails() else on


def _disable_all(deployment: Deployment, endpoint: StoredEndpoint) -> None:
    enabled = deployment.store.versions.select("endpoint_id = ? AND saved_query_id IS NOT NULL", (endpoint.id,))
    for version in enabled:
        deployment.store.versions.update(materialisation.disabled(version))


def _saved(plan: _Update, before: StoredVersion, after: StoredVersion) -> StoredVersion:
    """Store a version; when it was updated last moves only with a change."""
    if after == before:
        return before
    return plan.deployment.store.versions.update(replace(after, updated_at=plan.call.now))
