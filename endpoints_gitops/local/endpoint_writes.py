"""Create, update and delete endpoints: checks and effects in the server's order (docs/server.md#versions)."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from endpoints_gitops.hogql.insights import breakdown_properties, expand
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.syntax_tree import nodes
from endpoints_gitops.hogql.variables import chain_of, variables_used
from endpoints_gitops.local import materialization
from endpoints_gitops.local.bodies import EndpointRequest
from endpoints_gitops.local.call import RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.errors import RequestRefused, broken, invalid
from endpoints_gitops.local.faults import build_fails, materialization_breaks
from endpoints_gitops.local.insights.sql_filters import sql_of
from endpoints_gitops.local.store import StoredEndpoint, StoredVariable, StoredVersion, new_id
from endpoints_gitops.model.freshness import DEFAULT_SECONDS, SCHEDULES
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.model.uuids import is_uuid

_FRESHNESS = (
    f"Data freshness must be one of: {list(SCHEDULES.values())} seconds "
    "(15 minutes, 30 minutes, 1 hour, 6 hours, 12 hours, 24 hours, 7 days)."
)
_BROKEN_DOWN = ("RetentionQuery", "TrendsQuery")
_INACTIVE = "Cannot enable materialization on inactive endpoint."


def check_required(body: EndpointRequest) -> tuple[str, dict[str, Any]]:
    """The name and the query of a new endpoint."""
    if body.query is None:
        raise invalid("This field is required.", "query")
    if not body.name:
        raise invalid("This field is required.", "name")
    if not is_endpoint_name(body.name):
        raise invalid(
            f"Invalid name '{body.name}'. Must start with a letter, contain only alphanumeric characters, hyphens, "
            "or underscores, and be between 1 and 128 characters long.",
            "name",
        )
    return body.name, body.query


def check_freshness(body: EndpointRequest) -> None:
    if body.data_freshness_seconds is not None and body.data_freshness_seconds not in SCHEDULES.values():
        raise invalid(_FRESHNESS, "data_freshness_seconds")


def check_breakdowns(names: Sequence[str] | None, query: Mapping[str, Any]) -> None:
    """Optional breakdowns must be breakdowns of the query."""
    if not names:
        return
    if query["kind"] not in _BROKEN_DOWN:
        told = f"Query kind '{query['kind']}' does not support breakdowns. Supported: {', '.join(_BROKEN_DOWN)}."
        raise invalid(told, "optional_breakdown_properties")
    known = list(breakdown_properties(query))
    unknown = [name for name in names if name not in known]
    if unknown:
        noun = "property" if len(unknown) == 1 else "properties"
        told = ", ".join(f"'{name}'" for name in unknown)
        raise invalid(f"Unknown breakdown {noun}: {told}. Known: {known or '(none)'}.", "optional_breakdown_properties")


def check_materializable(body: EndpointRequest, endpoint: StoredEndpoint, current: StoredVersion) -> None:
    """Whether an update can turn on materialization: checked for the new query, or else the current one."""
    if not body.is_materialized:
        return
    stays_active = endpoint.is_active if body.is_active is None else body.is_active
    if not stays_active:
        raise invalid(_INACTIVE, "is_materialized")
    reason = materialization.reason_against(body.query) if body.query is not None else current.reason
    if reason is not None:
        raise materialization.not_eligible(reason)
    materialization.check_overrides(body.bucket_overrides)


def tagified(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({tag for tag in (re.sub(r"\s+", " ", text).strip().lower() for text in tags) if tag}))


_DIRECT = (
    "Endpoints can't query a direct connection. Switch the connection to PostHog (ClickHouse) and query a synced table "
    "instead."
)
_ARRAY_FUNCTIONS = ("has", "hasany", "hasall", "indexof", "countequal", "arrayexists", "arraycount")


type QueryColumns = Sequence[Mapping[str, str]] | QueryRefused
"""The columns of a query, or why the engine refuses it."""


def describe_query(node: Mapping[str, Any] | None, engine: QueryEngine) -> QueryColumns:
    """The columns of a sent HogQL query. The engine can take seconds, so call this without the lock of the store."""
    if node is None or node["kind"] != "HogQLQuery" or isinstance(_tree(node["query"]), ParseFailure):
        return ()
    full = expand(node)
    try:
        columns = engine.describe({**full, "query": sql_of(engine, full)})
    except QueryRefused as refusal:
        return refusal
    return [{"name": column.name, "type": column.type} for column in columns]


def checked(
    node: Mapping[str, Any], variables: list[StoredVariable], columns: QueryColumns
) -> tuple[dict[str, Any], Sequence[Mapping[str, str]]]:
    """The node as it will be stored, with its columns. Raises a 400 about `query`."""
    if node["kind"] != "HogQLQuery" or not node["query"]:
        return expand(node), []
    tree = _tree(node["query"])
    synced = {**node, "variables": _synced(node, tree, variables)}
    if node.get("connectionId"):
        raise invalid(_DIRECT, "query")
    if isinstance(tree, ParseFailure):
        raise _no_hogql(tree.message)
    _check_variables(synced["variables"] or {}, tree, variables)
    if isinstance(columns, QueryRefused):
        raise _no_hogql(columns.message)
    return expand(synced), columns


def _no_hogql(message: str) -> RequestRefused:
    return invalid(f"Invalid HogQL query: {message}", "query")


def _tree(sql: str) -> Tree | ParseFailure:
    try:
        return parse(sql)
    except ParseFailure as failure:
        return failure


def _synced(
    node: Mapping[str, Any], tree: Tree | ParseFailure, variables: list[StoredVariable]
) -> Mapping[str, Any] | None:
    """The variables that the text uses; missing ones come from the project."""
    sent = node.get("variables") or {}
    if isinstance(tree, ParseFailure):
        return sent or None
    used = variables_used(tree)
    by_id = {variable.id: variable for variable in variables}
    kept = {key: _filled(entry, by_id) for key, entry in sent.items() if entry["code_name"] in used}
    missing = set(used) - {entry["code_name"] for entry in kept.values()}
    added = {variable.id: _entry(variable) for variable in variables if variable.code_name in missing}
    return {**kept, **added} or None


def _filled(entry: Mapping[str, Any], by_id: Mapping[str, StoredVariable]) -> Mapping[str, Any]:
    variable = by_id.get(entry["variableId"])
    if entry.get("value") is not None or entry.get("isNull") is True or variable is None:
        return entry
    return {**entry, "value": variable.default_value, "isNull": variable.default_value is None}


def _entry(variable: StoredVariable) -> Mapping[str, Any]:
    default = variable.default_value
    return {
        "variableId": variable.id,
        "code_name": variable.code_name,
        "value": default,
        "isNull": default is None,
    }


def _check_variables(entries: Mapping[str, Any], tree: Tree, variables: list[StoredVariable]) -> None:
    defined = {entry["code_name"] for entry in entries.values()}
    undefined = sorted(set(variables_used(tree)) - defined)
    if undefined:
        told = ", ".join(undefined)
        raise invalid(
            f"Query references undefined variable(s): {told}. "
            "See https://posthog.com/docs/endpoints/variables for detail.",
            "query",
        )
    wrong = [key for key in entries if not is_uuid(key)]
    if wrong:
        raise invalid(f"Variable ID(s) not valid UUIDs: {', '.join(wrong)}. ", "query")
    known = {variable.id: variable for variable in variables}
    unknown = sorted(key for key in entries if str(uuid.UUID(key)) not in known)
    if unknown:
        raise invalid(
            f"Variable ID(s) not found: {', '.join(unknown)}. "
            "Make sure the variables exist in https://app.posthog.com/data-management/variables.",
            "query",
        )
    _check_lists(entries, tree, known)


def _check_lists(entries: Mapping[str, Any], tree: Tree, known: Mapping[str, StoredVariable]) -> None:
    """Refuse a List variable with a single value in an array function, because it is text."""
    single = {
        entry["code_name"]
        for key, entry in entries.items()
        if (variable := known[str(uuid.UUID(key))]).type == "List" and not variable.is_multi
    }
    for name in variables_in_arrays(tree):
        if name in single:
            raise invalid(
                f"Variable '{name}' is a single-select List variable and cannot be used as an array. "
                "Allow several values for it, or compare it with '='.",
                "query",
            )


def variables_in_arrays(tree: Tree) -> list[str]:
    """The variables that are array arguments of functions."""
    calls = (node for node in nodes(tree) if node["node"] == "Call" and str(node["name"]).lower() in _ARRAY_FUNCTIONS)
    chains = (chain_of(argument) for call in calls for argument in call["args"] if argument["node"] == "Placeholder")
    return [chain[1] for chain in chains if len(chain) > 1 and chain[0] == "variables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """The result of an update. `targeted`: a version was named, so the answer is that of the version."""

    endpoint: StoredEndpoint
    version: StoredVersion
    targeted: bool
    materialization_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    """An update that passed its checks."""

    deployment: Deployment
    call: RouteCall
    body: EndpointRequest
    endpoint: StoredEndpoint
    current: StoredVersion
    target: StoredVersion | None
    query: Mapping[str, Any] | None
    columns: Sequence[Mapping[str, str]]


def create(
    deployment: Deployment, call: RouteCall, body: EndpointRequest, query_columns: QueryColumns
) -> tuple[StoredEndpoint, StoredVersion]:
    """Create an endpoint with version 1, or nothing at all. `query_columns` are those of `describe_query`."""
    name, sent = check_required(body)
    store = deployment.store
    query, columns = checked(sent, store.variables_of(call.project), query_columns)
    check_freshness(body)
    check_breakdowns(body.optional_breakdown_properties, query)
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
    except materialization.Failed:
        raise broken(materialization.FAILED) from None
    return endpoint, version


def update(
    deployment: Deployment,
    call: RouteCall,
    endpoint: StoredEndpoint,
    current: StoredVersion,
    body: EndpointRequest,
    query_columns: QueryColumns,
) -> Updated:
    """Check, then apply. A refusal after the checks keeps the earlier changes; a process that dies keeps none.
    `query_columns` are those of `describe_query`."""
    plan = _checked_update(deployment, call, endpoint, current, body, query_columns)
    try:
        with deployment.store.transaction(keep=(RequestRefused, sqlite3.Error)):
            return _apply(plan)
    except sqlite3.Error:
        raise invalid("Failed to update endpoint.") from None


def delete(deployment: Deployment, call: RouteCall, endpoint: StoredEndpoint) -> None:
    """Soft-delete an endpoint: its versions are kept but unreachable, and its name can be reused."""
    store = deployment.store
    with store.transaction():
        _disable_all(deployment, endpoint)
        store.endpoints.update(replace(endpoint, deleted_at=call.now, updated_at=call.now))


def _new_endpoint(call: RouteCall, body: EndpointRequest, name: str) -> StoredEndpoint:
    return StoredEndpoint(
        id=new_id(),
        project_id=call.project.id,
        name=name,
        is_active=body.is_active is not False,
        derived_from_insight=_short_id(body.derived_from_insight),
        tags=tagified(body.tags or ()),
        created_by=call.user_id,
        created_at=call.now,
        updated_at=call.now,
    )


def _short_id(text: str | None) -> str | None:
    if text is not None and len(text) > 12:
        raise invalid("Failed to create endpoint.")
    return text


def _first_version(
    call: RouteCall,
    body: EndpointRequest,
    endpoint: StoredEndpoint,
    query: Mapping[str, Any],
    columns: Sequence[Mapping[str, str]],
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
        reason=materialization.reason_against(query),
        created_by=call.user_id,
        created_at=call.now,
    )


def _checked_update(
    deployment: Deployment,
    call: RouteCall,
    endpoint: StoredEndpoint,
    current: StoredVersion,
    body: EndpointRequest,
    query_columns: QueryColumns,
) -> _Update:
    number = body.version if body.version is not None else call.incoming.asked_integer("version")
    check_freshness(body)
    check_materializable(body, endpoint, current)
    store = deployment.store
    query, columns = (
        (None, ()) if body.query is None else checked(body.query, store.variables_of(call.project), query_columns)
    )
    target = None if number is None else store.version(endpoint, number)
    checked_query = query or (target.query if target else current.query if number is None else None)
    if checked_query is not None:
        check_breakdowns(body.optional_breakdown_properties, checked_query)
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
    version, error = _materialize(plan, endpoint, before, version, bumped=bumped)
    if body.tags is not None:
        endpoint = store.endpoints.update(replace(endpoint, tags=tagified(body.tags)))
    return Updated(endpoint=endpoint, version=version, targeted=plan.target is not None, materialization_error=error)


def _again(plan: _Update, version: StoredVersion) -> StoredVersion:
    """The current state of the version: deactivating the endpoint can have removed its table."""
    return plan.deployment.store.version(plan.endpoint, version.number) or version


def _next_version(plan: _Update) -> StoredVersion:
    """A new version, which inherits description, freshness and the optional breakdowns that still exist."""
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
        reason=materialization.reason_against(plan.query),
        created_by=plan.call.user_id,
        created_at=plan.call.now,
    )


def _settle(plan: _Update, version: StoredVersion) -> StoredVersion:
    """Change the settings of a version that were sent."""
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


def _materialize(
    plan: _Update, endpoint: StoredEndpoint, before: StoredVersion, version: StoredVersion, *, bumped: bool
) -> tuple[StoredVersion, str | None]:
    """Turn the materialization of a version on or off. A new version is kept even if this fails."""
    wanted = _wanted(plan, endpoint, before, version)
    if wanted is None:
        return version, None
    if not wanted:
        return _saved(plan, version, materialization.disabled(version)), None
    overrides: Mapping[str, str] | None = plan.body.bucket_overrides
    if overrides is None and bumped:
        overrides = before.bucket_overrides
    # a 400, though a new version is there (docs/server.md#writes-that-half-happen)
    materialization.check_overrides(overrides)
    try:
        on = _enabled(plan.deployment, plan.call, endpoint, version, overrides)
    except RequestRefused as refusal:
        if not bumped:
            raise
        return version, f"[ErrorDetail(string={refusal.detail!r}, code='invalid')]"
    except materialization.Failed:
        if not bumped:
            raise broken(materialization.FAILED) from None
        return version, materialization.FAILED
    return _saved(plan, version, on), None


def _wanted(plan: _Update, endpoint: StoredEndpoint, before: StoredVersion, version: StoredVersion) -> bool | None:
    """Whether to turn the materialization on or off; None keeps it."""
    if plan.target is not None and not version.is_active:
        return False if version.is_enabled else None
    if not endpoint.is_active:
        return None
    if plan.body.is_materialized is not None:
        return plan.body.is_materialized
    return True if before.is_enabled else None


def _enabled(
    deployment: Deployment,
    call: RouteCall,
    endpoint: StoredEndpoint,
    version: StoredVersion,
    overrides: Mapping[str, str] | None,
) -> StoredVersion:
    if materialization_breaks():
        raise materialization.Failed
    on = materialization.enabled(deployment.store, call.project, endpoint, version, overrides, call.now)
    return replace(on, build_error=materialization.BUILD_FAILED) if build_fails() or deployment.builds_fail else on


def _disable_all(deployment: Deployment, endpoint: StoredEndpoint) -> None:
    enabled = deployment.store.versions.select("endpoint_id = ? AND saved_query_id IS NOT NULL", (endpoint.id,))
    for version in enabled:
        deployment.store.versions.update(materialization.disabled(version))


def _saved(plan: _Update, before: StoredVersion, after: StoredVersion) -> StoredVersion:
    """Store a version; its update time changes only with a change."""
    if after == before:
        return before
    return plan.deployment.store.versions.update(replace(after, updated_at=plan.call.now))
