"""Placeholders with expressions, such as `{variables.days + 1}`: PostHog computes them as Hog before it runs the query
(docs/server.md#hogql).

This is the part of Hog that has constants, variables, operators and the functions of `_FUNCTIONS`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.syntax_tree import fold
from endpoints_gitops.local.engine.refusals import QueryRefused

type HogValue = Any
type Compute = Callable[..., HogValue]

LONGEST_TEXT: Final = 1_000_000


def value_of(expression: Tree, variables: Mapping[str, HogValue]) -> HogValue:
    """The value of an expression. Raises QueryRefused, as for an expression that this server does not compute."""

    def combine(node: dict[str, Any]) -> HogValue:
        kind = node.get("node")
        if kind == "Field":
            return _variable([str(part) for part in node["chain"]], variables)
        if kind not in _COMPUTED:
            raise _unsupported(str(kind))
        return _COMPUTED[kind](node)

    try:
        value = fold(expression, combine)
    except QueryRefused:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise QueryRefused(f"Invalid Hog expression: {error}", "invalid_input") from None
    if isinstance(value, Mapping):
        message = "Placeholder returned an unexpected type: dict. Expected an AST node or a simple value."
        raise QueryRefused(message, "invalid_input")
    return value


def _constant(node: Tree) -> HogValue:
    value = node.get("value")
    return float(value) if node.get("value_type") == "number" and isinstance(value, str) else value


def _compared(node: Tree) -> bool:
    sign, left, right = node["op"], node["left"], node["right"]
    if sign in ("in", "not in"):
        return (left in right) is (sign == "in")
    if sign not in _COMPARISONS:
        raise _unsupported(f"the operator {sign}")
    return bool(_COMPARISONS[sign](*_unified(left, right)))


def _called(node: Tree) -> HogValue:
    if node["name"] not in _FUNCTIONS:
        raise _unsupported(f"the function {node['name']}")
    return _FUNCTIONS[node["name"]](*(node.get("args") or ()))


def _unsupported(what: str) -> QueryRefused:
    return QueryRefused(f"A placeholder with {what} exists in PostHog but not in the local server")


def _variable(chain: list[str], variables: Mapping[str, HogValue]) -> HogValue:
    if chain[0] != "variables":
        raise QueryRefused(f"Global variable not found: {chain[0]}", "invalid_input")
    if len(chain) == 1:
        return dict(variables)
    if chain[1] not in variables:
        raise QueryRefused(f"Variable {chain[1]} is missing from query")
    value = variables[chain[1]]
    for key in chain[2:]:
        value = _item(value, key)
    return value


def _item(value: HogValue, key: HogValue) -> HogValue:
    """An item by its key, or by its position from 1; NULL beyond the end."""
    if isinstance(value, Mapping):
        return value.get(key)
    if key == 0:
        raise QueryRefused("Hog arrays start from index 1", "invalid_input")
    index = key - 1 if key > 0 else key
    return value[index] if -len(value) <= index < len(value) else None


def _bounded(compute: Compute, left: HogValue, right: HogValue) -> HogValue:
    """An operation on numbers, or the sum of two texts or arrays, that stays small."""
    numbers = [isinstance(side, int | float) and abs(side) < 2**256 for side in (left, right)]
    are_texts = compute is operator.add and type(left) is type(right) and isinstance(left, str | list)
    if not all(numbers) and not (are_texts and len(left) + len(right) <= LONGEST_TEXT):
        raise TypeError(f"unsupported operands: {type(left).__name__} and {type(right).__name__}")
    return compute(left, right)


def _unified(left: HogValue, right: HogValue) -> tuple[HogValue, HogValue]:
    """Both sides of a comparison: a text is a number next to a number, and a truth value next to one."""
    for text, other, turned in ((left, right, False), (right, left, True)):
        if isinstance(text, str) and isinstance(other, int | float):
            known = text.lower() == "true" if isinstance(other, bool) else float(text)
            return (other, known) if turned else (known, other)
    return left, right


def _branch(*values: HogValue) -> HogValue:
    pairs = zip(values[:-1:2], values[1::2], strict=True)
    return next((value for condition, value in pairs if condition), values[-1])


def _text(value: HogValue) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _number(kind: type[int] | type[float]) -> Compute:
    """A conversion that gives NULL for what is not a number."""

    def convert(value: HogValue) -> HogValue:
        try:
            return kind(value)
        except (TypeError, ValueError):
            return None

    return convert


_ARITHMETIC: Final[dict[str, Compute]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_COMPARISONS: Final[dict[str, Compute]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPUTED: Final[dict[str, Callable[[Tree], HogValue]]] = {
    "And": lambda node: all(node["exprs"]),
    "ArithmeticOperation": lambda node: _bounded(_ARITHMETIC[node["op"]], node["left"], node["right"]),
    "Array": lambda node: node["exprs"],
    "ArrayAccess": lambda node: _item(node["array"], node["property"]),
    "Call": _called,
    "CompareOperation": _compared,
    "Constant": _constant,
    "Dict": lambda node: dict(node["items"]),
    "Not": lambda node: not node["expr"],
    "Or": lambda node: any(node["exprs"]),
    "Tuple": lambda node: node["exprs"],
}
"""The values of nodes whose parts are values."""
_FUNCTIONS: Final[dict[str, Compute]] = {
    "if": _branch,
    "multiIf": _branch,
    "concat": lambda *values: "".join("" if value is None else _text(value) for value in values),
    "ifNull": lambda value, other: other if value is None else value,
    "toString": _text,
    "toInt": _number(int),
    "toFloat": _number(float),
    "lower": lambda value: value.lower(),
    "upper": lambda value: value.upper(),
    "trim": lambda value: value.strip(),
    "reverse": lambda value: value[::-1],
    "length": len,
    "empty": lambda value: not value,
    "notEmpty": bool,
    "replaceAll": lambda value, old, new: value.replace(old, new),
    "replaceOne": lambda value, old, new: value.replace(old, new, 1),
    "splitByString": lambda separator, value: value.split(separator),
}
