"""A query with its names spelt one way, so that two texts can be compared clause by clause.

`e.event` of the first table is `event`; of tables joined to it, the prefix is the table's name and not its alias. A
name of the SELECT list that stands in another clause is also written out as what it stands for; a number in GROUP BY
and ORDER BY is the name of the column in that place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql.functions import known_name
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.print_expressions import Unprintable
from endpoints_gitops.hogql.printer import print_hogql
from endpoints_gitops.hogql.selects import arms, joins
from endpoints_gitops.hogql.tree import QUERIES, fold, is_node
from endpoints_gitops.model.json import canonical

_EXPANDED: Final = ("prewhere", "where", "group_by", "having", "qualify", "order_by", "limit_by")


@dataclass(frozen=True, slots=True)
class NormalSelect:
    """`node` has its prefixes normalised; in `expanded` the names of the SELECT list are written out besides.

    Neither has positions outside of subqueries, so that what is spelt alike mostly is equal.
    """

    path: str
    node: Tree
    expanded: Mapping[str, Any]


@lru_cache(maxsize=512)
def normal_selects(sql: str) -> Mapping[str, NormalSelect]:
    """The SELECTs that rows come from (the outermost, arms, CTEs, subqueries in FROM), by path. Raises a
    ParseFailure.
    """
    found: dict[str, NormalSelect] = {}
    waiting = [("", parse(sql))]
    while waiting:
        path, node = waiting.pop(0)
        if node["node"] == "SelectQuery":
            found[path] = normal(path, node)
        waiting.extend((f"{path}/{step}".lstrip("/"), query) for step, query in sources_of(node))
    return found


def normal(path: str, select: Tree) -> NormalSelect:
    select = {**select, **_placed(select)}
    prefixes = _prefixes(select)
    named = {key: _respelt(value, prefixes, {}) for key, value in select.items() if isinstance(value, dict | list)}
    node = {**select, **named}
    aliases = {str(item["alias"]): item["expr"] for item in node["select"] if item["node"] == "Alias"}
    expanded = {key: _respelt(node[key], {}, aliases) for key in _EXPANDED if node.get(key)}
    return NormalSelect(path, node, expanded)


def text(node: object) -> str:
    """One text for all spellings of a part of a query."""
    if not isinstance(node, dict) or not is_node(node):
        return canonical(node)  # type: ignore[arg-type]  # a tree consists of JSON
    try:
        return print_hogql(node)
    except Unprintable:
        return canonical(fold(node, _without_positions))


def _without_positions(node: Tree) -> Tree:
    return {key: value for key, value in node.items() if key not in ("start", "end")}


def sources_of(query: Tree) -> list[tuple[str, Tree]]:
    """The queries that the rows of a query come from, each with its step of the path."""
    if query["node"] == "SelectSetQuery":
        return [(f"union {place}", arm) for place, arm in enumerate(arms(query), 1)]
    ctes = [(f"cte {cte['name']}", cte["expr"]) for cte in query.get("ctes") or () if cte.get("cte_type") != "column"]
    places = [(place, join["table"]) for place, join in enumerate(joins(query), 1)] if "select" in query else []
    return ctes + [(f"subquery {place}", table) for place, table in places if table["node"] in QUERIES]


def _placed(select: Tree) -> Tree:
    """GROUP BY and ORDER BY with names where numbers stand for places in the SELECT list."""
    names = [
        {"node": "Field", "chain": [item["alias"]]} if item["node"] == "Alias" else item for item in select["select"]
    ]
    keys = [_named(each, names) for each in select.get("group_by") or ()]
    order = [{**each, "expr": _named(each["expr"], names)} for each in select.get("order_by") or ()]
    return ({"group_by": keys} if keys else {}) | ({"order_by": order} if order else {})


def _named(node: Tree, names: list[Tree]) -> Tree:
    place = node.get("value") if node["node"] == "Constant" else None
    return names[place - 1] if type(place) is int and 0 < place <= len(names) else node


def _prefixes(select: Tree) -> dict[str, str | None]:
    """What each name of a source is written as: nothing for the first one, its table or its place for those joined
    to it.
    """
    sources = list(joins(select))
    names = [".".join(map(str, join["table"].get("chain") or ())) for join in sources]
    known = [str(join.get("alias") or name) for join, name in zip(sources, names, strict=True)]
    unique = {name for name in names if name and names.count(name) == 1}
    written = [name if name in unique else f"source {place}" for place, name in enumerate(names, 1)]
    return dict(zip(known, [None, *written[1:]], strict=True)) if known else {}


def _respelt(value: Any, prefixes: Mapping[str, str | None], aliases: Mapping[str, Tree]) -> Any:  # noqa: ANN401 - part of a tree
    def combine(node: dict[str, Any]) -> Any:  # noqa: ANN401 - part of a tree
        node.pop("start", None)
        node.pop("end", None)
        if node.get("node") == "Field":
            return _field(node, prefixes, aliases)
        if node.get("node") == "Call":
            return {**node, "name": known_name(str(node["name"]))}
        return node

    return fold(value, combine, whole=QUERIES)


def _field(node: Tree, prefixes: Mapping[str, str | None], aliases: Mapping[str, Tree]) -> Tree:
    head, *rest = map(str, node["chain"])
    if not rest:
        return aliases.get(head, node)
    if head not in prefixes or rest == ["*"]:
        return node
    prefix = prefixes[head]
    return {**node, "chain": [prefix, *rest] if prefix else rest}
