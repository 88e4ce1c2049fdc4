"""Find parts of a query that every server refuses, without a request (docs/server.md#hogql).

A query without refusals can still fail: tables, fields and types depend on the project. A function that neither the
catalog nor ClickHouse has is refused; one that only ClickHouse has is uncertain, because PostHog keeps adding names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql.functions import (
    ABSENT,
    AGGREGATES,
    CASTS,
    COMPARISONS,
    FUNCTIONS,
    ORDERED_SETS,
    PARAMETRIC,
    WINDOW,
    arity_mistake,
    catalog_name,
    encloses,
    is_combined,
    ordered_set_mistake,
    parameter_mistake,
    suggested_names,
)
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import joins, nodes_of, nodes_within, offset, selects_of
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.hogql.variables import chain_of, variables_in
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.suggestions import closest

_ABSENT: Final = (
    "file",
    "quantileExactIf",
    "s3",
    "toFloat32",
    "toFloat64",
    "topKIf",
    "uniqCombined",
    "uniqCombined64",
    "url",
)
_ABSENT_PREFIXES: Final = ("toUInt", "toInt8", "toInt16", "toInt32", "toInt64", "toInt128", "toInt256")
_CONVERSIONS: Final = {"toUInt": "toInt", "toInt": "toInt", "toFloat": "toFloat"}
_FILTERED: Final = ("events", "sessions", "logs", "traces", "groups")
_RANGES: Final = ("filters.dateRange.from", "filters.dateRange.to")
_OPEN_FAMILIES: Final = ("_", "h3", "geohash", "bitmap", "reinterpretAs", "tuple")
"""Families of functions of which the catalog may lack members."""


UNSUPPORTED_NODES: Final = {
    "TryCast": "TRY_CAST is not allowed in clickhouse dialect",
    "PositionalRef": "Positional references are not allowed in clickhouse dialect",
    "ValuesQuery": "VALUES clause is not supported in ClickHouse dialect",
    "PivotExpr": "PIVOT is not allowed in clickhouse dialect",
    "UnpivotExpr": "UNPIVOT is not allowed in clickhouse dialect",
    "ExprCall": "You can only call simple functions in HogQL, not expressions",
    "Block": "You can not use blocks in HogQL",
}
"""Kinds of nodes that the server refuses, with its messages."""


class RefusalKind(StrEnum):
    FUNCTION = "function"
    CALL = "call"
    CLAUSE = "clause"
    PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class HogQLRefusal:
    """A part of a query that the server refuses. `offset` is its position in the text; `fix` says what to write
    instead, if known; `is_certain` is false if a newer server may accept it."""

    kind: RefusalKind
    message: str
    offset: int
    fix: str | None = None
    is_certain: bool = True


def refusals(node: Mapping[str, Json]) -> tuple[HogQLRefusal, ...]:
    """Every refusal in a HogQL query node, in the order of the text. Raises ParseFailure."""
    return _in_text(str(node.get("query") or ""), node.get("filters") is not None, _names(node.get("values")))


def _names(values: Json) -> frozenset[str]:
    return frozenset(values) if isinstance(values, Mapping) else frozenset()


@lru_cache(maxsize=512)
def _in_text(sql: str, has_filters: bool, values: frozenset[str]) -> tuple[HogQLRefusal, ...]:
    every = nodes_of(sql)
    all_refusals = [refusal for node in every for refusal in _of_node(node)]
    calls = [node for node in every if node["node"] == "Call"]
    all_refusals += [*_nested_aggregates(calls), *_sources(sql)]
    if any(node["node"] == "Placeholder" for node in every):
        all_refusals += _placeholders(sql, has_filters, values)
    return tuple(sorted(dict.fromkeys(all_refusals), key=lambda refusal: (refusal.offset, refusal.message)))


def _of_node(node: Tree) -> Iterator[HogQLRefusal]:
    check = _NODE_CHECKS.get(node["node"])
    message = UNSUPPORTED_NODES.get(node["node"])
    if message is not None:
        yield _refusal(RefusalKind.CLAUSE, node, message)
    if check is not None:
        yield from check(node)


def _refusal(kind: RefusalKind, node: Tree, message: str, fix: str | None = None) -> HogQLRefusal:
    return HogQLRefusal(kind=kind, message=message, offset=offset(node), fix=fix)


def _call(node: Tree) -> Iterator[HogQLRefusal]:
    written, arguments = str(node["name"]), node.get("args") or []
    ordered = ordered_set_mistake(written, has_within_group=bool(node.get("within_group")))
    if ordered is not None:
        yield _refusal(RefusalKind.CALL, node, ordered, "use quantile(0.5)(x)" if written in ORDERED_SETS else None)
        return
    if written in COMPARISONS.values():
        if len(arguments) != 2:
            yield _refusal(RefusalKind.CALL, node, f"Comparison '{written}' requires exactly two arguments")
        return
    name = catalog_name(written)
    if name is None:
        yield from _unknown(written, node)
        return
    mistake = arity_mistake(name, len(arguments)) or _parameter_mistake(name, node.get("params"))
    if mistake is not None:
        yield _refusal(RefusalKind.CALL, node, mistake)


def _parameter_mistake(name: str, params: list[Tree] | None) -> str | None:
    if params and name in FUNCTIONS:
        return f"Function '{name}' does not accept parameters"
    return parameter_mistake(name, len(params or []))


def _window(node: Tree) -> Iterator[HogQLRefusal]:
    """PostHog does not check these names against its list, so every function of ClickHouse is accepted."""
    name = str(node["name"])
    if name not in WINDOW and catalog_name(name) is None and name not in clickhouse_functions():
        yield from _unknown(name, node)


def _unknown(name: str, node: Tree) -> Iterator[HogQLRefusal]:
    if name in ABSENT or name.startswith(_OPEN_FAMILIES):
        return
    is_absent = name in _ABSENT or name.startswith(_ABSENT_PREFIXES)
    if not is_absent and is_combined(name):
        return
    is_uncertain = not is_absent and name in clickhouse_functions() and _same_but_for_case(name) is None
    near = None if is_uncertain else _suggested(name)
    suggestion = f"; did you mean '{near}'?" if near else ""
    why = "; ClickHouse has it, so a newer PostHog may allow it" if is_uncertain else suggestion
    yield HogQLRefusal(
        kind=RefusalKind.FUNCTION,
        message=f"HogQL has no function '{name}'{why}",
        offset=offset(node),
        fix=f"use {near}(…)" if near else None,
        is_certain=not is_uncertain,
    )


def _suggested(name: str) -> str | None:
    if name.startswith(tuple(_CONVERSIONS)) and (name in _ABSENT or name.startswith(_ABSENT_PREFIXES)):
        return next(known for prefix, known in _CONVERSIONS.items() if name.startswith(prefix))
    return closest(name, _suggestions(), likeness=0.7, completes=False)


def _same_but_for_case(name: str) -> str | None:
    return next((known for known in _suggestions() if known.lower() == name.lower()), None)


def _suggestions() -> list[str]:
    return [*suggested_names(), *WINDOW, *ABSENT]


@lru_cache(maxsize=1)
def clickhouse_functions() -> frozenset[str]:
    """The names of ClickHouse's functions and aggregations."""
    from importlib.resources import files

    lines = files(__package__).joinpath("clickhouse_functions.txt").read_text("utf-8").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())


def _cast(node: Tree) -> Iterator[HogQLRefusal]:
    if node["type_name"] not in CASTS:
        fix = f"cast to one of {', '.join(CASTS)}"
        yield _refusal(RefusalKind.CLAUSE, node, f"Unsupported type cast to '{node['type_name']}'", fix)


def _index(node: Tree) -> Iterator[HogQLRefusal]:
    index = node.get("index", (node.get("property") or {}).get("value"))
    if index == 0 and not isinstance(index, bool):
        yield _refusal(RefusalKind.CLAUSE, node, "SQL indexes start from one, not from zero. E.g: array[1]")


def _select(node: Tree) -> Iterator[HogQLRefusal]:
    if node.get("qualify"):
        message = "QUALIFY is not supported in the 'clickhouse' dialect"
        yield _refusal(RefusalKind.CLAUSE, node["qualify"], message, "filter in an enclosing query")
    stars = [item for item in node["select"] if item["node"] == "Field" and item["chain"] == ["*"]]
    count = len(list(joins(node)))
    if stars and count != 1:
        why = "when there are no tables in the query"
        why = "without table name when there are multiple tables in the query" if count else why
        yield _refusal(RefusalKind.CLAUSE, stars[0], f"Cannot use '*' {why}")


def _set(node: Tree) -> Iterator[HogQLRefusal]:
    for arm in node["subsequent_select_queries"]:
        if arm["set_operator"] in ("INTERSECT ALL", "EXCEPT ALL"):
            message = f"{arm['set_operator']} is not supported in clickhouse dialect"
            yield _refusal(RefusalKind.CLAUSE, arm["select_query"], message)


def _join(node: Tree) -> Iterator[HogQLRefusal]:
    table = node["table"]
    if node.get("table_final"):
        message = "The FINAL keyword is not supported in HogQL as it causes slow queries"
        yield _refusal(RefusalKind.CLAUSE, node, message, "remove FINAL")
    name = ".".join(map(str, table.get("chain") or ()))
    arguments = node.get("table_args")
    if name == "numbers" and arguments is not None and not 1 <= len(arguments) <= 2:
        bound = "at most 2 arguments" if arguments else "at least 1 argument"
        yield _refusal(RefusalKind.CALL, node, f"Table function 'numbers' requires {bound}")
    elif arguments is not None and name in TABLES and name != "numbers":
        yield _refusal(RefusalKind.CALL, node, f"Table '{name}' does not accept arguments")


def _cte(node: Tree) -> Iterator[HogQLRefusal]:
    if node.get("recursive"):
        yield _refusal(RefusalKind.CLAUSE, node, "Recursive CTEs are not supported")
    if node.get("materialized") is not None:
        yield _refusal(RefusalKind.CLAUSE, node, "MATERIALIZED is not supported in clickhouse dialect")


def _nested_aggregates(calls: Iterable[Tree]) -> Iterator[HogQLRefusal]:
    for outer in calls:
        if not (outer.get("args") and encloses(str(outer["name"]))):
            continue
        for inner, around in nodes_within(outer.get("args")):
            is_of_window = any(node["node"] == "WindowFunction" for node in around)
            if inner["node"] == "Call" and _is_aggregation(inner) and not is_of_window:
                message = (
                    f"Aggregation '{inner['name']}' cannot be nested inside another aggregation '{outer['name']}'."
                )
                yield _refusal(RefusalKind.CALL, inner, message, "compute the inner aggregation in a subquery")


def _is_aggregation(call: Tree) -> bool:
    name = catalog_name(str(call["name"]))
    return name in AGGREGATES or name in PARAMETRIC


def _sources(sql: str) -> Iterator[HogQLRefusal]:
    for select in selects_of(sql):
        seen: set[str] = set()
        for join in joins(select.node):
            name = str(join.get("alias") or ".".join(map(str, join["table"].get("chain") or ())))
            if name in seen:
                message = f'Already have joined a table called "{name}". Can\'t redefine.'
                yield _refusal(RefusalKind.CLAUSE, join, message, "give one of the tables an alias")
            seen |= {name} if name else set()


def _placeholders(sql: str, has_filters: bool, values: frozenset[str]) -> Iterator[HogQLRefusal]:
    for select in selects_of(sql):
        sources = {".".join(map(str, join["table"].get("chain") or ())) for join in joins(select.node)}
        for node, _ in _own_nodes(select.node):
            if node["node"] == "Placeholder":
                message = _placeholder_mistake(node, sources, has_filters, values)
                if message is not None:
                    fix = "use variables: {variables.NAME}, declared under `variables`"
                    yield _refusal(RefusalKind.PLACEHOLDER, node, message, fix)


def _own_nodes(select: Tree) -> Iterator[tuple[Tree, tuple[Tree, ...]]]:
    """The nodes of a SELECT, without those of its subqueries."""
    parts = [value for key, value in select.items() if key not in ("start", "end")]
    return nodes_within(*parts)


def _placeholder_mistake(node: Tree, sources: set[str], has_filters: bool, values: frozenset[str]) -> str | None:
    chain = chain_of(node)
    if not chain:
        return None
    if variables_in(node) or chain[0] in values:
        return None
    name = ".".join(chain)
    if chain[0] != "filters" or not has_filters:
        return f"Unresolved placeholder: {{{readable(node['expr'])}}}"
    return filters_mistake(name, sources)


def filters_mistake(name: str, sources: Collection[str]) -> str | None:
    """Why the server refuses `{filters}` or `{filters.…}` in a SELECT from these tables, in its words; None if it does
    not."""
    if name not in ("filters", *_RANGES):
        supported = ", ".join(f"`{{{name}}}`" for name in ("filters", *_RANGES))
        return f"Unsupported filters placeholder `{{{name}}}`. Supported filters placeholders are: {supported}."
    if name == "filters" and not set(sources) & set(_FILTERED):
        return (
            "Cannot use 'filters' placeholder in a SELECT clause that does not select from the events, sessions, logs, "
            "traces or groups table."
        )
    return None


_NODE_CHECKS: Final[dict[str, Callable[[Any], Iterator[HogQLRefusal]]]] = {
    "Call": _call,
    "WindowFunction": _window,
    "TypeCast": _cast,
    "ArrayAccess": _index,
    "TupleAccess": _index,
    "SelectQuery": _select,
    "SelectSetQuery": _set,
    "JoinExpr": _join,
    "CTE": _cte,
}
