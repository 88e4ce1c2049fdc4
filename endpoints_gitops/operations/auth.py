"""The status of a key: its user, scopes and projects, and what is left of its budget (docs/server.md#who).

What cannot be read is reported as unknown, with the reason: these routes need scopes that no other command needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import EndpointNotFound, Forbidden, NotFound, Unauthenticated
from endpoints_gitops.api.rate_limiter import Remaining
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.secret import KeyKind

SCOPES: Final = {
    "endpoint:read": "pull, diff, plan, run",
    "endpoint:write": "push, activate, deactivate, delete, rename, rollback",
    "insight_variable:read": "diff, plan and push of queries with variables",
    "insight_variable:write": "push of new or changed shared variables",
    "query:read": "run --file, check --live",
}
"""Every scope that a command needs, and which commands do."""

_NO_ENDPOINT: Final = "endpoints-gitops-auth-status"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStatus:
    """The status of a key. What could not be read is None, with its reason in `unknown`.

    `problem` is the error that prevents the use of the key in this project.
    """

    kind: KeyKind
    label: str | None = None
    who: str | None = None
    organization: str | None = None
    scopes: tuple[str, ...] | None = None
    projects: Mapping[int, str] | None = None
    remaining: Mapping[str, Remaining] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    problem: EndpointsError | None = None

    def may(self, scope: str) -> bool | None:
        """Whether the key has the scope: writing contains reading, `*` everything. None where it is unknown."""
        if self.scopes is None:
            return None
        named, _, access = scope.partition(":")
        implied = {scope, "*"} | ({f"{named}:write"} if access == "read" else set())
        return not implied.isdisjoint(self.scopes)


def auth_status(client: Client) -> AuthStatus:
    """Read everything that the server says about the client's key. Raises ApiError where the server does not answer."""
    kind = client.connection.key.kind
    problem = _problem(client, kind)
    if isinstance(problem, Unauthenticated):
        return _unknown(client, problem, "the server refuses the key")
    if kind is KeyKind.PROJECT_SECRET:
        return _unknown(client, problem, "a project secret key cannot ask for it")
    unknown: dict[str, str] = {}
    key = _read(client.current_key, "scopes", unknown)
    me = _read(client.me, "who", unknown)
    return AuthStatus(
        kind=kind,
        label=_text(key, "label"),
        who=_text(me, "email") or _text(me, "first_name"),
        organization=_text(_object(me, "organization"), "name"),
        scopes=_scopes(key, unknown),
        projects=_projects(client, unknown),
        remaining=client.rate_limiter.remaining() if client.rate_limiter else {},
        unknown=unknown,
        problem=problem,
    )


def _unknown(client: Client, problem: EndpointsError | None, reason: str) -> AuthStatus:
    """The status of a key that cannot read it. A key that may run endpoints has the one scope that this needs."""
    return AuthStatus(
        kind=client.connection.key.kind,
        scopes=None if problem else ("endpoint:read",),
        remaining=client.rate_limiter.remaining() if client.rate_limiter else {},
        unknown=dict.fromkeys(("who", "projects", *(["scopes"] if problem else [])), reason),
        problem=problem,
    )


def _problem(client: Client, kind: KeyKind) -> EndpointsError | None:
    """The error that prevents the key from reading endpoints in this project; None where it may.

    A project secret key may only run endpoints, so it runs one that does not exist: EndpointNotFound means that it may.
    """
    try:
        if kind is KeyKind.PROJECT_SECRET:
            client.run(_NO_ENDPOINT)
        else:
            client.check_access()
    except EndpointNotFound:
        return None
    except (Forbidden, NotFound, Unauthenticated) as error:
        return error
    return None


def _read[T](read: Callable[[], T], what: str, unknown: dict[str, str]) -> T | None:
    try:
        return read()
    except (Forbidden, NotFound, Unauthenticated) as error:
        unknown[what] = error.detail or error.message
        return None


def _scopes(key: JsonObject | None, unknown: dict[str, str]) -> tuple[str, ...] | None:
    sent = key.get("scopes") if key else None
    if not isinstance(sent, list):
        unknown.setdefault("scopes", "the server does not say")
        return None
    return tuple(str(scope) for scope in sent)


def _projects(client: Client, unknown: dict[str, str]) -> Mapping[int, str] | None:
    """The projects by id, from the list of projects, else from the organization."""
    refused: dict[str, str] = {}
    listed: object = _read(client.projects, "projects", refused)
    if listed is None:
        organization = _read(client.organization, "projects", {})
        listed = organization.get("projects") if organization else None
    if not isinstance(listed, list | tuple):
        unknown["projects"] = refused.get("projects", "the server does not say")
        return None
    objects = [project for project in listed if isinstance(project, Mapping)]
    return {project["id"]: str(project.get("name", "")) for project in objects if isinstance(project.get("id"), int)}


def _object(of: JsonObject | None, key: str) -> JsonObject | None:
    value: Json = of.get(key) if of else None
    return value if isinstance(value, Mapping) else None


def _text(of: JsonObject | None, key: str) -> str | None:
    value = of.get(key) if of else None
    return value if isinstance(value, str) and value else None
