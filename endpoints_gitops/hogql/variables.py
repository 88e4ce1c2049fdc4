"""The variables of a query: find their uses, and replace them by values (docs/server.md#hogql).

The syntax tree is used, so comments and literals are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.hogql.locus import QueryPath
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import UnboundVariable, literal, readable
from endpoints_gitops.hogql.syntax_tree import Clause, Select, clauses, nodes, nodes_within, of_kind, offset, selects_of
from endpoints_gitops.model.json import Json


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
    return tuple(dict.fromkeys(name for placeholder in placeholders(tree) for name in placeholder.variables))


def placeholders(tree: Tree) -> tuple[Placeholder, ...]:
    """Every placeholder of the query, including `{filters}` and expressions, in the order of the text."""
    return tuple(_placeholder(node) for node in sorted(of_kind(tree, "Placeholder"), key=offset))


def variables_in(placeholder: Tree) -> tuple[str, ...]:
    """The code names of the variables inside one pair of braces, each once."""
    named = sorted((position, name) for position, name in map(_variable, nodes(placeholder["expr"])) if name)
    return tuple(dict.fromkeys(name for _, name in named))


def chain_of(placeholder: Tree) -> tuple[str, ...]:
    """The dotted name inside the braces; empty if they contain an expression."""
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
    """The offset and name of `variables.x` or `variables['x']`; an empty name for any other node."""
    chain: list[object] = node.get("chain") or []
    if node["node"] == "Field" and len(chain) > 1 and chain[0] == "variables":
        return offset(node), str(chain[1])
    if node["node"] == "ArrayAccess" and node["array"].get("chain") == ["variables"]:
        return offset(node), str(node["property"].get("value") or "")
    return 0, ""


_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}
_COMPARING: Final = ("CompareOperation", "BetweenExpr", "IsDistinctFrom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One use of a variable.

    `query` is the path of its SELECT, empty for the outermost. `operator` is that of the comparison, seen from the
    other side: `timestamp >= {variables.from}` and `{variables.from} <= timestamp` are both `>=` of
    `timestamp`. Without a comparison it is None, and `other` is the whole expression.
    """

    variable: str
    clause: Clause
    query: QueryPath
    operator: str | None
    other: str
    start: int


@lru_cache(maxsize=2048)
def usages(sql: str) -> tuple[Usage, ...]:
    """Every use of every variable, in the order of the text. Raises ParseFailure."""
    if "{" not in sql:
        parse(sql)
        return ()
    all_usages = [usage for select in selects_of(sql) for usage in _in_select(select)]
    return tuple(sorted(all_usages, key=lambda usage: usage.start))


def operators(sql: str, variable: str) -> tuple[str, ...]:
    """The comparisons of a variable, such as `timestamp >=`, sorted and without duplicates."""
    matching = (usage for usage in usages(sql) if usage.variable == variable and usage.operator)
    return tuple(sorted({f"{usage.other} {usage.operator}" for usage in matching}))


def _in_select(select: Select) -> Iterator[Usage]:
    for clause, part in clauses(select.node):
        for node, around in nodes_within(part):
            if node["node"] == "Placeholder":
                for name in variables_in(node):
                    yield _usage(name, clause, select, node, around)


def _usage(name: str, clause: Clause, select: Select, node: Tree, around: tuple[Tree, ...]) -> Usage:
    at = next((index for index in reversed(range(len(around))) if around[index]["node"] in _COMPARING), None)
    if at is None:
        operator, other = None, around[0] if around else node
    else:
        operator, other = _compared(around[at], (*around, node)[at + 1])
    return Usage(
        variable=name,
        clause=clause,
        query=select.path,
        operator=operator,
        other=readable(other),
        start=offset(node),
    )


def _compared(comparison: Tree, side: Tree) -> tuple[str, Tree]:
    """The operator and the other side; `side` is the side with the variable."""
    if comparison["node"] == "BetweenExpr":
        word = "not between" if comparison.get("negated") else "between"
        return word, comparison["expr"] if comparison["expr"] is not side else comparison["low"]
    if comparison["node"] == "IsDistinctFrom":
        word = "is not distinct from" if comparison.get("negated") else "is distinct from"
    else:
        word = "=" if comparison["op"] == "==" else str(comparison["op"])
    if comparison["right"] is side:
        return word, comparison["left"]
    return _FLIPPED.get(word, word), comparison["right"]


def bind(sql: str, values: Mapping[str, Json]) -> str:
    """The text with a literal for each `{variables.NAME}`. Raises UnboundVariable or ParseFailure."""
    bound = sql
    for placeholder in reversed(placeholders(parse(sql))):
        bound = bound[: placeholder.start] + literal(_value(placeholder, values)) + bound[placeholder.end :]
    return bound


def _value(placeholder: Placeholder, values: Mapping[str, Json]) -> Json:
    if len(placeholder.variables) != 1 or placeholder.chain[:1] not in {("variables",), ()}:
        raise UnboundVariable(f"the placeholder at character {placeholder.start} is not a variable")
    (name,) = placeholder.variables
    if placeholder.chain != ("variables", name):
        raise UnboundVariable(f"the placeholder of {name} is an expression; only {{variables.{name}}} can be bound")
    if name not in values:
        raise UnboundVariable(f"variable {name} has neither a value nor a default")
    return values[name]
