"""A wrong value at every key of every body, and at every parameter: one clear 4xx, or it is accepted. Never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]
JSON: Final = {"Content-Type": "application/json"}
VARIABLE: Final = "0192f000-0000-7000-8000-000000000001"
SERIES: Final = [{"kind": "EventsNode", "event": "note created", "name": "notes", "math": "total", "properties": []}]
FILTERS: Final = {
    "properties": [{"key": "$browser", "value": ["Chrome"], "operator": "exact", "type": "event"}],
    "dateRange": {"date_from": "-7d", "date_to": None, "explicitDate": False},
    "filterTestAccounts": False,
}
NODES: Final[dict[str, dict[str, Any]]] = {
    "hogql": {
        "kind": "HogQLQuery",
        "query": "SELECT event, {variables.plan} AS plan FROM events WHERE {filters} LIMIT 3",
        "variables": {VARIABLE: {"variableId": VARIABLE, "code_name": "plan", "value": "pro", "isNull": None}},
        "filters": FILTERS,
        "values": {},
        "name": "n",
        "explain": False,
        "modifiers": None,
        "connectionId": None,
    },
    "trends": {
        "kind": "TrendsQuery",
        "series": SERIES,
        "interval": "day",
        "dateRange": {"date_from": "-7d", "date_to": None},
        "properties": FILTERS["properties"],
        "trendsFilter": {"display": "ActionsLineGraph", "formula": "A", "smoothingIntervals": 1},
        "breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event", "breakdown_limit": 3},
        "compareFilter": {"compare": False},
        "samplingFactor": 1,
        "aggregation_group_type_index": None,
    },
    "funnel": {
        "kind": "FunnelsQuery",
        "series": [*SERIES, {"kind": "EventsNode", "event": "note shared"}],
        "dateRange": {"date_from": "-7d"},
        "funnelsFilter": {
            "funnelOrderType": "ordered",
            "funnelWindowInterval": 14,
            "funnelWindowIntervalUnit": "day",
            "exclusions": [],
            "breakdownAttributionType": "first_touch",
        },
        "breakdownFilter": {"breakdown": "plan", "breakdown_type": "person"},
    },
    "retention": {
        "kind": "RetentionQuery",
        "dateRange": {"date_from": "-7d"},
        "retentionFilter": {
            "period": "Day",
            "totalIntervals": 3,
            "retentionType": "retention_recurring",
            "targetEntity": {"id": "$pageview", "type": "events"},
            "returningEntity": {"id": "$pageview", "type": "events"},
            "minimumOccurrences": 1,
            "cumulative": False,
        },
    },
    "lifecycle": {"kind": "LifecycleQuery", "series": SERIES, "interval": "day", "dateRange": {"date_from": "-7d"}},
    "stickiness": {
        "kind": "StickinessQuery",
        "series": SERIES,
        "interval": "day",
        "intervalCount": 1,
        "stickinessFilter": {"stickinessCriteria": {"operator": "gte", "value": 1}, "computedAs": "non_cumulative"},
    },
    "paths": {"kind": "PathsQuery", "pathsFilter": {"includeEventTypes": ["$pageview"], "stepLimit": 3}},
    "web_overview": {"kind": "WebOverviewQuery", "properties": [], "dateRange": {"date_from": "-7d"}},
    "web_stats": {"kind": "WebStatsTableQuery", "properties": [], "breakdownBy": "Page", "limit": 3},
}
SETTINGS: Final = {
    "description": "text",
    "data_freshness_seconds": 3600,
    "is_active": True,
    "is_materialized": False,
    "bucket_overrides": {"timestamp": "day"},
    "optional_breakdown_properties": [],
    "tags": ["a"],
    "derived_from_insight": "abc",
}
RUN: Final = {
    "variables": {"plan": "pro"},
    "version": 1,
    "limit": 3,
    "offset": 0,
    "refresh": "cache",
    "debug": True,
    "client_query_id": "x",
    "filters_override": {"date_from": "-3d", "date_to": None, "properties": FILTERS["properties"], "interval": "day"},
}
SHARED: Final = {
    "name": "other",
    "type": "List",
    "default_value": ["a"],
    "values": ["a", "b"],
    "is_multi": True,
    "values_query": None,
    "values_query_connection_id": None,
}
BODIES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    **{f"create {name}": ("POST", "endpoints/", {"name": "new", "query": node}) for name, node in NODES.items()},
    **{f"query {name}": ("POST", "query/", {"query": node, "refresh": "force"}) for name, node in NODES.items()},
    "create settings": ("POST", "endpoints/", {"name": "new", "query": NODES["hogql"], **SETTINGS}),
    "update": ("PATCH", "endpoints/hogql/", {"query": NODES["hogql"], **SETTINGS}),
    "update version": ("PUT", "endpoints/hogql/", {**SETTINGS, "version": 1}),
    "delete": ("PATCH", "endpoints/paths/", {"deleted": False}),
    "run": ("POST", "endpoints/hogql/run", RUN),
    "run insight": ("POST", "endpoints/trends/run", {**RUN, "variables": {"$browser": "Chrome", "date_from": "-2d"}}),
    "preview": ("POST", "endpoints/hogql/materialization_preview/", {"version": 1, "bucket_overrides": {"a": "day"}}),
    "suggestion": ("POST", "endpoints/hogql/materialization_suggestion/", {"version": 1}),
    "times": ("POST", "endpoints/last_execution_times/", {"names": ["hogql"]}),
    "create variable": ("POST", "insight_variables/", SHARED),
    "update variable": ("PATCH", f"insight_variables/{VARIABLE}/", SHARED),
}  # fmt: skip
WRONG: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, 1e308, "", " ", "text", "\0", "\U0001f4a5", "9" * 5000,
    "2026-13-45", [], [[]], [None], [0], ["a", "a"], {}, {"a": {}}, {"": None}, {"kind": "HogQLQuery"}, [{}],
    "a" * 100_000,
)  # fmt: skip
PARAMETERS: Final = {
    "endpoints/": ("limit", "offset", "is_active", "created_by"),
    "endpoints/hogql/": ("version",),
    "endpoints/hogql/versions/": ("limit", "offset"),
    "endpoints/hogql/run": ("version", "limit", "offset"),
    "endpoints/hogql/logs/": ("limit", "offset", "level", "search", "after", "before", "instance_id"),
    "endpoints/hogql/openapi.json": ("version",),
    "endpoints/hogql/materialization_status/": ("version",),
    "insight_variables/": ("page",),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key and item, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = deepcopy(body)
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


def is_clear(answer: httpx.Response) -> bool:
    """A 4xx says why in one of PostHog's two shapes; anything else is a success. One 500 is PostHog's own."""
    if answer.is_success:
        return True
    body = answer.json()
    if answer.status_code == 500 and answer.url.path.endswith("/last_execution_times/"):
        return bool(body["detail"] == "A server error occurred.")
    return 400 <= answer.status_code < 500 and bool(body.get("detail") or body.get("error"))


@pytest.fixture
def filled(server: RunningServer, ask: Ask) -> Ask:
    """The server with an endpoint of each node, and the variable that they use."""
    made = ask("POST", "insight_variables/", {"name": "plan", "type": "String", "default_value": "free"})
    server.store.execute(f"UPDATE variables SET id = '{VARIABLE}' WHERE id = '{made.json()['id']}'")
    for name, node in NODES.items():
        answer = ask("POST", "endpoints/", {"name": name, "query": node})
        assert answer.status_code == 201, (name, answer.text)
    return ask


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_wrong_values_at_every_key(filled: Ask, name: str) -> None:
    method, path, body = BODIES[name]
    unclear, refusals = [], 0
    for place in places(body):
        for value in WRONG:
            answer = filled(method, path, content=json.dumps(replaced(body, place, value)).encode(), headers=JSON)
            refusals += answer.is_client_error
            if not is_clear(answer):
                unclear.append(f"{place} = {str(value)[:40]!r}: {answer.status_code} {answer.text[:200]}")
    assert unclear == []
    assert refusals > 0 or name == "times"
    assert filled("GET", "endpoints/hogql/").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", PARAMETERS)
def test_wrong_values_of_every_parameter(filled: Ask, path: str) -> None:
    for parameter in PARAMETERS[path]:
        for value in WRONG:
            for text in (value if isinstance(value, str) else json.dumps(value), "%00", "%ff", "٣", "1e3", "1_0", "+1"):
                answer = filled("GET", path, params={parameter: text[:5000]})
                assert is_clear(answer), f"{parameter}={text[:40]}: {answer.status_code} {answer.text[:200]}"


_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def _changed(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A known body with a few values replaced or keys added."""
    method, path, body = BODIES[draw(st.sampled_from(sorted(BODIES)))]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(sorted(places(body), key=str)))
        if draw(st.booleans()):
            place = (*place[:-1], draw(st.text(max_size=8))) if isinstance(place[-1], str) else place
        try:
            body = replaced(body, place, draw(_VALUES))
        except (KeyError, IndexError, TypeError):  # an earlier replacement took the place away
            continue
    return method, path, body


@pytest.mark.slow
@given(request=_changed())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_is_nearly_right_breaks_it(filled: Ask, request: tuple[str, str, Any]) -> None:
    method, path, body = request
    answer = filled(method, path, content=json.dumps(body).encode(), headers=JSON)
    assert is_clear(answer), answer.text
