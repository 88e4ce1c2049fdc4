"""Lifecycle, stickiness and retention computed from events: cases with answers by hand are in `others.yaml`."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import computed
from endpoints_gitops.local.insights.refused import NotComputed
from tests.local.insights.conftest import NOW, happened

CASES: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).parent / "others.yaml")
LAWS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VIEW = {"kind": "EventsNode", "event": "view"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if not {"key", "refused"} & set(case)]
)
def test_insight(few: Engine, case: dict[str, Any]) -> None:
    rows: list[Any] = computed(few, case["node"], case.get("variables")).results
    wanted = {key: value for key, value in case.items() if key not in ("name", "node", "variables")}
    assert wanted
    for key, value in wanted.items():
        assert [_shown(row, key) for row in rows] == (value if key != "columns" else [value] * len(rows)), key


def _shown(row: dict[str, Any], key: str) -> Any:
    if key == "aggregated":
        return [item["aggregation_value"] for item in row["values"]]
    if key == "columns":
        return [item["label"] for item in row["values"]]
    return _data(row) if key == "data" else row.get(key)


def _data(row: dict[str, Any]) -> list[float]:
    return row["data"] if "data" in row else [item["count"] for item in row["values"]]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case['node']['kind']}: {case['name']}") for case in CASES if "key" in case]
)
def test_refused(few: Engine, case: dict[str, Any]) -> None:
    with pytest.raises(NotComputed) as caught:
        computed(few, case["node"])
    assert caught.value.key == case["key"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if "refused" in case])
def test_refused_by_the_server_too(few: Engine, case: dict[str, Any]) -> None:
    with pytest.raises(QueryRefused) as caught:
        computed(few, case["node"])
    assert not isinstance(caught.value, NotComputed)
    assert caught.value.message == case["refused"]


def series_of(engine: Engine, kind: str, **query: Any) -> list[Any]:
    results: list[Any] = computed(engine, {"kind": kind, "series": [VIEW], **query}).results
    return results


RANGES = st.sampled_from(["-1d", "-7d", "-14d", "-30d", "2026-06-20", "all"])
INTERVALS = st.sampled_from(["day", "week", "month"])


@LAWS
@given(interval=st.sampled_from(["day", "month"]), date_from=RANGES)
def test_active_people_of_the_lifecycle_are_the_people_of_a_trend(few: Engine, interval: str, date_from: str) -> None:
    """But in weeks: a trend begins with the day of `date_from`, a lifecycle with its week."""
    query: dict[str, Any] = {"interval": interval, "dateRange": {"date_from": date_from}}
    rows = series_of(few, "LifecycleQuery", **query)
    node = {"kind": "TrendsQuery", "series": [{**VIEW, "math": "dau"}], **query}
    trend: list[Any] = computed(few, node).results
    active = [sum(column) for column in zip(*(row["data"] for row in rows[:3]), strict=True)]
    assert (active, rows[0]["days"]) == (trend[0]["data"], trend[0]["days"])


@LAWS
@given(interval=INTERVALS, date_from=RANGES, every=st.sampled_from([None, 1, 2, 3]))
def test_stickiness_counts_each_person_once(few: Engine, interval: str, date_from: str, every: int | None) -> None:
    query: dict[str, Any] = {"interval": interval, "dateRange": {"date_from": date_from}}
    (row,) = series_of(few, "StickinessQuery", intervalCount=every, **query)
    node = {
        "kind": "TrendsQuery",
        "series": [{**VIEW, "math": "dau"}],
        "interval": interval,
        "dateRange": {"date_from": date_from},
        "trendsFilter": {"display": "ActionsLineGraphCumulative"},
    }
    trend: list[Any] = computed(few, node).results
    assert row["count"] == trend[0]["data"][-1]


@LAWS
@given(total=st.integers(1, 12), period=st.sampled_from(["Hour", "Day", "Week", "Month"]), cumulative=st.booleans())
def test_nobody_returns_who_did_not_start(few: Engine, total: int, period: str, cumulative: bool) -> None:
    entity = {"id": "view", "type": "events"}
    retention = {"totalIntervals": total, "period": period, "cumulative": cumulative}
    node = {
        "kind": "RetentionQuery",
        "retentionFilter": {**retention, "targetEntity": entity, "returningEntity": entity},
    }
    rows: list[Any] = computed(few, node).results
    assert [len(row["values"]) for row in rows] == [total] * total
    for row in rows:
        first, *later = _data(row)
        assert all(count <= first for count in later)
        assert not cumulative or later == sorted(later, reverse=True)


@LAWS
@given(
    total=st.integers(1, 10),
    period=st.sampled_from(["Hour", "Day", "Week", "Month"]),
    kind=st.sampled_from(["retention_recurring", "retention_first_time", "retention_first_ever_occurrence"]),
)
def test_brackets_of_one_are_the_intervals(few: Engine, total: int, period: str, kind: str) -> None:
    """For a first start; another start of a person has the brackets of the first."""
    entity = {"id": "view", "type": "events"}
    common = {"targetEntity": entity, "returningEntity": entity, "period": period, "totalIntervals": total}

    def first_starts(**more: Any) -> list[Any]:
        node = {"kind": "RetentionQuery", "retentionFilter": {**common, "retentionType": kind, **more}}
        rows: list[Any] = computed(few, node).results
        return rows if kind != "retention_recurring" else [row for row in rows if _data(row)[0]][:1]

    plain, bracketed = first_starts(), first_starts(retentionCustomBrackets=[1] * (total - 1)) if total > 1 else []
    assert total == 1 or bracketed == plain


@LAWS
@given(period=st.sampled_from(["Hour", "Day", "Week", "Month"]), total=st.integers(1, 10))
def test_a_rolling_retention_counts_each_person_once(few: Engine, period: str, total: int) -> None:
    entity = {"id": "view", "type": "events"}
    retention = {"targetEntity": entity, "returningEntity": entity, "period": period, "totalIntervals": total}
    (rolling, calendar) = (
        computed(few, {"kind": "RetentionQuery", "retentionFilter": {**retention, "timeWindowMode": mode}}).results
        for mode in ("24_hour_windows", "strict_calendar_dates")
    )
    assert isinstance(rolling, list)
    assert isinstance(calendar, list)
    started = [sum(_data(row)[0] for row in rows) for rows in (rolling, calendar)]  # type: ignore[arg-type]
    assert started[0] <= min(3, started[1])


@pytest.mark.parametrize("kind", ["retention_recurring", "retention_first_time"])
@pytest.mark.parametrize(("start", "back"), [("a", "b"), ("a", "a")])
def test_retention_counts_the_days_of_each_person(random_events: Engine, kind: str, start: str, back: str) -> None:
    node = {
        "kind": "RetentionQuery",
        "retentionFilter": {
            "period": "Day",
            "totalIntervals": 25,
            "retentionType": kind,
            "targetEntity": {"id": start, "type": "events"},
            "returningEntity": {"id": back, "type": "events"},
        },
    }
    first_day = NOW.date() - timedelta(days=24)
    days: dict[str, dict[str, set[int]]] = {}
    for event in happened():
        day = (datetime.fromisoformat(event["timestamp"]).date() - first_day).days
        days.setdefault(event["distinct_id"], {}).setdefault(event["event"], set()).add(day)
    wanted = [[0] * 25 for _ in range(25)]
    for of_event in days.values():
        started = sorted(of_event.get(start, ()))
        for day in started[:1] if kind == "retention_first_time" else started:
            for column in {0, *(later - day for later in of_event.get(back, ()))}:
                if day >= 0 and column >= 0:
                    wanted[day][column] += column < 25
    rows: list[Any] = computed(random_events, node).results
    assert [_data(row) for row in rows] == wanted
    assert sum(map(sum, wanted)) > 25


def test_retention_refuses_intervals_that_clickhouse_begins_at_other_times(random_events: Engine) -> None:
    """Never a count without the events of such an interval."""
    elsewhere = copy(random_events)
    elsewhere.project = replace(random_events.project, timezone="Asia/Kathmandu")
    with pytest.raises(NotComputed, match=r"retentionFilter\.period: .*Asia/Kathmandu"):
        computed(elsewhere, {"kind": "RetentionQuery", "retentionFilter": {"targetEntity": {"id": "a"}}})
