"""The names of columns without an alias: the expression as the server prints it (docs/server.md#hogql).

The server prints operators as calls: the name of `a + 1` is `plus(a, 1)`. If its spelling is unknown, the name is a
guess and `guessed` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from endpoints_gitops.hogql.functions import ARITHMETIC, CASTS, COMPARISONS
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import is_plain, literal
from endpoints_gitops.hogql.syntax_tree import fold


class Name(NamedTuple):
    """A printed expression. `guessed` is None if the server is known to print it in this way.

    `path` marks names with dots; `constant` is the value of a text constant.
    """

    text: str
    guessed: str | None = None
    path: bool = False
    constant: str | None = None


type Print = Callable[[dict[str, Any]], Name]

_SPECIAL_NUMBERS: Final = {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}
_PRINTERS: Final[dict[str, Print]] = {}


def expression_name(node: Tree) -> Name:
    """The server's name for the column of an expression, and its text of a field inside of an expression."""
    expression: Name = fold(node, _printed)
    return expression


def field_name(chain: list[str], keys: tuple[str, ...] | None) -> str:
    """The name of the column of a field: its last part, or the `keys` into a JSON column."""
    return "__".join(keys) if keys else chain[-1]


def identifier(word: str) -> str:
    if is_plain(word) or word.isdigit():
        return word
    return "`" + word.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _printed(node: dict[str, Any]) -> Any:  # noqa: ANN401 - a Name; dicts that are not nodes stay unchanged
    kind = node.get("node")
    if not isinstance(kind, str):
        return node
    return (
        _PRINTERS[kind](node) if kind in _PRINTERS else Name(f"<{kind}>", f"the server's spelling of {kind} is unknown")
    )


def _prints(*kinds: str) -> Callable[[Print], Print]:
    def register(printer: Print) -> Print:
        _PRINTERS.update(dict.fromkeys(kinds, printer))
        return printer

    return register


def _guessed(parts: Iterable[Name]) -> str | None:
    return next((part.guessed for part in parts if part.guessed), None)


def _listed(parts: Iterable[Name]) -> str:
    return ", ".join(part.text for part in parts)


def _called(function: str, *parts: Name, guessed: str | None = None) -> Name:
    return Name(f"{function}({_listed(parts)})", guessed or _guessed(parts))


@_prints("Constant")
def _constant(node: dict[str, Any]) -> Name:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        return Name(_SPECIAL_NUMBERS.get(value, value))
    return Name(literal(value), constant=value if isinstance(value, str) else None)


@_prints("Field")
def _field(node: dict[str, Any]) -> Name:
    return Name(".".join("*" if part == "*" else identifier(str(part)) for part in node["chain"]), path=True)


@_prints("Placeholder")
def _placeholder(_node: dict[str, Any]) -> Name:
    """The name of a column with a variable: the server describes the query with '' instead, and runs it with the
    value."""
    return Name("''", "it contains the value of a variable")


@_prints("Alias")
def _alias(node: dict[str, Any]) -> Name:
    expr: Name = node["expr"]
    return Name(
        f"{expr.text} AS {identifier(node['alias'])}",
        "the server's spelling of an alias inside an expression is unknown",
    )


@_prints("Call")
def _call(node: dict[str, Any]) -> Name:
    parts = [*(node.get("params") or ()), *node.get("args", ())]
    parameters = f"({_listed(node['params'])})" if node.get("params") else ""
    distinct = "DISTINCT " if node.get("distinct") else ""
    text = f"{node['name']}{parameters}({distinct}{_listed(node.get('args') or ())})"
    condition = node.get("filter_expr")
    if condition or node.get("order_by") or node.get("within_group"):
        filtered = f" FILTER (WHERE {condition.text})" if condition else ""
        return Name(text + filtered, "the server's spelling of FILTER and ORDER BY in an aggregation is unknown")
    return Name(text, _guessed(parts))


@_prints("And", "Or")
def _logic(node: dict[str, Any]) -> Name:
    return _called(node["node"].lower(), *node["exprs"])


@_prints("Not")
def _not(node: dict[str, Any]) -> Name:
    return _called("not", node["expr"])


@_prints("CompareOperation")
def _compare(node: dict[str, Any]) -> Name:
    sign, left, right = node["op"], node["left"], node["right"]
    if sign in COMPARISONS:
        return _called(COMPARISONS[sign], left, right)
    if "cohort" in sign:
        return Name(f"{left.text} {sign.upper()} {right.text}", "the server's spelling of IN COHORT is unknown")
    pattern = _called("concat", Name("'(?i)'"), right) if sign.endswith("*") else right
    call = _called("match", left, pattern)
    return _called("not", call) if sign.startswith("!") else call


@_prints("BetweenExpr")
def _between(node: dict[str, Any]) -> Name:
    parts = (node["expr"], node["low"], node["high"])
    word = "NOT BETWEEN" if node.get("negated") else "BETWEEN"
    return Name(f"{parts[0].text} {word} {parts[1].text} AND {parts[2].text}", _guessed(parts))


@_prints("IsDistinctFrom")
def _distinct_from(node: dict[str, Any]) -> Name:
    word = "IS NOT DISTINCT FROM" if node.get("negated") else "IS DISTINCT FROM"
    return Name(
        f"{node['left'].text} {word} {node['right'].text}", "the server's spelling of IS DISTINCT FROM is unknown"
    )


@_prints("ArithmeticOperation")
def _arithmetic(node: dict[str, Any]) -> Name:
    return _called(ARITHMETIC[node["op"]], node["left"], node["right"])


@_prints("TypeCast")
def _cast(node: dict[str, Any]) -> Name:
    word = node["type_name"]
    certain = CASTS.get(word) in ("toInt64", "toFloat64", "toString", "toDate")
    return _called(
        CASTS.get(word, word),
        node["expr"],
        guessed=None if certain else f"the server's spelling of a cast to {word} is unknown",
    )


@_prints("Array")
def _array(node: dict[str, Any]) -> Name:
    return Name(f"[{_listed(node['exprs'])}]", _guessed(node["exprs"]))


@_prints("Tuple")
def _tuple(node: dict[str, Any]) -> Name:
    return _called("tuple", *node["exprs"])


@_prints("Dict")
def _dict(node: dict[str, Any]) -> Name:
    return _called("tuple", Name("'__hx_tag'"), Name("'__hx_obj'"), *(part for pair in node["items"] for part in pair))


@_prints("Lambda")
def _lambda(node: dict[str, Any]) -> Name:
    arguments = ", ".join(map(identifier, node["args"]))
    body: Name = node["expr"]
    return Name(f"{arguments if len(node['args']) == 1 else f'({arguments})'} -> {body.text}", body.guessed)


@_prints("ArrayAccess")
def _array_access(node: dict[str, Any]) -> Name:
    """The name of an array or JSON access; a quoted key is printed as a path, like the parts of a field."""
    base, key = node["array"], node["property"]
    is_key = base.path and key.constant is not None
    text = f"{base.text}.{identifier(key.constant or '')}" if is_key else f"{base.text}[{key.text}]"
    return Name(text, _guessed((base, key)), path=is_key)


@_prints("TupleAccess")
def _tuple_access(node: dict[str, Any]) -> Name:
    base: Name = node["tuple"]
    return Name(f"{base.text}.{node['index']}", base.guessed)


@_prints("ArraySlice")
def _slice(node: dict[str, Any]) -> Name:
    edges = ":".join(node[edge].text if node.get(edge) else "" for edge in ("start_expr", "end_expr"))
    return Name(f"{node['array'].text}[{edges}]", "the server's spelling of a slice is unknown")


@_prints("WindowFunction")
def _window_function(node: dict[str, Any]) -> Name:
    arguments, parameters = (node["args"], node["exprs"]) if node.get("args") else (node.get("exprs") or [], [])
    name = f"{node['name']}{f'({_listed(parameters)})' if parameters else ''}({_listed(arguments)})"
    over = node.get("over_identifier")
    window: Name = Name(identifier(over)) if over else _called("", node["over_expr"])
    shifted = "the server's spelling of lag and lead is unknown" if node["name"].lower() in ("lag", "lead") else None
    return Name(f"{name} OVER {window.text}", shifted or _guessed((*arguments, *parameters, window)))


@_prints("WindowExpr")
def _window(node: dict[str, Any]) -> Name:
    keys, order = node.get("partition_by") or (), node.get("order_by") or ()
    parts = [f"PARTITION BY {_listed(keys)}" if keys else "", f"ORDER BY {_listed(order)}" if order else ""]
    edges = [node[edge].text for edge in ("frame_start", "frame_end") if node.get(edge)]
    if edges:
        parts.append(f"{node['frame_method']} {f'BETWEEN {edges[0]} AND {edges[1]}' if len(edges) > 1 else edges[0]}")
    return Name(" ".join(filter(None, parts)), _guessed((*keys, *order)))


@_prints("WindowFrameExpr")
def _edge(node: dict[str, Any]) -> Name:
    kind, value = node["frame_type"], node.get("frame_value")
    return Name(kind if kind == "CURRENT ROW" else f"{'UNBOUNDED' if value is None else value} {kind}")


@_prints("OrderExpr")
def _order(node: dict[str, Any]) -> Name:
    expr: Name = node["expr"]
    return Name(f"{expr.text} {node.get('order') or 'ASC'}", expr.guessed)
