"""What can be said of a query's rows from its text: how many, in which order, and what moves them (rules G110 to
G112)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.functions import is_volatile
from endpoints_gitops.hogql.order import order_of
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.tree import of_kind, offset


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryShape:
    """`limit` and `offset` are numbers where they are written as such; the texts are there for any.

    `order_is_total` says whether ORDER BY leaves no ties, None where that cannot be told; `order_missing` are what
    it would have to name besides. `moving` are calls whose value changes by itself. `stars` are the
    `*` of the list of columns.
    """

    limit: int | None
    limit_text: str | None
    offset: int | None
    offset_text: str | None
    is_union: bool
    group_by: tuple[str, ...]
    order_by: tuple[str, ...]
    order_is_total: bool | None
    order_missing: tuple[str, ...]
    moving: tuple[str, ...]
    stars: tuple[str, ...]

    @property
    def is_paged_by_server(self) -> bool:
        """Whether a caller may give `limit` and `offset`: the server refuses them for a set of SELECTs."""
        return not self.is_union


@lru_cache(maxsize=2048)
def shape(sql: str) -> QueryShape:
    """Raises a ParseFailure."""
    tree = parse(sql)
    order = order_of(tree)
    return QueryShape(
        limit=_number(tree.get("limit")),
        limit_text=_text(tree.get("limit")),
        offset=_number(tree.get("offset")),
        offset_text=_text(tree.get("offset")),
        is_union=tree["node"] == "SelectSetQuery",
        group_by=tuple(map(readable, tree.get("group_by") or ())),
        order_by=order.keys,
        order_is_total=order.is_total,
        order_missing=order.missing,
        moving=_moving(tree),
        stars=output(sql).stars,
    )


def _moving(tree: Tree) -> tuple[str, ...]:
    calls = sorted((call for call in of_kind(tree, "Call") if is_volatile(str(call["name"]))), key=offset)
    return tuple(dict.fromkeys(map(readable, calls)))


def _number(node: Tree | None) -> int | None:
    value = (node or {}).get("value")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(node: Tree | None) -> str | None:
    return readable(node) if node else None
