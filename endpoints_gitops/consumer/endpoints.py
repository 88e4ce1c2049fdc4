"""`Endpoints` and `AsyncEndpoints`: an app calls what its lock pins, and nothing else.

Importing this imports next to nothing; the lock is read by `from_lock`, and what speaks HTTP comes with the first call.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from endpoints_gitops.api.budget import Counting
    from endpoints_gitops.api.client import AsyncClient, Client
    from endpoints_gitops.api.connection import Connection
    from endpoints_gitops.api.run_pages import Page
    from endpoints_gitops.api.transport import AsyncTransport, Transport
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
        self._at_end: Callable[[], object] | None = None
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
            "budget": _budget(connection, self._budget_url),
            "trace": _trace(),
            "notice": _inform,
            "transport": self._transport,
        }


class Endpoints(_Pinned):
    """Calls pinned endpoints, from any number of threads.

        endpoints = Endpoints.from_lock()
        for row in endpoints.run("monthly_active_users", lookback_days=30):
            print(row.month, row.users)

    Make one for the whole app; `close()` it, or use it in a `with`, where the app ends earlier than the process.
    """

    _client: Client | None = None

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
        transport: Transport | None = None,
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
        client, caller = self._elsewhere()._ready()
        return client.drive(caller.run(client.calls, call))

    def iterate(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        **values: object,
    ) -> Iterator[Any]:
        """Every row, read page by page as the loop goes on; the checks of `run` come before the first request.

        Rows are only sure to come once each where the query orders them: else a PagingWarning says so, once. Of an
        insight every result: those have no pages.
        """
        call = self._prepare(name, variables, values)
        client, caller = self._elsewhere()._ready()
        return self._pages(client, caller, call, page_size)

    def close(self) -> None:
        """Close every connection. The next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
            redirected, self._redirected = self._redirected, None
        if redirected is not None:
            redirected[1].close()
        if client is not None and self._at_end is not None:
            self._at_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pages(self, client: Client, caller: Caller, call: Call, size: int | None) -> Iterator[Any]:
        first = caller.first_page(call, size)

        def rows() -> Iterator[Any]:
            page: Page | None = first
            while page is not None:
                found, page = client.drive(caller.page(client.calls, call, page))
                yield from found

        return rows()

    def _ready(self) -> tuple[Client, Caller]:
        with self._lock:
            if self._client is None or self._made is None:
                from endpoints_gitops.api.client import Client

                connection = self._connection()
                self._client = Client(connection, **self._settings(connection))
                self._at_end = weakref.finalize(self, self._client.close)
                self._made = self._made or self._caller(connection)
            return self._client, self._made


class AsyncEndpoints(_Pinned):
    """As `Endpoints`, awaited, in one event loop:

    async with AsyncEndpoints.from_lock() as endpoints:
        rows = await endpoints.run("monthly_active_users", lookback_days=30)
    """

    _client: AsyncClient | None = None

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
        transport: AsyncTransport | None = None,
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
        client, caller = self._elsewhere()._ready()
        return await client.drive(caller.run(client.calls, call))

    def iterate(
        self,
        name: str,
        /,
        *,
        variables: Mapping[str, object] | None = None,
        page_size: int | None = None,
        **values: object,
    ) -> AsyncIterator[Any]:
        """As `Endpoints.iterate`, for `async for`."""
        call = self._prepare(name, variables, values)
        client, caller = self._elsewhere()._ready()
        return self._pages(client, caller, call, page_size)

    async def close(self) -> None:
        """Close every connection. The next call opens new ones, in whichever loop it is made."""
        client, self._client = self._client, None
        redirected, self._redirected = self._redirected, None
        if redirected is not None:
            await redirected[1].close()
        if client is not None:
            await client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _pages(self, client: AsyncClient, caller: Caller, call: Call, size: int | None) -> AsyncIterator[Any]:
        first = caller.first_page(call, size)

        async def rows() -> AsyncIterator[Any]:
            page: Page | None = first
            while page is not None:
                found, page = await client.drive(caller.page(client.calls, call, page))
                for each in found:
                    yield each

        return rows()

    def _ready(self) -> tuple[AsyncClient, Caller]:
        if self._client is None or self._made is None:
            from endpoints_gitops.api.client import AsyncClient

            connection = self._connection()
            self._client = AsyncClient(connection, **self._settings(connection))
            if self._client.budget is not None:
                self._at_end = weakref.finalize(self, self._client.budget.close)  # the rest needs the loop
            self._made = self._made or self._caller(connection)
        return self._client, self._made


def _cache(said: float | Cache | None) -> Cache | None:
    if not isinstance(said, int | float):
        return said
    from endpoints_gitops.consumer.cache import Cache

    return Cache(seconds=said)


def _budget(connection: Connection, url: str | None) -> Path | Counting:
    import os

    from endpoints_gitops.workspace.state import state_folder

    if url is None:
        return state_folder(os.environ) / "budgets.sqlite"
    from endpoints_gitops.api.shared_budget import SharedBudget

    return SharedBudget(url, connection, notice=_inform)


def _trace() -> Callable[[str], None] | None:
    """A line for each request, where somebody wants to see it when the first is made."""
    import logging

    logger = logging.getLogger("endpoints_gitops")
    return logger.debug if logger.isEnabledFor(logging.DEBUG) else None


def _inform(line: str) -> None:
    import logging

    logging.getLogger("endpoints_gitops").info(line)
