"""`execute_sql`, the tool with which agents query (docs/server.md#mcp-tools)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.engine.session import ClickHouseSession
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.local.sql_tool import as_text

PATH = "mcp_tools/execute_sql/"
Tool = Callable[..., dict[str, Any]]


@pytest.fixture
def tool(ask: Callable[..., httpx.Response]) -> Tool:
    def called(query: str, **more: Any) -> dict[str, Any]:
        answer = ask("POST", PATH, {"args": {"query": query, **more}})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return called


def test_rows_are_lines_of_text(tool: Tool) -> None:
    asked = "SELECT number AS n, number / 2 AS half, [number] AS list FROM numbers(2);"
    assert tool(asked) == {"success": True, "content": "n|half|list\n0|0.0|[0]\n1|0.5|[1]"}


CELLS = {
    "null": (None, "(null)"),
    "the text of null": ("(null)", '"(null)"'),
    "None": ("None", "None"),
    "a short list": (["a", 1], "['a', 1]"),
    "a truth value": (True, "True"),
    "a text of 600": ("x" * 600, "x" * 600),
    "a list of 600": (["x" * 596], "['" + "x" * 498 + "...truncated"),
    "JSON of 600": ('{"a": "' + "x" * 600, '{"a": "' + "x" * 493 + "...truncated"),
    "JSON of 500": ("[" + "x" * 499, "[" + "x" * 499),
}


@pytest.mark.parametrize(("cell", "written"), CELLS.values(), ids=CELLS)
def test_cell(cell: object, written: str) -> None:
    assert as_text(["c", "d"], [[cell, 1]], longest=500) == f"c|d\n{written}|1"


def test_no_rows_are_a_header() -> None:
    assert as_text(["a", "b"], [], longest=500) == "a|b"


def test_nothing_is_cut_on_request(tool: Tool) -> None:
    asked = "SELECT concat('{', repeat('x', 600)) AS c"
    assert tool(asked)["content"] == "c\n{" + "x" * 499 + "...truncated"
    assert tool(asked, truncate=False)["content"] == "c\n{" + "x" * 600


@pytest.mark.parametrize(
    ("limit", "rows"), [("", 100), (" LIMIT 300", 300), (" LIMIT 600", 500), (" LIMIT 1 + 599", 500)]
)
def test_rows_are_at_most_500(tool: Tool, limit: str, rows: int) -> None:
    assert len(tool(f"SELECT number FROM numbers(1000){limit}")["content"].splitlines()) == 1 + rows


def test_variables_have_the_values_of_the_project(tool: Tool, ask: Callable[..., httpx.Response]) -> None:
    ask("POST", "insight_variables/", {"name": "n", "type": "Number", "default_value": 7})
    assert tool("SELECT {variables.n} + 1 AS m")["content"] == "m\n8"


REFUSED = {
    "no query": (";", "Query validation failed: Query is empty", "validation"),
    "no HogQL": (
        "SELECT 1 +",
        "Query validation failed: HogQL parsing error: this query isn't valid HogQL.",
        "validation",
    ),
    "unknown table": ("SELECT 1 FROM nope", "Query validation failed: Unknown table `nope`.", "validation"),
    "unknown variable": ("SELECT {variables.x}", "Variable x is missing from query", "validation"),
}


@pytest.mark.parametrize(("query", "reason", "kind"), REFUSED.values(), ids=REFUSED)
def test_refusal_is_a_200(tool: Tool, query: str, reason: str, kind: str) -> None:
    told = f"Tool failed: MaxToolRetryableError: {reason}. You may retry with adjusted inputs."
    assert tool(query) == {"success": False, "content": told, "error_type": kind}


def test_slow_query_times_out(tool: Tool, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from endpoints_gitops.local.engine.refusals import from_clickhouse

    def too_slow(_self: ClickHouseSession, _sql: str) -> None:
        raise from_clickhouse("Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)")

    assert server.deployment.engine.run("SELECT 1", {}, limit=None, offset=None)
    monkeypatch.setattr(ClickHouseSession, "ask", too_slow)
    assert (failed := tool("SELECT 1"))["error_type"] == "timeout"
    assert "exceeded the execution time limit" in failed["content"]


def test_connections_are_refused(tool: Tool) -> None:
    failed = tool("SELECT 1", connectionId="00000000-0000-4000-8000-000000000000")
    assert failed == {
        "success": False,
        "content": "Tool failed: MaxToolRetryableError: Invalid connectionId: no direct-query-capable data source with "
        "this id in this team, or you don't have access to it.. You may retry with adjusted inputs.",
        "error_type": "internal",
    }
    assert tool("SELECT 1", sendRawQuery=True)["content"].startswith(
        "Tool failed: MaxToolRetryableError: sendRawQuery needs a connectionId."
    )


@pytest.mark.parametrize("body", [{}, {"args": {}}, {"args": {"query": 5}}, {"args": []}, [1]])
def test_arguments_that_are_none(ask: Callable[..., httpx.Response], body: Any) -> None:
    answer = ask("POST", PATH, body)
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert answer.json()["content"].startswith("There was a validation error calling the tool:\n[{'type': ")


def test_key_needs_the_scope_of_queries(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    body = {"args": {"query": "SELECT 1"}}
    answer = connect(server, server.issue_key("endpoint:read")).post(PATH, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (403, "API key missing required scope 'query:read'")
    assert connect(server, server.issue_key("query:read")).post(PATH, json=body).status_code == 200
    assert connect(server, server.project_secret_key).post(PATH, json=body).status_code == 403


def test_no_other_tool_is_open_to_keys(ask: Callable[..., httpx.Response]) -> None:
    answer = ask("POST", "mcp_tools/read_taxonomy/", {"args": {}})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_it_is_no_write(server: RunningServer, tool: Tool) -> None:
    tool("SELECT 1")
    assert server.requests.writes() == ()
