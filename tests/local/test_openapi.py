"""The OpenAPI document that each version has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]

FOUND = "SELECT count() AS c FROM events WHERE event = {variables.event_name} AND distinct_id = {variables.min_n}"
VARIABLES = (
    ("event_name", "String", "$pageview"),
    ("min_n", "Number", None),
    ("on", "Boolean", None),
    ("day", "Date", None),
    ("plans", "List", "a"),
)
DATES = ["date_from", "date_to"]


@pytest.fixture
def spec(ask: Ask) -> Callable[..., dict[str, Any]]:
    """Makes an endpoint and gives its document."""
    for name, kind, default in VARIABLES:
        ask("POST", "insight_variables/", {"name": name, "type": kind, "default_value": default})

    def made(query: dict[str, Any] | str, query_string: str = "", **more: Any) -> dict[str, Any]:
        node = {"kind": "HogQLQuery", "query": query} if isinstance(query, str) else query
        answer = ask("POST", "endpoints/", {"name": "top-events", "query": node, **more})
        assert answer.status_code == 201, answer.text
        return dict(ask("GET", f"endpoints/top-events/openapi.json{query_string}").json())

    return made


def trends(*properties: str) -> dict[str, Any]:
    breakdowns = [{"property": each, "type": "event"} for each in properties]
    return {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}], "breakdownFilter": {"breakdowns": breakdowns}}


def test_shape(spec: Callable[..., dict[str, Any]], server: RunningServer) -> None:
    told = spec(FOUND)
    assert told["openapi"] == "3.0.3"
    assert told["info"] == {"title": "top-events", "description": "PostHog Endpoint: top-events", "version": "1"}
    assert told["servers"] == [{"url": server.url}]
    ((path, methods),) = told["paths"].items()
    assert (path, list(methods)) == ("/api/projects/1/endpoints/top-events/run", ["post"])
    operation = methods["post"]
    assert (operation["operationId"], operation["summary"]) == ("run_top_events", "Execute top-events")
    assert operation["description"] == "Execute the top-events endpoint"
    assert operation["security"] == [{"PersonalAPIKey": []}]
    assert list(operation["responses"]) == ["200", "400", "401", "404", "503"]
    request = told["components"]["schemas"]["EndpointRunRequest"]
    assert list(request["properties"]) == [
        "client_query_id", "filters_override", "refresh", "version", "limit", "debug", "variables",
    ]  # fmt: skip
    assert request["properties"]["refresh"] == {
        "type": "string",
        "enum": ["cache", "force", "direct"],
        "default": "cache",
    }


@pytest.mark.parametrize(
    ("query", "more", "names", "required"),
    [
        (FOUND, {}, ["event_name", "min_n"], ["min_n"]),
        (FOUND, {"is_materialized": True}, ["event_name", "min_n"], ["event_name", "min_n"]),
        ("SELECT {variables.event_name} AS e", {}, ["event_name"], None),
        ("SELECT 1 AS one", {}, None, None),
        (trends("$browser"), {}, ["$browser", *DATES], ["$browser"]),
        (trends("$browser"), {"is_materialized": True}, ["$browser"], ["$browser"]),
        (trends("$a", "$os"), {"optional_breakdown_properties": ["$os"]}, ["$a", "$os", *DATES], ["$a"]),
        (trends("$browser"), {"optional_breakdown_properties": ["$browser"]}, ["$browser", *DATES], None),
        ({**trends(), "breakdownFilter": {"breakdown": "$city"}}, {}, ["$city", *DATES], ["$city"]),
        (trends(), {"is_materialized": True}, None, None),
    ],
)  # fmt: skip
def test_variables(
    spec: Callable[..., dict[str, Any]],
    query: Any,
    more: dict[str, Any],
    names: list[str] | None,
    required: list[str] | None,
) -> None:
    told = spec(query, **more)
    schemas = told["components"]["schemas"]
    variables = schemas.get("Variables")
    assert (variables and sorted(variables["properties"])) == (names and sorted(names))
    assert (variables or {}).get("required") == required
    assert schemas["EndpointRunRequest"].get("required") == (required and ["variables"])
    assert told["paths"]["/api/projects/1/endpoints/top-events/run"]["post"]["requestBody"]["required"] == bool(
        required
    )


def test_types(spec: Callable[..., dict[str, Any]]) -> None:
    names = ("event_name", "min_n", "on", "day", "plans")
    sql = "SELECT " + ", ".join(f"{{variables.{name}}} AS {name}_" for name in names)
    properties = spec(sql)["components"]["schemas"]["Variables"]["properties"]
    assert properties["event_name"] == {"type": "string", "description": "Variable: event_name", "example": "$pageview"}
    assert properties["min_n"] == {"type": "number", "description": "Variable: min_n"}
    assert properties["on"]["type"] == "boolean"
    assert (properties["day"]["type"], properties["day"]["format"]) == ("string", "date")
    assert (properties["plans"]["type"], properties["plans"]["items"]) == ("array", {"type": "string"})


def test_versions(spec: Callable[..., dict[str, Any]], ask: Ask) -> None:
    spec("SELECT 1 AS one", description="d")
    ask(
        "PATCH",
        "endpoints/top-events/",
        {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}, "is_active": False},
    )
    assert ask("GET", "endpoints/top-events/openapi.json/").json()["info"]["version"] == "2"
    first = ask("GET", "endpoints/top-events/openapi.json?version=1").json()["info"]
    assert (first["version"], first["description"]) == ("1", "d")
    missing = ask("GET", "endpoints/top-events/openapi.json?version=9")
    assert (missing.status_code, missing.json()) == (404, {"error": "Version 9 not found"})
    wrong = ask("GET", "endpoints/top-events/openapi.json?version=abc")
    assert (wrong.status_code, wrong.json()["attr"], wrong.json()["detail"]) == (
        400,
        "version",
        "Must be an integer, got: abc",
    )
    assert ask("GET", "endpoints/nobody/openapi.json").json()["code"] == "not_found"
