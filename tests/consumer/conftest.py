"""An app with a lock, and one interface to `Endpoints` and `AsyncEndpoints`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops import AsyncEndpoints, Endpoints, Rows
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.wire import Answer, Send
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedVariable, without_nulls
from endpoints_gitops.model.secret import Secret


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """With the key that may do everything."""
    with Client(Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))) as made:
        yield made


@pytest.fixture
def create(client: Client, server: RunningServer) -> Callable[..., Pin]:
    """Creates an endpoint and gives its pin: `create("name", "SELECT …", variables={"n": ("Number", 3)})`."""

    def make(
        name: str,
        sql: str = "SELECT 1 AS one",
        *,
        variables: Mapping[str, tuple[str, Any]] | None = None,
        query: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Pin:
        declared = {}
        for code_name, (kind, default) in (variables or {}).items():
            shared = client.create_variable({"name": code_name, "type": kind, "default_value": default})
            declared[shared.id] = {"variableId": shared.id, "code_name": code_name, "value": default}
        node = query or {"kind": "HogQLQuery", "query": sql, "variables": declared}
        made = client.create_endpoint({"name": name, "query": node} | more)
        server.requests.clear()
        return Pin(
            environment="default",
            name=name,
            endpoint_id=made.id,
            version=made.current_version,
            version_id=made.current_version_id,
            created_at=made.created_at,
            query=without_nulls(made.query),
            variables=tuple(
                PinnedVariable(
                    name=code_name,
                    type=kind,
                    required=made.materialization.is_on or default is None,
                    has_default=default is not None,
                    default=default,
                )
                for code_name, (kind, default) in (variables or {}).items()
            ),
            columns=None if query else tuple(PinnedColumn(name=one.name, type=one.type) for one in made.columns or ()),
            materialized=made.materialization.is_on,
        )

    return make


@pytest.fixture
def lock(tmp_path: Path, nobodys_settings: None) -> Callable[..., Path]:  # noqa: ARG001 - works by being there
    """Writes a lock, and gives its path."""

    def write(*pins: Pin) -> Path:
        path = tmp_path / "app" / "endpoints.lock"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(write_lock(Lock(pins=pins)))
        return path

    return write


class App:
    """Calls by either driver, in the same words."""

    def __init__(self, endpoints: Endpoints | AsyncEndpoints, runner: asyncio.Runner) -> None:
        self.endpoints = endpoints
        self._runner = runner

    def run(self, name: str, /, **named: Any) -> Rows:
        if isinstance(self.endpoints, Endpoints):
            return self.endpoints.run(name, **named)
        return self._runner.run(self.endpoints.run(name, **named))

    def iterate(self, name: str, /, *, on_row: Callable[[Any], None] = lambda _: None, **named: Any) -> list[Any]:
        """Every row; `on_row` is called with each while the loop goes on."""
        rows: list[Any] = []
        if isinstance(self.endpoints, Endpoints):
            for row in self.endpoints.iterate(name, **named):
                rows.append(row)
                on_row(row)
            return rows
        iterated = self.endpoints.iterate(name, **named)

        async def collect() -> None:
            async for row in iterated:
                rows.append(row)
                on_row(row)

        self._runner.run(collect())
        return rows

    def close(self) -> None:
        if isinstance(self.endpoints, Endpoints):
            self.endpoints.close()
        else:
            self._runner.run(self.endpoints.close())


class Answering:
    """A transport that answers by a function."""

    def __init__(self, answers: Callable[[Send], Answer]) -> None:
        self.answers = answers

    def send(self, request: Send) -> Answer:
        return self.answers(request)

    def close(self) -> None:
        """Nothing is open."""


class AnsweringInLoop:
    """Sends requests in an event loop."""

    def __init__(self, answers: Callable[[Send], Answer]) -> None:
        self.answers = answers

    async def send(self, request: Send) -> Answer:
        return self.answers(request)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(params=[Endpoints, AsyncEndpoints], ids=["sync", "async"])
def app(
    request: pytest.FixtureRequest, server: RunningServer, lock: Callable[..., Path]
) -> Iterator[Callable[..., App]]:
    """Makes an app that calls these pins: `app(pin, …, contract=…, cache=…, key=…)`.

    `answers` is asked in place of the server.
    """
    transport = Answering if request.param is Endpoints else AnsweringInLoop
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(*pins: Pin, answers: Any = None, **settings: Any) -> App:
            reach = {"host": server.url, "project_id": server.project_id, "key": server.key}
            reach |= {"transport": transport(answers)} if answers else {}
            made = App(request.param.from_lock(lock(*pins), **(reach | settings)), runner)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def pin() -> Callable[..., Pin]:
    """A pin that no server has: `pin(variables=…, columns={"plan": "string"}, …)`."""
    bare = Pin(
        environment="default",
        name="revenue",
        endpoint_id="e",
        version=3,
        version_id="v",
        created_at=None,
        query={"kind": "HogQLQuery", "query": "SELECT 1"},
    )

    def make(*, columns: Mapping[str, str] | None = None, **more: Any) -> Pin:
        named = tuple(PinnedColumn(name=name, type=word) for name, word in (columns or {}).items())
        return replace(bare, **({"columns": named} if columns is not None else {}) | more)

    return make
