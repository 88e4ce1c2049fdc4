"""Pinned calls as flows: variables and answers are checked. `Endpoints` and `AsyncEndpoints` execute them."""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from endpoints_gitops.advice import WAIT_LONGER, Advice, Command
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.errors import (
    AnswerCut,
    ApiError,
    EndpointInactive,
    EndpointNotFound,
    NoFreeSlot,
    OffsetRefused,
    ServerFault,
    Throttled,
    Unreachable,
    VariablesRefused,
    VersionInactive,
    VersionNotFound,
    WaitEnded,
)
from endpoints_gitops.api.flow import Deadline
from endpoints_gitops.api.rate_limiter import CallSlots
from endpoints_gitops.api.run_pages import UNPAGED_ROWS, AnyPage, PageRequest, may_be_truncated, unstable_pages
from endpoints_gitops.api.wire import BlockingWork, Flow, Join
from endpoints_gitops.consumer.cache import Cache, CachedAnswer
from endpoints_gitops.consumer.call_event import CacheUse, CallEvent, OnRequest, notify
from endpoints_gitops.consumer.checking import HOGQL, check_answer, check_variables, check_widths
from endpoints_gitops.consumer.client_base import CACHE_SCOPES, REDIRECTIONS, Concurrency
from endpoints_gitops.consumer.errors import ContractBroken, ContractWarning, PagingWarning
from endpoints_gitops.consumer.rows import Rows, rows_of
from endpoints_gitops.consumer.typed import TypedCall, TypedEndpoint
from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.extras import install_advice, missing_packages
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.model.pin import Pin, Use

if TYPE_CHECKING:
    from concurrent.futures import Future

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
    """One checked call. `max_wait` replaces that of the client."""

    pin: Pin
    values: Mapping[str, Json]
    limit: int | None = None
    offset: int | None = None
    refresh: Refresh | None = None
    typed: TypedEndpoint[Any] | None = None
    max_wait: float | None = None

    @property
    def key(self) -> str:
        """The cache key of the call."""
        pin = self.pin
        identity: list[Json] = [pin.environment, pin.name, pin.version, pin.endpoint_id, pin.query_hash]
        return canonical([*identity, dict(self.values), self.limit, self.offset])


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCall:
    """A call that is paged, and its next page. Its `max_wait` is what is left of it for all pages together."""

    call: Call
    page: AnyPage


class CallProgress(Deadline):
    """When to give up a pinned call, and what happened to it until then, as in CallEvent."""

    cache: CacheUse | None = None
    request_id: str | None = None
    execution_id: str | None = None
    replaced: ApiError | None = None
    """The error that a stale answer replaced."""

    def event(self, pin: Pin, error: BaseException | None) -> CallEvent:
        failure = error or self.replaced
        answered = failure.status if isinstance(failure, ApiError) else None
        return CallEvent(
            endpoint=pin.name,
            version=pin.version,
            environment=pin.environment,
            attempts=self.attempts,
            cache=self.cache,
            seconds=self.spent,
            status=answered or self.status,
            error=failure,
            request_id=self.request_id,
            execution_id=self.execution_id,
        )


def _merged(pin: Pin, variables: Mapping[str, object], values: Mapping[str, object]) -> Mapping[str, object]:
    """Both ways to pass variables as one. Raises UsageError for a variable that is passed twice."""
    if not isinstance(variables, Mapping):
        message = f"{pin.label}: variables must be a mapping of names to values, not {variables!r}"
        raise UsageError(message, code="call.option")
    twice = sorted(variables.keys() & values.keys())
    if twice:
        raise UsageError(f"{pin.name}: variable {twice[0]!r} is passed twice", code="call.option")
    return {**variables, **values}


def prepare(
    locked: Locked,
    name: str | TypedCall[Any],
    variables: Mapping[str, object] | None,
    values: Mapping[str, object],
    *,
    limit: int | None = None,
    offset: int | None = None,
    refresh: Refresh | None = None,
    max_wait: float | None = None,
    max_wait_option: str = "_max_wait",
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
    if not isinstance(name, str):
        message = f"the first argument is the name of an endpoint, or a call such as revenue(month=…), not {name!r}"
        raise UsageError(message, code="call.option")
    pin = locked.pins.get(name)
    if pin is None:
        raise locked.missing(name)
    if typed is not None:
        typed.check(pin)
    if pin.deprecation is not None and not (REDIRECTIONS or locked.is_redirected):
        _warn_deprecated(pin, pin.deprecation)
    if variables:
        values = _merged(pin, variables, values)
    checked = check_variables(pin, values)
    call = Call(pin=pin, values=checked, limit=limit, offset=offset, refresh=refresh, max_wait=max_wait, typed=typed)
    if limit is not None or offset is not None or refresh is not None or max_wait is not None:
        mistake = option_mistake(call, max_wait_option)
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
    on_request: OnRequest | None = None
    concurrency: Concurrency | None
    slots: CallSlots
    _warned: set[str] = field(default_factory=set)

    def run(self, calls: Calls, call: Call) -> Flow[Rows]:
        """The rows of one answer. Raises ApiError, ContractBroken."""
        progress = CallProgress(calls.context, call.max_wait)
        if self.cache is None and self.on_request is None:
            return self._rows(call, (yield from self._ask(calls, call, progress)))
        flow = (
            self._fetch(calls, call, progress) if self.cache is None else self._use(self.cache, calls, call, progress)
        )
        return (yield from flow) if self.on_request is None else (yield from self._observed(flow, call.pin, progress))

    def page(self, calls: Calls, page_call: PageCall) -> Flow[tuple[Rows, PageCall | None]]:
        """The rows of one page, and the next page. Pages are not cached: they would be from different times.

        Raises ApiError (including PagesBroken) and ContractBroken.
        """
        call = page_call.call
        progress = CallProgress(calls.context, call.max_wait)
        flow = self._read_page(calls, call, page_call.page, progress)
        if self.on_request is None:
            rows, following = yield from flow
        else:
            rows, following = yield from self._observed(flow, call.pin, progress)
        if following is None:
            return rows, None
        left = None if call.max_wait is None else progress.left
        return rows, PageCall(call=replace(call, max_wait=left), page=following)

    def _observed[T](self, flow: Flow[T], pin: Pin, progress: CallProgress) -> Flow[T]:
        """The flow; `on_request` is called when it ends."""
        assert self.on_request is not None
        try:
            result = yield from flow
        except BaseException as error:
            notify(self.on_request, progress.event(pin, error))
            raise
        notify(self.on_request, progress.event(pin, None))
        return result

    def _fetch(self, calls: Calls, call: Call, progress: CallProgress) -> Flow[Rows]:
        return self._rows(call, (yield from self._ask(calls, call, progress)))

    def _use(self, cache: Cache, calls: Calls, call: Call, progress: CallProgress) -> Flow[Rows]:
        """The rows of an answer that is cached, or that will be; of a stale one if the server fails."""
        key = f"{self.host} {call.key}"
        if CACHE_SCOPES:
            key = f"{CACHE_SCOPES[-1]} {key}"
        if call.refresh in ("force", "direct"):
            answer = yield from self._ask(calls, call, progress)
            rows = self._rows(call, answer)
            yield from _put(cache, key, answer)
            return rows
        try:
            return (yield from self._join_or_ask(calls, call, cache, key, progress))
        except (Unreachable, ServerFault, Throttled, AnswerCut) as error:
            stale = (yield from _get(cache, key)) if cache.stale_if_error else None
            if stale is None or not self._is_usable(call.pin, stale.answer):
                raise
            progress.cache, progress.replaced = "stale", error
            _log_stale(call.pin, stale.age, error)
            return self._rows(call, stale.answer, age=stale.age, is_stale=True)

    def _join_or_ask(self, calls: Calls, call: Call, cache: Cache, key: str, progress: CallProgress) -> Flow[Rows]:
        anew = False
        while (claim := cache.claim(key, anew=anew)) is not None:
            if isinstance(claim, CachedAnswer):
                cached, progress.cache = claim, "hit"
            else:
                progress.cache = "shared"
                try:
                    shared: CachedAnswer | None = yield Join(claim, progress.left)
                except TimeoutError:
                    message = f"{call.pin.label}: max_wait ended before the answer to another call of the same arrived"
                    raise WaitEnded(message, endpoint=call.pin.name, fix=_fix_wait()) from None
                if shared is None:
                    continue
                cached = shared
            if self._is_usable(call.pin, cached.answer):
                return self._rows(call, cached.answer, age=cached.age)
            anew = True
        return (yield from self._ask_for_all(calls, call, cache, key, progress, anew=anew))

    def _ask_for_all(
        self, calls: Calls, call: Call, cache: Cache, key: str, progress: CallProgress, *, anew: bool
    ) -> Flow[Rows]:
        """Make the request for all callers that wait for the same answer. If this caller is cancelled, another one
        does. An answer that other processes cached comes first, unless the caller wants one `anew`. If there is a stale
        answer, the server has one attempt.
        """
        try:
            is_asked = not anew and (cache.is_remote or cache.stale_if_error)
            cached = (yield from _get(cache, key)) if is_asked else None
            is_usable = cached is not None and self._is_usable(call.pin, cached.answer)
            if cached is not None and is_usable and not cached.is_stale:
                progress.cache = "hit"
                rows = self._rows(call, cached.answer, age=cached.age)
            else:
                progress.cache, progress.retries = "miss", not is_usable
                cached = CachedAnswer(0.0, (yield from self._ask(calls, call, progress)))
                rows = self._rows(call, cached.answer)
                yield from _put(cache, key, cached.answer)
        except EndpointsError as error:
            cache.settle(key, error=error)
            raise
        except BaseException:
            cache.settle(key)
            raise
        cache.settle(key, cached)
        return rows

    def _is_usable(self, pin: Pin, answer: RunAnswer) -> bool:
        """Whether a cached answer matches the contract. Another app, which reads other columns or checks less, may have
        cached it.
        """
        try:
            if self.contract == "strict":
                check_answer(pin, answer, self.uses.get(pin.name))
            else:
                check_widths(pin, answer)
        except ContractBroken:
            return False
        return True

    def _read_page(
        self, calls: Calls, call: Call, page: AnyPage, progress: CallProgress
    ) -> Flow[tuple[Rows, AnyPage | None]]:
        pin = call.pin
        if progress.left <= 0:
            raise WaitEnded(
                f"{pin.label}: max_wait ended before all pages were read", endpoint=pin.name, fix=_fix_wait()
            )
        if pin.kind != HOGQL:
            answer = yield from self._ask(calls, call, progress)
            return _typed(call, rows_of(pin, answer, has_more=answer.has_more)), None
        values = check_variables(pin, {**call.values, **page.values}) if page.values else call.values
        page_call = replace(call, values=values, limit=page.limit, offset=page.offset or None)
        answer = yield from self._ask(calls, page_call, progress)
        results, following = page.read(answer)
        if isinstance(following, PageRequest) and (why := paged_query(pin).unstable):
            unknown = _without_parser("the last page can have one row more than the LIMIT of the query")
            self._warn_once(pin, unstable_pages(why) + unknown)
        return _typed(call, rows_of(pin, answer, results=results, has_more=answer.has_more)), following

    def _ask(self, calls: Calls, call: Call, progress: CallProgress) -> Flow[RunAnswer]:
        """The server's answer, checked against the pin. Raises ApiError, ContractBroken."""
        pin = call.pin
        materialized = pin.materialized and call.refresh != "direct"
        if self.concurrency is not None:
            limit = self.concurrency.materialized if materialized else self.concurrency.direct
            waiting = self.slots.claim(limit, materialized=materialized)
            if waiting is not None:
                yield from self._wait_for_slot(waiting, pin, limit, progress, materialized=materialized)
        progress.request_id = request_id = str(uuid.uuid4())
        try:
            answer = yield from calls.run(
                pin.name,
                variables=call.values,
                version=pin.version,
                limit=call.limit,
                offset=call.offset,
                refresh=call.refresh,
                client_query_id=request_id,
                draws_materialized=materialized,
                deadline=progress,
            )
        except ApiError as error:
            error.fix = _fix(pin, error)
            inactive: ApiError | None = None
            if isinstance(error, EndpointNotFound):
                inactive = yield from _inactive(calls, pin, error, progress)
            (inactive or error).identify(request_id)
            if inactive is not None:
                raise inactive from None
            raise
        finally:
            if self.concurrency is not None:
                self.slots.release(materialized=materialized)
        progress.execution_id = answer.execution_id
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

    def _wait_for_slot(
        self, waiting: Future[None], pin: Pin, limit: int, progress: CallProgress, *, materialized: bool
    ) -> Flow[None]:
        """Wait until another call ends. Raises NoFreeSlot."""
        try:
            yield Join(waiting, progress.left)
        except TimeoutError:
            self.slots.withdraw(waiting, materialized=materialized)
            kind = "materialized calls" if materialized else "calls"
            message = f"{pin.label}: {limit} {kind} with this key were running until max_wait ended; nothing was sent"
            error = NoFreeSlot(message, endpoint=pin.name)
            error.fix = _fix(pin, error)
            raise error from None
        except BaseException:
            self.slots.withdraw(waiting, materialized=materialized)
            raise

    def _rows(self, call: Call, answer: RunAnswer, *, age: float = 0.0, is_stale: bool = False) -> Rows:
        has_more: bool | None = answer.has_more
        if (
            len(answer.results) == UNPAGED_ROWS
            and may_be_truncated(answer, call.limit)
            and not has_more
            and not paged_query(call.pin).has_limit
        ):
            has_more = None
            unknown = _without_parser("the LIMIT of this query is unknown")
            self._warn_once(
                call.pin,
                f"the answer has 100 rows, the server's maximum for a query without LIMIT{unknown}: "
                "pass `_limit` for more rows, or use `iterate` for all",
            )
        rows: Rows = rows_of(
            call.pin, answer, has_more=has_more, age=age, is_stale=is_stale, is_shared=self.cache is not None
        )
        return rows if call.typed is None else call.typed.rows(rows)

    def _warn_once(self, pin: Pin, message: str) -> None:
        text = f"{pin.label}: {message}"
        if text not in self._warned:
            self._warned.add(text)
            _warn(text, PagingWarning)


def _typed(call: Call, rows: Rows) -> Rows:
    return rows if call.typed is None else call.typed.rows(rows)


def _without_parser(consequence: str) -> str:
    """What a warning adds if the parser is not installed, else nothing."""
    (package, *_) = missing_packages("hogql") or ("",)
    return f" ({package} is not installed, so {consequence}: {install_advice('hogql')})" if package else ""


def _fix(pin: Pin, error: ApiError) -> str | None:
    """The fix of an error in terms of the library."""
    if isinstance(error, VariablesRefused | VersionNotFound):
        return Advice(f"{pin.label} differs from the lock: ", Command("lock", "--verify", "--env", pin.environment))
    if isinstance(error, VersionInactive):
        return Advice(Command("upgrade", pin.name), " moves the pin to an active version")
    if isinstance(error, OffsetRefused):
        return _WITHOUT_OFFSET
    return error.fix.in_code() if isinstance(error.fix, Advice) else error.fix


def _get(cache: Cache, key: str) -> Flow[CachedAnswer | None]:
    """What the cache has, perhaps a stale answer."""
    if not cache.is_remote:
        return cache.get(key)
    cached: CachedAnswer | None = yield BlockingWork(lambda: cache.get(key))
    return cached


def _put(cache: Cache, key: str, answer: RunAnswer) -> Flow[None]:
    if cache.is_remote:
        yield BlockingWork(lambda: cache.put(key, answer))
    else:
        cache.put(key, answer)


def _log_stale(pin: Pin, age: float, error: ApiError) -> None:
    import logging

    logger = logging.getLogger("endpoints_gitops")
    logger.warning("%s: an answer that is %.0f s old is used, because the server failed: %s", pin.label, age, error)


def _fix_wait() -> Advice:
    """The fix of a wait that ended, for someone whose code calls the library."""
    return Advice(WAIT_LONGER, " waits longer").in_code()


def _inactive(calls: Calls, pin: Pin, error: EndpointNotFound, deadline: Deadline) -> Flow[EndpointInactive | None]:
    """The error for an endpoint that exists but is inactive, for which a run returns the same 404; None otherwise."""
    try:
        is_active = yield from calls.is_active(pin.name, deadline=deadline)
    except EndpointsError:
        return None
    if is_active:
        return None
    return EndpointInactive(
        f"the endpoint {pin.name!r} is inactive",
        request=error.request,
        status=error.status,
        server_code=error.server_code,
        detail=error.detail,
        fix=Advice(Command("activate", pin.name, "--env", pin.environment)),
    )


def option_mistake(call: Call, max_wait_option: str = "_max_wait") -> str | None:
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
    if call.max_wait is not None and not is_duration(call.max_wait):
        return f"{max_wait_option} must be a number of seconds above 0"
    if refresh is not None and refresh not in _REFRESH:
        return f"_refresh must be one of {', '.join(_REFRESH)}"
    if refresh == "direct" and not call.pin.materialized:
        return '_refresh="direct" bypasses a materialized table, but this version has none; "force" bypasses the cache'
    return None


def is_whole(number: Any, least: int) -> bool:  # noqa: ANN401 - any value from an app
    """Whether it is an integer of at least `least`; booleans are not integers."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def is_duration(seconds: Any) -> bool:  # noqa: ANN401 - any value from an app
    """Whether it is a number of seconds above 0."""
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf


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
