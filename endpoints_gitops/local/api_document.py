"""The OpenAPI document of this server, built from the tables of its routes (docs/local-server.md#openapi)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from endpoints_gitops.local.api_schemas import PARAMETERS, Schema, reference, schemas
from endpoints_gitops.local.keys import NO_SCOPE_NEEDED
from endpoints_gitops.local.routes.action import Resource, RouteAction

_ABOUT: Final = (
    "PostHog's API for endpoints, as the local server answers it. Each path below `/api/projects/` is also answered "
    "below `/api/environments/`, and a trailing slash is optional."
)
_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("Invalid", "The request is invalid, or its query cannot be run."),
    401: ("Unauthenticated", "There is no key, or it is wrong."),
    403: ("Forbidden", "The key has no permission, or the request is of another site."),
    404: ("NotFound", "There is no such project, endpoint, version or variable."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body is not sent as JSON."),
    429: ("Throttled", "The rate limit is used up."),
    500: ("Fault", "A fault of PostHog's own, which this server repeats."),
}
_HEADERS: Final[Mapping[int, Schema]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
}
_BARE: Final[Mapping[int, tuple[str, ...]]] = {400: ("BareError", "ToolFailure"), 404: ("BareError",)}


def document(resources: Iterable[Resource], site: str) -> Schema:
    """The OpenAPI 3.1 document. `resources` have the complete paths; `site` is the URL of this server."""
    paths: dict[str, Schema] = {}
    for resource in resources:
        names = _names_in(resource.path)
        paths[_path(resource.path)] = {
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
            **{
                method.lower(): _operation(method, action, resource, needs_lookup=bool(names))
                for method, action in resource.actions.items()
            },
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Local PostHog", "description": _ABOUT, "version": version("endpoints-gitops")},
        "servers": [{"url": site}],
        "security": [{"PersonalAPIKey": []}, {"PersonalAPIKeyInQuery": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "PersonalAPIKey": {"type": "http", "scheme": "bearer"},
                "PersonalAPIKeyInQuery": {"type": "apiKey", "in": "query", "name": "personal_api_key"},
            },
            "parameters": {key: {"name": key, **parameter} for key, parameter in PARAMETERS.items()},
            "responses": {name: _refusal(status, about) for status, (name, about) in _REFUSALS.items()},
            "schemas": schemas(),
        },
    }


def _names_in(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _path(path: str) -> str:
    """The path as PostHog writes it: with a slash at its end, but for files and runs."""
    return path if path.endswith((".json", "/run")) else f"{path}/"


def _operation(method: str, action: RouteAction, resource: Resource, *, needs_lookup: bool) -> Schema:
    described = action.described
    is_shared = sum(other.handler is action.handler for other in resource.actions.values()) > 1
    operation: Schema = {
        "operationId": f"{action.handler.__name__}_{method.lower()}" if is_shared else action.handler.__name__,
        "summary": described.summary,
        "description": _permission(action),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in described.query],
        "responses": _responses(action, needs_lookup=needs_lookup),
    }
    if described.body is not None and method != "GET":
        operation["requestBody"] = {"content": _content(reference(described.body))}
    return operation


def _permission(action: RouteAction) -> str:
    if action.scope is None:
        return "No key has the permission."
    scope = "any scope" if action.scope == NO_SCOPE_NEEDED else f"scope `{action.scope}`"
    return f"Needs a key with {scope}{'; a project secret key will do' if action.with_secret else ''}."


def _responses(action: RouteAction, *, needs_lookup: bool) -> Schema:
    described = action.described
    statuses = {401, 403, 413, 429}
    if needs_lookup:
        statuses.add(404)
    if described.query:
        statuses |= {400, 404}
    if described.body is not None:
        statuses |= {400, 415}
    if described.fault is not None:
        statuses.add(500)
    responses: Schema = {
        str(status): {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"} for status in sorted(statuses)
    }
    if action.scope is None:
        return responses
    answer: Schema = {"description": described.summary}
    if described.answer is not None:
        answer["content"] = _content(reference(described.answer))
    return {str(described.status): answer, **responses}


def _refusal(status: int, about: str) -> dict[str, Any]:
    bare = [reference(name) for name in _BARE.get(status, ())]
    schema = {"anyOf": [reference("Error"), *bare]} if bare else reference("Error")
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": about, **headers, "content": _content(schema)}


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
