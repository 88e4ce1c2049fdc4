"""FunnelsQuery: how many actors went through the steps, as steps, per entrance, or how long it took
(docs/server.md#insights)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from operator import add
from statistics import fmean, median
from typing import Any, Final

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import NULL, OTHER, Breakdowns, Key, breakdowns_of, parts_of
from endpoints_gitops.local.insights.dates import Period, aligned, day_text
from endpoints_gitops.local.insights.funnel_paths import (
    ORDERED,
    ORDERS,
    STRICT,
    UNORDERED,
    FunnelEvent,
    FunnelPath,
    FunnelRules,
    entrances,
    furthest,
    thinned,
)
from endpoints_gitops.local.insights.funnel_sql import MOST_CODED, code_of, overlapping, paths_of
from endpoints_gitops.local.insights.questions import InsightRun, bucketed
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 31 * 86_400}
_WINDOW: Final = (14, "day")
_LONGEST_WINDOW: Final = 100 * 366 * 86_400
_ATTRIBUTIONS: Final = ("first_touch", "last_touch", "all_events", "step")
_VIEWS: Final = ("steps", "trends", "time_to_convert")
_BROKEN_DOWN: Final = ("event", "person", "group", "hogql", "event_metadata")
_LIMITED: Final = ("event", "person", "group")
_MOST_UNLIMITED: Final = 100
_MOST_TREND_ROWS: Final = 1_000
_BIN_SECONDS: Final = 60
_MOST_BINS: Final = {False: 60, True: 90}
_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def results(run: InsightRun) -> Json:
    """The steps of a FunnelsQuery, a list of steps for each breakdown value, conversion rates per interval of entrance,
    or an object with a histogram of the time to convert. Raises QueryRefused."""
    return _Funnel(run).results()


@dataclass(frozen=True, slots=True)
class _Conversions:
    """How many actors reached each step, and for each pair of steps that the view needs the microseconds between them,
    one number for each actor that came so far."""

    reached: Sequence[int]
    spans: Sequence[Sequence[int]]

    def __add__(self, other: _Conversions) -> _Conversions:
        return _Conversions(
            [one + more for one, more in zip(self.reached, other.reached, strict=True)],
            [[*one, *more] for one, more in zip(self.spans, other.spans, strict=True)],
        )


class _Funnel:
    """The parts of one query that every view needs."""

    def __init__(self, run: InsightRun) -> None:
        self.run = run
        self.filter: Mapping[str, Any] = run.node.get("funnelsFilter") or {}
        self.series: list[Mapping[str, Any]] = list(run.node.get("series") or [])
        self.view = str(self.filter.get("funnelVizType") or "steps")
        if self.view not in _VIEWS:
            raise NotComputed("funnelsFilter.funnelVizType", repr(self.view))
        self.order = str(self.filter.get("funnelOrderType") or ORDERED)
        if self.order not in ORDERS:
            raise NotComputed("funnelsFilter.funnelOrderType", repr(self.order))
        if len(self.series) < 2:
            raise QueryRefused("Funnels require at least two steps.", "funnels_require_at_least_two_steps")
        self.first, self.last = self._step_range()
        self.exclusions: list[Mapping[str, Any]] = list(self.filter.get("exclusions") or [])
        self._check_exclusions()
        self._check_optional_steps()
        self.attribution = str(self.filter.get("breakdownAttributionType") or "first_touch")
        if self.attribution not in _ATTRIBUTIONS:
            raise NotComputed("funnelsFilter.breakdownAttributionType", repr(self.attribution))
        self.breakdowns, self.breakdown_type = self._breakdowns()
        self.rules = self._rules()

    def results(self) -> Json:
        if self.view == "trends":
            return self._trends()
        conversions = self._conversions_in_sql() if self._is_computed_in_sql() else self._conversions()
        if self.view == "time_to_convert":
            return self._time_to_convert([span for of_value in conversions.values() for span in of_value.spans[0]])
        if self.breakdowns is None:
            return list(self._steps(conversions[()])) if conversions else []
        return self._by_value(conversions, self.breakdowns)

    @property
    def _pairs(self) -> Sequence[tuple[int, int]]:
        """The steps (from 0) between which the view needs the times."""
        return [(self.first, self.last)] if self.view == "time_to_convert" else list(pairwise(range(len(self.series))))

    def _conversions(self, having: str = filters.TRUE) -> dict[Key, _Conversions]:
        """The conversions by breakdown value; `having` chooses actors."""
        steps, pairs = len(self.series), self._pairs
        return {
            value: _Conversions(
                reached=[sum(step in path.reached for path in paths) for step in range(1, steps + 1)],
                spans=[
                    [path.times[last] - path.times[first] for path in paths if len(path.times) > last]
                    for first, last in pairs
                ],
            )
            for value, paths in self._paths(having).items()
        }

    def _paths(self, having: str = filters.TRUE) -> dict[Key, list[FunnelPath]]:
        """The paths of the actors that entered, by breakdown value; `having` chooses actors."""
        paths: dict[Key, list[FunnelPath]] = {}
        for events in self._actors(having):
            kept = thinned(events)
            for value, own in self._attributed(events, kept):
                path = furthest(own, self.rules, value)
                if path is not None:
                    paths.setdefault(value, []).append(path)
        return paths

    def _is_computed_in_sql(self) -> bool:
        is_plain = self.order == ORDERED and not self.exclusions and not self.rules.optional
        is_attributed = self.breakdowns is None or self.attribution == "first_touch"
        return is_plain and is_attributed and len(self.series) <= MOST_CODED

    def _conversions_in_sql(self) -> dict[Key, _Conversions]:
        """As `_conversions`, counted by ClickHouse but for the actors whose steps overlap."""
        steps = [self._condition(step) for step in self.series]
        code = code_of(steps, self.run.period().start)
        events = [f"{self._actor()[0]} AS _actor", f"{code} AS _code"]
        columns, value = ["arraySort(groupArray(_code)) AS _codes"], "[]"
        if self.breakdowns is not None:
            nothing = f"[{', '.join([filters.text(NULL)] * len(self.breakdowns.expressions))}]"
            events.append(f"[{', '.join(self.breakdowns.expressions)}] AS _value")
            columns.append(f"argMinIf(_value, _code, _value != {nothing}) AS _known")
            value = f"if(empty(_known), {nothing}, _known)"
        where = filters.all_of([*self._where(), filters.any_of(steps)])
        selected = f"SELECT {', '.join(events)} FROM events WHERE {where}"  # noqa: S608 - translated parts
        actors = f"SELECT {', '.join(columns)} FROM ({selected}) GROUP BY _actor"  # noqa: S608
        paths = paths_of(actors, self.rules, f"{value} AS _of", f"{overlapping('_codes', len(steps))} AS _overlaps")
        counts = [f"countIf(_furthest >= {step} AND NOT _overlaps)" for step in range(1, len(steps) + 1)]
        spans = [
            f"groupArrayIf(_at_{last + 1} - _at_{first + 1}, _furthest > {last} AND NOT _overlaps)"
            for first, last in self._pairs
        ]
        counted = ", ".join(["_of", "countIf(_overlaps)", f"[{', '.join(counts)}]", *spans])
        rows = self.run.ask(f"SELECT {counted} FROM ({paths}) GROUP BY _of")  # noqa: S608
        conversions = {tuple(of): _Conversions(reached, taken) for of, _, reached, *taken in rows if reached[0]}
        if any(overlaps for _, overlaps, *_ in rows):
            for of, rest in self._conversions(overlapping(f"groupArray({code})", len(steps))).items():
                conversions[of] = conversions[of] + rest if of in conversions else rest
        return conversions

    def _step_range(self) -> tuple[int, int]:
        """The steps (from 0) that conversion is counted between."""
        first, last = (self._whole(f"funnel{name}Step") for name in ("From", "To"))
        most = len(self.series) - 1
        code = "funnel_step_range_invalid"
        if first is not None and not 0 <= first <= most - 1:
            raise QueryRefused(f"funnelFromStep is out of bounds. It must be between 0 and {most - 1}.", code)
        if last is not None and not 1 <= last <= most:
            raise QueryRefused(f"funnelToStep is out of bounds. It must be between 1 and {most}.", code)
        if first is not None and last is not None and first >= last:
            message = "Funnel step range is invalid. funnelToStep should be greater than funnelFromStep."
            raise QueryRefused(message, code)
        return first or 0, last or most

    def _whole(self, key: str) -> int | None:
        value = self.filter.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise NotComputed(f"funnelsFilter.{key}", repr(value))
        return value

    def _check_exclusions(self) -> None:
        """Raise QueryRefused for exclusions that the server refuses."""
        most = len(self.series) - 1

        def refuse(message: str) -> None:
            raise QueryRefused(message, "funnel_exclusions_invalid")

        for exclusion in self.exclusions:
            first, last = exclusion.get("funnelFromStep"), exclusion.get("funnelToStep")
            if not all(isinstance(step, int) and not isinstance(step, bool) and step >= 0 for step in (first, last)):
                raise NotComputed("funnelsFilter.exclusions", f"from step {first!r} to step {last!r}")
            if self.order == UNORDERED and (first, last) != (0, most):
                refuse("Partial Exclusions not allowed in unordered funnels")
        for exclusion in self.exclusions:
            first, last = exclusion["funnelFromStep"], exclusion["funnelToStep"]
            invalid = "Exclusion event range is invalid."
            if first >= last:
                refuse(f"{invalid} End of range should be greater than start.")
            if first >= most:
                refuse(f"{invalid} Start of range is greater than number of steps.")
            if last > most:
                refuse(f"{invalid} End of range is greater than number of steps.")
            if any(_includes(step, exclusion) for step in self.series[first : last + 1]):
                refuse("Exclusion steps cannot contain an event that's part of funnel steps.")

    def _check_optional_steps(self) -> None:
        """Raise QueryRefused for optional steps that the server refuses."""
        code = "funnel_optional_steps_invalid"
        if not any(step.get("optionalInFunnel") for step in self.series):
            return
        if self.view != "steps" or self.order == UNORDERED:
            message = (
                "Optional funnel steps are only supported in funnels with step order Sequential or Strict and the "
                'graph type "Conversion Steps".'
            )
            raise QueryRefused(message, code)
        if self.series[0].get("optionalInFunnel"):
            raise QueryRefused("The first step of a funnel cannot be optional.", code)
        for before, step in pairwise(self.series):
            if before.get("optionalInFunnel") and not step.get("optionalInFunnel") and _includes(step, before):
                raise QueryRefused("An optional step cannot be the same as the following required step.", code)

    def _breakdowns(self) -> tuple[Breakdowns | None, str]:
        """The breakdowns with their type, which is the same for all."""
        breakdown_filter = self.run.node.get("breakdownFilter") or {}
        parts = [dict(part) for part in parts_of(breakdown_filter)]
        if not parts:
            return None, ""
        if len(breakdown_filter.get("breakdowns") or []) > 1:
            raise NotComputed("breakdownFilter.breakdowns", "several of a FunnelsQuery, which are a list in breakdown")
        of_type = str(parts[0].get("type") or "event")
        if of_type not in _BROKEN_DOWN:
            raise NotComputed("breakdownFilter", f"of the type {of_type} in a FunnelsQuery")
        if self.attribution == "step" and of_type == "group":
            raise NotComputed("funnelsFilter.breakdownAttributionType", "'step' with a breakdown of groups")
        plain = dict(breakdown_filter)
        if of_type != "event":
            plain.pop("breakdown_normalize_url", None)
        return breakdowns_of(plain, is_endpoint=self.run.is_endpoint, display=""), of_type

    def _rules(self) -> FunnelRules:
        count = self.filter.get("funnelWindowInterval") or _WINDOW[0]
        unit = self.filter.get("funnelWindowIntervalUnit") or _WINDOW[1]
        if not isinstance(unit, str) or unit not in _UNITS:
            raise NotComputed("funnelsFilter.funnelWindowIntervalUnit", repr(unit))
        window = filters.number("funnelWindowInterval", count) * _UNITS[unit]
        if window > _LONGEST_WINDOW:
            raise NotComputed("funnelsFilter.funnelWindowInterval", repr(count))
        return FunnelRules(
            steps=len(self.series),
            window=int(window) * _SECOND,
            order=self.order,
            optional=frozenset(number for number, step in enumerate(self.series, 1) if step.get("optionalInFunnel")),
            attributed=self._attributed_step(),
        )

    def _attributed_step(self) -> int | None:
        """The step (from 1) whose events carry the breakdown value."""
        if self.attribution != "step" or self.breakdowns is None:
            return None
        step = self._whole("breakdownAttributionValue")
        if step is None or not 0 <= step < len(self.series):
            raise NotComputed("funnelsFilter.breakdownAttributionValue", f"{step!r} is not a step of the funnel")
        if self.order == UNORDERED and step != 0:
            raise QueryRefused("Only the first step can be used for breakdown attribution in unordered funnels")
        return step + 1

    def _actors(self, having: str = filters.TRUE) -> Iterator[list[FunnelEvent]]:
        """The events of each actor that are steps or excluded, in order; for a strict funnel all events."""
        steps = [self._condition(step) for step in self.series]
        exclusions = [self._condition(exclusion) for exclusion in self.exclusions]
        before = [range(item["funnelFromStep"] + 2, item["funnelToStep"] + 2) for item in self.exclusions]
        actor, where = self._actor()[0], self._where()
        if self.order != STRICT:
            where.append(filters.any_of([*steps, *exclusions]))
        values = ", ".join(self.breakdowns.expressions) if self.breakdowns else ""
        bucket = bucketed(self.run.interval) if self.view == "trends" else "0"
        event = ", ".join(("timestamp", _flags(steps), _flags(exclusions), f"[{values}]", bucket))
        source = f"events WHERE {filters.all_of(where)} GROUP BY {actor} HAVING {having}"
        rows = self.run.ask(f"SELECT groupArray(tuple({event})) FROM {source}")  # noqa: S608 - translated parts
        for (events,) in rows:
            yield sorted((self._event(item, before) for item in events), key=lambda event: (event.at, event.steps))

    def _where(self) -> list[str]:
        """The conditions for all events that can count."""
        period = self.run.period()
        self._check_start(period)
        return [
            f"timestamp >= {filters.timestamp(period.start)}",
            f"timestamp <= {filters.timestamp(period.end)}",
            *self.run.common(),
            *self._actor()[1],
        ]

    def _check_start(self, period: Period) -> None:
        """Raise NotComputed for a given time within a day: whether the server begins with the day is not known."""
        is_within = period.start != aligned(period.start, "day") and period.start != period.lower
        if is_within and not self.run.date_range.get("explicitDate"):
            raise NotComputed("dateRange", "a FunnelsQuery that begins within a day")

    def _event(self, item: Sequence[Any], before: Sequence[range]) -> FunnelEvent:
        at, steps, flags, values, bucket = item
        excluded = {step for flag, steps in zip(flags, before, strict=False) if flag for step in steps}
        return FunnelEvent(
            at=(self.run.local(at) - _EPOCH) // timedelta(microseconds=1),
            steps=tuple(index for index, is_step in enumerate(steps, 1) if is_step),
            excluded=tuple(sorted(excluded)),
            value=tuple(values),
            bucket=self.run.local(bucket) if self.view == "trends" else None,
        )

    def _condition(self, step: Mapping[str, Any]) -> str:
        if step.get("math") not in (None, "total"):
            raise NotComputed("math", f"{step['math']!r} of a step")
        return filters.all_of([self.run.events_of(step), self.run.filters_of(step)])

    def _actor(self) -> tuple[str, list[str]]:
        """The expression of the actor, and the condition that there is one."""
        index = self.run.node.get("aggregation_group_type_index")
        if index is not None:
            if index not in range(5) or isinstance(index, bool):
                raise NotComputed("aggregation_group_type_index", repr(index))
            return f"$group_{index}", [f"notEmpty($group_{index})"]
        own = self.filter.get("funnelAggregateByHogQL")
        if own in (None, "", "person_id"):
            return "person_id", []
        actor = filters.expression("funnelAggregateByHogQL", own)
        return actor, [f"ifNull(toString({actor}), '') != ''"]

    def _attributed(
        self, events: Sequence[FunnelEvent], kept: Sequence[FunnelEvent]
    ) -> Iterator[tuple[Key, Sequence[FunnelEvent]]]:
        """The breakdown values that an actor counts for, each with the events that count."""
        if self.breakdowns is None:
            yield (), kept
        elif self.attribution == "all_events":
            for value in dict.fromkeys(event.value for event in events):
                yield value, [event for event in kept if event.value == value]
        elif self.attribution == "step":
            step = self.rules.attributed
            for value in dict.fromkeys(
                event.value for event in events if self.order == UNORDERED or step in event.steps
            ):
                yield value, kept
        else:
            nothing = (NULL,) * len(self.breakdowns.expressions)
            known = [event.value for event in events if event.value != nothing] or [nothing]
            yield known[0 if self.attribution == "first_touch" else -1], kept

    def _steps(self, conversions: _Conversions) -> Iterator[dict[str, Json]]:
        """The steps with how many actors reached each. Times that are zero do not count."""
        for index, step in enumerate(self.series):
            spans = conversions.spans[index - 1] if index else []
            seconds = [span / _SECOND for span in spans if span > 0]
            is_any = self.order == UNORDERED
            source = self.run.source(step)
            yield {
                "action_id": None if is_any else source.id,
                "name": f"Completed {index + 1} step{'s' if index else ''}" if is_any else source.name,
                "custom_name": None if is_any else step.get("custom_name"),
                "order": index,
                "people": [],
                "count": conversions.reached[index],
                "type": source.type,
                "average_conversion_time": fmean(seconds) if seconds else None,
                "median_conversion_time": median(seconds) if seconds else None,
            }

    def _by_value(self, by_value: Mapping[Key, _Conversions], breakdowns: Breakdowns) -> list[Json]:
        """The steps of each value, the most of the last step first, then of the step before. Values beyond the limit
        are one: "Other"."""

        def rank(value: Key) -> tuple[list[int], Key]:
            counts = [-count for count in reversed(places[value].reached)]
            return counts, tuple("" if part == NULL else part for part in value)

        places = dict(by_value)
        ranked = sorted(places, key=rank)
        if self.breakdown_type in _LIMITED:
            limit = breakdowns.limit
        elif len(ranked) > _MOST_UNLIMITED:
            raise NotComputed(
                "breakdownFilter", f"more than {_MOST_UNLIMITED} values of the type {self.breakdown_type}"
            )
        else:
            limit = _MOST_UNLIMITED
        if beyond := [places[value] for value in ranked[limit:]]:
            places = {value: places[value] for value in ranked[:limit]} | {(OTHER,): reduce(add, beyond)}
            ranked = sorted(places, key=rank)
        shown: list[Json] = []
        for value in ranked:
            name = self._value(value)
            shown.append([row | {"breakdown": name, "breakdown_value": name} for row in self._steps(places[value])])
        return shown

    def _value(self, value: Key) -> Json:
        """A breakdown value of the answer: a list, but of a group one value."""
        parts: list[Json] = [None if part == NULL else "Other" if part == OTHER else part for part in value]
        legacy = (self.run.node.get("breakdownFilter") or {}).get("breakdown")
        return parts[0] if self.breakdown_type == "group" and isinstance(legacy, str) else parts

    def _trends(self) -> list[Json]:
        """The share of the actors that converted, for each interval of their entrance."""
        period = self.run.period()
        counts: dict[Key, Counter[tuple[datetime, bool]]] = {}
        for events in self._actors():
            for value, own in self._attributed(events, events):
                entered = entrances(own, self.rules, value, first=self.first + 1, last=self.last + 1)
                counts.setdefault(value, Counter()).update(entered.items())
        buckets = period.buckets
        values: list[Key] = [()]
        if self.breakdowns is not None:
            entered_by = {value: counter for value, counter in counts.items() if counter}
            values = self._most_entered(entered_by)[: self.breakdowns.limit]
        shown = {value: counts.get(value, Counter()) for value in values}
        if len(shown) * len(buckets) > _MOST_TREND_ROWS:
            raise NotComputed("funnelsFilter.funnelVizType", f"trends with more than {_MOST_TREND_ROWS:,} numbers")
        rows: list[Json] = []
        for value in sorted(shown, key=_as_text):
            rates = [_rate(shown[value][bucket, True], shown[value][bucket, False]) for bucket in buckets]
            days = [day_text(bucket, "hour" if self.run.interval == "hour" else "day") for bucket in buckets]
            row: dict[str, Json] = {
                "count": len(buckets),
                "data": list(rates),
                "days": list(days),
                "labels": list(period.labels),
            }
            rows.append(row if self.breakdowns is None else row | {"breakdown_value": self._value(value)})
        return rows

    @staticmethod
    def _most_entered(counts: Mapping[Key, Counter[tuple[datetime, bool]]]) -> list[Key]:
        by_text = sorted(counts, key=_as_text, reverse=True)
        return sorted(by_text, key=lambda value: -counts[value].total())

    def _time_to_convert(self, spans: Sequence[int]) -> Json:
        """A histogram of the seconds between the steps, with one bin more than asked for, and their mean."""
        seconds = [span / _SECOND for span in spans]
        given = self._whole("binCount")
        wanted = math.ceil(len(seconds) ** (1 / 3) - 1e-9) if given is None else given
        bins = min(max(wanted, 1), _MOST_BINS[given is not None])
        low, high = math.floor(min(seconds, default=0)), math.ceil(max(seconds, default=0))
        width = math.ceil((high - low) / bins) or _BIN_SECONDS
        counts = Counter(math.floor((span - low) / width) for span in seconds)
        return {
            "bins": [[low + index * width, counts[index]] for index in range(bins + 1)],
            "average_conversion_time": fmean(seconds) if seconds else None,
        }


def _flags(conditions: Sequence[str]) -> str:
    return f"[{', '.join(f'if({condition}, 1, 0)' for condition in conditions)}]" if conditions else "[0]"


def _includes(step: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether each event of the other is an event of the step, as far as the server tells it from their filters."""
    if any(step.get(key) != other.get(key) for key in ("kind", "event", "id")):
        return False

    def filters_of(node: Mapping[str, Any], key: str) -> Counter[str]:
        return Counter(json.dumps(item, sort_keys=True) for item in node.get(key) or [])

    return all(filters_of(step, key) <= filters_of(other, key) for key in ("properties", "fixedProperties"))


def _as_text(value: Key) -> Key:
    return tuple("" if part == NULL else part for part in value)


def _rate(converted: int, left: int) -> float:
    entered = converted + left
    return round(converted / entered * 100, 2) if entered else 0.0
