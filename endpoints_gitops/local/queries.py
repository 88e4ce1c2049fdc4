"""Answers to queries without an endpoint (docs/server.md#queries)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.local import runs
from endpoints_gitops.local.answers import zulu
from endpoints_gitops.local.bodies import query_request
from endpoints_gitops.local.call import RouteAnswer, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.interface import EngineRows
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.errors import RequestRefused, envelope, invalid
from endpoints_gitops.local.insights.computed import computed
from endpoints_gitops.local.insights.sql_filters import sql_of
from endpoints_gitops.local.system_tables import rows_of
from endpoints_gitops.model.json import Json

DEFAULT_LIMIT: Final = 100
_FRESH: Final = timedelta(minutes=1)
_NO_OFFSET: Final = (
    "OFFSET is not supported on queries made with a personal API key. For pagination, use keyset pagination on the "
    "`timestamp` column, e.g. `WHERE timestamp > :last_seen_timestamp ORDER BY timestamp LIMIT N`. For bulk data "
    "extraction, use batch exports: https://posthog.com/docs/cdp/batch-exports"
)


def answered_query(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """The rows of a HogQL node, or the results of an insight.

    Without a LIMIT the answer of HogQL is a page of 100 rows with `hasMore`.
    """
    asked = query_request(call.incoming.sent())
    if asked.filters_override or asked.variables_override:
        raise invalid("This local server does not override filters or variables.", code="not_supported_locally")
    if asked.query["kind"] != "HogQLQuery":
        return RouteAnswer(body=_insight(deployment, call, asked.query))
    sql = str(asked.query["query"])
    with deployment.store.lock:
        values = runs.declared_values(deployment.store, call.project, asked.query.get("variables") or {}, {})
    try:
        paged = _is_paged(sql)
        filtered = sql_of(deployment.engine, asked.query)
        rows = deployment.engine.run(
            filtered,
            values,
            limit=DEFAULT_LIMIT if paged else None,
            offset=None,
            rows_of=rows_of(deployment, call),
        )
    except QueryRefused as refusal:
        raise RequestRefused(400, envelope(refusal.type, refusal.code, refusal.message)) from None
    return RouteAnswer(body=_body(deployment, call, sql, rows, paged=paged))


def _insight(deployment: Deployment, call: RouteCall, node: Mapping[str, Any]) -> dict[str, Json]:
    try:
        insight = computed(deployment.engine, node, is_endpoint=False)
    except QueryRefused as refusal:
        raise RequestRefused(400, envelope(refusal.type, refusal.code, refusal.message)) from None
    return {
        "cache_target_age": zulu(call.now + _FRESH),
        "error": None,
        "hasMore": insight.has_more,
        "is_cached": False,
        "last_refresh": zulu(call.now),
        "modifiers": None,
        "next_allowed_client_refresh": zulu(call.now + _FRESH),
        "query_status": None,
        "results": insight.results,
        "timezone": deployment.engine.project.timezone,
        "timings": [],
    }


def _is_paged(sql: str) -> bool:
    """Whether the rows are paged: those of a single SELECT without a LIMIT. Keys must not use OFFSET."""
    try:
        tree: Tree = parse(sql)
    except ParseFailure as failure:
        raise from_parser(failure) from None
    if tree.get("offset") is not None:
        raise invalid(_NO_OFFSET, code="hogql_query_error")
    return tree["node"] == "SelectQuery" and tree.get("limit") is None


def _body(deployment: Deployment, call: RouteCall, sql: str, rows: EngineRows, *, paged: bool) -> dict[str, Json]:
    return {
        "cache_target_age": zulu(call.now + _FRESH),
        "clickhouse": rows.clickhouse,
        "columns": list(rows.columns),
        "error": None,
        "explain": None,
        "hasMore": rows.has_more if paged else None,
        "hogql": sql,
        "is_cached": False,
        "last_refresh": zulu(call.now),
        "limit": DEFAULT_LIMIT if paged else None,
        "metadata": None,
        "modifiers": None,
        "next_allowed_client_refresh": zulu(call.now + _FRESH),
        "offset": 0 if paged else None,
        "query": sql,
        "query_status": None,
        "results": [list(row) for row in rows.results],
        "timezone": deployment.engine.project.timezone,
        "timings": [],
        "types": [list(pair) for pair in rows.types],
    }
