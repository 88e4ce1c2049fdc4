"""Funnels computed from events: cases with answers by hand are in `funnels.yaml`, and the rules for one actor here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import computed
from endpoints_gitops.local.insights.funnel_paths import (
    ORDERED,
    ORDERS,
    STRICT,
    UNORDERED,
    FunnelEvent,
    FunnelRules,
    entrances,
    furthest,
    thinned,
)
from endpoints_gitops.local.insights.funnel_sql import overlapping, paths_of
from endpoints_gitops.local.insights.refused import NotComputed
from tests.local.insights.conftest import NOW

CASES: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).parent / "funnels.yaml")


def funnel(engine: Engine, case: dict[str, Any]) -> Any:
    steps = case.get("series", ["view", "buy"])
    series = [{"kind": "EventsNode", "event": step} if isinstance(step, str) else step for step in steps]
    node = {"kind": "FunnelsQuery", "series": series, "funnelsFilter": case.get("filter", {}), **case.get("query", {})}
    return computed(engine, node, is_endpoint=not case.get("chart", False)).results


def of(*keys: str) -> list[Any]:
    """The cases that have one of the keys."""
    return [pytest.param(case, id=case["name"]) for case in CASES if any(key in case for key in keys)]


@pytest.mark.parametrize("case", of("counts"))
def test_funnel(few: Engine, case: dict[str, Any]) -> None:
    results = funnel(few, case)
    if "values" in case:
        assert [[step["count"] for step in steps] for steps in results] == case["counts"]
        assert [[step["breakdown_value"] for step in steps] for steps in results] == [
            [value] * len(steps) for value, steps in zip(case["values"], results, strict=True)
        ]
        return
    assert [step["count"] for step in results] == case["counts"]
    for name in ("average", "median"):
        if name in case:
            assert [step[f"{name}_conversion_time"] for step in results] == case[name]
    if "names" in case:
        assert [(step["name"], step["action_id"]) for step in results] == [(name, None) for name in case["names"]]


@pytest.mark.parametrize("case", of("rates"))
def test_trend(few: Engine, case: dict[str, Any]) -> None:
    results = funnel(few, case)
    assert [row["data"] for row in results] == case["rates"]
    assert [row["count"] for row in results] == [len(row["data"]) for row in results]
    assert [row.get("breakdown_value") for row in results] == case.get("values", [None])
    for key in ("days", "labels"):
        if key in case:
            assert results[0][key] == case[key]


@pytest.mark.parametrize("case", of("bins"))
def test_time_to_convert(few: Engine, case: dict[str, Any]) -> None:
    results = funnel(few, case)
    assert results["bins"] == case["bins"]
    if "mean" in case:
        assert results["average_conversion_time"] == case["mean"]


def test_every_case_is_tried() -> None:
    assert len(of("counts", "rates", "bins", "refused", "key")) == len(CASES)


@pytest.mark.parametrize("case", of("refused", "key"))
def test_refused(few: Engine, case: dict[str, Any]) -> None:
    with pytest.raises(QueryRefused) as caught:
        funnel(few, case)
    if "key" in case:
        assert isinstance(caught.value, NotComputed)
        assert caught.value.key == case["key"]
    else:
        assert caught.value.message == case["refused"]


def test_the_keys_of_a_step(few: Engine) -> None:
    named = {"kind": "EventsNode", "event": "view", "custom_name": "Viewed"}
    first, _ = funnel(few, {"series": [named, "buy"]})
    assert first == {
        "action_id": "view",
        "name": "view",
        "custom_name": "Viewed",
        "order": 0,
        "people": [],
        "count": 3,
        "type": "events",
        "average_conversion_time": None,
        "median_conversion_time": None,
    }


RULES = FunnelRules(steps=3, window=10)
STRICTLY = FunnelRules(steps=3, window=10, order=STRICT)


def events(*pairs: tuple[int, tuple[int, ...]]) -> list[FunnelEvent]:
    """Events at times, each with its steps; a negative step is one before which the event is excluded."""
    return [
        FunnelEvent(
            at=at,
            steps=tuple(step for step in steps if step > 0),
            excluded=tuple(-step for step in steps if step < 0),
        )
        for at, steps in pairs
    ]


@pytest.mark.parametrize(
    ("given_events", "rules", "times"),
    [
        ([(0, (1,)), (1, (2,)), (2, (3,))], RULES, (0, 1, 2)),
        ([(0, (2,)), (1, (1,)), (2, (3,))], RULES, (1,)),
        ([(0, (1,)), (10, (2,)), (11, (3,))], RULES, (0, 10)),
        ([(0, (1,)), (5, (1,)), (11, (2,)), (12, (3,))], RULES, (5, 11, 12)),
        ([(0, (1,)), (1, (2,)), (5, (1,)), (9, (3,))], RULES, (0, 1, 9)),
        ([(0, (1,)), (1, (2,)), (2, (2,)), (3, (3,))], RULES, (0, 1, 3)),
        ([(0, (3,)), (0, (2,)), (0, (1,))], RULES, (0, 0, 0)),
        ([(0, (1, 2, 3)), (1, (1, 2, 3))], RULES, (0, 1)),
        ([(0, (1,)), (1, ()), (2, (2,))], STRICTLY, (0,)),
        ([(0, (1,)), (2, (2,)), (3, (3,))], STRICTLY, (0, 2, 3)),
        ([(0, (1,)), (1, (-2,)), (2, (2,))], RULES, ()),
        ([(0, (-2,)), (1, (1,)), (2, (2,))], RULES, (1, 2)),
        ([(0, (1,)), (1, (2,)), (2, (-2,)), (3, (3,))], RULES, (0, 1, 3)),
        ([(0, (1,)), (11, (-2,)), (12, (1,)), (13, (2,))], RULES, (12, 13)),
        ([(0, (1,)), (1, (2,)), (2, (3,)), (3, (-3,))], RULES, (0, 1, 2)),
        ([], RULES, ()),
    ],
    ids=str,
)
def test_one_actor(given_events: list[Any], rules: FunnelRules, times: tuple[int, ...]) -> None:
    path = furthest(events(*given_events), rules)
    assert (() if path is None else path.times) == times


MANY = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([(), (1,), (2,), (3,), (1, 2)])), max_size=8, unique=True)


@given(MANY, st.integers(0, 30), st.integers(0, 30))
def test_a_wider_window_and_a_looser_order_lead_further(given_events: list[Any], first: int, second: int) -> None:
    ordered = events(*sorted(given_events))
    narrow, wide = sorted((first, second))

    def count(window: int, order: str = ORDERED) -> int:
        path = furthest(ordered, FunnelRules(steps=3, window=window, order=order))
        return 0 if path is None else len(path.reached)

    assert count(narrow) <= count(wide)
    assert count(narrow, STRICT) <= count(narrow)


ALONE = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([(), (1,), (2,), (3,)])),
    max_size=10,
    unique_by=lambda event: event[0],
)


@given(ALONE, st.integers(0, 30))
def test_whoever_keeps_the_order_comes_as_far_in_any_order(given_events: list[Any], window: int) -> None:
    stepped = events(*sorted(event for event in given_events if event[1]))

    def count(order: str) -> int:
        path = furthest(stepped, FunnelRules(steps=3, window=window, order=order))
        return 0 if path is None else len(path.reached)

    assert count(ORDERED) <= count(UNORDERED)


@given(ALONE, st.integers(0, 30), st.sampled_from(ORDERS))
def test_the_trend_of_one_interval_is_the_funnel(given_events: list[Any], window: int, order: str) -> None:
    rules = FunnelRules(steps=3, window=window, order=order)
    kept = [event for event in sorted(given_events) if event[1] or order == STRICT]
    ordered = [replace(event, bucket=NOW) for event in events(*kept)]
    path = furthest(ordered, rules)
    reached = 0 if path is None else len(path.reached)
    for first, last in ((1, 2), (1, 3), (2, 3)):
        wanted = {NOW: reached >= last} if reached >= first else {}
        assert entrances(ordered, rules, (), first=first, last=last) == wanted


ACTORS = st.lists(
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 7)), min_size=1, max_size=14), min_size=1, max_size=20
)


@pytest.mark.slow
@given(actors=ACTORS, window=st.integers(0, 25))
@settings(max_examples=200, deadline=None)
def test_clickhouse_finds_the_same_paths(few: Engine, actors: list[list[tuple[int, int]]], window: int) -> None:
    """The short way of plain funnels, against the general one, for each of some actors."""
    rules = FunnelRules(steps=3, window=window)
    codes = [(actor, [at << 3 | flags for at, flags in happened]) for actor, happened in enumerate(actors)]
    given_codes = f"SELECT _each.1 AS _actor, arraySort(_each.2) AS _codes FROM (SELECT arrayJoin({codes}) AS _each)"
    paths = paths_of(given_codes, rules, "_actor", f"{overlapping('_codes', 3)} AS _overlaps")
    rows = few.run(
        f"SELECT _actor, arrayResize([_at_1, _at_2, _at_3], _furthest), _overlaps FROM ({paths})", {}
    ).results
    found = {actor: (tuple(times), overlaps) for actor, times, overlaps in rows}
    for actor, happened in enumerate(actors):
        own = events(*((at, tuple(step for step in (1, 2, 3) if flags >> (step - 1) & 1)) for at, flags in happened))
        path = furthest(thinned(sorted(own, key=lambda event: (event.at, event.steps))), rules)
        times, overlaps = found.get(actor, ((), 0))
        if overlaps:  # of different events at one time, one is several steps: left to the general way
            assert len({at for at, _ in happened}) < len(set(happened))
        else:
            assert times == (() if path is None else path.times)


STEPS = st.sampled_from(["a", "b", "c", None])


@pytest.mark.slow
@given(
    steps=st.lists(STEPS, min_size=2, max_size=5),
    seconds=st.sampled_from([0, 1, 60, 3_600, 86_400, 604_800]),
    view=st.sampled_from(["steps", "time_to_convert"]),
    breakdown=st.sampled_from([None, "who", "kind", ["kind", "who"]]),
)
@settings(max_examples=60, deadline=None)
def test_clickhouse_counts_what_the_general_way_counts(
    random_events: Engine, steps: list[str | None], seconds: int, view: str, breakdown: str | list[str] | None
) -> None:
    node = {
        "kind": "FunnelsQuery",
        "series": [{"kind": "EventsNode", "event": step} for step in steps],
        "dateRange": {"date_from": "-30d"},
        "funnelsFilter": {
            "funnelVizType": view,
            "funnelWindowInterval": seconds,
            "funnelWindowIntervalUnit": "second",
        },
        "breakdownFilter": {"breakdown": breakdown, "breakdown_type": "event"},
    }

    def results() -> Any:
        return computed(random_events, node).results

    counted = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("endpoints_gitops.local.insights.funnels.MOST_CODED", 0)
        assert counted == results()
    assert counted
