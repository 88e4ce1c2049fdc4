"""What matters of a query to whoever reads its rows page by page (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.order import order_of
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.tree import QUERIES, of_kind


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

_FIXED_TABLES: Final = frozenset({"numbers"})


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
    return any(chain not in named | _FIXED_TABLES for chain in chains)


def _cte_names(query: Tree) -> tuple[str, ...]:
    return tuple(str(each["name"]) for each in query.get("ctes") or ())


def _ceiling(tree: Tree) -> int | None:
    limit: Any = None if tree.get("limit_with_ties") else tree.get("limit")
    value = limit.get("value") if isinstance(limit, Mapping) and limit.get("node") == "Constant" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
