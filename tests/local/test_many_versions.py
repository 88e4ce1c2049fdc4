"""No request reads all versions, endpoints or log entries: what it takes does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
GROWS = ("versions", "endpoints", "logs", "keys")
REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "endpoints/", None),
    ("GET", "endpoints/?limit=100&offset=100", None),
    ("GET", "endpoints/e/", None),
    ("GET", "endpoints/e/?version=1", None),
    ("GET", "endpoints/e/versions/", None),
    ("GET", "endpoints/e/materialization_status/", None),
    ("GET", "endpoints/e/openapi.json", None),
    ("GET", "endpoints/e/logs/", None),
    ("POST", "endpoints/e/run", {}),
    ("POST", "endpoints/e/run", {"version": 1}),
    ("POST", "endpoints/last_execution_times/", {"names": ["e"]}),
    ("POST", "endpoints/", {"name": "other", "query": QUERY, "is_materialized": True}),
    ("PATCH", "endpoints/e/", {"query": {**QUERY, "query": "SELECT 2 AS two"}}),
    ("PATCH", "endpoints/e/", {"is_materialized": True}),
    ("PATCH", "endpoints/e/", {"is_active": False}),
    ("DELETE", "endpoints/e/", None),
    ("POST", "query/", {"query": QUERY}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_no_statement_reads_a_whole_table(
    server: RunningServer, ask: Callable[..., httpx.Response], method: str, path: str, body: Any
) -> None:
    assert ask("POST", "endpoints/", {"name": "e", "query": QUERY, "is_materialized": True}).status_code == 201
    assert ask("POST", "endpoints/e/run", {}).status_code == 200
    server.store.idle_checked_at = None
    connection, statements = server.store._connection, []
    connection.set_trace_callback(statements.append)
    assert ask(method, path, body).is_success
    connection.set_trace_callback(None)
    reads = [sql for sql in statements if not sql.startswith(("INSERT", "BEGIN", "COMMIT"))]
    assert len(reads) > 3
    plans = {sql: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in reads}
    whole = {
        sql for sql, plan in plans.items() if any(step.split()[:2] == ["SCAN", name] for step in plan for name in GROWS)
    }
    assert whole == set()
