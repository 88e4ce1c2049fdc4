"""Compute an insight from the events of the local engine: the one way in for runs, queries and the pytest plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.local.insights import funnels, lifecycle, retention, stickiness, trends
from endpoints_gitops.local.insights.breakdowns import as_filter, parts_of
from endpoints_gitops.local.insights.dates import Period
from endpoints_gitops.local.insights.filters import FilterContext
from endpoints_gitops.local.insights.keys import QUERY_KEYS, meant
from endpoints_gitops.local.insights.questions import InsightRun, RunsHogQL, clock_of
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

KINDS: Final = tuple(QUERY_KEYS)
"""The kinds of insights that are computed."""

_DATES: Final = ("date_from", "date_to")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedInsight:
    """The results of an insight: a list, or an object for a funnel's time to convert.

    `has_more` as a query of the product tells it (docs/server.md#insights). `period` is the resolved date range of the
    kinds that have one.
    """

    results: Json
    has_more: bool = False
    period: Period | None = None


def computed(
    engine: RunsHogQL, node: Mapping[str, Any], variables: Mapping[str, Json] | None = None, *, is_endpoint: bool = True
) -> ComputedInsight:
    """The results of an insight. `variables` are the dates and breakdown values of a run.

    Raises NotComputed for what the local server does not compute, and QueryRefused for what PostHog refuses too.
    """
    kind = str(node.get("kind"))
    if kind not in _COMPUTE:
        raise NotComputed(kind)
    now = clock_of(engine)
    changed = with_variables(meant(node), variables or {}, FilterContext(now=now, project=engine.project))
    return _COMPUTE[kind](InsightRun(node=changed, stored=node, engine=engine, now=now, is_endpoint=is_endpoint))


def with_variables(node: Mapping[str, Any], variables: Mapping[str, Json], context: FilterContext) -> dict[str, Any]:
    """The node of a run: dates replace the date range, and breakdown values become filters."""
    dates = {name: variables[name] for name in _DATES if variables.get(name) is not None}
    added: list[Mapping[str, Any]] = []
    if breakdown_properties(node):
        sent = [(part, variables.get(str(part["property"]))) for part in parts_of(node["breakdownFilter"])]
        added += [as_filter(part, value, context) for part, value in sent if value is not None]
    return with_filters(node, dates, added)


def with_filters(
    node: Mapping[str, Any], dates: Mapping[str, Json], properties: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The node with another date range, unless `dates` are empty, and with more filters."""
    changed = dict(node) | ({"dateRange": dict(dates)} if dates else {})
    own = node.get("properties") or []
    if properties and isinstance(own, list):
        changed["properties"] = [*own, *properties]
    elif properties:
        changed["properties"] = {"type": "AND", "values": [own, {"type": "AND", "values": list(properties)}]}
    return changed


def _trends(run: InsightRun) -> ComputedInsight:
    answer = trends.results(run)
    return ComputedInsight(results=answer.results, has_more=answer.has_more, period=answer.period)


def _whole(results: Callable[[InsightRun], Json]) -> Callable[[InsightRun], ComputedInsight]:
    return lambda run: ComputedInsight(results=results(run), period=run.period())


def _retention(run: InsightRun) -> ComputedInsight:
    return ComputedInsight(results=retention.results(run))


_COMPUTE: Final[Mapping[str, Callable[[InsightRun], ComputedInsight]]] = {
    "TrendsQuery": _trends,
    "LifecycleQuery": _whole(lifecycle.results),
    "StickinessQuery": _whole(stickiness.results),
    "FunnelsQuery": _whole(funnels.results),
    "RetentionQuery": _retention,
}
