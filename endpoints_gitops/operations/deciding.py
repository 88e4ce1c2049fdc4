"""What a pull does about one name, decided from what was judged: pure, so that every case is a row of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from endpoints_gitops.operations.shared_settings import Settings
from endpoints_gitops.plan.judging import Difference, Judged, Presence, Verdict
from endpoints_gitops.plan.meaning import Key, of_endpoint


class Side(StrEnum):
    """Whose word counts where both moved."""

    THEIRS = "theirs"
    MINE = "mine"


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """`side` is for what moved on both sides; `guess_theirs` takes the server's where nobody can tell who moved."""

    side: Side | None = None
    guess_theirs: bool = False


class State(StrEnum):
    """What became of one name."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"
    KEPT = "kept"
    CONFLICT = "conflict"
    UNDECIDED = "undecided"
    GONE = "gone"
    ONLY_HERE = "only here"
    PREDECESSOR = "kept for its callers"
    PRUNED = "pruned"
    DELETED = "deleted here"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about one name.

    `taken` are the keys that the file takes from the server, `kept` those whose conflict the file wins, `ahead` those
    in which it has something new. `against` are the differences that need a word of a person; `settings` are taken too
    where `takes_settings`.
    """

    judged: Judged
    state: State
    taken: frozenset[Key] = frozenset()
    kept: frozenset[Key] = frozenset()
    ahead: tuple[Key, ...] = ()
    against: tuple[Difference, ...] = ()
    settings: Settings | None = None
    takes_settings: bool = False

    @property
    def name(self) -> str:
        return self.judged.name


def decide(judged: Judged, how: How, settings: Settings | None = None) -> Decision:
    """What to do about one name. `settings` are those of shared variables in which file and project differ.

    What follows from another key alone (a table that an inactive endpoint cannot have) is not for a file to take.
    """
    if judged.presence is Presence.ONLY_THERE:
        return Decision(judged=judged, state=State.CREATED)
    if judged.presence is Presence.ONLY_HERE:
        gone = State.KEPT if how.side is Side.MINE else State.GONE
        return Decision(judged=judged, state=gone if judged.gone else State.ONLY_HERE)
    assert judged.endpoint is not None, "both sides are there"
    comparable = of_endpoint(judged.endpoint)
    differences = [one for one in judged.differences if one.key in comparable]
    conflicts = [one for one in differences if one.verdict is Verdict.CONFLICT]
    theirs = [one for one in conflicts if how.side is Side.THEIRS or (how.guess_theirs and not one.is_known)]
    kept = conflicts if how.side is Side.MINE else []
    against = tuple(one for one in conflicts if one not in theirs and one not in kept)
    drifted = [one for one in differences if one.verdict is Verdict.DRIFTED]
    decision = Decision(
        judged=judged,
        state=State.UNCHANGED,
        taken=frozenset(one.key for one in (*drifted, *theirs)),
        kept=frozenset(one.key for one in kept),
        ahead=tuple(one.key for one in differences if one.verdict is Verdict.AHEAD),
        against=against,
        settings=settings,
        takes_settings=settings is not None and _takes(settings, how),
    )
    return replace(decision, state=_state(decision, how))


def _takes(settings: Settings, how: How) -> bool:
    if settings.verdict is Verdict.CONFLICT:
        return how.side is Side.THEIRS or how.guess_theirs
    return settings.verdict is Verdict.DRIFTED


def _state(decision: Decision, how: How) -> State:
    settings = None if decision.takes_settings else decision.settings
    in_conflict = settings is not None and settings.verdict is Verdict.CONFLICT
    if any(one.is_known for one in decision.against):
        return State.CONFLICT
    if decision.against or (in_conflict and how.side is not Side.MINE):
        return State.UNDECIDED
    if decision.taken or decision.takes_settings:
        return State.UPDATED
    if decision.kept or in_conflict:
        return State.KEPT
    return State.AHEAD if decision.ahead or settings is not None else State.UNCHANGED
