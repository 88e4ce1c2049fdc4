"""The lineage of a file: its states in git, oldest first and the current file last, and which versions came from them.

Pushes follow the states of the file, with gaps, and others write between them. So of all ways to assign the versions to
the states in order, each to a state of its own, `align` takes the one that explains most of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from endpoints_gitops.model.endpoint import EndpointVersion
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.evidence import Provenance
from endpoints_gitops.plan.settings import SERVER_DEFAULTS, Key, Settings, normalized_query, same

GIT_RESOLUTION: Final = timedelta(seconds=1)
"""Git records the second of a commit, so the commit was made at that time or up to this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The file from one commit on, or as it is now and in no commit: then `commit` and `at` are None.

    `supersedes` is known of commits alone.
    """

    settings: Settings
    commit: str | None = None
    at: datetime | None = None
    supersedes: int | None = None

    @property
    def label(self) -> str:
        return f"commit {self.commit[:7]}" if self.commit else "an edit that is not committed"

    def is_later_than(self, timestamp: datetime | None) -> bool:
        """Whether the state is later for certain. An uncommitted edit is later than anything; None is an unknown
        time.
        """
        return self.at is None or (timestamp is not None and _aware(timestamp) < self.at)

    def may_be_later_than(self, timestamp: datetime | None) -> bool:
        """Whether the state is or may be later: git's resolution does not always tell."""
        return self.at is None or (timestamp is not None and _aware(timestamp) < self.at + GIT_RESOLUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The states of a file. Commits without the file, or with one that does not load, have none."""

    states: tuple[State, ...]

    @classmethod
    def of(cls, evidence: Provenance, file: Settings) -> Self | None:
        """The lineage of a file, whose last state is the file now, committed or not. None where history is
        unavailable.
        """
        if evidence.history is None:
            return None
        states = [
            State(settings=past.settings, commit=past.commit, at=past.committed_at, supersedes=past.supersedes)
            for past in reversed(evidence.history)
            if past.settings is not None
        ]
        if evidence.is_dirty or not states or not _agree(states[-1].settings, file):
            states.append(State(settings=file))
        return cls(states=tuple(states))

    @property
    def is_new(self) -> bool:
        """Whether no commit knows the file."""
        return len(self.states) == 1 and self.states[0].commit is None

    def answered(self, version: int) -> State | None:
        """The commit since which the file supersedes this version; None where that is not committed."""
        answering = None
        for state in reversed([state for state in self.states if state.commit is not None]):
            if state.supersedes != version:
                break
            answering = state
        return answering

    def beginning(self, key: Key, file: Json) -> int:
        """The index of the state since which the file states its current value."""
        index = len(self.states) - 1
        while index > 0 and self.says(index - 1, key, file):
            index -= 1
        return index

    def latest(self, key: Key, server: Json, *, after: int = -1) -> int | None:
        """The index of the last state before the current one, and after `after`, that states what the server has."""
        indexes = range(len(self.states) - 2, after, -1)
        return next((index for index in indexes if self.matches(index, key, server)), None)

    def latest_before(self, timestamp: datetime | None, key: Key, value: Json) -> int | None:
        """The index of the last state that states this value and existed at the timestamp."""
        indexes = range(len(self.states) - 1, -1, -1)
        return next(
            (index for index in indexes if self.matches(index, key, value) and not self._is_after(index, timestamp)),
            None,
        )

    def latest_without(self, key: Key, server: Json) -> int | None:
        """The index of the last state that did not manage the key, if the server has its default."""
        if not is_default(key, server):
            return None
        indexes = range(len(self.states) - 2, -1, -1)
        return next((index for index in indexes if key not in self.states[index].settings), None)

    def matches(self, index: int, key: Key, server: Json) -> bool:
        settings = self.states[index].settings
        return key in settings and same(key, settings[key], server)

    def says(self, index: int, key: Key, file: Json) -> bool:
        """Whether a state states the same as the file. Both leave the same variables open, else they differ."""
        settings = self.states[index].settings
        return key in settings and _equal(key, settings[key], file)

    def _is_after(self, index: int, timestamp: datetime | None) -> bool:
        at = self.states[index].at
        return timestamp is not None and (at is None or at > _aware(timestamp))


def is_default(key: Key, server: Json) -> bool:
    """Whether the server has the default of the key; a query has no default."""
    return key in SERVER_DEFAULTS and same(key, server, SERVER_DEFAULTS[key])


def _aware(timestamp: datetime) -> datetime:
    """A time without a zone is UTC."""
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def _agree(settings: Settings, other: Settings) -> bool:
    return settings.keys() == other.keys() and all(_equal(key, settings[key], other[key]) for key in settings)


def _equal(key: Key, value: Json, other: Json) -> bool:
    return same(key, value, other) and same(key, other, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What the versions tell about the current one. Indexes are those of the states.

    `current` is the state that the current version came from, None where it came from none. `last` is the last one that
    any version came from. `is_repeated`: an older version asks the same as the current one, so it may have been put
    back on purpose; `is_doubtful`: and what it replaced may have come from a later state of the file.
    """

    current: int | None
    last: int | None
    is_repeated: bool = False
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _AssignedVersion:
    """One version, and for each state the most versions that can be assigned in order so that this one is the last."""

    query: Json
    made: datetime | None
    lengths: Mapping[int, int]

    @property
    def longest(self) -> int:
        return max(self.lengths.values(), default=0)

    @property
    def index(self) -> int:
        """The last state on which the longest assignment can end."""
        return max(index for index, length in self.lengths.items() if length == self.longest)


def align(lineage: Lineage, versions: Iterable[EndpointVersion]) -> Alignment:
    """Assign the versions to states, oldest first. A version that has no place in the longest assignment is foreign."""
    assigned = _assigned(lineage, sorted(versions, key=lambda version: version.version))
    longest = max((version.longest for version in assigned), default=0)
    if longest == 0:
        return Alignment(current=None, last=None)
    *before, current = assigned
    if current.longest < longest:
        return Alignment(
            current=None, last=next(version.index for version in reversed(assigned) if version.longest == longest)
        )
    is_repeated = any(same(Key.QUERY, version.query, current.query) for version in before)
    return Alignment(
        current=current.index,
        last=current.index,
        is_repeated=is_repeated,
        is_doubtful=is_repeated and any(_may_be_later(lineage, version, current) for version in before),
    )


def _may_be_later(lineage: Lineage, before: _AssignedVersion, current: _AssignedVersion) -> bool:
    """Whether an older version may as well come from a later state, which existed when the version was made."""
    return any(
        index > current.index and length >= current.longest - 1 and not lineage.states[index].is_later_than(before.made)
        for index, length in before.lengths.items()
    )


def _assigned(lineage: Lineage, versions: Iterable[EndpointVersion]) -> list[_AssignedVersion]:
    """The assignment of each version. `longest[n]` is the longest of the versions so far to the first n turns."""
    indexes = _turns(lineage)
    longest = [0] * (len(indexes) + 1)
    assigned: list[_AssignedVersion] = []
    for version in versions:
        query = normalized_query(version.query)
        matching = [count for count, index in enumerate(indexes) if lineage.matches(index, Key.QUERY, query)]
        lengths = {count: longest[count] + 1 for count in matching}
        made = version.version_created_at
        assigned.append(
            _AssignedVersion(query=query, made=made, lengths={indexes[count]: lengths[count] for count in matching})
        )
        for count in range(len(indexes)):
            longest[count + 1] = max(longest[count], longest[count + 1], lengths.get(count, 0))
    return assigned


def _turns(lineage: Lineage) -> list[int]:
    """The indexes of the states in which the query changed."""
    states = lineage.states
    return [
        index
        for index in range(len(states))
        if index == 0 or not lineage.says(index - 1, Key.QUERY, states[index].settings[Key.QUERY])
    ]
