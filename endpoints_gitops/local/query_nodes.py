"""Queries as they are stored: variables filled in, checked, written out in full (docs/server.md#insight-variables)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from endpoints_gitops.hogql.insights import expand
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.syntax_tree import nodes
from endpoints_gitops.hogql.variables import chain_of, variables_used
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.errors import Refused, invalid
from endpoints_gitops.local.queries import QueryEngine
from endpoints_gitops.local.store.rows import StoredVariable

_DIRECT = (
    "Endpoints can't query a direct connection. Switch the connection to PostHog (ClickHouse) and query a synced table "
    "instead."
)
_ARRAY_FUNCTIONS = ("has", "hasany", "hasall", "indexof", "countequal", "arrayexists", "arraycount")


def checked(
    node: Mapping[str, Any], variables: list[StoredVariable], engine: QueryEngine
) -> tuple[dict[str, Any], list[Mapping[str, str]]]:
    """The node as it will be stored, and its columns. Raises a 400 about `query`."""
    if node["kind"] != "HogQLQuery" or not node["query"]:
        return expand(node), []
    tree = _tree(node["query"])
    synced = {**node, "variables": _synced(node, tree, variables)}
    if node.get("connectionId"):
        raise invalid(_DIRECT, "query")
    if isinstance(tree, ParseFailure):
        raise _no_hogql(tree.message)
    _check_variables(synced["variables"] or {}, tree, variables)
    full = expand(synced)
    try:
        columns = engine.describe(full)
    except QueryRefused as refusal:
        raise _no_hogql(refusal.message) from None
    return full, [{"name": column.name, "type": column.type} for column in columns]


def _no_hogql(message: str) -> Refused:
    return invalid(f"Invalid HogQL query: {message}", "query")


def _tree(sql: str) -> Tree | ParseFailure:
    try:
        return parse(sql)
    except ParseFailure as failure:
        return failure


def _synced(
    node: Mapping[str, Any], tree: Tree | ParseFailure, variables: list[StoredVariable]
) -> Mapping[str, Any] | None:
    """The entries that the text uses, those it leaves out taken from the project."""
    sent = node.get("variables") or {}
    if isinstance(tree, ParseFailure):
        return sent or None
    used = variables_used(tree)
    by_id = {variable.id: variable for variable in variables}
    kept = {key: _filled(entry, by_id) for key, entry in sent.items() if entry["code_name"] in used}
    missing = set(used) - {entry["code_name"] for entry in kept.values()}
    added = {variable.id: _entry(variable) for variable in variables if variable.code_name in missing}
    return {**kept, **added} or None


def _filled(entry: Mapping[str, Any], by_id: Mapping[str, StoredVariable]) -> Mapping[str, Any]:
    variable = by_id.get(entry["variableId"])
    if entry.get("value") is not None or entry.get("isNull") is True or variable is None:
        return entry
    return {**entry, "value": variable.default_value, "isNull": variable.default_value is None}


def _entry(variable: StoredVariable) -> Mapping[str, Any]:
    default = variable.default_value
    return {
        "variableId": variable.id,
        "code_name": variable.code_name,
        "value": default,
        "isNull": default is None,
    }


def _check_variables(entries: Mapping[str, Any], tree: Tree, variables: list[StoredVariable]) -> None:
    defined = {entry["code_name"] for entry in entries.values()}
    undefined = sorted(set(variables_used(tree)) - defined)
    if undefined:
        told = ", ".join(undefined)
        raise invalid(
            f"Query references undefined variable(s): {told}. "
            "See https://posthog.com/docs/endpoints/variables for detail.",
            "query",
        )
    wrong = [key for key in entries if not _is_uuid(key)]
    if wrong:
        raise invalid(f"Variable ID(s) not valid UUIDs: {', '.join(wrong)}. ", "query")
    known = {variable.id: variable for variable in variables}
    unknown = sorted(key for key in entries if str(uuid.UUID(key)) not in known)
    if unknown:
        raise invalid(
            f"Variable ID(s) not found: {', '.join(unknown)}. "
            "Make sure the variables exist in https://app.posthog.com/data-management/variables.",
            "query",
        )
    _check_lists(entries, tree, known)


def _check_lists(entries: Mapping[str, Any], tree: Tree, known: Mapping[str, StoredVariable]) -> None:
    """A List variable of which one value is chosen is text, and no array for a function of arrays."""
    single = {
        entry["code_name"]
        for key, entry in entries.items()
        if (variable := known[str(uuid.UUID(key))]).type == "List" and not variable.is_multi
    }
    for name in variables_in_arrays(tree):
        if name in single:
            raise invalid(
                f"Variable '{name}' is a single-select List variable and cannot be used as an array. "
                "Allow several values for it, or compare it with '='.",
                "query",
            )


def variables_in_arrays(tree: Tree) -> list[str]:
    """The variables that stand where a function wants its array."""
    calls = (node for node in nodes(tree) if node["node"] == "Call" and str(node["name"]).lower() in _ARRAY_FUNCTIONS)
    chains = (chain_of(each) for call in calls for each in call["args"] if each["node"] == "Placeholder")
    return [chain[1] for chain in chains if len(chain) > 1 and chain[0] == "variables"]


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
