"""StickinessQuery: how many actors were active in how many intervals (docs/server.md#insights)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final

from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.dates import Period, previous
from endpoints_gitops.local.insights.questions import InsightRun, bucketed, within
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_OPERATORS: Final = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<", "exact": "=", "eq": "="}


def results(run: InsightRun) -> list[Json]:
    """The series of a StickinessQuery. Raises QueryRefused."""
    periods: list[tuple[Period, str | None]] = [(run.period(), None)]
    compare = run.node.get("compareFilter") or {}
    if compare.get("compare"):
        before = previous(periods[0][0], run.date_range, compare.get("compare_to"), run.now)
        periods = [(periods[0][0], "current"), (before, "previous")]
    return [
        _row(run, order, series, period, label)
        for period, label in periods
        for order, series in enumerate(run.node.get("series") or [])
    ]


def _row(
    run: InsightRun, order: int, series: Mapping[str, Any], period: Period, compare_label: str | None
) -> dict[str, Json]:
    is_cumulative = (run.node.get("stickinessFilter") or {}).get("computedAs") == "cumulative"
    counts = _counts(run, series, period)
    data = list(accumulate(reversed(counts)))[::-1] if is_cumulative else counts
    days = list(range(1, len(data) + 1))
    more = " or more" if is_cumulative else ""
    source = run.source(series)
    row: dict[str, Json] = {
        "count": sum(counts),
        "data": list(data),
        "days": list(days),
        "label": source.name,
        "labels": [f"{day} {period.interval}{'' if day == 1 else 's'}{more}" for day in days],
        "action": {"order": order, "type": source.type, "name": source.name, "id": source.id},
    }
    return row if compare_label is None else row | {"compare": True, "compare_label": compare_label}


def _counts(run: InsightRun, series: Mapping[str, Any], period: Period) -> list[int]:
    """The number of actors that were active in 1, 2, … intervals."""
    every = run.node.get("intervalCount")
    if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise NotComputed("intervalCount", repr(every))
    bucket = bucketed(period.interval)
    if every is not None:
        bucket = f"intDiv(age('{period.interval}', timestamp, {run.zoned(period.end)}), {every})"
    actor, only = _actor(series)
    own = [run.events_of(series), run.filters_of(series), *only]
    where = filters.all_of([*own, *run.common(), *within(period)])
    active = f"SELECT {actor} AS _actor, {bucket} AS _bucket FROM events WHERE {where} GROUP BY _actor, _bucket"  # noqa: S608
    active += f" HAVING {_criteria(run)}"
    intervals = f"SELECT _actor, count() AS _intervals FROM ({active}) GROUP BY _actor"  # noqa: S608
    rows = run.ask(f"SELECT _intervals, count() FROM ({intervals}) GROUP BY _intervals")  # noqa: S608
    by_intervals = {int(intervals): int(actors) for intervals, actors in rows}
    most = max(-(-len(period.buckets) // (every or 1)), *by_intervals, 0)
    return [by_intervals.get(number, 0) for number in range(1, most + 1)]


def _actor(series: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The column of the actor, and the condition that there is one."""
    math = series.get("math")
    if math in (None, "total", "dau"):
        return "person_id", []
    index = series.get("math_group_type_index")
    if math != "unique_group":
        raise NotComputed("math", f"{math!r} of a StickinessQuery")
    if index not in range(5) or isinstance(index, bool):
        raise NotComputed("math_group_type_index", f"{index!r} is not a number from 0 to 4")
    return f"$group_{index}", [f"notEmpty($group_{index})"]


def _criteria(run: InsightRun) -> str:
    """The condition on the number of events inside of an interval."""
    criteria = (run.node.get("stickinessFilter") or {}).get("stickinessCriteria")
    if not criteria:
        return "count() > 0"
    operator, value = (criteria.get(key) for key in ("operator", "value")) if isinstance(criteria, Mapping) else ("", 0)
    if str(operator) not in _OPERATORS or not isinstance(value, int) or isinstance(value, bool):
        raise NotComputed("stickinessFilter.stickinessCriteria", repr(criteria))
    return f"count() {_OPERATORS[str(operator)]} {value}"
