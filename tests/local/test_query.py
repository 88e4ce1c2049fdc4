"""Queries without an endpoint, as `run --file` and `check --live` send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]


def asked(ask: Ask, sql: str, **node: Any) -> httpx.Response:
    return ask("POST", "query/", {"query": {"kind": "HogQLQuery", "query": sql, **node}})


def test_page_of_a_plain_query(ask: Ask) -> None:
    answer = asked(ask, "SELECT number, 'x' AS text FROM numbers(101)").json()
    assert len(answer["results"]) == 100
    assert answer["results"][99] == [99, "x"]
    assert (answer["columns"], answer["types"]) == (["number", "text"], [["number", "UInt64"], ["text", "String"]])
    assert (answer["hasMore"], answer["limit"], answer["offset"]) == (True, 100, 0)


@pytest.mark.parametrize(
    ("sql", "count", "paging"),
    [
        ("SELECT number FROM numbers(100)", 100, (False, 100, 0)),
        ("SELECT number FROM numbers(300) LIMIT 250", 250, (None, None, None)),
        ("SELECT event FROM events LIMIT 0", 0, (None, None, None)),
        ("SELECT 1 UNION ALL SELECT 2", 2, (None, None, None)),
    ],
)
def test_paging(ask: Ask, sql: str, count: int, paging: tuple[Any, ...]) -> None:
    answer = asked(ask, sql).json()
    assert len(answer["results"]) == count
    assert tuple(answer[key] for key in ("hasMore", "limit", "offset")) == paging


def test_values_of_variables(ask: Ask) -> None:
    ids = [
        ask("POST", "insight_variables/", {"name": name, "type": "String", "default_value": "of the project"}).json()[
            "id"
        ]
        for name in ("a", "b", "c")
    ]
    entries = ({"value": "of the node"}, {"value": None}, {"value": None, "isNull": True})
    declared = {
        key: {"variableId": key, "code_name": name, **entry}
        for key, name, entry in zip(ids, "abc", entries, strict=True)
    }
    answer = asked(ask, "SELECT {variables.a}, {variables.b}, {variables.c}", variables=declared)
    assert answer.json()["results"] == [["of the node", "of the project", None]]


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"query": {"kind": "HogQLQuery", "query": "INSERT INTO x SELECT 1"}}, "hogql_syntax_error", "mismatched"),
        ({"query": {"kind": "HogQLQuery", "query": "SELECT nope FROM events"}}, "invalid_input", "Unable to resolve"),
        ({"query": {"kind": "HogQLQuery", "query": "SELECT 1 LIMIT 1 OFFSET 1"}}, "hogql_query_error", "OFFSET is not"),
        ({"query": {"kind": "HogQLQuery", "query": "SELECT 1 LIMIT 5, 1"}}, "hogql_query_error", "OFFSET is not"),
        ({"query": {"kind": "HogQLQuery", "query": "SELECT {variables.x}"}}, "hogql_query_error", "x is missing"),
        ({"query": {"kind": "PathsQuery", "pathsFilter": {}}}, "not_supported_locally", "PathsQuery"),
        ({"query": {"kind": "HogQLQuery"}}, "parse_error", "query"),
        ({}, "parse_error", "query"),
        ({"query": {"kind": "HogQLQuery", "query": "SELECT 1"}, "more": 1}, "parse_error", "more"),
        (
            {"query": {"kind": "HogQLQuery", "query": "SELECT 1"}, "filters_override": {"a": 1}},
            "not_supported_locally",
            "",
        ),
    ],
)
def test_refusals(ask: Ask, body: Any, code: str, detail: str) -> None:
    answer = ask("POST", "query/", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert detail in answer.json()["detail"]


def test_scope(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    body = {"query": {"kind": "HogQLQuery", "query": "SELECT 1"}}
    for key, status in (
        (server.readonly_key, 200),
        (server.issue_key("query:read"), 200),
        (server.issue_key("endpoint:read"), 403),
        (server.project_secret_key, 403),
    ):
        assert connect(server, key).post("query/", json=body).status_code == status


def test_an_insight_is_computed(ask: Ask) -> None:
    series = [{"kind": "EventsNode", "event": "$pageview"}]
    breakdown = {"breakdown": "$browser", "breakdown_limit": 2}
    body = ask("POST", "query/", {"query": {"kind": "TrendsQuery", "series": series, "breakdownFilter": breakdown}})
    assert [each["breakdown_value"] for each in body.json()["results"]] == ["Chrome", "Safari", "Other"]
    assert body.json()["hasMore"] is True
