"""Endpoints and their versions (docs/server.md#routes).

What a write needs is imported with the first one: most servers are read first, and start sooner without it.
"""

from __future__ import annotations

from typing import Any, Final

from endpoints_gitops.local.answers import endpoint_item, version_item
from endpoints_gitops.local.call import Incoming, RouteAnswer, RouteCall, integer, limit_offset
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import RequestRefused, invalid
from endpoints_gitops.local.routes.action import (
    Described,
    Resource,
    RouteAction,
    current_of,
    endpoint_of,
    number_asked,
    version_asked,
)
from endpoints_gitops.local.store import StoredEndpoint, StoredVersion
from endpoints_gitops.model.json import Json

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def list_endpoints(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    store = deployment.store
    where, values = _filters(deployment, call.incoming)
    where, values = f"project_id = ? AND deleted_at IS NULL{where}", [call.project.id, *values]
    hidden = deployment.access.hidden(call)
    where, values = f"{where} AND id NOT IN ({', '.join('?' * len(hidden))})", [*values, *hidden]

    def items(limit: int, offset: int) -> list[Json]:
        page = store.endpoints.select(where, (*values, limit, offset), tail="ORDER BY place LIMIT ? OFFSET ?")
        return [_item(deployment, call, endpoint) for endpoint in page]

    return RouteAnswer(body=limit_offset(call.incoming, store.endpoints.count(where, values), items))


def create_endpoint(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local import endpoint_writes
    from endpoints_gitops.local.bodies import endpoint_request

    body = endpoint_request(call.incoming.sent())
    columns = endpoint_writes.describe_query(body.query, deployment.engine)
    with deployment.store.lock:
        endpoint, version = endpoint_writes.create(deployment, call, body, columns)
        return RouteAnswer(status=201, body=_item(deployment, call, endpoint, version))


def retrieve_endpoint(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    endpoint = endpoint_of(deployment, call)
    number = number_asked(call)
    if number is None:
        return RouteAnswer(body=_item(deployment, call, endpoint))
    return RouteAnswer(body=_version(deployment, call, endpoint, version_asked(deployment, endpoint, number)))


def update_endpoint(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """Handle PUT and PATCH, which are equal."""
    from endpoints_gitops.local import endpoint_writes
    from endpoints_gitops.local.bodies import endpoint_request

    store = deployment.store
    with store.lock:
        endpoint_of(deployment, call)
    body = endpoint_request(call.incoming.sent())
    columns = () if body.deleted else endpoint_writes.describe_query(body.query, deployment.engine)
    with store.lock:
        endpoint = endpoint_of(deployment, call)
        if body.deleted:
            endpoint_writes.delete(deployment, call, endpoint)
            return RouteAnswer(body={"success": True})
        current = current_of(deployment, endpoint)
        done = endpoint_writes.update(deployment, call, endpoint, current, body, columns)
        show = _version if done.targeted else _item
        told = show(deployment, call, done.endpoint, done.version)
    if done.materialization_error is not None:
        told["materialization_error"] = done.materialization_error
    return RouteAnswer(body=told)


def delete_endpoint(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local import endpoint_writes

    endpoint_writes.delete(deployment, call, endpoint_of(deployment, call))
    return RouteAnswer(status=204)


def list_versions(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    endpoint = endpoint_of(deployment, call)
    store = deployment.store

    def items(limit: int, offset: int) -> list[Json]:
        tail = "ORDER BY number DESC LIMIT ? OFFSET ?"
        page = store.versions.select("endpoint_id = ?", (endpoint.id, limit, offset), tail=tail)
        return [_version(deployment, call, endpoint, version) for version in page]

    return RouteAnswer(body=limit_offset(call.incoming, store.versions_count(endpoint), items))


def update_tags(_deployment: Deployment, _call: RouteCall) -> RouteAnswer:
    """Refuse the request; with a key it fails earlier."""
    raise RequestRefused(405, {"detail": "Bulk tag updates are not supported for endpoints."})


def _filters(deployment: Deployment, incoming: Incoming) -> tuple[str, list[Any]]:
    where: str = ""
    values: list[Any] = []
    flag = _FLAGS.get((incoming.asked("is_active") or "").lower())
    if flag is not None:
        where, values = " AND is_active = ?", [int(flag)]
    author = incoming.asked("created_by")
    if author:
        number = integer(author)
        if number is None or abs(number) >= 2**63 or deployment.store.user(number) is None:
            told = "Select a valid choice. That choice is not one of the available choices."
            raise invalid(told, "created_by", code="invalid_choice")
        where, values = f"{where} AND created_by = ?", [*values, number]
    return where, values


def _item(
    deployment: Deployment, call: RouteCall, endpoint: StoredEndpoint, version: StoredVersion | None = None
) -> dict[str, Json]:
    shown = version or current_of(deployment, endpoint)
    return endpoint_item(deployment.store, call.project, endpoint, shown, call.now, call.incoming.site)


def _version(
    deployment: Deployment, call: RouteCall, endpoint: StoredEndpoint, version: StoredVersion
) -> dict[str, Json]:
    return version_item(deployment.store, call.project, endpoint, version, call.now)


_NOT_MATERIALIZED: Final = "Turning materialization on fails inside the server."
_UPDATE: Final = RouteAction(
    handler=update_endpoint,
    scope="endpoint:write",
    interleaved=True,
    described=Described(
        summary="Update an endpoint, or one of its versions",
        query=("version",),
        body="EndpointRequest",
        answer="UpdatedEndpoint",
        fault=_NOT_MATERIALIZED,
    ),
)
RESOURCES: Final = (
    Resource(
        path="/endpoints",
        actions={
            "GET": RouteAction(
                handler=list_endpoints,
                scope="endpoint:read",
                described=Described(
                    summary="List endpoints",
                    query=("is_active", "created_by", "limit", "offset"),
                    answer="EndpointPage",
                ),
            ),
            "POST": RouteAction(
                handler=create_endpoint,
                scope="endpoint:write",
                interleaved=True,
                described=Described(
                    summary="Create an endpoint",
                    body="EndpointRequest",
                    answer="Endpoint",
                    status=201,
                    fault=_NOT_MATERIALIZED,
                ),
            ),
        },
    ),
    Resource(
        path="/endpoints/bulk_update_tags",
        actions={
            "POST": RouteAction(
                handler=update_tags,
                scope=None,
                described=Described(summary="Update the tags of many endpoints, which PostHog supports for no key"),
            )
        },
    ),
    Resource(
        path="/endpoints/{name}",
        actions={
            "GET": RouteAction(
                handler=retrieve_endpoint,
                scope="endpoint:read",
                described=Described(
                    summary="Get an endpoint, or one of its versions", query=("version",), answer="EndpointOrVersion"
                ),
            ),
            "PUT": _UPDATE,
            "PATCH": _UPDATE,
            "DELETE": RouteAction(
                handler=delete_endpoint,
                scope="endpoint:write",
                described=Described(summary="Delete an endpoint", status=204),
            ),
        },
    ),
    Resource(
        path="/endpoints/{name}/versions",
        actions={
            "GET": RouteAction(
                handler=list_versions,
                scope="endpoint:read",
                described=Described(
                    summary="List versions, newest first", query=("limit", "offset"), answer="EndpointVersionPage"
                ),
            )
        },
    ),
)
