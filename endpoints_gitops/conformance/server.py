"""Send the requests of facts to a server, and return every answer, whatever its status."""

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
    """An answer; `body` is text if it is not JSON, and None if it is empty. `refusal` is the corresponding ApiError,
    None for a success.
    """

    status: int
    body: Json
    refusal: ApiError | None


class ConformanceProject:
    """One project, called with the client of this package (key, rate limits, retries), without decoding of answers."""

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
        """Send a request; `path` is relative to the project. Raises ApiError if there is no answer."""
        path, _, query = path.partition("?")
        request = Request(
            method=method,
            path=f"/api/projects/{self.project_id}/{path}",
            query=dict(parse_qsl(query, keep_blank_values=True)),
            body=cast(JsonObject | None, body),  # some facts are about bodies that are not objects
            repeatable=method == "GET",
        )
        self.requests += 1
        answer, refusal = self._client.send_for_any_status(request)
        return Reply(answer.status, _value(answer.body), refusal)


def _value(body: bytes) -> Json:
    if not body:
        return None
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    return value
