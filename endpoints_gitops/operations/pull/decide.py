"""Decide what a pull does with one name, from its diff alone: every case is a row of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from endpoints_gitops.plan.diff import Attribution, EndpointDiff, KeyDiff, Presence
from endpoints_gitops.plan.settings import Key


class Prefer(StrEnum):
    """Which side wins when both changed."""

    REMOTE = "theirs"
    LOCAL = "mine"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullStrategy:
    """`prefer` applies when both sides changed; `guess_remote` takes the server's when it is unknown which did."""

    prefer: Prefer | None = None
    guess_remote: bool = False


class PullState(StrEnum):
    """The outcome of one name."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"
    KEPT = "kept"
    CONFLICT = "conflict"
    UNDECIDED = "undecided"
    GONE = "gone"
    ONLY_LOCAL = "only here"
    PREDECESSOR = "kept for its callers"
    PRUNED = "pruned"
    DELETED = "deleted here"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableDiff:
    """The variables in which one definition and the project differ, and which side changed them."""

    names: tuple[str, ...]
    attribution: Attribution
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullDecision:
    """What to do with one name.

    `taken` are the keys that the file takes from the server, `kept` those whose conflict the file wins, `ahead` those
    in which the file has something new. `undecided` are the differences that the user has to decide. With
    `takes_variables`, the settings of the shared `variables` are taken too.
    """

    diff: EndpointDiff
    state: PullState
    taken: frozenset[Key] = frozenset()
    kept: frozenset[Key] = frozenset()
    ahead: tuple[Key, ...] = ()
    undecided: tuple[KeyDiff, ...] = ()
    variables: VariableDiff | None = None
    takes_variables: bool = False

    @property
    def name(self) -> str:
        """The name of the endpoint."""
        return self.diff.name


def decide(diff: EndpointDiff, strategy: PullStrategy, variables: VariableDiff | None = None) -> PullDecision:
    """Decide what to do with one name. `variables` are the shared variables in which file and project differ.

    What follows from another key alone (a table that an inactive endpoint cannot have) is not for a file to take.
    """
    if diff.presence is Presence.ONLY_REMOTE:
        return PullDecision(diff=diff, state=PullState.CREATED)
    if diff.presence is Presence.ONLY_LOCAL:
        missing = PullState.KEPT if strategy.prefer is Prefer.LOCAL else PullState.GONE
        return PullDecision(diff=diff, state=missing if diff.is_missing else PullState.ONLY_LOCAL)
    differences = [difference for difference in diff.differences if difference.key in diff.remote_settings]
    conflicts = [difference for difference in differences if difference.attribution is Attribution.CONFLICT]
    taken = [
        difference
        for difference in conflicts
        if strategy.prefer is Prefer.REMOTE or (strategy.guess_remote and not difference.is_known)
    ]
    kept = conflicts if strategy.prefer is Prefer.LOCAL else []
    drifted = [difference for difference in differences if difference.attribution is Attribution.DRIFTED]
    decision = PullDecision(
        diff=diff,
        state=PullState.UNCHANGED,
        taken=frozenset(difference.key for difference in (*drifted, *taken)),
        kept=frozenset(difference.key for difference in kept),
        ahead=tuple(difference.key for difference in differences if difference.attribution is Attribution.AHEAD),
        undecided=tuple(difference for difference in conflicts if difference not in taken and difference not in kept),
        variables=variables,
        takes_variables=variables is not None and _takes(variables, strategy),
    )
    return replace(decision, state=_state(decision, strategy))


def _takes(variables: VariableDiff, strategy: PullStrategy) -> bool:
    if variables.attribution is Attribution.CONFLICT:
        return strategy.prefer is Prefer.REMOTE or strategy.guess_remote
    return variables.attribution is Attribution.DRIFTED


def _state(decision: PullDecision, strategy: PullStrategy) -> PullState:
    variables = None if decision.takes_variables else decision.variables
    in_conflict = variables is not None and variables.attribution is Attribution.CONFLICT
    if any(difference.is_known for difference in decision.undecided):
        return PullState.CONFLICT
    if decision.undecided or (in_conflict and strategy.prefer is not Prefer.LOCAL):
        return PullState.UNDECIDED
    if decision.taken or decision.takes_variables:
        return PullState.UPDATED
    if decision.kept or in_conflict:
        return PullState.KEPT
    return PullState.AHEAD if decision.ahead or variables is not None else PullState.UNCHANGED
