"""Conditions of insights as HogQL text: events of a series, and property filters (docs/server.md#insights).

Texts of the definition become quoted literals and names. An expression of the definition is parsed and printed, so it
cannot end the query around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.printer import UnboundVariable, Unprintable, literal, name, print_hogql
from endpoints_gitops.hogql.syntax_tree import of_kind
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.insights.dates import parsed_date
from endpoints_gitops.local.insights.refused import NotComputed

TRUE: Final = "1 = 1"
_COMPARED: Final = {"gt": ">", "lt": "<", "gte": ">=", "lte": "<=", "min": ">=", "max": "<="}
_DATED: Final = {"is_date_exact": "=", "is_date_before": "<", "is_date_after": ">"}
_COLUMNS: Final = ("event", "distinct_id", "$session_id", "$window_id", "uuid", "person_id", "elements_chain")


def expression(key: str, text: object) -> str:
    """A HogQL expression of the definition, in parentheses. Raises QueryRefused if it is not one expression."""
    try:
        tree = parse(f"SELECT {text}\n")
        parts = {part for part, value in tree.items() if value and part not in ("node", "start", "end")}
        selected = tree.get("select") or []
        if parts != {"select"} or len(selected) != 1 or any(of_kind(tree, "Placeholder")):
            raise QueryRefused(f"{key} must be one expression without placeholders: {text}")
        node = selected[0]["expr"] if selected[0]["node"] == "Alias" else selected[0]
        return f"({print_hogql(node)})"
    except ParseFailure as failure:
        raise from_parser(failure) from None
    except Unprintable as error:
        raise QueryRefused(f"{key}: {error.message}") from None


def text(value: object) -> str:
    """A quoted text."""
    try:
        return literal(str(value))
    except UnboundVariable as error:
        raise QueryRefused(error.message) from None


def moment(value: datetime) -> str:
    """A time as HogQL."""
    return f"toDateTime('{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}')"


def all_of(conditions: Sequence[str]) -> str:
    """The conjunction of conditions; without conditions, all rows."""
    kept = [condition for condition in conditions if condition != TRUE]
    return " AND ".join(f"({condition})" for condition in kept) if kept else TRUE


def any_of(conditions: Sequence[str]) -> str:
    if TRUE in conditions or not conditions:
        return TRUE
    return " OR ".join(f"({condition})" for condition in conditions)


def events_of(series: Mapping[str, Any]) -> str:
    """The condition for the events of a series, without its filters. Raises NotComputed for other kinds of series."""
    kind = series.get("kind")
    if kind != "EventsNode":
        why = "actions are not known to it" if kind == "ActionsNode" else ""
        raise NotComputed(f"series of the kind {kind}", why)
    event = series.get("event")
    return TRUE if event is None else f"event = {text(event)}"


def filters_of(series: Mapping[str, Any], now: datetime) -> str:
    """The condition of a series' own filters."""
    return all_of([properties(series.get(key) or [], now) for key in ("properties", "fixedProperties")])


def properties(value: object, now: datetime) -> str:
    """The condition of a list of filters, of a group of them, or of one filter. Raises QueryRefused."""
    if isinstance(value, list):
        return all_of([properties(item, now) for item in value])
    if not isinstance(value, Mapping):
        raise NotComputed("properties", f"{value!r} is not a filter")
    if value.get("type") in ("AND", "OR"):
        inner = [properties(item, now) for item in value.get("values") or []]
        return all_of(inner) if value["type"] == "AND" else any_of(inner)
    return _filter(value, now) if value else TRUE


def field(of_type: str, key: str, group_index: object = None) -> str:
    """The HogQL of a property, for filters and breakdowns. Raises NotComputed for types without local data."""
    if of_type in ("event", "feature"):
        return f"properties.{name(key)}"
    if of_type == "person":
        return "distinct_id" if key == "distinct_id" else f"person.properties.{name(key)}"
    if of_type == "group":
        return f"group_{_group_index(group_index)}.properties.{name(key)}"
    if of_type == "session":
        column = TABLES["sessions"].columns.get(key)
        if column is None or not column.is_local:
            raise NotComputed(f"the session property {key}")
        return f"session.{name(key)}"
    if of_type == "event_metadata":
        if key not in _COLUMNS and key not in {f"$group_{index}" for index in range(5)}:
            raise NotComputed(f"the event column {key}")
        return name(key)
    if of_type == "hogql":
        return expression("the expression", key)
    raise NotComputed(f"properties of the type {of_type}")


def _group_index(index: object) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or index not in range(5):
        raise NotComputed("group_type_index", f"{index!r} is not a number from 0 to 4")
    return index


def _filter(value: Mapping[str, Any], now: datetime) -> str:
    of_type, key = str(value.get("type") or "event"), str(value.get("key"))
    if of_type == "hogql":
        return expression("a filter", key)
    operator = str(value.get("operator") or "exact")
    return compared(field(of_type, key, value.get("group_type_index")), operator, value.get("value"), now)


def compared(left: str, operator: str, value: object, now: datetime) -> str:
    """The condition of an operator. Raises NotComputed for an unknown one, and QueryRefused as the server does."""
    if operator in ("is_set", "is_not_set"):
        return f"{'isNotNull' if operator == 'is_set' else 'isNull'}({left})"
    if value is None:
        raise NotComputed(f"the operator {operator} without a value")
    if isinstance(value, Mapping):
        raise NotComputed(f"the operator {operator} with an object")
    if value == []:
        return TRUE
    if operator in ("between", "not_between"):
        return _between(left, operator, value)
    values = value if isinstance(value, list) else [value]
    if operator in ("exact", "in", "is_not", "not_in"):
        word = "in" if operator in ("exact", "in") else "not in"
        return f"toString({left}) {word} ({', '.join(text(shown(item)) for item in values)})"
    conditions = [_single(left, operator, item, now) for item in values]
    if not operator.startswith("not_"):
        return any_of(conditions)
    several = [f"isNotNull({left})"] if len(values) > 1 and operator == "not_icontains" else []
    return all_of([*conditions, *several])


def _single(left: str, operator: str, value: object, now: datetime) -> str:
    words = shown(value)
    if operator in ("icontains", "not_icontains"):
        word = "ilike" if operator == "icontains" else "not ilike"
        return f"toString({left}) {word} {text(f'%{words}%')}"
    if operator in ("regex", "not_regex"):
        return f"toString({left}) {'=~' if operator == 'regex' else '!~'} {text(words)}"
    if operator in _COMPARED:
        return f"toFloat({left}) {_COMPARED[operator]} {number(operator, value)!r}"
    if operator in _DATED:
        given = parsed_date(f"the operator {operator}", value, now).moment.replace(microsecond=0)
        return f"toDateTime({left}) {_DATED[operator]} {moment(given)}"
    raise NotComputed(f"the operator {operator}")


def shown(value: object) -> str:
    """A value of a filter as the text that the property has."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def number(operator: str, value: object) -> float:
    """A number of a filter, also one that is written as text. Raises QueryRefused."""
    try:
        found = float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not math.isfinite(found):
        raise QueryRefused(f"{operator} operator requires numeric values")
    return found


def _between(left: str, operator: str, value: object) -> str:
    if not isinstance(value, list) or len(value) != 2:
        raise QueryRefused("between operator requires a two-element array [min, max]")
    low, high = number("between", value[0]), number("between", value[1])
    if low > high:
        raise QueryRefused("between operator requires min value to be less than or equal to max value")
    if operator == "between":
        return f"toFloat({left}) >= {low!r} AND toFloat({left}) <= {high!r}"
    return f"toFloat({left}) < {low!r} OR toFloat({left}) > {high!r}"
