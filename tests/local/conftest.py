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
def ask(server: RunningServer, connect: Callable[..., httpx.Client]) -> Callable[..., httpx.Response]:
    """One request with the key that may do everything."""
    client = connect(server)

    def asked(method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        sent = {} if body is None else {"json": body}
        return client.request(method, path, **sent, **more)

    return asked
