"""Whether ORDER BY leaves ties, and what it would have to name so that it does not (rule G111)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from endpoints_gitops.hogql.functions import is_aggregation
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.selects import joins
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.hogql.tree import QUERIES, nodes_within

_DEEPEST: Final = 40


@dataclass(frozen=True, slots=True)
class Order:
    """`keys` are the items of ORDER BY. `is_total` is None where it cannot be told whether rows tie."""

    keys: tuple[str, ...]
    is_total: bool | None
    missing: tuple[str, ...] = ()


def order_of(tree: Tree) -> Order:
    """Of a set of SELECTs nothing is known: the parser leaves it no ORDER BY."""
    if tree["node"] != "SelectQuery":
        return Order((), None)
    keys = tuple(map(readable, tree.get("order_by") or ()))
    unique = _unique(tree, {}, 0)
    if unique is None:
        return Order(keys, None)
    named = {meaning_of(each["expr"], tree) for each in tree.get("order_by") or ()}
    missing = tuple(dict.fromkeys(shown for meant, shown in unique if meant not in named))
    return Order(keys, not missing, missing)


type _Keys = list[tuple[str, str]]


def _unique(select: Tree, ctes: dict[str, Tree], depth: int) -> _Keys | None:
    """Expressions that together differ from row to row, each as it is computed and as it is called; None where
    unknown."""
    ctes = ctes | {str(cte["name"]): cte["expr"] for cte in select.get("ctes") or () if cte.get("cte_type") != "column"}
    if select.get("group_by_mode"):
        return None
    if select.get("group_by"):
        return [_pair(key, select) for key in select["group_by"]]
    if _aggregates(select):
        return []
    if select.get("distinct"):
        return [_pair(item, select) for item in select["select"]]
    if select.get("array_join_list") or depth > _DEEPEST:
        return None
    sources = list(joins(select))
    return _unique_of(sources[0], ctes, depth) if len(sources) == 1 else ([] if not sources else None)


def _unique_of(join: Tree, ctes: dict[str, Tree], depth: int) -> _Keys | None:
    table = join["table"]
    name = ".".join(map(str, table.get("chain") or ()))
    query = table if table["node"] in QUERIES else ctes.get(name)
    if query is not None:
        return _unique_of_query(query, {other: node for other, node in ctes.items() if other != name}, depth)
    known = TABLES.get(name)
    return [(column, column) for column in known.key] if known and known.key else None


def _unique_of_query(query: Tree, ctes: dict[str, Tree], depth: int) -> _Keys | None:
    """By the names under which the keys come out; None where one does not."""
    if query["node"] != "SelectQuery":
        return None
    below = _unique(query, ctes, depth + 1)
    if below is None:
        return None
    names = {meaning_of(item, query): column_name(item) for item in query["select"]}
    if not all(meant in names for meant, _ in below):
        return None
    return [(names[meant], names[meant]) for meant, _ in below]


def _pair(node: Tree, select: Tree) -> tuple[str, str]:
    return meaning_of(node, select), column_name(node)


def column_name(item: Tree) -> str:
    """The name under which an item of SELECT comes out."""
    if item["node"] == "Alias":
        return str(item["alias"])
    return str(item["chain"][-1]) if item["node"] == "Field" and len(item["chain"]) == 1 else readable(item)


def meaning_of(node: Tree, select: Tree) -> str:
    """What a key is computed from: an alias and a position stand for the column that they name, `t.x` of one table
    is `x`."""
    if node["node"] == "Alias":
        node = node["expr"]
    elif node["node"] == "Constant" and isinstance(node.get("value"), int):
        place = node["value"]
        node = select["select"][place - 1] if 0 < place <= len(select["select"]) else node
    elif node["node"] == "Field" and len(node["chain"]) == 1:
        aliases = (item for item in select["select"] if item["node"] == "Alias")
        named = (item["expr"] for item in aliases if item["alias"] == node["chain"][0])
        node = next(named, node)
    node = node["expr"] if node["node"] == "Alias" else node
    return _unprefixed(node, select)


def _unprefixed(node: Tree, select: Tree) -> str:
    sources = list(joins(select))
    if node["node"] == "Field" and len(node["chain"]) == 2 and len(sources) == 1:
        known = sources[0].get("alias") or ".".join(map(str, sources[0]["table"].get("chain") or ()))
        if node["chain"][0] == known:
            return readable({"node": "Field", "chain": node["chain"][1:]})
    return readable(node)


def _aggregates(select: Tree) -> bool:
    parts = nodes_within(select["select"], select.get("having"))
    return any(node["node"] == "Call" and is_aggregation(str(node["name"])) for node, _ in parts)
