"""The API's clients: the same calls for threads (`Client`) and for an event loop (`AsyncClient`).

Both only execute the flows of `calls`: they send requests and sleep, and do not know what a request is about.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from threading import Lock
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Self

from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import ClientContext, RetryPolicy, ignore
from endpoints_gitops.api.rate_limiter import FileRateLimiter, RateLimiter
from endpoints_gitops.api.wire import Answer, BlockingWork, Flow, Happened, Join, NoAnswer, NotSent, Sleep
from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from endpoints_gitops.api.transport import AnyAsyncTransport, AnyTransport

type Report = Callable[[str], None]


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
    trace: Report | None,
    notice: Report | None,
    retry_policy: RetryPolicy | None,
    *,
    is_in_loop: bool = False,
) -> ClientContext:
    report = notice or trace or ignore
    if isinstance(rate_limiter, Path):
        rate_limiter = FileRateLimiter(rate_limiter, connection, notice=report, opens_later=is_in_loop)
    return ClientContext(
        connection=connection,
        rate_limiter=rate_limiter,
        retry_policy=retry_policy or RetryPolicy(),
        trace=trace or ignore,
        notice=report,
        is_in_loop=is_in_loop,
    )


_OUTCOMES: Final = (Answer, NotSent, NoAnswer)


def _wrong_outcome(outcome: object) -> UsageError:
    """The error for an app's own transport that returns a wrong type."""
    message = f"`send` of the transport returned a {type(outcome).__name__}; it must return Answer, NotSent or NoAnswer"
    fix = "pass an httpx transport instead, such as httpx.MockTransport"
    return UsageError(message, fix=fix, code="usage.transport")


class Client:
    """A synchronous client, safe for threads. `rate_limiter` can be the path of a FileRateLimiter's SQLite file.

    `trace` is called with a line for each request, without the key. `notice` (by default `trace`) is called with a line
    for each wait of two seconds or more.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        rate_limiter: Path | RateLimiter | None = None,
        trace: Report | None = None,
        notice: Report | None = None,
        transport: AnyTransport | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        from endpoints_gitops.api.transport import transport_of

        self._transport = transport_of(connection, transport)
        self.connection = connection
        self.calls = Calls(_context(connection, rate_limiter, trace, notice, retry_policy))
        self._sent = 0
        self._lock = Lock()

    @property
    def requests_sent(self) -> int:
        """How many requests this client has sent, with retries."""
        return self._sent

    @property
    def rate_limiter(self) -> RateLimiter | None:
        """The rate limiter, or None if requests are not limited."""
        return self.calls.context.rate_limiter

    @property
    def has_written(self) -> bool:
        """Whether this client made a write, or may have."""
        return self.calls.context.written.is_set()

    def drive[T](self, flow: Flow[T]) -> T:
        """Execute a flow and return its result. Raises what the flow raises, and UsageError for a transport that
        returns a wrong type.
        """
        try:
            step = flow.send(None)
            while True:
                happened: Happened = None
                try:
                    if isinstance(step, Sleep):
                        time.sleep(step.seconds)
                    elif isinstance(step, BlockingWork):
                        happened = step.do()
                    elif isinstance(step, Join):
                        happened = step.future.result(step.seconds)
                    else:
                        with self._lock:
                            self._sent += 1
                        happened = self._transport.send(step)
                        if not isinstance(happened, _OUTCOMES):
                            raise _wrong_outcome(happened)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(happened)
        except StopIteration as returned:
            result: T = returned.value
            return result
        finally:
            flow.close()

    def close(self) -> None:
        """Close every connection and the log of the rate limiter."""
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
    check_access = _driven(Calls.check_access)
    current_key = _driven(Calls.current_key)
    me = _driven(Calls.me)
    organization = _driven(Calls.organization)
    projects = _driven(Calls.projects)
    send_for_any_status = _driven(Calls.send_for_any_status)


async def _sleep(seconds: float) -> None:
    """Wait by the real clock. Where freezegun has replaced the clock of event loops, a thread waits instead."""
    import anyio

    if isinstance(time.monotonic, BuiltinFunctionType):
        await anyio.sleep(seconds)
    else:
        await anyio.to_thread.run_sync(time.sleep, seconds, abandon_on_cancel=True)


async def _joined(join: Join) -> Any:  # noqa: ANN401 - the result of any flow
    """Wait for a future of another thread or event loop. Cancelling this wait does not cancel the future."""
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        import anyio

        unlimited = anyio.CapacityLimiter(float("inf"))
        return await anyio.to_thread.run_sync(
            join.future.result, join.seconds, abandon_on_cancel=True, limiter=unlimited
        )
    return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(join.future, loop=loop)), join.seconds)


class AsyncClient:
    """A client for one event loop of asyncio or trio, with the calls and arguments of `Client`."""

    def __init__(
        self,
        connection: Connection,
        *,
        rate_limiter: Path | RateLimiter | None = None,
        trace: Report | None = None,
        notice: Report | None = None,
        transport: AnyAsyncTransport | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        from endpoints_gitops.api.transport import async_transport_of

        self._transport = async_transport_of(connection, transport)
        self.connection = connection
        self.calls = Calls(_context(connection, rate_limiter, trace, notice, retry_policy, is_in_loop=True))

    @property
    def rate_limiter(self) -> RateLimiter | None:
        """The rate limiter, or None if requests are not limited."""
        return self.calls.context.rate_limiter

    async def drive[T](self, flow: Flow[T]) -> T:
        """Execute a flow and return its result. Raises what the flow raises, and UsageError for a transport that
        returns a wrong type.
        """
        import anyio

        try:
            step = flow.send(None)
            while True:
                happened: Happened = None
                try:
                    if isinstance(step, Sleep):
                        await _sleep(step.seconds)
                    elif isinstance(step, BlockingWork):
                        happened = await anyio.to_thread.run_sync(step.do)
                    elif isinstance(step, Join):
                        happened = await _joined(step)
                    else:
                        happened = await self._transport.send(step)
                        if not isinstance(happened, _OUTCOMES):
                            raise _wrong_outcome(happened)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(happened)
        except StopIteration as returned:
            result: T = returned.value
            return result
        finally:
            flow.close()

    async def close(self) -> None:
        """Close every connection and the log of the rate limiter."""
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
    check_access = _awaited(Calls.check_access)
    current_key = _awaited(Calls.current_key)
    me = _awaited(Calls.me)
    organization = _awaited(Calls.organization)
    projects = _awaited(Calls.projects)
    send_for_any_status = _awaited(Calls.send_for_any_status)
