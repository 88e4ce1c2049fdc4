"""Routes for tests that drive a server in another process: set faults, read the request log."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import Refused
from endpoints_gitops.local.faults import parse_faults

FAULTS = "/__faults__"
REQUESTS = "/__requests__"
AGE = "/__age__"


def control_routes(deployment: Deployment) -> list[Route]:
    """`POST /__faults__` adds, `DELETE` clears; `GET /__requests__` lists, `DELETE` forgets; `POST /__age__`
    with `{"days": N}` makes all that the server has older. No key is asked for.
    """

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            deployment.faults.clear()
            return Response(status_code=204)
        try:
            added = parse_faults(json.loads(await request.body()))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except Refused as refusal:
            return JSONResponse(refusal.body, status_code=refusal.status)
        deployment.faults.add(*added)
        return JSONResponse({"added": len(added)}, status_code=201)

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            deployment.log.clear()
            return Response(status_code=204)
        return JSONResponse([asdict(entry) for entry in deployment.log.entries()])

    async def age(request: Request) -> Response:
        try:
            deployment.age(timedelta(days=float(json.loads(await request.body())["days"])))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            return JSONResponse({"error": f'expected {{"days": N}}: {error!r}'}, status_code=400)
        return Response(status_code=204)

    return [
        Route(AGE, age, methods=["POST"]),
        Route(FAULTS, faults, methods=["POST", "DELETE"]),
        Route(REQUESTS, requests, methods=["GET", "DELETE"]),
    ]
