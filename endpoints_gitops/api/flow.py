"""One exchange with the server, including retries and rate limits: a generator without input or output of its own.

Retried are requests over the rate limit (429: the server refuses them before it handles them), requests that were never
sent, and, if the request is repeatable, server faults and missing answers. A write without an answer is a LostAnswer.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from endpoints_gitops.api import errors
from endpoints_gitops.api.connection import Connection, query_string
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.api.rate_limiter import LONGEST_WAIT, RateLimiter
from endpoints_gitops.api.refusals import error_of
from endpoints_gitops.api.wire import Answer, BlockingWork, Flow, Happened, NoAnswer, NotSent, Request, Send, Sleep
from endpoints_gitops.errors import CredentialsError
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.secret import KeyKind

_SHORTEST_NOTICE: Final = 2.0
_LONGEST_READ: Final = 600.0
_COUNTDOWN: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Timeouts of one attempt and pauses between attempts, in seconds.

    `read` (by default the connection's `read_timeout`) applies to repeatable requests. A write can use all the time
    that is left, because it cannot be repeated.
    """

    connect: float = 10.0
    read: float | None = None
    first_pause: float = 0.5
    longest_pause: float = 10.0
    now: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform

    def pause(self, attempt: int) -> float:
        """The wait after an attempt: doubled each time, with a random part so that clients do not retry in step."""
        most = min(self.longest_pause, self.first_pause * 2.0 ** min(attempt - 1, 20))
        return self.jitter(most / 2, most)


class Deadline:
    """When to give up a call, and what was sent until then. Waits are also added up, because some tests stop the clock.

    `attempts` is the number of requests that were sent; `status` is that of the last answer, None without an answer.
    Without `retries` the first failure ends the call, and it does not wait for the rate limit.
    """

    retries = True

    def __init__(self, context: ClientContext, seconds: float | None = None) -> None:
        """`seconds` from now, by default the connection's `max_wait`."""
        self.attempts = 0
        self.status: int | None = None
        self._now = context.retry_policy.now
        self._began = self._now()
        self._seconds = context.connection.max_wait if seconds is None else seconds
        self._waited = 0.0

    @property
    def left(self) -> float:
        return self.left_at(self._now())

    @property
    def spent(self) -> float:
        return max(self._now() - self._began, self._waited)

    def left_at(self, now: float) -> float:
        return self._seconds - max(now - self._began, self._waited)

    def sleep(self, seconds: float) -> Sleep:
        self._waited += seconds
        return Sleep(seconds)


class Waits:
    """The longest wait that was announced. All calls of a client share one announcement and one countdown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = -math.inf

    def announces(self, until: float) -> bool:
        """Whether a wait until then must be announced, because it is longer than any before."""
        with self._lock:
            is_news = until > self._until + _SHORTEST_NOTICE
            self._until = max(until, self._until)
            return is_news


def ignore(_: str) -> None:
    """The default for `trace` and `notice`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext:
    """A connection with everything that an exchange needs: rate limiter, retry policy and output of messages.

    `trace` is called with a line for each request, `notice` with one for each long wait. `written` is set once a write
    was made, or may have been. `is_in_loop`: an event loop executes the exchanges, so blocking work goes to a thread.
    """

    connection: Connection
    rate_limiter: RateLimiter | None = None
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    trace: Callable[[str], None] = ignore
    notice: Callable[[str], None] = ignore
    written: Event = field(default_factory=Event)
    waits: Waits = field(default_factory=Waits)
    is_in_loop: bool = False

    def mask(self, text: str) -> str:
        return self.connection.key.masked_in(text)


def exchange(context: ClientContext, request: Request, deadline: Deadline | None = None) -> Flow[Answer]:
    """Send a request until it has a 2xx answer, cannot be retried, or the deadline ends (by default a new one).

    Raises ApiError for the last attempt, and CredentialsError, before anything is sent, if the kind of the key does not
    allow the request.
    """
    deadline = deadline or Deadline(context)
    if not request.with_project_secret:
        _check_kind_of_key(context, request)
    started, attempt = context.retry_policy.now(), 0
    while True:
        attempt += 1
        yield from _wait_for_rate_limit(context, request, deadline)
        happened = yield from _send(context, request, deadline, attempt)
        is_success = isinstance(happened, Answer) and 200 <= happened.status < 300
        ended: Answer | ApiError = happened if is_success else _error(context, request, happened)
        if not request.repeatable and isinstance(ended, Answer | errors.LostAnswer):
            context.written.set()
        if isinstance(ended, Answer):
            return ended
        yield from _pause_rate_limiter(context, request, ended)
        pause = _pause_before_next(context, request, ended, attempt)
        if pause is None or pause >= deadline.left or not deadline.retries:
            raise _with_attempts(ended, attempt, context.retry_policy.now() - started)
        yield from _wait(context, deadline, pause, f"{request_line(request)}: {ended.message}")


def open_connection(context: ClientContext, deadline: Deadline) -> Flow[None]:
    """Open a connection to the host, which the next request uses, with a HEAD request of its root.

    That request has no key and is not for the API, so it counts against no rate limit. Any answer will do. Raises
    Unreachable or HostWrong, without a retry.
    """
    seconds = max(0.05, deadline.left)
    happened = yield Send(
        method="HEAD",
        url=f"{context.connection.host}/",
        body=None,
        connect_seconds=min(seconds, context.retry_policy.connect),
        read_seconds=seconds,
        total_seconds=seconds,
        with_key=False,
    )
    is_open = isinstance(happened, Answer) or (isinstance(happened, NoAnswer) and happened.status is not None)
    if not is_open:
        raise _error(context, Request(method="HEAD", path="/"), happened)


def exchange_for_any_status(context: ClientContext, request: Request) -> Flow[tuple[Answer, ApiError | None]]:
    """Send a request until it has an answer with any status except 429. Returns it with its ApiError, None for a 2xx.

    The wait for a rate limit can last as long as the server's longest window; an unreachable server is retried for
    `max_wait`. Raises ApiError if there was no answer.
    """
    patience, deadline, attempt = Deadline(context, LONGEST_WAIT), None, 0
    while True:
        attempt += 1
        yield from _wait_for_rate_limit(context, request, patience)
        deadline = deadline or Deadline(context)
        happened = yield from _send(context, request, deadline, attempt)
        if isinstance(happened, Answer) and 200 <= happened.status < 300:
            return happened, None
        error = _error(context, request, happened)
        if isinstance(happened, Answer) and happened.status != 429:
            return happened, error
        yield from _pause_rate_limiter(context, request, error)
        pause = _pause_before_next(context, request, error, attempt)
        limit = patience if isinstance(error, errors.Throttled) else deadline
        if pause is None or pause >= limit.left:
            raise error
        yield from _wait(context, limit, pause, f"{request_line(request)}: {error.message}")
        deadline = None if limit is patience else deadline


def request_line(request: Request) -> str:
    return one_line(f"{request.method} {request.path}{query_string(tuple(request.query.items()))}")


def lost(request: Request, reason: str, cause: ApiError | None = None) -> ApiError:
    """The error for a write whose answer is missing or cannot be decoded."""
    error = errors.LostAnswer(
        f"{reason}; it is unknown whether the server made the change",
        request=request_line(request),
        endpoint=request.names,
        status=cause.status if cause else None,
        server_code=cause.server_code if cause else None,
        attr=cause.attr if cause else None,
        detail=cause.detail if cause else None,
        retry_after=cause.retry_after if cause else None,
    )
    error.reason = reason
    return error


def _check_kind_of_key(context: ClientContext, request: Request) -> None:
    key = context.connection.key
    if key.kind is KeyKind.PROJECT_SECRET:
        raise CredentialsError(
            "this request needs a personal API key (phx_…); a project secret key can only run endpoints",
            where=request_line(request),
            fix="create one in PostHog (Settings, Personal API keys), and set `key` of this environment to it",
            code="credentials.kind",
        )


def _wait_for_rate_limit(context: ClientContext, request: Request, deadline: Deadline) -> Flow[None]:
    rate_limiter, materialized = context.rate_limiter, request.draws_materialized
    while rate_limiter is not None:
        if rate_limiter.is_remote or context.is_in_loop:
            # another machine or process can take seconds, for which an event loop must not block
            wait = yield BlockingWork(lambda: rate_limiter.acquire(materialized=materialized))
        else:
            wait = rate_limiter.acquire(materialized=materialized)
        if wait <= 0:
            return
        if wait >= deadline.left or not deadline.retries:
            message = f"the rate limit of this key is used up; the next request is possible in {wait:.0f} s"
            raise errors.BudgetSpent(message, request=request_line(request), endpoint=request.names, retry_after=wait)
        yield from _wait(
            context, deadline, wait + context.retry_policy.jitter(0.0, 0.05), "the rate limit of this key is used up"
        )


def _send(context: ClientContext, request: Request, deadline: Deadline, attempt: int) -> Flow[Happened]:
    """Send one attempt, and return what happened."""
    began = context.retry_policy.now()
    remaining = max(0.05, deadline.left_at(began))
    patience = (context.retry_policy.read or context.connection.read_timeout) if request.repeatable else _LONGEST_READ
    deadline.attempts += 1
    happened = yield Send(
        method=request.method,
        url=f"{context.connection.host}{request.path}{query_string(tuple(request.query.items()))}",
        body=request.body,
        connect_seconds=min(remaining, context.retry_policy.connect),
        read_seconds=min(remaining, patience),
        total_seconds=min(remaining, patience),
    )
    if isinstance(happened, Answer):
        deadline.status = happened.status
    if context.trace is not ignore:
        _trace(context, request, happened, (context.retry_policy.now() - began) * 1000, attempt)
    return happened


def _error(context: ClientContext, request: Request, happened: object) -> ApiError:
    if isinstance(happened, NotSent):
        kind = errors.HostWrong if happened.is_final else errors.Unreachable
        return kind(_unreachable(context, happened.reason), request=request_line(request), endpoint=request.names)
    if isinstance(happened, Answer):
        error = error_of(happened, request, request_line(request), context.mask)
        if happened.status >= 500 and not request.repeatable:
            return lost(request, error.message, error)
        return error
    assert isinstance(happened, NoAnswer)
    reason = _reason(context, happened.reason)
    if not request.repeatable:
        return lost(request, f"no complete answer arrived ({reason})")
    if happened.is_too_large:
        return errors.AnswerTooLarge(
            reason, request=request_line(request), endpoint=request.names, status=happened.status
        )
    if happened.status is None:
        return errors.Unreachable(
            _unreachable(context, happened.reason), request=request_line(request), endpoint=request.names
        )
    error_class: type[ApiError] = errors.AnswerCut
    if happened.status >= 300:
        error_class = errors.GatewayFault if happened.status >= 500 else errors.BadAnswer
    message = f"{happened.status} with only a part of {request.expects}: {reason}"
    return error_class(message, request=request_line(request), endpoint=request.names, status=happened.status)


def _unreachable(context: ClientContext, reason: str) -> str:
    """The reason with the host, which the request line does not show and which is often the mistake."""
    return f"{context.connection.host}: {_reason(context, reason)}"


def _reason(context: ClientContext, reason: str) -> str:
    return one_line(context.mask(reason))


def _pause_rate_limiter(context: ClientContext, request: Request, error: ApiError) -> Flow[None]:
    """Pause all processes that use the key for as long as the server asks. A pause longer than any window is
    ignored."""
    rate_limiter, wait = context.rate_limiter, error.retry_after or 0.0
    if not isinstance(error, errors.Throttled) or rate_limiter is None or not 0 < wait < LONGEST_WAIT:
        return

    def pause() -> float:
        rate_limiter.pause(wait, materialized=request.draws_materialized)
        return wait

    if rate_limiter.is_remote or context.is_in_loop:
        yield BlockingWork(pause)
    else:
        pause()


def _pause_before_next(context: ClientContext, request: Request, error: ApiError, attempt: int) -> float | None:
    """How long to wait before the next attempt; None if the request is not retried."""
    if not _may_repeat(request, error):
        return None
    pause = context.retry_policy.pause(attempt)
    return (
        pause
        if error.retry_after is None
        else error.retry_after + context.retry_policy.jitter(0.0, context.retry_policy.first_pause)
    )


def _may_repeat(request: Request, error: ApiError) -> bool:
    if isinstance(error, errors.Throttled):
        return True
    if isinstance(error, errors.Unreachable):  # a write that was never sent; otherwise it would be a LostAnswer
        return not isinstance(error, errors.HostWrong)
    if isinstance(error, errors.AnswerTooLarge):
        return False
    cut = isinstance(error, errors.BadAnswer) and error.status is not None and error.status < 300
    return request.repeatable and (isinstance(error, errors.ServerFault) or cut)


def _with_attempts(error: ApiError, attempts: int, seconds: float) -> ApiError:
    if attempts > 1:
        error.tried(attempts, seconds)
    return error


def _wait(context: ClientContext, deadline: Deadline, seconds: float, why: str) -> Flow[None]:
    """Wait. The wait is announced once for all calls of the client, and a long one is counted down."""
    is_announced = seconds >= _SHORTEST_NOTICE and context.waits.announces(context.retry_policy.now() + seconds)
    if is_announced:
        context.notice(f"waiting {seconds:.0f} s: {why}")
    while is_announced and seconds >= _COUNTDOWN + _SHORTEST_NOTICE:
        yield deadline.sleep(_COUNTDOWN)
        seconds -= _COUNTDOWN
        context.notice(f"waiting {seconds:.0f} s more")
    yield deadline.sleep(seconds)


def _trace(context: ClientContext, request: Request, happened: object, milliseconds: float, attempt: int) -> None:
    ended = "no answer"
    if isinstance(happened, Answer):
        ended = str(happened.status)
    elif isinstance(happened, NotSent | NoAnswer):
        ended = _reason(context, happened.reason)
    again = f" (attempt {attempt})" if attempt > 1 else ""
    context.trace(f"{context.mask(request_line(request))} -> {ended} in {milliseconds:.0f} ms{again}")
