"""Names of columns that the query does not name: the expression as HogQL prints it (docs/server.md#hogql)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.local.engine.literals import number, text
from endpoints_gitops.local.engine.operators import CALLS, cast_function
from endpoints_gitops.local.engine.refusals import QueryRefused

type _Print = Callable[[Tree], str]

_BARE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_ARITHMETIC: Final = {"+": "plus", "-": "minus", "*": "multiply", "/": "divide", "%": "modulo"}


def expression_name(node: Tree) -> str:
    """The column's name as the server gives it: of a field its last part, of anything else its print."""
    if node["node"] != "Field":
        return _printed(node)
    chain = [str(part) for part in node["chain"]]
    if "properties" in chain[:-1]:
        return "__".join(chain[chain.index("properties") + 1 :])
    return chain[-1]


def _printed(node: Tree) -> str:
    kind = node["node"]
    if kind not in _PRINTERS:
        raise QueryRefused(f"A column made by {kind} needs a name: write `… AS name`")
    return _PRINTERS[kind](node)


def _listed(nodes: list[Tree]) -> str:
    return ", ".join(_printed(node) for node in nodes)


def _call_of(name: str, *parts: str) -> str:
    return f"{name}({', '.join(parts)})"


def _identifier(name: str) -> str:
    if _BARE.fullmatch(name) or name.isdigit():
        return name
    return "`{}`".format(name.replace("\\", "\\\\").replace("`", "\\`"))


def _constant(node: Tree) -> str:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        return number(value)
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    return text(value) if isinstance(value, str) else str(value)


def _field(node: Tree) -> str:
    return ".".join("*" if part == "*" else _identifier(str(part)) for part in node["chain"])


def _call(node: Tree) -> str:
    parameters = f"({_listed(node['params'])})" if node.get("params") else ""
    distinct = "DISTINCT " if node.get("distinct") else ""
    condition = node.get("filter_expr")
    filtered = f" FILTER (WHERE {_printed(condition)})" if condition else ""
    return f"{node['name']}{parameters}({distinct}{_listed(node.get('args') or [])}){filtered}"


def _comparison(node: Tree) -> str:
    sign, left, right = node["op"], _printed(node["left"]), _printed(node["right"])
    if sign in CALLS:
        return _call_of(CALLS[sign], left, right)
    pattern = _call_of("concat", "'(?i)'", right) if sign.endswith("*") else right
    found = _call_of("match", left, pattern)
    return _call_of("not", found) if sign.startswith("!") else found


def _between(node: Tree) -> str:
    word = "NOT BETWEEN" if node.get("negated") else "BETWEEN"
    return f"{_printed(node['expr'])} {word} {_printed(node['low'])} AND {_printed(node['high'])}"


def _distinct_from(node: Tree) -> str:
    word = "IS NOT DISTINCT FROM" if node.get("negated") else "IS DISTINCT FROM"
    return f"{_printed(node['left'])} {word} {_printed(node['right'])}"


def _cast(node: Tree) -> str:
    return _call_of(cast_function(str(node["type_name"])), _printed(node["expr"]))


def _lambda(node: Tree) -> str:
    names = ", ".join(_identifier(str(name)) for name in node["args"])
    return f"{names if len(node['args']) == 1 else f'({names})'} -> {_printed(node['expr'])}"


def _dictionary(node: Tree) -> str:
    parts = [_printed(part) for pair in node["items"] for part in pair]
    return _call_of("tuple", "'__hx_tag'", "'__hx_obj'", *parts)


def _array_access(node: Tree) -> str:
    container, key = _printed(node["array"]), node["property"]
    if node["array"]["node"] == "Field" and key["node"] == "Constant" and isinstance(key.get("value"), str):
        return f"{container}.{_identifier(key['value'])}"
    return f"{container}[{_printed(key)}]"


def _array_slice(node: Tree) -> str:
    edges = (_printed(node[edge]) if node.get(edge) else "" for edge in ("start_expr", "end_expr"))
    return f"{_printed(node['array'])}[{':'.join(edges)}]"


def _window_function(node: Tree) -> str:
    given, parameters = (node["args"], node["exprs"]) if node.get("args") else (node.get("exprs") or [], [])
    printed = f"{node['name']}{f'({_listed(parameters)})' if parameters else ''}({_listed(given)})"
    over = node.get("over_identifier")
    return f"{printed} OVER {_identifier(over) if over else f'({_window(node.get("over_expr") or {})})'}"


def _window(node: Tree) -> str:
    parts = []
    if node.get("partition_by"):
        parts.append(f"PARTITION BY {_listed(node['partition_by'])}")
    if node.get("order_by"):
        parts.append(f"ORDER BY {_listed(node['order_by'])}")
    if node.get("frame_method"):
        edges = [_edge(node[edge]) for edge in ("frame_start", "frame_end") if node.get(edge)]
        parts.append(f"{node['frame_method']} {f'BETWEEN {" AND ".join(edges)}' if len(edges) > 1 else edges[0]}")
    return " ".join(parts)


def _edge(node: Tree) -> str:
    if node["frame_type"] == "CURRENT ROW":
        return "CURRENT ROW"
    value: Any = node.get("frame_value")
    return f"{'UNBOUNDED' if value is None else value} {node['frame_type']}"


def _select(node: Tree) -> str:
    """A scalar subquery; of one with more clauses than these the server's print is not known."""
    known = {"node", "start", "end", "select", "select_from", "where", "group_by", "distinct"}
    table = node.get("select_from") or {}
    simple = not table or (table["table"]["node"] == "Field" and not {"next_join", "table_args"} & _given(table))
    if _given(node) - known or not simple:
        raise QueryRefused("A column made by a subquery needs a name: write `(SELECT …) AS name`")
    parts = [f"SELECT {'DISTINCT ' if node.get('distinct') else ''}{_listed(node['select'])}"]
    if table:
        parts.append(
            f"FROM {_printed(table['table'])}{f' AS {_identifier(table["alias"])}' if table.get('alias') else ''}"
        )
    if node.get("where"):
        parts.append(f"WHERE {_printed(node['where'])}")
    if node.get("group_by"):
        parts.append(f"GROUP BY {_listed(node['group_by'])}")
    return f"({' '.join(parts)})"


def _given(node: Tree) -> set[str]:
    return {key for key, value in node.items() if value not in (None, [], False)}


_PRINTERS: Final[dict[str, _Print]] = {
    "Alias": lambda node: f"{_printed(node['expr'])} AS {_identifier(str(node['alias']))}",
    "And": lambda node: f"and({_listed(node['exprs'])})",
    "ArithmeticOperation": lambda node: _call_of(
        _ARITHMETIC[node["op"]], _printed(node["left"]), _printed(node["right"])
    ),
    "Array": lambda node: f"[{_listed(node['exprs'])}]",
    "ArrayAccess": _array_access,
    "ArraySlice": _array_slice,
    "BetweenExpr": _between,
    "Call": _call,
    "CompareOperation": _comparison,
    "Constant": _constant,
    "Dict": _dictionary,
    "Field": _field,
    "IsDistinctFrom": _distinct_from,
    "Lambda": _lambda,
    "Not": lambda node: f"not({_printed(node['expr'])})",
    "Or": lambda node: f"or({_listed(node['exprs'])})",
    "OrderExpr": lambda node: f"{_printed(node['expr'])} {'DESC' if node.get('order') == 'DESC' else 'ASC'}",
    "SelectQuery": _select,
    "Tuple": lambda node: f"tuple({_listed(node['exprs'])})",
    "TupleAccess": lambda node: f"{_printed(node['tuple'])}.{node['index']}",
    "TypeCast": _cast,
    "WindowFunction": _window_function,
}
