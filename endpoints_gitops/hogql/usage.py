"""What a query does with its variables: where each stands, and what it is compared with (rules V107, V110)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.selects import Clause, Select, clauses, selects_of
from endpoints_gitops.hogql.tree import nodes_within, offset
from endpoints_gitops.hogql.variables import variables_in

_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}
_COMPARING: Final = ("CompareOperation", "BetweenExpr", "IsDistinctFrom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One place where a variable stands.

    `query` is the path of its SELECT, empty for the outermost. `operator` is the one of the comparison around it,
    seen from the other side: `timestamp >= {variables.from}` and `{variables.from} <= timestamp` are both `>=` of
    `timestamp`. Without a comparison it is None, and `other` is the whole expression.
    """

    variable: str
    clause: Clause
    query: str
    operator: str | None
    other: str
    start: int


@lru_cache(maxsize=2048)
def usages(sql: str) -> tuple[Usage, ...]:
    """Every use of every variable, in the order of the text. Raises a ParseFailure."""
    if "{" not in sql:
        parse(sql)
        return ()
    found = [usage for select in selects_of(sql) for usage in _in_select(select)]
    return tuple(sorted(found, key=lambda usage: usage.start))


def operators(sql: str, variable: str) -> tuple[str, ...]:
    """What the variable is compared with and how, such as `timestamp >=`: sorted, each once."""
    found = (usage for usage in usages(sql) if usage.variable == variable and usage.operator)
    return tuple(sorted({f"{usage.other} {usage.operator}" for usage in found}))


def _in_select(select: Select) -> Iterator[Usage]:
    for clause, part in clauses(select.node):
        for node, around in nodes_within(part):
            if node["node"] == "Placeholder":
                for name in variables_in(node):
                    yield _usage(name, clause, select, node, around)


def _usage(name: str, clause: Clause, select: Select, node: Tree, around: tuple[Tree, ...]) -> Usage:
    at = next((place for place in reversed(range(len(around))) if around[place]["node"] in _COMPARING), None)
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
    """The operator and the other side; `side` is the part of the comparison that holds the variable."""
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
