"""`lock`: pins for the uses of the manifest. Those that are there stay; what is new is read from the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from endpoints_gitops.advice import Advice
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, VersionNotFound
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.errors import MOST_PROBLEMS
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.lock.mismatches import command, lock_mismatches
from endpoints_gitops.operations.lock.pins import EnvironmentUses, inactive, pin_of, read_named, read_types


class PinAction(StrEnum):
    """What happened to a pin."""

    ADDED = "added"
    DROPPED = "dropped"
    CHANGED = "changed"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinEntry:
    """One pin of the lock; `note` is what its user should know."""

    action: PinAction
    pin: Pin
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLock:
    """The lock that the manifest asks for.

    Nothing may be written where there are `moves`, which are versions changed by hand, each with its environment, or
    `failures`, which are what the server does not have.
    """

    entries: tuple[PinEntry, ...] = ()
    moves: tuple[tuple[str, Finding], ...] = ()
    failures: tuple[ErrorEntry, ...] = ()

    @property
    def lock(self) -> Lock:
        kept = (entry.pin for entry in self.entries if entry.action is not PinAction.DROPPED)
        return Lock(pins=tuple(sorted(kept, key=lambda pin: (pin.environment, pin.name))))


def resolve(sides: Sequence[EnvironmentUses], old: Lock, *, is_whole: bool) -> ResolvedLock:
    """Resolve the uses of these environments; with `is_whole` they are all there are, and pins of others are dropped.

    The server is asked only for uses without a pin.
    """
    moves = tuple((side.environment, move) for side in sides for move in _moves(side, old))
    if moves:
        return ResolvedLock(moves=moves)
    found = [_resolved(side, old) for side in sides]
    failures = tuple(failure for _, some in found for failure in some)
    if failures:
        return ResolvedLock(failures=failures)
    covered = {side.environment for side in sides}
    others = (pin for pin in old.pins if pin.environment not in covered)
    rest = [PinEntry(action=PinAction.DROPPED if is_whole else PinAction.KEPT, pin=pin) for pin in others]
    entries = [*rest, *(entry for some, _ in found for entry in some)]
    return ResolvedLock(entries=tuple(sorted(entries, key=lambda entry: (entry.pin.environment, entry.pin.name))))


def _moves(side: EnvironmentUses, old: Lock) -> Iterable[Finding]:
    found = lock_mismatches(side.environment, side.uses, old, side.place_of)
    return (finding for finding in found if finding.before is not None and finding.after is not None)


def _resolved(side: EnvironmentUses, old: Lock) -> tuple[list[PinEntry], list[ErrorEntry]]:
    kept = [_kept(side, use, pin) for use, pin in side.pinned(old)]
    used = {use.name for use in side.uses}
    dropped = [PinEntry(action=PinAction.DROPPED, pin=pin) for pin in old.of(side.environment) if pin.name not in used]
    new = [use for use in side.uses if old.pin(use.name, side.environment) is None]
    if not new:
        return [*kept, *dropped], []
    client = side.client()
    there, failures = _ask(client, side, new)
    types = read_types(client, tuple(there.values())) if not failures else None
    if types is None:
        return [], failures
    added = [_added(side, use, there[use.name], types.contract(there[use.name])) for use in new]
    return [*kept, *dropped, *added], []


def _kept(side: EnvironmentUses, use: Use, pin: Pin) -> PinEntry:
    examples = side.examples(use)
    if examples == pin.examples:
        return PinEntry(action=PinAction.KEPT, pin=pin)
    return PinEntry(action=PinAction.CHANGED, pin=replace(pin, examples=examples), note="other examples")


def _added(side: EnvironmentUses, use: Use, endpoint: Endpoint, contract: Contract) -> PinEntry:
    pin = pin_of(side.environment, endpoint, contract, examples=side.examples(use))
    return PinEntry(action=PinAction.ADDED, pin=pin, note=inactive(endpoint))


def _ask(client: Client, side: EnvironmentUses, uses: Sequence[Use]) -> tuple[dict[str, Endpoint], list[ErrorEntry]]:
    """What the server has for each use, and what it does not have."""
    newest = [use.name for use in uses if use.version is None]
    exact = [use for use in uses if use.version is not None]
    there = {name: one for name, one in read_named(client, newest).items() if name in newest}
    versions = zip(exact, concurrent_map(partial(_version, client), exact), strict=True)
    there |= {use.name: version for use, version in versions if version is not None}
    lacking = [use for use in uses if use.name not in there]
    names = {endpoint.name: endpoint for endpoint in client.list_endpoints()} if lacking else {}
    failures = [_failure(side, use, names) for use in lacking[:MOST_PROBLEMS]]
    if more := len(lacking) - len(failures):
        message = f"environment {side.environment} lacks {more:,} more of the endpoints that are used"
        failures.append(ErrorEntry(code="lock.endpoint", message=message, fix=command(side.environment, "list")))
    return there, failures


def _version(client: Client, use: Use) -> Endpoint | None:
    assert use.version is not None, "only uses that state a version come here"
    try:
        return client.get_version(use.name, use.version)
    except (EndpointNotFound, VersionNotFound):
        return None


def _failure(side: EnvironmentUses, use: Use, there: Mapping[str, Endpoint]) -> ErrorEntry:
    from endpoints_gitops.model.suggestions import did_you_mean

    where, environment = side.place_of(use.name), side.environment
    endpoint = there.get(use.name)
    if endpoint is None:
        fix = Advice(command(environment, "list"), " shows what is there; correct the name in `uses`")
        message = f"environment {environment} has no endpoint {use.name!r}{did_you_mean(use.name, sorted(there))}"
        return ErrorEntry(code="lock.endpoint", message=message, where=where, fix=fix)
    newest = endpoint.current_version
    message = f"environment {environment} has no version {use.version} of {use.name}; its newest is {newest}"
    return ErrorEntry(code="lock.version", message=message, where=where, fix=f"write version = {newest}")
