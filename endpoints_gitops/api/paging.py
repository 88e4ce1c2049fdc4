"""Complete lists: fetch every page of a list (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from endpoints_gitops.advice import AGAIN, Advice
from endpoints_gitops.api import errors
from endpoints_gitops.api.answers import Unexpected, read
from endpoints_gitops.api.flow import ClientContext, Deadline, exchange, request_line
from endpoints_gitops.api.wire import Flow, Request

PAGE: Final = 500
"""Items per request. The server has no maximum, but checks each item, and a gateway in front of it allows about a
minute. A server that returns fewer items has a `next` link to the rest."""

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _ListPage[T]:
    items: tuple[T, ...]
    count: int | None
    following: str | None


def whole_list[T](
    context: ClientContext, request: Request, reader: Callable[[Mapping[str, Any]], T], identity: Callable[[T], object]
) -> Flow[tuple[T, ...]]:
    """Every item once, in the server's order. Raises BadAnswer if the list changes during each of three attempts.

    The order of endpoints is undefined, and one can be deleted between two pages. The list is read again if an item is
    missing by the server's count, or if the pages differ in that count.
    """
    deadline = Deadline(context)
    for _ in range(_TRIES):
        items, counts = yield from _pages(context, request, reader, deadline)
        once = {identity(item): item for item in items}
        if len(counts) < 2 and all(count is None or len(once) >= count for count in counts):
            return tuple(once.values())
    counted = " or ".join(str(count) for count in sorted(count for count in counts if count is not None))
    message = f"the list kept changing while it was read: received {len(once)} of {counted} items"
    raise errors.BadAnswer(message, request=request_line(request), endpoint=request.names, fix=Advice(AGAIN))


def _pages[T](
    context: ClientContext, request: Request, reader: Callable[[Mapping[str, Any]], T], deadline: Deadline
) -> Flow[tuple[list[T], set[int | None]]]:
    """The items of all pages, and the totals that the pages report."""
    items: list[T] = []
    asked: set[str] = set()
    following: Request | None = request
    counts: set[int | None] = set()
    while following is not None:
        try:
            answer = yield from exchange(context, following, deadline)
        except errors.NotFound:
            if following is request:
                raise
            break  # a numbered page is a 404 if items were deleted meanwhile; the total will not match
        page = read(context, following, answer, lambda body: _page(body, reader))
        items += page.items
        counts.add(page.count)
        asked.add(request_line(following))
        following = _following(context, request, page.following)
        if following is not None and request_line(following) in asked:
            raise _bad_link(request, "repeats an earlier page")
    return items, counts


def _page[T](body: Mapping[str, Any], reader: Callable[[Mapping[str, Any]], T]) -> _ListPage[T]:
    results, count, following = body.get("results"), body.get("count"), body.get("next")
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise Unexpected("it has no list of objects under results")
    if not isinstance(following, str | None):
        raise Unexpected("next is not a URL")
    counted = count if isinstance(count, int) else None
    return _ListPage(tuple(reader(item) for item in results), counted, following or None)


def _following(context: ClientContext, request: Request, address: str | None) -> Request | None:
    """The request for the next page. Only its parameters come from the server, so the key is sent to the same URL."""
    if address is None:
        return None
    try:
        parts = urlsplit(address)
        is_elsewhere = parts.hostname not in {None, urlsplit(context.connection.host).hostname}
    except ValueError:
        raise _bad_link(request, "is not a URL") from None
    path = parts.path.removeprefix(context.connection.prefix)
    if is_elsewhere or path.rstrip("/") != request.path.rstrip("/"):
        raise _bad_link(request, "has a different host or path, to which the key is not sent")
    return replace(request, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def _bad_link(request: Request, how: str) -> errors.BadAnswer:
    return errors.BadAnswer(f"the link to the next page {how}", request=request_line(request), endpoint=request.names)
