"""Schemas of what a pin takes and returns, as OpenAPI 3.0.3 (docs/server.md#running, docs/server.md#insights).

`x-tuple` has the schemas of an array's items by position, which only OpenAPI 3.1 can express (`prefixItems`).
`x-columns` has the names of a row's columns in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from endpoints_gitops.codegen.interface import EndpointInterface, ValueKind, ValueType
from endpoints_gitops.model.json import canonical

type Schema = dict[str, Any]
type Schemas = Mapping[str, Schema]

_INTEGER: Final[Schema] = {"type": "integer"}  # without a format: all digits of a UInt64 must fit
_NUMBER: Final[Schema] = {"type": "number", "format": "double"}
_STRING: Final[Schema] = {"type": "string"}
_BOOLEAN: Final[Schema] = {"type": "boolean"}
_SCALARS: Final[Mapping[ValueKind, Schema]] = {
    ValueKind.INTEGER: _INTEGER,
    ValueKind.FLOAT: _NUMBER,
    ValueKind.DECIMAL: _STRING,
    ValueKind.STRING: _STRING,
    ValueKind.BOOLEAN: _BOOLEAN,
    ValueKind.DATE: {"type": "string", "format": "date"},
    ValueKind.DATETIME: {"type": "string", "format": "date-time"},
    ValueKind.ANY: {},
}


def reference(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def value_schema(value: ValueType) -> Schema:
    """The schema of one value."""
    schema = _present_value(value)
    return {**schema, "nullable": True} if value.nullable and schema else schema


def _present_value(value: ValueType) -> Schema:
    if value.kind is ValueKind.ARRAY:
        return {"type": "array", "items": value_schema(value.items[0])}
    if value.kind is ValueKind.MAP:
        return {"type": "object", "additionalProperties": value_schema(value.items[1])}
    if value.kind is ValueKind.TUPLE:
        return _fixed_array(value.items)
    return dict(_SCALARS[value.kind])


def _fixed_array(values: Sequence[ValueType]) -> Schema:
    """An array with one value of each type, in this order."""
    return {**_array_of(values), "x-tuple": [value_schema(value) for value in values]}


def _array_of(values: Sequence[ValueType]) -> Schema:
    """An array with one value of each type, in any order."""
    return {"type": "array", "items": _any_of(values), "minItems": len(values), "maxItems": len(values)}


def _any_of(values: Sequence[ValueType]) -> Schema:
    """The schema of a value that has one of these types. Formats of text are dropped: any text would match all."""
    choices = {canonical(schema): schema for schema in map(_without_format, map(_present_value, values))}
    if {} in choices.values():
        return {}
    if canonical(_NUMBER) in choices:
        choices.pop(canonical(_INTEGER), None)
    is_nullable = any(value.nullable for value in values)
    return _one_of_these([choices[key] for key in sorted(choices)], is_nullable=is_nullable)


def _one_of_these(choices: Sequence[Schema], *, is_nullable: bool) -> Schema:
    """In OpenAPI 3.0, `nullable` has no effect without a type beside it, so each of the choices has it too."""
    if is_nullable:
        choices = [{**choice, "nullable": True} for choice in choices]
    if len(choices) == 1:
        return dict(choices[0])
    return {"anyOf": list(choices), **({"nullable": True} if is_nullable else {})}


def _without_format(schema: Schema) -> Schema:
    return dict(_STRING) if schema.get("type") == "string" else schema


def row_schema(interface: EndpointInterface) -> Schema:
    """The schema of a row, which is an array."""
    fields = interface.fields
    if fields is None:
        return {"type": "array", "items": {}, "description": "A value for each column, in the order of `columns`."}
    types = [field.type for field in fields]
    described = {
        "description": "A value for each column, in the order of `columns`.",
        "x-columns": [field.column for field in fields],
    }
    return {**(_fixed_array(types) if _has_fixed_order(interface) else _array_of(types)), **described}


def _has_fixed_order(interface: EndpointInterface) -> bool:
    """Whether the columns of an answer are always in the order of the lock: a table without variables is read in
    alphabetical order, if it is read (docs/server.md#materialization)."""
    names = [field.column for field in interface.fields or ()]
    return not interface.pin.materialized or bool(interface.parameters) or names == sorted(names)


def answer_schema(interface: EndpointInterface) -> Schema:
    """The schema of an answer with status 200. Of the schemas that it refers to, `Row` describes a row."""
    own = _insight_results(interface) if interface.is_insight else _rows(interface)
    properties = {
        **own,
        **_IDENTITY,
        "endpoint_version": {"type": "integer", "enum": [interface.pin.version], "description": "The pinned version."},
    }
    required = ["results", "endpoint_version", *(() if interface.is_insight else ("columns",))]
    return {"type": "object", "properties": properties, "required": sorted(required)}


def _rows(interface: EndpointInterface) -> Mapping[str, Schema]:
    columns: Schema = {"type": "array", "items": _STRING, "description": "The names of the columns."}
    if interface.fields is not None:
        columns |= {"minItems": len(interface.fields), "maxItems": len(interface.fields)}
    if interface.fields and _has_fixed_order(interface):  # no enum of all: generators make identifiers of its values
        columns["x-tuple"] = [{"type": "string", "enum": [field.column]} for field in interface.fields]
    pair = {"type": "array", "items": _STRING, "minItems": 2, "maxItems": 2}
    return {
        "results": {"type": "array", "items": reference("Row"), "description": "The rows."},
        "columns": columns,
        "types": {"type": "array", "items": pair, "description": "The name and ClickHouse's type of each column."},
        "hasMore": {
            "type": "boolean",
            "nullable": True,
            "description": "Whether there are more rows. It is false without `limit`, even if rows were cut off.",
        },
        "limit": {"type": "integer", "nullable": True, "description": "The size of a page."},
        "offset": {"type": "integer", "nullable": True, "description": "The rows that were skipped."},
        "query": {"type": "string", "nullable": True, "description": "The HogQL that was run."},
        "clickhouse": {"type": "string", "nullable": True, "description": "The SQL that ClickHouse ran."},
        "error": {"type": "string", "nullable": True},
    }


def _insight_results(interface: EndpointInterface) -> Mapping[str, Schema]:
    name = insight_schema_name(interface)
    items = {} if name is None else reference(name)
    results: Schema = {"type": "array", "items": items, "description": "The results, as this kind of insight has them."}
    if name == "FunnelStep" and _has_breakdown(interface):
        results["items"] = {"type": "array", "items": items, "description": "The steps of one breakdown value."}
    elif name == "FunnelTimes":
        results = {"allOf": [items], "description": "How long conversions took."}
    return {"results": results, "hasMore": {"type": "boolean", "nullable": True}}


def insight_schema_name(interface: EndpointInterface) -> str | None:
    """The schema of a result of this kind of insight; None for kinds whose results are not described."""
    if interface.pin.kind != "FunnelsQuery":
        return _KINDS.get(interface.pin.kind)
    views = {"steps": "FunnelStep", "time_to_convert": "FunnelTimes", "trends": "FunnelTrend"}
    return views.get(interface.funnel_view or "")


def _has_breakdown(interface: EndpointInterface) -> bool:
    settings = interface.pin.query.get("breakdownFilter")
    return isinstance(settings, Mapping) and any(settings.get(key) for key in ("breakdown", "breakdowns"))


_KINDS: Final[Mapping[str, str]] = {
    "TrendsQuery": "TrendSeries",
    "LifecycleQuery": "LifecycleSeries",
    "RetentionQuery": "RetentionCohort",
    "PathsQuery": "PathLink",
    "StickinessQuery": "StickinessSeries",
}
_TIME: Final[Schema] = {"type": "string", "nullable": True, "description": "ISO 8601."}
_IDENTITY: Final[Schemas] = {
    "name": {"type": "string", "description": "The name of the endpoint."},
    "execution_id": {"type": "string", "description": "The id of this run in the execution log."},
    "endpoint_version_created_at": _TIME,
    "is_cached": {"type": "boolean", "description": "Whether the answer comes from the cache."},
    "last_refresh": {**_TIME, "description": "When the results were computed, in ISO 8601."},
    "endpoint_materialized": {"type": "boolean", "description": "True if the table of the version was read."},
    "endpoint_materialized_at": {**_TIME, "description": "When that table was built, in ISO 8601."},
}


def _object(required: Schemas, optional: Schemas | None = None, **more: object) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": sorted(required), **more}


_MAYBE_NUMBER: Final[Schema] = {**_NUMBER, "nullable": True}
_MAYBE_STRING: Final[Schema] = {**_STRING, "nullable": True}
_TEXTS: Final[Schema] = {"type": "array", "items": _STRING}
_NUMBERS: Final[Schema] = {"type": "array", "items": _MAYBE_NUMBER}
_BREAKDOWN: Final[Schema] = {
    **_one_of_these([_STRING, {"type": "array", "items": _MAYBE_STRING}], is_nullable=True),
    "description": "The breakdown value; an array with several breakdowns.",
}
_SERIES: Final[Schemas] = {"count": _NUMBER, "days": _TEXTS, "labels": _TEXTS, "data": _NUMBERS}

INSIGHTS: Final[Schemas] = {
    "TrendSeries": _object(
        {
            "label": _STRING,
            "count": _NUMBER,
            "data": {**_NUMBERS, "nullable": True, "description": "Empty or null for a series with one total."},
            "days": {**_TEXTS, "nullable": True},
        },
        {
            "labels": {**_TEXTS, "nullable": True},
            "aggregated_value": {**_MAYBE_NUMBER, "description": "The total of a series with one total."},
            "breakdown_value": _BREAKDOWN,
            "compare_label": {**_MAYBE_STRING, "description": "`current` or `previous` with a comparison."},
            "action": {"type": "object", "nullable": True},
        },
        description="One series of a TrendsQuery.",
    ),
    "LifecycleSeries": _object(
        {
            **_SERIES,
            "label": _STRING,
            "status": {"type": "string", "enum": ["new", "returning", "resurrecting", "dormant"]},
        },
        description="The number of people with one status per period; numbers of dormant people are negative.",
    ),
    "RetentionCohort": _object(
        {
            "label": _STRING,
            "date": {"type": "string", "description": "ISO 8601."},
            "values": {"type": "array", "items": reference("RetentionValue")},
        },
        {"breakdown_value": _BREAKDOWN},
        description="The people who started at `date`; value k is the k-th period after it.",
    ),
    "RetentionValue": _object(
        {"label": _STRING, "count": _NUMBER},
        {"aggregation_value": _MAYBE_NUMBER},
        description="How many people of a cohort returned in one period.",
    ),
    "FunnelStep": _object(
        {"name": _STRING, "order": _INTEGER, "count": _NUMBER},
        {
            "custom_name": _MAYBE_STRING,
            "average_conversion_time": {**_MAYBE_NUMBER, "description": "In seconds, since the previous step."},
            "median_conversion_time": {**_MAYBE_NUMBER, "description": "In seconds, since the previous step."},
            "breakdown_value": _BREAKDOWN,
        },
        description="One step of a funnel: `count` people reached at least this step.",
    ),
    "FunnelTimes": _object(
        {"bins": {"type": "array", "items": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}}},
        {"average_conversion_time": {**_MAYBE_NUMBER, "description": "In seconds."}},
        description="How long conversions took: pairs of seconds and number of people.",
    ),
    "FunnelTrend": _object(
        _SERIES,
        {"breakdown_value": _BREAKDOWN},
        description="Conversion over time; `data` are rates in percent.",
    ),
    "PathLink": _object(
        {"source": _STRING, "target": _STRING, "value": _NUMBER},
        {"average_conversion_time": {**_MAYBE_NUMBER, "description": "In milliseconds."}},
        description="How many people went from `source` to `target`.",
    ),
    "StickinessSeries": _object(
        {**_SERIES, "label": _STRING, "days": {"type": "array", "items": _INTEGER}},
        description="`data[i]` people were active in exactly `days[i]` periods.",
    ),
}
"""The results of insights. Keys that only newer servers send are allowed (docs/server.md#insights)."""

ERRORS: Final[Schemas] = {
    "Error": _object(
        {"type": _STRING, "code": _STRING, "detail": _STRING},
        {"attr": {**_MAYBE_STRING, "description": "The key of the request that is wrong."}},
        description="The body of most errors.",
    ),
    "BareError": _object(
        {"error": _STRING},
        {"current_version": {"type": "integer", "description": "The newest version, if the requested one is missing."}},
        description="The body of errors in `version`, `limit` and `offset`.",
    ),
    "AnyError": {"anyOf": [reference("Error"), reference("BareError")], "description": "One of the two forms."},
}
"""The bodies of errors (docs/server.md#errors)."""
