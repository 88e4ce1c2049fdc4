"""What was probably meant by the name of an endpoint that cannot be found or run."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import EndpointsError, UsageError

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


def missing(name: str, there: Collection[str]) -> UsageError:
    """The error for a name that the server does not have."""
    from endpoints_gitops.model.suggestions import did_you_mean

    message = f"there is no endpoint {name!r}{did_you_mean(name, sorted(there))}"
    return UsageError(message, fix=Advice(Command("list"), " shows the endpoints of the server"), code="usage.endpoint")
