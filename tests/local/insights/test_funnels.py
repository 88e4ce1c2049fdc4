"""Funnels computed from events: cases with answers by hand are in `funnels.yaml`, and the rules for one actor here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import computed
from endpoints_gitops.local.insights.funnels import FunnelEvent, FunnelRules, furthest
from endpoints_gitops.local.insights.refused import NotComputed

CASES: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).parent / "funnels.yaml")


def funnel(engine: Engine, case: dict[str, Any]) -> list[Any]:
    steps = case.get("series", ["view", "buy"])
    series = [{"kind": "EventsNode", "event": step} if isinstance(step, str) else step for step in steps]
    node = {"kind": "FunnelsQuery", "series": series, "funnelsFilter": case.get("filter", {}), **case.get("query", {})}
    results: list[Any] = computed(engine, node, is_endpoint=not case.get("chart", False)).results
    return results


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if "counts" in case])
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


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if "counts" not in case])
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


RULES = FunnelRules(steps=3, window=10, is_strict=False)
STRICT = FunnelRules(steps=3, window=10, is_strict=True)


def events(*pairs: tuple[int, tuple[int, ...]]) -> list[FunnelEvent]:
    """Events at times, each with its steps; a negative step is one before which the event is excluded."""
    return [
        FunnelEvent(
            at=at,
            steps=tuple(step for step in steps if step > 0),
            excluded=tuple(-step for step in steps if step < 0),
            value="",
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
        ([(0, (1,)), (1, ()), (2, (2,))], STRICT, (0,)),
        ([(0, (1,)), (2, (2,)), (3, (3,))], STRICT, (0, 2, 3)),
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
    assert furthest(events(*given_events), rules) == times


MANY = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([(), (1,), (2,), (3,), (1, 2)])), max_size=8, unique=True)


@given(MANY, st.integers(0, 30), st.integers(0, 30))
def test_a_wider_window_and_a_looser_order_lead_further(given_events: list[Any], first: int, second: int) -> None:
    ordered = events(*sorted(given_events))
    narrow, wide = sorted((first, second))

    def count(window: int, *, is_strict: bool) -> int:
        return len(furthest(ordered, FunnelRules(steps=3, window=window, is_strict=is_strict)))

    assert count(narrow, is_strict=False) <= count(wide, is_strict=False)
    assert count(narrow, is_strict=True) <= count(narrow, is_strict=False)
