"""The tools of PostHog's own agents, of which this server has `execute_sql` (docs/server.md#mcp-tools)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.local.call import RouteAnswer, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.routes.action import Described, Resource, RouteAction


def execute_sql(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local.sql_tool import answered_sql  # the translation of HogQL takes long to import

    return answered_sql(deployment, call)


def unknown_tool(_deployment: Deployment, call: RouteCall) -> RouteAnswer:
    content = f"Tool '{call.incoming.names['tool']}' not found"
    return RouteAnswer(body={"success": False, "content": content}, status=404)


RESOURCES: Final = (
    Resource(
        path="/mcp_tools/execute_sql",
        actions={
            "POST": RouteAction(
                handler=execute_sql,
                scope="query:read",
                interleaved=True,
                described=Described(
                    summary="Run HogQL, and answer with text", body="ExecuteSqlRequest", answer="ToolAnswer"
                ),
            )
        },
    ),
    Resource(
        path="/mcp_tools/{tool}",
        actions={
            "POST": RouteAction(
                handler=unknown_tool,
                scope=None,
                described=Described(summary="Call another tool, which this server does not have"),
            )
        },
    ),
)
