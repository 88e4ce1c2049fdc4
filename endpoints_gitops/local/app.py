"""The ASGI application: decode requests, call routes, encode answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from endpoints_gitops.hogql.parser import remember
from endpoints_gitops.local import keys, materialization
from endpoints_gitops.local.call import Incoming, RouteAnswer, RouteCall, refused
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.refusals import ClickHouseUnavailable
from endpoints_gitops.local.errors import RequestRefused, broken, method_not_allowed, not_found, too_large, unavailable
from endpoints_gitops.local.fault_layer import Connections, FaultLayer
from endpoints_gitops.local.own_site import OwnSite
from endpoints_gitops.local.request_threads import RequestThreads
from endpoints_gitops.local.routes import endpoints, mcp_tools, query, running, variables, who
from endpoints_gitops.local.routes import materialization as materialization_routes
from endpoints_gitops.local.routes.action import Resource, RouteAction
from endpoints_gitops.local.web_page import page_routes

LARGEST_BODY: Final = 20_000_000
WRITE_ENDPOINTS: Final = "endpoint:write"
ENDPOINT_SCOPES: Final = ("endpoint:read", WRITE_ENDPOINTS)
_LOG: Final = logging.getLogger(__name__)
_RESOURCES: Final = (
    *materialization_routes.BEFORE_NAMES,
    *running.BEFORE_NAMES,
    *endpoints.RESOURCES,
    *materialization_routes.RESOURCES,
    *running.RESOURCES,
    *variables.RESOURCES,
    *query.RESOURCES,
    *mcp_tools.RESOURCES,
    *who.OF_PROJECT,
)
_PROJECTS: Final = "/api/projects/"
_ENVIRONMENTS: Final = "/api/environments/"
"""PostHog's other name for the same."""
DOCUMENTED: Final = (
    *(replace(resource, path=f"{_PROJECTS}{{project_id}}{resource.path}") for resource in _RESOURCES),
    *who.RESOURCES,
)
"""The resources of the OpenAPI document, with their paths."""


def application(
    deployment: Deployment,
    connections: Connections,
    threads: RequestThreads,
    *,
    colleague: str,
    prefix: str = "",
    control: bool = False,
) -> ASGIApp:
    """All routes, inside the layer that plays faults, inside the check of Host and Origin.

    `colleague` is the key of the other user, who makes edits.
    """
    routes = [Route(item.path, ResourceApp(deployment, item, prefix, threads)) for item in DOCUMENTED]
    routes += [Route("/api/schema", ApiDocumentApp(prefix)), *page_routes(prefix)]
    layer = FaultLayer(
        app=_Prefixed(Router(routes, redirect_slashes=False, default=_nowhere), prefix),
        faults=deployment.faults,
        log=deployment.log,
        connections=connections,
        colleague=colleague,
        prefix=prefix,
    )
    if not control:
        return OwnSite(layer, deployment.host_names)
    from endpoints_gitops.local.control import ControlRoutes

    controlled = Router(ControlRoutes(deployment).routes(), redirect_slashes=False, default=layer)
    return OwnSite(controlled, deployment.host_names)


@dataclass(frozen=True, slots=True)
class _Prefixed:
    """Removes the prefix and one trailing slash from the path, like a proxy and PostHog's routes. Environments are
    projects."""

    app: ASGIApp
    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.startswith(f"{self.prefix}/"):
            await _nowhere(scope, receive, send)
            return
        inner = path.removeprefix(self.prefix)
        path = inner.removesuffix("/") or "/"
        if path.startswith(_ENVIRONMENTS):
            path = _PROJECTS + path.removeprefix(_ENVIRONMENTS)
        await self.app({**scope, "path": path, "asked_path": inner}, receive, send)


@dataclass(frozen=True, slots=True)
class ResourceApp:
    """A resource as an ASGI app."""

    deployment: Deployment
    resource: Resource
    prefix: str
    threads: RequestThreads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
        except ClientDisconnect:
            return
        if body is None:
            response = _response(refused(too_large(LARGEST_BODY)))
        else:
            incoming = _incoming(scope, body, self.prefix)
            action = self.resource.actions.get(scope["method"])
            can_wait = action is not None and (action.interleaved or action.queries is not None)
            response = await self.threads.run(self.answer, incoming, can_wait=can_wait)
        await response(scope, receive, send)

    def answer(self, incoming: Incoming) -> Response:
        """The answer to a request. An unexpected exception is a 500, and the server keeps running."""
        try:
            return _response(self._answer(incoming))
        except RequestRefused as refusal:
            return _response(refused(refusal))
        except ClickHouseUnavailable as error:
            return _response(refused(unavailable(error.message)))
        except Exception:
            _LOG.exception("%s %s", incoming.method, incoming.path)
            return _response(refused(broken()))

    def _answer(self, incoming: Incoming) -> RouteAnswer:
        method = "GET" if incoming.method == "HEAD" else incoming.method
        action = self.resource.actions.get(method)
        lock = self.deployment.store.lock
        with lock:
            call = self._admitted(incoming, action)
            assert action is not None, "a method without an action is not admitted"
            if not action.interleaved and action.queries is None:
                return action.handler(self.deployment, call)
            queries = tuple(action.queries(self.deployment, call)) if action.queries else ()
        for sql in queries:
            remember(sql)
        with nullcontext() if action.interleaved else lock:
            return action.handler(self.deployment, call)

    def _admitted(self, incoming: Incoming, action: RouteAction | None) -> RouteCall:
        key = keys.authenticated(self.deployment.store, incoming)
        if action is None:
            raise method_not_allowed(incoming.method)
        call = keys.admitted(self.deployment, incoming, key, scope=action.scope, with_secret=action.with_secret)
        materialization.finish_builds(self.deployment.store, call.now, self.deployment.build_seconds)
        materialization.switch_off_idle(self.deployment.store, call.now)
        limiter = self.deployment.limiter
        if limiter.limits is not None:
            larger = action.draws_materialized is not None and action.draws_materialized(self.deployment, call)
            limiter.count(limiter.limits, key, materialized=larger)
        if action.scope in ENDPOINT_SCOPES and not action.with_secret:
            name = incoming.names.get("name")
            endpoint = self.deployment.store.endpoint(call.project, name) if name is not None else None
            self.deployment.access.check(call, endpoint, writes=action.scope == WRITE_ENDPOINTS)
        return call


@dataclass(frozen=True, slots=True)
class ApiDocumentApp:
    """The OpenAPI document, for which no key is needed. PostHog has its own at the same path, as YAML."""

    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            answer = refused(method_not_allowed(scope["method"]))
        else:
            from endpoints_gitops.local import api_document  # takes long, and few ask for it

            answer = RouteAnswer(body=api_document.document(DOCUMENTED, _site(_headers(scope), self.prefix)))
        await _response(answer)(scope, receive, send)


def _headers(scope: Scope) -> dict[str, str]:
    return {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}


def _site(headers: Mapping[str, str], prefix: str) -> str:
    """The URL by which the caller reaches this server."""
    return f"http://{headers.get('host', '127.0.0.1')}{prefix}"


def _incoming(scope: Scope, body: bytes, prefix: str) -> Incoming:
    headers = _headers(scope)
    return Incoming(
        method=scope["method"],
        site=_site(headers, prefix),
        path=scope.get("asked_path", scope["path"]),
        query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        names=scope.get("path_params", {}),
        authorization=headers.get("authorization", ""),
        content_type=headers.get("content-type", ""),
        body=body,
    )


async def _body(receive: Receive) -> bytes | None:
    """The complete body; None if it is too large. Such a body is read to its end, so that the client gets the
    answer. Raises ClientDisconnect if it never ends: half of a body is not handled."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if size <= LARGEST_BODY else None


def _response(answer: RouteAnswer) -> Response:
    if answer.status == 204:
        return Response(status_code=204, headers=dict(answer.headers))
    body = json.dumps(answer.body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
    return Response(body, status_code=answer.status, headers=dict(answer.headers), media_type="application/json")


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    await _response(refused(not_found("Endpoint not found.")))(scope, receive, send)
