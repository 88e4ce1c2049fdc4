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
    """Say in the error what was probably meant: a similar name, or that the endpoint is there and switched off.

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
    """What became of one endpoint: `state` says it in the past tense, `error` why it did not."""

    name: str
    state: str
    error: EndpointsError | None = None


def present(client: Client, names: Sequence[str]) -> tuple[Endpoint, ...]:
    """The endpoints of these names, each once. Raises UsageError for the first that is not there."""
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    for name in names:
        if name not in endpoints:
            raise missing(name, endpoints)
    return tuple(endpoints[name] for name in dict.fromkeys(names))


def set_active(
    client: Client, endpoints: Sequence[Endpoint], *, active: bool, version: int | None, progress: Progress
) -> tuple[LifecycleResult, ...]:
    """Switch endpoints, or one version of each, on or off. A refusal for one does not keep the others from being done.

    An endpoint that is as it should be is not written to, nor one that is another by now than it was in `endpoints`.
    """
    now = _read_again(client, endpoints)

    def switched(endpoint: Endpoint) -> str:
        endpoint = _unmoved(endpoint, now)
        if version is None and endpoint.is_active is active:
            return f"was {_word(active)} already"
        _switch(client, endpoint.name, active, version)
        return _word(active)

    return _each(endpoints, "activating" if active else "deactivating", switched, progress)


def delete(client: Client, endpoints: Sequence[Endpoint], *, progress: Progress) -> tuple[LifecycleResult, ...]:
    """Delete endpoints for good: the server has no way back, and a new endpoint of that name starts at version 1.

    One that is another by now than it was in `endpoints`, when it was confirmed, stays.
    """
    now = _read_again(client, endpoints)

    def deleted(endpoint: Endpoint) -> str:
        _unmoved(endpoint, now)
        try:
            client.delete_endpoint(endpoint.name)
        except LostAnswer as error:
            if _is_there(client, endpoint):
                raise error from None
        return "deleted"

    return _each(endpoints, "deleting", deleted, progress)


def _read_again(client: Client, endpoints: Sequence[Endpoint]) -> Mapping[str, Endpoint]:
    """The endpoints as they are now: minutes may have passed while a person read the question."""
    return {endpoint.name: endpoint for endpoint in client.list_endpoints()} if endpoints else {}


def _unmoved(endpoint: Endpoint, now: Mapping[str, Endpoint]) -> Endpoint:
    """The endpoint as it is now. Raises Conflict where that is another endpoint or another version."""
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
    """Write and verify; an answer that is lost is read instead."""
    try:
        answer = client.update_endpoint(name, {"is_active": active}, version=version)
    except LostAnswer:
        answer = client.get_endpoint(name) if version is None else client.get_version(name, version)
    if answer.is_active is not active:
        message = f"the server accepted the change of {name}, and it is not {_word(active)}"
        raise PartlyApplied(message, fix=Advice(Command("get", name)), code="push.unverified", subject=name)


def _is_there(client: Client, endpoint: Endpoint) -> bool:
    """Whether it is still this endpoint, and not a new one of its name."""
    try:
        return client.get_endpoint(endpoint.name).id == endpoint.id
    except EndpointNotFound:
        return False


def _each(
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
