"""Variables become constants of the tree; their values never meet the text of a query (docs/server.md#variables)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import fold
from endpoints_gitops.local.engine.refusals import QueryRefused


def bind(tree: Tree, values: Mapping[str, Any]) -> Tree:
    """A copy of the tree with a constant for each `{variables.NAME}`. Raises QueryRefused for other placeholders."""

    def combine(node: dict[str, Any]) -> Any:  # noqa: ANN401 - nodes of every kind, and positions
        return _bound(node, values) if node.get("node") == "Placeholder" else node

    bound: Tree = fold(tree, combine)
    return bound


def constant_node(value: Any) -> Tree:  # noqa: ANN401 - any JSON value may be sent
    """The node of a JSON value: a list is an array, everything else a constant. An object is refused."""
    if isinstance(value, Mapping):
        raise QueryRefused("A variable's value is text, a number, a truth value or a list of those, not an object")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {"node": "Array", "exprs": [constant_node(item) for item in value]}
    return {"node": "Constant", "value": value}


def _bound(node: Tree, values: Mapping[str, Any]) -> Tree:
    name = _variable(node["expr"])
    if name is None:
        raise QueryRefused(f"Unresolved placeholder: {{{readable(node['expr'])}}}")
    if name not in values:
        close = get_close_matches(name, values)
        hint = f" Did you mean: {', '.join(close)}?" if close else ""
        raise QueryRefused(f"Variable {name} is missing from query{hint}")
    return constant_node(values[name])


def _variable(expr: Tree) -> str | None:
    """`variables.x`, `variables.x.y` and `variables['x']` all stand for x."""
    chain = expr.get("chain") or []
    if expr["node"] == "Field" and len(chain) > 1 and chain[0] == "variables":
        return str(chain[1])
    if expr["node"] == "ArrayAccess" and expr["array"].get("chain") == ["variables"]:
        key = expr["property"].get("value")
        return str(key) if key else None
    return None
