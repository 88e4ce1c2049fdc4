"""What was probably meant by the name of an endpoint that cannot be found or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endpoints_gitops.errors import EndpointsError

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.api.errors import EndpointNotFound


def explained(client: Client, name: str, error: EndpointNotFound) -> EndpointsError:
    """The error in the user's words: a similar name, or that the endpoint is there and switched off.

    The server says `Not found.` for both (docs/server.md#running). Where it does not let us list, the error stays.
    """
    from endpoints_gitops.codecs.mistakes import did_you_mean

    try:
        endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    except EndpointsError:
        return error
    if name in endpoints and not endpoints[name].is_active:
        error.message = f"the endpoint {name!r} is inactive"
        error.fix = f"endpoints-gitops activate {name}"
    elif name not in endpoints:
        error.message = f"there is no endpoint {name!r}{did_you_mean(name, sorted(endpoints))}"
        error.fix = "endpoints-gitops list shows the endpoints of the server"
    return error
