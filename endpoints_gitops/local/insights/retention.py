"""RetentionQuery: who came back after some intervals (docs/server.md#insights)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import NULL, OTHER, Breakdowns, Key, breakdowns_of, cohorts_of, parts_of
from endpoints_gitops.local.insights.dates import aligned, is_all, iso_text, later, parsed_date, refuse_repeated_hours
from endpoints_gitops.local.insights.questions import InsightRun, bucketed
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_PAGEVIEW: Final = {"id": "$pageview", "type": "events"}
_PERIODS: Final = ("Hour", "Day", "Week", "Month")
_RECURRING: Final = "retention_recurring"
_FIRST_TIME: Final = "retention_first_time"
_FIRST_EVER: Final = "retention_first_ever_occurrence"
_TYPES: Final = (_RECURRING, _FIRST_TIME, _FIRST_EVER)
_STORED_INTERVALS: Final = 8
_NULL_INTERVALS: Final = 7
_MOST_INTERVALS: Final = 366
_WINDOWS: Final = ("strict_calendar_dates", "24_hour_windows")
_ROLLING: Final = {"hour": ("hour", 1), "day": ("hour", 24), "week": ("day", 7), "month": ("day", 30)}
_BROKEN_DOWN: Final = ("event", "person", "group", "hogql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRange:
    """The intervals in which actors start, and the number of intervals that each row looks at. `end` is excluded.

    `brackets` are the last interval of each bracket; empty without them.
    """

    starts: Sequence[datetime]
    end: datetime
    width: int
    interval: str
    brackets: tuple[int, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The labels of the columns."""
        name = self.interval.capitalize()
        if not self.brackets:
            return [f"{name} {column}" for column in range(self.width)]
        firsts = [1, *(last + 1 for last in self.brackets[:-1])]
        spans = [
            f"{first}" if first == last else f"{first}-{last}"
            for first, last in zip(firsts, self.brackets, strict=True)
        ]
        return [f"{name} 0", *(f"{name} {span}" for span in spans)]


@dataclass(slots=True)
class _RetentionCells:
    """The actors of each start and column, and the sum of their values."""

    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    sums: defaultdict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))

    @property
    def started(self) -> int:
        return sum(count for (_, column), count in self.counts.items() if column == 0)

    def add(self, other: _RetentionCells) -> None:
        self.counts.update(other.counts)
        for cell, value in other.sums.items():
            self.sums[cell] += value


type _Cells = defaultdict[Key, _RetentionCells]


def results(run: InsightRun) -> list[Json]:
    """The rows of a RetentionQuery, one for each interval of the range. Raises QueryRefused."""
    return _Retention(run).results()


class _Retention:
    """The parts of one query."""

    def __init__(self, run: InsightRun) -> None:
        self.run = run
        self.filter: Mapping[str, Any] = run.node.get("retentionFilter") or {}
        self.kind = str(self.filter.get("retentionType") or _RECURRING)
        if self.kind not in _TYPES:
            raise NotComputed("retentionFilter.retentionType", repr(self.kind))
        if self.kind == _FIRST_EVER and run.node.get("properties"):
            raise NotComputed("properties", f"with {self.kind}: whether they choose the first event is not known")
        self.range = _range(run, self.filter)
        self.cohorts = cohorts_of(run.node.get("breakdownFilter") or {}, run.project)
        self.breakdowns = self.cohorts[0] if self.cohorts else self._breakdowns()
        self.target = self.filter.get("targetEntity") or _PAGEVIEW
        self.returning = self.filter.get("returningEntity") or _PAGEVIEW
        self.event, filtered = _entity(self.target, run)
        self.start = filters.all_of([self.event, filtered])
        self.back = filters.all_of(_entity(self.returning, run))
        self.aggregation = self._aggregation()

    def results(self) -> list[Json]:
        cells = self._cells()
        for breakdowns in self.cohorts[1:]:
            self.breakdowns = breakdowns
            cells |= self._cells()
        if self.breakdowns is None:
            return self._rows(cells[()], {})
        known = [key for key in cells if cells[key].started]
        ranked = sorted(known, key=lambda key: (-cells[key].started, "" if key[0] == NULL else key[0]))
        shown: dict[Key, _RetentionCells] = {}
        for index, key in enumerate(ranked):
            is_within = index < self.breakdowns.limit
            if not is_within and self.aggregation == "avg":
                raise NotComputed("retentionFilter.aggregationType", "averages of values beyond the breakdown limit")
            shown.setdefault(key if is_within else (OTHER,), _RetentionCells()).add(cells[key])
        return [
            row
            for key, of_key in shown.items()
            for row in self._rows(of_key, {"breakdown_value": key[0] if self.cohorts else self.breakdowns.value(key)})
        ]

    def _cells(self) -> _Cells:
        is_rolling = self._is_rolling()
        if self.aggregation is not None:
            self._refuse_with("aggregationType", "retentionCustomBrackets", "cumulative", "minimumOccurrences")
            return self._aggregated()
        if is_rolling:
            self._refuse_with("timeWindowMode", "retentionCustomBrackets", "minimumOccurrences")
            if self.cohorts:
                raise NotComputed(
                    "breakdownFilter", "cohorts with 24-hour windows, which the server does not tell apart"
                )
            return self._rolling()
        return self._calendar()

    def _minimum_occurrences(self) -> int:
        least = self.filter.get("minimumOccurrences") or 1
        if not isinstance(least, int) or isinstance(least, bool) or least < 1:
            raise NotComputed("retentionFilter.minimumOccurrences", repr(least))
        return least

    def _is_rolling(self) -> bool:
        """Whether windows begin with the actor's start. Raises QueryRefused for what the server refuses with it."""
        mode = self.filter.get("timeWindowMode") or _WINDOWS[0]
        if mode not in _WINDOWS:
            raise NotComputed("retentionFilter.timeWindowMode", repr(mode))
        if mode == _WINDOWS[0]:
            return False
        if self.filter.get("cumulative"):
            message = "Cumulative retention is not supported for 24 hour windows."
            raise QueryRefused(message, "retention_cumulative_24_hour_windows_unsupported")
        if self.aggregation is not None:
            message = "Sum and average aggregation are not supported for 24 hour windows."
            raise QueryRefused(message, "retention_24_hour_windows_property_aggregation_unsupported")
        return True

    def _refuse_with(self, key: str, *others: str) -> None:
        """Raise NotComputed for a setting together with others, which the server leaves out of account."""
        for other in others:
            value = self.filter.get(other)
            if (value and value != 1) or value is True:
                raise NotComputed(f"retentionFilter.{other}", f"together with {key}")

    def _breakdowns(self) -> Breakdowns | None:
        """The breakdown, or None. Raises NotComputed for several and for types whose rules are not known."""
        breakdown_filter = self.run.node.get("breakdownFilter") or {}
        parts = parts_of(breakdown_filter)
        if len(parts) > 1:
            raise NotComputed("breakdownFilter", "several of a RetentionQuery, of which the server reads one")
        for part in parts:
            of_type = part.get("type") or "event"
            if of_type not in _BROKEN_DOWN or part.get("normalize_url"):
                raise NotComputed("breakdownFilter", f"of the type {of_type} or normalized in a RetentionQuery")
        return breakdowns_of(breakdown_filter, is_endpoint=self.run.is_endpoint, display="")

    def _aggregation(self) -> str | None:
        """`sum` or `avg`; None if actors are only counted."""
        of_type = self.filter.get("aggregationType") or "count"
        if of_type not in ("count", "sum", "avg"):
            raise NotComputed("retentionFilter.aggregationType", repr(of_type))
        if of_type == "count" or not self.filter.get("aggregationProperty"):
            return None
        same = all(self.target.get(key) == self.returning.get(key) for key in ("id", "type"))
        if same and self.target.get("properties") != self.returning.get("properties"):
            raise NotComputed("retentionFilter.aggregationType", "of one event whose filters differ")
        return str(of_type)

    def _actor(self) -> tuple[str, list[str]]:
        index = self.run.node.get("aggregation_group_type_index")
        if index is None:
            return "person_id", []
        if index not in range(5) or isinstance(index, bool):
            raise NotComputed("aggregation_group_type_index", repr(index))
        return f"$group_{index}", [f"notEmpty($group_{index})"]

    @property
    def _since(self) -> str:
        return f"timestamp >= {filters.timestamp(self.range.starts[0])}" if self.range.starts else "1 = 2"

    def _per_actor(self, columns: Sequence[str], extra: Sequence[str]) -> str:
        """The query with a row for each actor, and for each of its breakdown values: `_value_0` and the columns.

        The value of the first event ever is that of this event; else the events of each value stand alone.
        """
        actor, only = self._actor()
        grouped, values = [actor], []
        if self.breakdowns is not None:
            (part,), (alias,) = self.breakdowns.expressions, self.breakdowns.aliases
            if self.kind == _FIRST_EVER:
                values = [f"argMinIf({part}, timestamp, {self.event}) AS {alias}"]
            else:
                values, grouped = [f"{part} AS {alias}"], [actor, alias]
        conditions = [filters.any_of([self.event, self.start, self.back]), *extra, *self.run.common(), *only]
        if self.breakdowns is not None:
            conditions += self.breakdowns.conditions
        source = f"events WHERE {filters.all_of(conditions)} GROUP BY {', '.join(grouped)}"
        return f"SELECT {', '.join([*values, *columns])} FROM {source}"  # noqa: S608 - translated parts

    def _first(self) -> str:
        """The column with the interval of the first event that counts as a start, as text; empty if there is none."""
        ever = _as_text(bucketed(self.range.interval, f"minIf(timestamp, {self.event})"))
        expression = {
            _RECURRING: "''",
            _FIRST_TIME: _as_text(bucketed(self.range.interval, f"minIf(timestamp, {self.start})")),
            _FIRST_EVER: f"if(argMinIf({self.start}, timestamp, {self.event}), {ever}, '')",
        }[self.kind]
        return f"{expression} AS _first"

    def _started(self, starts: Sequence[int], first: str) -> Sequence[int]:
        """The starts that count: all, or the one of the first event."""
        return starts if self.kind == _RECURRING else [index for index in starts if self._texts[index] == first]

    @cached_property
    def _texts(self) -> list[str]:
        """The intervals as texts, in the order of `range.starts`."""
        return [f"{start:%Y-%m-%d %H:%M:%S}" for start in self.range.starts]

    def _calendar(self) -> _Cells:
        """Actors by the interval of their start, and by the intervals in which they return, both from 1."""
        keys = self.breakdowns.aliases if self.breakdowns else []
        started = "_starts" if self.kind == _RECURRING else "arrayFilter(start -> start = _firstly, _starts)"
        known = f"if(has(_starts, 0) OR has(_all_returns, 0), [0], {started})"
        starts = ", ".join([*keys, f"arrayJoin({known}) AS _start", "arrayMin(_starts) AS _begun", "_returned"])
        columns = ", ".join([*keys, "_start", f"arrayJoin({self._columns()}) AS _column"])
        cell = ", ".join([*keys, "_start", "_column"])
        query = f"SELECT {starts} FROM ({self._intervals(keys)}) WHERE notEmpty(_starts)"  # noqa: S608 - translated parts
        query = f"SELECT {columns} FROM ({query})"  # noqa: S608
        query = f"SELECT {cell}, count() AS _actors FROM ({query}) GROUP BY {cell}"  # noqa: S608
        query = f"SELECT {', '.join([*keys, 'groupArray(tuple(_start, _column, _actors))'])} FROM ({query})"  # noqa: S608
        cells: _Cells = defaultdict(_RetentionCells)
        for *key, counts in self.run.ask(f"{query} GROUP BY {', '.join(keys)}" if keys else query):
            if any(start == 0 for start, _, _ in counts):
                zone = self.run.zone.key
                raise NotComputed(
                    "retentionFilter.period", f"{self.range.interval} where ClickHouse begins others ({zone})"
                )
            of_key = cells[tuple(map(str, key))]
            of_key.counts.update({(start - 1, column): count for start, column, count in counts})
        return cells

    def _intervals(self, keys: Sequence[str]) -> str:
        """The query with the intervals of each actor: those of its starts, those in which it returned often enough,
        and that of its first event, 0 if this is in none."""
        bucket, least = bucketed(self.range.interval), self._minimum_occurrences()
        all_returns = "groupUniqArrayIf" if least == 1 else "groupArrayIf"
        columns = [
            f"groupUniqArrayIf({bucket}, ({self.start}) AND {self._since}) AS _start_times",
            f"{all_returns}({bucket}, ({self.back}) AND {self._since}) AS _return_times",
            self._first(),
        ]
        actors = self._per_actor(columns, [f"timestamp < {filters.timestamp(self.range.end)}"])
        often = f"arrayFilter(index -> countEqual(_all_returns, index) >= {least}, _all_returns)"
        numbers = [
            f"arrayDistinct(arrayMap(at -> {self._number(_as_text('at'))}, _start_times)) AS _starts",
            f"arrayMap(at -> {self._number(_as_text('at'))}, _return_times) AS _all_returns",
            f"arrayDistinct({'_all_returns' if least == 1 else often}) AS _returned",
            f"{self._number('_first')} AS _firstly",
        ]
        return f"SELECT {', '.join([*keys, *numbers])} FROM ({actors})"  # noqa: S608 - translated parts

    def _number(self, text: str) -> str:
        """The number of the interval with this text; 0 for a text of none."""
        texts = ", ".join(map(filters.text, self._texts)) or "''"
        numbers = ", ".join(map(str, range(1, len(self._texts) + 1))) or "0"
        return f"transform({text}, [{texts}], [{numbers}], 0)"

    def _columns(self) -> str:
        """The columns in which an actor counts: brackets are counted from its first start in the range."""
        if self.range.brackets:
            brackets, last = list(self.range.brackets), self.range.brackets[-1]
            within = f"arrayFilter(index -> index > _begun AND index - _begun <= {last}, _returned)"
            after = f"arrayMap(index -> arrayFirstIndex(last -> index - _begun <= last, {brackets}), {within})"
        else:
            within = f"arrayFilter(index -> index > _start AND index - _start < {self.range.width}, _returned)"
            after = f"arrayMap(index -> index - _start, {within})"
        if self.filter.get("cumulative"):
            return f"range(arrayMax(arrayPushFront({after}, 0)) + 1)"
        return f"arrayDistinct(arrayPushFront({after}, 0))"

    def _aggregated(self) -> _Cells:
        """The same with the values of a property: those of the returns, and of the start if it is the same event."""
        of_type = str(self.filter.get("aggregationPropertyType") or "event")
        if of_type not in ("event", "person"):
            raise NotComputed("retentionFilter.aggregationPropertyType", repr(of_type))
        value = f"ifNull(toFloat({filters.field(of_type, str(self.filter['aggregationProperty']))}), 0)"
        item = f"tuple({bucketed(self.range.interval)}, {value}, timestamp)"
        columns = [
            f"groupArrayIf({item}, ({self.start}) AND {self._since}) AS _starts",
            f"groupArrayIf({item}, ({self.back}) AND {self._since}) AS _returns",
            self._first(),
        ]
        indexes = {timestamp: index for index, timestamp in enumerate(self.range.starts)}
        is_same = all(self.target.get(key) == self.returning.get(key) for key in ("id", "type"))
        cells: _Cells = defaultdict(_RetentionCells)
        for *key, starts, returns, first in self.run.ask(
            self._per_actor(columns, [f"timestamp < {filters.timestamp(self.range.end)}"])
        ):
            own = cells[tuple(map(str, key))]
            begun = [
                (indexes[self.run.local(bucket)], float(number), self.run.local(at)) for bucket, number, at in starts
            ]
            back = [
                (indexes[self.run.local(bucket)], float(number), self.run.local(at)) for bucket, number, at in returns
            ]
            for start in self._started(sorted({index for index, _, _ in begun}), first):
                since = min(at for index, _, at in begun if index == start)
                values = [(0, number if is_same else 0.0) for index, number, _ in begun if index == start]
                values += [
                    (index - start, number)
                    for index, number, at in back
                    if index > start or (index == start and at > since and not is_same)
                ]
                for column in {column for column, _ in values}:
                    own.counts[start, column] += 1
                for column, number in values:
                    own.sums[start, column] += number
        return cells

    def _rolling(self) -> _Cells:
        """Actors by the windows since their start, in hours or days: one start each."""
        value = self.breakdowns.expressions[0] if self.breakdowns else "''"
        flags = ", ".join(f"if({condition}, 1, 0)" for condition in (self.event, self.start, self.back))
        actor, only = self._actor()
        conditions = [filters.any_of([self.event, self.start, self.back]), *self.run.common(), *only]
        if self.kind == _RECURRING:
            conditions += [self._since, f"timestamp < {filters.timestamp(self.range.end)}"]
        source = f"events WHERE {filters.all_of(conditions)} GROUP BY {actor}"
        rows = self.run.ask(f"SELECT groupArray(tuple(timestamp, {flags}, {value})) FROM {source}")  # noqa: S608
        unit, count = _ROLLING[self.range.interval]
        cells: _Cells = defaultdict(_RetentionCells)
        for (events,) in rows:
            items = [_RollingEvent(self.run.local(at), *flags) for at, *flags in events]
            began = self._began(items)
            if began is None or not self.range.starts or began < self.range.starts[0]:
                continue
            start = _crossed(self.range.starts[0], began, unit) // count
            for key, own in self._by_value([item for item in items if item.at >= began]).items():
                after = {_crossed(began, item.at, unit) // count for item in own if item.is_return}
                for column in {0, *after}:
                    cells[key].counts[start, column] += 1
        return cells

    def _began(self, events: Sequence[_RollingEvent]) -> datetime | None:
        """When an actor starts; None for the first event ever if it does not match."""
        starts = [item.at for item in events if item.is_start]
        if not starts:
            return None
        if self.kind == _FIRST_EVER and min(item.at for item in events if item.is_event) < min(starts):
            return None
        return min(starts)

    def _by_value(self, events: Sequence[_RollingEvent]) -> dict[Key, list[_RollingEvent]]:
        if self.breakdowns is None:
            return {(): list(events)}
        if self.kind == _FIRST_EVER:
            first = min((item for item in events if item.is_event), key=lambda item: item.at)
            return {(first.value,): list(events)}
        by_value: dict[Key, list[_RollingEvent]] = {}
        for item in events:
            if item.is_start or item.is_return:
                by_value.setdefault((item.value,), []).append(item)
        return by_value

    def _rows(self, cells: _RetentionCells, more: Mapping[str, Json]) -> list[Json]:
        name, labels = self.range.interval.capitalize(), self.range.labels
        return [
            {
                "values": [self._value(cells, (index, column), label) for column, label in enumerate(labels)],
                "label": f"{name} {index}",
                "date": iso_text(start),
                **more,
            }
            for index, start in enumerate(self.range.starts)
        ]

    def _value(self, cells: _RetentionCells, cell: tuple[int, int], label: str) -> dict[str, Json]:
        count = cells.counts[cell]
        if self.aggregation is None:
            return {"count": count, "label": label}
        total = cells.sums[cell]
        return {
            "count": count,
            "aggregation_value": total / count if self.aggregation == "avg" and count else total,
            "label": label,
        }


@dataclass(frozen=True, slots=True)
class _RollingEvent:
    """An event of an actor, and whether it is the event of the start, matches its filters too, and is a return."""

    at: datetime
    is_event: int
    is_start: int
    is_return: int
    value: str


def _as_text(time: str) -> str:
    """The HogQL of the text of a date or time, in its zone."""
    return f"formatDateTime({time}, '%Y-%m-%d %H:%i:%S')"


def _crossed(since: datetime, until: datetime, unit: str) -> int:
    """How many hours or days begin between two times."""
    return (aligned(until, unit) - aligned(since, unit)) // timedelta(**{f"{unit}s": 1})


def _range(run: InsightRun, retention: Mapping[str, Any]) -> RetentionRange:
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
    brackets = _brackets(retention)
    to = run.date_range.get("date_to")
    week_start = run.project.week_start_day
    last = parsed_date("dateRange.date_to", to, run.now, week_start=week_start).timestamp if to else run.now
    end = later(aligned(last, interval, week_start), interval)
    given = run.date_range.get("date_from")
    if not given:
        starts = [later(end, interval, -count) for count in range(width, 0, -1)]
        refuse_repeated_hours([*starts, end], interval)
        return RetentionRange(starts=starts, end=end, width=width, interval=interval, brackets=brackets)
    parsed = parsed_date("dateRange.date_from", given, run.now, week_start=week_start)
    first = aligned(parsed.timestamp, interval, week_start)
    starts = []
    while (start := later(first, interval, len(starts))) < end:
        starts.append(start)
        if len(starts) > _MOST_INTERVALS:
            raise NotComputed("dateRange", f"the range has more than {_MOST_INTERVALS} intervals")
    refuse_repeated_hours([*starts, end], interval)
    return RetentionRange(starts=starts, end=end, width=width, interval=interval, brackets=brackets)


def _brackets(retention: Mapping[str, Any]) -> tuple[int, ...]:
    """The last interval of each custom bracket."""
    sizes = retention.get("retentionCustomBrackets") or []
    if not isinstance(sizes, list) or not all(
        isinstance(size, int | float) and not isinstance(size, bool) and 1 <= size <= _MOST_INTERVALS for size in sizes
    ):
        raise NotComputed("retentionFilter.retentionCustomBrackets", repr(sizes))
    return tuple(accumulate(int(size) for size in sizes))


def _entity(entity: Mapping[str, Any], run: InsightRun) -> tuple[str, str]:
    """The conditions of the event of an entity, and of its filters."""
    filtered = filters.properties(entity.get("properties") or [], run.context)
    event = entity.get("id")
    if entity.get("type") == "actions" or entity.get("kind") == "ActionsNode":
        return f"({run.action(event).condition})", filtered
    if entity.get("type") not in (None, "events") or entity.get("kind") not in (None, "EventsNode"):
        raise NotComputed("retentionFilter", f"entities of the type {entity.get('type')}")
    if event is not None and not isinstance(event, str):
        raise NotComputed("retentionFilter", f"the entity {event!r}")
    condition = filters.TRUE if event is None else f"event = {filters.text(event)}"
    return condition, filtered
