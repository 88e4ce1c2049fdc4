"""What a query does with its variables: where each stands, and what it is compared with (rules V107, V110, V111)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.selects import Clause, Select, arms, clauses, joins, selects_of
from endpoints_gitops.hogql.tree import QUERIES, nodes_within, offset
from endpoints_gitops.hogql.variables import variables_in

_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}
_COMPARING: Final = ("CompareOperation", "BetweenExpr", "IsDistinctFrom")
_NARROWING: Final = ("=", "in")
_INNER: Final = ("JOIN", "INNER JOIN")
_DEEPEST: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One place where a variable stands.

    `query` is the path of its SELECT, empty for the outermost. `operator` is the one of the comparison around it,
    seen from the other side: `timestamp >= {variables.from}` and `{variables.from} <= timestamp` are both `>=` of
    `timestamp`. Without a comparison it is None, and `other` is the whole expression. `narrows` says that every row
    of the SELECT has to pass it.
    """

    variable: str
    clause: Clause
    query: str
    operator: str | None
    other: str
    start: int
    narrows: bool


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


def is_scoped(sql: str, variable: str) -> bool:
    """Whether no row comes out that was not matched with the variable: by `=` or `in`, in every table's SELECT or
    around it."""
    scoped = {
        usage.query
        for usage in usages(sql)
        if usage.variable == variable and usage.narrows and usage.operator in _NARROWING
    }
    places = {id(select.node): select.path for select in selects_of(sql)}
    narrowed = {place for place, path in places.items() if path in scoped}
    return _is_scoped(parse(sql), narrowed, {}, 0)


def _is_scoped(query: Tree, narrowed: set[int], ctes: dict[str, Tree], depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if query["node"] == "SelectSetQuery":
        shared = ctes | _ctes(query["initial_select_query"])
        return all(_is_scoped(arm, narrowed, shared, depth + 1) for arm in arms(query))
    ctes = ctes | _ctes(query)
    shown = [node for node, _ in nodes_within(query["select"]) if node["node"] in QUERIES]
    if not all(_is_scoped(each, narrowed, ctes, depth + 1) for each in shown):
        return False
    if id(query) in narrowed:
        return True
    return all(_is_scoped_source(join["table"], narrowed, ctes, depth) for join in joins(query))


def _is_scoped_source(table: Tree, narrowed: set[int], ctes: dict[str, Tree], depth: int) -> bool:
    if table["node"] in QUERIES:
        return _is_scoped(table, narrowed, ctes, depth + 1)
    name = ".".join(map(str, table.get("chain") or ()))
    if name in ctes:
        above = {other: node for other, node in ctes.items() if other != name}
        return _is_scoped(ctes[name], narrowed, above, depth + 1)
    return name == "numbers"


def _ctes(query: Tree) -> dict[str, Tree]:
    named = (cte for cte in query.get("ctes") or () if cte.get("cte_type") != "column")
    return {str(cte["name"]): cte["expr"] for cte in named}


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
        narrows=at is not None and _narrows(clause, select, around[:at]),
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


def _narrows(clause: Clause, select: Select, around: tuple[Tree, ...]) -> bool:
    """A condition that is joined with the others by AND only."""
    if clause is Clause.JOIN:
        around = tuple(node for node in around if node["node"] != "JoinConstraint")
        if any(join.get("join_type") not in (None, *_INNER) for join in joins(select.node)):
            return False
    elif clause not in (Clause.WHERE, Clause.PREWHERE):
        return False
    return all(node["node"] == "And" or (node["node"] == "Call" and node["name"].lower() == "and") for node in around)
