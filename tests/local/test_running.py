"""Runs of several versions, their stored times, and the omitted parts of their answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

type Ask = Callable[..., httpx.Response]

NOT_FOUND = {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None}
SQL = {
    "constant": "SELECT 42 AS answer, 'x' AS text",
    "pair": "SELECT {variables.b} AS b, {variables.a} AS a",
    "ten": "SELECT arrayJoin([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) AS n",
    "failing": "SELECT intDiv(1, n - 2) AS x, n FROM (SELECT arrayJoin([1, 2]) AS n)",
}


def hogql(sql: str) -> dict[str, Any]:
    return {"kind": "HogQLQuery", "query": sql}


@pytest.fixture
def run(ask: Ask) -> Ask:
    """Runs the endpoint of that name; those above are there."""
    for name, default in (("a", 1), ("b", None)):
        ask("POST", "insight_variables/", {"name": name, "type": "String", "default_value": default})
    for name, sql in SQL.items():
        assert ask("POST", "endpoints/", {"name": name, "query": hogql(sql)}).status_code == 201

    def asked(name: str, body: Any = None, method: str = "POST") -> httpx.Response:
        return ask(method, f"endpoints/{name}/run", body)

    return asked


@pytest.mark.parametrize(
    "key", ["timings", "hogql", "explain", "modifiers", "calculation_trigger", "endpoint_materialized"]
)
def test_keys_that_are_left_out(run: Ask, key: str) -> None:
    assert key not in run("constant").json()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_methods(run: Ask, method: str) -> None:
    assert run("pair", {"variables": {"a": 5}}, method=method).json()["results"] == [[None, 5]]


def test_other_methods(run: Ask) -> None:
    answer = run("constant", method="PUT")
    assert (answer.status_code, answer.json()["detail"]) == (405, 'Method "PUT" not allowed.')


def test_versions(run: Ask, ask: Ask) -> None:
    run("constant")
    ask("PATCH", "endpoints/constant/", {"query": hogql("SELECT 43 AS answer")})
    assert (run("constant").json()["endpoint_version"], run("constant").json()["results"]) == (2, [[43]])
    assert run("constant", {"version": 1}).json()["results"] == [[42, "x"]]
    ask("PATCH", "endpoints/constant/?version=1", {"is_active": False})
    refused = run("constant", {"version": 1})
    assert (refused.status_code, refused.json()["detail"]) == (400, "Version 1 is inactive and cannot be executed.")
    assert run("constant").status_code == 200
    ask("PATCH", "endpoints/constant/?version=2", {"is_active": False})
    assert run("constant").json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "Version 2 is inactive and cannot be executed.",
        "attr": None,
    }
    ask("DELETE", "endpoints/constant/")
    assert ask("POST", "endpoints/constant/run").json() == NOT_FOUND


def test_default_follows_the_stored_query_then_the_project(run: Ask, ask: Ask) -> None:
    assert run("pair").json()["results"] == [[None, 1]]
    variables = {each["code_name"]: each["id"] for each in ask("GET", "insight_variables/").json()["results"]}
    ask("PATCH", f"insight_variables/{variables['a']}/", {"default_value": 7})
    assert run("pair").json()["results"] == [[None, 1]]
    ask("DELETE", f"insight_variables/{variables['a']}/")
    gone = run("pair")
    assert (gone.status_code, gone.json()["detail"]) == (400, "Variable a does not exist")


def test_what_ran_when(run: Ask, ask: Ask) -> None:
    run("constant")
    run("ten", {"limit": 0})
    told = ask("POST", "endpoints/last_execution_times/", {"names": ["constant", "ten", "nobody"]}).json()
    ((name, when),) = told["query_status"]["results"]
    assert (name, when[-6:]) == ("constant", "+00:00")
    assert ask("GET", "endpoints/constant/").json()["last_executed_at"] == when
    assert ask("GET", "endpoints/constant/?version=1").json()["last_executed_at"] == when
    run("constant")
    assert ask("GET", "endpoints/constant/").json()["last_executed_at"] == when


def test_logs(run: Ask, ask: Ask) -> None:
    ran = run("failing").status_code, run("constant").json(), run("constant", {"limit": 0}).status_code
    assert (ran[0], ran[2]) == (400, 400)
    (failed,) = ask("GET", "endpoints/failing/logs/").json()["results"]
    assert re.fullmatch(r"Endpoint execution failed · path=inline version=1 error=\w+", failed["message"])
    told = ask("GET", "endpoints/constant/logs/").json()
    rejected, executed = told["results"]
    assert told["count"] == 2
    assert rejected["message"] == "Endpoint execution failed · invalid request · Invalid limit parameter: 0"
    assert re.fullmatch(
        r"Endpoint executed · path=inline cache=miss duration_ms=\d+ rows=1 version=1", executed["message"]
    )
    assert (executed["level"], executed["instance_id"]) == ("INFO", ran[1]["execution_id"])
    assert executed["log_source_id"] == ask("GET", "endpoints/constant/").json()["id"]


@pytest.mark.parametrize(
    ("query", "status", "count"),
    [
        ("", 200, 2),
        ("?level=error", 200, 1),
        ("?level=INFO,ERROR", 200, 2),
        ("?search=LIMIT PARAMETER", 200, 1),
        ("?instance_id=nobody", 200, 0),
        ("?after=2099-01-01", 200, 0),
        ("?before=2099-01-01T00:00:00Z", 200, 2),
        ("?limit=1", 200, 1),
        ("?limit=0", 400, None),
        ("?limit=501", 400, None),
        ("?level=LOUD", 400, None),
        ("?after=yesterday", 400, None),
    ],
)
def test_requested_logs(run: Ask, ask: Ask, query: str, status: int, count: int | None) -> None:
    run("constant")
    run("constant", {"limit": 0})
    answer = ask("GET", f"endpoints/constant/logs/{query}")
    assert (answer.status_code, answer.json().get("count")) == (status, count)
