"""The known callers of endpoints (the app whose manifest and lock are beside the definitions, and the consumers of the
registry), and the findings that endpoint diffs have for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from endpoints_gitops.contract.compare import compare_all
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.model.consumers import (
    ConsumerRegistry,
    RegisteredConsumer,
    RegisteredEnvironment,
    RegisteredUse,
)
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.model.origin import Origin
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.sunset import DEFAULT_POLICY, DeprecationPolicy
from endpoints_gitops.plan.diff import EndpointDiff
from endpoints_gitops.workspace.configuration import EnvironmentSettings
from endpoints_gitops.workspace.plugins import installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Callers by environment and name. Where none is known there may be some, so findings keep their severity."""

    known: Mapping[tuple[str, str], tuple[Caller, ...]] = field(default_factory=dict)

    def of(self, environment: str, name: str) -> tuple[Caller, ...]:
        return self.known.get((environment, name), ())

    def of_endpoint(self, name: str) -> tuple[tuple[str, Caller], ...]:
        """The callers of an endpoint in all environments, each with the name of its environment."""
        return tuple(
            (environment, caller)
            for (environment, endpoint), callers in sorted(self.known.items())
            if endpoint == name
            for caller in callers
        )

    def reading(self, tested: Callers) -> Callers:
        """These callers of one app, which also read the columns that `tested` has of the same app."""
        return Callers(
            known={
                key: tuple(_reading(caller, tested.known.get(key, ())) for caller in callers)
                for key, callers in self.known.items()
            }
        )

    def merged(self, other: Callers) -> Callers:
        """The callers of both."""
        names = dict.fromkeys((*self.known, *other.known))
        return Callers(known={key: (*self.of(*key), *other.of(*key)) for key in names})


def callers_of(
    app: str,
    uses: Mapping[str, Iterable[Use]],
    lock: Lock,
    endpoints: Mapping[str, Endpoint] | None = None,
) -> Callers:
    """The app as a caller of each endpoint that it uses, by environment. Without a pin, every new version reaches it.

    `endpoints` are those of the server, where it was asked: a pin of an endpoint that is missing or inactive protects
    from nothing.
    """
    used = {(environment, use.name): use for environment, listed in uses.items() for use in listed}
    names = dict.fromkeys([*used, *((pin.environment, pin.name) for pin in lock.pins)])
    return Callers(
        known={
            (environment, name): (_caller(app, used.get((environment, name)), lock.pin(name, environment), endpoints),)
            for environment, name in names
        }
    )


def _caller(app: str, use: Use | None, pin: Pin | None, endpoints: Mapping[str, Endpoint] | None) -> Caller:
    return Caller(
        name=app,
        version=pin.version if pin else None,
        is_active=pin is None or endpoints is None or _is_active(pin.endpoint_id, pin.version, endpoints.get(pin.name)),
        reads=use.reads if use else "name",
        columns=use.columns if use else None,
    )


def _reading(caller: Caller, tested: Iterable[Caller]) -> Caller:
    if caller.columns is None:
        return caller
    columns = (column for other in tested for column in other.columns or ())
    return replace(caller, columns=tuple(dict.fromkeys((*caller.columns, *columns))))


def _is_active(endpoint_id: str, version: int, endpoint: Endpoint | None) -> bool:
    """Whether the pinned version can be run, as far as the endpoint tells; its own flag would cost a request."""
    if endpoint is None or endpoint.id != endpoint_id:
        return False
    return endpoint.is_active and version <= endpoint.current_version


def registered_callers(
    registry: ConsumerRegistry,
    environments: Iterable[EnvironmentSettings],
    endpoints: Mapping[str, Endpoint] | None = None,
) -> Callers:
    """The consumers of the registry as callers in these environments of the author. `endpoints` as in `callers_of`."""
    known: dict[tuple[str, str], list[Caller]] = {}
    for settings in environments:
        for consumer in registry.consumers:
            for environment in consumer.environments:
                if is_same_project(environment, settings):
                    for use in environment.uses:
                        caller = _registered_caller(consumer, use, endpoints)
                        known.setdefault((settings.name, use.name), []).append(caller)
    return Callers(known={key: tuple(callers) for key, callers in known.items()})


def is_same_project(environment: RegisteredEnvironment, settings: EnvironmentSettings) -> bool:
    """Whether an environment of a consumer is this environment of the author.

    It is if host and project are the same; if one of the two does not state them, if the names are the same.
    """
    if environment.host is None or environment.project_id is None or settings.host is None or not settings.project_id:
        return environment.name == settings.name
    is_same_host = Origin.of(environment.host) == Origin.of(settings.host)
    return is_same_host and environment.project_id == settings.project_id


def _registered_caller(
    consumer: RegisteredConsumer, use: RegisteredUse, endpoints: Mapping[str, Endpoint] | None
) -> Caller:
    is_active = True
    if use.version is not None and endpoints is not None:
        is_active = _is_active(str(use.endpoint_id), use.version, endpoints.get(use.name))
    return Caller(
        name=consumer.name,
        version=use.version,
        is_active=is_active,
        reads=use.reads,
        columns=use.columns_read,
        collected=consumer.collected,
    )


def findings_of_diffs(
    diffs: Iterable[EndpointDiff],
    callers: Callers,
    *,
    is_move: bool = False,
    is_unknown_error: bool = False,
    today: date | None = None,
    policy: DeprecationPolicy = DEFAULT_POLICY,
) -> tuple[Finding, ...]:
    """The findings for callers that move from the remote side of each diff to its local side, by all rules.

    `is_move`: callers go from one side to the other, so no pin protects. `is_unknown_error`: what cannot be decided is
    an error. `today` (in UTC) and `policy` decide whether a removal was announced in time. Raises PluginFailed.
    """
    by_environment: dict[str, list[EndpointDiff]] = {}
    for diff in diffs:
        by_environment.setdefault(diff.environment or "", []).append(diff)
    base = RuleContext(is_move=is_move, is_unknown_error=is_unknown_error, today=today, policy=policy)
    findings = {
        finding.fingerprint: finding
        for environment, group in by_environment.items()
        for finding in _findings_in(environment, group, callers, base)
    }
    return in_order(findings.values())


def _findings_in(
    environment: str, diffs: Sequence[EndpointDiff], callers: Callers, base: RuleContext
) -> Iterator[Finding]:
    before = {diff.name: diff.remote.contract for diff in diffs if diff.remote}
    after = {diff.name: diff.local.contract for diff in diffs if diff.local}
    users: dict[str, list[str]] = {}  # the endpoints that use each variable
    for diff in diffs:
        contract = after.get(diff.name) or before.get(diff.name)
        for variable in contract.inputs if contract else ():
            users.setdefault(variable.name, []).append(diff.name)

    def context_of(name: str) -> RuleContext:
        sharing = {code: tuple(user for user in names if user != name) for code, names in users.items()}
        return replace(base, callers=callers.of(environment, name), sharing=sharing)

    yield from compare_all(before, after, context_of)
    if plugins := installed():
        for diff in diffs:
            yield from plugins.of_change(before.get(diff.name), after.get(diff.name), context_of(diff.name))
