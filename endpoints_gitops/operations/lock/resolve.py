"""`lock` and `lock --verify`: pins for the uses of the manifest, and whether the server still has what is pinned.

Existing pins stay. New ones are read from the server, with the fewest requests, and with a key that may only read
endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import (
    EndpointNotFound,
    Forbidden,
    GatewayFault,
    KeyKindRefused,
    MissingScope,
    OtherProject,
    ProjectNotFound,
    Throttled,
    Unauthenticated,
    Unreachable,
    VersionNotFound,
)
from endpoints_gitops.contract.build import from_version
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.errors import MOST_PROBLEMS, EndpointsError
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, Use, without_nulls
from endpoints_gitops.model.sunset import SunsetNotice
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.lock.mismatches import PlaceOf, command, lock_mismatches

_OF_EVERY_REQUEST: Final = (
    *(Unauthenticated, MissingScope, OtherProject, KeyKindRefused, ProjectNotFound),
    *(Throttled, Unreachable, GatewayFault),
)
"""Errors that are not about one endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentUses:
    """The uses of one environment.

    `client` is called when the server has to be asked. `examples` gives those that the pin of a use holds, `notice` the
    announcement of a name's removal, from its definition or as the pin already has it, and `place_of` the place of a
    name in the manifest. `judge` applies the policy to findings.
    """

    environment: str
    uses: tuple[Use, ...]
    client: Callable[[], Client]
    examples: Callable[[Use], tuple[PinnedExample, ...]]
    place_of: PlaceOf
    notice: Callable[[str, SunsetNotice | None], SunsetNotice | None] = lambda _, locked: locked
    judge: Callable[[Iterable[Finding]], tuple[Finding, ...]] = tuple

    def use(self, name: str) -> Use:
        return next(use for use in self.uses if use.name == name)

    def pinned(self, lock: Lock) -> tuple[tuple[Use, Pin], ...]:
        """The uses that are pinned, each with its pin."""
        pins = {pin.name: pin for pin in lock.of(self.environment)}
        return tuple((use, pins[use.name]) for use in self.uses if use.name in pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableTypes:
    """The types of variables: by the ids of the shared ones, or by code name for each endpoint and version."""

    shared: Mapping[str, InsightVariable] | None = None
    named: Mapping[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)

    def of(self, endpoint: Endpoint) -> Mapping[str, str] | None:
        return self.named.get((endpoint.name, endpoint.number))

    def contract(self, endpoint: Endpoint) -> Contract:
        return from_version(endpoint, self.shared, self.of(endpoint))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The endpoint and version of a pin on the server, None where it has none. `error` prevented the request."""

    endpoint: Endpoint | None = None
    version: EndpointVersion | None = None
    error: EndpointsError | None = None


def look_up(client: Client, pins: Sequence[Pin]) -> tuple[Lookup, ...]:
    """Request each pinned version, whose answer describes its endpoint too. A pin costs one request, and one more where
    the version is missing. An error is part of the result; one that every other request would meet too, such as a key
    that is refused, is that of the remaining pins, which are not requested.
    """
    met: list[EndpointsError] = []

    def look_up_unless_met(pin: Pin) -> Lookup:
        if met:
            return Lookup(error=met[0])
        lookup = _look_up(client, pin)
        if isinstance(lookup.error, _OF_EVERY_REQUEST):
            met.append(lookup.error)
        return lookup

    return concurrent_map(look_up_unless_met, pins)


def _look_up(client: Client, pin: Pin) -> Lookup:
    try:
        try:
            version = client.get_version(pin.name, pin.version)
        except VersionNotFound:
            return Lookup(endpoint=client.get_endpoint(pin.name))
        return Lookup(endpoint=version, version=version)
    except EndpointNotFound:
        return Lookup()
    except EndpointsError as error:
        return Lookup(error=error)


def findings_in_place(use: Use, pin: Pin, lookup: Lookup, types: VariableTypes) -> tuple[Finding, ...]:
    """The findings for changes of the pinned version itself, as the server has it now."""
    from endpoints_gitops.contract.pins import check_pin  # with all rules, which making pins does without

    named = types.of(lookup.version) if lookup.version is not None else None
    return check_pin(pin, lookup.endpoint, lookup.version, types.shared, named, use, datetime.now(UTC))


def read_types(client: Client, endpoints: Sequence[Endpoint]) -> VariableTypes:
    """The types of all variables of these endpoints; without variables, no request is made.

    A key with `endpoint:read` alone may not list the shared variables; then the OpenAPI document of each endpoint is
    read (docs/server.md#running). Raises ApiError.
    """
    with_variables = [endpoint for endpoint in endpoints if endpoint.query.get("variables")]
    if not with_variables:
        return VariableTypes()
    try:
        return VariableTypes(shared={variable.id: variable for variable in client.list_variables()})
    except Forbidden:
        named = concurrent_map(partial(_named_types, client), with_variables)
        keys = ((endpoint.name, endpoint.number) for endpoint in with_variables)
        return VariableTypes(named=dict(zip(keys, named, strict=True)))


def read_named(client: Client, names: Sequence[str]) -> dict[str, Endpoint]:
    """The endpoints of these names that exist: one request, and one more for each page of a long list."""
    if len(names) == 1:
        try:
            return {names[0]: client.get_endpoint(names[0])}
        except EndpointNotFound:
            return {}
    return {endpoint.name: endpoint for endpoint in client.list_endpoints()} if names else {}


def inactive(endpoint: Endpoint) -> str | None:
    """A note that the version or its endpoint is inactive; None where it can be run as far as the answer tells."""
    if not endpoint.is_active and isinstance(endpoint, EndpointVersion):
        return f"version {endpoint.version} of {endpoint.name} is inactive: calls of it are refused (400)"
    is_off = not (endpoint.endpoint_is_active if isinstance(endpoint, EndpointVersion) else endpoint.is_active)
    return f"{endpoint.name} is inactive: calls of it are a 404" if is_off else None


def pin_of(
    environment: str,
    endpoint: Endpoint,
    contract: Contract,
    *,
    examples: tuple[PinnedExample, ...] = (),
    allowed: tuple[str, ...] = (),
    deprecation: SunsetNotice | None = None,
) -> Pin:
    """The pin of an endpoint as a server answered; `contract` is built from the same answer."""
    assert contract.identity is not None, "a server's version has an identity"
    columns = contract.columns
    return Pin(
        environment=environment,
        name=endpoint.name,
        endpoint_id=endpoint.id,
        version=contract.identity.version,
        version_id=contract.identity.version_id,
        created_at=endpoint.created_at,
        query=without_nulls(endpoint.query),
        variables=tuple(
            PinnedVariable(
                name=variable.name,
                type=variable.type,
                required=variable.required,
                has_default=variable.has_default,
                default=variable.default,
            )
            for variable in contract.variables
        ),
        columns=None
        if columns is None
        else tuple(
            PinnedColumn(
                name=column.name,
                type=column.type,
                nullable=column.nullable,
                full=column.full,
                varies=column.varies and bool(contract.variables),
            )
            for column in columns
        ),
        materialized=contract.serving.materialized is True,
        freshness_seconds=contract.serving.freshness_seconds,
        optional_breakdown_properties=contract.serving.optional_breakdowns or (),
        bucket_overrides=contract.serving.bucket_overrides or None,
        examples=examples,
        allowed=allowed,
        deprecation=deprecation,
    )


def _named_types(client: Client, endpoint: Endpoint) -> Mapping[str, str]:
    from endpoints_gitops.operations.run import inputs_of_document

    document = client.openapi(endpoint.name, version=endpoint.number)
    return {name: str(variable.type) for name, variable in inputs_of_document(document).items()}


class PinAction(StrEnum):
    """The change of a pin."""

    ADDED = "added"
    DROPPED = "dropped"
    CHANGED = "changed"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinEntry:
    """One pin of the lock; `note` is for the user."""

    action: PinAction
    pin: Pin
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLock:
    """The lock that the manifest requires.

    The lock must not be written where there are `moves` (versions that were changed by hand, each with its
    environment), or `failures` (what the server does not have).
    """

    entries: tuple[PinEntry, ...] = ()
    moves: tuple[tuple[str, Finding], ...] = ()
    failures: tuple[ErrorEntry, ...] = ()

    @property
    def lock(self) -> Lock:
        kept = (entry.pin for entry in self.entries if entry.action is not PinAction.DROPPED)
        return Lock(pins=tuple(sorted(kept, key=lambda pin: (pin.environment, pin.name))))


def resolve(sides: Sequence[EnvironmentUses], old: Lock, *, is_whole: bool) -> ResolvedLock:
    """Resolve the uses of these environments. With `is_whole` there are no others, whose pins are dropped.

    The server is asked only for uses without a pin. Raises ApiError.
    """
    moves = tuple((side.environment, move) for side in sides for move in _moves(side, old))
    if moves:
        return ResolvedLock(moves=moves)
    resolved = [_resolved(side, old) for side in sides]
    failures = tuple(failure for _, found in resolved for failure in found)
    if failures:
        return ResolvedLock(failures=failures)
    covered = {side.environment for side in sides}
    others = (pin for pin in old.pins if pin.environment not in covered)
    rest = [PinEntry(action=PinAction.DROPPED if is_whole else PinAction.KEPT, pin=pin) for pin in others]
    entries = [*rest, *(entry for found, _ in resolved for entry in found)]
    return ResolvedLock(entries=tuple(sorted(entries, key=lambda entry: (entry.pin.environment, entry.pin.name))))


def _moves(side: EnvironmentUses, old: Lock) -> Iterable[Finding]:
    findings = lock_mismatches(side.environment, side.uses, old, side.place_of)
    return (finding for finding in findings if finding.before is not None and finding.after is not None)


def _resolved(side: EnvironmentUses, old: Lock) -> tuple[list[PinEntry], list[ErrorEntry]]:
    kept = [_kept(side, use, pin) for use, pin in side.pinned(old)]
    used = {use.name for use in side.uses}
    dropped = [PinEntry(action=PinAction.DROPPED, pin=pin) for pin in old.of(side.environment) if pin.name not in used]
    new = [use for use in side.uses if old.pin(use.name, side.environment) is None]
    if not new:
        return [*kept, *dropped], []
    client = side.client()
    endpoints, failures = _ask(client, side, new)
    types = read_types(client, tuple(endpoints.values())) if not failures else None
    if types is None:
        return [], failures
    added = [_added(side, use, endpoints[use.name], types.contract(endpoints[use.name])) for use in new]
    return [*kept, *dropped, *added], []


def _kept(side: EnvironmentUses, use: Use, pin: Pin) -> PinEntry:
    examples, notice = side.examples(use), side.notice(use.name, pin.deprecation)
    changes = ("other examples" if examples != pin.examples else "", _notice_change(pin, notice))
    if not any(changes):
        return PinEntry(action=PinAction.KEPT, pin=pin)
    note = ", ".join(filter(None, changes))
    return PinEntry(action=PinAction.CHANGED, pin=replace(pin, examples=examples, deprecation=notice), note=note)


def _notice_change(pin: Pin, notice: SunsetNotice | None) -> str:
    """How the notice of a pin changes, in words; empty if it does not."""
    if notice == pin.deprecation:
        return ""
    return "no longer deprecated" if notice is None else f"deprecated: sunset {notice.sunset}"


def _added(side: EnvironmentUses, use: Use, endpoint: Endpoint, contract: Contract) -> PinEntry:
    notice = side.notice(use.name, None)
    pin = pin_of(side.environment, endpoint, contract, examples=side.examples(use), deprecation=notice)
    notes = (inactive(endpoint), f"deprecated: sunset {notice.sunset}" if notice else None)
    return PinEntry(action=PinAction.ADDED, pin=pin, note="; ".join(filter(None, notes)) or None)


def _ask(client: Client, side: EnvironmentUses, uses: Sequence[Use]) -> tuple[dict[str, Endpoint], list[ErrorEntry]]:
    """The endpoint of each use, and an entry for each use that the server does not have."""
    newest = [use.name for use in uses if use.version is None]
    exact = [use for use in uses if use.version is not None]
    endpoints = {name: endpoint for name, endpoint in read_named(client, newest).items() if name in newest}
    versions = zip(exact, concurrent_map(partial(_exact_version, client), exact), strict=True)
    endpoints |= {use.name: version for use, version in versions if version is not None}
    lacking = [use for use in uses if use.name not in endpoints]
    known = {endpoint.name: endpoint for endpoint in client.list_endpoints()} if lacking else {}
    failures = [_failure(side, use, known) for use in lacking[:MOST_PROBLEMS]]
    if more := len(lacking) - len(failures):
        message = f"environment {side.environment} lacks {more:,} more of the endpoints that are used"
        failures.append(ErrorEntry(code="lock.endpoint", message=message, fix=command(side.environment, "list")))
    return endpoints, failures


def _exact_version(client: Client, use: Use) -> Endpoint | None:
    assert use.version is not None, "only uses that state a version come here"
    try:
        return client.get_version(use.name, use.version)
    except (EndpointNotFound, VersionNotFound):
        return None


def _failure(side: EnvironmentUses, use: Use, known: Mapping[str, Endpoint]) -> ErrorEntry:
    from endpoints_gitops.model.suggestions import did_you_mean

    where, environment = side.place_of(use.name), side.environment
    endpoint = known.get(use.name)
    if endpoint is None:
        fix = Advice(command(environment, "list"), " shows what is there; correct the name in `uses`")
        message = f"environment {environment} has no endpoint {use.name!r}{did_you_mean(use.name, sorted(known))}"
        return ErrorEntry(code="lock.endpoint", message=message, where=where, fix=fix)
    newest = endpoint.current_version
    message = f"environment {environment} has no version {use.version} of {use.name}; its newest is {newest}"
    return ErrorEntry(code="lock.version", message=message, where=where, fix=f"write version = {newest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPin:
    """One pin: its findings, or the error that prevented them."""

    environment: str
    pin: Pin
    findings: tuple[Finding, ...] = ()
    error: EndpointsError | None = None


def verify(side: EnvironmentUses, lock: Lock) -> tuple[VerifiedPin, ...]:
    """Verify the pins of one environment: one request for each, and one for the variables of all.

    An error that prevents the check of a pin is part of its result.
    """
    pinned = side.pinned(lock)
    if not pinned:
        return ()
    client = side.client()
    lookups = look_up(client, [pin for _, pin in pinned])
    types = read_types(client, [lookup.version for lookup in lookups if lookup.version is not None])
    return tuple(
        VerifiedPin(environment=side.environment, pin=pin, error=lookup.error)
        if lookup.error is not None
        else VerifiedPin(
            environment=side.environment,
            pin=pin,
            findings=side.judge(findings_in_place(use, pin, lookup, types)),
        )
        for (use, pin), lookup in zip(pinned, lookups, strict=True)
    )
