"""Who is known to call an endpoint (the app whose manifest and lock lie beside the definitions), and what changes do to
those callers: the findings of endpoint diffs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from endpoints_gitops.contract.compare import compare_all
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.plan.diff import EndpointDiff
from endpoints_gitops.workspace.plugins import installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """By environment and name. None known is no proof that there are none: findings keep their severity then."""

    known: Mapping[tuple[str, str], tuple[Caller, ...]] = field(default_factory=dict)

    def of(self, environment: str, name: str) -> tuple[Caller, ...]:
        return self.known.get((environment, name), ())


def callers_of(
    app: str,
    uses: Mapping[str, Iterable[Use]],
    lock: Lock,
    endpoints: Mapping[str, Endpoint] | None = None,
) -> Callers:
    """What an app uses in each environment, and what of it is pinned. A use without a pin is reached by every version.

    `endpoints` are those of a server, where it was asked: a pin of an endpoint that is no more, or is not active,
    protects from nothing.
    """
    by_place = {(environment, use.name): use for environment, some in uses.items() for use in some}
    places = dict.fromkeys([*by_place, *((pin.environment, pin.name) for pin in lock.pins)])
    return Callers(
        known={
            (environment, name): (
                _caller(app, by_place.get((environment, name)), lock.pin(name, environment), endpoints),
            )
            for environment, name in places
        }
    )


def _caller(app: str, use: Use | None, pin: Pin | None, endpoints: Mapping[str, Endpoint] | None) -> Caller:
    return Caller(
        name=app,
        version=pin.version if pin else None,
        is_active=pin is None or endpoints is None or _is_there(pin, endpoints.get(pin.name)),
        reads=use.reads if use else "name",
        columns=use.columns if use else None,
    )


def _is_there(pin: Pin, endpoint: Endpoint | None) -> bool:
    """As far as the endpoint itself says it: whether that version was switched off would cost a request."""
    if endpoint is None or endpoint.id != pin.endpoint_id:
        return False
    return endpoint.is_active and pin.version <= endpoint.current_version


def findings_of_diffs(
    diffs: Iterable[EndpointDiff], callers: Callers, *, is_move: bool = False, is_unknown_error: bool = False
) -> tuple[Finding, ...]:
    """The findings of what leads from each remote side to its local side, of the catalog and of custom rules.

    `is_move`: callers go from one side to the other, so that no pin protects. `is_unknown_error`: what cannot be
    decided is an error. Raises PluginFailed.
    """
    findings: list[Finding] = []
    by_environment: dict[str, list[EndpointDiff]] = {}
    for diff in diffs:
        by_environment.setdefault(diff.environment or "", []).append(diff)
    for environment, some in by_environment.items():
        base = RuleContext(is_move=is_move, is_unknown_error=is_unknown_error)
        findings += _findings(some, _context_of(environment, some, callers, base))
    return in_order({finding.fingerprint: finding for finding in findings}.values())


def _findings(diffs: list[EndpointDiff], context_of: Callable[[str], RuleContext]) -> Iterator[Finding]:
    before = {diff.name: diff.remote.contract for diff in diffs if diff.remote}
    after = {diff.name: diff.local.contract for diff in diffs if diff.local}
    yield from compare_all(before, after, context_of)
    if plugins := installed():
        for diff in diffs:
            yield from plugins.of_change(before.get(diff.name), after.get(diff.name), context_of(diff.name))


def _context_of(
    environment: str, diffs: Iterable[EndpointDiff], callers: Callers, base: RuleContext
) -> Callable[[str], RuleContext]:
    using = _users_of_variables(diffs)

    def context_of(name: str) -> RuleContext:
        sharing = {code: tuple(other for other in names if other != name) for code, names in using.items()}
        return replace(base, callers=callers.of(environment, name), sharing=sharing)

    return context_of


def _users_of_variables(diffs: Iterable[EndpointDiff]) -> Mapping[str, list[str]]:
    """The endpoints that use each shared variable."""
    using: dict[str, list[str]] = {}
    for diff in diffs:
        revision = diff.local or diff.remote
        for variable in revision.contract.inputs if revision else ():
            using.setdefault(variable.name, []).append(diff.name)
    return using
