"""`Endpoints`: an app calls the versions that its lock pins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, overload

from endpoints_gitops.consumer.client_base import IMPORTS, INHERITED, REDIRECTIONS, OpenClient, PinnedClient, Refresh

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.api.transport import AnyTransport  # noqa: F401 - the base class names it as a text
    from endpoints_gitops.consumer.pinned import Call, PageCall, PinnedCalls
    from endpoints_gitops.consumer.rows import Rows, TypedRows
    from endpoints_gitops.consumer.typed import TypedCall


class Endpoints(PinnedClient["AnyTransport"]):
    """Calls pinned endpoints, from any number of threads.

        endpoints = Endpoints.from_lock()
        for row in endpoints.run("monthly_active_users", lookback_days=30):
            print(row.month, row.users)

    Create one for the whole app. Call `close()`, or use it in a `with`, if the process outlives the app.
    """

    _open: OpenClient[Client] | None = None

    @overload
    def run(
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
    def run[Record](
        self,
        call: TypedCall[Record],
        /,
        *,
        _limit: int | None = None,
        _offset: int | None = None,
        _refresh: Refresh | None = None,
        _max_wait: float | None = None,
    ) -> TypedRows[Record]: ...
    def run(
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
        """Run the pinned version with these variables, and return its rows.

            rows = endpoints.run("monthly_active_users", lookback_days=30)
            print(rows[0].users, rows.has_more)

        A call of generated code has the variables already, and gives rows of its class: `run(revenue_by_plan(…))`.
        Pass variables whose names are not Python identifiers in `variables`: `variables={"$browser": "Chrome"}`.
        Options of the call begin with an underscore: `_limit` and `_offset` (HogQL only), `_refresh` ("force" bypasses
        the cache, "direct" also bypasses a materialized table), and `_max_wait`, the maximum duration of this call in
        seconds, including waits and retries.

        Raises PinMissing, ClientOutdated, UnknownVariable, MissingVariable, WrongVariableType or UsageError before
        anything is sent; then ApiError (a class for each cause) and ContractBroken (a class for each kind of mismatch).
        """
        from endpoints_gitops.consumer.pinned import prepare

        call = prepare(
            self._locked, name, variables, values, limit=_limit, offset=_offset, refresh=_refresh, max_wait=_max_wait
        )
        target = self._target() if REDIRECTIONS else self
        with target._using() as (client, caller):
            return client.drive(caller.run(client.calls, call))

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
    ) -> Iterator[Any]: ...
    @overload
    def iterate[Record](
        self,
        call: TypedCall[Record],
        /,
        *,
        page_size: int | None = None,
        key: str | None = None,
        max_wait: float | None = None,
    ) -> Iterator[Record]: ...
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
    ) -> Iterator[Any]:
        """Return every row, fetched page by page during iteration. Variables are checked before the first request.

            for event in endpoints.iterate("events", key="uuid", page_size=5000):
                print(event.uuid)

        By default pages are requested by offset. Rows can then be missing or duplicated, unless the query has a total
        order and no rows arrive meanwhile; a PagingWarning says so once. With `key`, a column of unique values, each
        page starts after the last key of the previous one, so no row is lost or duplicated even if rows arrive. This
        requires a query with `key > {variables.…}` and `ORDER BY key`, whose variable has a default or is passed. An
        insight has no pages: all its results are returned. `max_wait` is the maximum of the time in seconds that all
        pages take together, without the time that the app spends on their rows; by default each page can take as long
        as a `run`.

        Raises the errors of `run`, UsageError before the first request if the query cannot be paged by `key`, and
        PagesBroken if keys are null or not unique.
        """
        from endpoints_gitops.consumer.pinned import prepare

        call = prepare(self._locked, name, variables, values, max_wait=max_wait, max_wait_option="max_wait")
        target = self._target() if REDIRECTIONS else self
        return target._pages(call, page_size, key)

    def warm_up(self, *, connect: bool = False) -> None:
        """Do now what the first call would do before its request, so that it is not slower than others.

            endpoints = Endpoints.from_lock()
            endpoints.warm_up()  # when the app starts

        Imports modules, finds the key, reads the certificates, and opens the file in which requests are counted. No
        request is made. With `connect`, a connection to the host is opened too, by one HEAD request without a key to
        the root of the host, which counts against no rate limit; a connection that is idle for 5 seconds is closed.
        Repeat it after a fork and after `close()`.

        Raises CredentialsError or UsageError as a call would; with `connect` also Unreachable (or HostWrong).
        """
        target = self._target() if REDIRECTIONS else self
        with target._using() as (client, _):
            if connect:
                client.drive(client.calls.open_connection())

    def close(self) -> None:
        """Close every connection once the running calls of other threads have ended. A later call opens new ones."""
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
        with IMPORTS:
            from endpoints_gitops.consumer.paging import first_page
            from endpoints_gitops.consumer.pinned import PageCall

            first = PageCall(call=call, page=first_page(call, size, key))
        with self._using():
            pass  # raises for a missing key now, not when iteration starts

        def rows() -> Iterator[Any]:
            page: PageCall | None = first
            while page is not None:
                with self._using() as (client, caller):
                    page_rows, page = client.drive(caller.page(client.calls, page))
                yield from page_rows

        return rows()

    @contextmanager
    def _using(self) -> Iterator[tuple[Client, PinnedCalls]]:
        """The client, for one call. The last running call closes a client that is closing."""
        with self._lock:
            if self._open is None or self._caller is None:
                with IMPORTS:
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
