"""Whether the server can materialize a query (checks and messages in the server's words and order), and what is lost
when it reads the table (docs/server.md#materialization, #table-reads).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql.functions import is_additive, is_aggregation
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import QUERIES, arms, clauses, joins, nodes, nodes_within, of_kind
from endpoints_gitops.hogql.variables import chain_of, variables_in

_CARRYING: Final = ("JOIN", "INNER JOIN", "CROSS JOIN")
_IN_SCALAR: Final = (
    "Scalar subquery in top-level query references a CTE downstream of the variable-carrying CTE; the transformer "
    "cannot rewrite it to carry the variable column. Move the reference to the top-level FROM."
)
_REQUIRES: Final = "CTE variable propagation requires"
_UNREAD: Final = "Downstream CTE does not read from any propagating CTE"
_WINDOWS: Final = "Window functions in downstream CTEs of a variable CTE are not yet supported for materialization"


def reason_of_cte(tree: Tree, carrier: str, names: list[str]) -> str | None:
    """Why the query cannot be materialized; `carrier` is the CTE with the variables `names`."""
    if len(list(joins(tree))) > 1:
        return "CTE variables with JOINs in the top-level query are not supported for materialization"
    carrying, why = {carrier}, None
    for cte in _after(tree, carrier):
        if why is None and _reads(cte["expr"], carrying):
            why = _of_body(str(cte["name"]), cte["expr"], carrying, names)
            carrying.add(str(cte["name"]))
    if any(_reads(query, carrying) for query in _scalars(tree)):
        return _IN_SCALAR
    return why


def carriers(tree: Tree, carrier: str) -> list[Tree]:
    """The CTE with the variables, and those that read its rows, directly or indirectly."""
    ctes: list[Tree] = tree.get("ctes") or []
    chain, names = [next(cte for cte in ctes if cte["name"] == carrier)], {carrier}
    for cte in _after(tree, carrier):
        if _reads(cte["expr"], names):
            chain.append(cte)
            names.add(str(cte["name"]))
    return chain


def _after(tree: Tree, carrier: str) -> list[Tree]:
    ctes: list[Tree] = tree.get("ctes") or []
    index = next(index for index, cte in enumerate(ctes) if cte["name"] == carrier)
    return ctes[index + 1 :]


def _of_body(name: str, body: Tree, carrying: set[str], names: list[str]) -> str | None:
    if body["node"] == "SelectQuery":
        return _of_select(name, body, carrying, names)
    if body["node"] != "SelectSetQuery":
        return f"Unsupported CTE body type: {body['node']}"
    if any(item["set_operator"] != "UNION ALL" for item in body["subsequent_select_queries"]):
        return "Only UNION ALL is supported for propagation across set operations"
    legs = (_of_body(name, arm, carrying, names) for arm in arms(body))
    why = next(filter(None, legs), None)
    return None if why is None else f"Variable propagation failed on UNION leg: {why}"


def _of_select(name: str, body: Tree, carrying: set[str], names: list[str]) -> str | None:
    if any(node["node"] == "WindowFunction" for node, _ in nodes_within(body["select"])):
        return _WINDOWS
    tables = [join["table"] for join in joins(body)]
    if any(table["node"] in QUERIES and _reads(table, carrying) for table in tables):
        return f"{_REQUIRES} top-level FROM references; nested subquery reference not supported"
    if any(_reads(query, carrying) for query in _scalars(body)):
        return f"{_REQUIRES} top-level FROM references; scalar subquery reading from a propagating CTE not supported"
    read = [join for join in joins(body) if _named(join["table"]) in carrying]
    if not read:
        return _UNREAD
    odd = next((join["join_type"] for join in read if join.get("join_type") not in (None, *_CARRYING)), None)
    if odd is not None:
        return f"{_REQUIRES} CROSS/INNER joins between propagating CTEs; {odd} not supported"
    collision = next((item for item in names if item in _columns(body)), None)
    return (
        None
        if collision is None
        else f"Variable code_name '{collision}' collides with existing column in downstream CTE {name}"
    )


def _columns(select: Tree) -> set[str]:
    return {
        str(item["alias"]) if item["node"] == "Alias" else str((item.get("chain") or [readable(item)])[-1])
        for item in select["select"]
    }


def _scalars(select: Tree) -> Iterable[Tree]:
    """The subqueries in expressions."""
    return (node for _, part in clauses(select) for node, _ in nodes_within(part) if node["node"] in QUERIES)


def _reads(query: Tree, names: set[str]) -> bool:
    return any(_named(node["table"]) in names for node in nodes(query) if node["node"] == "JoinExpr")


def _named(table: Tree) -> str:
    return ".".join(map(str, table.get("chain") or ()))


_ALLOWED: Final = ("==", ">=", ">", "<", "<=", "like", "ilike", "not like", "not ilike")
_RANGES: Final = (">=", ">", "<", "<=")
_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}


@dataclass(frozen=True, slots=True)
class VariableUse:
    """A variable in the WHERE of the outermost SELECT (`cte` is None) or of a CTE. `other` is None without a
    comparison. `around` are the nodes between the comparison and the variable, outermost first.
    """

    name: str
    cte: str | None
    operator: str
    other: Tree | None
    under_or: bool
    around: tuple[Tree, ...] = ()


def reason_of_variables(tree: Tree, declared: set[str]) -> str | None:
    """Why the query cannot be materialized, without the server's prefix."""
    placeholders = [
        node for node in of_kind(tree, "Placeholder") if variables_in(node) or chain_of(node)[:1] == ("variables",)
    ]
    if not placeholders:
        return "No variables found"
    if any(len(chain_of(node)) < 2 for node in placeholders):
        return "Invalid variable placeholder format"
    names = list(dict.fromkeys(chain_of(node)[1] for node in placeholders))
    if not set(names) <= declared:
        return "Variable metadata not found"
    if _in_having(tree):
        return "Variable used in HAVING clause are not supported for materialization."
    uses = uses_of(tree)
    return next((why for check in _CHECKS if (why := check(tree, names, uses)) is not None), None)


def uses_of(tree: Tree) -> list[VariableUse]:
    """Every variable in a WHERE that can filter a table."""
    if tree["node"] != "SelectQuery":
        return []
    ctes = [(str(cte["name"]), cte["expr"]) for cte in tree.get("ctes") or () if cte["expr"]["node"] == "SelectQuery"]
    selects: list[tuple[str | None, Tree]] = [(None, tree), *ctes]
    return [use for cte, select in selects for use in _uses_in(cte, select.get("where"))]


def _uses_in(cte: str | None, where: Tree | None) -> Iterable[VariableUse]:
    for node, around in nodes_within(where):
        if node["node"] == "Placeholder" and len(chain_of(node)) > 1:
            yield _use(chain_of(node)[1], cte, node, around)


def _use(name: str, cte: str | None, node: Tree, around: tuple[Tree, ...]) -> VariableUse:
    at = next((index for index in reversed(range(len(around))) if around[index]["node"] == "CompareOperation"), None)
    is_or = any(_is_call(node, "Or", "or") for node in around)
    if at is None or any(_is_call(node, "Not", "not") for node in around[:at]):
        return VariableUse(name, cte, "", None, is_or)
    comparison, side = around[at], (*around, node)[at + 1]
    operator, wrappers = str(comparison["op"]), around[at + 1 :]
    if comparison["right"] is side:
        return VariableUse(name, cte, operator, comparison["left"], is_or, wrappers)
    return VariableUse(name, cte, _FLIPPED.get(operator, operator), comparison["right"], is_or, wrappers)


def _is_call(node: Tree, kind: str, name: str) -> bool:
    return bool(node["node"] == kind or (node["node"] == "Call" and node["name"] == name))


def _in_having(tree: Tree) -> bool:
    return any(any(of_kind(select.get("having"), "Placeholder")) for select in of_kind(tree, "SelectQuery"))


def _compared_with_another(_tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    if any(any(of_kind(use.other, "Placeholder")) for use in uses):
        return (
            "Variable compared against an expression containing another variable is not supported for materialization"
        )
    return None


def _not_in_where(_tree: Tree, names: list[str], uses: list[VariableUse]) -> str | None:
    if any(use.other is None for use in uses):
        return "Invalid variable usage in WHERE clause."
    return None if set(names) <= {use.name for use in uses} else "Variable not used in WHERE clause"


def _under_or(_tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    return "Variables in OR conditions are not supported for materialization" if any(u.under_or for u in uses) else None


def _several_columns(_tree: Tree, names: list[str], uses: list[VariableUse]) -> str | None:
    for name in names:
        if len({readable(use.other) for use in uses if use.name == name and use.other is not None}) > 1:
            return "Variable compared against multiple columns is not supported for materialization"
    return None


def _several_places(_tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    ctes = {use.cte for use in uses}
    if None in ctes and len(ctes) > 1:
        return "Variable used in both CTE and top-level query is not yet supported"
    return "Variable used in multiple CTEs is not yet supported" if len(ctes) > 1 else None


def _operators(_tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    wrong = next((use.operator for use in uses if use.operator not in _ALLOWED), None)
    return None if wrong is None else f"Unsupported operator {wrong}, supported: =, >=, >, <, <="


def _aggregates(tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    """With a range variable the table has buckets, so the values of its aggregations must be additive."""
    if not any(use.operator in _RANGES for use in uses):
        return None
    calls = [node for node, _ in nodes_within(tree["select"]) if node["node"] == "Call"]
    for call in calls:
        if not is_aggregation(str(call["name"])):
            continue
        name = f"{call['name']}Distinct" if call.get("distinct") else str(call["name"])
        if not is_additive(name):
            return f"Aggregate function '{name}' cannot be re-aggregated for range variable materialization"
    return None


def _downstream(tree: Tree, names: list[str], uses: list[VariableUse]) -> str | None:
    cte = next((use.cte for use in uses if use.cte is not None), None)
    return None if cte is None else reason_of_cte(tree, cte, names)


def _aliases(tree: Tree, _names: list[str], uses: list[VariableUse]) -> str | None:
    aliases = {str(item["alias"]): readable(item["expr"]) for item in tree["select"] if item["node"] == "Alias"}
    for use in uses:
        if use.other is not None and aliases.get(use.name, readable(use.other)) != readable(use.other):
            return (
                f"Variable '{use.name}' conflicts with an existing SELECT alias for a different expression. "
                "Rename the variable or the conflicting column alias."
            )
    return None


type _Check = Callable[[Tree, list[str], list[VariableUse]], str | None]

_CHECKS: Final[tuple[_Check, ...]] = (
    _compared_with_another,
    _not_in_where,
    _under_or,
    _several_columns,
    _several_places,
    _operators,
    _aggregates,
    _downstream,
    _aliases,
)


SUPPORTED: Final = ("HogQLQuery", "LifecycleQuery", "RetentionQuery", "TrendsQuery")
COMPARED: Final = "Compare mode is not supported for materialized endpoints."
BY_COHORT: Final = "Cohort breakdowns are not supported for materialized endpoints."
EMPTY: Final = "Query is empty or invalid."
_OF_VARIABLES: Final = "Variables not supported: "


def reason(node: Mapping[str, Any]) -> str | None:
    """Why the server would refuse to materialize a query node, in its words; None if it would not.

    Without the parser, the result is None for questions that need it.
    """
    kind = node.get("kind")
    if kind not in SUPPORTED:
        return f"Query type '{kind}' cannot be materialized. Supported types: {', '.join(SUPPORTED)}"
    if _given(node, "compareFilter").get("compare") is True:
        return COMPARED
    if _is_by_cohort(_given(node, "breakdownFilter")):
        return BY_COHORT
    return _reason_of_sql(node) if kind == "HogQLQuery" else None


def _reason_of_sql(node: Mapping[str, Any]) -> str | None:
    sql = node.get("query")
    if node.get("variables"):
        why = _reason_of_variables(sql, node["variables"])
        if why is not None:
            return _OF_VARIABLES + why
    return None if isinstance(sql, str) and sql.strip() else EMPTY


def _reason_of_variables(sql: object, entries: Any) -> str | None:  # noqa: ANN401 - JSON of any shape
    if not isinstance(sql, str) or not sql.strip():
        return "No query string found"
    try:
        tree = parse(sql)
    except ParseFailure as failure:
        return None if failure.is_undecided else "Failed to parse query."
    listed = entries.values() if isinstance(entries, Mapping) else ()
    declared = {str(entry.get("code_name")) for entry in listed if isinstance(entry, Mapping)}
    return reason_of_variables(tree, declared)


def _given(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _is_by_cohort(breakdown: Mapping[str, Any]) -> bool:
    several = breakdown.get("breakdowns")
    items = several if isinstance(several, list) else []
    kinds = [item.get("type") for item in items if isinstance(item, Mapping)]
    return "cohort" in (breakdown.get("breakdown_type"), *kinds)


_OPEN_RANGES: Final = (">", "<")
_DEFAULT_BUCKET: Final = "day"


@dataclass(frozen=True, slots=True)
class LostWrapper:
    """A variable inside an expression that the server drops when it reads the table: `text` is that expression."""

    variable: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenEdge:
    """A range variable whose comparison excludes the boundary, for a bucketed column."""

    variable: str
    operator: str
    column: str
    bucket: str


@lru_cache(maxsize=512)
def limits_before_variables(sql: str) -> tuple[str, ...]:
    """The constant LIMITs that apply to the table before variables filter it. Raises ParseFailure.

    Without variables a LIMIT has the same effect as in a computed answer. The LIMIT of a subquery or CTE matters only
    if a variable filters its rows or the rows that it is computed from.
    """
    tree = parse(sql)
    uses = uses_of(tree)
    carrier = next((use.cte for use in uses if use.cte is not None), None)
    selects = [tree] if uses else []
    if carrier is not None:
        for cte in carriers(tree, carrier):
            selects += arms(cte["expr"]) if cte["expr"]["node"] == "SelectSetQuery" else [cte["expr"]]
    limits = (select.get("limit") for select in selects)
    return tuple(dict.fromkeys(readable(limit) for limit in limits if limit and limit["node"] == "Constant"))


@lru_cache(maxsize=512)
def lost_wrappers(sql: str) -> tuple[LostWrapper, ...]:
    """The variables whose bare value is compared when the server reads the table. Raises ParseFailure.

    The server applies calls with one argument and casts; it drops everything else around a variable.
    """
    wrappers = (_lost(use) for use in uses_of(parse(sql)))
    return tuple(dict.fromkeys(lost for lost in wrappers if lost is not None))


def open_edges(sql: str, overrides: Mapping[str, str]) -> tuple[OpenEdge, ...]:
    """The range variables that exclude the complete boundary bucket. Raises ParseFailure."""
    return tuple(dict.fromkeys(_edges(parse(sql), overrides)))


def _lost(use: VariableUse) -> LostWrapper | None:
    if all(_is_applied_again(node) for node in use.around):
        return None
    return LostWrapper(use.name, readable(use.around[0]))


def _is_applied_again(node: Tree) -> bool:
    if node["node"] == "Call":
        return len(node.get("args") or ()) == 1 and not node.get("params")
    return bool(node["node"] == "TypeCast")


def _edges(tree: Tree, overrides: Mapping[str, str]) -> Iterator[OpenEdge]:
    for use in uses_of(tree):
        column = _column(use.other)
        bucket = None if column is None else overrides.get(column, _default_bucket(column))
        if use.operator in _OPEN_RANGES and column is not None and bucket is not None:
            yield OpenEdge(use.name, use.operator, column, bucket)


def _column(node: Tree | None) -> str | None:
    """The dotted name of a column; None for an expression, which the server never buckets."""
    return ".".join(map(str, node["chain"])) if node is not None and node["node"] == "Field" else None


def _default_bucket(column: str) -> str | None:
    return None if "properties" in column.split(".") else _DEFAULT_BUCKET
