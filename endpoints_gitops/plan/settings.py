"""The settings of a definition and of an endpoint, in one vocabulary, so that they can be compared key by key.

Settings hold what can be compared and nothing else: readable JSON, without ids of a project. The query is the node
without defaults; its variables are keyed by code name, as `{"month": {"value": "2026-07"}}`, null as
`{"value": null, "isNull": true}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.insights import strip
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.freshness import DEFAULT_SECONDS
from endpoints_gitops.model.json import Json, JsonObject, canonical, fingerprint

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import Definition, LoadedDefinition
    from endpoints_gitops.model.endpoint import Endpoint


class Key(StrEnum):
    """The settings of an endpoint that a definition can manage, in reading order; the values are its keys."""

    QUERY = "query"
    DESCRIPTION = "description"
    TAGS = "tags"
    ACTIVE = "active"
    MATERIALIZATION = "materialization"
    FRESHNESS = "data_freshness"
    OPTIONAL_BREAKDOWNS = "optional_breakdown_properties"
    BUCKET_OVERRIDES = "bucket_overrides"


type Settings = Mapping[Key, Json]

SERVER_DEFAULTS: Final[Settings] = {
    Key.DESCRIPTION: "",
    Key.TAGS: [],
    Key.ACTIVE: True,
    Key.MATERIALIZATION: False,
    Key.FRESHNESS: DEFAULT_SECONDS,
    Key.OPTIONAL_BREAKDOWNS: [],
    Key.BUCKET_OVERRIDES: {},
}
"""What an endpoint has where a request sets nothing (docs/server.md#bodies)."""

_HOGQL: Final = "HogQLQuery"
_DISTINCT_QUERIES: Final = 8_192
_MOST_WORDS: Final = 4_000  # comparing them takes the square of it at worst
_PLACES: Final = {
    Key.QUERY: ("query", "query_file", "query_definition"),
    Key.MATERIALIZATION: ("materialization.enabled",),
    Key.FRESHNESS: ("data_freshness", "materialization.schedule"),
}
_FIELDS: Final = {
    Key.DESCRIPTION: "description",
    Key.TAGS: "tags",
    Key.ACTIVE: "is_active",
    Key.FRESHNESS: "data_freshness_seconds",
    Key.OPTIONAL_BREAKDOWNS: "optional_breakdown_properties",
    Key.BUCKET_OVERRIDES: "bucket_overrides",
}


def definition_settings(loaded: LoadedDefinition, environment: str | None) -> Settings:
    """The settings that a definition states in this environment. A key without a value (null) states nothing."""
    definition = loaded.definition.in_environment(environment)
    materialization = definition.materialization
    stated: dict[Key, Json] = {
        Key.QUERY: _query_of(definition, loaded.sql),
        Key.DESCRIPTION: definition.description,
        Key.TAGS: None if definition.tags is None else _tags(definition.tags),
        Key.ACTIVE: definition.active,
        Key.MATERIALIZATION: materialization.enabled if materialization else None,
        Key.FRESHNESS: definition.freshness_seconds,
        Key.OPTIONAL_BREAKDOWNS: _listed(definition.optional_breakdown_properties),
        Key.BUCKET_OVERRIDES: None if definition.bucket_overrides is None else dict(definition.bucket_overrides),
    }
    return {key: value for key, value in stated.items() if value is not None}


def endpoint_settings(endpoint: Endpoint) -> Settings:
    """The settings of an endpoint on the server, as far as they can be compared.

    Keys that this server does not know are missing. So are bucket overrides where nothing is materialised, and on an
    inactive endpoint materialisation, which is torn down there (docs/server.md#versions).
    """
    answered = endpoint.model_fields_set
    is_on = _is_materialized(endpoint)
    values: dict[Key, Json] = {
        Key.QUERY: normalized_query(endpoint.query),
        Key.DESCRIPTION: endpoint.description,
        Key.TAGS: _tags(endpoint.tags),
        Key.ACTIVE: endpoint.is_active,
        Key.MATERIALIZATION: is_on if endpoint.is_active else None,
        Key.FRESHNESS: endpoint.data_freshness_seconds,
        Key.OPTIONAL_BREAKDOWNS: _listed(endpoint.optional_breakdown_properties),
        Key.BUCKET_OVERRIDES: dict(endpoint.bucket_overrides or {}) if is_on and endpoint.is_active else None,
    }
    return {
        key: value
        for key, value in values.items()
        if value is not None and (key not in _FIELDS or _FIELDS[key] in answered)
    }


def normalized_query(node: Mapping[str, Any]) -> JsonObject:
    """A query node as settings hold it. Variables that are not a proper map are left as they are."""
    variables = node.get("variables")
    query = strip({key: value for key, value in node.items() if key not in {"variables", "version"}})
    if not variables:
        return query
    entries = list(variables.values()) if isinstance(variables, Mapping) else []
    if not all(isinstance(entry, Mapping) and "code_name" in entry for entry in entries) or not entries:
        return {**query, "variables": variables}
    return {**query, "variables": {str(entry["code_name"]): _stored_value(entry) for entry in entries}}


def same(key: Key, stated: Json, other: Json) -> bool:
    """Whether `other` is what `stated` states. What `stated` leaves open (a variable without a default) does not count,
    and neither does what is only cosmetic (rule M108).
    """
    if key is not Key.QUERY or not isinstance(stated, Mapping) or not isinstance(other, Mapping):
        return canonical(_comparable(key, stated)) == canonical(_comparable(key, other))
    if "variables" in stated or "variables" in other:
        other = _narrowed(stated, other)
    left, right = canonical(stated), canonical(other)
    return left == right or _identity(left) == _identity(right)


def is_cosmetic(stated: Json, other: Json) -> bool:
    """Whether two queries mean the same and differ as JSON, for which the server would cut a version."""
    return same(Key.QUERY, stated, other) and canonical(_without_variables(stated)) != canonical(
        _without_variables(other)
    )


def contains(base: Json, pulled: Json, edited: Json) -> bool:
    """Whether `edited` still has every change that leads from `base` to `pulled`.

    Texts are compared word by word: what replaced a passage of `base` has to stand in its place, perhaps with more
    after it. False where that cannot be decided.
    """
    if canonical(pulled) == canonical(edited):
        return True
    if isinstance(pulled, Mapping) and isinstance(edited, Mapping):
        before = base if isinstance(base, Mapping) else {}
        changed = [key for key in before.keys() | pulled.keys() if before.get(key) != pulled.get(key)]
        return all(
            contains(before.get(key), pulled[key], edited.get(key)) if key in pulled else key not in edited
            for key in changed
        )
    if isinstance(pulled, str) and isinstance(edited, str):
        before_text = base if isinstance(base, str) else ""
        theirs, ours = _passages(before_text, pulled), _passages(before_text, edited)
        return theirs is not None and ours is not None and all(_stands(ours, *passage) for passage in theirs.items())
    return False


type _Passages = Mapping[tuple[int, int], list[str]]


def _passages(base: str, text: str) -> _Passages | None:
    """The words of a text that replace words of the base, by their span in the base; None for very long texts."""
    from difflib import SequenceMatcher

    before, after = base.split(), text.split()
    if len(before) + len(after) > _MOST_WORDS:
        return None
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return {(start, end): after[first:last] for tag, start, end, first, last in codes if tag != "equal"}


def _stands(passages: _Passages, span: tuple[int, int], words: list[str]) -> bool:
    edited = passages.get(span)
    return edited is not None and edited[: len(words)] == words and bool(words or not edited)


def completed(stated: Json, present: Json = None) -> Json:
    """The query to send: variables that `stated` leaves open have the server's present values.

    Variables that the query does not use are left out: the server would refuse one that the project does not have.
    """
    if not isinstance(stated, Mapping) or stated.get("kind") != _HOGQL or not _has_proper_variables(stated):
        return stated
    sql, values = str(stated.get("query") or ""), {**variables_of(present), **variables_of(stated)}
    used = {name: entry for name, entry in values.items() if _uses(sql, name)}
    return {**_without_variables(stated), **({"variables": used} if used else {})}


def variables_of(query: Json) -> Mapping[str, JsonObject]:
    """The variables of a normalized query by code name, each with `value` and perhaps `isNull`."""
    variables = query.get("variables") if isinstance(query, Mapping) else None
    if not isinstance(variables, Mapping):
        return {}
    return {name: entry for name, entry in variables.items() if isinstance(entry, Mapping) and "value" in entry}


def line_of(key: Key, loaded: LoadedDefinition, environment: str | None) -> int | None:
    """The line of the file that states this key in this environment; None where none does."""
    words = _PLACES.get(key, (str(key),))
    overlay = [f"environments.{environment}.{word}" for word in words]
    return next((loaded.lines[path] for path in (*overlay, *words) if path in loaded.lines), None)


def line_of_variable(name: str, loaded: LoadedDefinition) -> int | None:
    """The line of a variable's default in the list of the file."""
    listed = enumerate(loaded.definition.variables or ())
    index = next((index for index, variable in listed if variable.name == name), None)
    return None if index is None else loaded.lines.get(f"variables.{index}.default")


def _query_of(definition: Definition, sql: str | None) -> JsonObject:
    """The query that a definition states, with a value for each variable whose default it states."""
    node = {"kind": _HOGQL, "query": sql or ""} if definition.query_definition is None else definition.query_definition
    query = normalized_query(_without_open_values(node))
    if query.get("kind") != _HOGQL or not _has_proper_variables(query):
        return query
    declared = {
        variable.name: _value(variable.default) for variable in definition.variables or () if variable.states("default")
    }
    variables = {**variables_of(query), **declared}
    return {**query, "variables": variables} if variables else query


def _without_open_values(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node without variables that are null but not `isNull`: they take the shared variable's default."""
    variables = node.get("variables")
    if not isinstance(variables, Mapping):
        return node
    stated = {key: entry for key, entry in variables.items() if not _is_open(entry)}
    return {**node, "variables": stated}


def _is_open(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("value") is None and entry.get("isNull") is not True


def _stored_value(entry: Mapping[str, Any]) -> JsonObject:
    return _value(None if entry.get("isNull") is True else entry.get("value"))


def _value(value: Any) -> JsonObject:  # noqa: ANN401 - a variable may hold any JSON
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # one number on the server, which compares 30 and 30.0 as equal
    return {"value": None, "isNull": True} if value is None else {"value": value}


def _comparable(key: Key, value: Json) -> Json:
    """The value without what does not count: the order of breakdowns, and the line endings of a description."""
    if key is Key.DESCRIPTION and isinstance(value, str):
        return value.replace("\r\n", "\n")
    if key is Key.OPTIONAL_BREAKDOWNS and isinstance(value, list):
        return sorted(value, key=canonical)
    return value


def _narrowed(stated: JsonObject, other: JsonObject) -> JsonObject:
    """`other` with only those variables that `stated` has a value for."""
    if not (_has_proper_variables(stated) and _has_proper_variables(other)):
        return other
    named = variables_of(stated)
    variables = {name: entry for name, entry in variables_of(other).items() if name in named}
    return {**_without_variables(other), **({"variables": variables} if variables else {})}


def _uses(sql: str, name: str) -> bool:
    try:
        return name in variables_used(parse(sql))
    except ParseFailure:
        return name in sql


def _has_proper_variables(query: JsonObject) -> bool:
    variables = query.get("variables")
    return variables is None or (isinstance(variables, Mapping) and len(variables_of(query)) == len(variables))


def _without_variables(query: Json) -> JsonObject:
    return {key: value for key, value in query.items() if key != "variables"} if isinstance(query, Mapping) else {}


@lru_cache(maxsize=_DISTINCT_QUERIES)
def _identity(text: str) -> str:
    """A fingerprint of a query, the same for all that differ only in form. `text` is the normalized query as JSON."""
    query = json.loads(text)
    if _has_proper_variables(query):
        named = {name: {**entry, "code_name": name} for name, entry in variables_of(query).items()}
        query = {**query, "variables": named}
    return fingerprint(canonical_query(query))


def _is_materialized(endpoint: Endpoint) -> bool | None:
    """Whether a table is on, by the materialization object, as the flag is false until the table exists; None without
    both.
    """
    if "materialization" in endpoint.model_fields_set:
        return endpoint.materialization.is_on
    return endpoint.is_materialized if "is_materialized" in endpoint.model_fields_set else None


def _tags(tags: Iterable[str]) -> list[Json]:
    """The tags as the server keeps them (docs/server.md#bodies)."""
    return [*sorted({" ".join(tag.split()).lower() for tag in tags} - {""})]


def _listed(names: Iterable[str] | None) -> list[Json] | None:
    return None if names is None else [*names]
