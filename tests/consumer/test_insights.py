"""Results of insights: typed by kind, refused if they do not match it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import endpoints_gitops as library
from endpoints_gitops.api.answers import run_answer
from endpoints_gitops.consumer.rows import rows_of
from endpoints_gitops.local.serve import running_server

SERIES = {
    "label": "Sign up",
    "data": [1, 2.5],
    "days": ["2026-07-01", "2026-07-02"],
    "labels": ["1-Jul-2026", "2-Jul-2026"],
    "count": 3.5,
}
STEP = {
    "action_id": "a",
    "name": "Sign up",
    "custom_name": None,
    "order": 0,
    "count": 9,
    "people": [],
    "type": "events",
    "average_conversion_time": None,
    "median_conversion_time": None,
}
COHORT = {
    "values": [{"count": 9, "label": "Day 0"}, {"count": 4, "label": "Day 1"}],
    "label": "Day 0",
    "date": "2026-07-01T00:00:00Z",
}


def rows(pin, kind, results):
    answer = run_answer({"results": results, "endpoint_version": 3})
    return rows_of(pin(query={"kind": kind}), answer)


@pytest.mark.parametrize(
    ("kind", "result", "record", "facts"),
    [
        ("TrendsQuery", {**SERIES, "action": {"id": "x"}, "breakdown_value": "Chrome", "compare_label": "current"},
            library.TrendSeries, {"data": (1, 2.5), "breakdown_value": "Chrome", "compare_label": "current"}),
        ("TrendsQuery", {**SERIES, "data": None, "days": [], "labels": [], "count": 0, "aggregated_value": 7},
            library.TrendSeries, {"data": (), "aggregated_value": 7}),
        ("TrendsQuery", {**SERIES, "breakdown_value": ["Chrome", None]},
            library.TrendSeries, {"breakdown_value": ("Chrome", None)}),
        ("LifecycleQuery", {**SERIES, "status": "dormant", "data": [-1, -2]},
            library.LifecycleSeries, {"status": "dormant", "data": (-1, -2)}),
        ("RetentionQuery", COHORT, library.RetentionCohort, {
            "date": datetime(2026, 7, 1, tzinfo=UTC),
            "values": (library.RetentionValue(count=9, label="Day 0"), library.RetentionValue(count=4, label="Day 1")),
        }),
        ("FunnelsQuery", STEP, library.FunnelStep, {"order": 0, "count": 9, "average_conversion_time": None}),
        ("FunnelsQuery", {"bins": [[0, 3], [60, 1]], "average_conversion_time": 12.5},
            library.FunnelTimes, {"bins": ((0, 3), (60, 1)), "average_conversion_time": 12.5}),
        ("FunnelsQuery", {**SERIES, "data": [50.0, 0]}, library.FunnelTrend, {"data": (50.0, 0)}),
        ("PathsQuery", {"source": "1_/", "target": "2_/buy", "value": 3, "average_conversion_time": 1000},
            library.PathLink, {"source": "1_/", "value": 3}),
        ("StickinessQuery", {**SERIES, "days": [1, 2], "labels": ["1 day", "2 days"]},
            library.StickinessSeries, {"days": (1, 2), "labels": ("1 day", "2 days")}),
    ],
)  # fmt: skip
def test_a_record_for_each_kind(pin, kind, result, record, facts):
    found = rows(pin, kind, [result])
    (one,) = found.of(record)
    assert {name: getattr(one, name) for name in facts} == facts
    assert one.raw is found.raw["results"][0]
    assert found.as_dicts() == [result]
    assert (found.columns, found.types, len(found)) == ((), (), 1)
    assert repr(found) == "<Rows of revenue@3: 1 results>"


def test_times_to_convert_come_as_one_object(pin):
    (one,) = rows(pin, "FunnelsQuery", {"bins": [], "average_conversion_time": None}).of(library.FunnelTimes)
    assert one.bins == ()


def test_a_funnel_that_is_broken_down_is_flat(pin):
    results = [[{**STEP, "breakdown_value": [value]} for _ in range(2)] for value in ("a", "b")]
    steps = rows(pin, "FunnelsQuery", results).of(library.FunnelStep)
    assert [step.breakdown_value for step in steps] == [("a",), ("a",), ("b",), ("b",)]


def test_kinds_without_a_record_stay_as_they_are(pin):
    found = rows(pin, "WebOverviewQuery", [{"key": "views", "value": 1}])
    assert list(found) == [{"key": "views", "value": 1}]
    assert found.column("value") == [1]


@pytest.mark.parametrize(
    ("kind", "result", "message"),
    [
        ("TrendsQuery", [1], "result 1: expected an object, got [1]"),
        ("TrendsQuery", {**SERIES, "label": None}, "result 1: expected a string under 'label', got None"),
        ("TrendsQuery", {**SERIES, "data": ["x"]}, "expected a number under 'data', got ['x']"),
        ("TrendsQuery", {**SERIES, "days": [1]}, "expected strings under 'days'"),
        ("TrendsQuery", {key: SERIES[key] for key in SERIES if key != "data"}, "a list under 'data', got nothing"),
        ("LifecycleQuery", {**SERIES, "status": "gone"}, "unknown status 'gone'"),
        ("RetentionQuery", {**COHORT, "date": "July"}, "expected a time under 'date', got 'July'"),
        ("RetentionQuery", {**COHORT, "values": [{"count": 1}]}, "expected a string under 'label', got nothing"),
        ("FunnelsQuery", {**STEP, "order": "first"}, "expected an integer under 'order', got 'first'"),
        ("FunnelsQuery", {"bins": [1]}, "expected pairs of seconds and people under 'bins'"),
        ("PathsQuery", {"source": "a", "target": "b", "value": True}, "expected a number under 'value', got True"),
        ("StickinessQuery", {**SERIES, "days": ["1"]}, "expected integers under 'days'"),
    ],
)
def test_results_of_another_shape(pin, kind, result, message):
    good = {"FunnelsQuery": STEP, "RetentionQuery": COHORT, "PathsQuery": {"source": "a", "target": "b", "value": 1}}
    first = good.get(kind, {**SERIES, "status": "new"} | ({"days": [1, 2]} if kind == "StickinessQuery" else {}))
    with pytest.raises(library.ResultsBroken) as raised:
        rows(pin, kind, [first, result])
    assert message in raised.value.message
    assert raised.value.at == 1


def test_an_insight_where_rows_were_pinned(pin):
    with pytest.raises(library.ResultsBroken, match="the answer has no columns"):
        rows(pin, "HogQLQuery", [SERIES])


def test_records_of_another_class(pin):
    with pytest.raises(library.UsageError, match="the records of revenue@3 are TrendSeries, not FunnelStep"):
        rows(pin, "TrendsQuery", [SERIES]).of(library.FunnelStep)


NODE = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "note created"}]}


@pytest.fixture
def server(engine):
    with running_server(engine=engine) as running:
        yield running


def test_an_insight_is_called_like_any_other(app, create, server):
    """No pages: `iterate` gives every result of one call, and options of paging are refused before it is sent."""
    called = app(create("visits", query=NODE))
    with pytest.raises(library.UsageError, match="a TrendsQuery has no pages"):
        called.run("visits", _limit=1)
    assert len(server.requests.entries()) == 0
    assert [one.label for one in called.iterate("visits")] == ["note created"]
    (series,) = called.run("visits").of(library.TrendSeries)
    assert series.count == sum(series.data) > 0
    assert len(server.requests.entries()) == 2


def test_a_notebook_and_arrow_show_the_results_of_an_insight(pin):
    found = rows(pin, "TrendsQuery", [SERIES, SERIES | {"label": "<other>", "status": None}])
    html = found._repr_html_()
    assert html.startswith("<table><caption>revenue@3</caption><tr><th>label</th><th>data</th>")
    assert "<td>&lt;other&gt;</td><td>[1, 2.5]</td>" in html
    assert html.count("<em>None</em>") == 2
    table = found.to_arrow()
    assert table.column_names == [*SERIES, "status"]
    assert table["data"].to_pylist() == [[1, 2.5]] * 2
    assert table["days"].to_pylist() == [SERIES["days"]] * 2
