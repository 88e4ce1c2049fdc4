"""What matters of a query to whoever reads its rows page by page (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.order import column_name, meaning_of, order_of
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.hogql.tree import QUERIES, nodes_within, of_kind
from endpoints_gitops.hogql.variables import variables_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """`ceiling` is the constant LIMIT, which no paging goes beyond; None where there is none.

    `is_union`: the server refuses to page a set of SELECTs. `unstable` says why a row can be missing or come twice when
    rows are read page by page; None where the order is total and the rows cannot change in between.
    """

    ceiling: int | None = None
    has_limit: bool = False
    has_order: bool = False
    is_union: bool = False
    unstable: str | None = None


_UNKNOWN: Final = Paged(has_order=True, unstable="the query cannot be analyzed here, so its order is not known")
"""Where the query cannot be understood, as on Windows, nothing is cut off."""

_GENERATED: Final = frozenset(name for name, table in TABLES.items() if table.is_generated)
_AFTER: Final = {"ASC": ">", "DESC": "<"}
_MIRRORED: Final = {"<": ">", ">": "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """A query that gives the rows behind a key: `column > {variables.variable}`, ordered by that column.

    `ceiling` is the constant LIMIT of one answer; None where there is none.
    """

    column: str
    variable: str
    ceiling: int | None = None


class KeysetRefused(ValueError):
    """The query cannot be paged by this column; says why not."""


def paged(sql: str | None) -> Paged:
    """Of a HogQL query; None stands for any other."""
    if sql is None:
        return _UNKNOWN
    try:
        tree = parse(sql)
    except ParseFailure:
        return _UNKNOWN
    return Paged(
        ceiling=_ceiling(tree),
        has_limit=tree.get("limit") is not None,
        has_order=bool(tree.get("order_by")),
        is_union=tree["node"] == "SelectSetQuery",
        unstable=_unstable(tree),
    )


def keyset(sql: str, column: str) -> Keyset:
    """How to page a HogQL query by a column. Raises KeysetRefused unless the query shows that nothing is lost.

    That holds where the rows behind a key are those of `column > expression`, or `<` for DESC, whatever expression of
    one variable that is: filter and order then agree, and no other part of the query sees the variable.
    """
    try:
        tree = parse(sql)
    except ParseFailure as failure:
        raise KeysetRefused(f"the query cannot be analyzed here: {failure.message}") from None
    if tree["node"] != "SelectQuery":
        raise KeysetRefused("the server has no pages of a UNION")
    key = _key(tree, column)
    order = (tree.get("order_by") or [None])[0]
    if order is None or meaning_of(order["expr"], tree) != key:
        first = f"begins with {readable(order['expr'])}" if order else "is missing"
        raise KeysetRefused(f"its ORDER BY {first}, and would have to begin with {column}")
    for reason, is_there in _obstacles(tree, order):
        if is_there:
            raise KeysetRefused(reason)
    operator = _AFTER[order.get("order") or "ASC"]
    variables = [name for where in _conditions(tree) if (name := _bound(where, tree, key, operator)) is not None]
    if len(variables) != 1:
        count = "no condition" if not variables else "several conditions"
        raise KeysetRefused(f"its WHERE has {count} {column} {operator} {{variables.…}}")
    (variable,) = variables
    if sum(variable in variables_in(node) for node in of_kind(tree, "Placeholder")) > 1:
        raise KeysetRefused(f"{{variables.{variable}}} is used in other places of the query too")
    return Keyset(column=column, variable=variable, ceiling=_ceiling(tree))


def _key(tree: Tree, column: str) -> str:
    """What the column is computed from. `*` gives each column of a table under its own name."""
    items = [item for item in tree["select"] if column_name(item) == column]
    if len(items) > 1:
        raise KeysetRefused(f"several of its columns are called {column}")
    has_all = any(item["node"] == "Field" and item["chain"] == ["*"] for item in tree["select"])
    if not items and not has_all:
        raise KeysetRefused(f"it has no column {column}")
    return meaning_of(items[0] if items else {"node": "Field", "chain": [column]}, tree)


def _obstacles(tree: Tree, order: Tree) -> tuple[tuple[str, bool], ...]:
    limit, windows = tree.get("limit"), (node for node, _ in nodes_within(tree["select"], tree.get("order_by")))
    return (
        ("WITH FILL adds rows to each page", bool(order.get("with_fill"))),
        ("LIMIT BY keeps other rows on each page", bool(tree.get("limit_by"))),
        ("its LIMIT is not a number", limit is not None and _ceiling(tree) is None),
        ("a LIMIT below 3 leaves no room to join pages", limit is not None and (_ceiling(tree) or 0) < 3),
        ("its OFFSET leaves out rows of each page", tree.get("offset") is not None),
        ("WITH TOTALS, ROLLUP and CUBE add rows to each page", bool(tree.get("group_by_mode"))),
        ("a window function sees no rows of other pages", any(node["node"] == "WindowFunction" for node in windows)),
        ("QUALIFY sees no rows of other pages", tree.get("qualify") is not None),
    )


def _conditions(tree: Tree) -> list[Tree]:
    """The conditions that each row meets, of WHERE and HAVING."""
    pending = [clause for clause in (tree.get("where"), tree.get("having")) if clause]
    conditions = []
    while pending:
        node = pending.pop()
        if node["node"] == "And":
            pending += node["exprs"]
        else:
            conditions.append(node)
    return conditions


def _bound(condition: Tree, tree: Tree, key: str, operator: str) -> str | None:
    """The variable that bounds the key in this condition; None for any other condition."""
    if condition["node"] != "CompareOperation":
        return None
    left, right, written = condition["left"], condition["right"], condition["op"]
    for compared, bound, relation in ((left, right, written), (right, left, _MIRRORED.get(written))):
        if relation == operator and meaning_of(compared, tree) == key:
            return _only_variable(bound)
    return None


def _only_variable(node: Tree) -> str | None:
    """The one variable that an expression is computed from; None where there are others, columns or subqueries."""
    variables: list[str] = []
    for inner, around in nodes_within(node):
        if inner["node"] == "Placeholder":
            variables += variables_in(inner)
        elif inner["node"] in ("Field", *QUERIES) and not any(outer["node"] == "Placeholder" for outer in around):
            return None
    return variables[0] if len(variables) == 1 else None


def _unstable(tree: Tree) -> str | None:
    order = order_of(tree)
    if not tree.get("order_by"):
        return "the query has no ORDER BY, so the order may change from page to page"
    if not order.is_total:
        also = f"; order by {', '.join(order.missing)} too" if order.missing else ""
        return f"ORDER BY {', '.join(order.keys)} may leave ties, whose order changes from page to page{also}"
    if _reads_tables(tree):
        return "rows may arrive or change while the pages are read, which moves the rows behind them"
    return None


def _reads_tables(tree: Tree) -> bool:
    """Whether any row comes from a table of the project, and not from numbers or from the query itself."""
    named = {str(name) for query in of_kind(tree, *QUERIES) for name in _cte_names(query)}
    tables = (join["table"] for join in of_kind(tree, "JoinExpr") if join.get("table"))
    chains = (".".join(map(str, table.get("chain") or ())) for table in tables if table["node"] == "Field")
    return any(chain not in named | _GENERATED for chain in chains)


def _cte_names(query: Tree) -> tuple[str, ...]:
    return tuple(str(each["name"]) for each in query.get("ctes") or ())


def _ceiling(tree: Tree) -> int | None:
    limit: Any = None if tree.get("limit_with_ties") else tree.get("limit")
    value = limit.get("value") if isinstance(limit, Mapping) and limit.get("node") == "Constant" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
