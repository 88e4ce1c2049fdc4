"""Asking a server what a fact is about: every answer counts, whatever its status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from endpoints_gitops.api.wire import Request
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.api.errors import ApiError


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `body` is its text where it is not JSON, and None where it is empty. `refusal` is the error that it
    would be anywhere else, None for a success.
    """

    status: int
    body: Json
    refusal: ApiError | None


class ConformanceProject:
    """One project, through our own client: its key, its rate limits and its retries, but no reading of answers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.requests = 0

    @property
    def host(self) -> str:
        return self._client.connection.host

    @property
    def project_id(self) -> int:
        return self._client.connection.project_id

    def ask(self, method: str, path: str, body: Json = None) -> Reply:
        """`path` is within the project. Raises ApiError where no answer came."""
        path, _, query = path.partition("?")
        request = Request(
            method=method,
            path=f"/api/projects/{self.project_id}/{path}",
            query=dict(parse_qsl(query, keep_blank_values=True)),
            body=cast(JsonObject | None, body),  # some facts are about bodies that are no objects
            repeatable=method == "GET",
        )
        self.requests += 1
        answer, refusal = self._client.ask_for_any_answer(request)
        return Reply(answer.status, _value(answer.body), refusal)


def _value(body: bytes) -> Json:
    if not body:
        return None
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    return value
