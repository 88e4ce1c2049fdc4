"""Find the position of a finding in the text of a query, by its locus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from endpoints_gitops.hogql.canonical import sources_of
from endpoints_gitops.hogql.column_names import expression_name
from endpoints_gitops.hogql.locus import Locus, QueryPath
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import UnboundVariable, readable
from endpoints_gitops.hogql.syntax_tree import Select, joins, nodes, nodes_of, offset, selects_of
from endpoints_gitops.hogql.variables import usages

_KEYS: Final = {
    "prewhere": "prewhere",
    "where": "where",
    "group by": "group_by",
    "having": "having",
    "qualify": "qualify",
    "window": "window_exprs",
    "order by": "order_by",
    "order": "order_by",
    "limit by": "limit_by",
    "limit": "limit",
    "with ties": "limit",
    "offset": "offset",
    "array join": "array_join_list",
}


def offset_of(sql: str, locus: str) -> int | None:
    """The offset of the part that a locus names, or of the query; None if the text cannot be parsed.

    The clause `alias` is the name of a column rather than its expression.
    """
    try:
        found_at = None
        if isinstance(locus, Locus) and locus.clause == "variables":
            found_at = next((use.start for use in usages(sql) if use.variable == locus.name), None)
        elif isinstance(locus, Locus):
            select = _by_path(sql).get(locus.path) or _by_path(sql).get((*locus.path, "union 1"))
            found_at = _in_select(sql, select, locus) if select is not None else None
        return _start(parse(sql)) if found_at is None else found_at
    except ParseFailure:
        return None


def offset_of_call(sql: str, call: str) -> int | None:
    """The offset of the first call that is printed like this; None if the text cannot be parsed."""
    try:
        named = (node for node in nodes_of(sql) if node["node"] == "Call" and str(node["name"]) in call)
        return min((offset(node) for node in named if readable(node) == call), default=None)
    except ParseFailure:
        return None


def _by_path(sql: str) -> dict[QueryPath, Select]:
    """Every SELECT by path; a subquery is under its alias and under its position."""
    by_path = {select.path: select for select in selects_of(sql)}
    waiting: list[tuple[QueryPath, Tree]] = [((), parse(sql))]
    while waiting:
        path, node = waiting.pop()
        if node["node"] == "SelectQuery":
            by_path.setdefault(path, Select(path, node))
        waiting += [((*path, step), query) for step, query in sources_of(node)]
    return by_path


def _in_select(sql: str, select: Select, locus: Locus) -> int | None:
    if not locus.clause:
        return _start(select.node)
    if locus.clause in ("columns", "alias"):
        return _column(sql, select, locus.name, is_alias=locus.clause == "alias")
    if locus.clause in _KEYS:
        return _start(select.node.get(_KEYS[locus.clause]))
    if locus.clause == "from":
        return _start(select.node.get("select_from"))
    if locus.clause == "join":
        return _join(select, locus.name)
    if locus.clause == "with":
        named = (cte for cte in select.node.get("ctes") or () if cte["name"] == locus.name)
        return next(map(_start, named), None)
    return _start(select.node["select"]) if locus.clause == "distinct" else None


def _column(sql: str, select: Select, name: str, *, is_alias: bool) -> int | None:
    items = select.node["select"]
    if not name:
        return _start(items)
    item = next((item for item in items if _is_called(item, name)), None)
    if item is None:
        return None
    if is_alias and item["node"] == "Alias" and item.get("end"):
        end = int(item["end"]["offset"])
        return sql.rindex(name, 0, end) if name in sql[_start(item) or 0 : end] else _start(item)
    return _start(item)


def _is_called(item: Tree, name: str) -> bool:
    if item["node"] == "Alias":
        return bool(item["alias"] == name)
    if item["node"] == "Field" and item["chain"][-1] == name:
        return True
    try:
        return name in (readable(item), expression_name(item).text)
    except UnboundVariable:  # a text that cannot be a name
        return False


def _join(select: Select, table: str) -> int | None:
    """The offset of the join of a table, or of the first join."""
    joined = list(joins(select.node))[1:]
    named = [join for join in joined if ".".join(map(str, join["table"].get("chain") or ())) == table]
    return next(map(_start, [*named, *joined]), None)


def _start(value: object) -> int | None:
    """The offset of the first node with a position in a part of the tree."""
    placed = [offset(node) for node in nodes(value) if isinstance(node.get("start"), Mapping)]
    return min(placed, default=None)
