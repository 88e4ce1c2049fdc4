"""The variables of a query, from a file and from a stored node (docs/server.md#variables)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from endpoints_gitops.contract.contract import DATES, HOGQL, UNKNOWN, Input
from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import Definition, Variable
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import InsightVariable


def declared_inputs(
    definition: Definition, node: Mapping[str, Any], shared: Mapping[str, InsightVariable]
) -> tuple[Input, ...]:
    """Those that the query uses: the server takes no others."""
    if node.get("kind") != HOGQL:
        return stored_inputs(node, {})
    declared = {one.name: one for one in definition.variables or ()}
    stored = {one.name: one for one in stored_inputs(node, {})}
    names = _used(str(node.get("query") or ""), (*declared, *stored))
    return tuple(_declared_input(name, declared.get(name), stored.get(name), shared.get(name)) for name in names)


def _declared_input(
    name: str, declared: Variable | None, stored: Input | None, shared: InsightVariable | None
) -> Input:
    """The file's list goes over the node's map, and that over the shared variable."""
    kind = str(declared.type) if declared else str(shared.type) if shared else UNKNOWN
    if declared is not None and declared.states("default"):
        return _with_default(name, kind, declared.default)
    if stored is not None:
        return replace(stored, type=kind)
    if shared is not None:
        return _with_default(name, kind, shared.default_value)
    return Input(name=name, type=kind, is_open=True)


def _with_default(name: str, kind: str, default: Json) -> Input:
    """Null is no default: whoever sends nothing would compare with NULL (docs/server.md#variables)."""
    return Input(name=name, type=kind, has_default=default is not None, default=_plain(default))


def _plain(value: Json) -> Json:
    """JSON as the server has it: 30 and 30.0 are one number, and tuples are lists."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def stored_inputs(node: Mapping[str, Any], types: Mapping[str, str]) -> tuple[Input, ...]:
    """What callers of a stored node may send. For insights that is always text: a value of a breakdown, or a date."""
    if node.get("kind") != HOGQL:
        properties = dict.fromkeys(breakdown_properties(node))
        return tuple(Input(name=name, type="String", has_default=True) for name in (*properties, *DATES))
    entries = {str(one["code_name"]): one for one in _entries(node)}
    if not entries:
        return ()
    names = _used(str(node.get("query") or ""), tuple(entries))
    return tuple(_stored_input(entries[name], types.get(name, UNKNOWN)) for name in names if name in entries)


def _stored_input(entry: Mapping[str, Any], kind: str) -> Input:
    value = None if entry.get("isNull") is True else entry.get("value")
    return _with_default(str(entry["code_name"]), kind, value)


def _entries(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = node.get("variables")
    listed = given.values() if isinstance(given, Mapping) else ()
    return [one for one in listed if isinstance(one, Mapping) and one.get("code_name")]


def _used(sql: str, known: Iterable[str]) -> tuple[str, ...]:
    """In the order of the text; what is declared where the text cannot be read."""
    if "{" not in sql:
        return ()
    try:
        return variables_used(parse(sql))
    except ParseFailure:
        return tuple(dict.fromkeys(known))


def with_values(node: JsonObject, inputs: Iterable[Input]) -> JsonObject:
    """The node as it will be stored, its variables by code name."""
    if node.get("kind") != HOGQL:
        return node
    bare = {key: value for key, value in node.items() if key != "variables"}
    entries: dict[str, Json] = {
        one.name: {"code_name": one.name, "variableId": one.name}
        | ({"value": one.default} if one.has_default else {"isNull": True})
        for one in inputs
    }
    return {**bare, "variables": entries} if entries else bare


def types_by_name(node: Mapping[str, Any], variables: Mapping[str, InsightVariable] | None) -> dict[str, str]:
    """What the shared variables, by id, say of the types of those that a node uses."""
    found = {str(one["code_name"]): (variables or {}).get(str(one.get("variableId"))) for one in _entries(node)}
    return {name: str(shared.type) for name, shared in found.items() if shared is not None}
