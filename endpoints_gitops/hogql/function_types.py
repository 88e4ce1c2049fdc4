"""The types of calls: what a function of the catalog returns for arguments of given types (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from endpoints_gitops.hogql.functions import (
    AGGREGATES,
    FUNCTIONS,
    PARAMETRIC,
    WINDOW,
    Function,
    FunctionResult,
    known_name,
)
from endpoints_gitops.hogql.types import (
    INTEGER,
    NULL,
    NUMBERS,
    TIMES,
    Kind,
    Typed,
    all_nullable,
    any_nullable,
    common,
    first_reason,
    missing_arguments,
    odd,
    unknown,
)

type Rule = Callable[[list[Typed]], Typed]

_UNITS: Final = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_DATE_UNITS: Final = ("day", "week", "month", "quarter", "year")
_ROUGH_UNITS: Final = ("week", "month", "quarter", "year")


def _plus(arguments: list[Typed]) -> Typed:
    """The sum of numbers is a number; that of a time and an interval, or a number of days or seconds, is a time."""
    left, right = arguments[0], arguments[-1]
    nullable = any_nullable(arguments)
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return Typed(_number(left.kind, right.kind), nullable)
    if NULL.kind in (left.kind, right.kind):
        return Typed(Kind.NOTHING, nullable=True)
    time, other = (left, right) if left.kind in TIMES else (right, left)
    if time.kind in TIMES and other.kind in (Kind.INTERVAL, Kind.INTEGER):
        return Typed(_moved(time.kind, other), nullable)
    if left.kind is Kind.INTERVAL and right.kind is Kind.INTERVAL:
        return unknown("intervals have no type in JSON")
    return unknown(first_reason(arguments) or f"the type of an operation with {left.kind} and {right.kind} is unknown")


def _minus(arguments: list[Typed]) -> Typed:
    left, right = arguments[0], arguments[-1]
    if left.kind in TIMES and right.kind in TIMES:
        kinds = {left.kind, right.kind}
        if Kind.DATETIME64 not in kinds and len(kinds) == 1:
            return Typed(Kind.INTEGER, any_nullable(arguments))
        if kinds == {Kind.DATETIME64}:
            return Typed(Kind.DECIMAL, any_nullable(arguments))
        return unknown("the type of a difference between different kinds of times is unknown")
    return _plus(arguments)


def _multiply(arguments: list[Typed]) -> Typed:
    left, right = arguments[0], arguments[-1]
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return Typed(_number(left.kind, right.kind), any_nullable(arguments))
    if NULL.kind in (left.kind, right.kind):
        return Typed(Kind.NOTHING, nullable=True)
    return unknown(first_reason(arguments) or "only numbers can be multiplied")


def _whole(arguments: list[Typed]) -> Typed:
    product = _multiply(arguments)
    return Typed(Kind.INTEGER, product.nullable) if product.kind in NUMBERS else product


def _divide(arguments: list[Typed]) -> Typed:
    """The quotient of a decimal is a decimal, any other a float."""
    kinds = {argument.kind for argument in arguments}
    if Kind.DECIMAL in kinds or not kinds <= set(NUMBERS):
        return unknown(first_reason(arguments) or "only numbers can be divided")
    return Typed(Kind.FLOAT, any_nullable(arguments))


def _number(left: Kind, right: Kind) -> Kind:
    kinds = {left, right}
    if Kind.FLOAT in kinds:
        return Kind.FLOAT
    return Kind.DECIMAL if Kind.DECIMAL in kinds else Kind.INTEGER


def _moved(time: Kind, by: Typed) -> Kind:
    """The kind of a time plus an interval: a date plus less than a day is a datetime."""
    is_fine = by.kind is Kind.INTERVAL and by.constant not in _DATE_UNITS
    return Kind.DATETIME if time is Kind.DATE and is_fine else time


def _branches(arguments: list[Typed]) -> Typed:
    """`if` and `multiIf`: the common type of the results, which are every second argument and the last one."""
    if len(arguments) < 3:
        return missing_arguments("if")
    return common([*arguments[1:-1:2], arguments[-1]])


def _coalesce(arguments: list[Typed]) -> Typed:
    """The common type of the arguments up to the first one that is never NULL."""
    certain = next((index for index, value in enumerate(arguments) if value.nullable is False), len(arguments))
    counted = arguments[: certain + 1]
    return common(counted).as_nullable(all_nullable(counted))


def _case(arguments: list[Typed]) -> Typed:
    result = common([*arguments[2:-1:2], arguments[-1]])
    return result.as_nullable(result.nullable or None)


def _extreme(arguments: list[Typed]) -> Typed:
    """The type of a minimum or maximum: a number for booleans; next to NULL, the type of the other argument."""
    result = common(arguments)
    is_compared = all(argument.kind is Kind.BOOLEAN for argument in arguments)
    return replace(result, kind=Kind.INTEGER) if is_compared else result


def _unless_null(rule: Rule) -> Rule:
    """A rule that returns the type of NULL if an argument is the constant NULL."""
    return lambda arguments: NULL if any(value.kind is Kind.NOTHING for value in arguments) else rule(arguments)


def logic_type(arguments: list[Typed]) -> Typed:
    """`and`, `or`, `not`: a number, unless an argument is a boolean."""
    kinds = {argument.kind for argument in arguments}
    if kinds == {Kind.NOTHING}:
        return NULL
    if Kind.UNKNOWN in kinds and Kind.BOOLEAN not in kinds:
        return unknown(
            first_reason(arguments) or "the type of a part of the condition is unknown", any_nullable(arguments)
        )
    return Typed(Kind.BOOLEAN if Kind.BOOLEAN in kinds else Kind.INTEGER, any_nullable(arguments))


def comparison_type(arguments: list[Typed]) -> Typed:
    """A comparison is never NULL, unless it involves a timestamp of events or sessions."""
    if any(argument.is_null_unseen for argument in arguments):
        why = "the nullability of a comparison with the comparison of a timestamp is unknown"
        return Typed(Kind.INTEGER, None, why, is_null_unseen=True)
    if not any(argument.is_timestamp for argument in arguments):
        return INTEGER
    if any(argument.kind is Kind.NOTHING for argument in arguments):
        return unknown("the type of a comparison of a timestamp with NULL depends on the server")
    nullable = any_nullable(arguments)
    return Typed(Kind.INTEGER, nullable, is_null_unseen=nullable is not False)


def _to_date(arguments: list[Typed]) -> Typed:
    value = arguments[0]
    if value.kind in TIMES:
        return Typed(Kind.DATE, value.nullable)
    return Typed(Kind.DATE, None if value.kind is Kind.UNKNOWN and not value.nullable else True)


def _to_datetime(arguments: list[Typed]) -> Typed:
    value = arguments[0]
    if value.kind in (*TIMES, Kind.INTEGER):
        return Typed(Kind.DATETIME, value.nullable)
    if value.kind is Kind.STRING and value.constant is not None:
        return Typed(Kind.DATETIME64)
    if value.kind is Kind.INTERVAL:
        return odd(value)
    return Typed(Kind.DATETIME64, None if value.kind is Kind.UNKNOWN and not value.nullable else True)


def _same_timestamp(arguments: list[Typed]) -> Typed:
    value = arguments[0]
    if value.kind in (Kind.DATETIME, Kind.DATETIME64):
        return value.as_nullable(value.nullable)
    return odd(value)


def _trunc(arguments: list[Typed]) -> Typed:
    unit, value = str(arguments[0].constant).lower(), arguments[-1]
    if arguments[0].constant is None or len(arguments) < 2:
        return unknown("the query does not have the unit as a constant", value.nullable)
    return Typed(Kind.DATE if unit in _ROUGH_UNITS else Kind.DATETIME, any_nullable(arguments[1:2]))


def _unless_array_null(rule: Rule) -> Rule:
    return lambda arguments: NULL if arguments[0].kind is Kind.NOTHING else rule(arguments)


def _start_of_interval(arguments: list[Typed]) -> Typed:
    value, interval = arguments[0], arguments[-1]
    if interval.kind is not Kind.INTERVAL or interval.constant is None:
        return unknown("the query does not have the length of the interval as a constant", value.nullable)
    return Typed(Kind.DATE if interval.constant in _ROUGH_UNITS else Kind.DATETIME, any_nullable(arguments))


def _added(unit: str) -> Rule:
    def rule(arguments: list[Typed]) -> Typed:
        value = arguments[0]
        if value.kind not in TIMES:
            return odd(value)
        interval = Typed(Kind.INTERVAL, constant=unit)
        return Typed(_moved(value.kind, interval), any_nullable(arguments))

    return rule


def _date_add(arguments: list[Typed]) -> Typed:
    """`dateAdd('day', 1, x)` and `dateAdd(x, interval)`."""
    if len(arguments) == 3:
        unit = str(arguments[0].constant).lower().removesuffix("s")
        return _plus([arguments[2], Typed(Kind.INTERVAL, any_nullable(arguments[1:2]), constant=unit)])
    return _plus(arguments)


def _array(arguments: list[Typed]) -> Typed:
    return Typed(Kind.ARRAY, item=common(arguments))


def _tuple(arguments: list[Typed]) -> Typed:
    return Typed(Kind.TUPLE, parts=tuple(value.named() for value in arguments))


def _map(arguments: list[Typed]) -> Typed:
    """`map(key, value, …)`. Its keys have one type, and its values another."""
    return Typed(Kind.TUPLE, entries=(common(arguments[::2]), common(arguments[1::2])) if arguments else None)


def _element(arguments: list[Typed]) -> Typed:
    if len(arguments) < 2 or arguments[1].kind in (Kind.ARRAY, Kind.UNKNOWN, Kind.TUPLE):
        return unknown(first_reason(arguments) or "the type of the array index is unknown")
    item = _item(arguments)
    is_nested = item.kind in (Kind.ARRAY, Kind.TUPLE)
    return item.as_nullable(False if is_nested else any_nullable([item, arguments[1]]))


def _item(arguments: list[Typed]) -> Typed:
    array = next((value for value in arguments if value.kind is Kind.ARRAY), None)
    if array is None or array.item is None:
        return unknown(first_reason(arguments) or "the type of the items of the array is unknown")
    return array.item


def _filtered(arguments: list[Typed]) -> Typed:
    """`arrayFilter(x -> …, items)` returns the type of the items."""
    array = arguments[-1]
    return Typed(Kind.ARRAY, item=array.item)


def _reversed(arguments: list[Typed]) -> Typed:
    value = arguments[0]
    if value.kind is not Kind.TUPLE:
        return value.as_nullable(False if value.kind is Kind.ARRAY else value.nullable)
    return Typed(Kind.TUPLE, value.nullable, parts=value.parts[::-1] if value.parts else None)


def _pushed(arguments: list[Typed]) -> Typed:
    array = arguments[0]
    if array.kind is not Kind.ARRAY or array.item is None:
        return odd(array)
    return Typed(Kind.ARRAY, item=common([array.item, *arguments[1:]]))


def _distinct(arguments: list[Typed]) -> Typed:
    """The type of distinct items, which are never NULL."""
    array = arguments[0]
    if array.kind is not Kind.ARRAY or array.item is None:
        return odd(array)
    return Typed(Kind.ARRAY, item=array.item.as_nullable(False))


def _range(arguments: list[Typed]) -> Typed:
    is_whole = all(argument.kind is Kind.INTEGER for argument in arguments)
    return Typed(Kind.ARRAY, item=INTEGER if is_whole else unknown("the type of the numbers of the range is unknown"))


def _array_sum(arguments: list[Typed]) -> Typed:
    if len(arguments) > 1:
        return unknown("the result type of the lambda is unknown")
    item = _item(arguments)
    return Typed(item.kind) if item.kind in (Kind.INTEGER, Kind.FLOAT) else odd(item)


def _interval(unit: str) -> Rule:
    return lambda arguments: Typed(
        Kind.INTERVAL, any_nullable(arguments), "an interval has no type in JSON", constant=unit
    )


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


RULES: Final[dict[str, Rule]] = {
    **{f"interval_{unit}": _interval(unit) for unit in _UNITS},
    **{f"moved_{unit}": _unless_null(_added(unit)) for unit in _UNITS},
    "array_of": _array,
    "array_sum": _array_sum,
    "branches": _branches,
    "case": _case,
    "coalesce": _coalesce,
    "comparison": comparison_type,
    "date_of": _unless_null(_to_date),
    "datetime_of": _unless_null(_to_datetime),
    "distinct": _unless_null(_distinct),
    "divide": _divide,
    "element": _unless_null(_element),
    "exclusive": _unless_null(logic_type),
    "extreme": _extreme,
    "filtered": _unless_null(_filtered),
    "item": _item,
    "logic": logic_type,
    "minus": _minus,
    "moved": _date_add,
    "multiply": _multiply,
    "plus": _plus,
    "pushed": _unless_array_null(_pushed),
    "range": _unless_null(_range),
    "reversed": _unless_null(_reversed),
    "same_timestamp": _same_timestamp,
    "some_item": _unless_null(_item),
    "start_of_interval": _unless_null(_start_of_interval),
    "trunc": _unless_null(_trunc),
    "tuple_of": _tuple,
    "map_of": _map,
    "last_timestamp": _unless_null(lambda arguments: _same_timestamp(arguments[-1:])),
    "whole": _whole,
}
"""Rules that get all arguments and decide the nullability."""
RULES_OF_FIRST: Final[dict[str, Callable[[Typed], Typed]]] = {
    "average": _average,
    "number": _number_of,
    "quantile": _quantile,
    "same": lambda first: first,
    "sum": _sum,
}
"""Rules that get only the first argument, or its item in `[rule]`."""

_ARGUMENTS_OF_SUFFIX: Final = {"If": 1, "OrNull": 0, "OrDefault": 0}


def call_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of `name(arguments)`; unknown, with the reason, if the catalog does not have it."""
    known = known_name(name)
    if known in FUNCTIONS:
        return _function_type(FUNCTIONS[known], arguments)
    aggregation = _aggregation(known)
    return _suffixed_type(known, arguments) if aggregation is None else _aggregation_type(aggregation, arguments)


def window_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of `name(arguments) OVER (…)`."""
    if name in WINDOW:
        return _result_type(WINDOW[name], arguments)
    return call_type(name, arguments)


def _function_type(function: Function, arguments: list[Typed]) -> Typed:
    rule = RULES.get(function.result.rule)
    if rule is not None:
        return rule(arguments) if arguments else missing_arguments(function.name)
    return NULL if _is_null(function, arguments) else _result_type(function, arguments)


def _is_null(function: Function, arguments: list[Typed]) -> bool:
    """Whether the call is NULL because an argument is the constant NULL, which some functions have a type for."""
    if "takes_null" in function.marks or _is_unknown(function.result):
        return False
    counted = arguments[:1] if "takes_null_items" in function.marks else arguments
    return any(argument.kind is Kind.NOTHING for argument in counted)


def _is_unknown(result: FunctionResult) -> bool:
    return result.kind is Kind.UNKNOWN and not result.is_array


def _aggregation(name: str) -> Function | None:
    """The aggregation of a name; None for one with suffixes, and for other functions."""
    function = AGGREGATES.get(name) or PARAMETRIC.get(name)
    return None if function is None or _is_unknown(function.result) else function


def _aggregation_type(function: Function, arguments: list[Typed]) -> Typed:
    """The type of an aggregation. Any aggregation of the constant NULL but a count is NULL."""
    counts = function.result.nullable is False and not function.result.is_array and "macro" not in function.marks
    is_null = not counts and any(argument.kind is Kind.NOTHING for argument in arguments)
    return NULL if is_null else _result_type(function, arguments)


def _suffixed_type(name: str, arguments: list[Typed]) -> Typed:
    """The type of an aggregation with a suffix, such as sumIf: that of sum, without the arguments of the suffix."""
    for suffix, more in _ARGUMENTS_OF_SUFFIX.items():
        base = _aggregation(known_name(name.removesuffix(suffix))) if name.endswith(suffix) else None
        if base is None or len(arguments) < more:
            continue
        result = _aggregation_type(base, arguments[: len(arguments) - more])
        return result.as_nullable(_or_null(result, arguments)) if suffix == "OrNull" else result
    return unknown(f"the result type of {name} is unknown")


def _or_null(result: Typed, arguments: list[Typed]) -> bool | None:
    if any(value.kind is Kind.NOTHING for value in arguments):
        return None
    return None if result.kind is Kind.TUPLE else result.kind is not Kind.ARRAY


def _result_type(function: Function, arguments: list[Typed]) -> Typed:
    result = function.result
    if _is_unknown(result):
        return unknown(f"the result type of {function.name} is unknown")
    nullable = any_nullable(arguments) if result.nullable is None else result.nullable
    if result.kind is not None:
        why = "the type of the items of the array is unknown" if result.kind is Kind.UNKNOWN else None
        typed = Typed(result.kind, nullable, why)
    else:
        typed = _type_by_first(result, arguments, nullable)
    return Typed(Kind.ARRAY, nullable, typed.why, typed) if result.is_array else typed


def _type_by_first(result: FunctionResult, arguments: list[Typed], nullable: bool | None) -> Typed:
    if not arguments:
        return unknown("the function needs an argument")
    typed = RULES_OF_FIRST[result.rule](arguments[0])
    if result.is_array:
        return typed.as_nullable(False)
    if typed.kind is Kind.TUPLE:
        return typed.as_nullable(None if nullable else False)  # newer versions of ClickHouse have nullable tuples
    return typed.as_nullable(False if typed.kind is Kind.ARRAY else nullable)
