"""How far one actor came in a funnel: pure rules over its events in the order of time (docs/server.md#insights)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from endpoints_gitops.local.insights.breakdowns import Key
from endpoints_gitops.local.insights.refused import NotComputed

ORDERED: Final = "ordered"
STRICT: Final = "strict"
UNORDERED: Final = "unordered"
ORDERS: Final = (ORDERED, STRICT, UNORDERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelEvent:
    """An event of an actor: its time in microseconds, the steps that it is, the steps before which it is excluded (both
    from 1), its breakdown values, and the start of its interval if the view needs it."""

    at: int
    steps: tuple[int, ...]
    excluded: tuple[int, ...] = ()
    value: Key = ()
    bucket: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelRules:
    """The rules of one funnel. `window` is in microseconds; steps count from 1.

    `attributed`: events of this step count only with the breakdown value in question; in any order, it is the step that
    is completed as the first, second and so on.
    """

    steps: int
    window: int
    order: str = ORDERED
    optional: frozenset[int] = frozenset()
    attributed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelPath:
    """The steps that an actor reached, and the times of those that are not optional."""

    reached: tuple[int, ...]
    times: tuple[int, ...]


def thinned(events: Sequence[FunnelEvent]) -> list[FunnelEvent]:
    """The events without those that stand between two events like them, which changes times in an unordered funnel."""
    kept = list(events[:1])
    for before, event, after in zip(events, events[1:], events[2:], strict=False):
        is_alike = all(
            (other.steps, other.excluded, other.value) == (event.steps, event.excluded, event.value)
            for other in (before, after)
        )
        if not (is_alike and len(event.steps) + len(event.excluded) <= 1 and before.at < event.at < after.at):
            kept.append(event)
    return [*kept, *events[1:][-1:]]


def furthest(events: Sequence[FunnelEvent], rules: FunnelRules, value: Key = ()) -> FunnelPath | None:
    """The path that leads furthest; None if the actor never entered, or if the path is excluded."""
    if rules.order == UNORDERED:
        return _in_any_order(events, rules, value)
    paths = _OrderedPaths(rules, value)
    for _, group in groupby(events, key=lambda event: event.at):
        paths.take(list(group))
        if paths.is_complete:
            break
    best = paths.best
    return None if best is None or best.is_excluded else FunnelPath(reached=best.reached, times=best.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FunnelEntry:
    """How far one entrance came: when it began, and the steps, times and events that led there."""

    began: int
    reached: tuple[int, ...] = ()
    times: tuple[int, ...] = ()
    events: tuple[FunnelEvent, ...] = ()
    is_excluded: bool = False


class _OrderedPaths:
    """The last entrance that reached each step, and the first one that came furthest.

    An excluded event spoils the entrances that it follows; a later entrance begins anew.
    """

    def __init__(self, rules: FunnelRules, value: Key) -> None:
        self._rules, self._value = rules, value
        self._entries: list[_FunnelEntry | None] = [None] * (rules.steps + 1)
        self._best_step = 0
        self.best: _FunnelEntry | None = None

    @property
    def is_complete(self) -> bool:
        return self._entries[-1] is not None

    def take(self, events: Sequence[FunnelEvent]) -> None:
        """Count the events of one timestamp. If they differ, they count in the order of the steps, and an excluded
        event among them has no effect."""
        self._entries[0] = _FunnelEntry(began=events[0].at)
        if len({(event.steps, event.excluded) for event in events}) > 1:
            pairs = [(step, event) for event in events for step in event.steps]
            for step, once in sorted(pairs, key=lambda pair: pair[0]):
                self._reach(step, once, is_once=True)
            return
        for event in events:
            for step in reversed(event.excluded):
                self._exclude(step, event)
            for step in reversed(event.steps):
                self._reach(step, event, is_once=False)
            if self._rules.order == STRICT:
                kept = [entry if step in event.steps else None for step, entry in enumerate(self._entries)]
                self._entries = [self._entries[0], *kept[1:]]

    def _before(self, step: int, event: FunnelEvent) -> int | None:
        """The step that the entrance comes from: the one before, or an earlier one if those between are optional."""
        for before in range(step - 1, -1, -1):
            entry = self._entries[before]
            if entry is not None and event.at - entry.began <= self._rules.window:
                known = self._entries[step]
                return before if known is None or known.began != entry.began else None
            if before not in self._rules.optional:
                break
        return None

    def _exclude(self, step: int, event: FunnelEvent) -> None:
        before = self._before(step, event)
        entry = None if before is None else self._entries[before]
        if before is None or entry is None or entry.is_excluded:
            return
        self._entries[before] = replace(entry, is_excluded=True)
        if before == self._best_step and self.best is not None and event.at - self.best.began <= self._rules.window:
            self.best = replace(self.best, is_excluded=True)

    def _reach(self, step: int, event: FunnelEvent, *, is_once: bool) -> None:
        before = self._before(step, event)
        entry = None if before is None else self._entries[before]
        if before is None or entry is None:
            return
        is_attributed = before + 1 == self._rules.attributed
        if (is_attributed and event.value != self._value) or (is_once and any(used is event for used in entry.events)):
            return
        is_timed = step not in self._rules.optional
        reached = replace(
            entry,
            reached=(*entry.reached, step),
            times=(*entry.times, event.at) if is_timed else entry.times,
            events=(*entry.events, event),
        )
        if not entry.is_excluded:
            self._entries[step] = reached
        if step > self._best_step or (step == self._best_step and self.best is not None and self.best.is_excluded):
            self._best_step, self.best = step, reached


class _UnorderedEvents:
    """The events of an actor that still count, for each step in the order of time."""

    def __init__(self, rules: FunnelRules, value: Key) -> None:
        self._rules, self._value = rules, value
        self._by_step: list[deque[FunnelEvent]] = [deque() for _ in range(rules.steps)]

    @property
    def completed(self) -> int:
        return sum(1 for events in self._by_step if events)

    def times(self) -> tuple[int, ...]:
        return tuple(sorted(events[0].at for events in self._by_step if events))

    def leaving(self, at: int | None) -> Iterator[FunnelEvent]:
        """The oldest events that do not count together with one at this time; with all of them once the funnel is
        complete or, without a time, at the end. Each is removed after it is given."""
        while True:
            fronts = [events for events in self._by_step if events]
            if not fronts:
                return
            oldest = min(fronts, key=lambda events: events[0].at)
            is_complete = self.completed == self._rules.steps
            if at is not None and not is_complete and oldest[0].at + self._rules.window >= at:
                return
            yield oldest[0]
            oldest.popleft()

    def add(self, event: FunnelEvent) -> None:
        """Count an event for one of its steps; an excluded event clears all."""
        if event.steps and event.excluded:
            raise NotComputed("funnelsFilter.exclusions", "an event that is a step of an unordered funnel too")
        if event.excluded:
            for events in self._by_step:
                events.clear()
            return
        if self._rules.attributed == self.completed + 1 and event.value != self._value:
            return
        step = min(event.steps, key=self._last_at)
        self._by_step[step - 1].append(event)

    def _last_at(self, step: int) -> float:
        events = self._by_step[step - 1]
        return events[-1].at if events else -math.inf


def _in_any_order(events: Sequence[FunnelEvent], rules: FunnelRules, value: Key) -> FunnelPath | None:
    counted = _UnorderedEvents(rules, value)
    best: tuple[int, ...] = ()
    for event in events:
        for _ in counted.leaving(event.at):
            best = max(best, counted.times(), key=len)
        if len(best) == rules.steps:
            break
        counted.add(event)
    best = max(best, counted.times(), key=len)
    return FunnelPath(reached=tuple(range(1, len(best) + 1)), times=best) if best else None


def entrances(
    events: Sequence[FunnelEvent], rules: FunnelRules, value: Key, *, first: int, last: int
) -> dict[datetime, bool]:
    """For each interval of an entrance that reached the step `first`: whether it reached `last` too."""
    if rules.order == UNORDERED:
        return _entrances_in_any_order(events, rules, value, first=first, last=last)
    began: dict[datetime, _IntervalEntry] = {}
    for event in events:
        _count(event, began, rules, value, last)
    is_spoilt = any(entry.is_fully_excluded for entry in began.values())
    return {
        bucket: entry.is_complete
        for bucket, entry in began.items()
        if entry.is_complete or (entry.best >= first and not entry.is_partly_excluded and not is_spoilt)
    }


def _count(
    event: FunnelEvent, began: dict[datetime, _IntervalEntry], rules: FunnelRules, value: Key, last: int
) -> None:
    """Count one event for the intervals in which the actor entered so far, and for its own."""
    for step in reversed(event.excluded):
        for entry in began.values():
            entry.exclude(step, event)
    for step in reversed(event.steps):
        if step == rules.attributed and event.value != value:
            continue
        if step == 1 and event.bucket is not None:
            began.setdefault(event.bucket, _IntervalEntry(rules, last)).enter(event)
        elif step > 1:
            for entry in began.values():
                entry.reach(step, event)
    if rules.order == STRICT:
        for entry in began.values():
            entry.keep(event.steps)


class _IntervalEntry:
    """The entrances of one interval: for each step when the last one that reached it began, and whether an excluded
    event followed. `best` is the furthest step."""

    def __init__(self, rules: FunnelRules, last: int) -> None:
        self._rules, self._last = rules, last
        self._began: dict[int, int] = {}
        self._spoilt: set[int] = set()
        self._best_at = 0
        self.best = 0
        self.is_complete = False
        self.is_partly_excluded = False
        self.is_fully_excluded = False

    def enter(self, event: FunnelEvent) -> None:
        if self.is_complete:
            return
        if self.best == 0 or (self.best == 1 and self.is_partly_excluded):
            self._began, self._spoilt = {}, set()
            self.best, self._best_at, self.is_partly_excluded = 1, event.at, False
        self._began[1] = event.at
        self._spoilt.discard(1)

    def _follows(self, step: int, event: FunnelEvent) -> bool:
        began = self._began.get(step - 1)
        is_within = began is not None and event.at - began <= self._rules.window
        return not self.is_complete and is_within and self._began.get(step) != began

    def exclude(self, step: int, event: FunnelEvent) -> None:
        if not self._follows(step, event) or step - 1 in self._spoilt:
            return
        self._spoilt.add(step - 1)
        if self.best == step - 1 and event.at - self._best_at <= self._rules.window:
            self.is_partly_excluded = True

    def reach(self, step: int, event: FunnelEvent) -> None:
        if not self._follows(step, event):
            return
        is_spoilt = step - 1 in self._spoilt
        if not is_spoilt:
            self._began[step] = self._began[step - 1]
            self._spoilt.discard(step)
        if self._last in self._began:
            self.is_complete, self.is_partly_excluded, self.is_fully_excluded = True, False, False
        elif step > self.best or (step == self.best and self.is_partly_excluded):
            self.best, self._best_at = step, event.at
            self.is_fully_excluded, self.is_partly_excluded = is_spoilt, False

    def keep(self, steps: Sequence[int]) -> None:
        """Forget the steps that the last event is not."""
        self._began = {step: began for step, began in self._began.items() if step in steps}
        self._spoilt &= set(steps)


def _entrances_in_any_order(
    events: Sequence[FunnelEvent], rules: FunnelRules, value: Key, *, first: int, last: int
) -> dict[datetime, bool]:
    counted = _UnorderedEvents(rules, value)
    best: dict[datetime, int] = {}

    def leave(at: int | None) -> None:
        for oldest in counted.leaving(at):
            if oldest.bucket is not None:
                best[oldest.bucket] = max(best.get(oldest.bucket, 0), counted.completed)

    for event in events:
        leave(event.at)
        counted.add(event)
    leave(None)
    return {bucket: completed >= last for bucket, completed in best.items() if completed >= first}
