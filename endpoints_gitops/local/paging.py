"""The two ways in which lists are paged (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from endpoints_gitops.local.call import Incoming, integer
from endpoints_gitops.local.errors import not_found
from endpoints_gitops.model.json import Json, JsonObject

PAGE = 100
NUMBERED_PAGE = 500
_MOST = 2**62


def limit_offset(
    incoming: Incoming, count: int, items: Callable[[int, int], Sequence[Json]], *, default: int = PAGE
) -> JsonObject:
    """A page by `limit` and `offset`; values that make no sense mean the default. `items` gets both."""
    limit = min(integer(incoming.asked("limit") or "") or 0, _MOST)
    limit = limit if limit > 0 else default
    offset = min(max(integer(incoming.asked("offset") or "") or 0, 0), _MOST)
    following = {"limit": limit, "offset": offset + limit} if offset + limit < count else None
    back = offset - limit
    before = {"limit": limit, "offset": back if back > 0 else None} if offset > 0 else None
    return _page(incoming, count, following, before, items(limit, offset) if offset <= count else [])


def numbered(incoming: Incoming, count: int, items: Callable[[int, int], Sequence[Json]]) -> JsonObject:
    """A page by `page`, 500 items each. A page that is not there is a 404."""
    last = max(1, -(-count // NUMBERED_PAGE))
    asked = incoming.asked("page") or "1"
    number = last if asked == "last" else integer(asked)
    if number is None or not 1 <= number <= last:
        raise not_found("Invalid page.")
    following = {"page": number + 1} if number < last else None
    before = {"page": number - 1 if number > 2 else None} if number > 1 else None
    return _page(incoming, count, following, before, items(NUMBERED_PAGE, (number - 1) * NUMBERED_PAGE))


def _page(
    incoming: Incoming,
    count: int,
    following: dict[str, int] | None,
    before: dict[str, int | None] | None,
    results: Sequence[Json],
) -> JsonObject:
    return {
        "count": count,
        "next": None if following is None else _link(incoming, dict(following)),
        "previous": None if before is None else _link(incoming, before),
        "results": results,
    }


def _link(incoming: Incoming, changes: dict[str, int | None]) -> str:
    """The address asked for, with some parameters replaced; None takes one out."""
    query = dict(incoming.query) | changes
    kept = sorted((key, str(value)) for key, value in query.items() if value is not None)
    address = f"{incoming.site}{incoming.path}"
    return f"{address}?{urlencode(kept)}" if kept else address
