"""The defaults that the server adds are removed, and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.insights import (
    EXCLUSIONS,
    NODE,
    NODES,
    OPAQUE,
    PARTS,
    PROPERTIES,
    PROPERTY,
    QUERIES,
    NodeShape,
    breakdown_properties,
    expand,
    shape_of,
    strip,
    validate,
)
from endpoints_gitops.model.json import canonical

VALUES = st.sampled_from([None, True, False, 0, 1, 2.0, 2.5, "x", "day", [], {}, [None, 1.0], {"a": None}])


@st.composite
def objects(draw: st.DrawFn, shapes: dict[str, NodeShape], discriminator: str, depth: int = 0) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(shapes)))
    node: dict[str, Any] = {discriminator: name} if discriminator else {}
    for key in draw(st.lists(st.sampled_from([*sorted(shapes[name].keys), "unheardOf"]), unique=True, max_size=8)):
        node[key] = draw(values(shapes[name], key, depth + 1))
    return node


def values(shape: NodeShape, key: str, depth: int) -> st.SearchStrategy[Any]:
    inner = shape.inside.get(key, OPAQUE)
    default = st.just(shape.optional.get(key))
    if inner == OPAQUE or depth > 3:
        return VALUES | default
    if inner == NODE:
        below = objects(dict(NODES), "kind", depth)
    elif inner == PROPERTY:
        below = objects(dict(PROPERTIES), "type", depth)
    elif inner in PARTS:
        below = objects({inner: PARTS[inner]}, "", depth)
    else:
        return VALUES | default
    return default | below | st.lists(below, max_size=2)


QUERY_NODES = objects(dict(QUERIES), "kind")


@given(QUERY_NODES)
@settings(deadline=None)
def test_added_defaults_are_removed(node: dict[str, Any]) -> None:
    assert canonical(strip(expand(node))) == canonical(strip(node))


@given(QUERY_NODES)
@settings(deadline=None)
def test_twice_is_once(node: dict[str, Any]) -> None:
    assert canonical(expand(expand(node))) == canonical(expand(node))
    assert canonical(strip(strip(node))) == canonical(strip(node))


@given(QUERY_NODES)
@example({"kind": "HogQLQuery", "query": 2.0})
@example({"kind": "HogQLQuery", "query": "", "variables": 2.0})
@settings(deadline=None)
def test_meaning_survives_what_the_server_stores(node: dict[str, Any]) -> None:
    assert canonical(canonical_query(expand(node))) == canonical(canonical_query(strip(node)))


@given(QUERY_NODES)
@settings(deadline=None)
def test_nothing_is_changed_in_place(node: dict[str, Any]) -> None:
    before = canonical(node)
    expand(node), strip(node), validate(node), canonical_query(node)
    assert canonical(node) == before


def test_the_table_names_only_shapes_that_exist() -> None:
    for shape in [*QUERIES.values(), *NODES.values(), *PROPERTIES.values(), *EXCLUSIONS.values(), *PARTS.values()]:
        for key, name in shape.inside.items():
            assert key in shape.keys
            example = {"kind": "EventsNode", "type": "event"}
            assert name == OPAQUE or shape_of(name, example) is not None, name


TRENDS = {
    "kind": "TrendsQuery",
    "series": [{"kind": "EventsNode", "event": "$pageview", "math": "dau"}],
    "dateRange": {"date_from": "-30d"},
    "breakdownFilter": {"breakdowns": [{"property": "$browser", "type": "event"}]},
    "properties": [{"key": "$os", "type": "event", "value": ["Mac OS X"]}],
}


UNSAID = [
    "custom_name",
    "fixedProperties",
    "limit",
    "math_group_type_index",
    "math_hogql",
    "math_multiplier",
    "math_property",
    "math_property_revenue_currency",
    "math_property_type",
    "name",
    "optionalInFunnel",
    "orderBy",
    "properties",
    "response",
    "version",
]


def test_a_trend_as_the_server_stores_it() -> None:
    stored = expand(TRENDS)
    assert list(stored) == sorted(QUERIES["TrendsQuery"].keys | {"kind"})
    assert stored["interval"] == "day"
    assert stored["filterTestAccounts"] is False
    assert stored["trendsFilter"] is None
    assert stored["dateRange"] == {"date_from": "-30d", "date_to": None, "explicitDate": False}
    assert stored["series"] == [
        {
            "kind": "EventsNode",
            "event": "$pageview",
            "math": "dau",
            **dict.fromkeys(UNSAID),
        }
    ]
    assert stored["breakdownFilter"]["breakdown_type"] == "event"
    assert stored["properties"] == [
        {"key": "$os", "label": None, "operator": "exact", "type": "event", "value": ["Mac OS X"]}
    ]


HOGQL_KEYS = [
    "connectionId",
    "explain",
    "filters",
    "kind",
    "modifiers",
    "name",
    "query",
    "response",
    "sendRawQuery",
    "tags",
    "values",
    "variables",
    "version",
]


def test_hogql_as_the_server_stores_it() -> None:
    variables = {"i": {"variableId": "i", "code_name": "c"}}
    stored = expand({"kind": "HogQLQuery", "query": "select 1", "variables": variables})
    assert list(stored) == HOGQL_KEYS
    assert stored["variables"] == {"i": {"variableId": "i", "code_name": "c", "value": None, "isNull": None}}


STRIPPED = {
    "defaults": ({"kind": "TrendsQuery", "series": [], "interval": "day", "properties": []}, {}),
    "not the default": ({"kind": "TrendsQuery", "series": [], "interval": "week"}, {"interval": "week"}),
    "a filter of defaults": (
        {"kind": "TrendsQuery", "series": [], "trendsFilter": {"display": "ActionsLineGraph"}},
        {},
    ),
    "what is required stays": (
        {"kind": "RetentionQuery", "retentionFilter": {"period": "Day"}},
        {"retentionFilter": {}},
    ),
    "true is not one": ({"kind": "TrendsQuery", "trendsFilter": {"smoothingIntervals": True}}, None),
    "floats of the server": (
        {"kind": "TrendsQuery", "trendsFilter": {"decimalPlaces": 2.0, "confidenceLevel": 0.5}},
        {"trendsFilter": {"decimalPlaces": 2, "confidenceLevel": 0.5}},
    ),
    "all lifecycles hidden is not none": (
        {"kind": "LifecycleQuery", "lifecycleFilter": {"toggledLifecycles": [], "stacked": True}},
        {"lifecycleFilter": {"toggledLifecycles": []}},
    ),
    "a type is always said": (
        {"kind": "TrendsQuery", "properties": [{"key": "a", "operator": "exact", "value": None}]},
        {"properties": [{"key": "a", "type": "event"}]},
    ),
    "an operator that a type needs stays": (
        {"kind": "TrendsQuery", "properties": [{"key": "a", "operator": "exact", "type": "person"}]},
        {"properties": [{"key": "a", "operator": "exact", "type": "person"}]},
    ),
    "groups": (
        {"kind": "TrendsQuery", "properties": {"type": "AND", "values": [{"type": "OR", "values": [{"key": "a"}]}]}},
        {"properties": {"type": "AND", "values": [{"type": "OR", "values": [{"key": "a", "type": "event"}]}]}},
    ),
    "cohorts": (
        {"kind": "TrendsQuery", "properties": [{"type": "cohort", "value": 1.0, "operator": "in", "label": None}]},
        {"properties": [{"type": "cohort", "value": 1, "key": "id"}]},
    ),
    "values are the user's": (
        {"kind": "HogQLQuery", "values": {"a": None, "b": 1.0, "c": []}},
        {"values": {"a": None, "b": 1.0, "c": []}},
    ),
    "exclusions": (
        {
            "kind": "FunnelsQuery",
            "funnelsFilter": {"exclusions": [{"kind": "EventsNode", "funnelFromStep": 0, "event": None}]},
        },
        {"funnelsFilter": {"exclusions": [{"kind": "EventsNode", "funnelFromStep": 0}]}},
    ),
    "a funnel in paths": (
        {
            "kind": "PathsQuery",
            "funnelPathsFilter": {"funnelSource": {"kind": "FunnelsQuery", "series": [], "tags": None}},
        },
        {"funnelPathsFilter": {"funnelSource": {"kind": "FunnelsQuery", "series": []}}},
    ),
    "an unknown kind loses nulls only": (
        {"kind": "Novel", "interval": "day", "a": None, "b": [{"c": None, "d": False}]},
        {"interval": "day", "b": [{"d": False}]},
    ),
    "an unknown key stays": ({"kind": "TrendsQuery", "novel": {"a": None, "b": []}}, {"novel": {"b": []}}),
}


@pytest.mark.parametrize("case", STRIPPED)
def test_stripped(case: str) -> None:
    node, left = STRIPPED[case]
    expected = node if left is None else {"kind": node["kind"]} | ({"series": []} if "series" in node else {}) | left
    assert canonical(strip(node)) == canonical(expected)


BROKEN_DOWN = [
    ({"breakdowns": [{"property": "$browser", "type": "event"}, {"property": "$os"}]}, ("$browser", "$os")),
    ({"breakdown": "$browser", "breakdown_type": "event"}, ("$browser",)),
    ({"breakdown": ["$browser", "$os"]}, ("$browser", "$os")),
    ({"breakdown": [1, "all"], "breakdown_type": "cohort"}, ("1", "all")),
    ({"breakdowns": [], "breakdown": None}, ()),
    (None, ()),
]


@pytest.mark.parametrize(("breakdown", "names"), BROKEN_DOWN)
@pytest.mark.parametrize("kind", ["TrendsQuery", "RetentionQuery"])
def test_breakdown_properties(kind: str, breakdown: dict[str, Any] | None, names: tuple[str, ...]) -> None:
    assert breakdown_properties({"kind": kind, "breakdownFilter": breakdown}) == names
    assert breakdown_properties(expand({"kind": kind, "breakdownFilter": breakdown})) == names


def test_other_kinds_have_no_breakdown_variables() -> None:
    assert breakdown_properties({"kind": "FunnelsQuery", "breakdownFilter": {"breakdown": "$browser"}}) == ()


RIGHT = [
    TRENDS,
    {"kind": "HogQLQuery", "query": ""},
    {"kind": "FunnelsQuery", "series": [{"kind": "ActionsNode", "id": 1}], "funnelsFilter": {"novelFlag": True}},
    {"kind": "StickinessQuery", "series": []},
    {"kind": "LifecycleQuery", "series": [{"kind": "EventsNode"}]},
    {"kind": "RetentionQuery", "retentionFilter": {}},
    {
        "kind": "TrendsQuery",
        "series": [],
        "properties": {"type": "AND", "values": [{"type": "OR", "values": [{"key": "a", "type": "event"}]}]},
    },
    {"kind": "PathsQuery", "pathsFilter": {"includeEventTypes": ["$pageview"], "startPoint": "/"}},
    {"kind": "WebStatsTableQuery", "breakdownBy": "Page", "properties": []},
    {"kind": "WebOverviewQuery", "properties": [{"key": "a", "type": "person", "operator": "is_set"}]},
]
WRONG = [
    ({}, [("kind", "an endpoint cannot have a query of the kind None")]),
    (
        {"kind": "TrendQuery"},
        [("kind", "an endpoint cannot have a query of the kind 'TrendQuery' (did you mean 'TrendsQuery'?)")],
    ),
    ({"kind": ["TrendsQuery"]}, [("kind", "an endpoint cannot have a query of the kind ['TrendsQuery']")]),
    ({"kind": "TrendsQuery"}, [("series", "TrendsQuery requires 'series'")]),
    ({"kind": "TrendsQuery", "series": None}, [("series", "TrendsQuery requires 'series'")]),
    (
        {"kind": "TrendsQuery", "series": [], "intervall": "day", "zzz": 1},
        [
            ("intervall", "TrendsQuery has no key 'intervall' (did you mean 'interval'?)"),
            ("zzz", "TrendsQuery has no key 'zzz'"),
        ],
    ),
    (
        {"kind": "StickinessQuery", "series": [], "aggregation_group_type_index": 0},
        [("aggregation_group_type_index", "StickinessQuery has no key 'aggregation_group_type_index'")],
    ),
    (
        {"kind": "FunnelsQuery", "series": [{"kind": "ActionsNode"}, {"kind": "EventNode"}]},
        [
            ("series.0.id", "ActionsNode requires 'id'"),
            ("series.1.kind", "unknown kind of series 'EventNode' (did you mean 'EventsNode'?)"),
        ],
    ),
    (
        {"kind": "TrendsQuery", "series": {"kind": "EventsNode"}},
        [("series", "must be a list, not {'kind': 'EventsNode'}")],
    ),
    (
        {"kind": "TrendsQuery", "series": ["$pageview"], "trendsFilter": []},
        [
            ("series.0", "must be an object, not '$pageview'"),
            ("trendsFilter", "must be an object, not a list"),
        ],
    ),
    (
        {"kind": "TrendsQuery", "series": [], "trendsFilter": {"dispaly": "BoldNumber"}},
        [("trendsFilter.dispaly", "unknown key 'dispaly' (did you mean 'display'?)")],
    ),
    (
        {"kind": "WebOverviewQuery", "properties": [{"key": "a", "type": "person"}]},
        [("properties.0.operator", "this object requires 'operator'")],
    ),
    (
        {"kind": "TrendsQuery", "series": [], "properties": {"type": "AND", "values": {"key": "a"}}},
        [("properties.values", "must be a list, not {'key': 'a'}")],
    ),
    (
        {"kind": "HogQLQuery", "query": "", "variables": {"i": {"code_name": "c"}}},
        [("variables.i.variableId", "this object requires 'variableId'")],
    ),
]


@pytest.mark.parametrize("node", RIGHT)
def test_nodes_that_are_right(node: dict[str, Any]) -> None:
    assert validate(node) == []
    assert validate(expand(node)) == []


@pytest.mark.parametrize(("node", "mistakes"), WRONG)
def test_nodes_that_are_wrong(node: dict[str, Any], mistakes: list[tuple[str, str]]) -> None:
    assert sorted(validate(node)) == sorted(mistakes)


def test_a_node_nested_too_deeply_is_one_mistake() -> None:
    group: dict[str, Any] = {"key": "a"}
    for _ in range(50_000):
        group = {"type": "AND", "values": [group]}
    assert validate({"kind": "WebOverviewQuery", "properties": group}) == [
        ("", "the query is nested more than 100 levels deep")
    ]


def test_the_order_of_keys_never_counts() -> None:
    keys = list(TRENDS)
    random.Random(1).shuffle(keys)
    assert canonical(canonical_query({key: TRENDS[key] for key in keys})) == canonical(canonical_query(TRENDS))
