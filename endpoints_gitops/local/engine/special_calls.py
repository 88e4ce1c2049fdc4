"""Functions whose ClickHouse form is more than another name: conversions, times, look-alikes of other databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from endpoints_gitops.local.engine.expressions import any_nullable, listed
from endpoints_gitops.local.engine.kinds import Kind, Sql
from endpoints_gitops.local.engine.literals import moment, text
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import World

type Make = Callable[[list[Sql], World], Sql]

ZONE: Final = "'UTC'"
_WHOLE: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?")
_FRACTION: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}")
_UNITS: Final = {
    unit: unit.capitalize() for unit in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
}
_REDUCERS: Final = frozenset(
    f"{name}{suffix}"
    for name in ("count", "sum", "min", "max", "avg", "median", "uniq")
    for suffix in ("", "Map", "State", "MapState")
)
_NUMBERS: Final = (Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN)
_TIMES: Final = (Kind.DATE, Kind.DATETIME)


def _made(kind: Kind, template: str, *, nullable: bool | None = None) -> Make:
    """`{0}` and `{1}` are the arguments, `{all}` all of them. Nullable when an argument is, unless said."""

    def make(values: list[Sql], _world: World) -> Sql:
        printed = template.format(*(value.text for value in values), all=listed(values))
        return Sql(text=printed, kind=kind, nullable=any_nullable(values) if nullable is None else nullable)

    return make


def _zoned(function: str, kind: Kind, given: int, *, nullable: bool | None = None) -> Make:
    """The project's time zone is the last argument where the caller gave none."""

    def make(values: list[Sql], _world: World) -> Sql:
        zone = "" if len(values) > given else f", {ZONE}"
        printed = f"{function}({listed(values)}{zone})"
        return Sql(text=printed, kind=kind, nullable=any_nullable(values) if nullable is None else nullable)

    return make


def _as_text(value: Sql) -> str:
    """Whatever an expression turns out to be, ClickHouse's parsing functions take text only."""
    return value.text if value.kind in (Kind.STRING, *_NUMBERS) else f"toString({value.text})"


def _to_date(values: list[Sql], _world: World) -> Sql:
    value = values[0]
    if value.kind in _TIMES:
        return Sql(text=f"toDate({value.text})", kind=Kind.DATE, nullable=value.nullable)
    return Sql(text=f"toDateOrNull({_as_text(value)})", kind=Kind.DATE)


def _to_datetime(values: list[Sql], _world: World) -> Sql:
    value, zone = values[0], values[1].text if len(values) > 1 else ZONE
    if value.kind in (*_TIMES, Kind.INTEGER):
        return Sql(text=f"toDateTime({value.text}, {zone})", kind=Kind.DATETIME, nullable=value.nullable)
    if value.constant is not None and isinstance(value.constant.value, str):
        return Sql(text=_constant_moment(value.constant.value, zone), kind=Kind.DATETIME, nullable=False)
    return Sql(text=f"parseDateTime64BestEffortOrNull({_as_text(value)}, 6, {zone})", kind=Kind.DATETIME)


def _constant_moment(value: str, zone: str) -> str:
    if _WHOLE.fullmatch(value):
        return f"toDateTime({text(value)}, {zone})"
    if _FRACTION.fullmatch(value):
        return f"toDateTime64({text(value)}, 6, {zone})"
    return f"parseDateTime64BestEffort({text(value)}, 6, {zone})"


def _best_effort(function: str) -> Make:
    def make(values: list[Sql], _world: World) -> Sql:
        zone = values[1].text if len(values) > 1 else ZONE
        return Sql(text=f"{function}({_as_text(values[0])}, 6, {zone})", kind=Kind.DATETIME)

    return make


def _now(values: list[Sql], world: World) -> Sql:
    zone = values[0].text if values else ZONE
    if world.now is None:
        return Sql(text=f"now64(6, {zone})", kind=Kind.DATETIME, nullable=False)
    stopped = moment(world.now)
    printed = f"toTimeZone({stopped}, {zone})" if values else stopped
    return Sql(text=printed, kind=Kind.DATETIME, nullable=False)


def _today(days_back: int) -> Make:
    def make(_values: list[Sql], world: World) -> Sql:
        day = "today()" if world.now is None else f"toDate({moment(world.now)})"
        printed = f"minus({day}, {days_back})" if days_back else day
        return Sql(text=printed, kind=Kind.DATE, nullable=False)

    return make


def _concat(values: list[Sql], _world: World) -> Sql:
    parts = ", ".join(f"ifNull(toString({value.text}), '')" for value in values)
    return Sql(text=f"concat({parts})", kind=Kind.STRING, nullable=False)


def _trim(side: str) -> Make:
    function = {"BOTH": "trimBoth", "LEADING": "trimLeft", "TRAILING": "trimRight"}[side]

    def make(values: list[Sql], _world: World) -> Sql:
        subject = values[0].text
        printed = f"trim({side} {values[1].text} FROM {subject})" if len(values) > 1 else f"{function}({subject})"
        return Sql(text=printed, kind=Kind.STRING, nullable=any_nullable(values))

    return make


def _to_decimal(values: list[Sql], _world: World) -> Sql:
    scale = values[1].constant.value if values[1].constant else None
    if not isinstance(scale, int) or isinstance(scale, bool):
        raise QueryRefused("Function 'toDecimal' expects a constant integer as its scale")
    return Sql(text=f"accurateCastOrNull({values[0].text}, 'Decimal64({scale})')", kind=Kind.DECIMAL)


def _week(values: list[Sql], _world: World) -> Sql:
    """A project's weeks start on Sunday unless it says otherwise: mode 0."""
    mode = "" if len(values) > 1 else ", 0"
    return Sql(text=f"toStartOfWeek({listed(values)}{mode})", kind=Kind.DATE, nullable=values[0].nullable)


def _interval(unit: Sql, amount: Sql) -> str:
    word = unit.constant.value if unit.constant else None
    name = _UNITS.get(str(word).lower().removesuffix("s")) if isinstance(word, str) else None
    if name is None:
        raise QueryRefused(f"Not a unit of time: {word!r}. Use one of {', '.join(_UNITS)}")
    return f"toInterval{name}({amount.text})"


def _moved(function: str) -> Make:
    """dateAdd(unit, n, x) and dateAdd(x, interval), which ClickHouse only knows as syntax."""

    def make(values: list[Sql], _world: World) -> Sql:
        when = values[-1] if len(values) == 3 else values[0]
        by = _interval(values[0], values[1]) if len(values) == 3 else values[1].text
        kind = when.kind if when.kind in _TIMES else Kind.UNKNOWN
        return Sql(text=f"{function}({when.text}, {by})", kind=kind, nullable=any_nullable(values))

    return make


def _array_reduce(values: list[Sql], _world: World) -> Sql:
    name = values[0].constant.value if values[0].constant else None
    if name not in _REDUCERS:
        raise QueryRefused(f"Invalid parametric function in 'arrayReduce', '{name}' is not supported.")
    return Sql(text=f"arrayReduce({listed(values)})")


_CONVERSIONS: Final = {
    name: _made(kind, f"accurateCastOrNull({{0}}, '{target}')", nullable=True)
    for name, kind, target in (
        ("toInt", Kind.INTEGER, "Int64"),
        ("toFloat", Kind.FLOAT, "Float64"),
        ("toUUID", Kind.UUID, "UUID"),
    )
}
_MOVES: Final = {
    name: _moved(function)
    for function, names in (
        ("plus", ("dateAdd", "date_add", "timeStampAdd")),
        ("minus", ("dateSub", "date_subtract", "timeStampSub")),
    )
    for name in names
}
_TRUNC: Final = _zoned("dateTrunc", Kind.DATETIME, 2)
SPECIAL: Final[dict[str, Make]] = {
    **_CONVERSIONS,
    **_MOVES,
    "toDecimal": _to_decimal,
    **dict.fromkeys(("toDate", "to_date"), _to_date),
    "toDateTime": _to_datetime,
    "toDateTimeUS": _best_effort("parseDateTime64BestEffortUSOrNull"),
    "parseDateTimeBestEffort": _best_effort("parseDateTime64BestEffortOrNull"),
    "parseDateTime": _zoned("parseDateTimeOrNull", Kind.DATETIME, 2, nullable=True),
    **dict.fromkeys(("now", "current_timestamp"), _now),
    **dict.fromkeys(("today", "current_date"), _today(0)),
    "yesterday": _today(1),
    "toStartOfWeek": _week,
    "toTimeZone": _zoned("toTimeZone", Kind.DATETIME, 1),
    **dict.fromkeys(("formatDateTime", "to_char"), _zoned("formatDateTime", Kind.STRING, 2)),
    **dict.fromkeys(("dateTrunc", "date_trunc"), _TRUNC),
    **dict.fromkeys(("dateDiff", "date_diff"), _made(Kind.INTEGER, "dateDiff({all})")),
    "concat": _concat,
    **dict.fromkeys(("trim", "btrim"), _trim("BOTH")),
    **dict.fromkeys(("trimLeft", "ltrim"), _trim("LEADING")),
    **dict.fromkeys(("trimRight", "rtrim"), _trim("TRAILING")),
    "split_part": _made(Kind.STRING, "arrayElement(splitByString({1}, {0}), {2})"),
    "make_date": _made(Kind.DATE, "makeDate({all})"),
    "make_timestamp": _zoned("makeDateTime", Kind.DATETIME, 6),
    "md5": _made(Kind.STRING, "hex(MD5({0}))"),
    "arrayReduce": _array_reduce,
    "exists": _made(Kind.BOOLEAN, "exists({0})", nullable=False),
}
