"""Insight variables: the project's shared variables, read as Django REST framework reads them
(docs/server.md#insight-variables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from endpoints_gitops.local.answers import zulu
from endpoints_gitops.local.call import RouteAnswer, RouteCall, numbered
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.errors import RequestRefused, invalid, not_found
from endpoints_gitops.local.routes.action import Described, Resource, RouteAction
from endpoints_gitops.local.store import StoredVariable, new_id
from endpoints_gitops.model.json import Json

WRITABLE: Final = ("name", "type", "default_value", "values", "is_multi", "values_query", "values_query_connection_id")
_TRUE: Final = (True, 1, "true", "True", "TRUE", "1", "t", "T", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON")
_FALSE: Final = (False, 0, "false", "False", "FALSE", "0", "f", "F", "n", "N", "no", "No", "NO", "off", "Off", "OFF")


def read(sent: object, *, partial: bool) -> dict[str, Any]:
    """The writable fields of a body, checked. Raises a 400 about the first invalid one."""
    if not isinstance(sent, Mapping):
        raise invalid(f"Invalid data. Expected a dictionary, but got {type(sent).__name__}.")
    given = {key: sent[key] for key in WRITABLE if key in sent}
    for key in ("name", "type"):
        if key not in given and not partial:
            raise invalid("This field is required.", key, code="required")
    checks = {
        "name": _name,
        "type": _type,
        "is_multi": _flag,
        "values_query": _text,
        "values_query_connection_id": _text,
    }
    return {key: checks[key](value, key) if key in checks else value for key, value in given.items()}


def settled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a variable, in the form of its type."""
    from endpoints_gitops.model.definition import VariableType

    if fields["type"] != VariableType.LIST:
        return {**fields, "is_multi": False, "values_query": None, "values_query_connection_id": None}
    query = (fields["values_query"] or "").strip() or None
    return {
        **fields,
        "values": _strings(fields["values"]),
        "default_value": _chosen(fields["default_value"], many=fields["is_multi"]),
        "values_query": query,
        "values_query_connection_id": fields["values_query_connection_id"] if query else None,
    }


def code_name_of(name: str) -> str:
    kept = (character for character in name.strip() if character.isalnum() or character in " _")
    return "".join(kept).replace(" ", "_").lower()


def _name(value: object, key: str) -> str:
    if value is None:
        raise _null(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid("Not a valid string.", key)
    text = str(value).strip()
    if not text:
        raise invalid("This field may not be blank.", key, code="blank")
    if len(text) > 400:
        raise invalid("Ensure this field has no more than 400 characters.", key, code="max_length")
    return text


def _type(value: object, key: str) -> str:
    from endpoints_gitops.model.definition import VariableType

    if value is None:
        raise _null(key)
    if value not in tuple(VariableType):
        raise invalid(f'"{value}" is not a valid choice.', key, code="invalid_choice")
    return str(value)


def _flag(value: object, key: str) -> bool:
    if value is None:
        raise _null(key)
    if isinstance(value, bool | int | str) and value in (*_TRUE, *_FALSE):
        return value in _TRUE
    raise invalid("Must be a valid boolean.", key)


def _text(value: object, key: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise invalid("Not a valid string.", key)


def _null(key: str) -> RequestRefused:
    return invalid("This field may not be null.", key, code="null")


def _strings(values: object) -> list[str]:
    """The choices of a List, as text."""
    if not isinstance(values, list):
        return []
    for index, value in enumerate(values):
        if isinstance(value, dict | list):
            what = "an object" if isinstance(value, dict) else "an array"
            raise invalid(
                f"List variable values must be strings or numbers (got {what} at index {index}). "
                "Enter each value as plain text or a number.",
                "values",
            )
    return [_as_text(value) for value in values if value is not None]


def _chosen(default: Any, *, many: bool) -> Any:  # noqa: ANN401 - any JSON may be a default
    if many:
        given = default if isinstance(default, list) else [] if default is None or default == "" else [default]
        return [_as_text(value) for value in given if value is not None]
    first = (default[0] if default else None) if isinstance(default, list) else default
    return "" if first is None else first


def _as_text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


_UNSAID: Final[dict[str, Any]] = {
    "default_value": None,
    "values": None,
    "is_multi": False,
    "values_query": None,
    "values_query_connection_id": None,
}


def list_variables(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    table = deployment.store.variables

    def items(limit: int, offset: int) -> list[Json]:
        tail = "ORDER BY place LIMIT ? OFFSET ?"
        return [_item(item) for item in table.select("project_id = ?", (call.project.id, limit, offset), tail=tail)]

    return RouteAnswer(body=numbered(call.incoming, table.count("project_id = ?", (call.project.id,)), items))


def create_variable(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    fields = settled(_UNSAID | read(call.incoming.sent(), partial=False))
    code_name = code_name_of(fields["name"])
    if any(variable.code_name == code_name for variable in deployment.store.variables_of(call.project)):
        raise invalid("Variable with this code name already exists")
    variable = StoredVariable(
        id=new_id(),
        project_id=call.project.id,
        code_name=code_name,
        created_by=call.user_id,
        created_at=call.now,
        **fields,
    )
    return RouteAnswer(status=201, body=_item(deployment.store.variables.insert(variable)))


def retrieve_variable(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    return RouteAnswer(body=_item(_variable(deployment, call)))


def update_variable(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """Update a variable; its code name does not change."""
    variable = _variable(deployment, call)
    sent = read(call.incoming.sent(), partial=call.incoming.method == "PATCH")
    before = {key: getattr(variable, key) for key in WRITABLE}
    changed = replace(variable, **settled(before | sent))
    return RouteAnswer(body=_item(deployment.store.variables.update(changed)))


def delete_variable(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    deployment.store.variables.delete(_variable(deployment, call).id)
    return RouteAnswer(status=204)


def _variable(deployment: Deployment, call: RouteCall) -> StoredVariable:
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
            "GET": RouteAction(
                handler=list_variables,
                scope=_READ,
                described=Described(summary="List variables", query=("page",), answer="VariablePage"),
            ),
            "POST": RouteAction(
                handler=create_variable,
                scope=_WRITE,
                described=Described(summary="Create a variable", body="VariableRequest", answer="Variable", status=201),
            ),
        },
    ),
    Resource(
        path="/insight_variables/{id}",
        actions={
            "GET": RouteAction(
                handler=retrieve_variable,
                scope=_READ,
                described=Described(summary="Get a variable", answer="Variable"),
            ),
            "PUT": RouteAction(
                handler=update_variable,
                scope=_WRITE,
                described=Described(summary="Update a variable", body="VariableRequest", answer="Variable"),
            ),
            "PATCH": RouteAction(
                handler=update_variable,
                scope=_WRITE,
                described=Described(summary="Update a variable", body="VariableChange", answer="Variable"),
            ),
            "DELETE": RouteAction(
                handler=delete_variable,
                scope=_WRITE,
                described=Described(summary="Delete a variable", status=204),
            ),
        },
    ),
)
