"""Window functions and their windows (docs/server.md#hogql)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.hogql.function_types import window_type
from endpoints_gitops.hogql.functions import AGGREGATES, PARAMETRIC, WINDOW
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.local.engine.expressions import expression, expressions, listed, translates
from endpoints_gitops.local.engine.functions import aggregate_text, allowed_name, refuse_arity
from endpoints_gitops.local.engine.kinds import Sql
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Scope, refuse_if, refuse_unknown

_PARTS: Final = "node start end name exprs args over_expr over_identifier"
_KNOWN: Final = frozenset(_PARTS.split())
_WHOLE_FRAME: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


@translates("WindowFunction")
def window_function(node: Tree, scope: Scope) -> Sql:
    """`f(x) OVER (…)`. lag and lead look over the whole partition, and find NULL beyond its edge."""
    refuse_unknown(node, _KNOWN)
    name = _window_name(str(node["name"]))
    arguments, parameters = (node["args"], node["exprs"]) if node.get("args") else (node["exprs"], [])
    if name in WINDOW and WINDOW[name].clickhouse != name:
        return _shifted(name, arguments, node, scope)
    over = _over(node, scope)
    if name in WINDOW:
        function = WINDOW[name]
        refuse_arity(name, len(arguments))
        values = expressions(arguments, scope)
        return _result(name, f"{function.clickhouse}({listed(values)}) OVER {over}", values)
    function = AGGREGATES.get(name) or PARAMETRIC[name]
    refuse_arity(name, len(arguments))
    printed, values = aggregate_text(function, {**node, "params": parameters}, arguments, scope)
    return _result(name, f"{printed} OVER {over}", values)


def window(node: Tree, scope: Scope) -> str:
    """What stands in the brackets of OVER or WINDOW."""
    parts = []
    if node.get("partition_by"):
        parts.append(f"PARTITION BY {listed(expressions(node['partition_by'], scope))}")
    if node.get("order_by"):
        parts.append(f"ORDER BY {', '.join(order(each, scope) for each in node['order_by'])}")
    frame = _frame(node)
    return " ".join([*parts, frame] if frame else parts)


def order(node: Tree, scope: Scope) -> str:
    """One item of ORDER BY."""
    printed = f"{expression(node['expr'], scope).text} {'DESC' if node.get('order') == 'DESC' else 'ASC'}"
    fill = node.get("with_fill")
    return f"{printed} WITH FILL{_fill(fill, scope)}" if fill else printed


def _fill(node: Tree, scope: Scope) -> str:
    known = {"from_value": "FROM", "to_value": "TO", "step_value": "STEP", "staleness_value": "STALENESS"}
    unknown = set(node) - set(known) - {"node", "start", "end"}
    if unknown:
        raise QueryRefused(f"WITH FILL with {', '.join(sorted(unknown))} is not supported by the local server")
    return "".join(f" {word} {expression(node[key], scope).text}" for key, word in known.items() if node.get(key))


def _window_name(name: str) -> str:
    if name in WINDOW:
        return name
    known = allowed_name(name)
    if known not in AGGREGATES and known not in PARAMETRIC:
        raise QueryRefused(f"Function '{known}' cannot be used with OVER")
    return known


def _result(name: str, printed: str, values: list[Sql]) -> Sql:
    return Sql(printed, window_type(name, [value.typed for value in values]))


def _shifted(name: str, arguments: list[Tree], node: Tree, scope: Scope) -> Sql:
    refuse_arity(name, len(arguments))
    first, *others = expressions(arguments, scope)
    values = ", ".join([f"toNullable({first.text})", *(other.text for other in others)])
    if node.get("over_identifier"):
        over = f"({identifier(node['over_identifier'])} {_WHOLE_FRAME})"
    else:
        inner = window({**node["over_expr"], "frame_method": None}, scope)
        over = f"({inner} {_WHOLE_FRAME})" if inner else f"({_WHOLE_FRAME})"
    typed = window_type(name, [value.typed for value in (first, *others)])
    return Sql(f"{WINDOW[name].clickhouse}({values}) OVER {over}", typed)


def _over(node: Tree, scope: Scope) -> str:
    if node.get("over_identifier"):
        return identifier(node["over_identifier"])
    return f"({window(node.get('over_expr') or {}, scope)})"


def _frame(node: Tree) -> str:
    method = node.get("frame_method")
    if not method:
        return ""
    if method not in ("ROWS", "RANGE"):
        raise QueryRefused(f"A window's frame counts ROWS or RANGE, not {method}")
    start = _edge(node["frame_start"])
    end = node.get("frame_end")
    return f"{method} BETWEEN {start} AND {_edge(end)}" if end else f"{method} {start}"


def _edge(node: Tree) -> str:
    kind = str(node["frame_type"])
    if kind not in ("PRECEDING", "FOLLOWING", "CURRENT ROW"):
        raise QueryRefused(f"Not an edge of a window's frame: {kind}")
    if kind == "CURRENT ROW":
        return kind
    value = node.get("frame_value")
    refuse_if(not isinstance(value, int | None), "A window's frame reaches a whole number of rows, no expression")
    return f"{'UNBOUNDED' if value is None else value} {kind}"
