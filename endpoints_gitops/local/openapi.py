"""The OpenAPI document of one version (docs/server.md#running)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.local.store import Project, StoredEndpoint, StoredVariable, StoredVersion
from endpoints_gitops.model.json import Json

_TYPES: Final[Mapping[str, dict[str, Any]]] = {
    "String": {"type": "string"},
    "Number": {"type": "number"},
    "Boolean": {"type": "boolean"},
    "List": {"type": "array", "items": {"type": "string"}},
    "Date": {"type": "string", "format": "date"},
}
_DATES: Final = {
    "date_from": {
        "type": "string",
        "description": "Filter results from this date (ISO format or relative like '-7d')",
        "example": "2024-01-01",
    },
    "date_to": {
        "type": "string",
        "description": "Filter results until this date (ISO format or relative like 'now')",
        "example": "2024-01-31",
    },
}
_OPERATORS: Final = (
    "exact is_not icontains not_icontains regex not_regex gt lt gte lte is_set is_not_set is_date_exact is_date_before "
    "is_date_after in not_in"
)


def document(
    project: Project,
    endpoint: StoredEndpoint,
    version: StoredVersion,
    variables: Mapping[str, StoredVariable],
    site: str,
) -> Json:
    """The OpenAPI 3.0.3 document with the run as its only operation. `variables` are those of the project, by id."""
    inputs = _inputs(version, variables)
    needs_body = bool(inputs and "required" in inputs)
    path = f"/api/projects/{project.id}/endpoints/{endpoint.name}/run"
    return {
        "openapi": "3.0.3",
        "info": {
            "title": endpoint.name,
            "description": version.description or f"PostHog Endpoint: {endpoint.name}",
            "version": str(version.number),
        },
        "servers": [{"url": site}],
        "paths": {path: {"post": _operation(endpoint, version, needs_body=needs_body)}},
        "components": {
            "securitySchemes": {
                "PersonalAPIKey": {"type": "http", "scheme": "bearer", "description": "A personal API key."}
            },
            "schemas": _schemas(version, inputs, needs_body=needs_body),
        },
    }


def _operation(endpoint: StoredEndpoint, version: StoredVersion, *, needs_body: bool) -> Json:
    return {
        "operationId": f"run_{endpoint.name.replace('-', '_')}",
        "summary": f"Execute {endpoint.name}",
        "description": version.description or f"Execute the {endpoint.name} endpoint",
        "security": [{"PersonalAPIKey": []}],
        "requestBody": {"required": needs_body, "content": _content(_reference("EndpointRunRequest"))},
        "responses": {
            "200": {"description": "Query results", "content": _content(_RESULTS)},
            "400": {
                "description": "The request is invalid, or the query too expensive.",
                "content": _content(_reference("Error")),
            },
            "401": {"description": "Authentication required"},
            "404": {"description": "Endpoint not found"},
            "503": {"description": "Queries are at capacity.", "content": _content(_reference("Error"))},
        },
    }


def _inputs(version: StoredVersion, variables: Mapping[str, StoredVariable]) -> dict[str, Any] | None:
    """The schema of `variables`, or None without any."""
    properties, required = (
        _hogql_inputs(version, variables) if version.kind == "HogQLQuery" else _insight_inputs(version)
    )
    if not properties:
        return None
    schema: dict[str, Any] = {
        "type": "object",
        "description": "Values of the variables of this endpoint.",
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | ({"required": required} if required else {})


def _hogql_inputs(version: StoredVersion, variables: Mapping[str, StoredVariable]) -> tuple[dict[str, Any], list[str]]:
    entries = list((version.query.get("variables") or {}).values())
    properties = {entry["code_name"]: _hogql_input(entry, variables.get(entry["variableId"])) for entry in entries}
    if version.is_materialized:
        return properties, sorted(properties)
    return properties, [entry["code_name"] for entry in entries if entry["value"] is None]


def _hogql_input(entry: Mapping[str, Any], variable: StoredVariable | None) -> dict[str, Any]:
    typed = _TYPES.get(variable.type if variable else "", _TYPES["String"])
    example = {} if entry["value"] is None else {"example": entry["value"]}
    return {**typed, "description": f"Variable: {entry['code_name']}", **example}


def _insight_inputs(version: StoredVersion) -> tuple[dict[str, Any], list[str]]:
    names = breakdown_properties(version.query)
    properties: dict[str, Any] = {
        name: {"type": "string", "description": f"Filter by {name} breakdown value", "example": "Chrome"}
        for name in names
    }
    required = [name for name in names if name not in version.optional_breakdown_properties]
    return properties | ({} if version.is_materialized else dict(_DATES)), required


def _schemas(version: StoredVersion, inputs: dict[str, Any] | None, *, needs_body: bool) -> dict[str, Any]:
    request: dict[str, Any] = {
        "type": "object",
        "properties": {
            "client_query_id": {"type": "string"},
            "filters_override": _reference("DashboardFilter"),
            "refresh": {"type": "string", "enum": ["cache", "force", "direct"], "default": "cache"},
            "version": {
                "type": "integer",
                "description": f"Specific endpoint version to execute (1-{version.number}). Defaults to latest.",
            },
            "limit": {"type": "integer", "minimum": 1},
            "debug": {"type": "boolean", "default": False},
        },
    }
    if inputs is not None:
        request["properties"]["variables"] = _reference("Variables")
    if needs_body:
        request["required"] = ["variables"]
    schemas = {
        "Error": _ERROR,
        "EndpointRunRequest": request,
        "DashboardFilter": _DASHBOARD_FILTER,
        "PropertyFilter": _PROPERTY_FILTER,
    }
    return schemas | ({} if inputs is None else {"Variables": inputs})


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_RESULTS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "results": {"type": "array", "items": {}, "description": "Query result rows"},
        "columns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Column names (for HogQL queries)",
        },
        "hasMore": {"type": "boolean", "description": "Whether there are more results available"},
    },
    "required": ["results"],
}
_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Error response body.",
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "attr": {"type": "string", "nullable": True},
    },
    "required": ["type", "code", "detail"],
}
_DASHBOARD_FILTER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "date_from": {"type": "string", "examples": ["-7d", "-30d", "2024-01-01", "mStart"]},
        "date_to": {"type": "string", "examples": ["now", "2024-12-31", "dStart"]},
        "properties": {"type": "array", "items": _reference("PropertyFilter")},
    },
}
_PROPERTY_FILTER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["key"],
    "properties": {
        "key": {"type": "string"},
        "value": {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "array", "items": {"type": "string"}}]},
        "operator": {"type": "string", "enum": _OPERATORS.split()},
        "type": {"type": "string", "enum": ["event", "person", "session", "cohort", "group", "hogql"]},
    },
}
