"""The API's clients: the same calls for threads (`Client`) and for an event loop (`AsyncClient`).

Each only drives the flows of `calls`: it sends, it sleeps, and knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Self

from endpoints_gitops.api.budget import Budget, Counting
from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import Line, Pace, nobody
from endpoints_gitops.api.wire import Flow, Happened, Sleep, Work

if TYPE_CHECKING:
    from endpoints_gitops.api.transport import AsyncTransport, Transport

type Tell = Callable[[str], None]


def _driven[**P, T](call: Callable[Concatenate[Calls, P], Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    @wraps(call)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.drive(call(self.calls, *args, **kwargs))

    return method


def _awaited[**P, T](
    call: Callable[Concatenate[Calls, P], Flow[T]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    @wraps(call)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.drive(call(self.calls, *args, **kwargs))

    return method


def _line(
    connection: Connection, budget: Path | Counting | None, trace: Tell | None, notice: Tell | None, pace: Pace | None
) -> Line:
    tell = notice or trace or nobody
    kept = Budget(budget, connection, notice=tell) if isinstance(budget, Path) else budget
    return Line(connection=connection, budget=kept, pace=pace or Pace(), trace=trace or nobody, notice=tell)


class Client:
    """For any number of threads. `budget` is the SQLite file that the processes of this user count in.

    `trace` gets a line for each request, without the key; `notice`, else `trace`, one for each wait of some seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        budget: Path | Counting | None = None,
        trace: Tell | None = None,
        notice: Tell | None = None,
        transport: Transport | None = None,
        pace: Pace | None = None,
    ) -> None:
        if transport is None:
            from endpoints_gitops.api.transport import HttpTransport

            transport = HttpTransport(connection)
        self._transport = transport
        self.connection = connection
        self.calls = Calls(_line(connection, budget, trace, notice, pace))

    @property
    def budget(self) -> Counting | None:
        return self.calls.line.budget

    @property
    def has_written(self) -> bool:
        """Whether a write of this client has landed, or may have."""
        return self.calls.line.written.is_set()

    def drive[T](self, flow: Flow[T]) -> T:
        """Do what the flow says until it returns."""
        happened: Happened = None
        try:
            while True:
                step = flow.send(happened)
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    happened = None
                elif isinstance(step, Work):
                    happened = step.do()
                else:
                    happened = self._transport.send(step)
        except StopIteration as returned:
            result: T = returned.value
            return result

    def close(self) -> None:
        self._transport.close()
        if self.budget is not None:
            self.budget.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    list_endpoints = _driven(Calls.list_endpoints)
    get_endpoint = _driven(Calls.get_endpoint)
    get_version = _driven(Calls.get_version)
    list_versions = _driven(Calls.list_versions)
    create_endpoint = _driven(Calls.create_endpoint)
    update_endpoint = _driven(Calls.update_endpoint)
    delete_endpoint = _driven(Calls.delete_endpoint)
    materialization_status = _driven(Calls.materialization_status)
    materialization_preview = _driven(Calls.materialization_preview)
    list_variables = _driven(Calls.list_variables)
    create_variable = _driven(Calls.create_variable)
    update_variable = _driven(Calls.update_variable)
    run = _driven(Calls.run)
    query = _driven(Calls.query)
    openapi = _driven(Calls.openapi)
    logs = _driven(Calls.logs)
    last_execution_times = _driven(Calls.last_execution_times)
    reach = _driven(Calls.reach)
    current_key = _driven(Calls.current_key)
    me = _driven(Calls.me)
    organization = _driven(Calls.organization)
    projects = _driven(Calls.projects)


class AsyncClient:
    """For one event loop; else as `Client`."""

    def __init__(
        self,
        connection: Connection,
        *,
        budget: Path | Counting | None = None,
        trace: Tell | None = None,
        notice: Tell | None = None,
        transport: AsyncTransport | None = None,
        pace: Pace | None = None,
    ) -> None:
        if transport is None:
            from endpoints_gitops.api.transport import AsyncHttpTransport

            transport = AsyncHttpTransport(connection)
        self._transport = transport
        self.connection = connection
        self.calls = Calls(_line(connection, budget, trace, notice, pace))

    @property
    def budget(self) -> Counting | None:
        return self.calls.line.budget

    async def drive[T](self, flow: Flow[T]) -> T:
        """Do what the flow says until it returns."""
        happened: Happened = None
        try:
            while True:
                step = flow.send(happened)
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    happened = None
                elif isinstance(step, Work):
                    happened = await asyncio.to_thread(step.do)
                else:
                    happened = await self._transport.send(step)
        except StopIteration as returned:
            result: T = returned.value
            return result

    async def close(self) -> None:
        await self._transport.close()
        if self.budget is not None:
            self.budget.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    list_endpoints = _awaited(Calls.list_endpoints)
    get_endpoint = _awaited(Calls.get_endpoint)
    get_version = _awaited(Calls.get_version)
    list_versions = _awaited(Calls.list_versions)
    create_endpoint = _awaited(Calls.create_endpoint)
    update_endpoint = _awaited(Calls.update_endpoint)
    delete_endpoint = _awaited(Calls.delete_endpoint)
    materialization_status = _awaited(Calls.materialization_status)
    materialization_preview = _awaited(Calls.materialization_preview)
    list_variables = _awaited(Calls.list_variables)
    create_variable = _awaited(Calls.create_variable)
    update_variable = _awaited(Calls.update_variable)
    run = _awaited(Calls.run)
    query = _awaited(Calls.query)
    openapi = _awaited(Calls.openapi)
    logs = _awaited(Calls.logs)
    last_execution_times = _awaited(Calls.last_execution_times)
    reach = _awaited(Calls.reach)
    current_key = _awaited(Calls.current_key)
    me = _awaited(Calls.me)
    organization = _awaited(Calls.organization)
    projects = _awaited(Calls.projects)
