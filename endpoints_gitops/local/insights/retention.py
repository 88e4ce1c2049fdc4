"""RetentionQuery: who came back after some intervals (docs/server.md#insights)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import NULL, OTHER, Breakdowns, Key, breakdowns_of, parts_of
from endpoints_gitops.local.insights.dates import aligned, is_all, later, parsed_date
from endpoints_gitops.local.insights.questions import InsightRun, bucketed, moment_of
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_PAGEVIEW: Final = {"id": "$pageview", "type": "events"}
_PERIODS: Final = ("Hour", "Day", "Week", "Month")
_RECURRING: Final = "retention_recurring"
_FIRST: Final = ("retention_first_time", "retention_first_ever_occurrence")
_STORED_INTERVALS: Final = 8
_NULL_INTERVALS: Final = 7
_MOST_INTERVALS: Final = 366


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRange:
    """The intervals in which actors start, and the number of intervals that each row has. `end` is excluded."""

    starts: Sequence[datetime]
    end: datetime
    width: int
    interval: str


def results(run: InsightRun) -> list[Json]:
    """The rows of a RetentionQuery, one for each interval of the range. Raises QueryRefused."""
    of = _range(run)
    breakdowns = _breakdowns(run)
    counts: dict[Key, Counter[tuple[int, int]]] = {}
    for key, started, returned, actors in _actors(run, of, breakdowns):
        counter = counts.setdefault(key, Counter())
        for start in started:
            for column in _columns(run, of, start, returned):
                counter[start, column] += actors
    if breakdowns is None:
        return _rows(of, counts.get((), Counter()), {})
    shown: dict[Key, Counter[tuple[int, int]]] = {}
    for index, key in enumerate(sorted(counts, key=lambda key: _rank(key, counts[key]))):
        shown.setdefault(key if index < breakdowns.limit else (OTHER,), Counter()).update(counts[key])
    return [row for key in shown for row in _rows(of, shown[key], {"breakdown_value": breakdowns.value(key)})]


def _rank(key: Key, counts: Counter[tuple[int, int]]) -> tuple[int, str]:
    """By the sum of the first column, then by value."""
    started = sum(count for (_, column), count in counts.items() if column == 0)
    return -started, "" if key[0] == NULL else key[0]


def _filter(run: InsightRun) -> Mapping[str, Any]:
    retention: Mapping[str, Any] = run.node.get("retentionFilter") or {}
    return retention


def _range(run: InsightRun) -> RetentionRange:
    retention = _filter(run)
    period = retention.get("period") or "Day"
    if period not in _PERIODS:
        raise NotComputed("retentionFilter.period", repr(period))
    stored = (run.stored.get("retentionFilter") or {}).get("totalIntervals", _STORED_INTERVALS)
    width = _NULL_INTERVALS if stored is None else stored
    if not isinstance(width, int | float) or isinstance(width, bool) or not 1 <= width <= _MOST_INTERVALS:
        raise NotComputed("retentionFilter.totalIntervals", repr(width))
    interval, width = str(period).lower(), int(width)
    if is_all(run.date_range) or run.date_range.get("explicitDate"):
        raise NotComputed("dateRange", "all and explicitDate of a RetentionQuery")
    to = run.date_range.get("date_to")
    last = parsed_date("dateRange.date_to", to, run.now).moment if to else run.now
    end = later(aligned(last, interval), interval)
    given = run.date_range.get("date_from")
    if not given:
        starts = [later(end, interval, -count) for count in range(width, 0, -1)]
        return RetentionRange(starts=starts, end=end, width=width, interval=interval)
    first = aligned(parsed_date("dateRange.date_from", given, run.now).moment, interval)
    starts = []
    while (start := later(first, interval, len(starts))) < end:
        starts.append(start)
        if len(starts) > _MOST_INTERVALS:
            raise NotComputed("dateRange", f"the range has more than {_MOST_INTERVALS} intervals")
    _refuse_events_after(run, end)
    return RetentionRange(starts=starts, end=end, width=width, interval=interval)


def _refuse_events_after(run: InsightRun, end: datetime) -> None:
    """Raise NotComputed if returns after the range could count: whether the server counts them is not known."""
    ((count,),) = run.ask(f"SELECT count() FROM events WHERE timestamp >= {filters.moment(end)}")  # noqa: S608
    if count:
        raise NotComputed("dateRange.date_from", "of a RetentionQuery that ends before the last event")


def _breakdowns(run: InsightRun) -> Breakdowns | None:
    """The breakdown by a person property, or None. Raises NotComputed for others, whose rules are not known."""
    breakdown_filter = run.node.get("breakdownFilter") or {}
    parts = parts_of(breakdown_filter)
    if len(parts) > 1 or any(part.get("type") != "person" for part in parts):
        raise NotComputed("breakdownFilter", "of a RetentionQuery, but one of a person property")
    return breakdowns_of(breakdown_filter, is_endpoint=run.is_endpoint, display="")


def _entity(entity: Mapping[str, Any], run: InsightRun) -> tuple[str, str]:
    """The conditions of the event of an entity, and of its filters."""
    if entity.get("type") not in (None, "events") or entity.get("kind") not in (None, "EventsNode"):
        raise NotComputed("retentionFilter", "actions are not known to it")
    event = entity.get("id")
    if event is not None and not isinstance(event, str):
        raise NotComputed("retentionFilter", f"the entity {event!r}")
    condition = filters.TRUE if event is None else f"event = {filters.text(event)}"
    return condition, filters.properties(entity.get("properties") or [], run.now)


def _actors(
    run: InsightRun, of: RetentionRange, breakdowns: Breakdowns | None
) -> Iterator[tuple[Key, list[int], list[int], int]]:
    """The breakdown value, the indexes of starts and of returns, and how many actors have these."""
    retention = _filter(run)
    event, filtered = _entity(retention.get("targetEntity") or _PAGEVIEW, run)
    start = filters.all_of([event, filtered])
    returning = filters.all_of(_entity(retention.get("returningEntity") or _PAGEVIEW, run))
    in_range = f"timestamp >= {filters.moment(of.starts[0])}" if of.starts else "1 = 2"
    bucket = bucketed(of.interval)
    least = retention.get("minimumOccurrences") or 1
    kind = str(retention.get("retentionType") or _RECURRING)
    actor, only = _actor(run)
    keys = [] if breakdowns is None else breakdowns.aliases
    values = (
        []
        if breakdowns is None
        else [f"any({part}) AS {alias}" for part, alias in zip(breakdowns.expressions, keys, strict=True)]
    )
    never = "toDateTime('1970-01-01 00:00:00')"
    ever = bucketed(of.interval, f"minIf(timestamp, {event})")
    firsts = {
        _RECURRING: never,
        _FIRST[0]: bucketed(of.interval, f"minIf(timestamp, {start})"),
        _FIRST[1]: f"if(argMinIf({start}, timestamp, {event}), {ever}, {never})",
    }
    if kind not in firsts:
        raise NotComputed("retentionFilter.retentionType", repr(kind))
    if kind == _FIRST[1] and run.node.get("properties"):
        raise NotComputed("properties", f"with {kind}: whether they choose the first event is not known")
    columns = [
        *values,
        f"arraySort(groupUniqArrayIf({bucket}, ({start}) AND {in_range})) AS _starts",
        f"arraySort(groupArrayIf({bucket}, ({returning}) AND {in_range})) AS _returns",
        f"toDateTime({firsts[kind]}) AS _first",
    ]
    until = f"timestamp < {filters.moment(of.end)}"
    conditions = [until, filters.any_of([event, start, returning]), *run.common(), *only]
    events = f"events WHERE {filters.all_of(conditions)} GROUP BY {actor}"
    actors = f"SELECT {', '.join(columns)} FROM {events}"  # noqa: S608 - translated parts
    grouped = ", ".join([*keys, "_starts", "_returns", "_first"])
    rows = run.ask(f"SELECT {grouped}, count() FROM ({actors}) WHERE notEmpty(_starts) GROUP BY {grouped}")  # noqa: S608
    indexes = {moment: index for index, moment in enumerate(of.starts)}
    for *key, starts, returns, first, count in rows:
        started = [indexes[moment_of(item)] for item in starts]
        if kind != _RECURRING:
            index = indexes.get(moment_of(first))
            started = [] if index is None or index not in started else [index]
        often = Counter(indexes[moment_of(item)] for item in returns)
        yield (
            tuple(map(str, key)),
            started,
            sorted(index for index, times in often.items() if times >= least),
            int(count),
        )


def _actor(run: InsightRun) -> tuple[str, list[str]]:
    index = run.node.get("aggregation_group_type_index")
    if index is None:
        return "person_id", []
    if index not in range(5) or isinstance(index, bool):
        raise NotComputed("aggregation_group_type_index", repr(index))
    return f"$group_{index}", [f"notEmpty($group_{index})"]


def _columns(run: InsightRun, of: RetentionRange, start: int, returned: Sequence[int]) -> list[int]:
    """The columns of a row in which an actor counts."""
    after = [index - start for index in returned if 0 < index - start < of.width]
    if _filter(run).get("cumulative"):
        return list(range(max(after, default=0) + 1))
    return [0, *after]


def _rows(of: RetentionRange, counts: Counter[tuple[int, int]], more: Mapping[str, Json]) -> list[Json]:
    name = of.interval.capitalize()
    return [
        {
            "values": [{"count": counts[index, column], "label": f"{name} {column}"} for column in range(of.width)],
            "label": f"{name} {index}",
            "date": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            **more,
        }
        for index, start in enumerate(of.starts)
    ]
