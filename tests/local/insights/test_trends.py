"""Trends computed from events. Cases with answers by hand: `trends.yaml`, `filters.yaml` and `refused.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import ComputedInsight, computed
from endpoints_gitops.local.insights.refused import NotComputed

VIEW = {"kind": "EventsNode", "event": "view"}


def _read(name: str) -> list[Any]:
    cases: list[Any] = YAML(typ="safe").load(Path(__file__).parent / name)
    return cases


def trend(engine: Engine, *series: Mapping[str, Any], chart: bool = False, **query: Any) -> ComputedInsight:
    variables = query.pop("variables", None)
    node = {"kind": "TrendsQuery", "series": list(series or [VIEW]), **query}
    return computed(engine, node, variables, is_endpoint=not chart)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in _read("trends.yaml")])
def test_trend(few: Engine, case: dict[str, Any]) -> None:
    series = case.get("series") or [
        {
            **VIEW,
            "math": case.get("math", "total"),
            **({"math_property": case["property"]} if "property" in case else {}),
        }
    ]
    answer = trend(
        few, *series, chart=case.get("chart", False), variables=case.get("variables"), **case.get("query", {})
    )
    rows: list[Any] = answer.results
    got = {
        "data": [row["data"] for row in rows],
        "labels": [row.get("labels") for row in rows][0:1] and rows[0].get("labels"),
        "days": rows and rows[0]["days"],
        "label": [row["label"] for row in rows],
        "count": [row["count"] for row in rows],
        "aggregated": [row.get("aggregated_value") for row in rows],
        "breakdown": [row.get("breakdown_value") for row in rows],
        "compare": [row.get("compare_label") for row in rows],
        "has_more": answer.has_more,
    }
    wanted = {key: value for key, value in case.items() if key in got}
    assert wanted
    for key, value in wanted.items():
        assert got[key] == (pytest.approx(value) if key == "aggregated" else _near(value)), key


def _near(value: Any) -> Any:
    is_rows = isinstance(value, list) and value and isinstance(value[0], list)
    is_numbers = is_rows and value[0] and isinstance(value[0][0], int | float)
    return [pytest.approx(row) for row in value] if is_numbers else value


@pytest.mark.parametrize(("condition", "count"), _read("filters.yaml"), ids=str)
def test_filter(few: Engine, condition: dict[str, Any], count: int) -> None:
    shown = {"type": "event", **condition}
    of_query = trend(few, properties=[shown], trendsFilter={"display": "ActionsPie"}).results
    of_series = trend(few, {**VIEW, "properties": [shown]}, trendsFilter={"display": "ActionsPie"}).results
    fixed = trend(few, {**VIEW, "fixedProperties": [shown]}, trendsFilter={"display": "ActionsPie"}).results
    assert [row["aggregated_value"] for row in (*of_query, *of_series, *fixed)] == [count] * 3


@pytest.mark.parametrize("case", _read("refused.yaml"), ids=str)
def test_refused(few: Engine, case: dict[str, Any]) -> None:
    with pytest.raises(QueryRefused) as caught:
        trend(few, *case.get("series", []), **case.get("query", {}))
    if "key" in case:
        assert isinstance(caught.value, NotComputed)
        assert caught.value.key == case["key"]
        assert case["key"] in caught.value.message
        assert caught.value.code == "not_supported_locally"
    else:
        assert not isinstance(caught.value, NotComputed)
        assert case["refused"] in caught.value.message


def test_sampling_of_everything_is_no_sampling(few: Engine) -> None:
    assert trend(few, samplingFactor=1).results == trend(few).results


def test_keys_of_the_display_change_nothing_but_what_the_answer_repeats(few: Engine) -> None:
    looks = {"yAxisScaleType": "log10", "showLegend": True, "goalLines": [{"label": "x", "value": 1}]}
    (plain,), (styled,) = trend(few).results, trend(few, trendsFilter=looks).results
    assert isinstance(plain, dict)
    assert isinstance(styled, dict)
    assert {**styled, "filter": None} == {**plain, "filter": None}


def test_the_keys_of_a_series(few: Engine) -> None:
    (row,) = trend(few, {**VIEW, "math": "sum", "math_property": "n", "custom_name": "Sum"}).results
    assert isinstance(row, dict)
    assert row["action"] == {
        "days": [f"{day}T00:00:00Z" for day in row["days"]],
        "id": "view",
        "type": "events",
        "order": 0,
        "name": "view",
        "custom_name": "Sum",
        "math": "sum",
        "math_property": "n",
        "math_hogql": None,
        "math_group_type_index": None,
        "properties": {},
    }
    assert set(row) == {"data", "labels", "days", "count", "label", "action", "filter", "order"}


def test_no_series_no_results(few: Engine) -> None:
    node = {"kind": "TrendsQuery", "series": [], "trendsFilter": {"formula": "1"}}
    assert computed(few, node).results == []


MATHS = st.sampled_from(["total", "dau", "unique_session", "weekly_active", "first_time_for_user"])
RANGES = st.sampled_from(["-1d", "-7d", "-14d", "-30d", "2026-06-20", "all"])
INTERVALS = st.sampled_from(["day", "week", "month"])
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _data(insight: ComputedInsight) -> list[list[float]]:
    rows: list[Any] = insight.results
    return [row["data"] for row in rows]


@LAWS
@given(interval=INTERVALS, date_from=RANGES, key=st.sampled_from(["browser", "n", "flag"]), limit=st.integers(1, 8))
def test_the_values_of_a_breakdown_add_up_to_the_total(
    few: Engine, interval: str, date_from: str, key: str, limit: int
) -> None:
    query: dict[str, Any] = {"interval": interval, "dateRange": {"date_from": date_from}}
    (total,) = _data(trend(few, **query))
    parts = _data(trend(few, chart=True, breakdownFilter={"breakdown": key, "breakdown_limit": limit}, **query))
    assert [sum(column) for column in zip(*parts, strict=True)] == total or (parts == [] and not any(total))


@LAWS
@given(math=st.sampled_from(["total", "unique_session", "first_time_for_user"]), interval=INTERVALS, date_from=RANGES)
def test_the_cumulative_display_is_the_running_sum(few: Engine, math: str, interval: str, date_from: str) -> None:
    query: dict[str, Any] = {"interval": interval, "dateRange": {"date_from": date_from}}
    (plain,) = _data(trend(few, {**VIEW, "math": math}, **query))
    (summed,) = _data(
        trend(few, {**VIEW, "math": math}, trendsFilter={"display": "ActionsLineGraphCumulative"}, **query)
    )
    assert summed == [sum(plain[: index + 1]) for index in range(len(plain))]


@LAWS
@given(interval=INTERVALS, date_from=RANGES)
def test_people_are_at_most_events_and_active_people_at_least_those_of_the_day(
    few: Engine, interval: str, date_from: str
) -> None:
    query: dict[str, Any] = {"interval": interval, "dateRange": {"date_from": date_from}}
    of = {math: _data(trend(few, {**VIEW, "math": math}, **query))[0] for math in ("total", "dau")}
    assert all(people <= events for people, events in zip(of["dau"], of["total"], strict=True))


@LAWS
@given(math=MATHS, date_from=RANGES)
def test_a_formula_of_one_series_is_the_series(few: Engine, math: str, date_from: str) -> None:
    query: dict[str, Any] = {"dateRange": {"date_from": date_from}}
    series = {**VIEW, "math": math}
    assert _data(trend(few, series, trendsFilter={"formula": "A"}, **query)) == _data(trend(few, series, **query))
