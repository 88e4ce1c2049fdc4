"""`Endpoints`: an app calls what its lock pins, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from endpoints_gitops.consumer.client_base import INHERITED, REDIRECTIONS, Contract, OpenClient, PinnedClient, Refresh

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.api.run_pages import AnyPage
    from endpoints_gitops.api.transport import AnyTransport
    from endpoints_gitops.consumer.cache import Cache
    from endpoints_gitops.consumer.pinned import Call, PinnedCalls
    from endpoints_gitops.consumer.rows import Rows


class Endpoints(PinnedClient):
    """Calls pinned endpoints, from any number of threads.

        endpoints = Endpoints.from_lock()
        for row in endpoints.run("monthly_active_users", lookback_days=30):
            print(row.month, row.users)

    Make one for the whole app; `close()` it, or use it in a `with`, where the app ends earlier than the process.
    """

    _open: OpenClient[Client] | None = None

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
        from endpoints_gitops.consumer.pinned import prepare

        call = prepare(self._locked, name, variables, values, limit=_limit, offset=_offset, refresh=_refresh)
        target = self._target() if REDIRECTIONS else self
        with target._using() as (client, caller):
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
        from endpoints_gitops.consumer.pinned import prepare

        target = self._target() if REDIRECTIONS else self
        return target._pages(prepare(self._locked, name, variables, values), page_size, key)

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
            opened.finalize()

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
                    page_rows, page = client.drive(caller.page(client.calls, call, page))
                yield from page_rows

        return rows()

    @contextmanager
    def _using(self) -> Iterator[tuple[Client, PinnedCalls]]:
        """The client for one call; the last call closes a client that was closed meanwhile."""
        with self._lock:
            if self._open is None or self._caller is None:
                self._open_client()
            opened, caller = self._open, self._caller
            assert opened is not None
            assert caller is not None
            opened.calls += 1
        try:
            yield opened.client, caller
        finally:
            with self._lock:
                opened.calls -= 1
                is_last = opened.is_closing and not opened.calls
            if is_last:
                opened.finalize()

    def _open_client(self) -> None:
        from endpoints_gitops.api.client import Client

        connection = self._connection()
        client = Client(connection, **self._settings(connection))
        self._open = OpenClient(client, client.close)
        self._caller = self._caller or self._make_caller(connection)

    def _after_fork(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.finalize.detach()
            INHERITED.append(opened)
