"""Queries without an endpoint, for `run --file` and `check --live` (docs/server.md#queries)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.local.call import RouteAnswer, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.routes.action import Described, Resource, RouteAction


def run_query(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local.queries import answered_query  # the translation of HogQL takes long to import

    return answered_query(deployment, call)


RESOURCES: Final = (
    Resource(
        path="/query",
        actions={
            "POST": RouteAction(
                handler=run_query,
                scope="query:read",
                interleaved=True,
                described=Described(
                    summary="Run a query without an endpoint", body="QueryRequest", answer="QueryAnswer"
                ),
            )
        },
    ),
)
