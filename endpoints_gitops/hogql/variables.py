"""Which variables a query uses, read from its tree: comments and literals never count (docs/server.md#hogql)."""

from __future__ import annotations

from dataclasses import dataclass

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.tree import nodes, of_kind, offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One pair of braces in the text.

    `variables` are the code names used inside it. `chain` is its dotted name (`("filters",)`, `("variables", "x")`) and
    empty for any other expression. `start` and `end` are offsets in characters, braces included.
    """

    chain: tuple[str, ...]
    variables: tuple[str, ...]
    start: int
    end: int


def variables_used(tree: Tree) -> tuple[str, ...]:
    """The code names of all variables in the query, each once, in order of first use."""
    return tuple(dict.fromkeys(name for found in placeholders(tree) for name in found.variables))


def placeholders(tree: Tree) -> tuple[Placeholder, ...]:
    """Every placeholder of the query, `{filters}` and expressions too, in the order of the text."""
    found = sorted(of_kind(tree, "Placeholder"), key=offset)
    return tuple(_placeholder(node) for node in found)


def variables_in(placeholder: Tree) -> tuple[str, ...]:
    """The code names of the variables inside one pair of braces, each once."""
    named = sorted((place, name) for place, name in map(_variable, nodes(placeholder["expr"])) if name)
    return tuple(dict.fromkeys(name for _, name in named))


def chain_of(placeholder: Tree) -> tuple[str, ...]:
    """The dotted name inside the braces; empty when they hold an expression."""
    expr = placeholder.get("expr") or {}
    return tuple(map(str, expr["chain"])) if expr.get("node") == "Field" else ()


def _placeholder(node: Tree) -> Placeholder:
    return Placeholder(
        chain=chain_of(node),
        variables=variables_in(node),
        start=offset(node),
        end=int(node["end"]["offset"]),
    )


def _variable(node: Tree) -> tuple[int, str]:
    """`variables.x` and `variables['x']` name x; every other node names nothing."""
    chain: list[object] = node.get("chain") or []
    if node["node"] == "Field" and len(chain) > 1 and chain[0] == "variables":
        return offset(node), str(chain[1])
    if node["node"] == "ArrayAccess" and node["array"].get("chain") == ["variables"]:
        return offset(node), str(node["property"].get("value") or "")
    return 0, ""
