"""An app that calls the client of openapi-generator."""

import json
import os
import sys
from collections.abc import Callable

from endpoints_openapi import (
    ApiClient,
    ApiException,
    BusyEndpointRunRequest,
    Configuration,
    EndpointsApi,
    GoneEndpointRunRequest,
    RevenueByPlanEndpointRunRequest,
    RevenueByPlanVariables,
    ViewsEndpointRunRequest,
)
from endpoints_openapi.exceptions import BadRequestException, NotFoundException, UnauthorizedException


def failure(kind: type[ApiException], call: Callable[[], object]) -> ApiException:
    try:
        call()
    except kind as error:
        return error
    raise SystemExit("the call succeeded")


def connect(key: str) -> EndpointsApi:
    return EndpointsApi(ApiClient(Configuration(host=os.environ["URL"], access_token=key)))


api, other = connect(os.environ["KEY"]), connect("phx_wrong")
variables = RevenueByPlanVariables(plan="pro")
answer = api.run_revenue_by_plan(RevenueByPlanEndpointRunRequest(version=1, variables=variables))
rows = []
for row in answer.results:
    plan, people, share, day = (value.actual_instance if value else None for value in row)
    rows.append({"plan": plan, "people": people, "share": share, "day": str(day)[:10]})
series = api.run_views(ViewsEndpointRunRequest(version=1)).results
busy = BusyEndpointRunRequest(version=1)
limit = RevenueByPlanEndpointRunRequest.model_construct(version=1, variables=variables, limit=0)
failures = [
    failure(BadRequestException, lambda: api.run_revenue_by_plan(limit)),
    failure(UnauthorizedException, lambda: other.run_views(ViewsEndpointRunRequest(version=1))),
    failure(NotFoundException, lambda: api.run_gone(GoneEndpointRunRequest(version=1))),
    failure(ApiException, lambda: api.run_busy(busy)),
]
bodies = [json.loads(error.body or "{}") for error in failures]
sys.stdout.write(
    json.dumps(
        {
            "rows": rows,
            "version": answer.endpoint_version,
            "more": answer.has_more,
            "points": len(series[0].data or []),
            "statuses": [error.status for error in failures],
            "errors": [body.get("error") or body["code"] for body in bodies],
            "retryAfter": (failures[3].headers or {}).get("Retry-After"),
        }
    )
)
