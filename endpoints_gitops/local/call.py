"""What a route is called with, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from endpoints_gitops.local.errors import Refused, invalid, unreadable, unsupported_media_type
from endpoints_gitops.local.store.rows import ApiKey, Project, User
from endpoints_gitops.model.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request before anybody asked who sent it. `site` is how the caller reaches us: scheme, host, prefix."""

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
class Call:
    """A request whose sender is known and may do this, here. `user` is None for a project secret key."""

    incoming: Incoming
    now: datetime
    key: ApiKey
    user: User | None
    project: Project

    @property
    def user_id(self) -> int:
        return self.user.id if self.user else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    body: Json = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def refused(refusal: Refused) -> Answer:
    return Answer(body=refusal.body, status=refusal.status, headers=refusal.headers)


def integer(text: str) -> int | None:
    """What Python's `int` makes of it, None where it refuses."""
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
