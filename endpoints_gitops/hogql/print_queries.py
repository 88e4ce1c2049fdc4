"""Printers of whole queries: SELECT, sets of them, FROM and its joins. Registered beside those of expressions."""

from __future__ import annotations

from typing import Any, Final

from endpoints_gitops.hogql.print_expressions import (
    ATOM,
    ITEM,
    LAMBDA,
    OR,
    QUERY,
    Piece,
    Unprintable,
    listed,
    name,
    operand,
    printed,
    prints,
)

_GROUPINGS: Final = {"rollup": "ROLLUP ({})", "cube": "CUBE ({})", "grouping_sets": "GROUPING SETS ({})"}
_SELECT_KEYS: Final = """
node start end ctes select distinct select_from array_join_op array_join_list prewhere where group_by group_by_mode
having qualify window_exprs order_by limit_by limit limit_with_ties offset
"""
_KNOWN: Final = frozenset(_SELECT_KEYS.split())
_CLAUSES: Final = (("prewhere", "PREWHERE"), ("where", "WHERE"))


@prints("SelectQuery")
def _select(node: dict[str, Any]) -> Piece:
    unknown = sorted(key for key in node if key not in _KNOWN and node[key])
    if unknown:
        raise Unprintable(f"SELECT with {', '.join(unknown)}")
    parts = [
        _with(node.get("ctes")),
        f"SELECT {'DISTINCT ' if node.get('distinct') else ''}{listed(node['select'])}",
        f"FROM {printed(node['select_from'])}" if node.get("select_from") else "",
        f"{node['array_join_op']} {listed(node['array_join_list'])}" if node.get("array_join_list") else "",
        *(_clause(word, node.get(key)) for key, word in _CLAUSES),
        _group_by(node),
        _clause("HAVING", node.get("having")),
        _clause("QUALIFY", node.get("qualify")),
        _windows(node.get("window_exprs")),
        f"ORDER BY {listed(node['order_by'])}" if node.get("order_by") else "",
        printed(node["limit_by"]) if node.get("limit_by") else "",
        _limit(node),
    ]
    return Piece(" ".join(filter(None, parts)), QUERY)


@prints("SelectSetQuery")
def _set(node: dict[str, Any]) -> Piece:
    """All arms in brackets: bare, the last one would take the limit of the whole."""
    later = (printed(each) for each in node["subsequent_select_queries"])
    text = " ".join([operand(node["initial_select_query"], LAMBDA), *later])
    return Piece(" ".join(filter(None, [text, _limit(node)])), QUERY)


@prints("SelectSetNode")
def _arm(node: dict[str, Any]) -> Piece:
    return Piece(f"{node['set_operator']} {operand(node['select_query'], LAMBDA)}", QUERY)


@prints("CTE")
def _cte(node: dict[str, Any]) -> Piece:
    if node.get("cte_type") == "column":
        return Piece(f"{operand(node['expr'], OR)} AS {name(node['name'])}", QUERY)
    columns = f"({', '.join(map(name, node['columns']))})" if node.get("columns") else ""
    hint = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[node.get("materialized")]
    text = f"{name(node['name'])}{columns} AS {hint}{operand(node['expr'], LAMBDA)}"
    return Piece(f"RECURSIVE {text}" if node.get("recursive") else text, QUERY)


@prints("JoinExpr")
def _join(node: dict[str, Any]) -> Piece:
    text = operand(node["table"], LAMBDA)
    if node.get("table_args") is not None:
        text += f"({listed(node['table_args'])})"
    if node.get("alias"):
        text += f" AS {name(node['alias'])}"
    if node.get("column_aliases"):
        text += f" ({', '.join(map(name, node['column_aliases']))})"
    text += " FINAL" if node.get("table_final") else ""
    parts = [node.get("join_type"), text, *(printed(node[key]) for key in _AFTER_TABLE if node.get(key))]
    return Piece(" ".join(filter(None, parts)), QUERY)


_AFTER_TABLE: Final = ("sample", "constraint", "next_join")


@prints("JoinConstraint")
def _constraint(node: dict[str, Any]) -> Piece:
    if node["constraint_type"] == "USING":
        return Piece(f"USING {printed(node['expr'])}", QUERY)
    return Piece(f"ON {operand(node['expr'], OR)}", QUERY)


@prints("SampleExpr")
def _sample(node: dict[str, Any]) -> Piece:
    offset = f" OFFSET {printed(node['offset_value'])}" if node.get("offset_value") else ""
    return Piece(f"SAMPLE {printed(node['sample_value'])}{offset}", QUERY)


@prints("RatioExpr")
def _ratio(node: dict[str, Any]) -> Piece:
    right = f"/{operand(node['right'], ATOM)}" if node.get("right") else ""
    return Piece(f"{operand(node['left'], ATOM)}{right}", QUERY)


@prints("ValuesQuery")
def _values(node: dict[str, Any]) -> Piece:
    return Piece(f"VALUES {', '.join(f'({listed(row)})' for row in node['rows'])}", QUERY)


@prints("OrderExpr")
def _order(node: dict[str, Any]) -> Piece:
    text = operand(node["expr"], OR) + (" DESC" if node.get("order") == "DESC" else "")
    fill = node.get("with_fill")
    return Piece(f"{text} {printed(fill)}" if fill else text, ITEM)


@prints("WithFillExpr")
def _fill(node: dict[str, Any]) -> Piece:
    known = {"from_value": "FROM", "to_value": "TO", "step_value": "STEP", "staleness_value": "STALENESS"}
    given = (f"{word} {operand(node[key], OR)}" for key, word in known.items() if node.get(key))
    return Piece(" ".join(["WITH FILL", *given]), QUERY)


@prints("LimitByExpr")
def _limit_by(node: dict[str, Any]) -> Piece:
    offset = f" OFFSET {operand(node['offset_value'], OR)}" if node.get("offset_value") else ""
    return Piece(f"LIMIT {operand(node['n'], OR)}{offset} BY {listed(node['exprs'])}", QUERY)


@prints("WindowExpr")
def _window(node: dict[str, Any]) -> Piece:
    parts = [
        f"PARTITION BY {listed(node['partition_by'])}" if node.get("partition_by") else "",
        f"ORDER BY {listed(node['order_by'])}" if node.get("order_by") else "",
        _frame(node),
    ]
    return Piece(" ".join(filter(None, parts)), QUERY)


@prints("WindowFrameExpr")
def _edge(node: dict[str, Any]) -> Piece:
    kind, value = node["frame_type"], node.get("frame_value")
    return Piece(kind if kind == "CURRENT ROW" else f"{'UNBOUNDED' if value is None else value} {kind}", QUERY)


def _frame(node: dict[str, Any]) -> str:
    if not node.get("frame_method"):
        return ""
    start = printed(node["frame_start"])
    end = f"BETWEEN {start} AND {printed(node['frame_end'])}" if node.get("frame_end") else start
    return f"{node['frame_method']} {end}"


def _with(ctes: list[Piece] | None) -> str:
    """RECURSIVE is said once, for all."""
    if not ctes:
        return ""
    texts = [printed(each) for each in ctes]
    recursive = any(text.startswith("RECURSIVE ") for text in texts)
    inside = ", ".join(text.removeprefix("RECURSIVE ") for text in texts)
    return f"WITH {'RECURSIVE ' if recursive else ''}{inside}"


def _clause(word: str, condition: Piece | None) -> str:
    return f"{word} {operand(condition, OR)}" if condition else ""


def _group_by(node: dict[str, Any]) -> str:
    mode = node.get("group_by_mode")
    if mode == "all":
        return "GROUP BY ALL"
    if not node.get("group_by"):
        return ""
    return f"GROUP BY {_GROUPINGS.get(mode or '', '{}').format(listed(node['group_by']))}"


def _windows(windows: dict[str, Piece] | None) -> str:
    if not windows:
        return ""
    return "WINDOW " + ", ".join(f"{name(word)} AS ({printed(each)})" for word, each in windows.items())


def _limit(node: dict[str, Any]) -> str:
    limit, offset = node.get("limit"), node.get("offset")
    parts = [
        f"LIMIT {operand(limit, OR)}" if limit else "",
        "WITH TIES" if limit and node.get("limit_with_ties") else "",
        f"OFFSET {operand(offset, OR)}" if offset else "",
    ]
    return " ".join(filter(None, parts))
