"""Things on the server for commands to work with, put there by our own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.secret import Secret


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """With the key that may do everything."""
    with Client(Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))) as made:
        yield made


@pytest.fixture
def create(client: Client, server: RunningServer) -> Callable[..., Endpoint]:
    """Creates an endpoint: `create("name", "SELECT …", variables={"n": ("Number", 3)}, tags=[…])`."""

    def make(
        name: str, sql: str = "SELECT 1 AS one", *, variables: Mapping[str, tuple[str, Any]] | None = None, **more: Any
    ) -> Endpoint:
        declared = {}
        for code_name, (kind, default) in (variables or {}).items():
            shared = client.create_variable({"name": code_name, "type": kind, "default_value": default})
            declared[shared.id] = {"variableId": shared.id, "code_name": code_name, "value": default}
        query = {"kind": "HogQLQuery", "query": sql, "variables": declared}
        made = client.create_endpoint({"name": name, "query": query} | more)
        server.requests.clear()
        return made

    return make
