"""`AsyncEndpoints`: pinned calls for event loops."""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, overload

from endpoints_gitops.consumer.client_base import IMPORTS, INHERITED, REDIRECTIONS, OpenClient, PinnedClient, Refresh

if TYPE_CHECKING:
    from endpoints_gitops.api.client import AsyncClient
    from endpoints_gitops.api.transport import AnyAsyncTransport  # noqa: F401 - the base class names it as a text
    from endpoints_gitops.consumer.locked import Locked
    from endpoints_gitops.consumer.pinned import Call, PageCall, PinnedCalls
    from endpoints_gitops.consumer.rows import Rows, TypedRows
    from endpoints_gitops.consumer.typed import TypedCall


class AsyncEndpoints(PinnedClient["AnyAsyncTransport"]):
    """Calls pinned endpoints from event loops of asyncio or trio. Methods and arguments are those of `Endpoints`.

        async with AsyncEndpoints.from_lock() as endpoints:
            rows = await endpoints.run("monthly_active_users", lookback_days=30)
            async for row in endpoints.iterate("signups"):
                print(row.day, row.users)

    One instance serves any number of event loops, one after another or in threads: each has its own connections.
    """

    def __init__(self, locked: Locked, **settings: Any) -> None:  # noqa: ANN401 - those of PinnedClient
        super().__init__(locked, **settings)
        self._opened: weakref.WeakKeyDictionary[Any, _OpenInLoop] = weakref.WeakKeyDictionary()

    @overload
    async def run(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        _max_wait: float | None = None,
        **values: object,
    ) -> Rows: ...
    @overload
    async def run[Record](
        self,
        call: TypedCall[Record],
        /,
        *,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        _max_wait: float | None = None,
    ) -> TypedRows[Record]: ...
    async def run(
        self,
        name: str | TypedCall[Any],
        /,
        *,
        variables: Mapping[str, object] | None = None,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        _max_wait: float | None = None,
        **values: object,
    ) -> Rows:
        """Run the pinned version and return its rows; arguments and errors are those of `Endpoints.run`."""
        from endpoints_gitops.consumer.pinned import prepare

        call = prepare(
            self._locked, name, variables, values, limit=_limit, offset=_offset, refresh=_refresh, max_wait=_max_wait
        )
        target = self._target() if REDIRECTIONS else self
        async with target._using() as (client, caller):
            return await client.drive(caller.run(client.calls, call))

    @overload
    def iterate(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        key: str | None = None,
        max_wait: float | None = None,
        **values: object,
    ) -> AsyncIterator[Any]: ...
    @overload
    def iterate[Record](
        self,
        call: TypedCall[Record],
        /,
        *,
        page_size: int | None = None,
        key: str | None = None,
        max_wait: float | None = None,
    ) -> AsyncIterator[Record]: ...
    def iterate(
        self,
        name: str | TypedCall[Any],
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        key: str | None = None,
        max_wait: float | None = None,
        **values: object,
    ) -> AsyncIterator[Any]:
        """Return every row, for `async for`; arguments and errors are those of `Endpoints.iterate`."""
        from endpoints_gitops.consumer.pinned import prepare

        call = prepare(self._locked, name, variables, values, max_wait=max_wait, max_wait_option="max_wait")
        target = self._target() if REDIRECTIONS else self
        return target._pages(call, page_size, key)

    async def warm_up(self, *, connect: bool = False) -> None:
        """Do now, for this event loop, what its first call would do before its request; see `Endpoints.warm_up`."""
        target = self._target() if REDIRECTIONS else self
        async with target._using() as (client, _):
            if connect:
                await client.drive(client.calls.open_connection())

    async def close(self) -> None:
        """Close the connections of this event loop once its running calls have ended. A later call opens new
        connections. An event loop that ends closes its connections by itself.
        """
        with self._lock:
            opened = self._opened.pop(_running_loop(), None)
            redirected, self._redirected = self._redirected, None
        if redirected is not None:
            await redirected[1].close()
        if opened is not None:
            opened.is_closing = True
            if not opened.calls:
                await _close(opened)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _pages(self, call: Call, size: int | None, key: str | None) -> AsyncIterator[Any]:
        with IMPORTS:
            from endpoints_gitops.consumer.paging import first_page
            from endpoints_gitops.consumer.pinned import PageCall

            first = PageCall(call=call, page=first_page(call, size, key))
        with self._lock:
            if self._caller is None:  # raises for a missing key now, not when iteration starts
                self._caller = self._make_caller(self._connection())

        async def rows() -> AsyncIterator[Any]:
            page: PageCall | None = first
            while page is not None:
                async with self._using() as (client, caller):
                    page_rows, page = await client.drive(caller.page(client.calls, page))
                for row in page_rows:
                    yield row

        return rows()

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[tuple[AsyncClient, PinnedCalls]]:
        """The client of this event loop, for one call. The last running call closes a client that is closing."""
        loop = _running_loop()
        with self._lock:
            opened = self._opened.get(loop)
            if opened is None or self._caller is None:
                with IMPORTS:
                    opened = self._open_client(loop)
            caller = self._caller
            assert caller is not None
        opened.calls += 1
        try:
            if opened.cleanup is None:
                opened.cleanup = _close_with_loop(opened.client, weakref.ref(self))
                await anext(opened.cleanup)
            yield opened.client, caller
        finally:
            opened.calls -= 1
            if opened.is_closing and not opened.calls:
                await _close(opened)

    def _open_client(self, loop: object) -> _OpenInLoop:
        from asyncio import AbstractEventLoop

        import anyio.to_thread

        from endpoints_gitops.api.client import AsyncClient

        anyio.to_thread.current_default_thread_limiter()  # imports what anyio needs for this kind of event loop
        for other in tuple(self._opened):
            if isinstance(other, AbstractEventLoop) and other.is_closed():  # without shutdown_asyncgens
                del self._opened[other]
        connection = self._connection()
        client = AsyncClient(connection, **self._settings(connection))
        opened = self._opened[loop] = _OpenInLoop(client)
        self._caller = self._caller or self._make_caller(connection)
        return opened

    def _forget(self, client: AsyncClient) -> None:
        loop = _running_loop()
        with self._lock:
            opened = self._opened.get(loop)
            if opened is not None and opened.client is client:
                del self._opened[loop]

    def _after_fork(self) -> None:
        inherited, self._opened = self._opened, weakref.WeakKeyDictionary()
        for opened in tuple(inherited.values()):
            opened.finalize.detach()
            INHERITED.append(opened)


class _OpenInLoop(OpenClient["AsyncClient"]):
    """A client of one event loop. `cleanup` closes its connections in the loop, `finalize` everything else."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client, client.rate_limiter.close if client.rate_limiter is not None else int)
        self.cleanup: AsyncGenerator[None] | None = None


async def _close_with_loop(client: AsyncClient, owner: weakref.ref[AsyncEndpoints]) -> AsyncGenerator[None]:
    """Close the client when this generator ends. An event loop ends its generators when it ends itself, or when they
    are no longer referenced.
    """
    try:
        yield
    finally:
        endpoints = owner()
        if endpoints is not None:
            endpoints._forget(client)
        await client.close()


async def _close(opened: _OpenInLoop) -> None:
    if opened.cleanup is not None:
        await opened.cleanup.aclose()
    else:
        await opened.client.close()


def _running_loop() -> object:
    """The running event loop of asyncio or trio. Raises RuntimeError if there is none."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            raise
        return trio.lowlevel.current_trio_token()
