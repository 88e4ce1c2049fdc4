"""Functions whose result depends on more than the table says: arithmetic, branches, moments, arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

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
    nothing_given,
    odd,
    unknown,
)

type Give = Callable[[list[Typed]], Typed]

_COMPARISONS: Final = (
    *("equals", "notEquals", "less", "greater", "lessOrEquals", "greaterOrEquals"),
    *("like", "ilike", "notLike", "notILike"),
)
_DATE_UNITS: Final = ("day", "week", "month", "quarter", "year")
_ROUGH_UNITS: Final = ("week", "month", "quarter", "year")


def _plus(arguments: list[Typed]) -> Typed:
    """Numbers stay numbers; a moment and an interval or a number of days or seconds make a moment."""
    left, right = arguments[0], arguments[-1]
    nullable = any_nullable(arguments)
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return Typed(_number(left.kind, right.kind), nullable)
    if NULL.kind in (left.kind, right.kind):
        return Typed(Kind.NOTHING, nullable=True)
    moment, other = (left, right) if left.kind in TIMES else (right, left)
    if moment.kind in TIMES and other.kind in (Kind.INTERVAL, Kind.INTEGER):
        return Typed(_moved(moment.kind, other), nullable)
    if left.kind is Kind.INTERVAL and right.kind is Kind.INTERVAL:
        return unknown("intervals have no type in JSON")
    return unknown(first_reason(arguments) or f"what {left.kind} and {right.kind} make together is not known")


def _minus(arguments: list[Typed]) -> Typed:
    left, right = arguments[0], arguments[-1]
    if left.kind in TIMES and right.kind in TIMES:
        kinds = {left.kind, right.kind}
        if Kind.DATETIME64 not in kinds and len(kinds) == 1:
            return Typed(Kind.INTEGER, any_nullable(arguments))
        if kinds == {Kind.DATETIME64}:
            return Typed(Kind.DECIMAL, any_nullable(arguments))
        return unknown("the difference of different kinds of moments is not known")
    return _plus(arguments)


def _multiply(arguments: list[Typed]) -> Typed:
    left, right = arguments[0], arguments[-1]
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return Typed(_number(left.kind, right.kind), any_nullable(arguments))
    if NULL.kind in (left.kind, right.kind):
        return Typed(Kind.NOTHING, nullable=True)
    return unknown(first_reason(arguments) or "only numbers are multiplied")


def _whole(arguments: list[Typed]) -> Typed:
    found = _multiply(arguments)
    return Typed(Kind.INTEGER, found.nullable) if found.kind in NUMBERS else found


def _divide(arguments: list[Typed]) -> Typed:
    """The quotient of a decimal is a decimal, any other a float."""
    kinds = {argument.kind for argument in arguments}
    if Kind.DECIMAL in kinds or not kinds <= set(NUMBERS):
        return unknown(first_reason(arguments) or "only numbers are divided")
    return Typed(Kind.FLOAT, any_nullable(arguments))


def _number(left: Kind, right: Kind) -> Kind:
    kinds = {left, right}
    if Kind.FLOAT in kinds:
        return Kind.FLOAT
    return Kind.DECIMAL if Kind.DECIMAL in kinds else Kind.INTEGER


def _moved(moment: Kind, by: Typed) -> Kind:
    """A date that is moved by less than a day becomes a moment."""
    is_fine = by.kind is Kind.INTERVAL and by.constant not in _DATE_UNITS
    return Kind.DATETIME if moment is Kind.DATE and is_fine else moment


def _branches(arguments: list[Typed]) -> Typed:
    """`if` and `multiIf`: the conditions do not count, and every second argument and the last one may come out."""
    if len(arguments) < 3:
        return nothing_given("if")
    return common([*arguments[1:-1:2], arguments[-1]])


def _coalesce(arguments: list[Typed]) -> Typed:
    """What comes after the first value that is never NULL does not count."""
    certain = next((place for place, each in enumerate(arguments) if each.nullable is False), len(arguments))
    counted = arguments[: certain + 1]
    return common(counted).as_nullable(all_nullable(counted))


def _case(arguments: list[Typed]) -> Typed:
    found = common([*arguments[2:-1:2], arguments[-1]])
    return found.as_nullable(found.nullable or None)


def _extreme(arguments: list[Typed]) -> Typed:
    """Of truth values it is a number; beside NULL alone one stays what it is."""
    found = common(arguments)
    is_compared = all(argument.kind is Kind.BOOLEAN for argument in arguments)
    return replace(found, kind=Kind.INTEGER) if is_compared else found


def _unless_null(give: Give) -> Give:
    """NULL makes NULL, which has no type."""
    return lambda arguments: NULL if any(each.kind is Kind.NOTHING for each in arguments) else give(arguments)


def logic_type(arguments: list[Typed]) -> Typed:
    """`and`, `or`, `not`: a number, unless a truth value takes part."""
    kinds = {argument.kind for argument in arguments}
    if kinds == {Kind.NOTHING}:
        return NULL
    if Kind.UNKNOWN in kinds and Kind.BOOLEAN not in kinds:
        return unknown(first_reason(arguments) or "a part of the condition is not known", any_nullable(arguments))
    return Typed(Kind.BOOLEAN if Kind.BOOLEAN in kinds else Kind.INTEGER, any_nullable(arguments))


def comparison_type(arguments: list[Typed]) -> Typed:
    """A comparison knows two values only, unless a timestamp of events or sessions takes part."""
    if any(argument.is_null_unseen for argument in arguments):
        why = "whether a comparison with the comparison of a timestamp can be NULL is not known"
        return Typed(Kind.INTEGER, None, why, is_null_unseen=True)
    if not any(argument.is_timestamp for argument in arguments):
        return INTEGER
    if any(argument.kind is Kind.NOTHING for argument in arguments):
        return unknown("what a timestamp compared with NULL gives depends on the server")
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


def _same_moment(arguments: list[Typed]) -> Typed:
    value = arguments[0]
    if value.kind in (Kind.DATETIME, Kind.DATETIME64):
        return value.as_nullable(value.nullable)
    return odd(value)


def _trunc(arguments: list[Typed]) -> Typed:
    unit, value = str(arguments[0].constant).lower(), arguments[-1]
    if arguments[0].constant is None or len(arguments) < 2:
        return unknown("the unit is not written in the query", value.nullable)
    return Typed(Kind.DATE if unit in _ROUGH_UNITS else Kind.DATETIME, any_nullable(arguments[1:2]))


def _unless_array_null(give: Give) -> Give:
    return lambda arguments: NULL if arguments[0].kind is Kind.NOTHING else give(arguments)


def _start_of_interval(arguments: list[Typed]) -> Typed:
    value, interval = arguments[0], arguments[-1]
    if interval.kind is not Kind.INTERVAL or interval.constant is None:
        return unknown("the length of the interval is not written in the query", value.nullable)
    return Typed(Kind.DATE if interval.constant in _ROUGH_UNITS else Kind.DATETIME, any_nullable(arguments))


def _added(unit: str) -> Give:
    def give(arguments: list[Typed]) -> Typed:
        value = arguments[0]
        if value.kind not in TIMES:
            return odd(value)
        interval = Typed(Kind.INTERVAL, constant=unit)
        return Typed(_moved(value.kind, interval), any_nullable(arguments))

    return give


def _date_add(arguments: list[Typed]) -> Typed:
    """`dateAdd('day', 1, x)` and `dateAdd(x, interval)`."""
    if len(arguments) == 3:
        unit = str(arguments[0].constant).lower().removesuffix("s")
        return _plus([arguments[2], Typed(Kind.INTERVAL, any_nullable(arguments[1:2]), constant=unit)])
    return _plus(arguments)


def _array(arguments: list[Typed]) -> Typed:
    return Typed(Kind.ARRAY, item=common(arguments))


def _tuple(arguments: list[Typed]) -> Typed:
    return Typed(Kind.TUPLE, parts=tuple(each.named() for each in arguments))


def _element(arguments: list[Typed]) -> Typed:
    if len(arguments) < 2 or arguments[1].kind in (Kind.ARRAY, Kind.UNKNOWN, Kind.TUPLE):
        return unknown(first_reason(arguments) or "what is looked up in the array is not known")
    found = _item(arguments)
    is_nested = found.kind in (Kind.ARRAY, Kind.TUPLE)
    return found.as_nullable(False if is_nested else any_nullable([found, arguments[1]]))


def _item(arguments: list[Typed]) -> Typed:
    array = next((each for each in arguments if each.kind is Kind.ARRAY), None)
    if array is None or array.item is None:
        return unknown(first_reason(arguments) or "what the items of the array are is not known")
    return array.item


def _filtered(arguments: list[Typed]) -> Typed:
    """`arrayFilter(x -> …, items)` gives the items it was given."""
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
    """NULL is no value among others."""
    array = arguments[0]
    if array.kind is not Kind.ARRAY or array.item is None:
        return odd(array)
    return Typed(Kind.ARRAY, item=array.item.as_nullable(False))


def _range(arguments: list[Typed]) -> Typed:
    is_whole = all(argument.kind is Kind.INTEGER for argument in arguments)
    return Typed(Kind.ARRAY, item=INTEGER if is_whole else unknown("the numbers of the range are of another type"))


def _array_sum(arguments: list[Typed]) -> Typed:
    if len(arguments) > 1:
        return unknown("what the function gives for an item is not known")
    item = _item(arguments)
    return Typed(item.kind) if item.kind in (Kind.INTEGER, Kind.FLOAT) else odd(item)


def _intervals() -> dict[str, Give]:
    units = ("Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year")
    return {f"toInterval{unit}": _interval(unit.lower()) for unit in units}


def _interval(unit: str) -> Give:
    return lambda arguments: Typed(
        Kind.INTERVAL, any_nullable(arguments), "an interval has no type in JSON", constant=unit
    )


def _moves() -> dict[str, Give]:
    units = ("Years", "Quarters", "Months", "Weeks", "Days", "Hours", "Minutes", "Seconds")
    return {f"{verb}{unit}": _unless_null(_added(unit.lower()[:-1])) for verb in ("add", "subtract") for unit in units}


SPECIAL: Final[dict[str, Give]] = {
    **_intervals(),
    **_moves(),
    **dict.fromkeys(("if", "multiIf"), _branches),
    **dict.fromkeys(("coalesce", "ifNull"), _coalesce),
    **dict.fromkeys(("least", "greatest"), _extreme),
    **dict.fromkeys(("and", "or", "not"), logic_type),
    **dict.fromkeys(_COMPARISONS, comparison_type),
    **dict.fromkeys(("toDate", "to_date"), _unless_null(_to_date)),
    **dict.fromkeys(("dateTrunc", "date_trunc"), _unless_null(_trunc)),
    **dict.fromkeys(("dateAdd", "date_add", "dateSub", "date_subtract", "timeStampAdd", "timeStampSub"), _date_add),
    **dict.fromkeys(("arrayFirst", "arrayLast"), _unless_null(_item)),
    "arrayJoin": _item,
    "reverse": _unless_null(_reversed),
    **dict.fromkeys(("modulo", "moduloOrZero", "positiveModulo"), _multiply),
    **dict.fromkeys(("intDiv", "intDivOrZero"), _whole),
    "arrayElement": _unless_null(_element),
    "plus": _plus,
    "minus": _minus,
    "multiply": _multiply,
    "divide": _divide,
    "_caseWithExpression": _case,
    "toDateTime": _unless_null(_to_datetime),
    "toTimeZone": _same_moment,
    "toStartOfInterval": _unless_null(_start_of_interval),
    "xor": _unless_null(logic_type),
    "array": _array,
    "tuple": _tuple,
    "arrayFilter": _unless_null(_filtered),
    "arraySum": _array_sum,
    **dict.fromkeys(("arrayPushBack", "arrayPushFront"), _unless_array_null(_pushed)),
    "arrayDistinct": _unless_null(_distinct),
    "range": _unless_null(_range),
}
