"""What matters of a query to whoever reads its rows page by page (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """`ceiling` is the constant LIMIT, which no paging goes beyond; None where there is none.

    `is_union`: the server refuses to page a set of SELECTs.
    """

    ceiling: int | None = None
    has_limit: bool = False
    has_order: bool = False
    is_union: bool = False


_UNKNOWN: Final = Paged(has_order=True)
"""Where the query cannot be understood, as on Windows, nothing is said of it and nothing cut off."""


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
    )


def _ceiling(tree: Tree) -> int | None:
    limit: Any = None if tree.get("limit_with_ties") else tree.get("limit")
    value = limit.get("value") if isinstance(limit, Mapping) and limit.get("node") == "Constant" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
