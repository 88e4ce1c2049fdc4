"""Who is known to call an endpoint: the app whose manifest and lock lie beside the definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from endpoints_gitops.contract.context import Caller
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.pin import Lock, Pin, Use


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
