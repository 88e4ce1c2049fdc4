"""Activate, deactivate and delete endpoints by name, each write verified by its own answer; explain a missing name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, LostAnswer
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied, UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.project import Progress

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client


def explain_missing(client: Client, name: str, error: EndpointsError) -> bool:
    """Improve the error for a name that could not be run: suggest a similar name, or say that the endpoint is inactive.

    Returns whether the server has no endpoint of that name.
    A run answers `Not found.` to both (docs/server.md#running). Where we may not list, the error stays as it is.
    """
    try:
        endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    except EndpointsError:
        return False
    if name not in endpoints:
        error.message = missing(name, endpoints).message
    elif not endpoints[name].is_active:
        error.message = f"the endpoint {name} is inactive"
        error.fix = Advice(Command("activate", name))
    return name not in endpoints


def missing(name: str, known: Collection[str]) -> UsageError:
    """The error for a name that the server does not have."""
    from endpoints_gitops.model.suggestions import did_you_mean

    message = f"there is no endpoint {name!r}{did_you_mean(name, sorted(known))}"
    return UsageError(message, fix=Advice(Command("list"), " shows the endpoints of the server"), code="usage.endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleResult:
    """The result of one endpoint: its state in the past tense, or `failed` and the error."""

    name: str
    state: str
    error: EndpointsError | None = None


def present(client: Client, names: Sequence[str]) -> tuple[Endpoint, ...]:
    """The endpoints of these names, each once. Raises UsageError for the first name that the server does not have."""
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    for name in names:
        if name not in endpoints:
            raise missing(name, endpoints)
    return tuple(endpoints[name] for name in dict.fromkeys(names))


def set_active(
    client: Client, endpoints: Sequence[Endpoint], *, active: bool, version: int | None, progress: Progress
) -> tuple[LifecycleResult, ...]:
    """Activate or deactivate endpoints, or one version of each, and return a result for each.

    An endpoint that has the state already is not written to, nor one that changed since it was read into `endpoints`.
    """
    now = _read_again(client, endpoints)

    def switched(endpoint: Endpoint) -> str:
        endpoint = _unchanged(endpoint, now)
        if version is None and endpoint.is_active is active:
            return f"was {_word(active)} already"
        _switch(client, endpoint.name, active, version)
        return _word(active)

    return _apply_each(endpoints, "activating" if active else "deactivating", switched, progress)


def delete(client: Client, endpoints: Sequence[Endpoint], *, progress: Progress) -> tuple[LifecycleResult, ...]:
    """Delete endpoints, and return a result for each. A new endpoint of the name starts at version 1.

    An endpoint that changed since it was read into `endpoints`, before the user confirmed, stays.
    """
    now = _read_again(client, endpoints)

    def deleted(endpoint: Endpoint) -> str:
        _unchanged(endpoint, now)
        try:
            client.delete_endpoint(endpoint.name)
        except LostAnswer as error:
            if _exists(client, endpoint):
                raise error from None
        return "deleted"

    return _apply_each(endpoints, "deleting", deleted, progress)


def _read_again(client: Client, endpoints: Sequence[Endpoint]) -> Mapping[str, Endpoint]:
    """The endpoints as they are now: minutes may have passed before the user answered."""
    return {endpoint.name: endpoint for endpoint in client.list_endpoints()} if endpoints else {}


def _unchanged(endpoint: Endpoint, now: Mapping[str, Endpoint]) -> Endpoint:
    """The endpoint as it is now. Raises Conflict where it was deleted, recreated or edited."""
    name, current = endpoint.name, now.get(endpoint.name)
    if current is None:
        what = f"{name} was deleted on the server meanwhile"
    elif current.id != endpoint.id:
        what = f"{name} was deleted and recreated on the server meanwhile"
    elif current.current_version != endpoint.current_version:
        what = f"{name} was edited on the server meanwhile: version {current.current_version} is current"
    else:
        return current
    raise Conflict(
        f"{what}; this command read version {endpoint.current_version}, and wrote nothing to it",
        fix=Advice(Command("get", name), " shows it; run the command again"),
        code="push.moved",
        subject=name,
    )


def _switch(client: Client, name: str, active: bool, version: int | None) -> None:
    """Write the state and verify it. Where the answer is lost, the endpoint is read."""
    try:
        answer = client.update_endpoint(name, {"is_active": active}, version=version)
    except LostAnswer:
        answer = client.get_endpoint(name) if version is None else client.get_version(name, version)
    if answer.is_active is not active:
        message = f"the server accepted the change of {name}, and it is not {_word(active)}"
        raise PartlyApplied(message, fix=Advice(Command("get", name)), code="push.unverified", subject=name)


def _exists(client: Client, endpoint: Endpoint) -> bool:
    """Whether the server still has this endpoint, not a new one of its name."""
    try:
        return client.get_endpoint(endpoint.name).id == endpoint.id
    except EndpointNotFound:
        return False


def _apply_each(
    endpoints: Sequence[Endpoint], what: str, do: Callable[[Endpoint], str], progress: Progress
) -> tuple[LifecycleResult, ...]:
    done: list[LifecycleResult] = []
    progress.started(what, len(endpoints))
    try:
        for endpoint in endpoints:
            done.append(_tried(endpoint, do))
            progress.advanced(endpoint.name, done[-1].state)
    finally:
        progress.finished()
    return tuple(done)


def _tried(endpoint: Endpoint, do: Callable[[Endpoint], str]) -> LifecycleResult:
    try:
        return LifecycleResult(name=endpoint.name, state=do(endpoint))
    except EndpointsError as error:
        return LifecycleResult(name=endpoint.name, state="failed", error=error)


def _word(active: bool) -> str:
    return "active" if active else "inactive"
