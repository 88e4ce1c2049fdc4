"""Things on the server for commands to work with, put there by our own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.codecs.lock import read_lock
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.pin import Pin
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


@pytest.fixture
def uses(checkout: Any, cli: Any) -> Callable[..., None]:  # noqa: ARG001 - `cli` writes the configuration
    """Writes what the one environment uses: `uses(signups='"*"', revenue="{ version = 3 }")`."""

    def write(top: Path = checkout.top, **said: str) -> None:
        path = top / "endpoints.toml"
        head = path.read_text().partition("[uses]")[0]
        path.write_text(head + "[uses]\n" + "".join(f"{name} = {value}\n" for name, value in said.items()))

    return write


@pytest.fixture
def pins(checkout: Any) -> Callable[..., Mapping[str, Pin]]:
    """The pins of a lock by name: `pins()["signups"].version`."""

    def read(top: Path = checkout.top) -> Mapping[str, Pin]:
        return {pin.name: pin for pin in read_lock((top / "endpoints.lock").read_bytes(), "endpoints.lock").pins}

    return read


@pytest.fixture
def edit(client: Client) -> Callable[..., Endpoint]:
    """Gives an endpoint another text, which cuts a version: `edit("signups", "SELECT 2 AS one")`."""

    def write(name: str, sql: str) -> Endpoint:
        return client.update_endpoint(name, {"query": {"kind": "HogQLQuery", "query": sql}})

    return write
