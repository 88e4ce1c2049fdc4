"""What the server knows of query nodes: the keys of each shape, their defaults, and what stands inside them.

A table of facts (docs/server.md#insights), read by `insights`. A default of None says that the server stores null.
Where several shapes can stand, the object says which it is: a node by its `kind`, a property filter by its `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.model.json import Json

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

OPAQUE: Final = "opaque"
"""Inside of a key whose value is the user's own: nothing in there is a default, not even a null."""
NODE: Final = "by kind"
PROPERTY: Final = "by type"
EXCLUSION: Final = "by kind, with steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of JSON object.

    `optional` maps keys to the default that the server fills in, `implied` to the one value that a key can have,
    `inside` to the shape of the value: of each item where it is a list, of each value where the name ends in `*`.
    """

    required: tuple[str, ...] = ()
    implied: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, Json]
    inside: Mapping[str, str] = _NOTHING

    @property
    def keys(self) -> frozenset[str]:
        return frozenset((*self.required, *self.implied, *self.optional))

    def holding(self, **more: Any) -> Shape:  # noqa: ANN401 - the fields of a shape
        """This shape with further keys."""
        return Shape(
            required=(*self.required, *more.get("required", ())),
            implied={**self.implied, **more.get("implied", {})},
            optional={**self.optional, **more.get("optional", {})},
            inside={**self.inside, **more.get("inside", {})},
        )


def _null(keys: str) -> dict[str, Json]:
    return dict.fromkeys(keys.split())


_NODE = Shape(optional=_null("response version"), inside={"response": OPAQUE})
_DATA_NODE = _NODE.holding(optional=_null("modifiers tags"), inside={"modifiers": "HogQLQueryModifiers"})
_INSIGHT = _DATA_NODE.holding(
    optional=_null("dateRange samplingFactor dataColorTheme") | {"filterTestAccounts": False, "properties": []},
    inside={"dateRange": "DateRange", "properties": PROPERTY},
)
_GROUPED = _INSIGHT.holding(optional=_null("aggregation_group_type_index"))
_ENTITY = _NODE.holding(
    optional=_null("name custom_name properties fixedProperties optionalInFunnel math math_multiplier math_property")
    | _null("math_property_type math_property_revenue_currency math_hogql math_group_type_index"),
    inside={"properties": PROPERTY, "fixedProperties": PROPERTY},
)
_EVENTS = _ENTITY.holding(optional=_null("event limit orderBy"))
_ACTIONS = _ENTITY.holding(required=("id",))
_TABLE = _ENTITY.holding(required=("id", "table_name", "timestamp_field"))
_STEPS: Final = ("funnelFromStep", "funnelToStep")
_WEB = _DATA_NODE.holding(
    required=("properties",),
    optional=_null("dateRange conversionGoal compareFilter doPathCleaning sampling samplingFactor filterTestAccounts")
    | _null("includeRevenue interval aggregation_group_type_index dataColorTheme orderBy useSessionsTable")
    | _null("useWebAnalyticsPrecompute"),
    inside={"dateRange": "DateRange", "properties": PROPERTY, "compareFilter": "CompareFilter"},
)

QUERIES: Final[Mapping[str, Shape]] = {
    "HogQLQuery": _DATA_NODE.holding(
        required=("query",),
        optional=_null("connectionId sendRawQuery filters variables values explain name"),
        inside={"filters": "HogQLFilters", "variables": "HogQLVariable*", "values": OPAQUE},
    ),
    "TrendsQuery": _GROUPED.holding(
        required=("series",),
        optional=_null("trendsFilter calendarHeatmapFilter breakdownFilter compareFilter conversionGoal")
        | {"interval": "day"},
        inside={
            "series": NODE,
            "trendsFilter": "TrendsFilter",
            "calendarHeatmapFilter": "CalendarHeatmapFilter",
            "breakdownFilter": "BreakdownFilter",
            "compareFilter": "CompareFilter",
        },
    ),
    "FunnelsQuery": _GROUPED.holding(
        required=("series",),
        optional=_null("interval funnelsFilter breakdownFilter compareFilter"),
        inside={
            "series": NODE,
            "funnelsFilter": "FunnelsFilter",
            "breakdownFilter": "BreakdownFilter",
            "compareFilter": "CompareFilter",
        },
    ),
    "RetentionQuery": _GROUPED.holding(
        required=("retentionFilter",),
        optional=_null("breakdownFilter"),
        inside={"retentionFilter": "RetentionFilter", "breakdownFilter": "BreakdownFilter"},
    ),
    "PathsQuery": _GROUPED.holding(
        required=("pathsFilter",),
        optional=_null("funnelPathsFilter"),
        inside={"pathsFilter": "PathsFilter", "funnelPathsFilter": "FunnelPathsFilter"},
    ),
    "StickinessQuery": _INSIGHT.holding(
        required=("series",),
        optional=_null("intervalCount stickinessFilter compareFilter") | {"interval": "day"},
        inside={"series": NODE, "stickinessFilter": "StickinessFilter", "compareFilter": "CompareFilter"},
    ),
    "LifecycleQuery": _GROUPED.holding(
        required=("series",),
        optional=_null("lifecycleFilter customAggregationTarget") | {"interval": "day"},
        inside={"series": NODE, "lifecycleFilter": "LifecycleFilter"},
    ),
    "WebStatsTableQuery": _WEB.holding(
        required=("breakdownBy",),
        optional=_null("includeScrollDepth includeBounceRate includeAvgTimeOnPage includeHost limit offset"),
    ),
    "WebOverviewQuery": _WEB,
}
"""The kinds that an endpoint takes (docs/server.md#bodies), by their `kind`."""

_LEGEND: Final[dict[str, Json]] = {"showLegend": False, "legendPosition": "bottom"}
_CUSTOMIZED: Final = {"resultCustomizations": "ResultCustomization*"}

NODES: Final[Mapping[str, Shape]] = {
    "EventsNode": _EVENTS,
    "ActionsNode": _ACTIONS,
    "DataWarehouseNode": _TABLE.holding(required=("id_field", "distinct_id_field"), optional=_null("dw_source_type")),
    "FunnelsDataWarehouseNode": _TABLE.holding(
        required=("id_field", "aggregation_target_field"), optional=_null("dw_source_type")
    ),
    "LifecycleDataWarehouseNode": _TABLE.holding(required=("aggregation_target_field", "created_at_field")),
    "GroupNode": _ENTITY.holding(
        required=("operator", "nodes"), optional=_null("limit orderBy"), inside={"nodes": NODE}
    ),
}
"""What a series consists of, by its `kind`."""

EXCLUSIONS: Final[Mapping[str, Shape]] = {
    "EventsNode": _EVENTS.holding(required=_STEPS),
    "ActionsNode": _ACTIONS.holding(required=_STEPS),
}
"""What a funnel leaves out, by its `kind`."""

_FILTERED = Shape(required=("key",), optional=_null("label value"), inside={"value": OPAQUE})
_COMPARED = _FILTERED.holding(required=("operator",))

PROPERTIES: Final[Mapping[str, Shape]] = {
    "event": _FILTERED.holding(optional={"operator": "exact"}, implied={"type": "event"}),
    "person": _COMPARED,
    "session": _COMPARED,
    "feature": _COMPARED,
    "element": _COMPARED,
    "event_metadata": _COMPARED,
    "log_entry": _COMPARED,
    "data_warehouse": _COMPARED,
    "data_warehouse_person_property": _COMPARED,
    "error_tracking_issue": _COMPARED,
    "group": _COMPARED.holding(optional=_null("group_type_index")),
    "hogql": _FILTERED,
    "cohort": Shape(
        required=("value",), implied={"key": "id"}, optional=_null("label cohort_name") | {"operator": "in"}
    ),
    "AND": Shape(required=("values",), optional={}, inside={"values": PROPERTY}),
    "OR": Shape(required=("values",), optional={}, inside={"values": PROPERTY}),
}
"""Property filters and groups of them, by their `type`."""

PARTS: Final[Mapping[str, Shape]] = {
    "HogQLFilters": Shape(
        optional=_null("properties dateRange filterTestAccounts"),
        inside={"properties": PROPERTY, "dateRange": "DateRange"},
    ),
    "HogQLVariable": Shape(
        required=("variableId", "code_name"), optional=_null("value isNull"), inside={"value": OPAQUE}
    ),
    "HogQLQueryModifiers": Shape(
        optional=_null("personsOnEventsMode personsArgMaxVersion inCohortVia materializationMode optimizeJoinedFilters")
        | _null("sessionIdPushdown sessionPropertyPreAggregation dataWarehouseEventsModifiers debug timings parserMode")
        | _null("s3TableUseInvalidColumns personsJoinMode bounceRatePageViewMode bounceRateDurationSeconds")
        | _null("sessionTableVersion sessionsV2JoinMode materializedColumnsOptimizationMode propertyGroupsMode")
        | _null("useMaterializedViews customChannelTypeRules useWebAnalyticsPreAggregatedTables")
        | _null("formatCsvAllowDoubleQuotes convertToProjectTimezone usePreaggregatedTableTransforms")
        | _null("usePreaggregatedIntermediateResults optimizeProjections pushDownPredicates inlineCohortCalculation")
        | _null("forceClickhouseDataSkippingIndexes")
    ),
    "DateRange": Shape(optional=_null("date_from date_to") | {"explicitDate": False}),
    "CompareFilter": Shape(optional={"compare": False, "compare_to": None}),
    "CalendarHeatmapFilter": Shape(optional={"bucketBySessionStart": False}),
    "BreakdownFilter": Shape(
        optional=_null("breakdown breakdowns breakdown_limit breakdown_normalize_url breakdown_path_cleaning")
        | _null("breakdown_group_type_index breakdown_histogram_bin_count breakdown_hide_other_aggregation")
        | {"breakdown_type": "event"},
        inside={"breakdowns": "Breakdown", "breakdown": OPAQUE},
    ),
    "Breakdown": Shape(
        required=("property",), optional=_null("type group_type_index histogram_bin_count normalize_url")
    ),
    "TrendsFilter": Shape(
        optional=_null("formula formulas formulaNodes breakdown_histogram_bin_count aggregationAxisPrefix")
        | _null("aggregationAxisPostfix decimalPlaces minDecimalPlaces xAxisLabel yAxisLabel showLabelsOnSeries")
        | _null("hiddenLegendIndexes resultCustomizations goalLines showConfidenceIntervals confidenceLevel")
        | _null("showTrendLines showMovingAverage movingAverageIntervals detailedResultsAggregationType")
        | _null("metricChangeIncreaseColor metricChangeDecreaseColor metricLineIncreaseColor metricLineDecreaseColor")
        | _LEGEND
        | {
            "smoothingIntervals": 1,
            "display": "ActionsLineGraph",
            "showAlertThresholdLines": False,
            "aggregationAxisFormat": "numeric",
            "showValuesOnSeries": False,
            "showPercentStackView": False,
            "stackBreakdownValues": False,
            "yAxisScaleType": "linear",
            "showMultipleYAxes": False,
            "resultCustomizationBy": "value",
            "excludeBoxPlotOutliers": True,
            "hideWeekends": False,
            "showAnnotations": True,
            "metricShowChange": True,
            "metricColorByDirection": False,
            "metricSummary": "total",
        },
        inside=_CUSTOMIZED | {"goalLines": "GoalLine", "formulaNodes": "TrendsFormulaNode"},
    ),
    "TrendsFormulaNode": Shape(required=("formula",), optional=_null("custom_name")),
    "FunnelsFilter": Shape(
        optional=_null("binCount breakdownAttributionValue funnelAggregateByHogQL customAggregationTarget")
        | _null("funnelToStep funnelFromStep hiddenLegendBreakdowns useUdf resultCustomizations goalLines")
        | _null("showTrendLines breakdownSorting")
        | _LEGEND
        | {
            "exclusions": [],
            "layout": "vertical",
            "breakdownAttributionType": "first_touch",
            "funnelOrderType": "ordered",
            "funnelVizType": "steps",
            "funnelWindowInterval": 14,
            "funnelWindowIntervalUnit": "day",
            "funnelStepReference": "total",
            "showValuesOnSeries": False,
            "showAnnotations": True,
            "hideIncompleteConversionWindowPeriods": False,
        },
        inside=_CUSTOMIZED | {"goalLines": "GoalLine", "exclusions": EXCLUSION},
    ),
    "RetentionFilter": Shape(
        optional=_null("retentionType retentionReference minimumOccurrences returningEntity targetEntity cumulative")
        | _null("timeWindowMode retentionCustomBrackets aggregationProperty customAggregationTarget display")
        | _null("meanRetentionCalculation dashboardDisplay showTrendLines selectedInterval goalLines")
        | {
            "totalIntervals": 8,
            "period": "Day",
            "aggregationType": "count",
            "aggregationPropertyType": "event",
            "cohortLabelStartIndex": 0,
        },
        inside={"returningEntity": "RetentionEntity", "targetEntity": "RetentionEntity", "goalLines": "GoalLine"},
    ),
    "RetentionEntity": Shape(
        optional=_null("id type kind name custom_name order uuid properties"), inside={"properties": PROPERTY}
    ),
    "PathsFilter": Shape(
        optional=_null("pathsHogQLExpression includeEventTypes startPoint endPoint pathGroupings excludeEvents")
        | _null("pathReplacements localPathCleaningFilters minEdgeWeight maxEdgeWeight showFullUrls pathStartKey")
        | _null("pathEndKey pathDropoffKey")
        | {"edgeLimit": 50, "stepLimit": 5},
    ),
    "FunnelPathsFilter": Shape(
        required=("funnelSource",),
        optional=_null("funnelPathType funnelStep"),
        inside={"funnelSource": NODE},
    ),
    "StickinessFilter": Shape(
        optional=_null("display showLegend showValuesOnSeries showMultipleYAxes hiddenLegendIndexes")
        | _null("stickinessCriteria computedAs resultCustomizations")
        | {"legendPosition": "bottom", "resultCustomizationBy": "value"},
        inside=_CUSTOMIZED,
    ),
    "LifecycleFilter": Shape(
        optional=_null("showValuesOnSeries showPercentagesOnSeries toggledLifecycles") | _LEGEND | {"stacked": True}
    ),
    "ResultCustomization": Shape(required=("assignmentBy",), optional=_null("color hidden")),
    "GoalLine": Shape(
        required=("label", "value"), optional=_null("borderColor displayIfCrossed displayLabel position")
    ),
}
"""Everything else that stands inside a node."""


def shape_of(name: str, value: Mapping[str, Any]) -> Shape | None:
    """The shape of an object that stands where the table says `name`; None where nothing is known of it."""
    if name == NODE:
        kind = str(value.get("kind"))
        return NODES.get(kind) or QUERIES.get(kind)
    if name == EXCLUSION:
        return EXCLUSIONS.get(str(value.get("kind")))
    if name == PROPERTY:
        return PROPERTIES.get(str(value.get("type") or "event"))
    return PARTS.get(name.removesuffix("*"))
