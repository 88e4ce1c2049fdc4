"""`upgrade` and `outdated`: which pins are behind or changed, and how they move to other versions.

What a move does to the app is judged first; a move that breaks it is not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, VersionNotFound
from endpoints_gitops.contract.build import from_pin
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.contract.pins import CONSUMER, activity, behind, recreated
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.lock.mismatches import command
from endpoints_gitops.operations.lock.resolve import (
    EnvironmentUses,
    Lookup,
    VariableTypes,
    findings_in_place,
    look_up,
    pin_of,
    read_named,
    read_types,
)


class MoveResult(StrEnum):
    """The outcome of one pin."""

    MOVES = "moves"
    REFUSED = "refused"
    CURRENT = "current"
    EXACT = "exact"
    """A newer version exists, and the manifest states this one."""
    CHANGED = "changed"
    """The pinned version itself changed; naming its number locks it again."""
    HELD = "held"
    """Newer versions exist, and none of them is compatible (`--compatible-only`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOptions:
    """What the command line allows; `reason` is that of `--allow-breaking`, which the lock records."""

    compatible_only: bool = False
    reason: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The outcome of one pin, with the findings for the app if it moves. `newest` is the server's current version.

    `in_place` are the changes of the pinned version itself, where a pin that was to move stays.
    """

    use: Use
    before: Pin
    result: MoveResult
    after: Pin | None = None
    newest: int | None = None
    findings: tuple[Finding, ...] = ()
    in_place: tuple[Finding, ...] = ()

    @property
    def is_breaking(self) -> bool:
        """Whether the move breaks the app. P111 only says that a version changed; its cause has the severity."""
        return bool(self._errors)

    @property
    def is_undecided(self) -> bool:
        """Whether the only findings against the move are undecidable ones."""
        return self.is_breaking and all(RULES[code].is_undecidable for code in self._errors)

    @property
    def _errors(self) -> tuple[str, ...]:
        """The codes of the findings against the move."""
        errors = (finding for finding in self.findings if finding.counts and finding.severity is Severity.ERROR)
        return tuple(finding.code for finding in errors if finding.code != "P111")

    @property
    def rewrites_manifest(self) -> bool:
        """Whether the manifest states another version than the one that the pin moves to."""
        if self.result is not MoveResult.MOVES or self.after is None:
            return False
        return self.use.version is not None and self.after.version != self.use.version


def plan_moves(
    side: EnvironmentUses, lock: Lock, targets: Mapping[str, int | None], allowed: UpgradeOptions
) -> tuple[Move, ...]:
    """Plan the moves of the pins of one environment. `targets` has the names to move, each with a version or None for
    the newest; without targets, all pins move to the newest.

    Makes one request for each pin, and one for each version that a pin would move to. Raises UsageError for a version
    that does not exist, and ApiError.
    """
    pinned = [(use, pin) for use, pin in side.pinned(lock) if not targets or use.name in targets]
    if not pinned:
        return ()
    client = side.client()
    lookups = look_up(client, [pin for _, pin in pinned])
    if (error := next((lookup.error for lookup in lookups if lookup.error is not None), None)) is not None:
        raise error
    goals = [_goal(use, pin, lookup, targets) for (use, pin), lookup in zip(pinned, lookups, strict=True)]
    moving = [
        (pin.name, goal)
        for (_, pin), goal in zip(pinned, goals, strict=True)
        if goal is not None and goal != pin.version
    ]
    answers = dict(zip(moving, concurrent_map(lambda target: _version(client, side, *target), moving), strict=True))
    versions = [*(lookup.version for lookup in lookups), *answers.values()]
    types = read_types(client, [version for version in versions if version is not None])
    planner = _MovePlanner(side=side, client=client, types=types, allowed=allowed)
    return tuple(
        planner.in_place(
            use, pin, lookup, is_stated=_stated(use, pin, targets) is not None, is_named=use.name in targets
        )
        if goal == pin.version
        else planner.to(
            use, pin, lookup, answers.get((pin.name, goal or 0)), is_newest=_stated(use, pin, targets) is None
        )
        for (use, pin), lookup, goal in zip(pinned, lookups, goals, strict=True)
    )


def upgraded(lock: Lock, moves: Iterable[Move]) -> Lock:
    """The lock after these moves."""
    after = {
        (move.before.environment, move.before.name): move.after for move in moves if move.result is MoveResult.MOVES
    }
    return Lock(pins=tuple(after.get((pin.environment, pin.name)) or pin for pin in lock.pins))


def findings_of(use: Use, pin: Pin, target: Contract, *, is_unknown_error: bool = True) -> tuple[Finding, ...]:
    """The findings of a move for the app, as it reads; no severity is lowered."""
    caller = Caller(name=CONSUMER, version=pin.version, reads=use.reads, columns=use.columns)
    context = RuleContext(callers=(caller,), is_move=True, is_unknown_error=is_unknown_error)
    return compare(from_pin(pin), target, context)


def gone(pin: Pin) -> Finding:
    """The finding for a pin whose endpoint no longer exists."""
    message = f"environment {pin.environment} no longer has an endpoint {pin.name}"
    return RULES["P102"].finding(pin.name, message, locus="version", version=pin.version, before=pin.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MovePlanner:
    """Plans the moves of one environment."""

    side: EnvironmentUses
    client: Client
    types: VariableTypes
    allowed: UpgradeOptions

    def in_place(self, use: Use, pin: Pin, lookup: Lookup, *, is_stated: bool, is_named: bool) -> Move:
        """The outcome of a pin that stays at its version. Changes of that version are reported, and locked only where
        the version is stated explicitly.
        """
        newest = lookup.endpoint.current_version if lookup.endpoint else None
        if lookup.version is not None and lookup.version.id != pin.endpoint_id:
            move = self._to(use, pin, lookup.version)
            is_held = move.result is MoveResult.REFUSED and self.allowed.compatible_only and not is_stated
            return replace(move, result=MoveResult.HELD, after=None) if is_held else move
        findings = self.side.judge(findings_in_place(use, pin, lookup, self.types))
        move = Move(use=use, before=pin, result=MoveResult.CURRENT, newest=newest, findings=findings)
        if lookup.version is None:
            return replace(move, result=MoveResult.REFUSED)
        contract = self.types.contract(lookup.version)
        if pin.materialized and lookup.version.has_idled(datetime.now(UTC)):
            contract = replace(contract, serving=replace(contract.serving, materialized=True))
        after = pin_of(
            pin.environment,
            lookup.version,
            contract,
            examples=pin.examples,
            allowed=pin.allowed,
            deprecation=pin.deprecation,
        )
        if after != pin:
            notice = self.side.notice(use.name, pin.deprecation)
            after = replace(after, examples=self.side.examples(use), deprecation=notice)
            result = MoveResult.MOVES if is_stated else MoveResult.CHANGED
            move = replace(move, result=result, after=after)
            return self._allowed(move) if is_stated else move
        if move.is_breaking:  # a version that was switched off: there is nothing to lock again
            return replace(move, result=MoveResult.CHANGED)
        is_exact = use.version is not None and newest is not None and newest > pin.version and not is_named
        return replace(move, result=MoveResult.EXACT) if is_exact else move

    def to(self, use: Use, pin: Pin, lookup: Lookup, target: EndpointVersion | None, *, is_newest: bool) -> Move:
        """The outcome of a pin that is to move to the target; None where that does not exist.

        `is_newest`: the target is the newest version, not a stated one.
        """
        if target is None:
            return Move(use=use, before=pin, result=MoveResult.REFUSED, findings=(gone(pin),))
        move = self._to(use, pin, target)
        if move.result is MoveResult.REFUSED and self.allowed.compatible_only and is_newest:
            move = self._newest_compatible(move)
        if move.result is MoveResult.MOVES or lookup.endpoint is None or lookup.endpoint.id != pin.endpoint_id:
            return move
        return replace(move, in_place=self.in_place(use, pin, lookup, is_stated=False, is_named=False).findings)

    def _to(self, use: Use, pin: Pin, target: EndpointVersion) -> Move:
        contract = self.types.contract(target)
        examples = self.side.examples(use)
        after = pin_of(
            self.side.environment,
            target,
            contract,
            examples=examples,
            allowed=pin.allowed,
            deprecation=self.side.notice(use.name, pin.deprecation),
        )
        changes = findings_of(use, pin, contract, is_unknown_error=not self.allowed.unknown)
        findings = self.side.judge((*changes, *activity(pin, target, target)))
        return self._allowed(
            Move(
                use=use,
                before=pin,
                result=MoveResult.MOVES,
                after=after,
                newest=target.current_version,
                findings=findings,
            )
        )

    def _allowed(self, move: Move) -> Move:
        """The move, refused where it breaks the app and no reason was given, else with the reason."""
        if not move.is_breaking or move.after is None:
            return move
        if self.allowed.reason is None:
            return replace(move, result=MoveResult.REFUSED)
        return replace(move, after=replace(move.after, allowed=(*move.before.allowed, self.allowed.reason)))

    def _newest_compatible(self, move: Move) -> Move:
        """The move to the newest version in between that breaks nothing; held where there is none."""
        pin, newest = move.before, move.newest or 0
        between = [version for version in self.client.list_versions(pin.name) if pin.version < version.version < newest]
        types = self.types if self.types.shared is not None else read_types(self.client, between)
        moves = (replace(self, types=types)._to(move.use, pin, version) for version in between)
        held = replace(move, result=MoveResult.HELD, after=None)
        return next((move for move in moves if move.result is MoveResult.MOVES), held)


def _stated(use: Use, pin: Pin, targets: Mapping[str, int | None]) -> int | None:
    """The version that the command line states, else that of a manifest which was changed by hand."""
    stated = targets.get(use.name)
    if stated is None and use.version is not None and use.version != pin.version:
        return use.version
    return stated


def _goal(use: Use, pin: Pin, lookup: Lookup, targets: Mapping[str, int | None]) -> int | None:
    """The version to move to: the newest, where the pin may move to it; None where the endpoint is gone. An exact use
    moves only where its name is stated.
    """
    stated = _stated(use, pin, targets)
    if stated is not None or lookup.endpoint is None:
        return stated
    newest = lookup.endpoint.current_version
    if lookup.endpoint.id != pin.endpoint_id:
        return newest
    may_move = use.version is None or use.name in targets
    return newest if newest > pin.version and may_move else pin.version


def _version(client: Client, side: EnvironmentUses, name: str, number: int) -> EndpointVersion | None:
    try:
        return client.get_version(name, number)
    except EndpointNotFound:
        return None
    except VersionNotFound as error:
        message = f"environment {side.environment} has no version {number} of {name}"
        fix = command(side.environment, "versions", name)
        raise UsageError(message, where=_place_in_manifest(side, name, number), fix=fix, code="lock.version") from error


def _place_in_manifest(side: EnvironmentUses, name: str, number: int) -> str | None:
    """The place in the manifest, where that states the version."""
    return side.place_of(name) if side.use(name).version == number else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinStatus:
    """One pin compared with the newest version. `finding` says that it is behind or gone, None where it is neither.

    `in_place` are the changes of the pinned version itself, `moves` the findings of a move to the newest.
    """

    use: Use
    pin: Pin
    newest: int | None = None
    finding: Finding | None = None
    in_place: tuple[Finding, ...] = ()
    moves: tuple[Finding, ...] = ()


def outdated(side: EnvironmentUses, lock: Lock) -> tuple[PinStatus, ...]:
    """The status of the pins of one environment. Raises ApiError.

    Makes one request for each pin, one for those that are behind, and one more where the types of variables are needed.
    """
    pinned = side.pinned(lock)
    if not pinned:
        return ()
    client = side.client()
    lookups = look_up(client, [pin for _, pin in pinned])
    if (error := next((lookup.error for lookup in lookups if lookup.error is not None), None)) is not None:
        raise error
    moved = [pin.name for (_, pin), lookup in zip(pinned, lookups, strict=True) if _is_moved(pin, lookup.endpoint)]
    newest = read_named(client, moved)
    types = read_types(client, [*(lookup.version for lookup in lookups if lookup.version), *newest.values()])
    return tuple(
        _status(side, use, pin, lookup, newest.get(use.name), types)
        for (use, pin), lookup in zip(pinned, lookups, strict=True)
    )


def _is_moved(pin: Pin, endpoint: Endpoint | None) -> bool:
    return endpoint is not None and (endpoint.id != pin.endpoint_id or endpoint.current_version > pin.version)


def _status(
    side: EnvironmentUses, use: Use, pin: Pin, lookup: Lookup, newest: Endpoint | None, types: VariableTypes
) -> PinStatus:
    """The status of one pin. `newest` is the current endpoint, where the pin is behind."""
    if lookup.endpoint is None:
        return PinStatus(use=use, pin=pin, finding=gone(pin))
    if lookup.endpoint.id != pin.endpoint_id:
        moves = side.judge(findings_of(use, pin, types.contract(newest))) if newest is not None else ()
        number = lookup.endpoint.current_version
        return PinStatus(use=use, pin=pin, newest=number, finding=next(recreated(pin, lookup.endpoint)), moves=moves)
    in_place = side.judge(findings_in_place(use, pin, lookup, types))
    if newest is None:
        return PinStatus(use=use, pin=pin, newest=lookup.endpoint.current_version, in_place=in_place)
    moves = side.judge(findings_of(use, pin, types.contract(newest)))
    number = newest.current_version
    return PinStatus(
        use=use, pin=pin, newest=number, finding=behind(pin, number, moves), in_place=in_place, moves=moves
    )
