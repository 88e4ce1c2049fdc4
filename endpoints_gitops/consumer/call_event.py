"""What `on_request` is told about a call that ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Literal

from endpoints_gitops.errors import UsageError

type CacheUse = Literal["miss", "hit", "shared", "stale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """A call that ended: a `run`, or one page of an `iterate`.

    `attempts` is the number of HTTP requests of this call, 0 if a cache answered it or nothing was sent. `cache` is
    `miss` (this call asked the server), `hit`, `shared` (another call was asking for the same), `stale` (the server
    failed, and an older answer was used), or None without a cache and for pages and calls that bypass it. `seconds` is
    the duration, including waits. `status` is the HTTP status of the last answer, None if this call got none.

    `error` is what the call raised, None if it succeeded; it can also be a cancellation. For `stale` it is the error
    that the older answer replaced. `request_id` is the `client_query_id` that was sent, and `execution_id` the server's
    id of the execution, which its logs of the endpoint have too; None if there was no request, or no answer.
    """

    endpoint: str
    version: int
    environment: str
    attempts: int
    cache: CacheUse | None
    seconds: float
    status: int | None
    error: BaseException | None
    request_id: str | None
    execution_id: str | None


type OnRequest = Callable[[CallEvent], object]


def checked_hook(hook: OnRequest | None) -> OnRequest | None:
    """The hook. Raises UsageError for one that cannot be called, or that would have to be awaited."""
    if hook is not None and (not callable(hook) or iscoroutinefunction(hook)):
        what = "a coroutine function" if iscoroutinefunction(hook) else f"{hook!r}"
        message = f"on_request must be a function that is called with a CallEvent, not {what}"
        raise UsageError(message, fix="pass a plain function; it must not block", code="usage.hook")
    return hook


def notify(hook: OnRequest, event: CallEvent) -> None:
    """Call the hook. What it raises is logged, and never changes the call."""
    try:
        hook(event)
    except Exception:
        import logging

        logging.getLogger("endpoints_gitops").exception("on_request failed for %s@%s", event.endpoint, event.version)
