"""What a call gives for arguments of given types (docs/server.md#hogql)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.hogql.result_types import AGGREGATES, FUNCTIONS, WINDOW_ONLY, Result, known_name
from endpoints_gitops.hogql.special_types import SPECIAL
from endpoints_gitops.hogql.types import (
    NULL,
    NUMBERS,
    TIMES,
    Kind,
    Typed,
    any_nullable,
    nothing_given,
    odd,
    unknown,
)

_TAKES_NULL: Final = frozenset(
    (
        *("isNull", "isNotNull", "in", "notIn", "nullIf", "toBool", "toTypeName", "toInt", "toFloat", "toUUID"),
        *("toDecimal", "concat", "tuple", "map", "exists"),
    )
)
"""Functions that have a type of their own for the constant NULL. Of any other, NULL makes NULL, which has no type."""
_TAKES_NULL_IN_ARRAY: Final = ("has", "indexOf", "countEqual", "arraySlice")
_COUNTS_OF_SUFFIX: Final = {"If": 1, "OrNull": 0, "OrDefault": 0}


def call_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of `name(arguments)`; unknown, with the reason, for what is not in the tables."""
    known = known_name(name)
    if known in SPECIAL:
        return SPECIAL[known](arguments) if arguments else nothing_given(known)
    if known in AGGREGATES and known not in WINDOW_ONLY:
        return _aggregate(known, arguments)
    if known in FUNCTIONS:
        return NULL if _is_null(known, arguments) else _given(FUNCTIONS[known], arguments)
    return _combined(known, arguments)


def _aggregate(name: str, arguments: list[Typed]) -> Typed:
    """Counting takes NULL; any other aggregation of the constant NULL is NULL."""
    counts = AGGREGATES[name].nullable is False and not AGGREGATES[name].is_array
    is_null = not counts and any(argument.kind is Kind.NOTHING for argument in arguments)
    return NULL if is_null else _given(AGGREGATES[name], arguments)


def _is_null(name: str, arguments: list[Typed]) -> bool:
    counted = arguments[:1] if name in _TAKES_NULL_IN_ARRAY else arguments
    return name not in _TAKES_NULL and any(argument.kind is Kind.NOTHING for argument in counted)


def window_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of `name(arguments) OVER (…)`."""
    if name in WINDOW_ONLY:
        return _given(AGGREGATES[name], arguments)
    return call_type(name, arguments)


def arithmetic_type(function: str, left: Typed, right: Typed) -> Typed:
    return call_type(function, [left, right])


def _combined(name: str, arguments: list[Typed]) -> Typed:
    """An aggregation with a suffix, such as sumIf: what the aggregation gives without the arguments of the suffix."""
    for suffix, more in _COUNTS_OF_SUFFIX.items():
        base = name.removesuffix(suffix)
        if base == name or known_name(base) not in AGGREGATES or len(arguments) < more:
            continue
        found = _aggregate(known_name(base), arguments[: len(arguments) - more])
        return found.as_nullable(_or_null(found, arguments)) if suffix == "OrNull" else found
    return unknown(f"what {name} gives is not known here")


def _or_null(found: Typed, arguments: list[Typed]) -> bool | None:
    if any(each.kind is Kind.NOTHING for each in arguments):
        return None
    return None if found.kind is Kind.TUPLE else found.kind is not Kind.ARRAY


def _given(result: Result, arguments: list[Typed]) -> Typed:
    nullable = any_nullable(arguments) if result.nullable is None else result.nullable
    found = _kind_of(result, arguments, nullable)
    return Typed(Kind.ARRAY, nullable, found.why, found) if result.is_array else found


def _kind_of(result: Result, arguments: list[Typed], nullable: bool | None) -> Typed:
    if result.fixed is not None:
        why = "what the items of the array are is not known" if result.fixed is Kind.UNKNOWN else None
        return Typed(result.fixed, nullable, why)
    if not arguments:
        return unknown("the function needs an argument")
    first = arguments[0]
    give = _BY_FIRST.get(result.kind)
    found = give(first) if give else first
    if result.is_array:
        return found.as_nullable(False)
    if found.kind is Kind.TUPLE:
        return found.as_nullable(None if nullable else False)  # newer versions of ClickHouse have nullable tuples
    return found.as_nullable(False if found.kind is Kind.ARRAY else nullable)


def _number_of(first: Typed) -> Typed:
    return Typed(Kind.INTEGER) if first.kind is Kind.BOOLEAN else first


def _sum(first: Typed) -> Typed:
    return _number_of(first) if first.kind in NUMBERS else odd(first)


def _average(first: Typed) -> Typed:
    if first.kind in TIMES:
        return first
    return Typed(Kind.FLOAT) if first.kind in NUMBERS else odd(first)


def _quantile(first: Typed) -> Typed:
    return first if first.kind is Kind.DECIMAL else _average(first)


_BY_FIRST: Final = {"number": _number_of, "sum": _sum, "average": _average, "quantile": _quantile}
