"""Conditions of insights as HogQL text: events of a series, and property filters (docs/server.md#insights).

Texts of the definition become quoted literals and names. An expression of the definition is parsed and printed, so it
cannot end the query around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.printer import UnboundVariable, Unprintable, literal, name, print_hogql
from endpoints_gitops.hogql.syntax_tree import of_kind
from endpoints_gitops.hogql.tables import EVENT_PROPERTIES, TABLES
from endpoints_gitops.hogql.types import Kind
from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT, ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.insights import versions
from endpoints_gitops.local.insights.dates import parsed_date
from endpoints_gitops.local.insights.refused import NotComputed

TRUE: Final = "1 = 1"
_COMPARED: Final = {"gt": ">", "lt": "<", "gte": ">=", "lte": "<=", "min": ">=", "max": "<="}
_DATED: Final = {"is_date_exact": "=", "is_date_before": "<", "is_date_after": ">"}
_COLUMNS: Final = EVENT_PROPERTIES + tuple(
    column.name
    for column in TABLES["events"].columns.values()
    if column.is_in_data and column.typed.kind in (Kind.STRING, Kind.UUID)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterContext:
    """What filters depend on: the time in the project's zone, and the project. `of_persons`: they are conditions on
    rows of `persons`, not of `events`."""

    now: datetime
    project: ProjectData = UNKNOWN_PROJECT
    of_persons: bool = False


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


def timestamp(value: datetime) -> str:
    """A time as HogQL, which does not depend on the project's zone."""
    return f"toDateTime('{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 'UTC')"


def all_of(conditions: Sequence[str]) -> str:
    """The conjunction of conditions; without conditions, all rows."""
    kept = [condition for condition in conditions if condition != TRUE]
    return " AND ".join(f"({condition})" for condition in kept) if kept else TRUE


def any_of(conditions: Sequence[str]) -> str:
    if TRUE in conditions or not conditions:
        return TRUE
    return " OR ".join(f"({condition})" for condition in conditions)


def properties(value: object, context: FilterContext) -> str:
    """The condition of a list of filters, of a group of them, or of one filter. Raises QueryRefused."""
    if isinstance(value, list | tuple):
        return all_of([properties(item, context) for item in value])
    if not isinstance(value, Mapping):
        raise NotComputed("properties", f"{value!r} is not a filter")
    if value.get("type") in ("AND", "OR"):
        inner = [properties(item, context) for item in value.get("values") or []]
        return all_of(inner) if value["type"] == "AND" else any_of(inner)
    return _filter(value, context) if value else TRUE


def field(of_type: str, key: str, group_index: object = None, *, of_persons: bool = False) -> str:
    """The HogQL of a property, for filters and breakdowns. Raises NotComputed for types without local data."""
    if of_persons:
        return "pdi.distinct_id" if key == "distinct_id" else f"properties.{name(key)}"
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
        if key not in _COLUMNS:
            raise NotComputed(f"the event column {key}")
        return name(key)
    if of_type == "hogql":
        return expression("the expression", key)
    raise NotComputed(f"properties of the type {of_type}")


def _group_index(index: object) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or index not in range(5):
        raise NotComputed("group_type_index", f"{index!r} is not a number from 0 to 4")
    return index


def _filter(value: Mapping[str, Any], context: FilterContext) -> str:
    of_type, key = str(value.get("type") or "event"), str(value.get("key"))
    if of_type == "hogql":
        return expression("a filter", key)
    operator = str(value.get("operator") or "exact")
    if of_type == "cohort":
        return _cohort(value, operator, context)
    if of_type == "element":
        return _element(key, operator, value.get("value"), context)
    if context.of_persons and of_type != "person":
        raise NotComputed(f"filters of the type {of_type} for persons")
    left = field(of_type, key, value.get("group_type_index"), of_persons=context.of_persons)
    condition = compared(left, operator, value.get("value"), context)
    return f"NOT ({condition})" if value.get("negation") else condition


def _cohort(value: Mapping[str, Any], operator: str, context: FilterContext) -> str:
    """Whether a person belongs to a cohort. Raises NotComputed without the settings of the project."""
    wanted = value.get("value")
    if not context.project.is_given:
        raise NotComputed("cohort filters", "the cohorts of the project are not known (serve --project)")
    if operator not in ("in", "not_in", "exact") or not isinstance(wanted, int | str) or isinstance(wanted, bool):
        raise NotComputed("cohort filters", f"{operator} {wanted!r}")
    cohort = context.project.cohort(int(wanted) if str(wanted).isdigit() else wanted)
    if cohort is None:
        raise QueryRefused(f"Could not find cohort with ID {wanted}")
    word = "NOT IN" if operator == "not_in" or value.get("negation") else "IN"
    return f"{'id' if context.of_persons else 'person_id'} {word} COHORT {cohort.id}"


def _element(key: str, operator: str, value: object, context: FilterContext) -> str:
    """Whether an element of an autocaptured event matches. Raises NotComputed."""
    if key == "href":
        return compared("elements_chain_href", operator, value, context)
    if context.of_persons or key not in ("tag_name", "text"):
        raise NotComputed(f"element filters of {key}")
    values = value if isinstance(value, list) else [value]
    if key == "text":
        matching = [compared("_text", operator, item, context) for item in values]
        conditions = [f"arrayExists(_text -> {item}, elements_chain_texts)" for item in matching]
        return all_of(conditions) if operator in ("is_not", "not_icontains", "not_regex") else any_of(conditions)
    if operator not in ("exact", "is_not"):
        raise NotComputed(f"element filters of tag_name with {operator}")
    conditions = [tag_name(str(item)) for item in values]
    return any_of(conditions) if operator == "exact" else all_of([f"NOT ({condition})" for condition in conditions])


def tag_name(tag: str) -> str:
    """The condition that an element of an event has a tag."""
    return f"elements_chain =~ {text(rf'(^|;){tag}(\.|$|;|:)')}"


def compared(left: str, operator: str, value: object, context: FilterContext) -> str:
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
    conditions = [_single(left, operator, item, context) for item in values]
    if not operator.startswith("not_"):
        return any_of(conditions)
    several = [f"isNotNull({left})"] if len(values) > 1 and operator == "not_icontains" else []
    return all_of([*conditions, *several])


def _single(left: str, operator: str, value: object, context: FilterContext) -> str:
    words = shown(value)
    if operator in ("icontains", "not_icontains"):
        word = "ilike" if operator == "icontains" else "not ilike"
        return f"toString({left}) {word} {text(f'%{words}%')}"
    if operator in ("regex", "not_regex"):
        return f"toString({left}) {'=~' if operator == 'regex' else '!~'} {text(words)}"
    if operator in _COMPARED:
        return f"toFloat({left}) {_COMPARED[operator]} {number(operator, value)!r}"
    if operator in _DATED:
        given = parsed_date(
            f"the operator {operator}", value, context.now, week_start=context.project.week_start_day
        ).timestamp.replace(microsecond=0)
        return f"toDateTime({left}) {_DATED[operator]} {timestamp(given)}"
    if operator == "is_cleaned_path_exact":
        return f"{_cleaned(left, context)} = {_cleaned(text(words), context)}"
    if operator.startswith("semver_"):
        return versions.compared(left, operator, words, text(words))
    raise NotComputed(f"the operator {operator}")


def _cleaned(path: str, context: FilterContext) -> str:
    """A path after the cleaning rules of the project. Raises NotComputed if they are not known."""
    if not context.project.is_given:
        raise NotComputed("the operator is_cleaned_path_exact", "the rules of the project are not known")
    for regex, alias in context.project.path_cleaning:
        path = f"replaceRegexpAll({path}, {text(regex)}, {text(alias)})"
    return path


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
