"""The versions of the server laid along the states of the file: which of them a push made, and which somebody else.

Pushes follow the line of the file, with gaps, and others write between them. So of all ways to lay the versions along
the line in order, each on a state of its own, the one that explains most of them is taken for what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from endpoints_gitops.model.endpoint import EndpointVersion
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.lineage import Lineage
from endpoints_gitops.plan.meaning import Key, query_meaning, same


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What the versions say about the current one. Places are those of the states.

    `current` is the state that the current version came from, None where it came from none. `last` is the last one that
    any version came from. `is_repeated`: an older version asks the same as the current one, so it may have been put
    back on purpose; `is_doubtful`: and what it replaced may have come from a later state of the file.
    """

    current: int | None
    last: int | None
    is_repeated: bool = False
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Laid:
    """One version, and for each state the most versions that can be laid in order so that this one ends on it."""

    query: Json
    made: datetime | None
    lengths: Mapping[int, int]

    @property
    def longest(self) -> int:
        return max(self.lengths.values(), default=0)

    @property
    def place(self) -> int:
        """The last state on which the longest way can end."""
        return max(place for place, length in self.lengths.items() if length == self.longest)


def align(lineage: Lineage, versions: Iterable[EndpointVersion]) -> Alignment:
    """Lay the versions along the states, oldest first. What fits nowhere on the longest way is foreign."""
    laid = _laid(lineage, sorted(versions, key=lambda one: one.version))
    longest = max((one.longest for one in laid), default=0)
    if longest == 0:
        return Alignment(current=None, last=None)
    *before, current = laid
    if current.longest < longest:
        return Alignment(current=None, last=next(one.place for one in reversed(laid) if one.longest == longest))
    is_repeated = any(same(Key.QUERY, one.query, current.query) for one in before)
    return Alignment(
        current=current.place,
        last=current.place,
        is_repeated=is_repeated,
        is_doubtful=is_repeated and any(_may_be_later(lineage, one, current) for one in before),
    )


def _may_be_later(lineage: Lineage, before: _Laid, current: _Laid) -> bool:
    """Whether an older version explains as much coming from a later state, one that was there when it was made."""
    return any(
        place > current.place and length >= current.longest - 1 and not lineage.states[place].is_later_than(before.made)
        for place, length in before.lengths.items()
    )


def _laid(lineage: Lineage, versions: Iterable[EndpointVersion]) -> list[_Laid]:
    """`longest[n]` is that of the versions so far on the first n turns of the file."""
    places = _turns(lineage)
    longest = [0] * (len(places) + 1)
    laid: list[_Laid] = []
    for version in versions:
        query = query_meaning(version.query)
        matching = [count for count, place in enumerate(places) if lineage.matches(place, Key.QUERY, query)]
        lengths = {count: longest[count] + 1 for count in matching}
        made = version.version_created_at
        laid.append(_Laid(query=query, made=made, lengths={places[count]: lengths[count] for count in matching}))
        for count in range(len(places)):
            longest[count + 1] = max(longest[count], longest[count + 1], lengths.get(count, 0))
    return laid


def _turns(lineage: Lineage) -> list[int]:
    """The states in which the query became another: commits that left it alone are no further step."""
    states = lineage.states
    return [
        place
        for place in range(len(states))
        if place == 0 or not lineage.says(place - 1, Key.QUERY, states[place].meaning[Key.QUERY])
    ]
