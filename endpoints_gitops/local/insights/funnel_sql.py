"""The HogQL that finds how far each actor came in an ordered funnel, from one number for each event.

A code is the time of an event in microseconds since the start of the period, followed by a bit for each step that the
event is, the first step in the lowest bit. The rules are those of `funnel_paths.furthest`, for funnels without
exclusions, optional steps and attribution to a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.funnel_paths import FunnelRules

MOST_CODED: Final = 9
"""The steps for which every code is below 2^63: ClickHouse's times are within 400 years of each other."""


def code_of(steps: Sequence[str], since: datetime) -> str:
    """The code of an event, from the conditions of the steps. `since` is not after the event."""
    bits = " + ".join(f"if({condition}, {1 << index}, 0)" for index, condition in enumerate(steps))
    return f"dateDiff('microsecond', {filters.timestamp(since)}, timestamp) * {1 << len(steps)} + {bits}"


def overlapping(codes: str, steps: int) -> str:
    """Whether an actor has different events at one time, and one that is several steps. Which of them counts for which
    step is not decided here."""
    is_several = f"bitCount(bitAnd(code, {(1 << steps) - 1})) > 1"
    times = f"arrayMap(code -> bitShiftRight(code, {steps}), {codes})"
    is_mixed = f"length(arrayDistinct({codes})) > length(arrayDistinct({times}))"
    return f"(arrayExists(code -> {is_several}, {codes}) AND {is_mixed})"


def paths_of(actors: str, rules: FunnelRules, *columns: str) -> str:
    """The query with a row for each actor that entered: the columns, `_furthest`, the last step that it reached, and
    `_at_N`, the time of each step until there, in microseconds.

    `actors` has a row for each actor with what the columns need and `_codes`, which are sorted. `_reached_N` has for
    each event the time at which the entrance began that reached step N with this event, or a time before every window.
    Step N follows the last entrance that reached the step before it with an earlier event. No entrance overtakes one
    that began later, so an entrance reached each step with the first event that has its time there.
    """
    numbers = range(1, rules.steps + 1)
    never = -rules.window - 1
    time = f"bitShiftRight(code, {rules.steps})"
    reached = [f"arrayMap(code -> if(bitTest(code, 0), {time}, {never}), _codes) AS _reached_1"]
    for step in numbers[1:]:
        before = f"arrayPushFront(arrayPopBack(arrayFill(began -> began >= 0, _reached_{step - 1})), {never})"
        follows = f"bitTest(code, {step - 1}) AND {time} - began <= {rules.window}"
        reached.append(f"arrayMap((code, began) -> if({follows}, began, {never}), _codes, {before}) AS _reached_{step}")
    first = [f"arrayFirstIndex(began -> began >= 0, _reached_{step}) AS _first_{step}" for step in numbers]
    furthest = ", ".join(f"_first_{step} > 0, {step}" for step in reversed(numbers))
    began = ", ".join(f"_first_{step} > 0, _reached_{step}[_first_{step}]" for step in reversed(numbers))
    selected = [
        *columns,
        *reached,
        *first,
        f"multiIf({furthest}, 0) AS _furthest",
        f"multiIf({began}, {never}) AS _began",
        *(f"bitShiftRight(_codes[indexOf(_reached_{step}, _began)], {rules.steps}) AS _at_{step}" for step in numbers),
    ]
    return f"SELECT {', '.join(selected)} FROM ({actors}) WHERE _furthest > 0"  # noqa: S608 - translated parts
