"""Clients of a real server with short timeouts, and one interface to both of their drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

import pytest

from endpoints_gitops.api.client import AsyncClient, Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import RetryPolicy
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.secret import Secret


@pytest.fixture
def connection(server: RunningServer) -> Callable[..., Connection]:
    """Makes connections to the server: `connection(key=…, host=…, max_wait=…)`."""

    def make(*, key: str | None = None, **more: Any) -> Connection:
        secret = Secret(server.key if key is None else key)
        return Connection(**{"host": server.url, "project_id": server.project_id, "key": secret, "max_wait": 60} | more)

    return make


@pytest.fixture
def quick() -> Callable[..., RetryPolicy]:
    """A retry policy whose waits are too short to notice."""
    return lambda **more: RetryPolicy(**{"connect": 30, "read": 30, "first_pause": 0.001, "longest_pause": 0.01} | more)


@pytest.fixture
def ticking() -> Callable[[float], Callable[[], float]]:
    """Makes clocks that move by so many seconds at each look: how often is tried depends on nothing else.

    With 60 seconds to wait, a step of 7 is three tries, a step of 25 one.
    """
    return lambda step: partial(next, count(0, step))


@pytest.fixture
def connect(
    connection: Callable[..., Connection], quick: Callable[..., RetryPolicy]
) -> Iterator[Callable[..., Client]]:
    """Makes clients: `connect(key=…, max_wait=…, rate_limiter=…, trace=…)`."""
    with ExitStack() as stack:

        def make(*, rate_limiter: Any = None, trace: Any = None, notice: Any = None, **settings: Any) -> Client:
            made = Client(
                connection(**settings), rate_limiter=rate_limiter, trace=trace, notice=notice, retry_policy=quick()
            )
            return stack.enter_context(made)

        yield make


@pytest.fixture(params=["sync", "async"])
def ask(
    request: pytest.FixtureRequest, connection: Callable[..., Connection], quick: Callable[..., RetryPolicy]
) -> Callable[..., Any]:
    """`ask(method, *arguments, to={…}, retry_policy={…})`: one call of a client of its own, by either driver."""

    def by_threads(connection: Connection, retry_policy: RetryPolicy, method: str, arguments: Any, named: Any) -> Any:
        with Client(connection, retry_policy=retry_policy) as client:
            return getattr(client, method)(*arguments, **named)

    async def by_loop(
        connection: Connection, retry_policy: RetryPolicy, method: str, arguments: Any, named: Any
    ) -> Any:
        async with AsyncClient(connection, retry_policy=retry_policy) as client:
            return await getattr(client, method)(*arguments, **named)

    def call(method: str, *arguments: Any, to: Any = None, retry_policy: Any = None, **named: Any) -> Any:
        words = connection(**(to or {})), quick(**(retry_policy or {})), method, arguments, named
        return by_threads(*words) if request.param == "sync" else asyncio.run(by_loop(*words))

    return call


@pytest.fixture
def endpoint(server: RunningServer, connect: Callable[..., Client]) -> str:
    """The name of an endpoint that is there."""
    connect().create_endpoint({"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})
    server.requests.clear()
    return "e"
