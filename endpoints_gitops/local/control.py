"""Routes without a key that change what the server does, for tests of clients (docs/local-server.md)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.local.access import AccessLevel
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.faults import parse_faults

ACCESS: Final = "/__access__"
AGE: Final = "/__age__"
FAULTS: Final = "/__faults__"
REQUESTS: Final = "/__requests__"


_MOST_DAYS: Final = 36_500


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """What the routes do with one deployment."""

    deployment: Deployment

    def routes(self) -> list[Route]:
        return [
            Route(ACCESS, self.access, methods=["POST", "DELETE"]),
            Route(AGE, self.age, methods=["POST"]),
            Route(FAULTS, self.faults, methods=["POST", "DELETE"]),
            Route(REQUESTS, self.requests, methods=["GET", "DELETE"]),
        ]

    async def access(self, request: Request) -> Response:
        """POST `{"level": "viewer"}`, with an `"endpoint"` if only one is meant, sets what the keys may do; DELETE
        makes their user an administrator again."""
        if request.method == "DELETE":
            self.deployment.access.clear()
            return Response(status_code=204)
        sent = _json_object(await request.body())
        level, endpoint = sent.get("level"), sent.get("endpoint")
        is_name = endpoint is None or isinstance(endpoint, str)
        if not is_name or sent.keys() - {"level", "endpoint"} or level not in tuple(AccessLevel):
            expected = f'expected {{"level": one of {", ".join(AccessLevel)}, "endpoint": a name, or none}}'
            return JSONResponse({"error": expected}, status_code=400)
        try:
            self.deployment.set_access(AccessLevel(level), endpoint)
        except LookupError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return Response(status_code=204)

    async def age(self, request: Request) -> Response:
        """POST `{"days": N}` makes all that the server has older."""
        days = _days(_json_object(await request.body()))
        if days is None:
            expected = f'expected {{"days": N}}, where N is a number from 0 to {_MOST_DAYS}'
            return JSONResponse({"error": expected}, status_code=400)
        self.deployment.age(timedelta(days=days))
        return Response(status_code=204)

    async def faults(self, request: Request) -> Response:
        """POST adds faults, DELETE clears them."""
        if request.method == "DELETE":
            self.deployment.faults.clear()
            return Response(status_code=204)
        try:
            added = parse_faults(await request.body())
        except InvalidInput as error:
            return JSONResponse({"error": "; ".join(map(str, error.problems))}, status_code=400)
        self.deployment.faults.add(*added)
        return JSONResponse({"added": len(added)}, status_code=201)

    async def requests(self, request: Request) -> Response:
        """GET lists the requests so far, DELETE forgets them."""
        if request.method == "DELETE":
            self.deployment.log.clear()
            return Response(status_code=204)
        return JSONResponse([asdict(entry) for entry in self.deployment.log.entries()])


def _json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty if it is not one, as each route needs a key."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _days(sent: dict[str, Any]) -> float | None:
    value = sent.get("days")
    if sent.keys() != {"days"} or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= _MOST_DAYS else None
