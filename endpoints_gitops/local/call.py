"""Calls of routes, their answers, and the two kinds of paged lists (docs/server.md#paging)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urlencode

from endpoints_gitops.local.errors import RequestRefused, invalid, not_found, unreadable, unsupported_media_type
from endpoints_gitops.local.store import ApiKey, Project, StoredUser
from endpoints_gitops.model.json import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request before authentication. `site` is the URL by which the caller reaches this server: scheme, host,
    prefix."""

    method: str
    site: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    authorization: str = ""
    content_type: str = ""
    body: bytes = b""

    def asked(self, name: str) -> str | None:
        """The last value of a query parameter, as the server reads them."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def asked_integer(self, name: str) -> int | None:
        """A query parameter that must be an integer; a 400 about it otherwise."""
        text = self.asked(name)
        number = None if text in {None, ""} else integer(text or "")
        if text and number is None:
            raise invalid(f"Must be an integer, got: {text}", name)
        return number

    def sent(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """The body as JSON; an empty one is an empty object."""
        if not self.body.strip():
            return {}
        if self.content_type.partition(";")[0].strip().lower() not in {"application/json", "text/json"}:
            raise unsupported_media_type(self.content_type)
        return _json(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCall:
    """An authenticated and authorized request. `user` is None for a project secret key."""

    incoming: Incoming
    now: datetime
    key: ApiKey
    user: StoredUser | None
    project: Project

    @property
    def user_id(self) -> int:
        return self.user.id if self.user else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    body: Json = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def refused(refusal: RequestRefused) -> RouteAnswer:
    return RouteAnswer(body=refusal.body, status=refusal.status, headers=refusal.headers)


def integer(text: str) -> int | None:
    """The value of Python's `int`, or None if it refuses."""
    try:
        return int(text)
    except ValueError:
        return None


def _json(body: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error)) from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Out of range float values are not JSON compliant: {name!r}")


PAGE = 100
NUMBERED_PAGE = 500
_MOST = 2**62


def limit_offset(
    incoming: Incoming, count: int, items: Callable[[int, int], Sequence[Json]], *, default: int = PAGE
) -> JsonObject:
    """A page by `limit` and `offset`; invalid values mean the default. `items` is called with both."""
    limit = min(integer(incoming.asked("limit") or "") or 0, _MOST)
    limit = limit if limit > 0 else default
    offset = min(max(integer(incoming.asked("offset") or "") or 0, 0), _MOST)
    following = {"limit": limit, "offset": offset + limit} if offset + limit < count else None
    back = offset - limit
    before = {"limit": limit, "offset": back if back > 0 else None} if offset > 0 else None
    return _page(incoming, count, following, before, items(limit, offset) if offset <= count else [])


def numbered(incoming: Incoming, count: int, items: Callable[[int, int], Sequence[Json]]) -> JsonObject:
    """A page by `page`, with 500 items. A page that does not exist is a 404."""
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
    """The requested URL with some parameters replaced; None removes one."""
    query = dict(incoming.query) | changes
    kept = sorted((key, str(value)) for key, value in query.items() if value is not None)
    address = f"{incoming.site}{incoming.path}"
    return f"{address}?{urlencode(kept)}" if kept else address
