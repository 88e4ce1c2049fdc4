"""The properties of an insight that callers rely on, and the changes between two insights."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.insight_changes import insight_changes, insight_shape, moving_dates
from endpoints_gitops.hogql.insights import expand

TRENDS: dict[str, Any] = {
    "kind": "TrendsQuery",
    "interval": "week",
    "series": [
        {"kind": "EventsNode", "event": "$pageview", "math": "dau", "custom_name": "Views"},
        {"kind": "ActionsNode", "id": 7, "name": "Signed up"},
        {"kind": "EventsNode", "event": None},
    ],
    "breakdownFilter": {"breakdowns": [{"property": "$browser"}, {"property": "$os"}], "breakdown_limit": 5},
    "trendsFilter": {"formula": "A/B"},
    "dateRange": {"date_from": "-30d"},
}
KEYS = ("action", "count", "data", "days", "label", "labels")
STEPS = (
    "action_id",
    "average_conversion_time",
    "count",
    "custom_name",
    "median_conversion_time",
    "name",
    "order",
    "people",
    "type",
)


def test_the_shape_of_trends() -> None:
    found = insight_shape(TRENDS)
    assert [(one.source, one.label, one.math) for one in found.series] == [
        ("$pageview", "Views", "dau"),
        ("7", "Signed up", "total"),
        ("all events", "All events", "total"),
    ]
    assert (found.kind, found.formulas, found.breakdowns) == ("TrendsQuery", ("A/B",), ("$browser", "$os"))
    assert (found.breakdown_limit, found.is_compared, found.interval) == (5, False, "week")
    assert found.keys == tuple(sorted((*KEYS, "breakdown_value")))


RESULT_KEYS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"kind": "TrendsQuery"}, KEYS),
    ({"kind": "TrendsQuery", "trendsFilter": {"display": "BoldNumber"}}, tuple(sorted(("aggregated_value", *KEYS)))),
    ({"kind": "TrendsQuery", "compareFilter": {"compare": True}}, tuple(sorted((*KEYS, "compare", "compare_label")))),
    ({"kind": "LifecycleQuery"}, (*KEYS, "status")),
    ({"kind": "StickinessQuery"}, KEYS),
    ({"kind": "RetentionQuery"}, ("date", "label", "values")),
    (
        {"kind": "RetentionQuery", "breakdownFilter": {"breakdown": "$os"}},
        ("breakdown_value", "date", "label", "values"),
    ),
    ({"kind": "FunnelsQuery"}, STEPS),
    (
        {"kind": "FunnelsQuery", "breakdownFilter": {"breakdown": "$os"}},
        tuple(sorted((*STEPS, "breakdown", "breakdown_value"))),
    ),
    ({"kind": "FunnelsQuery", "funnelsFilter": {"funnelVizType": "trends"}}, ("count", "data", "days", "labels")),
    (
        {"kind": "FunnelsQuery", "funnelsFilter": {"funnelVizType": "time_to_convert"}},
        ("average_conversion_time", "bins"),
    ),
    ({"kind": "PathsQuery"}, ("average_conversion_time", "source", "target", "value")),
    ({"kind": "WebOverviewQuery", "compareFilter": {"compare": True}}, ()),
]


@pytest.mark.parametrize(("node", "keys"), RESULT_KEYS)
def test_the_keys_of_result_objects(node: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert insight_shape(node).keys == keys
    assert insight_shape(expand(node)) == insight_shape(node)


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"kind": 1},
        {"kind": "TrendsQuery", "series": "x"},
        {"kind": "TrendsQuery", "series": [1], "trendsFilter": []},
    ],
)
def test_a_node_that_is_wrong_has_some_shape(node: dict[str, Any]) -> None:
    assert insight_shape(node).formulas == ()


DATES = [
    (None, ("date_from -7d", "date_to now")),
    ({"date_from": "-30d"}, ("date_from -30d", "date_to now")),
    ({"date_from": "2026-01-01"}, ("date_to now",)),
    ({"date_from": "2026-01-01", "date_to": "2026-02-01T00:00:00Z"}, ()),
    ({"date_from": "all", "date_to": "2026-02-01"}, ("date_from all",)),
    ({"date_from": "mStart", "date_to": "2026-02-01"}, ("date_from mStart",)),
]


@pytest.mark.parametrize(("dates", "moving"), DATES)
def test_dates_that_move(dates: dict[str, str] | None, moving: tuple[str, ...]) -> None:
    assert moving_dates({"kind": "TrendsQuery", "dateRange": dates}) == moving


def changed(**more: Any) -> dict[str, Any]:
    return {**TRENDS, **more}


SERIES = TRENDS["series"]
CHANGES = [
    (changed(interval="month"), ["bucket interval (the interval): week -> month"]),
    (changed(interval="day"), ["bucket interval (the interval): week -> None"]),
    (
        changed(series=SERIES[:1]),
        [f"columns series (the series): {[*SERIES[:2], {'kind': 'EventsNode'}]} -> {SERIES[:1]}"],
    ),
    (
        changed(series=[{**SERIES[0], "math": "total"}, *SERIES[1:]]),
        ["aggregation series.0.math (the aggregation): dau -> total"],
    ),
    (changed(series=[{**SERIES[0], "event": "x"}, *SERIES[1:]]), ["source series.0.event (the event): $pageview -> x"]),
    (
        changed(filterTestAccounts=True),
        ["filter filterTestAccounts (the exclusion of test accounts): None -> True"],
    ),
    (changed(dateRange={"date_from": "-7d"}), ["filter dateRange.date_from (the date range): -30d -> -7d"]),
    (changed(trendsFilter={"formula": "A*B"}), ["aggregation trendsFilter.formula (the formula): A/B -> A*B"]),
    (
        changed(trendsFilter={"formula": "A/B", "showLegend": True}),
        ["None trendsFilter.showLegend (the display in PostHog): None -> True"],
    ),
    (
        changed(trendsFilter={"formula": "A/B", "display": "BoldNumber"}),
        ["columns trendsFilter.display (the display (it decides the keys of the results)): None -> BoldNumber"],
    ),
    (
        changed(compareFilter={"compare": True}),
        ["columns compareFilter (the comparison with another period): None -> {'compare': True}"],
    ),
    (changed(breakdownFilter={**TRENDS["breakdownFilter"], "breakdown_limit": 6}), []),
    (changed(novel=1), ["expression novel (the setting novel): None -> 1"]),
]


@pytest.mark.parametrize(("after", "expected"), CHANGES)
def test_each_change_is_named(after: dict[str, Any], expected: list[str]) -> None:
    found = insight_changes(TRENDS, after)
    assert [f"{one.kind} {one.path} ({one.what}): {one.before} -> {one.after}" for one in found] == expected


NODES = st.sampled_from([TRENDS, expand(TRENDS), *(node for node, _ in CHANGES), *(node for node, _ in RESULT_KEYS)])


@given(NODES, NODES)
@settings(deadline=None)
def test_nodes_differ_exactly_when_their_meaning_does(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert bool(insight_changes(one, other)) == (canonical_query(one) != canonical_query(other))
    there, back = insight_changes(one, other), insight_changes(other, one)
    assert [(each.path, each.kind, each.before, each.after) for each in there] == [
        (each.path, each.kind, each.after, each.before) for each in back
    ]
