"""Conditions, state and preview of materialization (docs/server.md#materialization)."""

from __future__ import annotations

import inspect
from typing import Final

from endpoints_gitops.local import materialization
from endpoints_gitops.local.call import RouteAnswer, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import RequestRefused, bare
from endpoints_gitops.local.routes.action import (
    Described,
    Resource,
    RouteAction,
    endpoint_of,
    number_asked,
    version_asked,
)

_CONTRACT: Final = (
    "Equality variables become columns of the table, range variables bucket a column of it, and a run filters by them."
)


def show_status(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    endpoint = endpoint_of(deployment, call)
    version = version_asked(deployment, endpoint, number_asked(call))
    state = materialization.state(version, call.now)
    return RouteAnswer(body={**state, "name": endpoint.name})


def show_preview(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local.bodies import preview_request
    from endpoints_gitops.local.materialization_preview import preview

    endpoint = endpoint_of(deployment, call)
    body = preview_request(call.incoming.sent())
    version = version_asked(deployment, endpoint, body.version)
    materialization.check_overrides(body.bucket_overrides)
    return RouteAnswer(body=preview(endpoint.name, version, body.bucket_overrides or {}))


def query_shown(deployment: Deployment, call: RouteCall) -> tuple[str, ...]:
    """The HogQL of a preview; the handler refuses an invalid body."""
    from endpoints_gitops.local.bodies import preview_request

    try:
        number = preview_request(call.incoming.sent()).version
        version = version_asked(deployment, endpoint_of(deployment, call), number)
    except RequestRefused:
        return ()
    return (version.sql,) if version.sql else ()


def suggest(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """Refuse the AI route, which the local server does not have."""
    endpoint_of(deployment, call)
    raise bare(404, "AI materialization suggestions are not enabled for this project.")


def show_conditions(_deployment: Deployment, _call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.hogql import eligibility as rules

    return RouteAnswer(body={"conditions_source": inspect.getsource(rules), "rewrite_contract": _CONTRACT})


def _reading(path: str, method: str, action: RouteAction) -> Resource:
    return Resource(path=path, actions={method: action})


BEFORE_NAMES: Final = (
    _reading(
        "/endpoints/materialization_conditions",
        "GET",
        RouteAction(
            handler=show_conditions,
            scope="endpoint:read",
            described=Described(
                summary="What decides whether a query can be materialized", answer="MaterializationConditions"
            ),
        ),
    ),
)
RESOURCES: Final = (
    _reading(
        "/endpoints/{name}/materialization_status",
        "GET",
        RouteAction(
            handler=show_status,
            scope="endpoint:read",
            described=Described(summary="The table of a version", query=("version",), answer="MaterializationStatus"),
        ),
    ),
    _reading(
        "/endpoints/{name}/materialization_preview",
        "POST",
        RouteAction(
            handler=show_preview,
            scope="endpoint:read",
            queries=query_shown,
            described=Described(
                summary="What a table of a version would hold, and how it is read",
                body="PreviewRequest",
                answer="MaterializationPreview",
            ),
        ),
    ),
    _reading(
        "/endpoints/{name}/materialization_suggestion",
        "POST",
        RouteAction(
            handler=suggest,
            scope="endpoint:read",
            described=Described(summary="A query that can be materialized, by AI; always a 404 here", status=404),
        ),
    ),
)
