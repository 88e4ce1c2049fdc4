"""What a call gives for arguments of given types (docs/server.md#hogql)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.hogql.result_types import AGGREGATES, FUNCTIONS, WINDOW_ONLY, Result, known_name
from endpoints_gitops.hogql.special_types import SPECIAL
from endpoints_gitops.hogql.types import (
    NUMBERS,
    TIMES,
    Kind,
    Typed,
    any_nullable,
    nothing_given,
    odd,
    unknown,
)

_COUNTS_OF_SUFFIX: Final = {"If": 1, "OrNull": 0, "OrDefault": 0}


def call_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of `name(arguments)`; unknown, with the reason, for what is not in the tables."""
    known = known_name(name)
    if known in SPECIAL:
        return SPECIAL[known](arguments) if arguments else nothing_given(known)
    if known in AGGREGATES and known not in WINDOW_ONLY:
        return _given(AGGREGATES[known], arguments)
    if known in FUNCTIONS:
        return _given(FUNCTIONS[known], arguments)
    return _combined(known, arguments)


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
        found = _given(AGGREGATES[known_name(base)], arguments[: len(arguments) - more])
        return found.as_nullable(_or_null(found, arguments)) if suffix == "OrNull" else found
    return unknown(f"what {name} gives is not known here")


def _or_null(found: Typed, arguments: list[Typed]) -> bool | None:
    if any(each.kind is Kind.NOTHING for each in arguments):
        return None
    return found.kind not in (Kind.ARRAY, Kind.TUPLE)


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
    if result.is_array:
        return first.as_nullable(False)
    give = _BY_FIRST.get(result.kind)
    found = give(first) if give else first
    return found.as_nullable(False if found.kind in (Kind.ARRAY, Kind.TUPLE) else nullable)


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
