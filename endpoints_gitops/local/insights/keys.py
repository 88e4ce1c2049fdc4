"""What each key of a computed insight does locally: it is used, it only changes the display, or it is refused.

Every key of the schema stands in one of the three lists, so that none is ignored by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.insights import EXCLUSION, NODE, OPAQUE, PROPERTY, shape_of, strip
from endpoints_gitops.local.insights.refused import NotComputed


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The keys of one object: those that the computation uses, and those that only change how a chart looks."""

    used: frozenset[str]
    displayed: frozenset[str]
    refused: frozenset[str]


def _use(used: str, displayed: str = "", refused: str = "") -> KeyUse:
    return KeyUse(frozenset(used.split()), frozenset(displayed.split()), frozenset(refused.split()))


_SCHEMA: Final = "response version"
_CHARTS: Final = "showLegend legendPosition resultCustomizations"
_FILTER: Final = "type key operator value"
_EVENTS_REFUSED: Final = "limit orderBy math_property_revenue_currency"
_MATHS: Final = "math math_multiplier math_property math_property_type math_hogql math_group_type_index"
_EVENTS: Final = _use(
    f"kind event name custom_name properties fixedProperties optionalInFunnel {_MATHS}", _SCHEMA, _EVENTS_REFUSED
)

_PARTS: Final[Mapping[str, KeyUse]] = {
    "DateRange": _use("date_from date_to explicitDate"),
    "CompareFilter": _use("compare compare_to"),
    "TrendsFilter": _use(
        "formula formulas formulaNodes display smoothingIntervals",
        f"{_CHARTS} aggregationAxisPrefix aggregationAxisPostfix decimalPlaces minDecimalPlaces xAxisLabel yAxisLabel "
        "showLabelsOnSeries hiddenLegendIndexes goalLines showConfidenceIntervals confidenceLevel showTrendLines "
        "showMovingAverage movingAverageIntervals detailedResultsAggregationType metricChangeIncreaseColor "
        "metricChangeDecreaseColor metricLineIncreaseColor metricLineDecreaseColor showAlertThresholdLines "
        "aggregationAxisFormat showValuesOnSeries showPercentStackView stackBreakdownValues yAxisScaleType "
        "showMultipleYAxes resultCustomizationBy excludeBoxPlotOutliers hideWeekends showAnnotations metricShowChange "
        "metricColorByDirection metricSummary",
        "breakdown_histogram_bin_count",
    ),
    "TrendsFormulaNode": _use("formula custom_name"),
    "BreakdownFilter": _use(
        "breakdown breakdown_type breakdowns breakdown_limit breakdown_normalize_url breakdown_group_type_index "
        "breakdown_hide_other_aggregation",
        "",
        "breakdown_path_cleaning breakdown_histogram_bin_count",
    ),
    "LifecycleFilter": _use(
        "", "showValuesOnSeries showPercentagesOnSeries toggledLifecycles stacked showLegend legendPosition"
    ),
    "StickinessFilter": _use(
        "stickinessCriteria computedAs",
        f"{_CHARTS} display showValuesOnSeries showMultipleYAxes hiddenLegendIndexes resultCustomizationBy",
    ),
    "RetentionFilter": _use(
        "retentionType minimumOccurrences returningEntity targetEntity cumulative totalIntervals period timeWindowMode "
        "retentionCustomBrackets aggregationProperty aggregationType aggregationPropertyType",
        "retentionReference display meanRetentionCalculation dashboardDisplay showTrendLines goalLines "
        "cohortLabelStartIndex",
        "selectedInterval customAggregationTarget",
    ),
    "FunnelsFilter": _use(
        "exclusions breakdownAttributionType breakdownAttributionValue funnelOrderType funnelVizType "
        "funnelWindowInterval funnelWindowIntervalUnit funnelFromStep funnelToStep binCount funnelAggregateByHogQL",
        f"{_CHARTS} hiddenLegendBreakdowns useUdf goalLines showTrendLines layout funnelStepReference "
        "showValuesOnSeries showAnnotations",
        "customAggregationTarget breakdownSorting hideIncompleteConversionWindowPeriods",
    ),
    "RetentionEntity": _use("id type kind properties", "name custom_name order uuid"),
    "Breakdown": _use("property type group_type_index normalize_url", "", "histogram_bin_count"),
}
_ACTIONS: Final = _use(
    f"kind id name custom_name properties fixedProperties optionalInFunnel {_MATHS}",
    _SCHEMA,
    "math_property_revenue_currency",
)
_NODES: Final[Mapping[str, KeyUse]] = {"EventsNode": _EVENTS, "ActionsNode": _ACTIONS}
_STEPS: Final = "funnelFromStep funnelToStep"
_EXCLUSIONS: Final[Mapping[str, KeyUse]] = {
    kind: KeyUse(
        use.used - {"optionalInFunnel"} | set(_STEPS.split()), use.displayed, use.refused | {"optionalInFunnel"}
    )
    for kind, use in _NODES.items()
}
_PROPERTIES: Final[Mapping[str, KeyUse]] = {
    **dict.fromkeys(("event", "person", "session", "feature", "event_metadata"), _use(_FILTER, "label")),
    "group": _use(f"{_FILTER} group_type_index", "label"),
    "element": _use(_FILTER, "label"),
    "cohort": _use(_FILTER, "label cohort_name"),
    "hogql": _use("type key", "label value"),
    "AND": _use("type values"),
    "OR": _use("type values"),
}
_INSIGHT: Final = "kind dateRange properties filterTestAccounts"
_INSIGHT_DISPLAYED: Final = f"{_SCHEMA} tags dataColorTheme"
_INSIGHT_REFUSED: Final = "modifiers samplingFactor"
QUERY_KEYS: Final[Mapping[str, KeyUse]] = {
    "TrendsQuery": _use(
        f"{_INSIGHT} series interval trendsFilter breakdownFilter compareFilter",
        _INSIGHT_DISPLAYED,
        f"{_INSIGHT_REFUSED} aggregation_group_type_index calendarHeatmapFilter conversionGoal",
    ),
    "LifecycleQuery": _use(
        f"{_INSIGHT} series interval lifecycleFilter",
        _INSIGHT_DISPLAYED,
        f"{_INSIGHT_REFUSED} aggregation_group_type_index customAggregationTarget",
    ),
    "StickinessQuery": _use(
        f"{_INSIGHT} series interval intervalCount stickinessFilter compareFilter", _INSIGHT_DISPLAYED, _INSIGHT_REFUSED
    ),
    "FunnelsQuery": _use(
        f"{_INSIGHT} series interval funnelsFilter breakdownFilter aggregation_group_type_index",
        _INSIGHT_DISPLAYED,
        f"{_INSIGHT_REFUSED} compareFilter",
    ),
    "RetentionQuery": _use(
        f"{_INSIGHT} retentionFilter breakdownFilter aggregation_group_type_index",
        _INSIGHT_DISPLAYED,
        _INSIGHT_REFUSED,
    ),
}
"""The keys of the kinds that are computed."""


def use_of(name: str, value: Mapping[str, Any]) -> KeyUse | None:
    """What the keys of an object with this name do; None for an object that is not computed."""
    if name == NODE:
        kind = str(value.get("kind"))
        return QUERY_KEYS.get(kind) or _NODES.get(kind)
    if name == EXCLUSION:
        return _EXCLUSIONS.get(str(value.get("kind")))
    if name == PROPERTY:
        return _PROPERTIES.get(str(value.get("type") or "event"))
    return _PARTS.get(name)


def meant(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node without defaults and keys of the display. Raises NotComputed for a key that is not computed."""
    stripped = strip(node)
    if stripped.get("samplingFactor") == 1:
        del stripped["samplingFactor"]
    for path, why in _refusals("", stripped, NODE):
        raise NotComputed(path, why)
    return stripped


def _refusals(path: str, value: object, name: str) -> Iterator[tuple[str, str]]:
    items = (
        [(f"{path}{index}.", item) for index, item in enumerate(value)] if isinstance(value, list) else [(path, value)]
    )
    for inner, item in items:
        if isinstance(item, Mapping):
            yield from _refusals_of_object(inner, item, name)
        else:
            yield inner.rstrip("."), f"{item!r} is not an object"


def _refusals_of_object(path: str, value: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    use, shape = use_of(name, value), shape_of(name, value)
    if use is None or shape is None:
        kind = value.get("kind") or value.get("type") or name
        yield path.rstrip("."), f"{kind} is not computed"
        return
    for key in value:
        if key not in use.used | use.displayed:
            yield f"{path}{key}", ""
    for key, inner in shape.inside.items():
        if key in use.used and inner != OPAQUE:
            yield from _refusals(f"{path}{key}.", value.get(key, []), inner)
