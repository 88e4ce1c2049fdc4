"""Raw requests to the local server, without the client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.engine.clickhouse_url import ClickHouseUrl, parse_clickhouse_url
from endpoints_gitops.local.serve import RunningServer
from tests.clickhouse_server import REAL, running_clickhouse

_REAL = os.environ.get(REAL)


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouseUrl]:
    """A ClickHouse server: that of the variable, or else one of our own."""
    if _REAL:
        yield parse_clickhouse_url(_REAL, os.environ)
        return
    with running_clickhouse() as server:
        yield parse_clickhouse_url(server.url, {})


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients of a server; paths are within the project."""
    clients: list[httpx.Client] = []

    def connected(server: RunningServer, key: str | None = None, project: object = 1) -> httpx.Client:
        client = httpx.Client(
            base_url=f"{server.url}/api/projects/{project}",
            headers={"Authorization": f"Bearer {server.key if key is None else key}"},
            timeout=20,
            verify=False,  # plain http, and reading the certificates takes longer than a test
        )
        clients.append(client)
        return client

    yield connected
    for client in clients:
        client.close()


@pytest.fixture
def ask(server: RunningServer, connect: Callable[..., httpx.Client]) -> Callable[..., httpx.Response]:
    """One request with the key that may do everything."""
    client = connect(server)

    def asked(method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        sent = {} if body is None else {"json": body}
        return client.request(method, path, **sent, **more)

    return asked
