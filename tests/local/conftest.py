"""A server of its own for each test: starting one takes a few milliseconds. The engine is shared by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.queries import QueryEngine as Engine
from endpoints_gitops.local.serve import RunningServer, running_server

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    from endpoints_gitops.local.serve import _opener

    opened = _opener(sample=True, data=(), now=NOW)()
    yield opened
    opened.close()


@pytest.fixture
def server(engine: Engine) -> Iterator[RunningServer]:
    with running_server(engine=engine) as running:
        yield running


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
