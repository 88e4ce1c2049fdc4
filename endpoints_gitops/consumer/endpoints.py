"""`Endpoints` and `AsyncEndpoints`: an app calls what its lock pins, and nothing else.

Importing this imports next to nothing; the lock is read by `from_lock`, and what speaks HTTP comes with the first call.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

if TYPE_CHECKING:
    from pathlib import Path

    from endpoints_gitops.api.client import AsyncClient, Client
    from endpoints_gitops.api.connection import Connection
    from endpoints_gitops.api.rate_limiter import RateLimiter
    from endpoints_gitops.api.run_pages import AnyPage
    from endpoints_gitops.api.transport import AnyAsyncTransport, AnyTransport
    from endpoints_gitops.consumer.cache import Cache
    from endpoints_gitops.consumer.locked import Locked
    from endpoints_gitops.consumer.pinned import Call, Caller
    from endpoints_gitops.consumer.rows import Rows
    from endpoints_gitops.model.pin import Pin

type Contract = Literal["strict", "warn", "off"]
type Refresh = Literal["cache", "force", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection:
    """Where all clients of this process call while it holds, in place of their own host."""

    host: str
    project_id: int
    key: str


_REDIRECTIONS: list[Redirection] = []


@contextmanager
def redirected(host: str, project_id: int, key: str) -> Iterator[None]:
    """Let clients call this server for the length of the block, those too that were made before: for tests.

    Clients that were given `host=` or `transport=` in code are left alone.
    """
    redirection = Redirection(host=host, project_id=project_id, key=key)
    _REDIRECTIONS.append(redirection)
    try:
        yield
    finally:
        _REDIRECTIONS[:] = [one for one in _REDIRECTIONS if one is not redirection]


class _Pinned:
    """What both have in common: the pins, the settings, and calls that are checked before they are sent."""

    def __init__(
        self,
        locked: Locked,
        *,
        contract: Contract,
        cache: float | Cache | None,
        budget_url: str | None,
        max_wait: float,
        read_timeout: float,
        transport: Any,  # noqa: ANN401 - one of two protocols
    ) -> None:
        from endpoints_gitops.errors import UsageError

        if contract not in ("strict", "warn", "off"):
            raise UsageError(f'contract is "strict", "warn" or "off", not {contract!r}', code="usage.contract")
        self._locked = locked
        self._contract = contract
        self._cache = _cache(cache)
        self._budget_url = budget_url
        self._max_wait = max_wait
        self._read_timeout = read_timeout
        self._transport = transport
        self._lock = threading.Lock()
        self._made: Caller | None = None
        self._opened: weakref.WeakKeyDictionary[Any, _Open[AsyncClient]] = weakref.WeakKeyDictionary()
        _EVERY.add(self)
        self._redirected: tuple[Redirection, Self] | None = None

    def _elsewhere(self) -> Self:
        """This client, or what stands for it while calls are redirected. Its cache is its own."""
        if not _REDIRECTIONS or self._transport is not None or self._locked.host_in_code is not None:
            return self
        redirection = _REDIRECTIONS[-1]
        with self._lock:
            if self._redirected is None or self._redirected[0] is not redirection:
                self._redirected = (redirection, self._redirect(redirection))
            return self._redirected[1]

    def _redirect(self, to: Redirection) -> Self:
        from endpoints_gitops.model.secret import Secret

        locked = replace(
            self._locked,
            settings=replace(self._locked.settings, host=to.host, project_id=to.project_id),
            key=Secret(to.key),
            host_in_code=to.host,
        )
        cache = None if self._cache is None else replace(self._cache)
        return type(self)(
            locked,
            contract=self._contract,
            cache=cache,
            budget_url=self._budget_url,
            max_wait=self._max_wait,
            read_timeout=self._read_timeout,
            transport=None,
        )

    @property
    def environment(self) -> str:
        """The environment whose pins are called."""
        return self._locked.environment

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of this environment, by name."""
        return self._locked.pins

    def version(self, name: str) -> int:
        """The version that is called. Raises PinMissing."""
        return self._locked.pin(name).version

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._locked.path}: {len(self.pins)} pins, environment {self.environment}>"

    def _prepare(
        self,
        name: str,
        variables: Mapping[str, object] | None,
        more: Mapping[str, object],
        **options: Any,  # noqa: ANN401 - those of `prepare`
    ) -> Call:
        from endpoints_gitops.consumer.pinned import prepare, together

        return prepare(self._locked.pin(name), together(name, variables, more), **options)

    def _caller(self, connection: Connection) -> Caller:
        from endpoints_gitops.consumer.pinned import Caller

        where = f"{connection.host} {connection.project_id}"
        return Caller(host=where, contract=self._contract, uses=self._locked.uses, cache=self._cache)

    def _connection(self) -> Connection:
        return self._locked.connection(self._max_wait, self._read_timeout)

    def _settings(self, connection: Connection) -> dict[str, Any]:
        return {
            "rate_limiter": _rate_limiter(connection, self._budget_url),
            "trace": _trace(),
            "notice": _inform,
            "transport": self._transport,
        }

    def _after_fork(self) -> None:
        """In a forked child: the parent's connections and files are not used, and not closed either."""
        raise NotImplementedError


class _Open[AnyClient]:
    """A client that calls share. Who closes it while calls run leaves that to the last of them."""

    def __init__(self, client: AnyClient, close: Callable[[], object]) -> None:
        self.client = client
        self.calls = 0
        self.is_closing = False
        self.close = weakref.finalize(self, close)


_EVERY: Final[weakref.WeakSet[_Pinned]] = weakref.WeakSet()
_INHERITED: Final[list[object]] = []
"""Clients of the process that forked this one: nothing of them is closed here, or the parent would lose it."""


def _after_fork() -> None:
    for pinned in tuple(_EVERY):
        pinned._lock = threading.Lock()
        pinned._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Endpoints(_Pinned):
    """Calls pinned endpoints, from any number of threads.

        endpoints = Endpoints.from_lock()
        for row in endpoints.run("monthly_active_users", lookback_days=30):
            print(row.month, row.users)

    Make one for the whole app; `close()` it, or use it in a `with`, where the app ends earlier than the process.
    """

    _open: _Open[Client] | None = None

    @classmethod
    def from_lock(
        cls,
        path: str | os.PathLike[str] = "endpoints.lock",
        *,
        environment: str | None = None,
        contract: Contract = "strict",
        cache: float | Cache | None = None,
        budget_url: str | None = None,
        max_wait: float = 60.0,
        read_timeout: float = 60.0,
        host: str | None = None,
        project_id: int | None = None,
        key: str | None = None,
        transport: AnyTransport | None = None,
    ) -> Self:
        """The pins of a lock. No server is asked and no key is looked for before the first call.

        Host, project and key come from the configuration beside the lock, else from the `POSTHOG_CLI_…` variables;
        `host`, `project_id` and `key` go before both. `contract`: an answer that is not what was pinned is an error
        (strict), a ContractWarning (warn), or nothing (off). `cache`: seconds, or a Cache. `budget_url`: a Redis in
        which several machines count their requests; else those of this machine do in one file. `max_wait`: the most
        seconds that one call takes, waits and repetitions included. `read_timeout`: the seconds to wait for one answer
        before the server is asked again; a slow answer needs both to be long enough.

        Raises UsageError, and InvalidInput with every mistake in lock or configuration.
        """
        from endpoints_gitops.consumer.locked import find

        locked = find(path, environment=environment, host=host, project_id=project_id, key=key)
        return cls(
            locked,
            contract=contract,
            cache=cache,
            budget_url=budget_url,
            max_wait=max_wait,
            read_timeout=read_timeout,
            transport=transport,
        )

    def run(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        **values: object,
    ) -> Rows:
        """Run the pinned version with these variables, and give its rows.

        `variables` takes those whose names are no Python words, or clash: `variables={"$browser": "Chrome"}`. What
        begins with an underscore is about the call: `_limit` and `_offset` (HogQL only), `_refresh` ("force" computes
        anew, "direct" also goes past a materialised table).

        Raises before anything is sent: PinMissing, UnknownVariable, MissingVariable, WrongVariableType, UsageError.
        After: ApiError (one class for each cause) and ContractBroken (one class for each way).
        """
        call = self._prepare(name, variables, values, limit=_limit, offset=_offset, refresh=_refresh)
        with self._elsewhere()._using() as (client, caller):
            return client.drive(caller.run(client.calls, call))

    def iterate(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        key: str | None = None,
        **values: object,
    ) -> Iterator[Any]:
        """Every row, read page by page as the loop goes on; the checks of `run` come before the first request.

        Pages are asked for by offset: rows are only sure to come once each where the query orders them and none can
        arrive meanwhile. Else a PagingWarning says so, once. With `key`, a column whose values are unique, each page
        is asked for by the last key of the page before: no row is lost or comes twice, whatever arrives. That needs a
        query with `key > {variables.…}` and `ORDER BY key`, whose variable has a default or is passed. Of an insight
        every result: those have no pages.

        Raises what `run` raises, UsageError before the first request where the query cannot be paged by `key`, and
        PagesBroken where keys are null or not unique.
        """
        return self._elsewhere()._pages(self._prepare(name, variables, values), page_size, key)

    def close(self) -> None:
        """Close every connection, when the calls that run in other threads have ended. The next call opens new ones."""
        with self._lock:
            opened, self._open = self._open, None
            redirected, self._redirected = self._redirected, None
            is_idle = opened is not None and not opened.calls
            if opened is not None:
                opened.is_closing = True
        if redirected is not None:
            redirected[1].close()
        if opened is not None and is_idle:
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pages(self, call: Call, size: int | None, key: str | None) -> Iterator[Any]:
        from endpoints_gitops.consumer.paging import first_page

        first = first_page(call, size, key)
        with self._using():
            pass  # a key that is missing is an error here, and not when the loop begins

        def rows() -> Iterator[Any]:
            page: AnyPage | None = first
            while page is not None:
                with self._using() as (client, caller):
                    found, page = client.drive(caller.page(client.calls, call, page))
                yield from found

        return rows()

    @contextmanager
    def _using(self) -> Iterator[tuple[Client, Caller]]:
        with self._lock:
            opened, caller = self._ready()
            opened.calls += 1
        try:
            yield opened.client, caller
        finally:
            with self._lock:
                opened.calls -= 1
                is_last = opened.is_closing and not opened.calls
            if is_last:
                opened.close()

    def _ready(self) -> tuple[_Open[Client], Caller]:
        if self._open is None or self._made is None:
            from endpoints_gitops.api.client import Client

            connection = self._connection()
            client = Client(connection, **self._settings(connection))
            self._open = _Open(client, client.close)
            self._made = self._made or self._caller(connection)
        return self._open, self._made

    def _after_fork(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close.detach()
            _INHERITED.append(opened)


class AsyncEndpoints(_Pinned):
    """As `Endpoints`, awaited:

    async with AsyncEndpoints.from_lock() as endpoints:
        rows = await endpoints.run("monthly_active_users", lookback_days=30)

    One serves any number of event loops, of asyncio and trio, one after the other or in threads: each has connections
    of its own.
    """

    @classmethod
    def from_lock(
        cls,
        path: str | os.PathLike[str] = "endpoints.lock",
        *,
        environment: str | None = None,
        contract: Contract = "strict",
        cache: float | Cache | None = None,
        budget_url: str | None = None,
        max_wait: float = 60.0,
        read_timeout: float = 60.0,
        host: str | None = None,
        project_id: int | None = None,
        key: str | None = None,
        transport: AnyAsyncTransport | None = None,
    ) -> Self:
        """As `Endpoints.from_lock`."""
        from endpoints_gitops.consumer.locked import find

        locked = find(path, environment=environment, host=host, project_id=project_id, key=key)
        return cls(
            locked,
            contract=contract,
            cache=cache,
            budget_url=budget_url,
            max_wait=max_wait,
            read_timeout=read_timeout,
            transport=transport,
        )

    async def run(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        **values: object,
    ) -> Rows:
        """As `Endpoints.run`."""
        call = self._prepare(name, variables, values, limit=_limit, offset=_offset, refresh=_refresh)
        opened, caller = self._elsewhere()._ready()
        async with _counted(opened) as client:
            return await client.drive(caller.run(client.calls, call))

    def iterate(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        key: str | None = None,
        **values: object,
    ) -> AsyncIterator[Any]:
        """As `Endpoints.iterate`, for `async for`."""
        return self._elsewhere()._pages(self._prepare(name, variables, values), page_size, key)

    async def close(self) -> None:
        """Close the connections of this event loop, when the calls that run in it have ended. The next call opens new
        ones.
        """
        with self._lock:
            opened = self._opened.pop(_running_loop(), None)
            redirected, self._redirected = self._redirected, None
        if redirected is not None:
            await redirected[1].close()
        if opened is not None:
            opened.is_closing = True
            if not opened.calls:
                await opened.client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _pages(self, call: Call, size: int | None, key: str | None) -> AsyncIterator[Any]:
        from endpoints_gitops.consumer.paging import first_page

        first = first_page(call, size, key)
        self._calls(self._connection)

        async def rows() -> AsyncIterator[Any]:
            page: AnyPage | None = first
            while page is not None:
                opened, caller = self._ready()
                async with _counted(opened) as client:
                    found, page = await client.drive(caller.page(client.calls, call, page))
                for each in found:
                    yield each

        return rows()

    def _ready(self) -> tuple[_Open[AsyncClient], Caller]:
        loop = _running_loop()
        with self._lock:
            opened = self._opened.get(loop)
            if opened is not None and self._made is not None:
                return opened, self._made
            from endpoints_gitops.api.client import AsyncClient

            connection = self._connection()
            client = AsyncClient(connection, **self._settings(connection))
            limiter = client.rate_limiter
            opened = _Open(client, limiter.close if limiter is not None else int)  # the rest needs the loop
            self._opened[loop] = opened
        return opened, self._calls(lambda: connection)

    def _calls(self, connection: Callable[[], Connection]) -> Caller:
        if self._made is None:
            self._made = self._caller(connection())
        return self._made

    def _after_fork(self) -> None:
        inherited, self._opened = self._opened, weakref.WeakKeyDictionary()
        for opened in tuple(inherited.values()):
            opened.close.detach()
            _INHERITED.append(opened)


def _running_loop() -> object:
    """The event loop of asyncio or of trio that is running. Raises RuntimeError outside of both."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            raise
        return trio.lowlevel.current_trio_token()


@asynccontextmanager
async def _counted(opened: _Open[AsyncClient]) -> AsyncIterator[AsyncClient]:
    """The client for one call; the last one closes a client that was closed meanwhile."""
    opened.calls += 1
    try:
        yield opened.client
    finally:
        opened.calls -= 1
        if opened.is_closing and not opened.calls:
            await opened.client.close()


def _cache(said: float | Cache | None) -> Cache | None:
    if not isinstance(said, int | float):
        return said
    from endpoints_gitops.consumer.cache import Cache

    return Cache(seconds=said)


def _rate_limiter(connection: Connection, url: str | None) -> Path | RateLimiter:
    from endpoints_gitops.workspace.state import state_folder

    if url is None:
        return state_folder(os.environ) / "budgets.sqlite"
    from endpoints_gitops.api.rate_limiter import RedisRateLimiter

    return RedisRateLimiter(url, connection, notice=_inform)


def _trace() -> Callable[[str], None] | None:
    """A line for each request, where somebody wants to see it when the first is made."""
    import logging

    logger = logging.getLogger("endpoints_gitops")
    return logger.debug if logger.isEnabledFor(logging.DEBUG) else None


def _inform(line: str) -> None:
    import logging

    logging.getLogger("endpoints_gitops").info(line)
