"""Insight variables: the project's shared variables (docs/server.md#insight-variables)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from endpoints_gitops.local import variable_fields
from endpoints_gitops.local.answers import zulu
from endpoints_gitops.local.call import Answer, Call
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import invalid, not_found
from endpoints_gitops.local.paging import numbered
from endpoints_gitops.local.routes.action import Action, Resource
from endpoints_gitops.local.store.database import new_id
from endpoints_gitops.local.store.rows import StoredVariable
from endpoints_gitops.model.json import Json

_UNSAID: Final[dict[str, Any]] = {
    "default_value": None,
    "values": None,
    "is_multi": False,
    "values_query": None,
    "values_query_connection_id": None,
}


def list_variables(deployment: Deployment, call: Call) -> Answer:
    table = deployment.store.variables

    def items(limit: int, offset: int) -> list[Json]:
        tail = "ORDER BY place LIMIT ? OFFSET ?"
        return [_item(each) for each in table.select("project_id = ?", (call.project.id, limit, offset), tail=tail)]

    return Answer(body=numbered(call.incoming, table.count("project_id = ?", (call.project.id,)), items))


def create_variable(deployment: Deployment, call: Call) -> Answer:
    fields = variable_fields.settled(_UNSAID | variable_fields.read(call.incoming.sent(), partial=False))
    code_name = variable_fields.code_name_of(fields["name"])
    if any(each.code_name == code_name for each in deployment.store.variables_of(call.project)):
        raise invalid("Variable with this code name already exists")
    variable = StoredVariable(
        id=new_id(),
        project_id=call.project.id,
        code_name=code_name,
        created_by=call.user_id,
        created_at=call.now,
        **fields,
    )
    return Answer(status=201, body=_item(deployment.store.variables.insert(variable)))


def retrieve_variable(deployment: Deployment, call: Call) -> Answer:
    return Answer(body=_item(_variable(deployment, call)))


def update_variable(deployment: Deployment, call: Call) -> Answer:
    """The code name stays, whatever the variable is called now."""
    variable = _variable(deployment, call)
    sent = variable_fields.read(call.incoming.sent(), partial=call.incoming.method == "PATCH")
    before = {key: getattr(variable, key) for key in variable_fields.WRITABLE}
    changed = replace(variable, **variable_fields.settled(before | sent))
    return Answer(body=_item(deployment.store.variables.update(changed)))


def delete_variable(deployment: Deployment, call: Call) -> Answer:
    deployment.store.variables.delete(_variable(deployment, call).id)
    return Answer(status=204)


def _variable(deployment: Deployment, call: Call) -> StoredVariable:
    found = deployment.store.variables.first(
        "project_id = ? AND id = ?", (call.project.id, call.incoming.names["id"].lower())
    )
    if found is None:
        raise not_found()
    return found


def _item(variable: StoredVariable) -> Json:
    return {
        "id": variable.id,
        "name": variable.name,
        "type": variable.type,
        "default_value": variable.default_value,
        "created_by": variable.created_by,
        "created_at": zulu(variable.created_at),
        "code_name": variable.code_name,
        "values": variable.values,
        "is_multi": variable.is_multi,
        "values_query": variable.values_query,
        "values_query_connection_id": variable.values_query_connection_id,
    }


_READ: Final = "insight_variable:read"
_WRITE: Final = "insight_variable:write"
RESOURCES: Final = (
    Resource(
        path="/insight_variables",
        actions={
            "GET": Action(handler=list_variables, scope=_READ),
            "POST": Action(handler=create_variable, scope=_WRITE),
        },
    ),
    Resource(
        path="/insight_variables/{id}",
        actions={
            "GET": Action(handler=retrieve_variable, scope=_READ),
            "PUT": Action(handler=update_variable, scope=_WRITE),
            "PATCH": Action(handler=update_variable, scope=_WRITE),
            "DELETE": Action(handler=delete_variable, scope=_WRITE),
        },
    ),
)
