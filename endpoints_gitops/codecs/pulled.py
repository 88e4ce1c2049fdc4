"""The keys of a new definition for an endpoint of the server: all values that are not the server's defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.canonical import canonical_sql
from endpoints_gitops.hogql.insights import strip
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.freshness import DEFAULT_SECONDS, schedule_word
from endpoints_gitops.model.json import Json

_NEVER_WRITTEN: Final = frozenset(
    ("variables", "version")
)  # variables have a separate list; the server sets the version
_OFF_BY_DEFAULT: Final = ("explain", "sendRawQuery")


def definition_values(endpoint: Endpoint, variables: Mapping[str, InsightVariable]) -> Mapping[str, Json]:
    """The keys of a definition that is equal to the endpoint, in the order of the model.

    `variables` are the project's shared variables by id. A HogQL node with more than its text becomes a
    `query_definition`; its variables are still listed, because their ids are specific to the project.
    """
    values: dict[str, Json] = {
        "name": endpoint.name,
        "description": endpoint.description or None,
        "tags": list(endpoint.tags) or None,
        "active": None if endpoint.is_active else False,
        **_query(endpoint),
        "variables": [_variable(entry, variables) for entry in _used_entries(endpoint)] or None,
        **_serving(endpoint),
        "optional_breakdown_properties": list(endpoint.optional_breakdown_properties) or None,
        "bucket_overrides": (dict(endpoint.bucket_overrides or {}) or None) if _is_kept(endpoint) else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _is_kept(endpoint: Endpoint) -> bool:
    """Whether the endpoint has a table or will have one; an inactive endpoint has none (docs/server.md#versions)."""
    return endpoint.is_active and (endpoint.materialization.is_on or endpoint.is_materialized)


def _query(endpoint: Endpoint) -> dict[str, Json]:
    node = {key: value for key, value in strip(endpoint.query).items() if key not in _NEVER_WRITTEN}
    if endpoint.sql is None:
        return {"query_definition": _kind_first(node)}
    sql = _with_line_feeds(endpoint.sql)
    keys = {key for key, value in node.items() if not (key in _OFF_BY_DEFAULT and value is False)}
    return {"query": sql} if keys <= {"kind", "query"} else {"query_definition": _kind_first({**node, "query": sql})}


def _with_line_feeds(sql: str) -> str:
    """The SQL without the CRLF of browsers, except inside quoted text, where it is part of the query."""
    bare = sql.replace("\r\n", "\n")
    return bare if bare != sql and canonical_sql(bare) == canonical_sql(sql) else sql


def _kind_first(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """The value with `kind` as the first key of each object, for readability; the server sorts the keys."""
    if isinstance(value, list):
        return [_kind_first(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _kind_first(value[key]) for key in sorted(value, key=lambda key: key != "kind")}


def _used_entries(endpoint: Endpoint) -> Iterator[Mapping[str, Any]]:
    """The stored variables that the query uses, in the order in which it uses them."""
    stored = endpoint.query.get("variables") if endpoint.sql is not None else None
    candidates = stored.values() if isinstance(stored, Mapping) else ()
    entries = {
        str(variable["code_name"]): variable
        for variable in candidates
        if isinstance(variable, Mapping) and variable.get("code_name")
    }
    try:
        used = variables_used(parse(endpoint.sql or ""))
    except ParseFailure:
        used = tuple(entries)
    return (entries[name] for name in used if name in entries)


def _variable(entry: Mapping[str, Any], variables: Mapping[str, InsightVariable]) -> dict[str, Json]:
    name = str(entry["code_name"])
    value = None if entry.get("isNull") is True else entry.get("value")
    shared = variables.get(str(entry.get("variableId")))
    if shared is None:
        guessed = {"name": name, "type": str(_guessed(value))}
        return guessed | ({} if value is None else {"default": value})
    keys: dict[str, Json] = {"name": name, "type": str(shared.type)}
    # Without a default the shared one applies, so null is written only if the shared default is not null.
    if value is not None or shared.default_value is not None:
        keys["default"] = value
    if shared.name != name:
        keys["label"] = shared.name
    if isinstance(shared.values, list) and shared.values:
        keys["values"] = shared.values
    if shared.is_multi:
        keys["multi"] = True
    return keys


def _guessed(value: Json) -> VariableType:
    """The type of a variable that the project no longer has, guessed from its value."""
    if isinstance(value, bool):
        return VariableType.BOOLEAN
    if isinstance(value, int | float):
        return VariableType.NUMBER
    return VariableType.LIST if isinstance(value, list) else VariableType.STRING


def _serving(endpoint: Endpoint) -> dict[str, Json]:
    """The materialization with its schedule, or the freshness. Seconds that no schedule has cannot be written and are
    omitted.
    """
    seconds = endpoint.data_freshness_seconds
    word = None if seconds is None else schedule_word(seconds)
    if _is_kept(endpoint):
        return {"materialization": {"enabled": True} | ({"schedule": word} if word else {})}
    return {"data_freshness": word if seconds != DEFAULT_SECONDS else None}
