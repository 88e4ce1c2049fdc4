"""Translate function calls to ClickHouse, and check their names and arguments (docs/server.md#hogql)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from endpoints_gitops.hogql.function_types import call_type, window_type
from endpoints_gitops.hogql.functions import (
    ABSENT,
    AGGREGATES,
    FUNCTIONS,
    PARAMETRIC,
    REDUCERS,
    WINDOW,
    Function,
    arity_mistake,
    catalog_name,
    ordered_set_mistake,
    parameter_mistake,
    suggested_names,
)
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.refusals import clickhouse_functions
from endpoints_gitops.hogql.types import TIMES
from endpoints_gitops.local.engine.expansions import EXPANSIONS, matches_action
from endpoints_gitops.local.engine.expressions import (
    compare_call,
    expression,
    expressions,
    is_comparison,
    listed,
    translates,
)
from endpoints_gitops.local.engine.fields import untyped
from endpoints_gitops.local.engine.literals import identifier, text, timestamp
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Kind, QueryScope, Sql, TranslationContext, refuse_if, refuse_unknown
from endpoints_gitops.model.suggestions import closest

UTC: Final = "'UTC'"
type TranslateCall = Callable[[list[Sql], TranslationContext], str]

_WHOLE: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?")
_FRACTION: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}")
_UNITS: Final = {
    unit: unit.capitalize() for unit in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
}
_WRITTEN_PLAIN: Final = (Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN)


def _zoned(function: str, most: int) -> TranslateCall:
    """The arguments with the project's time zone as the last one, if the call has none."""

    def translate(values: list[Sql], context: TranslationContext) -> str:
        zone = "" if len(values) > most else f", {context.zone}"
        return f"{function}({listed(values)}{zone})"

    return translate


def _as_text(value: Sql) -> str:
    """An expression as text, because ClickHouse's parsing functions accept only text."""
    return value.text if value.kind in _WRITTEN_PLAIN else f"toString({value.text})"


def _date(values: list[Sql], _context: TranslationContext) -> str:
    value = values[0]
    return f"toDate({value.text})" if value.kind in TIMES else f"toDateOrNull({_as_text(value)})"


def _datetime(values: list[Sql], context: TranslationContext) -> str:
    value, zone = values[0], values[1].text if len(values) > 1 else context.zone
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
    def translate(values: list[Sql], context: TranslationContext) -> str:
        zone = values[1].text if len(values) > 1 else context.zone
        return f"{function}({_as_text(values[0])}, 6, {zone})"

    return translate


def _now(values: list[Sql], context: TranslationContext) -> str:
    zone = values[0].text if values else context.zone
    if context.now is None:
        return f"now64(6, {zone})"
    stopped = timestamp(context.now)
    return stopped if zone == UTC else f"toTimeZone({stopped}, {zone})"


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


def _week(values: list[Sql], context: TranslationContext) -> str:
    """Weeks that start as the project's do: on Sunday in mode 0, on Monday in mode 3."""
    mode = "" if len(values) > 1 else f", {context.project.week_mode}"
    return f"toStartOfWeek({listed(values)}{mode})"


def _interval(unit: Sql, amount: Sql) -> str:
    word = unit.constant.value if unit.constant else None
    name = _UNITS.get(str(word).lower().removesuffix("s")) if isinstance(word, str) else None
    if name is None:
        raise QueryRefused(f"Not a unit of time: {word!r}. Use one of {', '.join(_UNITS)}")
    return f"toInterval{name}({amount.text})"


def _moved(function: str) -> TranslateCall:
    """dateAdd(unit, n, x) and dateAdd(x, interval), which are syntax in ClickHouse."""

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


def _whole_or_default(values: list[Sql], _context: TranslationContext) -> str:
    value, *others = values
    if others:
        return f"toInt64OrDefault({value.text}, accurateCast({others[0].text}, 'Int64'))"
    return f"toInt64OrZero({value.text})"


_PARTS_OF_DATES: Final = {
    **{part: f"to{part.capitalize()}" for part in ("year", "quarter", "month", "hour", "minute", "second")},
    "day": "toDayOfMonth",
    "dow": "toDayOfWeek",
    "doy": "toDayOfYear",
}


def _date_part(values: list[Sql], _context: TranslationContext) -> str:
    part, when = values[0].text, values[1].text
    choices = "".join(f"{part} = '{name}', {call}({when}), " for name, call in _PARTS_OF_DATES.items())
    return f"multiIf({choices}NULL)"


def _made_interval(values: list[Sql], _context: TranslationContext) -> str:
    units = ("Year", "Month", "Day", "Hour", "Minute", "Second")
    intervals = [f"toInterval{unit}({value.text})" for unit, value in zip(units, values, strict=True)]
    return f"({' + '.join(intervals)})"


def _over_time(function: str) -> TranslateCall:
    """The bounds of time windows, of which PostHog makes the first argument a time in UTC."""

    def translate(values: list[Sql], _context: TranslationContext) -> str:
        others = "".join(f", {value.text}" for value in values[1:])
        return f"{function}(toDateTime({values[0].text}, {UTC}){others})"

    return translate


_VERSION: Final = r"^\s*v?((?:(?:0|[1-9]\d*)\.){2}(?:0|[1-9]\d*))(?:[-+]\S*)?\s*$"


def _semver(values: list[Sql], _context: TranslationContext) -> str:
    """The three numbers of a version as an array that sorts by them; `[NULL]` for a text that is not a version."""
    numbers = f"nullIf(extract(assumeNotNull({values[0].text}), {text(_VERSION)}), '')"
    return f"arrayMap(part -> toInt64OrNull(part), splitByChar('.', coalesce({numbers}, '_')))"


def _tag(name: str, key: str) -> TranslateCall:
    """A value that PostHog's interface shows as an element."""
    return lambda values, _context: f"tuple('__hx_tag', '{name}', '{key}', {values[0].text})"


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
    "part_of_date": _date_part,
    "fine_datetime": _zoned("toDateTime64", 2),
    "hop_window": _over_time("hop"),
    "hop_end": _over_time("hopEnd"),
    "hop_start": _over_time("hopStart"),
    "made_interval": _made_interval,
    "report": _tag("ExplainCSPReport", "properties"),
    "semver": _semver,
    "sparkline_tag": _tag("Sparkline", "data"),
    "time_of_uuid": _zoned("UUIDv7ToDateTime", 1),
    "tumble_window": _over_time("tumble"),
    "tumble_end": _over_time("tumbleEnd"),
    "tumble_start": _over_time("tumbleStart"),
    "whole_or_default": _whole_or_default,
}


_PARTS: Final = "node start end name args params distinct filter_expr order_by within_group"
_KNOWN: Final = frozenset(_PARTS.split())


@translates("Call")
def call(node: Tree, scope: QueryScope) -> Sql:
    """A function or an aggregation, with or without parameters."""
    refuse_unknown(node, _KNOWN)
    name, arguments = str(node["name"]), node.get("args") or []
    if name == "matchesAction" and scope.context.project.is_given:
        return expression(matches_action(arguments, scope.context.project), scope)
    if catalog_name(name) not in FUNCTIONS:
        mistake = ordered_set_mistake(name, has_within_group=bool(node.get("within_group")))
        refuse_if(mistake, mistake or "")
    name = allowed_name(name)
    if name in AGGREGATES or name in PARAMETRIC:
        return _aggregation(name, node, arguments, scope)
    refuse_if(node.get("distinct"), f"DISTINCT is only for aggregations, and '{name}' is none")
    refuse_if(node.get("filter_expr"), f"FILTER is only for aggregations, and '{name}' is none")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    refuse_if(node.get("within_group"), "WITHIN GROUP is not supported")
    if is_comparison(name):
        return compare_call(name, arguments, scope)
    refuse_if(node.get("params"), f"Function '{name}' does not accept parameters")
    return _function(FUNCTIONS[name], arguments, scope)


@translates("Lambda")
def anonymous(node: Tree, scope: QueryScope) -> Sql:
    """`x -> …`: its arguments shadow columns and aliases of the same name."""
    names = [str(name) for name in node["args"]]
    arguments = {name: Sql(identifier(name)) for name in names}
    body = expression(node["expr"], scope.inside(arguments={**scope.arguments, **arguments}))
    written = ", ".join(value.text for value in arguments.values())
    return Sql(f"({written}) -> {body.text}", body.typed)


def allowed_name(name: str) -> str:
    """The name in the catalog. Raises QueryRefused for an unknown name."""
    known = catalog_name(name)
    if known is not None:
        return known
    if name in ABSENT:
        raise QueryRefused(f"Function '{name}' exists in PostHog but not in the local server: {ABSENT[name]}")
    near = closest(name, suggested_names(), completes=False)
    hint = f" Perhaps you meant '{near}(...)'?" if near else ""
    raise QueryRefused(f"Unsupported function call '{name}(...)'.{hint}")


def refuse_arity(name: str, given: int) -> None:
    """Raise QueryRefused with PostHog's message for a wrong number of arguments."""
    refuse_if(mistake := arity_mistake(name, given), mistake or "")


def aggregate_text(function: Function, node: Tree, arguments: list[Tree], inside: QueryScope) -> tuple[str, list[Sql]]:
    """An aggregation with its parameters, DISTINCT and FILTER, and its arguments. `inside` is the scope of these."""
    values = [] if _is_star(arguments) else expressions(arguments, inside)
    distinct = "DISTINCT " if node.get("distinct") else ""
    condition = node.get("filter_expr")
    filtered = f" FILTER (WHERE {expression(condition, inside).text})" if condition else ""
    return f"{function.clickhouse}{_parameters(function, node, inside)}({distinct}{listed(values)}){filtered}", values


def _aggregation(name: str, node: Tree, arguments: list[Tree], scope: QueryScope) -> Sql:
    function = AGGREGATES.get(name) or PARAMETRIC[name]
    inside = scope.inside(aggregate=name)
    if "macro" in function.marks:
        refuse_arity(name, len(arguments))
        values = expressions(arguments, inside)
        return Sql(_written(function, values, scope), call_type(name, [value.typed for value in values]))
    if scope.aggregate is not None:
        raise QueryRefused(f"Aggregation '{name}' cannot be nested inside another aggregation '{scope.aggregate}'.")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    refuse_arity(name, len(arguments))
    printed, values = aggregate_text(function, node, arguments, inside)
    return Sql(printed, call_type(name, [value.typed for value in values]))


def _parameters(function: Function, node: Tree, scope: QueryScope) -> str:
    """The parameters, which PostHog counts for few aggregations; ClickHouse refuses those of the others."""
    params = node.get("params") or []
    mistake = parameter_mistake(function.name, len(params))
    refuse_if(mistake, mistake or "")
    return f"({listed(expressions(params, scope))})" if params else ""


def _function(function: Function, arguments: list[Tree], scope: QueryScope) -> Sql:
    refuse_arity(function.name, len(arguments))
    if function.translator in EXPANSIONS:
        return expression(EXPANSIONS[function.translator](arguments), scope)
    inside = scope.inside(bare=True) if "bare" in function.marks else scope
    inside = inside.inside(aggregate=function.name) if "encloses" in function.marks else inside
    values = expressions(arguments, inside)
    if "of_text" in function.marks:
        values = [untyped(value) for value in values]
    return Sql(_written(function, values, scope), call_type(function.name, [value.typed for value in values]))


def _written(function: Function, values: list[Sql], scope: QueryScope) -> str:
    if function.translator is not None:
        return TRANSLATORS[function.translator](values, scope.context)
    if function.is_template:
        return function.clickhouse.format(*(value.text for value in values))
    return f"{function.clickhouse}({listed(values)})"


def _is_star(arguments: list[Tree]) -> bool:
    return len(arguments) == 1 and arguments[0].get("chain") == ["*"]


_PARTS_OF_WINDOW: Final = "node start end name exprs args over_expr over_identifier"
_KNOWN_OF_WINDOW: Final = frozenset(_PARTS_OF_WINDOW.split())
_WHOLE_FRAME: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


@translates("WindowFunction")
def window_function(node: Tree, scope: QueryScope) -> Sql:
    """`f(x) OVER (…)`. lag and lead use the whole partition, and return NULL beyond its edge. Arguments of a window
    function can be aggregations, and PostHog does not compare its name with the catalog: ClickHouse decides.
    """
    refuse_unknown(node, _KNOWN_OF_WINDOW)
    name = _window_name(str(node["name"]))
    arguments, parameters = (node["args"], node["exprs"]) if node.get("args") else (node["exprs"], [])
    if name in WINDOW and WINDOW[name].clickhouse != name:
        return _shifted(name, arguments, node, scope)
    over = _over(node, scope)
    if name not in AGGREGATES and name not in PARAMETRIC and name not in WINDOW:
        values = expressions(arguments, scope)
        written = f"({listed(expressions(parameters, scope))})" if parameters else ""
        return Sql(f"{name}{written}({listed(values)}) OVER {over}", call_type(name, []))
    if name in WINDOW:
        function = WINDOW[name]
        refuse_arity(name, len(arguments))
        values = expressions(arguments, scope)
        return _result(name, f"{function.clickhouse}({listed(values)}) OVER {over}", values)
    function = AGGREGATES.get(name) or PARAMETRIC[name]
    refuse_arity(name, len(arguments))
    printed, values = aggregate_text(function, {**node, "params": parameters}, arguments, scope)
    return _result(name, f"{printed} OVER {over}", values)


def window(node: Tree, scope: QueryScope) -> str:
    """The specification of a window, in OVER or WINDOW."""
    parts = []
    if node.get("partition_by"):
        parts.append(f"PARTITION BY {listed(expressions(node['partition_by'], scope))}")
    if node.get("order_by"):
        parts.append(f"ORDER BY {', '.join(order(key, scope) for key in node['order_by'])}")
    frame = _frame(node)
    return " ".join([*parts, frame] if frame else parts)


def order(node: Tree, scope: QueryScope) -> str:
    """An item of ORDER BY."""
    printed = f"{expression(node['expr'], scope).text} {'DESC' if node.get('order') == 'DESC' else 'ASC'}"
    fill = node.get("with_fill")
    return f"{printed} WITH FILL{_fill(fill, scope)}" if fill else printed


def _fill(node: Tree, scope: QueryScope) -> str:
    known = {"from_value": "FROM", "to_value": "TO", "step_value": "STEP", "staleness_value": "STALENESS"}
    unknown = set(node) - set(known) - {"node", "start", "end"}
    if unknown:
        raise QueryRefused(f"WITH FILL with {', '.join(sorted(unknown))} is not supported by the local server")
    return "".join(f" {word} {expression(node[key], scope).text}" for key, word in known.items() if node.get(key))


def _window_name(name: str) -> str:
    if name in WINDOW:
        return name
    if catalog_name(name) is None and name not in ABSENT and name in clickhouse_functions():
        return name
    known = allowed_name(name)
    if known not in AGGREGATES and known not in PARAMETRIC:
        raise QueryRefused(f"Function '{known}' cannot be used with OVER")
    return known


def _result(name: str, printed: str, values: list[Sql]) -> Sql:
    return Sql(printed, window_type(name, [value.typed for value in values]))


def _shifted(name: str, arguments: list[Tree], node: Tree, scope: QueryScope) -> Sql:
    refuse_arity(name, len(arguments))
    first, *others = expressions(arguments, scope)
    values = ", ".join([f"toNullable({first.text})", *(other.text for other in others)])
    if node.get("over_identifier"):
        over = f"({identifier(node['over_identifier'])} {_WHOLE_FRAME})"
    else:
        inner = window({**node["over_expr"], "frame_method": None}, scope)
        over = f"({inner} {_WHOLE_FRAME})" if inner else f"({_WHOLE_FRAME})"
    typed = window_type(name, [value.typed for value in (first, *others)])
    return Sql(f"{WINDOW[name].clickhouse}({values}) OVER {over}", typed)


def _over(node: Tree, scope: QueryScope) -> str:
    if node.get("over_identifier"):
        return identifier(node["over_identifier"])
    return f"({window(node.get('over_expr') or {}, scope)})"


def _frame(node: Tree) -> str:
    method = node.get("frame_method")
    if not method:
        return ""
    if method not in ("ROWS", "RANGE"):
        raise QueryRefused(f"A window's frame counts ROWS or RANGE, not {method}")
    start = _edge(node["frame_start"])
    end = node.get("frame_end")
    return f"{method} BETWEEN {start} AND {_edge(end)}" if end else f"{method} {start}"


def _edge(node: Tree) -> str:
    kind = str(node["frame_type"])
    if kind not in ("PRECEDING", "FOLLOWING", "CURRENT ROW"):
        raise QueryRefused(f"Not an edge of a window's frame: {kind}")
    if kind == "CURRENT ROW":
        return kind
    value = node.get("frame_value")
    refuse_if(not isinstance(value, int | None), "A window's frame reaches a whole number of rows, no expression")
    return f"{'UNBOUNDED' if value is None else value} {kind}"
