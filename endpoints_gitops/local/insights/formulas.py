"""Formulas over the series of a trend: arithmetic over the letters A, B, … (docs/server.md#insights)."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Final

from endpoints_gitops.local.engine.refusals import QueryRefused

type Number = int | float

_OPERATORS: Final[dict[type[ast.operator], Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: lambda left, right: _power(float(left), float(right)),
}
_ALLOWED: Final = "Formulas only support arithmetic ( + - * / % ** ) between series"
_LONGEST: Final = 500
_LARGEST: Final = 1e300
"""Values beyond it would not add up to a number of JSON."""


def evaluated(formula: str, series: Sequence[Sequence[Number]]) -> list[Number]:
    """The values of a formula, bucket by bucket; a division by zero is 0. Raises QueryRefused as the server does."""
    if len(formula) > _LONGEST:
        raise QueryRefused(f"The formula has more than {_LONGEST} characters", "invalid_input")
    try:
        tree = ast.parse(formula.strip().upper(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise QueryRefused(f"The formula {formula!r} is not valid", "invalid_input") from None
    _check(tree, len(series))
    return [_bucket(tree, [values[index] for values in series]) for index in range(len(series[0]) if series else 0)]


def _check(node: ast.expr, count: int) -> None:
    """Raise QueryRefused for parts of a formula that are not arithmetic, also where there is no bucket."""
    match node:
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATORS:
            _check(left, count)
            _check(right, count)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, count)
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            return
        case ast.Name(id=name) if len(name) == 1 and name in ascii_uppercase:
            if ascii_uppercase.index(name) >= count:
                known = ", ".join(ascii_uppercase[:count])
                defined = f"{count} series {'is' if count == 1 else 'are'} defined"
                raise QueryRefused(f"Formula references series {name}, but only {defined} ({known})", "invalid_input")
        case ast.Call(func=ast.Name(id=name)):
            hint = "To aggregate a series, set its measurement instead of using a function."
            raise QueryRefused(f"{_ALLOWED}, not {name}(). {hint}", "invalid_input")
        case _:
            raise QueryRefused(f"{_ALLOWED}, not {ast.unparse(node)}", "invalid_input")


def _bucket(tree: ast.expr, values: Sequence[Number]) -> Number:
    try:
        value = _value(tree, values)
    except ZeroDivisionError:
        return 0
    except OverflowError:
        value = math.inf
    if not abs(value) < _LARGEST:
        raise QueryRefused("The value of the formula is too large", "invalid_input")
    return value


def _value(node: ast.expr, values: Sequence[Number]) -> Number:
    match node:
        case ast.BinOp(left=left, op=operation, right=right):
            return _OPERATORS[type(operation)](_value(left, values), _value(right, values))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, values)
        case ast.Constant(value=value) if isinstance(value, int | float):
            return value
        case ast.Name(id=name):
            return values[ascii_uppercase.index(name)]
    raise AssertionError("checked before")


def _power(left: float, right: float) -> float:
    value: float | complex = left**right
    if isinstance(value, complex):
        raise QueryRefused("The formula takes a root of a negative number", "invalid_input")
    return value
