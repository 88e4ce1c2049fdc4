"""The API's clients: the same calls for threads (`Client`) and for an event loop (`AsyncClient`).

Each only drives the flows of `calls`: it sends, it sleeps, and knows nothing of what is asked.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Self

from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import ClientContext, RetryPolicy, nobody
from endpoints_gitops.api.rate_limiter import FileRateLimiter, RateLimiter
from endpoints_gitops.api.wire import Answer, BlockingWork, Flow, Happened, Join, NoAnswer, NotSent, Sleep
from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from endpoints_gitops.api.transport import AnyAsyncTransport, AnyTransport

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


def _context(
    connection: Connection,
    rate_limiter: Path | RateLimiter | None,
    trace: Tell | None,
    notice: Tell | None,
    retry_policy: RetryPolicy | None,
    *,
    is_in_loop: bool = False,
) -> ClientContext:
    tell = notice or trace or nobody
    if isinstance(rate_limiter, Path):
        rate_limiter = FileRateLimiter(rate_limiter, connection, notice=tell, opens_later=is_in_loop)
    return ClientContext(
        connection=connection,
        rate_limiter=rate_limiter,
        retry_policy=retry_policy or RetryPolicy(),
        trace=trace or nobody,
        notice=tell,
        is_in_loop=is_in_loop,
    )


_OUTCOMES: Final = (Answer, NotSent, NoAnswer)


def _wrong_outcome(outcome: object) -> UsageError:
    """The error of an app's own transport that returns something else."""
    message = f"the transport's `send` gave a {type(outcome).__name__}; it gives an Answer, a NotSent or a NoAnswer"
    fix = "pass a transport of httpx instead, such as httpx.MockTransport"
    return UsageError(message, fix=fix, code="usage.transport")


class Client:
    """For any number of threads. `rate_limiter`: a path is the SQLite file of a FileRateLimiter.

    `trace` gets a line for each request, without the key; `notice`, else `trace`, one for each wait of some seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        rate_limiter: Path | RateLimiter | None = None,
        trace: Tell | None = None,
        notice: Tell | None = None,
        transport: AnyTransport | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        from endpoints_gitops.api.transport import transport_of

        self._transport = transport_of(connection, transport)
        self.connection = connection
        self.calls = Calls(_context(connection, rate_limiter, trace, notice, retry_policy))

    @property
    def rate_limiter(self) -> RateLimiter | None:
        """What is asked before each request; None where requests are not counted."""
        return self.calls.context.rate_limiter

    @property
    def has_written(self) -> bool:
        """Whether a write of this client has landed, or may have."""
        return self.calls.context.written.is_set()

    def drive[T](self, flow: Flow[T]) -> T:
        """Do what the flow says, and return its result. Raises what it raises, and UsageError for a transport that
        returns something else than an outcome.
        """
        happened: Happened = None
        try:
            while True:
                step = flow.send(happened)
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    happened = None
                elif isinstance(step, BlockingWork):
                    happened = step.do()
                elif isinstance(step, Join):
                    happened = step.future.result()
                else:
                    happened = self._transport.send(step)
                    if not isinstance(happened, _OUTCOMES):
                        raise _wrong_outcome(happened)
        except StopIteration as returned:
            result: T = returned.value
            return result
        finally:
            flow.close()

    def close(self) -> None:
        """Close every connection, and the log of the rate limiter."""
        self._transport.close()
        if self.rate_limiter is not None:
            self.rate_limiter.close()

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
    get_variable = _driven(Calls.get_variable)
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
    ask_for_any_answer = _driven(Calls.ask_for_any_answer)


async def _sleep(seconds: float) -> None:
    """Wait by the real clock: where freezegun stops the one that event loops wait by, a thread waits."""
    import anyio

    if isinstance(time.monotonic, BuiltinFunctionType):
        await anyio.sleep(seconds)
    else:
        await anyio.to_thread.run_sync(time.sleep, seconds, abandon_on_cancel=True)


async def _joined(future: Future[Any]) -> Any:  # noqa: ANN401 - the result of any flow
    """Wait for a future of another thread or of another loop. Who is cancelled meanwhile cancels nobody else."""
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        import anyio

        every = anyio.CapacityLimiter(float("inf"))
        return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True, limiter=every)
    return await asyncio.shield(asyncio.wrap_future(future, loop=loop))


class AsyncClient:
    """For one event loop, of asyncio or trio; else as `Client`."""

    def __init__(
        self,
        connection: Connection,
        *,
        rate_limiter: Path | RateLimiter | None = None,
        trace: Tell | None = None,
        notice: Tell | None = None,
        transport: AnyAsyncTransport | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        from endpoints_gitops.api.transport import async_transport_of

        self._transport = async_transport_of(connection, transport)
        self.connection = connection
        self.calls = Calls(_context(connection, rate_limiter, trace, notice, retry_policy, is_in_loop=True))

    @property
    def rate_limiter(self) -> RateLimiter | None:
        """What is asked before each request; None where requests are not counted."""
        return self.calls.context.rate_limiter

    async def drive[T](self, flow: Flow[T]) -> T:
        """Do what the flow says, and return its result. Raises what it raises, and UsageError for a transport that
        returns something else than an outcome.
        """
        import anyio

        happened: Happened = None
        try:
            while True:
                step = flow.send(happened)
                if isinstance(step, Sleep):
                    await _sleep(step.seconds)
                    happened = None
                elif isinstance(step, BlockingWork):
                    happened = await anyio.to_thread.run_sync(step.do)
                elif isinstance(step, Join):
                    happened = await _joined(step.future)
                else:
                    happened = await self._transport.send(step)
                    if not isinstance(happened, _OUTCOMES):
                        raise _wrong_outcome(happened)
        except StopIteration as returned:
            result: T = returned.value
            return result
        finally:
            flow.close()

    async def close(self) -> None:
        """Close every connection, and the log of the rate limiter."""
        await self._transport.close()
        if self.rate_limiter is not None:
            self.rate_limiter.close()

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
    get_variable = _awaited(Calls.get_variable)
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
    ask_for_any_answer = _awaited(Calls.ask_for_any_answer)
