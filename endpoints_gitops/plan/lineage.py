"""How what the server has fits into the line of what the file was: states of the file, oldest first, the file last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.evidence import Evidence
from endpoints_gitops.plan.meaning import SERVER_DEFAULTS, Key, Meaning, same

GIT_RESOLUTION: Final = timedelta(seconds=1)
"""Git writes the second that a commit was made in, so it was made at that time or up to this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The file from one commit on, or as it is now and in no commit: then `commit` and `at` are None.

    `supersedes` is known of commits alone.
    """

    meaning: Meaning
    commit: str | None = None
    at: datetime | None = None
    supersedes: int | None = None

    @property
    def label(self) -> str:
        return f"commit {self.commit[:7]}" if self.commit else "an edit that is not committed"

    def is_later_than(self, moment: datetime | None) -> bool:
        """Known to be later: an edit that is in no commit is of now, and of an unknown moment nothing is known."""
        return self.at is None or (moment is not None and _aware(moment) < self.at)

    def may_be_later_than(self, moment: datetime | None) -> bool:
        """The same, where it counts for later that git's clock does not tell the two apart."""
        return self.at is None or (moment is not None and _aware(moment) < self.at + GIT_RESOLUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """`states` has those that said something: where there was no file, or none that loads, nothing was meant."""

    states: tuple[State, ...]

    @classmethod
    def of(cls, evidence: Evidence, file: Meaning) -> Self | None:
        """None where history cannot be had. The file as it is now is the last state, in a commit or in none."""
        if evidence.history is None:
            return None
        states = [
            State(meaning=past.meaning, commit=past.commit, at=past.committed_at, supersedes=past.supersedes)
            for past in reversed(evidence.history)
            if past.meaning is not None
        ]
        if evidence.is_dirty or not states or not _agree(states[-1].meaning, file):
            states.append(State(meaning=file))
        return cls(states=tuple(states))

    @property
    def is_new(self) -> bool:
        """Whether no commit knows the file."""
        return len(self.states) == 1 and self.states[0].commit is None

    def answered(self, version: int) -> State | None:
        """The commit since which the file supersedes this version; None where that is not committed."""
        found = None
        for state in reversed([state for state in self.states if state.commit is not None]):
            if state.supersedes != version:
                break
            found = state
        return found

    def beginning(self, key: Key, file: Json) -> int:
        """From which state on the file says what it says now."""
        place = len(self.states) - 1
        while place > 0 and self.says(place - 1, key, file):
            place -= 1
        return place

    def latest(self, key: Key, server: Json, *, after: int = -1) -> int | None:
        """The last state before the file's own, and after `after`, that says what the server has."""
        places = range(len(self.states) - 2, after, -1)
        return next((place for place in places if self.matches(place, key, server)), None)

    def latest_before(self, moment: datetime | None, key: Key, value: Json) -> int | None:
        """The last state that says this and was there at the moment."""
        places = range(len(self.states) - 1, -1, -1)
        return next(
            (place for place in places if self.matches(place, key, value) and not self._is_after(place, moment)), None
        )

    def latest_without(self, key: Key, server: Json) -> int | None:
        """The last state that did not manage the key, where the server has its default."""
        if not is_default(key, server):
            return None
        places = range(len(self.states) - 2, -1, -1)
        return next((place for place in places if key not in self.states[place].meaning), None)

    def matches(self, place: int, key: Key, server: Json) -> bool:
        meaning = self.states[place].meaning
        return key in meaning and same(key, meaning[key], server)

    def says(self, place: int, key: Key, file: Json) -> bool:
        """Equal both ways: a state that leaves a variable open says something else."""
        meaning = self.states[place].meaning
        return key in meaning and _equal(key, meaning[key], file)

    def _is_after(self, place: int, moment: datetime | None) -> bool:
        at = self.states[place].at
        return moment is not None and (at is None or at > _aware(moment))


def is_default(key: Key, server: Json) -> bool:
    """Whether the server has what it gives where nobody said anything; a query has no default."""
    return key in SERVER_DEFAULTS and same(key, server, SERVER_DEFAULTS[key])


def _aware(moment: datetime) -> datetime:
    """A server that says no zone means UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _agree(one: Meaning, other: Meaning) -> bool:
    return one.keys() == other.keys() and all(_equal(key, one[key], other[key]) for key in one)


def _equal(key: Key, one: Json, other: Json) -> bool:
    return same(key, one, other) and same(key, other, one)
