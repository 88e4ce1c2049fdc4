"""From a bound tree to the one text that ClickHouse is given, with the page that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.syntax_tree import nodes
from endpoints_gitops.hogql.tables import Table
from endpoints_gitops.local.engine import fields, functions, operators, select, windows
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Scope, TranslationContext
from endpoints_gitops.local.engine.select import MAXIMUM_LIMIT, Printed, top_query

TRANSLATORS = (fields, functions, operators, select, windows)
"""Imported for what they register: a translator for every kind of node."""

UNION_PAGED = (
    "Pagination is not supported for UNION queries. Wrap the UNION in a subquery: "
    "SELECT * FROM (... UNION ALL ...) LIMIT n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows are fetched and how many of them are given out; `ceiling` is the query's own LIMIT."""

    limit: int
    offset: int
    ceiling: int | None

    @property
    def shown(self) -> int:
        return self.limit if self.ceiling is None else max(0, min(self.limit, self.ceiling - self.offset))

    def has_more(self, fetched: int) -> bool:
        """Whether rows are left behind this page, by the number of those that were fetched for it."""
        below = self.ceiling is None or self.offset + self.shown < self.ceiling
        return below and fetched > self.shown


def translate(tree: Tree, tables: Mapping[str, Table], now: datetime | None) -> Printed:
    """The SQL of a tree without placeholders. Raises QueryRefused."""
    context = TranslationContext(tables=tables, now=now, taken=frozenset(_taken(tree)))
    try:
        return top_query(tree, Scope(context=context))
    except RecursionError:
        raise QueryRefused("The query is nested too deeply") from None


def paged(tree: Tree, limit: int, offset: int) -> tuple[Tree, Page]:
    """The query that fetches one row more than the page holds. The query's own LIMIT stays the ceiling of all pages."""
    if tree["node"] == "SelectSetQuery":
        raise QueryRefused(UNION_PAGED, "invalid_input")
    own = (tree.get("limit") or {}).get("value")
    ceiling = own if isinstance(own, int) and not isinstance(own, bool) else None
    page = Page(limit=limit, offset=offset, ceiling=ceiling)
    changed: dict[str, Any] = {"limit": _number(min(page.shown + 1, MAXIMUM_LIMIT))}
    if offset:
        changed["offset"] = _number(offset)
    return {**tree, **changed}, page


def _number(value: int) -> Tree:
    return {"node": "Constant", "value": value}


def _taken(tree: Tree) -> set[str]:
    """Every word that may become an alias in the printed SQL: a table of that name would hide behind it."""
    taken: set[str] = set()
    for node in nodes(tree):
        kind = node["node"]
        if kind == "Alias":
            taken.add(str(node["alias"]))
        elif kind == "Lambda":
            taken.update(map(str, node["args"]))
        elif kind == "Field":
            taken.add(str(node["chain"][-1]))
        elif kind == "CTE":
            taken.update(map(str, node.get("columns") or ()))
    return taken
