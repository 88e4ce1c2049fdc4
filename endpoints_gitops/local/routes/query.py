"""A query that is no endpoint, asked as it is (docs/server.md#queries)."""

from __future__ import annotations

from typing import Any, Final

from endpoints_gitops.hogql.insights import validate
from endpoints_gitops.local.call import Answer, Call
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.errors import Refused, envelope, invalid
from endpoints_gitops.local.routes.action import Action, Resource


def ask(deployment: Deployment, call: Call) -> Answer:
    """Only HogQL: the answers of insights are promised by the examples of endpoints, and this is none."""
    node = _node(call)
    if node["kind"] != "HogQLQuery":
        told = f"This local server answers {node['kind']} only as an endpoint, from the examples of its definition."
        raise invalid(told, "query", code="not_supported_locally")
    entries = (node.get("variables") or {}).values()
    values = {str(entry.get("code_name")): entry.get("value") for entry in entries}
    try:
        rows = deployment.engine.run(str(node["query"]), values, limit=None, offset=None)
    except QueryRefused as refusal:
        raise Refused(400, envelope(refusal.type, refusal.code, refusal.message)) from None
    return Answer(
        body={
            "results": [list(row) for row in rows.results],
            "columns": list(rows.columns),
            "types": [list(pair) for pair in rows.types],
            "hasMore": rows.has_more,
            "clickhouse": rows.clickhouse,
            "error": None,
        }
    )


def _node(call: Call) -> dict[str, Any]:
    sent = call.incoming.sent()
    node = sent.get("query") if isinstance(sent, dict) else None
    if not isinstance(node, dict):
        raise invalid("This field is required.", "query")
    mistakes = validate(node)
    if mistakes:
        raise invalid("; ".join(f"{path}: {message}" for path, message in mistakes), "query")
    return node


RESOURCES: Final = (
    Resource(path="/query", actions={"POST": Action(handler=ask, scope="query:read", interleaved=True)}),
)
