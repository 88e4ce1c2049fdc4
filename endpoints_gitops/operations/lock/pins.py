"""Pins from what a server has, read with as few requests as it goes and with a key that may read endpoints alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, Forbidden, VersionNotFound
from endpoints_gitops.contract.build import from_version
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, Use, without_nulls
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.lock.mismatches import PlaceOf

_WORDS: Final = {"number": "Number", "boolean": "Boolean", "array": "List"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentUses:
    """One environment in which endpoints are used.

    `client` is asked for when the server has to be; `examples` are those that a pin is to hold.
    """

    environment: str
    uses: tuple[Use, ...]
    client: Callable[[], Client]
    examples: Callable[[Use], tuple[PinnedExample, ...]]
    place_of: PlaceOf

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
    """What the server has of a pin: None where it has none. `error` is why it could not be asked."""

    endpoint: Endpoint | None = None
    version: EndpointVersion | None = None
    error: EndpointsError | None = None


def look_up(client: Client, pins: Sequence[Pin]) -> tuple[Lookup, ...]:
    """Ask for each pinned version: the answer says all that there is to know of its endpoint too. A pin costs one
    request, and one more where the version is missing.
    """
    return concurrent_map(partial(_look_up, client), pins)


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


def read_types(client: Client, endpoints: Sequence[Endpoint]) -> VariableTypes:
    """The types of all variables of these endpoints: nothing is asked where there are none.

    A key with `endpoint:read` alone may not list the shared variables; then each endpoint's OpenAPI document says them
    (docs/server.md#running).
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
    """The endpoints of these names that are there: one request, and one more for each page of a long list."""
    if len(names) == 1:
        try:
            return {names[0]: client.get_endpoint(names[0])}
        except EndpointNotFound:
            return {}
    return {endpoint.name: endpoint for endpoint in client.list_endpoints()} if names else {}


def inactive(endpoint: Endpoint) -> str | None:
    """What of it is switched off, in words; None where it can be run as far as the answer says."""
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
) -> Pin:
    """The pin of what an answer describes; `contract` is that of the same answer."""
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
                name=one.name, type=one.type, required=one.required, has_default=one.has_default, default=one.default
            )
            for one in contract.variables
        ),
        columns=None
        if columns is None
        else tuple(PinnedColumn(name=one.name, type=one.type, nullable=one.nullable, full=one.full) for one in columns),
        materialized=contract.serving.materialized is True,
        freshness_seconds=contract.serving.freshness_seconds,
        optional_breakdown_properties=contract.serving.optional_breakdowns or (),
        bucket_overrides=contract.serving.bucket_overrides or None,
        examples=examples,
        allowed=allowed,
    )


def _named_types(client: Client, endpoint: Endpoint) -> Mapping[str, str]:
    document: Any = client.openapi(endpoint.name, version=endpoint.number)
    for key in ("components", "schemas", "Variables", "properties"):
        document = document.get(key) if isinstance(document, dict) else None
    schemas = document.items() if isinstance(document, dict) else ()
    return {str(name): _word(schema) for name, schema in schemas if isinstance(schema, dict)}


def _word(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "date":
        return "Date"
    return _WORDS.get(str(schema.get("type")), "String")
