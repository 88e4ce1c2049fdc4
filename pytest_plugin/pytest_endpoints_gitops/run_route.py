"""PostHog's run route: what it refuses, and the shape of an answer (docs/server.md#running)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from endpoints_gitops.api.run_pages import UNPAGED_ROWS
from endpoints_gitops.local.bodies import RunRequest, run_request
from endpoints_gitops.local.call import Incoming, integer
from endpoints_gitops.local.errors import RequestRefused, bare, envelope, invalid, not_found
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops import failures
from pytest_endpoints_gitops.calls import HOGQL, SourceAnswer

_SOON: Final = timedelta(minutes=1)
_DAY: Final = 86400
_DIRECT: Final = (
    "'direct' refresh mode is only valid for materialized endpoints. Use 'cache' or 'force' instead, "
    "or enable materialization on this endpoint."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedRun:
    """What an app requests. `version` is None where the request names none."""

    name: str
    version: int | None
    variables: Mapping[str, Json]
    limit: int | None
    offset: int | None
    body: RunRequest


def requested_run(incoming: Incoming, name: str) -> RequestedRun:
    """Read a request as the server does, the body over the query string. Raises RequestRefused."""
    body = run_request(incoming.sent())
    version = _number(body.version, incoming, "version")
    limit = _number(body.limit, incoming, "limit", least=1)
    offset = _number(body.offset, incoming, "offset", least=0)
    if offset is not None and limit is None:
        raise bare(400, "offset requires limit to be set")
    return RequestedRun(
        name=name, version=version, variables=body.variables or {}, limit=limit, offset=offset, body=body
    )


def check(run: RequestedRun, pin: Pin) -> None:
    """Raise RequestRefused for what the pin alone rules out; unknown and missing variables are found by who answers."""
    is_hogql = pin.kind == HOGQL
    if run.body.filters_override is not None and is_hogql:
        raise invalid("Not allowed for HogQL endpoints. Use variables instead.", "filters_override")
    if run.offset is not None and not is_hogql:
        raise invalid("offset is only supported for HogQL endpoints", "offset")
    if run.body.refresh == "direct" and not pin.materialized:
        raise invalid(_DIRECT, "refresh")
    if run.limit is not None and not is_hogql and not pin.materialized:
        raise invalid(f"Limit/offset parameters are only supported for HogQLQuery, not {pin.kind}", "limit")


def answer_body(run: RequestedRun, pin: Pin, answer: SourceAnswer) -> dict[str, Any]:
    """The body of a 200, with the server's keys in its order."""
    now = datetime.now(UTC)
    columns, has_more = answer.run.columns, answer.run.has_more
    body: dict[str, Any] = {"results": answer.run.results, "cache_target_age": _z(now + _fresh(pin))}
    if columns is not None:
        body |= {"clickhouse": None, "columns": list(columns)}
    body |= {"error": None, "hasMore": has_more, "is_cached": False, "last_refresh": _z(now)}
    if columns is not None:
        body |= {"limit": run.limit or UNPAGED_ROWS}
    body |= {"metadata": None, "next_allowed_client_refresh": _z(now + _SOON)}
    if columns is not None:
        body |= {"offset": run.offset or 0, "query": pin.query.get("query")}
    body |= {"query_metadata": None, "query_status": None, "timezone": "UTC"}
    if columns is not None:
        body |= {"types": [list(pair) for pair in answer.run.types]}
    return body | _identity(pin, now)


def refusal(failure: failures.Failure, name: str) -> RequestRefused:
    """What the app gets where its test fails: the server's own answer where the server would refuse, else a 400.

    Clients repeat what is temporary (429, 5xx); a failure of a test is not, so it must not look like that.
    """
    if isinstance(failure, failures.VariableUndeclared | failures.VariableMissing | failures.VariableMistyped):
        return invalid(failure.problem, "variables")
    if isinstance(failure, failures.InactiveVersion):
        return invalid(failure.problem)
    if (
        isinstance(failure, failures.NotPinned)
        and failure.endpoint is not None
        and failure.endpoint.version is not None
    ):
        return RequestRefused(404, {"error": f"Version {failure.endpoint.version} not found for endpoint '{name}'"})
    if isinstance(failure, failures.NotPinned | failures.InactiveEndpoint):
        return not_found()
    return RequestRefused(400, envelope("validation_error", "invalid_input", f"{name}: {failure.problem}"))


def _identity(pin: Pin, now: datetime) -> dict[str, Any]:
    identity: dict[str, Any] = {
        "name": pin.name,
        "execution_id": str(uuid.uuid4()),
        "endpoint_version": pin.version,
        "endpoint_version_created_at": pin.created_at.isoformat() if pin.created_at else None,
    }
    if pin.materialized:
        identity |= {"endpoint_materialized": True, "endpoint_materialized_at": now.isoformat()}
    return identity


def _fresh(pin: Pin) -> timedelta:
    return timedelta(seconds=pin.freshness_seconds or _DAY)


def _z(timestamp: datetime) -> str:
    return timestamp.isoformat().replace("+00:00", "Z")


def _number(body: int | None, incoming: Incoming, name: str, least: int | None = None) -> int | None:
    """From the body, else from the query string."""
    text = incoming.asked(name)
    number = body if body is not None or not text else integer(text)
    wrong = number is None and body is None and bool(text)
    if wrong or (least is not None and number is not None and number < least):
        raise bare(400, f"Invalid {name} parameter: {text if body is None else body}")
    return number
