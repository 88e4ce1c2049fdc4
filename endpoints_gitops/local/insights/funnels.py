"""FunnelsQuery: how many actors went through the steps (docs/server.md#insights)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, permutations
from statistics import fmean, median
from typing import Any, Final

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import NULL, OTHER, Breakdowns, breakdowns_of, parts_of
from endpoints_gitops.local.insights.questions import InsightRun, moment_of
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_ORDERS: Final = ("ordered", "strict")
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_WINDOW: Final = (14, "day")
_ATTRIBUTIONS: Final = ("first_touch", "last_touch", "all_events")
_MOST_AT_ONCE: Final = 5
_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelEvent:
    """An event of an actor: its time in microseconds, the steps that it is, the steps before which it is excluded (both
    from 1), and its breakdown value."""

    at: int
    steps: tuple[int, ...]
    excluded: tuple[int, ...]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _FunnelEntry:
    """How far one entrance came: when it began, and the times of its steps."""

    began: int
    times: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _FunnelReached:
    """The last entrance that reached each step (from 1), and the times of the first one that came furthest."""

    entries: tuple[_FunnelEntry | None, ...]
    furthest: tuple[int, ...] = ()

    @property
    def progress(self) -> tuple[int, list[bool]]:
        return len(self.furthest), [entry is not None for entry in reversed(self.entries)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelRules:
    """The rules for one actor; `window` is in microseconds."""

    steps: int
    window: float
    is_strict: bool


def results(run: InsightRun) -> list[Json]:
    """The steps of a FunnelsQuery, or a list of steps for each breakdown value. Raises QueryRefused."""
    series: list[Mapping[str, Any]] = list(run.node.get("series") or [])
    if len(series) < 2:
        raise QueryRefused("Funnels require at least two steps.", "funnels_require_at_least_two_steps")
    rules = _rules(run, len(series))
    breakdowns = _breakdowns(run, rules)
    attribution = str(_filter(run).get("breakdownAttributionType") or "first_touch")
    if attribution not in _ATTRIBUTIONS:
        raise NotComputed("funnelsFilter.breakdownAttributionType", repr(attribution))
    by_value: dict[str, list[tuple[int, ...]]] = {}
    for events in _actors(run, series, breakdowns):
        for value, own in _attributed(events, attribution):
            times = furthest(own, rules)
            if times:
                by_value.setdefault(value, []).append(times)
    if breakdowns is None:
        return list(_steps(series, by_value.get("", []))) if by_value else []
    return _by_value(series, by_value, breakdowns)


def _filter(run: InsightRun) -> Mapping[str, Any]:
    funnel: Mapping[str, Any] = run.node.get("funnelsFilter") or {}
    return funnel


def _rules(run: InsightRun, steps: int) -> FunnelRules:
    funnel = _filter(run)
    order = funnel.get("funnelOrderType") or "ordered"
    if order not in _ORDERS:
        raise NotComputed("funnelsFilter.funnelOrderType", repr(order))
    if (funnel.get("funnelVizType") or "steps") != "steps":
        raise NotComputed("funnelsFilter.funnelVizType", repr(funnel["funnelVizType"]))
    count, unit = funnel.get("funnelWindowInterval") or _WINDOW[0], funnel.get("funnelWindowIntervalUnit") or _WINDOW[1]
    if not isinstance(unit, str) or unit not in _UNITS:
        raise NotComputed("funnelsFilter.funnelWindowIntervalUnit", repr(unit))
    return FunnelRules(
        steps=steps,
        window=filters.number("funnelWindowInterval", count) * _UNITS[unit] * _SECOND,
        is_strict=order == "strict",
    )


def _breakdowns(run: InsightRun, rules: FunnelRules) -> Breakdowns | None:
    breakdown_filter = run.node.get("breakdownFilter") or {}
    parts = parts_of(breakdown_filter)
    if len(parts) > 1:
        raise NotComputed("breakdownFilter", "several breakdowns of a FunnelsQuery")
    of_events = any(part.get("type") != "person" for part in parts)
    if of_events and (rules.is_strict or _filter(run).get("exclusions")):
        raise NotComputed("breakdownFilter", "of a strict funnel or with exclusions, but one of a person property")
    return breakdowns_of(breakdown_filter, is_endpoint=run.is_endpoint, display="")


def _actors(
    run: InsightRun, series: Sequence[Mapping[str, Any]], breakdowns: Breakdowns | None
) -> Iterator[list[FunnelEvent]]:
    """The events of each actor that are steps or excluded, in order; for a strict funnel all events."""
    is_strict = _filter(run).get("funnelOrderType") == "strict"
    steps = [_condition(run, step) for step in series]
    exclusions = [_exclusion(run, exclusion, series) for exclusion in _filter(run).get("exclusions") or []]
    period = run.period(interval="day")
    if period.start != period.lower:
        raise NotComputed("dateRange", "a FunnelsQuery that begins within an interval")
    actor, only = _actor(run)
    where = [
        f"timestamp >= {filters.moment(period.lower)}",
        f"timestamp <= {filters.moment(period.end)}",
        *run.common(),
        *only,
    ]
    if not is_strict:
        where.append(filters.any_of([*steps, *(condition for condition, _ in exclusions)]))
    value = filters.text("") if breakdowns is None else breakdowns.expressions[0]
    event = ", ".join(("timestamp", _flags(steps), _flags([condition for condition, _ in exclusions]), value))
    source = f"events WHERE {filters.all_of(where)} GROUP BY {actor}"
    rows = run.ask(f"SELECT groupArray(tuple({event})) FROM {source}")  # noqa: S608 - translated parts
    for (events,) in rows:
        yield sorted((_event(item, exclusions) for item in events), key=lambda event: event.at)


def _flags(conditions: Sequence[str]) -> str:
    return f"[{', '.join(f'if({condition}, 1, 0)' for condition in conditions)}]" if conditions else "[0]"


def _event(item: Sequence[Any], exclusions: Sequence[tuple[str, Sequence[int]]]) -> FunnelEvent:
    at, steps, flags, value = item
    excluded = {step for flag, (_, before) in zip(flags, exclusions, strict=False) if flag for step in before}
    return FunnelEvent(
        at=(moment_of(at) - _EPOCH) // timedelta(microseconds=1),
        steps=tuple(index for index, is_step in enumerate(steps, 1) if is_step),
        excluded=tuple(sorted(excluded)),
        value=value,
    )


def _condition(run: InsightRun, step: Mapping[str, Any]) -> str:
    if step.get("math") not in (None, "total"):
        raise NotComputed("math", f"{step['math']!r} of a step")
    return filters.all_of([filters.events_of(step), filters.filters_of(step, run.now)])


def _exclusion(
    run: InsightRun, exclusion: Mapping[str, Any], series: Sequence[Mapping[str, Any]]
) -> tuple[str, Sequence[int]]:
    """The condition of an excluded event, and the steps (from 1) before which it must not come."""
    first, last = exclusion.get("funnelFromStep"), exclusion.get("funnelToStep")
    if not isinstance(first, int) or not isinstance(last, int) or not first >= 0 or last >= len(series):
        raise NotComputed("funnelsFilter.exclusions", f"from step {first!r} to step {last!r}")
    if first >= last:
        message = "Exclusion event range is invalid. End of range should be greater than start."
        raise QueryRefused(message, "funnel_exclusions_invalid")
    if any(step.get("event") == exclusion.get("event") for step in series[first : last + 1]):
        message = "Exclusion steps cannot contain an event that's part of funnel steps."
        raise QueryRefused(message, "funnel_exclusions_invalid")
    return _condition(run, exclusion), range(first + 2, last + 2)


def _actor(run: InsightRun) -> tuple[str, list[str]]:
    index = run.node.get("aggregation_group_type_index")
    if index is None:
        return "person_id", []
    if index not in range(5) or isinstance(index, bool):
        raise NotComputed("aggregation_group_type_index", repr(index))
    return f"$group_{index}", [f"notEmpty($group_{index})"]


def _attributed(events: list[FunnelEvent], attribution: str) -> Iterator[tuple[str, list[FunnelEvent]]]:
    """The breakdown value of an actor with its events, or each value with those events that have it."""
    if attribution == "all_events":
        for value in dict.fromkeys(event.value for event in events):
            yield value, [event for event in events if event.value == value]
        return
    values = [event.value for event in events if event.value != NULL]
    value = NULL if not values else values[0 if attribution == "first_touch" else -1]
    yield value, events


def furthest(events: Sequence[FunnelEvent], rules: FunnelRules) -> tuple[int, ...]:
    """The times of the steps that an actor reached; empty if there are none, or if the actor is excluded.

    Each entrance at step 1 begins a new try; its window begins with it and includes its end. The first complete try
    ends the search. Events at one time count in the order that leads furthest.
    """
    reached = _FunnelReached(entries=(None,) * (rules.steps + 1))
    for at, group in groupby(events, key=lambda event: event.at):
        together = list(dict.fromkeys(group))
        if len(together) > _MOST_AT_ONCE:
            raise NotComputed("FunnelsQuery", f"an actor has more than {_MOST_AT_ONCE} different events at one time")
        orders = [_after(reached, order, at, rules) for order in permutations(together)]
        allowed = [order for order in orders if order is not None]
        if len(allowed) < len(orders):
            return ()
        reached = max(allowed, key=lambda order: order.progress)
        if len(reached.furthest) == rules.steps:
            break
    return reached.furthest


def _after(
    reached: _FunnelReached, events: Sequence[FunnelEvent], at: int, rules: FunnelRules
) -> _FunnelReached | None:
    """What is reached after these events, all at one time; None if one of them excludes the actor."""
    entries, furthest_times = list(reached.entries), reached.furthest
    for event in events:
        entries[0] = _FunnelEntry(began=at, times=())
        if any(_next(entries, step, at, rules) is not None for step in event.excluded):
            return None
        for step in reversed(event.steps):
            entry = _next(entries, step, at, rules)
            if entry is not None:
                entries[step] = entry
                furthest_times = max(furthest_times, entry.times, key=len)
        if rules.is_strict:
            entries = [entry if step in event.steps else None for step, entry in enumerate(entries)]
    entries[0] = None
    return _FunnelReached(entries=tuple(entries), furthest=furthest_times)


def _next(entries: Sequence[_FunnelEntry | None], step: int, at: int, rules: FunnelRules) -> _FunnelEntry | None:
    """The entry that reaches a step now; None if the step before was not reached in the window, or this one already."""
    before, known = entries[step - 1], entries[step]
    if before is None or at - before.began > rules.window:
        return None
    if step > 1 and known is not None and known.began == before.began:
        return None
    return _FunnelEntry(began=before.began, times=(*before.times, at))


def _steps(series: Sequence[Mapping[str, Any]], actors: Sequence[tuple[int, ...]]) -> Iterator[dict[str, Json]]:
    for index, step in enumerate(series):
        reached = [times for times in actors if len(times) > index]
        seconds = [(times[index] - times[index - 1]) / _SECOND for times in reached] if index else []
        event = step.get("event")
        yield {
            "action_id": event,
            "name": event or "All events",
            "custom_name": step.get("custom_name"),
            "order": index,
            "people": [],
            "count": len(reached),
            "type": "events",
            "average_conversion_time": fmean(seconds) if seconds else None,
            "median_conversion_time": median(seconds) if seconds else None,
        }


def _by_value(
    series: Sequence[Mapping[str, Any]], by_value: Mapping[str, list[tuple[int, ...]]], breakdowns: Breakdowns
) -> list[Json]:
    """The steps of each value, by the last step descending; values beyond the limit are "Other", at the end."""

    def rank(value: str) -> tuple[int, str]:
        return -sum(len(times) == len(series) for times in by_value[value]), "" if value == NULL else value

    places: dict[str, list[tuple[int, ...]]] = {}
    for index, value in enumerate(sorted(by_value, key=rank)):
        places.setdefault(value if index < breakdowns.limit else OTHER, []).extend(by_value[value])
    shown: list[Json] = []
    for value, actors in places.items():
        name: Json = [None if value == NULL else "Other" if value == OTHER else value]
        shown.append([row | {"breakdown": name, "breakdown_value": name} for row in _steps(series, actors)])
    return shown
