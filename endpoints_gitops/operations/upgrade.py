"""`upgrade`: pins move to other versions. What a move does to the app is judged first; what breaks it is not done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, VersionNotFound
from endpoints_gitops.contract.build import from_pin
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, Context
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.contract.pins import CONSUMER
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.agreement import command
from endpoints_gitops.operations.pinning import Side, Types, inactive, pin_of, read_named, read_types
from endpoints_gitops.operations.together import each


class Result(StrEnum):
    """What comes of a pin."""

    MOVES = "moves"
    REFUSED = "refused"
    CURRENT = "current"
    EXACT = "exact"
    """A newer version is there, and the manifest states this one."""
    HELD = "held"
    """Newer versions are there, and under `--compatible-only` none of them will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the command line lets happen; `reason` is what `--allow-breaking` says, and the lock records."""

    compatible_only: bool = False
    reason: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of one pin, with all that the move would change for the app. `newest` is what the server has."""

    use: Use
    before: Pin
    result: Result
    after: Pin | None = None
    newest: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_breaking(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def is_undecided(self) -> bool:
        """Whether all that speaks against the move is that nobody can tell."""
        against = [finding.code for finding in self.findings if finding.severity is Severity.ERROR]
        return bool(against) and all(RULES[code].is_undecidable for code in against)

    @property
    def rewrites_manifest(self) -> bool:
        """Whether the manifest states another version than the one that the pin moves to."""
        if self.result is not Result.MOVES or self.after is None:
            return False
        return self.use.version is not None and self.after.version != self.use.version


def plan_moves(side: Side, lock: Lock, targets: Mapping[str, int | None], allowed: Allowed) -> tuple[Move, ...]:
    """What would become of the pins of one environment. `targets` are the names to move with the version to move to,
    None for the newest; no targets at all are all pins.

    One request for what is there, and one for each version that a pin would move to. Raises UsageError for a version
    that was asked for and is not there.
    """
    pinned = [(use, pin) for use, pin in side.pinned(lock) if not targets or use.name in targets]
    if not pinned:
        return ()
    client = side.client()
    stated = {use.name: _stated(use, pin, targets) for use, pin in pinned}
    listed = read_named(client, [name for name, version in stated.items() if version is None])
    goals = {
        use.name: stated[use.name] or _goal(use, pin, listed.get(use.name), is_named=use.name in targets)
        for use, pin in pinned
    }
    moving = [(name, goal) for name, goal in goals.items() if not isinstance(goal, Result)]
    answers = each(lambda one: _version(client, side, *one), moving)
    found = {name: answer for (name, _), answer in zip(moving, answers, strict=True) if answer is not None}
    judge = _Judge(side=side, client=client, types=read_types(client, tuple(found.values())), allowed=allowed)
    return tuple(
        judge.result(use, pin, goals[use.name], found.get(use.name), listed.get(use.name)) for use, pin in pinned
    )


def upgraded(lock: Lock, moves: Iterable[Move]) -> Lock:
    """The lock with the pins that move where they move to."""
    after = {(move.before.environment, move.before.name): move.after for move in moves if move.result is Result.MOVES}
    return Lock(pins=tuple(after.get((pin.environment, pin.name)) or pin for pin in lock.pins))


def findings_of(use: Use, pin: Pin, target: Contract, *, is_unknown_error: bool = True) -> tuple[Finding, ...]:
    """What the move of a pin changes for the app, as it reads; no severity drops."""
    caller = Caller(name=CONSUMER, version=pin.version, reads=use.reads, columns=use.columns)
    context = Context(callers=(caller,), is_move=True, is_unknown_error=is_unknown_error)
    return compare(from_pin(pin), target, context)


def gone(pin: Pin) -> Finding:
    """The finding that the server has no endpoint of that name any more."""
    message = f"there is no endpoint {pin.name} in environment {pin.environment} any more"
    return RULES["P102"].finding(pin.name, message, locus="version", version=pin.version, before=pin.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Judges the moves of one environment."""

    side: Side
    client: Client
    types: Types
    allowed: Allowed

    def result(
        self, use: Use, pin: Pin, goal: int | Result, target: EndpointVersion | None, listed: Endpoint | None
    ) -> Move:
        """`target` is the version that the pin would move to, `listed` the endpoint where the newest was asked for."""
        if isinstance(goal, Result) and goal is not Result.REFUSED:
            newest = listed.current_version if listed else None
            return Move(use=use, before=pin, result=goal, newest=newest)
        if target is None:
            return Move(use=use, before=pin, result=Result.REFUSED, findings=(gone(pin),))
        move = self._move(use, pin, target)
        is_held = move.result is Result.REFUSED and self.allowed.compatible_only and listed is not None
        return self._newest_compatible(move) if is_held else move

    def _move(self, use: Use, pin: Pin, target: EndpointVersion) -> Move:
        contract = self.types.contract(target)
        examples = self.side.examples(use)
        after = pin_of(self.side.environment, target, contract, examples=examples, allowed=pin.allowed)
        move = Move(use=use, before=pin, result=Result.CURRENT, newest=target.current_version)
        if replace(after, examples=pin.examples) == pin:
            return move
        found = findings_of(use, pin, contract, is_unknown_error=not self.allowed.unknown)
        move = replace(move, result=Result.MOVES, after=after, findings=(*found, *_off(pin, target)))
        if not move.is_breaking:
            return move
        if self.allowed.reason is None:
            return replace(move, result=Result.REFUSED)
        return replace(move, after=replace(after, allowed=(*pin.allowed, self.allowed.reason)))

    def _newest_compatible(self, move: Move) -> Move:
        """The move to the newest of the versions in between that breaks nothing."""
        pin, newest = move.before, move.newest or 0
        between = [one for one in self.client.list_versions(pin.name) if pin.version < one.version < newest]
        types = self.types if self.types.shared is not None else read_types(self.client, between)
        moves = (replace(self, types=types)._move(move.use, pin, one) for one in between)
        held = replace(move, result=Result.HELD, after=None)
        return next((one for one in moves if one.result is Result.MOVES), held)


def _stated(use: Use, pin: Pin, targets: Mapping[str, int | None]) -> int | None:
    """The version that the command line says, or else the manifest where that was changed by hand."""
    said = targets.get(use.name)
    if said is None and use.version is not None and use.version != pin.version:
        return use.version
    return said


def _goal(use: Use, pin: Pin, endpoint: Endpoint | None, *, is_named: bool) -> int | Result:
    """The newest version, for a pin that has to move to be there. An exact use moves only where it is named."""
    if endpoint is None:
        return Result.REFUSED
    if endpoint.id == pin.endpoint_id and endpoint.current_version <= pin.version:
        return Result.CURRENT
    return Result.EXACT if use.version is not None and not is_named else endpoint.current_version


def _version(client: Client, side: Side, name: str, number: int) -> EndpointVersion | None:
    try:
        return client.get_version(name, number)
    except EndpointNotFound:
        return None
    except VersionNotFound as error:
        message = f"environment {side.environment} has no version {number} of {name}"
        fix = command(f"versions {name}", side.environment)
        raise UsageError(message, where=_said_in(side, name, number), fix=fix, code="lock.version") from error


def _said_in(side: Side, name: str, number: int) -> str | None:
    """The place in the manifest, where it is the one that says so."""
    return side.place_of(name) if side.use(name).version == number else None


def _off(pin: Pin, target: EndpointVersion) -> Iterator[Finding]:
    said = inactive(target)
    if said is not None:
        yield RULES["P104"].finding(
            pin.name, said, locus="version.active", version=target.version, before=True, after=False
        )
