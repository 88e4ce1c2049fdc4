"""Calls whose ClickHouse form is more than another name, by the translator that the catalogue names for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from endpoints_gitops.hogql.functions import REDUCERS
from endpoints_gitops.hogql.types import TIMES
from endpoints_gitops.local.engine.expressions import listed
from endpoints_gitops.local.engine.kinds import Kind, Sql
from endpoints_gitops.local.engine.literals import text, timestamp
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import TranslationContext

type TranslateCall = Callable[[list[Sql], TranslationContext], str]

ZONE: Final = "'UTC'"
_WHOLE: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?")
_FRACTION: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}")
_UNITS: Final = {
    unit: unit.capitalize() for unit in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
}
_WRITTEN_PLAIN: Final = (Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN)


def _zoned(function: str, most: int) -> TranslateCall:
    """The project's time zone is the last argument where the caller gave none."""

    def translate(values: list[Sql], _context: TranslationContext) -> str:
        zone = "" if len(values) > most else f", {ZONE}"
        return f"{function}({listed(values)}{zone})"

    return translate


def _as_text(value: Sql) -> str:
    """Whatever an expression turns out to be, ClickHouse's parsing functions take text only."""
    return value.text if value.kind in _WRITTEN_PLAIN else f"toString({value.text})"


def _date(values: list[Sql], _context: TranslationContext) -> str:
    value = values[0]
    return f"toDate({value.text})" if value.kind in TIMES else f"toDateOrNull({_as_text(value)})"


def _datetime(values: list[Sql], _context: TranslationContext) -> str:
    value, zone = values[0], values[1].text if len(values) > 1 else ZONE
    if value.kind in (*TIMES, Kind.INTEGER):
        return f"toDateTime({value.text}, {zone})"
    if value.constant is not None and isinstance(value.constant.value, str):
        return _constant_datetime(value.constant.value, zone)
    return f"parseDateTime64BestEffortOrNull({_as_text(value)}, 6, {zone})"


def _constant_datetime(value: str, zone: str) -> str:
    if _WHOLE.fullmatch(value):
        return f"toDateTime({text(value)}, {zone})"
    if _FRACTION.fullmatch(value):
        return f"toDateTime64({text(value)}, 6, {zone})"
    return f"parseDateTime64BestEffort({text(value)}, 6, {zone})"


def _best_effort(function: str) -> TranslateCall:
    def translate(values: list[Sql], _context: TranslationContext) -> str:
        zone = values[1].text if len(values) > 1 else ZONE
        return f"{function}({_as_text(values[0])}, 6, {zone})"

    return translate


def _now(values: list[Sql], context: TranslationContext) -> str:
    zone = values[0].text if values else ZONE
    if context.now is None:
        return f"now64(6, {zone})"
    stopped = timestamp(context.now)
    return f"toTimeZone({stopped}, {zone})" if values else stopped


def _today(days_back: int) -> TranslateCall:
    def translate(_values: list[Sql], context: TranslationContext) -> str:
        day = "today()" if context.now is None else f"toDate({timestamp(context.now)})"
        return f"minus({day}, {days_back})" if days_back else day

    return translate


def _concat(values: list[Sql], _context: TranslationContext) -> str:
    parts = ", ".join(f"ifNull(toString({value.text}), '')" for value in values)
    return f"concat({parts})"


def _trim(side: str) -> TranslateCall:
    function = {"BOTH": "trimBoth", "LEADING": "trimLeft", "TRAILING": "trimRight"}[side]

    def translate(values: list[Sql], _context: TranslationContext) -> str:
        subject = values[0].text
        return f"trim({side} {values[1].text} FROM {subject})" if len(values) > 1 else f"{function}({subject})"

    return translate


def _decimal(values: list[Sql], _context: TranslationContext) -> str:
    scale = values[1].constant.value if values[1].constant else None
    if not isinstance(scale, int) or isinstance(scale, bool):
        raise QueryRefused("Function 'toDecimal' expects a constant integer as its scale")
    return f"accurateCastOrNull({values[0].text}, 'Decimal64({scale})')"


def _week(values: list[Sql], _context: TranslationContext) -> str:
    """A project's weeks start on Sunday unless it says otherwise: mode 0."""
    mode = "" if len(values) > 1 else ", 0"
    return f"toStartOfWeek({listed(values)}{mode})"


def _interval(unit: Sql, amount: Sql) -> str:
    word = unit.constant.value if unit.constant else None
    name = _UNITS.get(str(word).lower().removesuffix("s")) if isinstance(word, str) else None
    if name is None:
        raise QueryRefused(f"Not a unit of time: {word!r}. Use one of {', '.join(_UNITS)}")
    return f"toInterval{name}({amount.text})"


def _moved(function: str) -> TranslateCall:
    """dateAdd(unit, n, x) and dateAdd(x, interval), which ClickHouse only knows as syntax."""

    def translate(values: list[Sql], _context: TranslationContext) -> str:
        when = values[-1] if len(values) == 3 else values[0]
        by = _interval(values[0], values[1]) if len(values) == 3 else values[1].text
        return f"{function}({when.text}, {by})"

    return translate


def _reduced(values: list[Sql], _context: TranslationContext) -> str:
    name = values[0].constant.value if values[0].constant else None
    if name not in REDUCERS:
        raise QueryRefused(f"Invalid parametric function in 'arrayReduce', '{name}' is not supported.")
    return f"arrayReduce({listed(values)})"


TRANSLATORS: Final[dict[str, TranslateCall]] = {
    "best_effort": _best_effort("parseDateTime64BestEffortOrNull"),
    "best_effort_us": _best_effort("parseDateTime64BestEffortUSOrNull"),
    "joined": _concat,
    "date": _date,
    "datetime": _datetime,
    "decimal": _decimal,
    "earlier": _moved("minus"),
    "formatted": _zoned("formatDateTime", 2),
    "later": _moved("plus"),
    "made_timestamp": _zoned("makeDateTime", 6),
    "current_time": _now,
    "parsed": _zoned("parseDateTimeOrNull", 2),
    "reduced": _reduced,
    "current_day": _today(0),
    "trim_both": _trim("BOTH"),
    "trim_left": _trim("LEADING"),
    "trim_right": _trim("TRAILING"),
    "trunc": _zoned("dateTrunc", 2),
    "week": _week,
    "previous_day": _today(1),
    "zone": _zoned("toTimeZone", 1),
}
