"""Whole lists: every page, until the server says that there is no next one (docs/server.md#paging)."""

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
"""Items asked for at once. The server has no maximum; each item costs it a check or two, and a gateway in front of it
allows about a minute, so not more. Where a server gives less, `next` leads on all the same."""

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _ListPage[T]:
    items: tuple[T, ...]
    count: int | None
    following: str | None


def whole_list[T](
    context: ClientContext, request: Request, reader: Callable[[Mapping[str, Any]], T], identity: Callable[[T], object]
) -> Flow[tuple[T, ...]]:
    """Every item once, in the server's order.

    No order is declared for endpoints, and one may be deleted between two pages: then an item comes twice, fewer come
    than the server counts, or the pages differ in that count. The list is then read again.
    """
    deadline = Deadline(context)
    for _ in range(_TRIES):
        items, counts = yield from _pages(context, request, reader, deadline)
        once = {identity(item): item for item in items}
        if len(counts) < 2 and all(count is None or len(once) >= count for count in counts):
            return tuple(once.values())
    counted = " or ".join(str(count) for count in sorted(count for count in counts if count is not None))
    told = f"the list changed each time while it was read: {len(once)} of {counted} came"
    raise errors.BadAnswer(told, request=request_line(request), endpoint=request.names, fix=Advice(AGAIN))


def _pages[T](
    context: ClientContext, request: Request, reader: Callable[[Mapping[str, Any]], T], deadline: Deadline
) -> Flow[tuple[list[T], set[int | None]]]:
    """The items of all pages, and what the pages say is their number."""
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
            break  # numbered pages end in a 404 where something was deleted meanwhile: fewer than counted came
        page = read(context, following, answer, lambda body: _page(body, reader))
        items += page.items
        counts.add(page.count)
        asked.add(request_line(following))
        following = _following(context, request, page.following)
        if following is not None and request_line(following) in asked:
            raise _astray(request, "goes round in a circle")
    return items, counts


def _page[T](body: Mapping[str, Any], reader: Callable[[Mapping[str, Any]], T]) -> _ListPage[T]:
    results, count, following = body.get("results"), body.get("count"), body.get("next")
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise Unexpected("there is no list of objects under results")
    if not isinstance(following, str | None):
        raise Unexpected("next is no address")
    counted = count if isinstance(count, int) else None
    return _ListPage(tuple(reader(item) for item in results), counted, following or None)


def _following(context: ClientContext, request: Request, address: str | None) -> Request | None:
    """The request for the next page. Only parameters are taken from the server: the key goes where it went before."""
    if address is None:
        return None
    try:
        parts = urlsplit(address)
        ours = urlsplit(context.connection.host)
        elsewhere = parts.hostname not in {None, ours.hostname}
    except ValueError:
        raise _astray(request, "is no address") from None
    path = parts.path.removeprefix(context.connection.prefix)
    if elsewhere or path.rstrip("/") != request.path.rstrip("/"):
        raise _astray(request, "leads to another place, where the key is not sent")
    return replace(request, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def _astray(request: Request, how: str) -> errors.BadAnswer:
    return errors.BadAnswer(
        f"the address of the next page {how}", request=request_line(request), endpoint=request.names
    )
