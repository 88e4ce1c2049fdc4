"""Breakdowns of insights: the HogQL of each value, the values within the limit, and what an answer shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from endpoints_gitops.local.engine.project_data import ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

NULL: Final = "$$_posthog_breakdown_null_$$"
OTHER: Final = "$$_posthog_breakdown_other_$$"
ENDPOINT_LIMIT: Final = 10_000
_CHART_LIMIT: Final = 25
_MAP_LIMIT: Final = 250
_ALL_USERS: Final = "0"

type Key = tuple[str, ...]
"""The values of a series; empty without breakdowns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdowns:
    """The breakdowns of a query: an expression for each, and how the answer shows their values.

    `conditions` choose the events of the values. `names` are those of cohorts, by their ids as texts.
    """

    expressions: tuple[str, ...]
    is_list: bool
    limit: int
    hides_other: bool
    conditions: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def aliases(self) -> list[str]:
        return [f"_value_{index}" for index in range(len(self.expressions))]

    def columns(self) -> list[str]:
        """The breakdown values as columns of a SELECT."""
        return [f"{part} AS {alias}" for part, alias in zip(self.expressions, self.aliases, strict=True)]

    def kept(self, totals: Mapping[Key, float]) -> dict[Key, Key]:
        """The key of the series that each key belongs to, in the order of the answer: within the limit its own,
        beyond it that of "other"."""
        ranked = sorted(totals, key=lambda key: (-totals[key], key))
        other = (OTHER,) * len(self.expressions)
        shown = {key: key if index < self.limit else other for index, key in enumerate(ranked)}
        return dict(sorted(shown.items(), key=lambda item: _class_of(item[1])))

    def value(self, key: Key) -> Json:
        """`breakdown_value` of the answer."""
        if self.names:
            return "all" if key[0] == _ALL_USERS else int(key[0])
        return [shown(part) for part in key] if self.is_list else shown(key[0])

    def label(self, key: Key) -> str:
        """The text of the values in a label."""
        if self.names:
            return self.names[key[0]]
        return "::".join("null" if part == NULL else str(shown(part)) for part in key)


def _class_of(key: Key) -> int:
    return 2 if OTHER in key else 1 if NULL in key else 0


def shown(value: str) -> str | None:
    """A breakdown value as endpoints show it."""
    return None if value in (NULL, "") else "Other" if value == OTHER else value


def breakdowns_of(breakdown_filter: Mapping[str, Any], *, is_endpoint: bool, display: str) -> Breakdowns | None:
    """The breakdowns of a filter; None without one. Raises NotComputed."""
    several = breakdown_filter.get("breakdowns")
    legacy = breakdown_filter.get("breakdown")
    if not several and legacy in (None, [], ""):
        return None
    parts = [dict(part) for part in several] if several else _legacy(breakdown_filter)
    hides = bool(breakdown_filter.get("breakdown_hide_other_aggregation"))
    limit = breakdown_filter.get("breakdown_limit") or (_MAP_LIMIT if display == "WorldMap" else _CHART_LIMIT)
    if not isinstance(limit, int | float):
        raise NotComputed("breakdownFilter.breakdown_limit", repr(limit))
    return Breakdowns(
        expressions=tuple(map(_expression, parts)),
        is_list=bool(several) or isinstance(legacy, list),
        limit=ENDPOINT_LIMIT if is_endpoint else int(limit),
        hides_other=hides and not is_endpoint,
    )


def cohorts_of(breakdown_filter: Mapping[str, Any], project: ProjectData) -> list[Breakdowns]:
    """A breakdown for each cohort; none for other types. Raises NotComputed, and QueryRefused for an unknown cohort."""
    if breakdown_filter.get("breakdown_type") != "cohort" or breakdown_filter.get("breakdowns"):
        return []
    given = breakdown_filter.get("breakdown")
    if not project.is_given:
        raise NotComputed("breakdownFilter", "the cohorts of the project are not known (serve --project)")
    names: dict[str, str] = {}
    for wanted in given if isinstance(given, list) else [given]:
        if wanted == "all":
            names[_ALL_USERS] = "all users"
            continue
        cohort = project.cohort(int(str(wanted))) if str(wanted).isdecimal() else None
        if cohort is None:
            raise QueryRefused(f"Could not find cohort with ID {wanted}")
        names[str(cohort.id)] = cohort.name
    return [
        Breakdowns(
            expressions=(filters.text(number),),
            is_list=False,
            limit=ENDPOINT_LIMIT,
            hides_other=False,
            conditions=() if number == _ALL_USERS else (f"person_id IN COHORT {number}",),
            names=names,
        )
        for number in names
    ]


def _legacy(breakdown_filter: Mapping[str, Any]) -> list[dict[str, Any]]:
    breakdown = breakdown_filter["breakdown"]
    return [
        {
            "property": item,
            "type": breakdown_filter.get("breakdown_type"),
            "group_type_index": breakdown_filter.get("breakdown_group_type_index"),
            "normalize_url": breakdown_filter.get("breakdown_normalize_url"),
        }
        for item in (breakdown if isinstance(breakdown, list) else [breakdown])
    ]


def _expression(part: Mapping[str, Any]) -> str:
    of_type = str(part.get("type") or "event")
    if of_type == "cohort":
        raise NotComputed("breakdownFilter", "cohorts, but in breakdown of a TrendsQuery or RetentionQuery")
    value = f"toString({filters.field(of_type, str(part['property']), part.get('group_type_index'))})"
    if part.get("normalize_url"):
        trimmed = f"replaceRegexpOne({value}, '[/?#]+$', '')"
        value = f"if(empty({trimmed}), '/', {trimmed})"
    return f"ifNull(nullIf({value}, ''), {filters.text(NULL)})"


def as_filter(part: Mapping[str, Any], value: Json, context: filters.FilterContext) -> dict[str, Json]:
    """The property filter that a value of a breakdown variable stands for; '' means that it is not set."""
    of_type, key = str(part.get("type") or "event"), str(part["property"])
    if of_type == "cohort":
        raise NotComputed("the variable of a cohort breakdown")
    index = {"group_type_index": part["group_type_index"]} if part.get("group_type_index") is not None else {}
    if of_type == "hogql":
        left = filters.expression("the breakdown", key)
        if value == "":
            return {"type": "hogql", "key": f"isNull({left})"}
        return {"type": "hogql", "key": filters.compared(left, "exact", value, context)}
    if value == "":
        return {"type": of_type, "key": key, "operator": "is_not_set", **index}
    return {"type": of_type, "key": key, "operator": "exact", "value": value, **index}


def parts_of(breakdown_filter: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The breakdowns of a filter, as `breakdowns` writes them."""
    if breakdown_filter.get("breakdowns"):
        return list(breakdown_filter["breakdowns"])
    return _legacy(breakdown_filter) if breakdown_filter.get("breakdown") else []
