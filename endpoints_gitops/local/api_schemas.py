"""The schemas and parameters of the API, which its OpenAPI document refers to (docs/local-server.md#openapi).

Bodies come from the models that read them, query nodes from the tables that check them. Answers are described here:
every key that is sent, and no other; a test compares them with what the server sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from endpoints_gitops.hogql.insights import EITHER, EXCLUSION, LISTS, NODE, NODES, PARTS, PROPERTY, QUERIES, NodeShape
from endpoints_gitops.local.bodies import EndpointRequest, ExecuteSql, PreviewRequest, QueryRequest, RunRequest
from endpoints_gitops.local.materialization import BUCKETS
from endpoints_gitops.model.definition import VariableType

type Schema = dict[str, Any]

_STRING: Final[Schema] = {"type": "string"}
_INTEGER: Final[Schema] = {"type": "integer"}
_NUMBER: Final[Schema] = {"type": "number"}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_NULL: Final[Schema] = {"type": "null"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_ANY: Final[Schema] = {}


def reference(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NULL]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _exactly(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _page_of(name: str) -> Schema:
    link = _or_null({"type": "string", "format": "uri"})
    return _exactly({"count": _INTEGER, "next": link, "previous": link, "results": _list(reference(name))})


PARAMETERS: Final[Mapping[str, Schema]] = {
    "project_id": {
        "in": "path",
        "required": True,
        "description": "The number of a project, or `@current` for the project of the key's owner.",
        "schema": _STRING,
        "example": "@current",
    },
    "name": {
        "in": "path",
        "required": True,
        "description": "The name of an endpoint.",
        "schema": _STRING,
        "example": "signups",
    },
    "id": {
        "in": "path",
        "required": True,
        "description": "The id of a variable.",
        "schema": {"type": "string", "format": "uuid"},
        "example": "018f0000-0000-7000-8000-000000000009",
    },
    "organization_id": {
        "in": "path",
        "required": True,
        "description": "The id of the organization, or `@current`.",
        "schema": _STRING,
        "example": "@current",
    },
    "tool": {"in": "path", "required": True, "description": "The name of a tool.", "schema": _STRING},
    "limit": {"in": "query", "description": "The size of a page; 100 if absent or invalid.", "schema": _INTEGER},
    "offset": {"in": "query", "description": "The items to skip; 0 if absent or invalid.", "schema": _INTEGER},
    "page": {"in": "query", "description": "The page, of 500 items each, or `last`.", "schema": _STRING},
    "is_active": {
        "in": "query",
        "description": "Only endpoints with this flag: `true`, `false`, `1` or `0`; anything else means all.",
        "schema": _STRING,
    },
    "created_by": {"in": "query", "description": "Only endpoints of the user with this id.", "schema": _INTEGER},
    "version": {"in": "query", "description": "A version instead of the newest.", "schema": _INTEGER},
    "run_limit": {
        "in": "query",
        "name": "limit",
        "description": "The rows of a page, for HogQL.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "run_offset": {
        "in": "query",
        "name": "offset",
        "description": "The rows to skip; needs `limit`.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "entries": {
        "in": "query",
        "name": "limit",
        "description": "The most entries.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    },
    "after": {"in": "query", "description": "Only entries later than this time.", "schema": _TIME},
    "before": {"in": "query", "description": "Only entries earlier than this time.", "schema": _TIME},
    "level": {"in": "query", "description": "Levels, separated by commas.", "schema": _STRING, "example": "ERROR"},
    "search": {"in": "query", "description": "Only entries whose message contains this text.", "schema": _STRING},
    "instance_id": {"in": "query", "description": "Only entries of the run with this id.", "schema": _STRING},
}
"""Parameters by the name that routes refer to; the name on the wire is `name`, or else the same."""

_REFUSAL: Final = _exactly(
    {"type": _STRING, "code": _STRING, "detail": _STRING, "attr": _or_null(_STRING)},
)
_USER: Final = _or_null(
    _exactly(
        {"id": _INTEGER, "uuid": _STRING, "distinct_id": _STRING, "first_name": _STRING, "last_name": _STRING}
        | {"email": _STRING, "is_email_verified": _NULL, "hedgehog_config": _NULL, "role_at_organization": _NULL}
    )
)
_MATERIALIZATION: Final = _exactly(
    {"enabled": _FLAG, "ready": _FLAG, "can_materialize": _FLAG},
    {"reason": _or_null(_STRING), "status": {"enum": ["Completed", "Running", "Failed"]}, "error": _STRING}
    | {"last_materialized_at": _or_null(_TIME), "saved_query_id": _or_null(_STRING)},
)
_COLUMN_TYPES: Final = [
    "integer",
    "float",
    "decimal",
    "string",
    "datetime",
    "date",
    "boolean",
    "array",
    "json",
    "unknown",
]
_ENDPOINT: Final[Schema] = {
    "id": _STRING,
    "name": _STRING,
    "description": _STRING,
    "query": {"type": "object", "properties": {"kind": {"enum": list(QUERIES)}}, "required": ["kind"]},
    "is_active": _FLAG,
    "data_freshness_seconds": _INTEGER,
    "endpoint_path": _STRING,
    "url": _or_null(_STRING),
    "ui_url": _or_null(_STRING),
    "created_at": _TIME,
    "updated_at": _TIME,
    "created_by": reference("User"),
    "is_materialized": _FLAG,
    "current_version": _INTEGER,
    "current_version_id": _STRING,
    "versions_count": _INTEGER,
    "derived_from_insight": _or_null(_STRING),
    "last_executed_at": _or_null(_TIME),
    "materialization": reference("Materialization"),
    "bucket_overrides": _or_null({"type": "object", "additionalProperties": {"enum": list(BUCKETS)}}),
    "columns": _list(_exactly({"name": _STRING, "type": {"enum": _COLUMN_TYPES}})),
    "tags": _list(_STRING),
    "optional_breakdown_properties": _list(_STRING),
}
_VERSION: Final[Schema] = _ENDPOINT | {
    "version": _INTEGER,
    "version_id": _STRING,
    "endpoint_is_active": _FLAG,
    "version_created_at": _TIME,
    "version_updated_at": _or_null(_TIME),
    "version_created_by": reference("User"),
}
_FAILED: Final[Schema] = {"materialization_error": _STRING}
_ROWS: Final[Schema] = {
    "results": _list(_list(_ANY)),
    "columns": _list(_STRING),
    "types": _list({"type": "array", "items": _STRING, "minItems": 2, "maxItems": 2}),
    "hasMore": _or_null(_FLAG),
    "limit": _or_null(_INTEGER),
    "offset": _or_null(_INTEGER),
    "clickhouse": _STRING,
    "metadata": _NULL,
    "query": _STRING,
    "error": _NULL,
}
_INSIGHT: Final[Schema] = {"results": {"type": "array", "description": "As its kind has them."}, "hasMore": _FLAG}
_COMPUTED: Final[Schema] = {
    "cache_target_age": _TIME,
    "is_cached": _FLAG,
    "last_refresh": _TIME,
    "next_allowed_client_refresh": _TIME,
    "query_status": _NULL,
    "timezone": _STRING,
}
_RUN: Final[Schema] = {
    **_COMPUTED,
    "query_metadata": _NULL,
    "name": _STRING,
    "execution_id": _STRING,
    "endpoint_version": _INTEGER,
    "endpoint_version_created_at": _TIME,
}
_FROM_TABLE: Final[Schema] = {"endpoint_materialized": {"const": True}, "endpoint_materialized_at": _TIME}
_DEBUG: Final[Schema] = {"calculation_trigger": _NULL, "cache_key": _NULL, "resolved_date_range": _NULL}
_TIMINGS: Final[Schema] = {"timings": _list(_ANY)}
_DEBUG_ROWS: Final[Schema] = {"hogql": _STRING, "explain": _NULL, "modifiers": _NULL}
_VARIABLE: Final[Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 400, "description": "The label."},
    "type": {"enum": [str(kind) for kind in VariableType]},
    "default_value": _ANY,
    "values": {"description": "The choices of a List: texts or numbers."},
    "is_multi": _FLAG,
    "values_query": _or_null(_STRING),
    "values_query_connection_id": _or_null(_STRING),
}
_PROJECT: Final = _exactly({"id": _INTEGER, "name": _STRING})
_ORGANIZATION: Final[Schema] = {"id": _STRING, "name": _STRING}
_QUERY_STATUS: Final = _exactly(
    {"id": _STRING, "team_id": _INTEGER, "query_async": _FLAG, "complete": _FLAG, "error": _FLAG}
    | {"results": _or_null(_list({"type": "array", "items": _STRING, "minItems": 2, "maxItems": 2}))}
    | dict.fromkeys(
        [
            "error_message",
            "error_code",
            "start_time",
            "end_time",
            "pickup_time",
            "expiration_time",
            "task_id",
            "query_progress",
            "labels",
            "insight_id",
            "dashboard_id",
        ],
        _NULL,
    )
)

ANSWERS: Final[Mapping[str, Schema]] = {
    "Error": _REFUSAL,
    "BareError": _exactly({"error": _STRING}, {"current_version": _INTEGER}),
    "User": _USER,
    "Materialization": _MATERIALIZATION,
    "Endpoint": _exactly(_ENDPOINT),
    "EndpointVersion": _exactly(_VERSION),
    "EndpointOrVersion": {"anyOf": [_exactly(_ENDPOINT), _exactly(_VERSION)]},
    "UpdatedEndpoint": {
        "anyOf": [_exactly(_ENDPOINT, _FAILED), _exactly(_VERSION, _FAILED), _exactly({"success": {"const": True}})]
    },
    "EndpointPage": _page_of("Endpoint"),
    "EndpointVersionPage": _page_of("EndpointVersion"),
    "RunAnswer": {
        "anyOf": [
            _exactly({**_ROWS, **_RUN}, {**_FROM_TABLE, **_DEBUG, **_TIMINGS, **_DEBUG_ROWS}),
            _exactly({**_INSIGHT, **_RUN}, {**_FROM_TABLE, **_DEBUG, **_TIMINGS}),
        ]
    },
    "QueryAnswer": {
        "anyOf": [
            _exactly({**_ROWS, **_COMPUTED, **_TIMINGS, **_DEBUG_ROWS}),
            _exactly({**_INSIGHT, **_COMPUTED, **_TIMINGS, "error": _NULL, "modifiers": _NULL}),
        ]
    },
    "OpenApiDocument": {"type": "object", "required": ["openapi", "info", "servers", "paths", "components"]},
    "LogEntry": _exactly(
        {"log_source_id": _STRING, "instance_id": _STRING, "timestamp": _TIME}
        | {"level": {"enum": ["INFO", "ERROR"]}, "message": _STRING}
    ),
    "LogEntryPage": _page_of("LogEntry"),
    "LastExecutionTimes": _exactly({"query_status": _QUERY_STATUS}),
    "MaterializationStatus": {
        **_MATERIALIZATION,
        "properties": {**_MATERIALIZATION["properties"], "name": _STRING},
        "required": [*_MATERIALIZATION["required"], "name"],
    },
    "MaterializationPreview": _exactly(
        {"can_materialize": _FLAG, "reason": _or_null(_STRING)}
        | dict.fromkeys(("transformed_query", "execution_query", "display_execution_query"), _or_null(_STRING))
        | {"range_pairs": _list(_exactly({"column": _STRING, "variables": _list(_STRING), "bucket_fn": _STRING}))}
        | {"aggregates": _list(_exactly({"expression": _STRING, "reaggregate_fn": _STRING}))}
    ),
    "MaterializationConditions": _exactly({"conditions_source": _STRING, "rewrite_contract": _STRING}),
    "Variable": _exactly(
        {**_VARIABLE, "id": _STRING, "code_name": _STRING, "created_by": _INTEGER, "created_at": _TIME}
    ),
    "VariablePage": _page_of("Variable"),
    "Project": _PROJECT,
    "ProjectPage": _page_of("Project"),
    "ProjectDetails": _exactly(
        {"id": _INTEGER, "uuid": _STRING, "organization": _STRING, "name": _STRING, "timezone": _STRING}
    ),
    "Organization": _exactly(
        {**_ORGANIZATION, "projects": _list(reference("Project"))}
        | {"available_product_features": _list(_ANY), "is_ai_data_processing_approved": _FLAG}
    ),
    "ToolAnswer": {
        "anyOf": [
            _exactly({"success": {"const": True}, "content": _STRING}),
            _exactly({"success": {"const": False}, "content": _STRING, "error_type": _STRING}),
        ]
    },
    "ToolFailure": _exactly({"success": {"const": False}, "content": _STRING}),
    "Owner": _exactly(
        {"id": _INTEGER, "uuid": _STRING, "distinct_id": _STRING, "email": _STRING, "first_name": _STRING}
        | {"last_name": _STRING, "team": reference("Project"), "organization": _exactly(_ORGANIZATION)}
    ),
    "Key": _exactly(
        {"id": _STRING, "label": _STRING, "scopes": _list(_STRING), "scoped_teams": _list(_INTEGER)}
        | {"scoped_organizations": _list(_STRING), "created_at": _TIME, "last_used_at": _TIME}
        | {"user_id": _or_null(_INTEGER)}
    ),
}


def schemas() -> dict[str, Schema]:
    """All schemas of the document, by name."""
    return {**ANSWERS, **_bodies(), **_query_schemas()}


def _bodies() -> dict[str, Schema]:
    """The bodies of requests, from the models that read them. Whatever they hold of a query is a reference."""
    models = (EndpointRequest, RunRequest, QueryRequest, PreviewRequest, ExecuteSql)
    _, defined = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    bodies: dict[str, Schema] = defined["$defs"]
    bodies["EndpointRequest"]["properties"]["query"] = _or_null(reference("Query"))
    bodies["EndpointRequest"]["examples"] = [
        {"name": "signups", "query": {"kind": "HogQLQuery", "query": "SELECT count() AS signups FROM events"}},
    ]
    bodies["QueryRequest"]["properties"]["query"] = reference("Query")
    bodies["QueryRequest"]["examples"] = [{"query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}}]
    bodies["ExecuteSqlRequest"] = {
        "type": "object",
        "properties": {"args": reference("ExecuteSql")},
        "required": ["args"],
        "examples": [{"args": {"query": "SELECT name FROM system.data_modeling_endpoints"}}],
    }
    partial = {"type": "object", "properties": _VARIABLE, "description": "Other keys are ignored."}
    bodies["VariableChange"] = partial
    bodies["VariableRequest"] = {**partial, "required": ["name", "type"]}
    bodies["NamesRequest"] = {
        "type": "object",
        "properties": {"names": _list({"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9_-]{0,127}$"})},
        "required": ["names"],
    }
    return bodies


def _query_schemas() -> dict[str, Schema]:
    """The query nodes. The objects inside of them have the names of their tables."""
    return {
        "Query": {
            "oneOf": [reference(kind) for kind in QUERIES],
            "discriminator": {
                "propertyName": "kind",
                "mapping": {kind: f"#/components/schemas/{kind}" for kind in QUERIES},
            },
        },
        **{kind: _node(kind, shape, closed=True) for kind, shape in QUERIES.items()},
        "SeriesNode": {"anyOf": [reference(kind) for kind in NODES]},
        **{kind: _node(kind, shape, closed=False) for kind, shape in NODES.items()},
        **{name: _shape(shape) for name, shape in PARTS.items()},
    }


def _node(kind: str, shape: NodeShape, *, closed: bool) -> Schema:
    schema = _shape(shape)
    schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
    schema["required"] = ["kind", *schema["required"]]
    return {**schema, "additionalProperties": False} if closed else schema


def _shape(shape: NodeShape) -> Schema:
    properties = {key: _value(key, shape) for key in sorted(shape.keys)}
    return {"type": "object", "properties": properties, "required": list(shape.required)}


def _value(key: str, shape: NodeShape) -> Schema:
    """The schema of a key. An object can be nested in one of its kind, so such a kind is left open inside."""
    inside = shape.inside.get(key, "")
    if key == "query" and key in shape.required:
        return {"type": "string", "format": "hogql"}
    if inside.removesuffix("*") in PARTS:
        part = reference(inside.removesuffix("*"))
        part = {"type": "object", "additionalProperties": part} if inside.endswith("*") else part
    elif inside in {NODE, PROPERTY, EXCLUSION}:
        part = reference("SeriesNode") if key == "series" else _OBJECT
    else:
        return _ANY
    if key in LISTS:
        part = _list(part)
    elif key in EITHER:
        part = {"anyOf": [part, _list(part)]}
    return part if key in shape.required else _or_null(part)
