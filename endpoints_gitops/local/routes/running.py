"""Runs of endpoints, and their log (docs/server.md#running). What a run needs is imported with the first one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from endpoints_gitops.local.answers import iso, zulu
from endpoints_gitops.local.call import RouteAnswer, RouteCall, integer, limit_offset
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import RequestRefused, broken, invalid, not_found
from endpoints_gitops.local.routes.action import (
    Described,
    Resource,
    RouteAction,
    endpoint_of,
    number_asked,
    version_asked,
)
from endpoints_gitops.local.store import LogEntry, StoredEndpoint
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.name import is_endpoint_name

_LEVELS: Final = ("DEBUG", "LOG", "INFO", "WARN", "ERROR")
_UNTOLD: Final = (
    "error_message error_code start_time end_time pickup_time expiration_time task_id query_progress labels insight_id "
    "dashboard_id"
)
_MOST_ENTRIES: Final = 500
_OVERRIDE_WARNING: Final = (
    "filters_override is deprecated. Use variables instead, or mark the breakdown property as optional on the endpoint "
    "if you want to call /run without supplying its value: https://posthog.com/docs/api/endpoints"
)


def run_endpoint(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """Run an endpoint. The query runs without the lock, so that it does not block other requests."""
    from endpoints_gitops.local import runs

    store = deployment.store
    with store.lock:
        endpoint = _active(deployment, call)
        deployment.access.check_run(call, endpoint)
        try:
            run = runs.checked(deployment, call, endpoint)
        except RequestRefused as refusal:
            runs.log_rejection(store, endpoint, refusal, call.now)
            raise
    started = time.monotonic()
    try:
        run, answer = runs.answered(deployment, run)
    except RequestRefused as refusal:
        with store.lock:
            runs.log_failure(store, run, refusal)
        raise
    with store.lock:
        runs.log_answer(store, run, answer, round((time.monotonic() - started) * 1000))
    is_deprecated = run.body.filters_override is not None
    return RouteAnswer(body=answer, headers={"X-PostHog-Warn": _OVERRIDE_WARNING} if is_deprecated else {})


def counts_as_materialized(deployment: Deployment, call: RouteCall) -> bool:
    """Whether a run counts against the higher limit."""
    from endpoints_gitops.local import runs

    try:
        return runs.counts_as_materialized(deployment, call, _active(deployment, call))
    except RequestRefused:
        return False


def show_openapi(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    from endpoints_gitops.local import openapi

    endpoint = endpoint_of(deployment, call)
    version = version_asked(deployment, endpoint, number_asked(call))
    variables = {variable.id: variable for variable in deployment.store.variables_of(call.project)}
    return RouteAnswer(body=openapi.document(call.project, endpoint, version, variables, call.incoming.site))


def last_execution_times(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    sent = call.incoming.sent()
    names = sent.get("names") if isinstance(sent, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise broken()
    for name in names:
        if not is_endpoint_name(name):
            raise invalid(f"Invalid endpoint name: {name}", "names")
    marks = ", ".join("?" * len(names))
    endpoints = deployment.store.endpoints.select(  # deleted ones too (docs/server.md#writes-that-half-happen)
        f"project_id = ? AND last_executed_at IS NOT NULL AND name IN ({marks})",
        (call.project.id, *names),
        tail="ORDER BY place",
    )
    times: list[Json] = [[endpoint.name, iso(endpoint.last_executed_at)] for endpoint in endpoints]
    return RouteAnswer(body={"query_status": _status(call, times if names else None)})


def list_logs(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    endpoint = endpoint_of(deployment, call)
    most = _most_entries(call)
    entries = deployment.store.logs.select(
        "endpoint_id = ?", (endpoint.id,), tail="ORDER BY timestamp DESC, place DESC"
    )
    asked = [_entry(entry) for entry in entries if _is_asked(call, entry)][:most]
    page = limit_offset(call.incoming, len(asked), lambda limit, offset: asked[offset : offset + limit], default=most)
    return RouteAnswer(body=page)


def _active(deployment: Deployment, call: RouteCall) -> StoredEndpoint:
    endpoint = endpoint_of(deployment, call)
    if not endpoint.is_active:
        raise not_found()
    return endpoint


def _status(call: RouteCall, results: Json) -> JsonObject:
    status: dict[str, Json] = {"id": "", "team_id": call.project.id, "query_async": True, "complete": True}
    return status | {"error": False, "results": results} | dict.fromkeys(_UNTOLD.split())


def _most_entries(call: RouteCall) -> int:
    text = call.incoming.asked("limit")
    most = 50 if not text else integer(text) or 0
    if not 1 <= most <= _MOST_ENTRIES:
        raise invalid(f"Ensure this value is between 1 and {_MOST_ENTRIES}.", "limit")
    return most


def _is_asked(call: RouteCall, entry: LogEntry) -> bool:
    asked = call.incoming.asked
    levels = [level.strip().upper() for level in (asked("level") or "").split(",") if level.strip()]
    if any(level not in _LEVELS for level in levels):
        raise invalid(f"Levels are {', '.join(_LEVELS)}.", "level")
    after, before = _timestamp(call, "after"), _timestamp(call, "before")
    return (
        (not levels or entry.level in levels)
        and (asked("search") or "").lower() in entry.message.lower()
        and asked("instance_id") in {None, "", entry.instance_id}
        and (after is None or entry.timestamp > after)
        and (before is None or entry.timestamp < before)
    )


def _timestamp(call: RouteCall, name: str) -> datetime | None:
    text = call.incoming.asked(name)
    if not text:
        return None
    try:
        timestamp = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise invalid("Enter a valid date/time.", name) from None
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def _entry(entry: LogEntry) -> Json:
    return {
        "log_source_id": entry.endpoint_id,
        "instance_id": entry.instance_id,
        "timestamp": zulu(entry.timestamp),
        "level": entry.level,
        "message": entry.message,
    }


_RUN: Final = RouteAction(
    handler=run_endpoint,
    scope="endpoint:read",
    with_secret=True,
    interleaved=True,
    draws_materialized=counts_as_materialized,
    described=Described(
        summary="Run an endpoint",
        query=("version", "run_limit", "run_offset"),
        body="RunRequest",
        answer="RunAnswer",
    ),
)
_READ: Final = "endpoint:read"
BEFORE_NAMES: Final = (
    Resource(
        path="/endpoints/last_execution_times",
        actions={
            "POST": RouteAction(
                handler=last_execution_times,
                scope=_READ,
                described=Described(
                    summary="When endpoints were last run",
                    body="NamesRequest",
                    answer="LastExecutionTimes",
                    fault="The body has no list of names.",
                ),
            )
        },
    ),
)
RESOURCES: Final = (
    Resource(path="/endpoints/{name}/run", actions={"GET": _RUN, "POST": _RUN}),
    Resource(
        path="/endpoints/{name}/openapi.json",
        actions={
            "GET": RouteAction(
                handler=show_openapi,
                scope=_READ,
                described=Described(
                    summary="The OpenAPI document of a version", query=("version",), answer="OpenApiDocument"
                ),
            )
        },
    ),
    Resource(
        path="/endpoints/{name}/logs",
        actions={
            "GET": RouteAction(
                handler=list_logs,
                scope=_READ,
                described=Described(
                    summary="The runs of an endpoint, newest first",
                    query=("entries", "offset", "after", "before", "level", "search", "instance_id"),
                    answer="LogEntryPage",
                ),
            )
        },
    ),
)
