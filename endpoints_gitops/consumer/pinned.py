"""Pinned calls as flows: variables and answers are checked. `Endpoints` and `AsyncEndpoints` execute them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.errors import (
    ApiError,
    EndpointInactive,
    EndpointNotFound,
    OffsetRefused,
    VariablesRefused,
    VersionInactive,
    VersionNotFound,
)
from endpoints_gitops.api.run_pages import UNPAGED_ROWS, AnyPage, PageRequest, may_be_truncated, unstable_pages
from endpoints_gitops.api.wire import Flow, Join
from endpoints_gitops.consumer.cache import Cache
from endpoints_gitops.consumer.checking import HOGQL, check_answer, check_variables, check_widths
from endpoints_gitops.consumer.client_base import REDIRECTIONS
from endpoints_gitops.consumer.errors import ContractBroken, ContractWarning, PagingWarning
from endpoints_gitops.consumer.rows import Rows, rows_of
from endpoints_gitops.consumer.typed import TypedCall, TypedEndpoint
from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.model.pin import Pin, Use

if TYPE_CHECKING:
    from endpoints_gitops.consumer.locked import Locked
    from endpoints_gitops.hogql.paging import QueryPaging
    from endpoints_gitops.model.sunset import SunsetNotice

type Strictness = Literal["strict", "warn", "off"]
type Refresh = Literal["cache", "force", "direct"]

_REFRESH: Final = ("cache", "force", "direct")
_WITHOUT_OFFSET: Final = (
    "use a project secret key (phs_…), which can page; or one page with all rows: run(…, _limit=N); "
    'or page by key: iterate(…, key="timestamp") with a query that has WHERE timestamp > {variables.after} '
    "ORDER BY timestamp"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One checked call."""

    pin: Pin
    values: Mapping[str, Json]
    limit: int | None = None
    offset: int | None = None
    refresh: Refresh | None = None
    typed: TypedEndpoint[Any] | None = None

    @property
    def key(self) -> str:
        """The cache key of the call."""
        pin = self.pin
        identity: list[Json] = [pin.environment, pin.name, pin.version, pin.endpoint_id, pin.query_hash]
        return canonical([*identity, dict(self.values), self.limit, self.offset])


def prepare(
    locked: Locked,
    name: str | TypedCall[Any],
    variables: Mapping[str, object] | None,
    values: Mapping[str, object],
    *,
    limit: int | None = None,
    offset: int | None = None,
    refresh: Refresh | None = None,
) -> Call:
    """A checked call of the pin of this name. `variables` and `values` are the two ways to pass variables; a typed call
    has its own.

    The first call of a deprecated pin in this process issues a DeprecationWarning, except while the pytest plugin
    redirects calls: its summary names the pin. Raises PinMissing, ClientOutdated, VariablesWrong, and UsageError for a
    variable that is passed twice or an option that this version does not support.
    """
    typed = None
    if isinstance(name, TypedCall):
        if variables or values:
            message = f"{name.endpoint.name}: a typed call has its variables already; pass them to its function"
            raise UsageError(message, code="call.option")
        typed, values, name = name.endpoint, name.variables, name.endpoint.name
    pin = locked.pins.get(name)
    if pin is None:
        raise locked.missing(name)
    if typed is not None:
        typed.check(pin)
    if pin.deprecation is not None and not (REDIRECTIONS or locked.is_redirected):
        _warn_deprecated(pin, pin.deprecation)
    if variables:
        twice = sorted(variables.keys() & values.keys())
        if twice:
            raise UsageError(f"{pin.name}: variable {twice[0]!r} is passed twice", code="call.option")
        values = {**variables, **values}
    call = Call(pin=pin, values=check_variables(pin, values), limit=limit, offset=offset, refresh=refresh, typed=typed)
    if limit is not None or offset is not None or refresh is not None:
        mistake = option_mistake(call)
        if mistake is not None:
            raise UsageError(f"{pin.label}: {mistake}", code="call.option")
    return call


@dataclass(slots=True, kw_only=True)
class PinnedCalls:
    """Makes calls; safe for threads. `host` is part of the cache key, because several clients can share a cache."""

    host: str
    contract: Strictness
    uses: Mapping[str, Use]
    cache: Cache | None = None
    _warned: set[str] = field(default_factory=set)

    def run(self, calls: Calls, call: Call) -> Flow[Rows]:
        """The rows of one answer. Raises ApiError, ContractBroken."""
        cache = self.cache
        if cache is None:
            return self._rows(call, (yield from self._ask(calls, call)))
        key = f"{self.host} {call.key}"
        if call.refresh in ("force", "direct"):
            answer = yield from self._ask(calls, call)
            rows = self._rows(call, answer)
            cache.put(key, answer)
            return rows
        while (claim := cache.claim(key)) is not None:
            if isinstance(claim, tuple):
                return self._rows(call, claim[1], age=claim[0])
            shared = yield Join(claim)
            if shared is not None:
                return self._rows(call, shared)
        return (yield from self._ask_for_all(calls, call, cache, key))

    def _ask_for_all(self, calls: Calls, call: Call, cache: Cache, key: str) -> Flow[Rows]:
        """Make the request for all callers that wait for the same answer. If this caller is cancelled, another one
        does."""
        try:
            answer = yield from self._ask(calls, call)
            rows = self._rows(call, answer)
        except EndpointsError as error:
            cache.settle(key, error=error)
            raise
        except BaseException:
            cache.settle(key)
            raise
        cache.settle(key, answer)
        return rows

    def page(self, calls: Calls, call: Call, page: AnyPage) -> Flow[tuple[Rows, AnyPage | None]]:
        """The rows of one page, and the next page. Pages are not cached: they would be from different times.

        Raises ApiError (including PagesBroken) and ContractBroken.
        """
        pin = call.pin
        if pin.kind != HOGQL:
            answer = yield from self._ask(calls, call)
            return _typed(call, rows_of(pin, answer, has_more=answer.has_more)), None
        values = check_variables(pin, {**call.values, **page.values}) if page.values else call.values
        page_call = replace(call, values=values, limit=page.limit, offset=page.offset or None)
        answer = yield from self._ask(calls, page_call)
        results, following = page.read(answer)
        if isinstance(following, PageRequest) and (why := paged_query(pin).unstable):
            self._warn_once(pin, unstable_pages(why))
        return _typed(call, rows_of(pin, answer, results=results, has_more=answer.has_more)), following

    def _ask(self, calls: Calls, call: Call) -> Flow[RunAnswer]:
        """The server's answer, checked against the pin. Raises ApiError, ContractBroken."""
        pin = call.pin
        try:
            answer = yield from calls.run(
                pin.name,
                variables=call.values,
                version=pin.version,
                limit=call.limit,
                offset=call.offset,
                refresh=call.refresh,
                draws_materialized=pin.materialized and call.refresh != "direct",
            )
        except ApiError as error:
            error.fix = _fix(pin, error)
            if isinstance(error, EndpointNotFound):
                yield from _explain(calls, pin, error)
            raise
        if self.contract == "off":
            check_widths(pin, answer)
            return answer
        try:
            check_answer(pin, answer, self.uses.get(pin.name))
        except ContractBroken as broken:
            if self.contract == "strict":
                raise
            _warn(str(broken), ContractWarning)
            check_widths(pin, answer)
        return answer

    def _rows(self, call: Call, answer: RunAnswer, *, age: float = 0.0) -> Rows:
        has_more: bool | None = answer.has_more
        if (
            len(answer.results) == UNPAGED_ROWS
            and may_be_truncated(answer, call.limit)
            and not has_more
            and not paged_query(call.pin).has_limit
        ):
            has_more = None
            self._warn_once(
                call.pin,
                "the answer has 100 rows, the server's maximum for a query without LIMIT: "
                "pass `_limit` for more rows, or use `iterate` for all",
            )
        rows: Rows = rows_of(call.pin, answer, has_more=has_more, age=age, is_shared=self.cache is not None)
        return _typed(call, rows)

    def _warn_once(self, pin: Pin, message: str) -> None:
        text = f"{pin.label}: {message}"
        if text not in self._warned:
            self._warned.add(text)
            _warn(text, PagingWarning)


def _typed(call: Call, rows: Rows) -> Rows:
    return rows if call.typed is None else call.typed.rows(rows)


def _fix(pin: Pin, error: ApiError) -> str | None:
    """The fix of an error in terms of the library."""
    if isinstance(error, VariablesRefused | VersionNotFound):
        return Advice(f"{pin.label} differs from the lock: ", Command("lock", "--verify", "--env", pin.environment))
    if isinstance(error, VersionInactive):
        return Advice(Command("upgrade", pin.name), " moves the pin to an active version")
    if isinstance(error, OffsetRefused):
        return _WITHOUT_OFFSET
    return error.fix.in_code() if isinstance(error.fix, Advice) else error.fix


def _explain(calls: Calls, pin: Pin, error: EndpointNotFound) -> Flow[None]:
    """Raise EndpointInactive if the endpoint exists but is inactive, for which a run returns the same 404."""
    try:
        endpoint = yield from calls.get_endpoint(pin.name)
    except EndpointsError:
        return
    if not endpoint.is_active:
        message = f"the endpoint {pin.name!r} is inactive"
        fix = Advice(Command("activate", pin.name, "--env", pin.environment))
        raise EndpointInactive(
            message,
            request=error.request,
            status=error.status,
            server_code=error.server_code,
            detail=error.detail,
            fix=fix,
        ) from None


def option_mistake(call: Call) -> str | None:
    """Why the options of a call are wrong, or not for this version; None if they are right."""
    limit, offset, refresh, is_rows = call.limit, call.offset, call.refresh, call.pin.kind == HOGQL
    if limit is not None and not is_whole(limit, 1):
        return "_limit must be an integer of at least 1"
    if offset is not None and not is_whole(offset, 0):
        return "_offset must be an integer of at least 0"
    if offset is not None and limit is None:
        return "_offset requires _limit"
    if limit is not None and not is_rows:
        return f"a {call.pin.kind} has no pages: _limit and _offset are for HogQL"
    if refresh is not None and refresh not in _REFRESH:
        return f"_refresh must be one of {', '.join(_REFRESH)}"
    if refresh == "direct" and not call.pin.materialized:
        return '_refresh="direct" bypasses a materialized table, but this version has none; "force" bypasses the cache'
    return None


def is_whole(number: Any, least: int) -> bool:  # noqa: ANN401 - any value from an app
    """Whether it is an integer of at least `least`; booleans are not integers."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


_DEPRECATED: Final[set[tuple[str, str]]] = set()
"""The environments and labels of pins that this process warned of."""


def _warn_deprecated(pin: Pin, notice: SunsetNotice) -> None:
    """Issue the warning that the endpoint will be removed, once in this process."""
    key = (pin.environment, pin.label)
    if key in _DEPRECATED:
        return
    from endpoints_gitops.model.printable import printable

    _DEPRECATED.add(key)
    replacement = f"; use {notice.replaced_by} instead" if notice.replaced_by else ""
    text = f"the endpoint {pin.label} is deprecated: sunset {notice.sunset}{replacement}{notice.because}"
    _warn(printable(text), DeprecationWarning)


def _warn(message: str, kind: type[Warning]) -> None:
    """Issue a warning for the line of the app that made the call."""
    warnings.warn(message, kind, skip_file_prefixes=(_folder(),), stacklevel=2)


def _folder() -> str:
    from endpoints_gitops import __file__ as package

    return package.removesuffix("__init__.py")


def paged_query(pin: Pin) -> QueryPaging:
    """How the pinned query can be paged."""
    from endpoints_gitops.hogql.paging import paged

    return paged(str(pin.query.get("query") or "") if pin.kind == HOGQL else None)
