"""A value of another shape is refused in a sentence, wherever it stands, and is never a traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from endpoints_gitops.hogql.insights import validate
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import computed

EVENT: dict[str, Any] = {
    "kind": "EventsNode",
    "event": "view",
    "custom_name": "Views",
    "math": "sum",
    "math_property": "n",
    "math_multiplier": 2,
    "properties": [{"type": "event", "key": "browser", "operator": "exact", "value": "Chrome"}],
}
PLAIN = {key: EVENT[key] for key in ("kind", "event")}
ENTITY = {"id": "view", "type": "events", "properties": [{"type": "event", "key": "n", "operator": "gt", "value": 1}]}
PLAIN_ENTITY = {"id": "view", "type": "events"}
COMMON: dict[str, Any] = {
    "dateRange": {"date_from": "-3d", "date_to": "2026-07-05", "explicitDate": False},
    "properties": {"type": "AND", "values": [{"type": "hogql", "key": "1 = 1"}]},
}
NODES: list[dict[str, Any]] = [
    {
        "kind": "TrendsQuery",
        **COMMON,
        "interval": "day",
        "series": [EVENT, {**PLAIN, "math": "unique_group", "math_group_type_index": 0}],
        "trendsFilter": {"formulaNodes": [{"formula": "A + B", "custom_name": "x"}], "smoothingIntervals": 2},
        "breakdownFilter": {"breakdowns": [{"property": "browser", "type": "event"}], "breakdown_limit": 3},
        "compareFilter": {"compare": True, "compare_to": "-1w"},
    },
    {
        "kind": "TrendsQuery",
        "series": [{**PLAIN, "math": "hogql", "math_hogql": "count()"}],
        "trendsFilter": {"formulas": ["A"], "display": "ActionsPie"},
        "breakdownFilter": {"breakdown": "browser", "breakdown_type": "event", "breakdown_normalize_url": True},
    },
    {"kind": "LifecycleQuery", **COMMON, "interval": "day", "series": [PLAIN]},
    {
        "kind": "StickinessQuery",
        **COMMON,
        "intervalCount": 2,
        "series": [PLAIN],
        "stickinessFilter": {"computedAs": "cumulative", "stickinessCriteria": {"operator": "gte", "value": 1}},
    },
    {
        "kind": "RetentionQuery",
        "dateRange": {"date_from": "-3d"},
        "aggregation_group_type_index": 0,
        "retentionFilter": {
            "period": "Day",
            "totalIntervals": 3,
            "retentionType": "retention_first_time",
            "minimumOccurrences": 2,
            "cumulative": True,
            "targetEntity": ENTITY,
            "returningEntity": ENTITY,
        },
        "breakdownFilter": {"breakdown": "plan", "breakdown_type": "person"},
    },
    {"kind": "RetentionQuery", "retentionFilter": {"minimumOccurrences": 2, "returningEntity": PLAIN_ENTITY}},
    {
        "kind": "StickinessQuery",
        "dateRange": {"date_from": "-3d"},
        "series": [PLAIN],
        "compareFilter": {"compare": True, "compare_to": "-1w"},
    },
    {
        "kind": "FunnelsQuery",
        **COMMON,
        "series": [PLAIN, PLAIN],
        "funnelsFilter": {
            "funnelOrderType": "ordered",
            "funnelWindowInterval": 3,
            "funnelWindowIntervalUnit": "hour",
            "exclusions": [{"kind": "EventsNode", "event": "x", "funnelFromStep": 0, "funnelToStep": 1}],
        },
        "breakdownFilter": {"breakdown": "plan", "breakdown_type": "person"},
    },
    {
        "kind": "RetentionQuery",
        "retentionFilter": {
            "totalIntervals": 3,
            "aggregationType": "avg",
            "aggregationProperty": "n",
            "aggregationPropertyType": "event",
            "targetEntity": ENTITY,
            "returningEntity": ENTITY,
        },
        "breakdownFilter": {"breakdown": "browser"},
    },
    {"kind": "RetentionQuery", "retentionFilter": {"timeWindowMode": "24_hour_windows", "targetEntity": ENTITY}},
    {"kind": "RetentionQuery", "retentionFilter": {"retentionCustomBrackets": [1, 2], "targetEntity": ENTITY}},
    {
        "kind": "FunnelsQuery",
        "interval": "day",
        "series": [PLAIN, PLAIN, {**PLAIN, "properties": ENTITY["properties"]}],
        "funnelsFilter": {
            "funnelOrderType": "unordered",
            "funnelVizType": "trends",
            "funnelFromStep": 0,
            "funnelToStep": 1,
            "breakdownAttributionType": "step",
            "breakdownAttributionValue": 0,
        },
        "breakdownFilter": {"breakdown": ["browser", "n"], "breakdown_type": "event"},
    },
    {
        "kind": "FunnelsQuery",
        "series": [PLAIN, PLAIN],
        "funnelsFilter": {"funnelVizType": "time_to_convert", "binCount": 3, "funnelAggregateByHogQL": "person_id"},
    },
]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e300,
    "",
    "x",
    "\ud800",
    "\0",
    [],
    {},
    ["x"],
    {"a": 1},
    [None],
    [[1]],
    "0001-01-01",
    "9999-12-31",
]


def places_of(value: Any) -> Iterator[tuple[Any, ...]]:
    """The paths to all values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *rest) for rest in places_of(inner))


def with_value(node: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(node)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed  # type: ignore[no-any-return]


def with_odd_values(engine: Engine, node: dict[str, Any]) -> tuple[int, list[str]]:
    """How many nodes were computed with an odd value at one of their places, and the refusals. Fails the test for any
    other error."""
    tried, refusals = 0, []
    for place in places_of(node):
        for value in ODD if place != ("kind",) else ():
            changed = with_value(node, place, value)
            if validate(changed):
                continue  # refused before it is run
            tried += 1
            try:
                computed(engine, changed)
            except QueryRefused as refused:
                refusals.append(refused.message)
            except Exception as error:
                pytest.fail(f"{'.'.join(map(str, place))} = {value!r}: {error!r}")
    return tried, refusals


@pytest.mark.parametrize("few", ["embedded"], indirect=True, scope="session")  # thousands of queries
@pytest.mark.parametrize("node", NODES, ids=[f"{index} {node['kind']}" for index, node in enumerate(NODES)])
def test_the_nodes_are_computed(few: Engine, node: dict[str, Any]) -> None:
    assert validate(node) == []
    is_times = node.get("funnelsFilter", {}).get("funnelVizType") == "time_to_convert"
    assert isinstance(computed(few, node).results, dict if is_times else list)


@pytest.mark.parametrize("few", ["embedded"], indirect=True, scope="session")  # thousands of queries
@pytest.mark.parametrize("node", NODES, ids=[f"{index} {node['kind']}" for index, node in enumerate(NODES)])
def test_odd_values(few: Engine, node: dict[str, Any]) -> None:
    tried, refusals = with_odd_values(few, node)
    assert tried > len(refusals) > 20
    assert all(refusals)
