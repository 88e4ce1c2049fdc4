"""Keys and their permissions (docs/server.md#auth). Only hashes of keys are stored."""

from __future__ import annotations

import hashlib
import secrets
import string
from datetime import datetime

from endpoints_gitops.local.call import Incoming, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import RequestRefused, forbidden, not_found, unauthenticated
from endpoints_gitops.local.store import ApiKey, Project, Store, new_id

READ_SCOPES = ("endpoint:read", "insight_variable:read", "organization:read", "project:read", "query:read", "user:read")
NO_SCOPE_NEEDED = ""
_ALPHABET = string.ascii_letters + string.digits
_BAD_KEY = "Personal API key found in request Authorization header is invalid."
_NOT_WITH_PERSONAL = "This action does not support personal API key access"
_NOT_WITH_SECRET = "This action does not support project secret API key access"  # noqa: S105 - a message
_ELSEWHERE = "API key does not have access to the requested project: ID {}."


def issue(
    store: Store,
    now: datetime,
    *,
    label: str,
    scopes: tuple[str, ...],
    project_id: int,
    user_id: int | None,
    scoped_projects: tuple[int, ...] = (),
) -> str:
    """Create a key and return its text, which is not stored. Without a user it is a project secret key."""
    prefix = "phs_" if user_id is None else "phx_"
    text = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(43))
    with store.lock:
        store.keys.insert(
            ApiKey(
                id=new_id(),
                hash=_hash(text),
                label=label,
                scopes=scopes,
                project_id=project_id,
                user_id=user_id,
                scoped_projects=scoped_projects,
                created_at=now,
            )
        )
    return text


def authenticated(store: Store, incoming: Incoming) -> ApiKey:
    """The key of the request. Raises a 401."""
    text = _text(incoming)
    if text is None:
        raise unauthenticated("not_authenticated", "Authentication credentials were not provided.", incoming.site)
    key = store.keys.first("hash = ?", (_hash(text),))
    if key is None:
        raise unauthenticated("authentication_failed", _BAD_KEY, incoming.site)
    return key


def admitted(
    deployment: Deployment, incoming: Incoming, key: ApiKey, *, scope: str | None, with_secret: bool
) -> RouteCall:
    """The call, if the key has permission in this project. With `scope` None no key has it. Raises 403 or 404."""
    store = deployment.store
    if key.is_project_secret and not with_secret:
        raise forbidden(_NOT_WITH_SECRET)
    if scope is None:
        raise forbidden(_NOT_WITH_PERSONAL)
    asked = incoming.names.get("project_id", "@current")
    project = _project(store, asked, key)
    if key.is_project_secret or key.scoped_projects:
        _must_reach(key, project)
    if scope != NO_SCOPE_NEEDED:
        _must_have(key, scope)
    if isinstance(project, RequestRefused):
        raise project
    return RouteCall(incoming=incoming, now=deployment.clock(), key=key, user=store.user(key.user_id), project=project)


def has_scope(key: ApiKey, scope: str) -> bool:
    """Whether the key has a scope: write includes read, `*` everything."""
    named, _, access = scope.partition(":")
    implied = {scope, "*"} | ({f"{named}:write"} if access == "read" else set())
    return not implied.isdisjoint(key.scopes)


def _must_have(key: ApiKey, scope: str) -> None:
    if not has_scope(key, scope):
        raise forbidden(f"API key missing required scope '{scope}'")


def _must_reach(key: ApiKey, project: Project | RequestRefused) -> None:
    if isinstance(project, RequestRefused):
        raise project
    reachable = (key.project_id,) if key.is_project_secret else key.scoped_projects
    if project.id not in reachable:
        raise forbidden(_ELSEWHERE.format(project.id))


def _project(store: Store, asked: str, key: ApiKey) -> Project | RequestRefused:
    """The project, or its refusal as a value, because mistakes of the key are reported first."""
    text = str(key.project_id) if asked == "@current" else asked
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    return store.projects.first("id = ?", (number,)) or not_found("Project not found.")


def _text(incoming: Incoming) -> str | None:
    """The key from the header, or else a personal one from the body or the query parameter."""
    scheme, _, text = incoming.authorization.partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    asked = _text_in_body(incoming) or incoming.asked("personal_api_key")
    return asked if asked and not asked.startswith("phs_") else None


def _text_in_body(incoming: Incoming) -> str | None:
    try:
        sent = incoming.sent()
    except RequestRefused:
        return None
    text = sent.get("personal_api_key") if isinstance(sent, dict) else None
    return text if isinstance(text, str) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
