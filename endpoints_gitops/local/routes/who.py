"""The key, its owner, organization and projects (docs/server.md#who)."""

from __future__ import annotations

import uuid
from typing import Final

from endpoints_gitops.local.answers import zulu
from endpoints_gitops.local.call import RouteAnswer, RouteCall, limit_offset
from endpoints_gitops.local.deployment import ORGANIZATION_ID, ORGANIZATION_NAME, Deployment
from endpoints_gitops.local.errors import not_found
from endpoints_gitops.local.keys import NO_SCOPE_NEEDED
from endpoints_gitops.local.routes.action import Described, Resource, RouteAction
from endpoints_gitops.local.store import Project
from endpoints_gitops.model.json import Json, JsonObject


def current_key(_deployment: Deployment, call: RouteCall) -> RouteAnswer:
    key = call.key
    return RouteAnswer(
        body={
            "id": key.id,
            "label": key.label,
            "scopes": key.scopes,
            "scoped_teams": key.scoped_projects,
            "scoped_organizations": [],
            "created_at": zulu(key.created_at),
            "last_used_at": zulu(call.now),
            "user_id": key.user_id,
        }
    )


def current_user(_deployment: Deployment, call: RouteCall) -> RouteAnswer:
    assert call.user is not None
    user = call.user
    return RouteAnswer(
        body={
            "id": user.id,
            "uuid": user.uuid,
            "distinct_id": user.distinct_id,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": "",
            "team": _project(call.project),
            "organization": {"id": ORGANIZATION_ID, "name": ORGANIZATION_NAME},
        }
    )


def show_organization(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """The organization of the path, `@current` or its id. There is one, and it approved no AI."""
    if call.incoming.names["organization_id"] not in ("@current", ORGANIZATION_ID):
        raise not_found()
    projects = [_project(project) for project in _reachable(deployment, call)]
    return RouteAnswer(
        body={
            "id": ORGANIZATION_ID,
            "name": ORGANIZATION_NAME,
            "projects": projects,
            "available_product_features": [],
            "is_ai_data_processing_approved": False,
        }
    )


def show_project(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    project = call.project
    return RouteAnswer(
        body={
            "id": project.id,
            "uuid": str(uuid.UUID(int=project.id)),
            "organization": ORGANIZATION_ID,
            "name": project.name,
            "timezone": deployment.engine.project.timezone,
        }
    )


def list_projects(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    projects: list[Json] = [_project(project) for project in _reachable(deployment, call)]
    page = limit_offset(call.incoming, len(projects), lambda limit, offset: projects[offset : offset + limit])
    return RouteAnswer(body=page)


def _reachable(deployment: Deployment, call: RouteCall) -> list[Project]:
    scoped = call.key.scoped_projects
    return [item for item in deployment.store.projects.select() if not scoped or item.id in scoped]


def _project(project: Project) -> JsonObject:
    return {"id": project.id, "name": project.name}


def _resource(path: str, action: RouteAction) -> Resource:
    return Resource(path=path, actions={"GET": action})


OF_PROJECT: Final = (
    _resource(
        "",
        RouteAction(
            handler=show_project,
            scope="project:read",
            described=Described(summary="The project", answer="ProjectDetails"),
        ),
    ),
)
RESOURCES: Final = (
    _resource(
        "/api/personal_api_keys/@current",
        RouteAction(handler=current_key, scope=NO_SCOPE_NEEDED, described=Described(summary="The key", answer="Key")),
    ),
    _resource(
        "/api/users/@me",
        RouteAction(
            handler=current_user, scope="user:read", described=Described(summary="The owner of the key", answer="Owner")
        ),
    ),
    _resource(
        "/api/organizations/{organization_id}",
        RouteAction(
            handler=show_organization,
            scope="organization:read",
            described=Described(summary="The organization of the key, by its id or @current", answer="Organization"),
        ),
    ),
    _resource(
        "/api/projects",
        RouteAction(
            handler=list_projects,
            scope="project:read",
            described=Described(summary="List projects", query=("limit", "offset"), answer="ProjectPage"),
        ),
    ),
)
