"""Canonical forms of queries: queries that differ only in formatting have the same form (rule M108)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql import insights
from endpoints_gitops.hogql.functions import known_name
from endpoints_gitops.hogql.locus import QueryPath
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse, parse_without_positions
from endpoints_gitops.hogql.printer import Unprintable, print_hogql
from endpoints_gitops.hogql.syntax_tree import QUERIES, arms, fold, is_node, joins
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.json import Json, canonical

_EXPANDED: Final = ("prewhere", "where", "group_by", "having", "qualify", "order_by", "limit_by")


@dataclass(frozen=True, slots=True)
class NormalSelect:
    """A SELECT in canonical form. `node` has normalized prefixes; in `expanded`, aliases are also replaced by their
    expressions.

    Both have no positions outside of subqueries, so that equal spellings are mostly equal trees.
    """

    path: QueryPath
    node: Tree
    expanded: Mapping[str, Any]


@lru_cache(maxsize=512)
def normal_selects(sql: str) -> Mapping[QueryPath, NormalSelect]:
    """The SELECTs that rows come from (the outermost, arms, CTEs, subqueries in FROM), by path. Raises ParseFailure."""
    selects_by_path: dict[QueryPath, NormalSelect] = {}
    waiting: list[tuple[QueryPath, Tree]] = [((), parse(sql))]
    while waiting:
        path, node = waiting.pop(0)
        if node["node"] == "SelectQuery":
            selects_by_path[path] = normal(path, node)
        waiting.extend(((*path, step), query) for step, query in sources_of(node))
    return selects_by_path


def normal(path: QueryPath, select: Tree) -> NormalSelect:
    select = {**select, **_placed(select)}
    prefixes = _prefixes(select)
    named = {key: _respelt(value, prefixes, {}) for key, value in select.items() if isinstance(value, dict | list)}
    node = {**select, **named}
    aliases = {str(item["alias"]): item["expr"] for item in node["select"] if item["node"] == "Alias"}
    expanded = {key: _respelt(node[key], {}, aliases) for key in _EXPANDED if node.get(key)}
    return NormalSelect(path, node, expanded)


def text(node: object) -> str:
    """The canonical text of a part of a query."""
    if not isinstance(node, dict) or not is_node(node):
        return canonical(node)  # type: ignore[arg-type]  # a tree consists of JSON
    try:
        return print_hogql(node)
    except Unprintable:
        return canonical(fold(node, _without_positions))


def _without_positions(node: Tree) -> Tree:
    return {key: value for key, value in node.items() if key not in ("start", "end")}


def sources_of(query: Tree) -> list[tuple[str, Tree]]:
    """The queries that the rows of a query come from, each with its path step."""
    if query["node"] == "SelectSetQuery":
        return [(f"union {position}", arm) for position, arm in enumerate(arms(query), 1)]
    ctes = [(f"cte {cte['name']}", cte["expr"]) for cte in query.get("ctes") or () if cte.get("cte_type") != "column"]
    tables = [(position, join["table"]) for position, join in enumerate(joins(query), 1)] if "select" in query else []
    return ctes + [(f"subquery {position}", table) for position, table in tables if table["node"] in QUERIES]


def _placed(select: Tree) -> Tree:
    """The SELECT with positions in GROUP BY and ORDER BY replaced by names."""
    names = [
        {"node": "Field", "chain": [item["alias"]]} if item["node"] == "Alias" else item for item in select["select"]
    ]
    keys = [_named(key, names) for key in select.get("group_by") or ()]
    order = [{**item, "expr": _named(item["expr"], names)} for item in select.get("order_by") or ()]
    return ({"group_by": keys} if keys else {}) | ({"order_by": order} if order else {})


def _named(node: Tree, names: list[Tree]) -> Tree:
    position = node.get("value") if node["node"] == "Constant" else None
    return names[position - 1] if type(position) is int and 0 < position <= len(names) else node


def _prefixes(select: Tree) -> dict[str, str | None]:
    """The canonical prefix of each source: none for the first one, the table or the position for joined ones."""
    sources = list(joins(select))
    names = [".".join(map(str, join["table"].get("chain") or ())) for join in sources]
    known = [str(join.get("alias") or name) for join, name in zip(sources, names, strict=True)]
    unique = {name for name in names if name and names.count(name) == 1}
    written = [name if name in unique else f"source {position}" for position, name in enumerate(names, 1)]
    return dict(zip(known, [None, *written[1:]], strict=True)) if known else {}


def _respelt(value: Any, prefixes: Mapping[str, str | None], aliases: Mapping[str, Tree]) -> Any:  # noqa: ANN401 - part of a tree
    def combine(node: dict[str, Any]) -> Any:  # noqa: ANN401 - part of a tree
        node = _without_positions(node)  # a copy: `fold` passes cached trees of whole queries
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


_UNPARSED: Final = "text:"
_OFF_BY_DEFAULT: Final = ("explain", "sendRawQuery")


def canonical_sql(sql: str) -> str:
    """The canonical text of a query, equal for two texts if the parser reads the same query in both.

    Layout, comments, keyword case, redundant parentheses and quotes do not matter; names of columns do. The canonical
    text of a query that cannot be parsed is the text itself, except for line endings and outer whitespace.
    """
    try:
        return canonical(parse_without_positions(sql))
    except (ParseFailure, RecursionError):
        return _UNPARSED + sql.replace("\r\n", "\n").strip()


def canonical_query(node: Mapping[str, Any]) -> Json:
    """The canonical form of a query node, equal for equivalent nodes.

    Variables are identified by code name, because their ids differ between projects. Empty keys and defaults of the
    server (docs/server.md#insights) are removed.
    """
    meaning = insights.strip(node)
    meaning.pop("version", None)  # the server's number of the schema of the node
    if node.get("kind") != "HogQLQuery":
        return _without_breakdown_limit(meaning)
    sql = str(meaning.get("query") or "")
    meaning = {key: value for key, value in meaning.items() if not (key in _OFF_BY_DEFAULT and value is False)}
    meaning |= {"query": canonical_sql(sql), "variables": _variables(meaning.get("variables"), sql)}
    return {key: value for key, value in meaning.items() if key != "variables" or value}


def _without_breakdown_limit(meaning: dict[str, Any]) -> Json:
    """The node without `breakdown_limit`, which has no effect in an endpoint (rule S117)."""
    breakdown = meaning.get("breakdownFilter")
    if not isinstance(breakdown, Mapping) or "breakdown_limit" not in breakdown:
        return meaning
    kept = {key: value for key, value in breakdown.items() if key != "breakdown_limit"}
    return {key: value for key, value in {**meaning, "breakdownFilter": kept}.items() if value != {}}


def _variables(variables: Json, sql: str) -> Json:
    """The variables by code name, without unused ones, which the server drops."""
    entries = list(variables.values()) if isinstance(variables, Mapping) else [variables] * bool(variables)
    if not all(isinstance(entry, Mapping) and "code_name" in entry for entry in entries):
        return variables  # the server would refuse this value
    values = {str(entry["code_name"]): _value(entry) for entry in entries if isinstance(entry, Mapping)}
    return {name: value for name, value in values.items() if _may_use(sql, name)}


def _value(entry: Mapping[str, Json]) -> Json:
    is_null = entry.get("isNull") is True
    return {"value": None if is_null else entry.get("value"), "isNull": is_null}


def _may_use(sql: str, name: str) -> bool:
    try:
        return name in variables_used(parse(sql))
    except ParseFailure:
        return True
