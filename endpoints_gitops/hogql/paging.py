"""Infer from the text of a query how many rows it returns, in which order, and how they can be paged
(rules G110 to G112, docs/server.md#paging).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.functions import is_aggregation, is_volatile
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import QUERIES, joins, nodes_of, nodes_within, of_kind, offset
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.hogql.variables import variables_in

_DEEPEST: Final = 40


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a query. `keys` are the items of ORDER BY. `is_total`: rows cannot tie; None if unknown."""

    keys: tuple[str, ...]
    is_total: bool | None
    missing: tuple[str, ...] = ()


def order_of(tree: Tree) -> Order:
    """The order of a query; empty for a set of SELECTs, which the parser gives no ORDER BY."""
    if tree["node"] != "SelectQuery":
        return Order((), None)
    keys = tuple(map(readable, tree.get("order_by") or ()))
    unique = _unique(tree, {}, 0)
    if unique is None:
        return Order(keys, None)
    named = {expression_of(key["expr"], tree) for key in tree.get("order_by") or ()}
    missing = tuple(dict.fromkeys(shown for expression, shown in unique if expression not in named))
    return Order(keys, not missing, missing)


type _Keys = list[tuple[str, str]]


def _unique(select: Tree, ctes: dict[str, Tree], depth: int) -> _Keys | None:
    """Expressions whose combination is unique for each row, each with its name; None if unknown."""
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
    """The unique keys of a subquery by their output names; None if one of them is not in the output."""
    if query["node"] != "SelectQuery":
        return None
    below = _unique(query, ctes, depth + 1)
    if below is None:
        return None
    names = {expression_of(item, query): column_name(item) for item in query["select"]}
    if not all(expression in names for expression, _ in below):
        return None
    return [(names[expression], names[expression]) for expression, _ in below]


def _pair(node: Tree, select: Tree) -> tuple[str, str]:
    return expression_of(node, select), column_name(node)


def column_name(item: Tree) -> str:
    """The name of an item of SELECT."""
    if item["node"] == "Alias":
        return str(item["alias"])
    return str(item["chain"][-1]) if item["node"] == "Field" and len(item["chain"]) == 1 else readable(item)


def expression_of(node: Tree, select: Tree) -> str:
    """The expression of a key: an alias or a position is replaced by its column, and `t.x` of a single table by `x`."""
    if node["node"] == "Alias":
        node = node["expr"]
    elif node["node"] == "Constant" and isinstance(node.get("value"), int):
        position = node["value"]
        node = select["select"][position - 1] if 0 < position <= len(select["select"]) else node
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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPaging:
    """How callers can page a query.

    `limit` is its constant LIMIT, `limit_text` any LIMIT as written. `is_union` marks a set of SELECTs, which the
    server refuses to page. `sql` is None if the query cannot be analyzed, as on Windows.
    """

    limit: int | None = None
    limit_text: str | None = None
    has_ties: bool = False
    has_order: bool = False
    is_union: bool = False
    sql: str | None = None

    @property
    def has_limit(self) -> bool:
        return self.limit_text is not None

    @property
    def ceiling(self) -> int | None:
        """The constant LIMIT, which also limits paging; None without one, or if it is not a number."""
        return None if self.has_ties else self.limit

    @property
    def written_limit(self) -> int | str | None:
        """The LIMIT as a number, else as written."""
        return self.limit_text if self.limit is None else self.limit

    @property
    def unstable(self) -> str | None:
        """Why rows can be missing or duplicated in several pages; None if the order is total and the rows cannot change
        meanwhile.
        """
        return "the query cannot be analyzed here, so its order is unknown" if self.sql is None else _unstable(self.sql)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryShape:
    """Facts about the rows of a query.

    `order_is_total`: ORDER BY leaves no ties; None if unknown. `order_missing` are the columns that are missing for a
    total order. `volatile` are calls that depend on the current time. `stars` are the `*` in the list of columns.
    """

    paging: QueryPaging
    order_by: tuple[str, ...]
    order_is_total: bool | None
    order_missing: tuple[str, ...]
    volatile: tuple[str, ...]
    stars: tuple[str, ...]


@lru_cache(maxsize=2048)
def shape(sql: str) -> QueryShape:
    """The facts about the rows of a query. Raises ParseFailure."""
    tree = parse(sql)
    order = order_of(tree)
    return QueryShape(
        paging=paging(sql),
        order_by=order.keys,
        order_is_total=order.is_total,
        order_missing=order.missing,
        volatile=_volatile(sql),
        stars=output(sql).stars,
    )


def paging(sql: str) -> QueryPaging:
    """How callers can page a HogQL query. Raises ParseFailure."""
    tree = parse(sql)
    limit = tree.get("limit")
    return QueryPaging(
        limit=constant_limit(tree),
        limit_text=readable(limit) if limit else None,
        has_ties=bool(tree.get("limit_with_ties")),
        has_order=bool(tree.get("order_by")),
        is_union=tree["node"] == "SelectSetQuery",
        sql=sql,
    )


def paged(sql: str | None) -> QueryPaging:
    """How callers can page any query, without a limit for an insight (None) and for a query that cannot be parsed."""
    try:
        return _UNKNOWN if sql is None else paging(sql)
    except ParseFailure:
        return _UNKNOWN


def constant_limit(tree: Tree) -> int | None:
    """The LIMIT of a query if it is a number, else None."""
    value = (tree.get("limit") or {}).get("value")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _volatile(sql: str) -> tuple[str, ...]:
    named = (node for node in nodes_of(sql) if node["node"] == "Call" and is_volatile(str(node["name"])))
    calls = sorted(named, key=offset)
    return tuple(dict.fromkeys(map(readable, calls)))


_UNKNOWN: Final = QueryPaging(has_order=True)
_GENERATED: Final = frozenset(name for name, table in TABLES.items() if table.is_generated)
_AFTER: Final = {"ASC": ">", "DESC": "<"}
_MIRRORED: Final = {"<": ">", ">": "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """A query that returns the rows after a key: `column > {variables.variable}`, ordered by that column.

    `ceiling` is its constant LIMIT, or None.
    """

    column: str
    variable: str
    ceiling: int | None = None


class KeysetRefused(ValueError):
    """The query cannot be paged by this column; the text says why."""


def keyset(sql: str, column: str) -> Keyset:
    """How to page a HogQL query by a column. Raises KeysetRefused unless no row can be lost.

    The query must select the rows after a key by `column > expression` (`<` for DESC), where the expression depends on
    one variable only: then filter and order agree. No other part of the query may use the variable.
    """
    try:
        tree = parse(sql)
    except ParseFailure as failure:
        raise KeysetRefused(f"the query cannot be analyzed here: {failure.message}") from None
    if tree["node"] != "SelectQuery":
        raise KeysetRefused("the server cannot page a UNION")
    key, ceiling = _key(tree, column), paging(sql).ceiling
    order = (tree.get("order_by") or [None])[0]
    if order is None or expression_of(order["expr"], tree) != key:
        first = f"begins with {readable(order['expr'])}" if order else "is missing"
        raise KeysetRefused(f"its ORDER BY {first}; it must begin with {column}")
    for reason, is_there in _obstacles(tree, order, ceiling):
        if is_there:
            raise KeysetRefused(reason)
    operator = _AFTER[order.get("order") or "ASC"]
    variables = [name for where in _conditions(tree) if (name := _bound(where, tree, key, operator)) is not None]
    if len(variables) != 1:
        count = "no condition" if not variables else "several conditions"
        raise KeysetRefused(f"its WHERE has {count} {column} {operator} {{variables.…}}")
    (variable,) = variables
    if sum(variable in variables_in(node) for node in of_kind(tree, "Placeholder")) > 1:
        raise KeysetRefused(f"other parts of the query use {{variables.{variable}}} too")
    return Keyset(column=column, variable=variable, ceiling=ceiling)


def _key(tree: Tree, column: str) -> str:
    """The expression of the column. `*` includes each column of a table under its name."""
    items = [item for item in tree["select"] if column_name(item) == column]
    if len(items) > 1:
        raise KeysetRefused(f"several of its columns are named {column}")
    has_all = any(item["node"] == "Field" and item["chain"] == ["*"] for item in tree["select"])
    if not items and not has_all:
        raise KeysetRefused(f"it has no column {column}")
    return expression_of(items[0] if items else {"node": "Field", "chain": [column]}, tree)


def _obstacles(tree: Tree, order: Tree, ceiling: int | None) -> tuple[tuple[str, bool], ...]:
    limit, windows = tree.get("limit"), (node for node, _ in nodes_within(tree["select"], tree.get("order_by")))
    return (
        ("WITH FILL adds rows to each page", bool(order.get("with_fill"))),
        ("LIMIT BY keeps different rows on each page", bool(tree.get("limit_by"))),
        ("its LIMIT is not a number", limit is not None and ceiling is None),
        ("a LIMIT below 3 is too small to join pages", limit is not None and (ceiling or 0) < 3),
        ("its OFFSET skips rows of each page", tree.get("offset") is not None),
        ("WITH TOTALS, ROLLUP and CUBE add rows to each page", bool(tree.get("group_by_mode"))),
        (
            "a window function does not include rows of other pages",
            any(node["node"] == "WindowFunction" for node in windows),
        ),
        ("QUALIFY does not include rows of other pages", tree.get("qualify") is not None),
    )


def _conditions(tree: Tree) -> list[Tree]:
    """The conditions of WHERE and HAVING that every row meets."""
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
    """The variable that is compared with the key in this condition, or None."""
    if condition["node"] != "CompareOperation":
        return None
    left, right, written = condition["left"], condition["right"], condition["op"]
    for compared, bound, relation in ((left, right, written), (right, left, _MIRRORED.get(written))):
        if relation == operator and expression_of(compared, tree) == key:
            return _only_variable(bound)
    return None


def _only_variable(node: Tree) -> str | None:
    """The only variable of an expression; None if it has other variables, columns or subqueries."""
    variables: list[str] = []
    for inner, around in nodes_within(node):
        if inner["node"] == "Placeholder":
            variables += variables_in(inner)
        elif inner["node"] in ("Field", *QUERIES) and not any(outer["node"] == "Placeholder" for outer in around):
            return None
    return variables[0] if len(variables) == 1 else None


@lru_cache(maxsize=512)
def _unstable(sql: str) -> str | None:
    tree = parse(sql)
    order = order_of(tree)
    if not tree.get("order_by"):
        return "the query has no ORDER BY, so the order can change between pages"
    if not order.is_total:
        also = f"; also order by {', '.join(order.missing)}" if order.missing else ""
        return f"ORDER BY {', '.join(order.keys)} can leave ties, whose order changes between pages{also}"
    if _reads_tables(tree):
        return "rows can arrive or change while the pages are read, which moves other rows to different pages"
    return None


def _reads_tables(tree: Tree) -> bool:
    """Whether any row comes from a table of the project, not from `numbers` or constants."""
    named = {str(name) for query in of_kind(tree, *QUERIES) for name in _cte_names(query)}
    tables = (join["table"] for join in of_kind(tree, "JoinExpr") if join.get("table"))
    chains = (".".join(map(str, table.get("chain") or ())) for table in tables if table["node"] == "Field")
    return any(chain not in named | _GENERATED for chain in chains)


def _cte_names(query: Tree) -> tuple[str, ...]:
    return tuple(str(cte["name"]) for cte in query.get("ctes") or ())
