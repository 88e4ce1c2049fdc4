"""The measurements of a series (`math`) as HogQL: rows of bucket, breakdown values and number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from endpoints_gitops.hogql.printer import name
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import Breakdowns
from endpoints_gitops.local.insights.dates import Period, later
from endpoints_gitops.local.insights.questions import InsightRun, bucketed, within
from endpoints_gitops.local.insights.refused import NotComputed

_AGGREGATES: Final = {
    "avg": "avg",
    "sum": "sum",
    "min": "min",
    "max": "max",
    "median": "quantile(0.5)",
    "p75": "quantile(0.75)",
    "p90": "quantile(0.9)",
    "p95": "quantile(0.95)",
    "p99": "quantile(0.99)",
}
_PER_ACTOR: Final = "_count_per_actor"
_WINDOWS: Final = {"weekly_active": 7, "monthly_active": 30}
_FIRST: Final = ("first_time_for_user", "first_matching_event_for_user")
_DAYS_OF: Final = {"minute": 0, "hour": 0, "day": 1, "week": 7, "month": 30}
_ONCE: Final = ("dau", "unique_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A series in a period. `is_total`: one number for the period; `is_cumulative`: actors count once."""

    series: Mapping[str, Any]
    run: InsightRun
    period: Period
    breakdowns: Breakdowns | None
    is_total: bool
    is_cumulative: bool

    @property
    def math(self) -> str:
        return str(self.series.get("math") or "total")

    @property
    def bucket(self) -> list[str]:
        return [] if self.is_total else [f"{bucketed(self.period.interval)} AS _bucket"]

    @property
    def values(self) -> list[str]:
        return [] if self.breakdowns is None else self.breakdowns.columns()

    @property
    def keys(self) -> list[str]:
        """The columns that rows are grouped by."""
        return ([] if self.is_total else ["_bucket"]) + columns_of(self.breakdowns)

    def conditions(self) -> list[str]:
        """The conditions for the events of the series, without the period."""
        own = [self.run.events_of(self.series), self.run.filters_of(self.series)]
        group = [f"notEmpty({self.group()})"] if self.math == "unique_group" else []
        return [*own, *self.run.common(), *group, *(self.breakdowns.conditions if self.breakdowns else ())]

    def group(self) -> str:
        """The column of the group that is counted."""
        index = self.series.get("math_group_type_index")
        if index not in range(5) or isinstance(index, bool):
            raise NotComputed("math_group_type_index", f"{index!r} is not a number from 0 to 4")
        return f"$group_{index}"


def columns_of(breakdowns: Breakdowns | None) -> list[str]:
    """The columns of the breakdown values."""
    return [] if breakdowns is None else breakdowns.aliases


def event_rows(measured: Measured) -> str:
    """The query of a series: `_bucket` (not for a total), the breakdown values, and `_value`. Raises NotComputed."""
    math = measured.math
    if math in _WINDOWS and _DAYS_OF[measured.period.interval] < _WINDOWS[math]:
        return _active(measured, _WINDOWS[math])
    if math in _FIRST:
        return _first_times(measured)
    if math.endswith(_PER_ACTOR) and math.removesuffix(_PER_ACTOR) in _AGGREGATES:
        return _per_actor(measured, _AGGREGATES[math.removesuffix(_PER_ACTOR)])
    if math in _AGGREGATES and measured.series.get("math_property") == "$session_duration":
        return _per_session(measured, _AGGREGATES[math])
    if measured.is_cumulative and math in _ONCE:
        return _once(measured, "person_id" if math == "dau" else measured.group())
    return _plain(measured, _aggregation(measured))


def _plain(measured: Measured, aggregation: str) -> str:
    where = filters.all_of([*measured.conditions(), *within(measured.period)])
    selected = [*measured.bucket, *measured.values, f"ifNull({aggregation}, 0) AS _value"]
    return _select(selected, f"events WHERE {where}", measured.keys)


def _select(columns: list[str], source: str, keys: list[str]) -> str:
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {', '.join(columns)} FROM {source}{grouped}"  # noqa: S608 - translated parts


def _aggregation(measured: Measured) -> str:
    """The aggregation of the events of a bucket. Raises NotComputed for an unknown `math`."""
    math, series = measured.math, measured.series
    if math == "total":
        return "count()"
    if math == "dau" or math in _WINDOWS:
        return "count(DISTINCT person_id)"
    if math == "unique_session":
        return "count(DISTINCT $session_id)"
    if math == "unique_group":
        return f"count(DISTINCT {measured.group()})"
    if math == "hogql":
        return filters.expression("math_hogql", series.get("math_hogql"))
    if math not in _AGGREGATES:
        raise NotComputed("math", repr(math))
    return f"{_AGGREGATES[math]}(toFloat({_math_property(series)}))"


def _math_property(series: Mapping[str, Any]) -> str:
    key, of_type = series.get("math_property"), series.get("math_property_type")
    if not key:
        raise NotComputed("math", f"{series.get('math')!r} without math_property")
    if key == "$time" or of_type not in (None, "event_properties", "person_properties"):
        raise NotComputed("math_property", f"{key} of the type {of_type}")
    return f"{'person.' if of_type == 'person_properties' else ''}properties.{name(str(key))}"


def _per_actor(measured: Measured, aggregate: str) -> str:
    counted = _select(
        [*measured.bucket, *measured.values, "person_id AS _actor", "count() AS _count"],
        f"events WHERE {filters.all_of([*measured.conditions(), *within(measured.period)])}",
        [*measured.keys, "_actor"],
    )
    return _select(
        [*measured.keys, f"ifNull({aggregate}(toFloat(_count)), 0) AS _value"], f"({counted})", measured.keys
    )


def _per_session(measured: Measured, aggregate: str) -> str:
    """The durations of sessions, each once in a bucket."""
    lasted = _select(
        [*measured.bucket, *measured.values, "$session_id AS _session", "any(session.$session_duration) AS _seconds"],
        f"events WHERE {filters.all_of([*measured.conditions(), *within(measured.period)])}",
        [*measured.keys, "_session"],
    )
    return _select(
        [*measured.keys, f"ifNull({aggregate}(toFloat(_seconds)), 0) AS _value"], f"({lasted})", measured.keys
    )


def _once(measured: Measured, actor: str) -> str:
    """Each actor in its first bucket only, as the cumulative display counts them."""
    values = columns_of(measured.breakdowns)
    first = _select(
        [f"min({bucketed(measured.period.interval)}) AS _bucket", *measured.values, f"{actor} AS _actor"],
        f"events WHERE {filters.all_of([*measured.conditions(), *within(measured.period)])}",
        [*values, "_actor"],
    )
    return _select(["_bucket", *values, "count() AS _value"], f"({first})", ["_bucket", *values])


def _first_times(measured: Measured) -> str:
    """The persons by the bucket of their first event. Filters apply to that event, or choose it."""
    if measured.breakdowns is not None and measured.breakdowns.names:
        raise NotComputed("math", f"{measured.math} with a breakdown of cohorts")
    event = measured.run.events_of(measured.series)
    filtered = filters.all_of([measured.run.filters_of(measured.series), *measured.run.common()])
    until = f"timestamp <= {filters.timestamp(measured.period.end)}"
    is_matching = measured.math == "first_matching_event_for_user"
    values = [
        f"argMin({part}, timestamp) AS {alias}"
        for part, alias in zip(
            measured.breakdowns.expressions if measured.breakdowns else (), columns_of(measured.breakdowns), strict=True
        )
    ]
    matching = "min(timestamp)" if is_matching else f"minIf(timestamp, {filtered})"
    found = _select(
        ["person_id AS _actor", "min(timestamp) AS _first", f"{matching} AS _matching", *values],
        f"events WHERE {filters.all_of([event, until, *([filtered] if is_matching else [])])}",
        ["_actor"],
    )
    bucket = [] if measured.is_total else [f"{bucketed(measured.period.interval, '_first')} AS _bucket"]
    where = f"_first = _matching AND _first >= {filters.timestamp(measured.period.lower)}"
    columns = [*bucket, *columns_of(measured.breakdowns), "count() AS _value"]
    return _select(columns, f"({found}) WHERE {where}", measured.keys)


def _active(measured: Measured, days: int) -> str:
    """The persons of the last days up to the end of each bucket; for a total, of the last days of the period."""
    period = measured.period
    values = measured.values
    if measured.is_total:
        since = period.end.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
        window = [f"timestamp > {filters.timestamp(since)}", f"timestamp <= {filters.timestamp(period.end)}"]
        where = filters.all_of([*measured.conditions(), *window])
        return _select([*values, "count(DISTINCT person_id) AS _value"], f"events WHERE {where}", measured.keys)
    starts = period.buckets
    ends = [later(start, period.interval) for start in starts]
    since = ends[0] - timedelta(days=days)
    window = [f"timestamp > {filters.timestamp(since)}", f"timestamp <= {filters.timestamp(period.end)}"]
    events = _select(
        ["timestamp AS _at", "person_id AS _actor", *values],
        f"events WHERE {filters.all_of([*measured.conditions(), *window])}",
        [],
    )
    pairs = ", ".join(
        f"({measured.run.zoned(start)}, {measured.run.zoned(end)})" for start, end in zip(starts, ends, strict=True)
    )
    windows = f"SELECT arrayJoin([{pairs}]) AS _pair"
    ends_of = _select(["_pair.1 AS _bucket", "_pair.2 AS _end"], f"({windows})", [])
    joined = f"({events}) AS e CROSS JOIN ({ends_of}) AS w"
    where = f"e._at <= w._end AND e._at > w._end - toIntervalDay({days})"
    keys = [f"e.{alias} AS {alias}" for alias in columns_of(measured.breakdowns)]
    return _select(
        ["w._bucket AS _bucket", *keys, "count(DISTINCT e._actor) AS _value"], f"{joined} WHERE {where}", measured.keys
    )
