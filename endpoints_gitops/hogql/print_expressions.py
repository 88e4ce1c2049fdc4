"""Printers of expressions, one for each kind of node, and what they share: brackets where an operator asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from endpoints_gitops.hogql.binding import UnboundVariable, literal
from endpoints_gitops.hogql.words import KEYWORDS, NOT_AFTER_DOT, NOT_CALLED, is_plain


class Unprintable(ValueError):
    """There is a part in the tree that has no printer here; `message` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} cannot be printed as HogQL")
        self.message = str(self)


class Piece(NamedTuple):
    """A part that is printed. `binds` says how tightly: an operand that binds less than its operator needs brackets."""

    text: str
    binds: int


QUERY, LAMBDA, ITEM, OR, AND, NOT, WITHIN, COMPARED, SUM, PRODUCT, SIGNED, ATOM = range(12)

type Print = Callable[[dict[str, Any]], Piece]

_PRINTERS: Final[dict[str, Print]] = {}
_SPECIAL_NUMBERS: Final = {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}
_SIGNS: Final = {"==": "="}


def printed(value: Any) -> str:  # noqa: ANN401 - a piece that a fold made
    assert isinstance(value, Piece)
    return value.text


def prints(*kinds: str) -> Callable[[Print], Print]:
    """Registers the printer of these kinds of nodes."""

    def register(one: Print) -> Print:
        _PRINTERS.update(dict.fromkeys(kinds, one))
        return one

    return register


def name(word: str) -> str:
    """An identifier, in backticks where the parser would take it for something else."""
    return _bare_unless(word, KEYWORDS)


def quoted(word: str) -> str:
    return "`" + word.replace("\\", "\\\\").replace("`", "``") + "`"


def _function(word: str) -> str:
    return _bare_unless(word, NOT_CALLED)


def _part(word: str, reserved: frozenset[str]) -> str:
    return word if word == "*" else _bare_unless(word, reserved)


def _bare_unless(word: str, reserved: frozenset[str]) -> str:
    return word if is_plain(word) and word.lower() not in reserved else quoted(word)


def operand(piece: Piece, least: int) -> str:
    return piece.text if piece.binds >= least else f"({piece.text})"


def listed(pieces: Iterable[Piece] | None) -> str:
    """Arguments, columns, keys: anything between commas. A lambda takes a name in front of its comma for its own."""
    return ", ".join(operand(piece, ITEM if place else LAMBDA) for place, piece in enumerate(pieces or ()))


def piece_of(node: dict[str, Any]) -> Any:  # noqa: ANN401 - a Piece; dicts that are no node stay what they are
    kind = node.get("node")
    if not isinstance(kind, str):
        return node
    if kind not in _PRINTERS:
        raise Unprintable(kind)
    try:
        return _PRINTERS[kind](node)
    except UnboundVariable as error:
        raise Unprintable(f"{kind} ({error.message})") from None


@prints("Constant")
def _constant(node: dict[str, Any]) -> Piece:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        text = _SPECIAL_NUMBERS.get(value, value)
    else:
        text = literal(value)
    return Piece(text, SIGNED if text.startswith("-") else ATOM)


@prints("Field")
def _field(node: dict[str, Any]) -> Piece:
    first, *later = map(str, node["chain"])
    return Piece(".".join([_part(first, KEYWORDS), *(_part(each, NOT_AFTER_DOT) for each in later)]), ATOM)


@prints("Alias")
def _alias(node: dict[str, Any]) -> Piece:
    return Piece(f"{operand(node['expr'], OR)} AS {name(node['alias'])}", ITEM)


@prints("Placeholder")
def _placeholder(node: dict[str, Any]) -> Piece:
    return Piece(f"{{{operand(node['expr'], LAMBDA)}}}", ATOM)


@prints("Call")
def _call(node: dict[str, Any]) -> Piece:
    inside = ("DISTINCT " if node.get("distinct") else "") + listed(node.get("args"))
    if node.get("order_by"):
        inside += f" ORDER BY {listed(node['order_by'])}"
    function = _function(node["name"])
    parameters = f"({listed(node['params'])})" if node.get("params") is not None else ""
    if node.get("within_group"):
        text = f"{function}{parameters or f'({inside})'} WITHIN GROUP (ORDER BY {listed(node['within_group'])})"
    else:
        text = f"{function}{parameters}({inside})"
    condition = node.get("filter_expr")
    return Piece(f"{text} FILTER (WHERE {condition.text})" if condition else text, ATOM)


@prints("ExprCall")
def _expression_call(node: dict[str, Any]) -> Piece:
    return Piece(f"{operand(node['expr'], ATOM)}({listed(node['args'])})", ATOM)


@prints("NamedArgument")
def _named_argument(node: dict[str, Any]) -> Piece:
    return Piece(f"{name(node['name'])} := {operand(node['value'], OR)}", ITEM)


@prints("Lambda")
def _lambda(node: dict[str, Any]) -> Piece:
    arguments = ", ".join(map(name, node["args"]))
    return Piece(
        f"{arguments if len(node['args']) == 1 else f'({arguments})'} -> {operand(node['expr'], LAMBDA)}", LAMBDA
    )


@prints("Or")
def _or(node: dict[str, Any]) -> Piece:
    return Piece(" OR ".join(operand(each, AND) for each in node["exprs"]), OR)


@prints("And")
def _and(node: dict[str, Any]) -> Piece:
    return Piece(" AND ".join(operand(each, NOT) for each in node["exprs"]), AND)


@prints("Not")
def _not(node: dict[str, Any]) -> Piece:
    """`NOT (` begins a call, so what needs brackets in front, as in `NOT a IS NULL + 1`, cannot be written."""
    inner: Piece = node["expr"]
    if inner.binds == QUERY:
        return Piece(f"NOT ({inner.text})", NOT)
    if inner.text.startswith("("):
        raise Unprintable("NOT in front of brackets")
    return Piece(f"NOT {inner.text}", min(NOT, inner.binds))


@prints("CompareOperation")
def _compare(node: dict[str, Any]) -> Piece:
    """`a = b = c` groups to the left: brackets after NOT would make a call of it."""
    left, right, sign = operand(node["left"], COMPARED), node["right"], node["op"]
    if node.get("is_null_comparison_style"):
        return Piece(f"{left} IS {'NOT ' if sign == '!=' else ''}NULL", COMPARED)
    return Piece(f"{left} {_SIGNS.get(sign, sign.upper())} {operand(right, SUM)}", COMPARED)


@prints("IsDistinctFrom")
def _distinct_from(node: dict[str, Any]) -> Piece:
    word = "IS NOT DISTINCT FROM" if node.get("negated") else "IS DISTINCT FROM"
    return Piece(f"{operand(node['left'], COMPARED)} {word} {operand(node['right'], SUM)}", WITHIN)


@prints("BetweenExpr")
def _between(node: dict[str, Any]) -> Piece:
    word = "NOT BETWEEN" if node.get("negated") else "BETWEEN"
    low, high = operand(node["low"], SUM), operand(node["high"], SUM)
    return Piece(f"{operand(node['expr'], COMPARED)} {word} {low} AND {high}", WITHIN)


@prints("ArithmeticOperation")
def _arithmetic(node: dict[str, Any]) -> Piece:
    binds = SUM if node["op"] in "+-" else PRODUCT
    return Piece(f"{operand(node['left'], binds)} {node['op']} {operand(node['right'], binds + 1)}", binds)


@prints("Array")
def _array(node: dict[str, Any]) -> Piece:
    return Piece(f"[{listed(node['exprs'])}]", ATOM)


@prints("Tuple", "GroupingSet")
def _tuple(node: dict[str, Any]) -> Piece:
    comma = "," if len(node["exprs"]) == 1 and node["node"] == "Tuple" else ""
    return Piece(f"({listed(node['exprs'])}{comma})", ATOM)


@prints("Dict")
def _dict(node: dict[str, Any]) -> Piece:
    pairs = (f"{operand(key, OR)}: {operand(value, OR)}" for key, value in node["items"])
    return Piece(f"{{{', '.join(pairs)}}}", ATOM)


@prints("ArrayAccess")
def _array_access(node: dict[str, Any]) -> Piece:
    mark = "?." if node.get("nullish") else ""
    return Piece(f"{operand(node['array'], ATOM)}{mark}[{operand(node['property'], OR)}]", ATOM)


@prints("TupleAccess")
def _tuple_access(node: dict[str, Any]) -> Piece:
    """A number in front of the dot would be another number."""
    base = operand(node["tuple"], ATOM)
    base = f"({base})" if base[0].isdigit() else base
    return Piece(f"{base}{'?.' if node.get('nullish') else '.'}{node['index']}", ATOM)


@prints("PositionalRef")
def _positional(node: dict[str, Any]) -> Piece:
    return Piece(f"#{node['index']}", ATOM)


@prints("ArraySlice")
def _slice(node: dict[str, Any]) -> Piece:
    start, end = (operand(node[key], OR) if node.get(key) else "" for key in ("start_expr", "end_expr"))
    return Piece(f"{operand(node['array'], ATOM)}[{start}:{end}]", ATOM)


@prints("TypeCast", "TryCast")
def _cast(node: dict[str, Any]) -> Piece:
    word = "CAST" if node["node"] == "TypeCast" else "TRY_CAST"
    return Piece(f"{word}({operand(node['expr'], OR)} AS {node['type_name']})", ATOM)


@prints("ColumnsExpr")
def _columns(node: dict[str, Any]) -> Piece:
    if node.get("replace"):
        raise Unprintable("COLUMNS with REPLACE")
    excluded = f" EXCLUDE ({', '.join(map(name, node['exclude']))})" if node.get("exclude") else ""
    if node.get("all_columns"):
        return Piece(f"*{excluded}", ATOM)
    inside = literal(node["regex"]) if node.get("regex") is not None else listed(node.get("columns"))
    return Piece(f"COLUMNS({inside}){excluded}", ATOM)


@prints("WindowFunction")
def _window_function(node: dict[str, Any]) -> Piece:
    given = f"({listed(node.get('exprs'))})" + (f"({listed(node['args'])})" if node.get("args") else "")
    over = name(node["over_identifier"]) if node.get("over_identifier") else f"({printed(node['over_expr'])})"
    return Piece(f"{_function(node['name'])}{given} OVER {over}", ATOM)
