"""The variables of a query, read from a definition or from a stored node (docs/server.md#variables)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from endpoints_gitops.contract.contract import DATES, HOGQL, UNKNOWN, Input
from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import Definition, Variable
    from endpoints_gitops.model.endpoint import InsightVariable


def declared_inputs(
    definition: Definition, node: Mapping[str, Any], shared: Mapping[str, InsightVariable]
) -> tuple[Input, ...]:
    """The variables that the query uses: the server accepts no others."""
    if node.get("kind") != HOGQL:
        return stored_inputs(node, {})
    declared = {variable.name: variable for variable in definition.variables or ()}
    stored = {item.name: item for item in stored_inputs(node, {})}
    names = _used(str(node.get("query") or ""), (*declared, *stored))
    return tuple(_declared_input(name, declared.get(name), stored.get(name), shared.get(name)) for name in names)


def _declared_input(
    name: str, declared: Variable | None, stored: Input | None, shared: InsightVariable | None
) -> Input:
    """The file's list takes precedence over the node's map, and the map over the shared variable."""
    kind = str(declared.type) if declared else str(shared.type) if shared else UNKNOWN
    if declared is not None and declared.states("default"):
        return _with_default(name, kind, declared.default)
    if stored is not None:
        return replace(stored, type=kind)
    if shared is not None:
        return _with_default(name, kind, shared.default_value)
    return Input(name=name, type=kind, is_open=True)


def _with_default(name: str, kind: str, default: Json) -> Input:
    """Null counts as no default: a call without the variable would compare with NULL (docs/server.md#variables)."""
    return Input(name=name, type=kind, has_default=default is not None, default=_plain(default))


def _plain(value: Json) -> Json:
    """The value as the server stores it: 30.0 is 30, and a tuple is a list."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def stored_inputs(node: Mapping[str, Any], types: Mapping[str, str]) -> tuple[Input, ...]:
    """The variables of a stored node. Those of insights are always text: a breakdown value or a date."""
    if node.get("kind") != HOGQL:
        properties = dict.fromkeys(breakdown_properties(node))
        return tuple(Input(name=name, type="String", has_default=True) for name in (*properties, *DATES))
    entries = {str(entry["code_name"]): entry for entry in _entries(node)}
    if not entries:
        return ()
    names = _used(str(node.get("query") or ""), tuple(entries))
    return tuple(_stored_input(entries[name], types.get(name, UNKNOWN)) for name in names if name in entries)


def _stored_input(entry: Mapping[str, Any], kind: str) -> Input:
    value = None if entry.get("isNull") is True else entry.get("value")
    return _with_default(str(entry["code_name"]), kind, value)


def _entries(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    variables = node.get("variables")
    entries = variables.values() if isinstance(variables, Mapping) else ()
    return [entry for entry in entries if isinstance(entry, Mapping) and entry.get("code_name")]


def _used(sql: str, known: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of the text; the known ones if the text cannot be parsed."""
    if "{" not in sql:
        return ()
    try:
        return variables_used(parse(sql))
    except ParseFailure:
        return tuple(dict.fromkeys(known))


def with_values(node: JsonObject, inputs: Iterable[Input]) -> JsonObject:
    """The node as the server will store it, its variables by code name."""
    if node.get("kind") != HOGQL:
        return node
    bare = {key: value for key, value in node.items() if key != "variables"}
    entries: dict[str, Json] = {
        item.name: {"code_name": item.name, "variableId": item.name}
        | ({"value": item.default} if item.has_default else {"isNull": True})
        for item in inputs
    }
    return {**bare, "variables": entries} if entries else bare


def types_by_name(node: Mapping[str, Any], variables: Mapping[str, InsightVariable] | None) -> dict[str, str]:
    """The types of the variables that a node uses, by code name. `variables` are the shared ones by id."""
    shared = variables or {}
    used = {str(entry["code_name"]): shared.get(str(entry.get("variableId"))) for entry in _entries(node)}
    return {name: str(variable.type) for name, variable in used.items() if variable is not None}
