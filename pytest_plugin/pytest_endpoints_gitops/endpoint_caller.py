"""The fixtures `endpoints` and `async_endpoints`: calls of the library's client, made in the test's own mode."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.consumer.errors import ClientOutdated, ContractBroken
from endpoints_gitops.consumer.typed import TypedCall, TypedEndpoint
from endpoints_gitops.errors import UsageError
from pytest_endpoints_gitops.call_log import noting
from pytest_endpoints_gitops.caller import PreparedCall, TestCaller, Variables
from pytest_endpoints_gitops.calls import ALL_ROWS, HOGQL, Page, SourceAnswer
from pytest_endpoints_gitops.contract import refreshing
from pytest_endpoints_gitops.errors import failure_of, parts_of
from pytest_endpoints_gitops.failures import ContractViolated, EndpointRef, GeneratedStale, NotPinned
from pytest_endpoints_gitops.fakes import real_files

if TYPE_CHECKING:
    from endpoints_gitops.api.run_pages import AnyPage
    from endpoints_gitops.consumer.rows import Rows as LibraryRows
    from endpoints_gitops.consumer.rows import TypedRows
    from endpoints_gitops.model.pin import Pin
    from pytest_endpoints_gitops.rows import TestedRows
    from pytest_endpoints_gitops.stubbing import EndpointStub, Rows

type Requested = str | type | TypedCall[Any]
"""What a test calls: an endpoint's name, a class of rows, or a call of generated code."""


@dataclass(frozen=True, slots=True)
class _WrittenCall:
    """A call as a test wrote it, and the form in which it wants the rows."""

    name: str
    variables: Mapping[str, Any]
    kind: type | None = None
    typed: TypedEndpoint[Any] | None = None


class _PinnedCaller:
    """What both fixtures have in common."""

    def __init__(self, caller: TestCaller) -> None:
        self._caller = caller

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of the environment, by name."""
        return self._caller.app.environment.pins

    @property
    def environment(self) -> str:
        """The environment of the pins."""
        return self._caller.app.environment.name

    def version(self, name: str) -> int:
        """The pinned version that is called. Raises NotPinned."""
        return self._caller.app.environment.pin(name).version

    def stub(
        self,
        what: Requested,
        /,
        *,
        rows: Rows | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        variables: Variables = None,
        optional: bool = False,
    ) -> EndpointStub:
        """Answer calls of an endpoint with rows by hand, or with an error, until the test ends.

            endpoints.stub("revenue_by_plan", rows=[{"plan": "pro", "customers": 3, "mrr": 90.0}])
            endpoints.stub("revenue_by_plan", status=429, retry_after=1).then(rows=[])

        It holds for this test alone, in every mode, also for what the app calls through `endpoints_server`. Rows are
        checked against the pin: dictionaries, records with a field for each column, or values in column order; for an
        insight its `results`. `then` adds the answer to the next call, and the last one is given again. `variables`:
        only for calls with these values. Of several stubs that fit a call, the last one answers. A stub that no call
        asks for fails the test at its end, unless it is `optional`.

        Raises StubInvalid for rows that the pinned version cannot return, NotPinned, VariableUndeclared,
        VariableMistyped, and ValueError for arguments that are no answer.
        """
        caller = self._caller
        with noting(caller.log), real_files():
            request = self._request(what, variables, {})
            return caller.stub(
                request.name,
                variables=request.variables,
                optional=optional,
                rows=rows if rows is None or request.typed is None else [_values(request.typed, row) for row in rows],
                status=status,
                retry_after=retry_after,
            )

    def _request(self, what: Requested, variables: Variables, values: Mapping[str, Any]) -> _WrittenCall:
        """Raises NotPinned, GeneratedStale, and UsageError for variables that are passed twice."""
        if variables and (twice := sorted(variables.keys() & values.keys())):
            raise UsageError(f"variable {twice[0]!r} is passed twice", code="call.option")
        passed = {**(variables or {}), **values}
        if isinstance(what, str):
            return _WrittenCall(what, passed)
        if isinstance(what, TypedCall):
            endpoint = what.endpoint
            if passed:
                message = f"{endpoint.name}: a typed call has its variables already; pass them to its function"
                raise UsageError(message, code="call.option")
            return self._typed_request(endpoint, what.variables)
        endpoint_of_class = getattr(what, "__endpoint__", None)
        if isinstance(endpoint_of_class, TypedEndpoint):
            return replace(self._typed_request(endpoint_of_class, passed), kind=what)
        return _WrittenCall(endpoint_of(what, self.pins), passed, kind=what)

    def _typed_request(self, endpoint: TypedEndpoint[Any], variables: Mapping[str, Any]) -> _WrittenCall:
        """Raises NotPinned and GeneratedStale."""
        try:
            endpoint.check(self._caller.app.environment.pin(endpoint.name))
        except ClientOutdated as error:
            _, command = parts_of(error.fix)
            ref = EndpointRef(error.pin.name, error.pin.version)
            raise GeneratedStale(ref, error.message, ("read by", self._caller.log.nodeid), command=command) from None
        return _WrittenCall(endpoint.name, variables, typed=endpoint)

    def _prepare(self, request: _WrittenCall, page: Page) -> PreparedCall:
        """Raises UsageError for a page that there cannot be, as the library's client does."""
        if page != ALL_ROWS:
            from endpoints_gitops.consumer.pinned import Call, option_mistake

            pin = self._caller.app.environment.pin(request.name)
            mistake = option_mistake(Call(pin=pin, values={}, limit=page[0], offset=page[1]))
            if mistake is not None:
                raise UsageError(f"{pin.label}: {mistake}", code="call.option")
        return self._caller.prepare(request.name, request.variables, page)

    def _records(self, request: _WrittenCall, prepared: PreparedCall, answer: SourceAnswer) -> Any:  # noqa: ANN401 - rows, or records
        """The rows in the form that the test wants. Raises ContractViolated."""
        rows = self._caller.rows(prepared, answer)
        if request.typed is not None:
            typed = self._typed(request.typed, prepared, answer, rows)
            return typed if request.kind is None else [*typed]
        return rows if request.kind is None else records(request.kind, rows)

    def _typed(
        self, endpoint: TypedEndpoint[Any], prepared: PreparedCall, answer: SourceAnswer, rows: TestedRows
    ) -> LibraryRows:
        """A record of generated code has every column, so all count as read."""
        prepared.logged.is_whole = True
        try:
            return endpoint.rows(rows)
        except ContractBroken as error:
            command = refreshing(prepared.call, answer, self._caller.log.test)
            received = ("received", answer.shown_origin)
            raise ContractViolated(prepared.call.endpoint, error.problem, received, command=command) from None

    def _first_page(self, request: _WrittenCall, size: int | None, key: str | None) -> AnyPage:
        """Raises a Failure for wrong variables, and UsageError for a size or a key that the query does not allow."""
        from endpoints_gitops.consumer.paging import first_page
        from endpoints_gitops.consumer.pinned import Call

        caller = self._caller
        with real_files():
            call = caller.app.call(request.name, request.variables, ALL_ROWS, caller.log)
            return first_page(Call(pin=call.pin, values=call.variables), size, key)

    def _prepare_page(self, request: _WrittenCall, page: AnyPage) -> PreparedCall:
        is_paged = self._caller.app.environment.pin(request.name).kind == HOGQL
        limits: Page = (page.limit, page.offset or None) if is_paged else ALL_ROWS
        return self._caller.prepare(request.name, {**request.variables, **page.values}, limits)

    def _read_page(
        self, request: _WrittenCall, prepared: PreparedCall, answer: SourceAnswer, page: AnyPage
    ) -> tuple[LibraryRows, AnyPage | None]:
        """The rows of a page that no page before it had, and the next page. Raises CallRefused for pages that do not
        fit together.
        """
        following: AnyPage | None = None
        results = None
        if answer.run.columns is not None:
            try:
                results, following = page.read(answer.run)
            except ApiError as error:
                raise failure_of(prepared.call, self._caller.log.test, error) from None
        rows: LibraryRows = self._caller.rows(prepared, answer, results)
        if request.typed is not None:
            rows = self._typed(request.typed, prepared, answer, rows)  # type: ignore[arg-type]  # TestedRows
        return rows, following


class EndpointCaller(_PinnedCaller):
    """Calls what the lock pins: `endpoints("revenue_by_plan", month="2026-07")`.

    `variables` takes those whose names are not Python identifiers, or clash. `_limit` and `_offset` request a page
    (HogQL only), which belongs to the call: it has a recording of its own. With a class (pydantic's model or a
    dataclass) in place of the name, the rows are of that class, and with a call of generated code
    (`endpoints(revenue_by_plan(month="2026-07"))`) of the generated one. `run` is the same, as the library's client has
    it. Raises a Failure, and UsageError for a page that there cannot be.
    """

    @overload
    def __call__(
        self,
        what: str,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> TestedRows: ...
    @overload
    def __call__[Row](
        self,
        what: type[Row],
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> list[Row]: ...
    @overload
    def __call__[Row](
        self, what: TypedCall[Row], /, *, _limit: int | None = None, _offset: int | None = None
    ) -> TypedRows[Row]: ...
    def __call__(
        self,
        what: Requested,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:
        caller = self._caller
        with noting(caller.log):
            request = self._request(what, variables, values)
            prepared = self._prepare(request, (_limit, _offset))
            return self._records(request, prepared, caller.answer(prepared))

    run = __call__

    def iterate(
        self,
        what: str | TypedCall[Any],
        /,
        *,
        variables: Variables = None,
        page_size: int | None = None,
        key: str | None = None,
        **values: object,
    ) -> Iterator[Any]:
        """Every row, requested page by page, as `Endpoints.iterate` does: by offset, or by `key`, a column of unique
        values. Each page is a call, with a recording of its own unless one of all rows has it.

        Raises a Failure, and UsageError before the first call if the query cannot be paged so.
        """
        caller = self._caller
        with noting(caller.log):
            request = self._request(what, variables, values)
            first = self._first_page(request, page_size, key)

        def rows() -> Iterator[Any]:
            page: AnyPage | None = first
            while page is not None:
                with noting(caller.log):
                    prepared = self._prepare_page(request, page)
                    page_rows, page = self._read_page(request, prepared, caller.answer(prepared), page)
                yield from page_rows

        return rows()


class AsyncEndpointCaller(_PinnedCaller):
    """As EndpointCaller, awaited, in whichever event loop the test runs: an answer that takes time is awaited in a
    thread.
    """

    async def __call__(
        self,
        what: Requested,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:  # noqa: ANN401 - as EndpointCaller
        with noting(self._caller.log):
            request = self._request(what, variables, values)
            prepared = self._prepare(request, (_limit, _offset))
            return self._records(request, prepared, await self._answer(prepared))

    run = __call__

    def iterate(
        self,
        what: str | TypedCall[Any],
        /,
        *,
        variables: Variables = None,
        page_size: int | None = None,
        key: str | None = None,
        **values: object,
    ) -> AsyncIterator[Any]:
        """Every row, for `async for`; see `EndpointCaller.iterate`."""
        log = self._caller.log
        with noting(log):
            request = self._request(what, variables, values)
            first = self._first_page(request, page_size, key)

        async def rows() -> AsyncIterator[Any]:
            page: AnyPage | None = first
            while page is not None:
                with noting(log):
                    prepared = self._prepare_page(request, page)
                    page_rows, page = self._read_page(request, prepared, await self._answer(prepared), page)
                for row in page_rows:
                    yield row

        return rows()

    async def _answer(self, prepared: PreparedCall) -> SourceAnswer:
        if self._caller.is_immediate(prepared):
            return self._caller.answer(prepared)
        from anyio import to_thread

        return await to_thread.run_sync(self._caller.answer, prepared)


def _values(endpoint: TypedEndpoint[Any], row: Any) -> Any:  # noqa: ANN401 - a row of a stub
    """The values of a record of generated code in column order; any other row as it is."""
    if endpoint.fields is None or not isinstance(row, endpoint.record):
        return row
    return [getattr(row, name) for name in endpoint.fields]


def endpoint_of(kind: type, pins: Mapping[str, Pin]) -> str:
    """The endpoint of a class of rows: its `__endpoint__`, else its name in snake case. Raises NotPinned."""
    named = getattr(kind, "__endpoint__", None)
    if isinstance(named, str):
        return named
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    name = next((name for name in pins if name.lower().replace("-", "_") == words), None)
    if name is None:
        raise NotPinned(
            EndpointRef(kind.__name__),
            "no pinned endpoint has a name like that",
            ("expected", f'a pin of {words}, or __endpoint__ = "NAME" in the class'),
            ("received", ", ".join(pin.label for pin in pins.values()) or "no pins at all"),
            advice="add the endpoint to `uses`",
            command=("endpoints-gitops", "lock"),
        )
    return name


def records(kind: type, rows: TestedRows) -> list[Any]:
    """The rows as instances of the caller's class: a pydantic model, a dataclass, or one that takes all columns."""
    return [_record(kind, row) for row in rows.as_dicts()]


def _record(kind: type, row: dict[str, Any]) -> Any:  # noqa: ANN401 - of the caller's class
    if hasattr(kind, "model_validate"):
        return kind.model_validate(row)
    if dataclasses.is_dataclass(kind):
        return kind(**{field.name: row[field.name] for field in dataclasses.fields(kind)})
    return kind(**row)
