"""Walk syntax trees of any depth without recursion, and the SELECTs and clauses of a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql.locus import QueryPath
from endpoints_gitops.hogql.parser import Tree, is_single_select, parse

QUERIES: Final = ("SelectQuery", "SelectSetQuery")
_POSITIONS: Final = ("start", "end")
_HOLDING: Final = (dict, list)


def is_node(value: Mapping[str, Any]) -> bool:
    """Whether a dict is a node. Positions are not, and neither are the named windows of a SELECT."""
    return isinstance(value.get("node"), str)


def nodes(*roots: object) -> Iterator[Tree]:
    """Every node under the roots and the roots themselves, parents before their children."""
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            if type(value.get("node")) is str:
                yield value
            for key, below in value.items():
                kind = type(below)
                if (kind is dict or kind is list) and key not in _POSITIONS:
                    waiting.append(below)
        elif type(value) is list:
            waiting.extend(value)


@lru_cache(maxsize=64)
def nodes_of(sql: str) -> tuple[Tree, ...]:
    """Every node of a text, cached for repeated calls. Raises ParseFailure."""
    return tuple(nodes(parse(sql)))


def nodes_within(*roots: object) -> Iterator[tuple[Tree, tuple[Tree, ...]]]:
    """Every node with its ancestors, outermost first; subqueries are included but not entered."""
    waiting: list[tuple[object, tuple[Tree, ...]]] = [(root, ()) for root in reversed(roots)]
    while waiting:
        value, around = waiting.pop()
        if type(value) is dict:
            if type(value.get("node")) is str:
                yield value, around
                if value["node"] in QUERIES:
                    continue
                around = (*around, value)
            waiting += [(below, around) for below in reversed(_children(value))]
        elif type(value) is list:
            waiting += [(below, around) for below in reversed(value)]


def of_kind(root: object, *kinds: str) -> Iterator[Tree]:
    return (node for node in nodes(root) if node["node"] in kinds)


def offset(node: Mapping[str, Any]) -> int:
    """The offset of a node in characters; 0 if the parser has none."""
    return int((node.get("start") or {}).get("offset") or 0)


def fold(root: object, combine: Callable[[dict[str, Any]], Any], *, whole: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - the type is what combine gives
    """Rebuild a tree from its leaves: `combine` gets each dict with its children already combined.

    Nodes of the kinds in `whole` are not entered: `combine` gets them unchanged. Positions are never entered.
    """
    holder: list[Any] = [root]
    order: list[tuple[Any, Any]] = [(holder, 0)]
    for parent, key in order:
        value = parent[key]
        if type(value) is dict:
            if whole and value.get("node") in whole:
                continue
            parent[key] = copy = value.copy()
            for inner, below in value.items():
                kind = type(below)
                if (kind is dict or kind is list) and inner not in _POSITIONS:
                    order.append((copy, inner))
        elif type(value) is list:
            inside = [index for index, below in enumerate(value) if type(below) in _HOLDING]
            if inside:
                parent[key] = items = value.copy()
                order += [(items, index) for index in inside]
    for parent, key in reversed(order):
        if type(parent[key]) is dict:
            parent[key] = combine(parent[key])
    return holder[0]


def _children(node: dict[str, Any]) -> list[Any]:
    return [below for key, below in node.items() if type(below) in _HOLDING and key not in _POSITIONS]


class Clause(StrEnum):
    """The clauses of a SELECT."""

    WITH = "with"
    SELECT = "select"
    FROM = "from"
    JOIN = "join"
    ARRAY_JOIN = "array join"
    PREWHERE = "prewhere"
    WHERE = "where"
    GROUP_BY = "group by"
    HAVING = "having"
    QUALIFY = "qualify"
    WINDOW = "window"
    ORDER_BY = "order by"
    LIMIT_BY = "limit by"
    LIMIT = "limit"
    OFFSET = "offset"


_KEYS: Final = (
    (Clause.SELECT, "select"),
    (Clause.ARRAY_JOIN, "array_join_list"),
    (Clause.PREWHERE, "prewhere"),
    (Clause.WHERE, "where"),
    (Clause.GROUP_BY, "group_by"),
    (Clause.HAVING, "having"),
    (Clause.QUALIFY, "qualify"),
    (Clause.WINDOW, "window_exprs"),
    (Clause.ORDER_BY, "order_by"),
    (Clause.LIMIT_BY, "limit_by"),
    (Clause.LIMIT, "limit"),
    (Clause.OFFSET, "offset"),
)


@dataclass(frozen=True, slots=True)
class Select:
    """A SELECT. `path` is empty for the outermost one, and otherwise such as `("union 2", "subquery x")`."""

    path: QueryPath
    node: Tree


@lru_cache(maxsize=64)
def selects_of(sql: str) -> tuple[Select, ...]:
    """Every SELECT of a text, cached for repeated calls. Raises ParseFailure."""
    tree = parse(sql)
    return (Select((), tree),) if is_single_select(sql) else tuple(selects(tree))


def selects(tree: Tree) -> Iterator[Select]:
    """Every SELECT, outer ones first. Each arm of a set is a separate SELECT."""
    waiting: list[tuple[QueryPath, Tree]] = [((), tree)]
    while waiting:
        path, node = waiting.pop()
        if node["node"] == "SelectSetQuery":
            waiting.extend(reversed([((*path, f"union {index}"), arm) for index, arm in enumerate(arms(node), 1)]))
        elif node["node"] == "SelectQuery":
            yield Select(path, node)
            waiting.extend(reversed([((*path, step), query) for step, query in _subqueries(node)]))


def arms(node: Tree) -> list[Tree]:
    """The queries of a set, in order."""
    return [node["initial_select_query"], *(arm["select_query"] for arm in node["subsequent_select_queries"])]


def clauses(select: Tree) -> Iterator[tuple[Clause, object]]:
    """The clauses of a SELECT with expressions, without its tables and subqueries in FROM."""
    for cte in select.get("ctes") or ():
        if cte.get("cte_type") == "column":
            yield Clause.WITH, cte["expr"]
    for join in joins(select):
        yield Clause.FROM, [join.get("table_args"), join.get("sample"), _placeholder(join["table"])]
        yield Clause.JOIN, join.get("constraint")
    for clause, key in _KEYS:
        yield clause, select.get(key)


def joins(select: Tree) -> Iterator[Tree]:
    """Every JoinExpr of FROM."""
    join = select.get("select_from")
    while join is not None:
        yield join
        join = join.get("next_join")


def _placeholder(table: Tree) -> Tree | None:
    return table if table["node"] == "Placeholder" else None


def _subqueries(select: Tree) -> Iterator[tuple[str, Tree]]:
    for cte in select.get("ctes") or ():
        if cte.get("cte_type") != "column":
            yield f"cte {cte['name']}", cte["expr"]
    for index, join in enumerate(joins(select), 1):
        if join["table"]["node"] in QUERIES:
            yield f"subquery {join.get('alias') or index}", join["table"]
    for clause, part in clauses(select):
        for node, _ in nodes_within(part):
            if node["node"] in QUERIES:
                yield f"subquery in {clause}", node
