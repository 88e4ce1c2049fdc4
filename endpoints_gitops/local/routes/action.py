"""Routes: functions with their required permissions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from endpoints_gitops.local.call import RouteAnswer, RouteCall, integer
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import bare, invalid, not_found
from endpoints_gitops.local.store import StoredEndpoint, StoredVersion

type Handler = Callable[[Deployment, RouteCall], RouteAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the OpenAPI document says of an action, besides its permission.

    `query` names parameters, `body` and `answer` schemas of `local/api_schemas.py`. `fault` says when PostHog, and so
    this server, answers with a 500; without it there is none.
    """

    summary: str
    query: tuple[str, ...] = ()
    body: str | None = None
    answer: str | None = None
    status: int = 200
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAction:
    """`scope` None: no key may. `interleaved`: takes the store's lock by itself, around what needs it.

    `queries` are the texts that the handler will parse. They are parsed before it runs, without the lock: a query can
    take the parser seconds, and the others are answered meanwhile.
    `draws_materialized` says whether a call counts against the budget of materialized runs.
    """

    handler: Handler
    described: Described
    scope: str | None
    with_secret: bool = False
    interleaved: bool = False
    queries: Callable[[Deployment, RouteCall], Iterable[str]] | None = None
    draws_materialized: Callable[[Deployment, RouteCall], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A path with the action of each method."""

    path: str
    actions: Mapping[str, RouteAction]


def endpoint_of(deployment: Deployment, call: RouteCall) -> StoredEndpoint:
    """The endpoint in the path. Raises a 404."""
    endpoint = deployment.store.endpoint(call.project, call.incoming.names["name"])
    if endpoint is None:
        raise not_found()
    return endpoint


def current_of(deployment: Deployment, endpoint: StoredEndpoint) -> StoredVersion:
    version = deployment.store.current_version(endpoint)
    if version is None:
        raise bare(404, "No version found for this endpoint")
    return version


def number_asked(call: RouteCall) -> int | None:
    """The number of the version that a read asks for: in a JSON body, or else in the query string. Raises a 400."""
    sent = call.incoming.sent()
    number = sent.get("version") if isinstance(sent, Mapping) else None
    if number is None:
        return call.incoming.asked_integer("version")
    whole = integer(str(number))
    if whole is None:
        raise invalid(f"Must be an integer, got: {number}", "version")
    return whole


def version_asked(deployment: Deployment, endpoint: StoredEndpoint, number: int | None) -> StoredVersion:
    """The version of that number, or the current one. Raises a 404."""
    if number is None:
        return current_of(deployment, endpoint)
    version = deployment.store.version(endpoint, number)
    if version is None:
        raise bare(404, f"Version {number} not found")
    return version
