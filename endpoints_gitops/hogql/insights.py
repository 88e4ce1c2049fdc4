"""Add and remove the defaults of query nodes (docs/server.md#insights).

The server stores a node with every default of its schema, so nodes are compared without defaults. For all nodes
`strip(expand(node)) == strip(node)`, and both functions are idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.model.json import Json
from endpoints_gitops.model.suggestions import closest

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

OPAQUE: Final = "opaque"
"""The shape of values that the user defines freely: they have no defaults, and null is a value."""
NODE: Final = "by kind"
PROPERTY: Final = "by type"
EXCLUSION: Final = "by kind, with steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """One kind of JSON object.

    `optional` maps keys to the default of the server, `implied` to the only value that a key can have, `inside` to the
    shape of the value: of each item of a list, or of each value if the name ends in `*`.
    """

    required: tuple[str, ...] = ()
    implied: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, Json]
    inside: Mapping[str, str] = _NOTHING

    @property
    def keys(self) -> frozenset[str]:
        return frozenset((*self.required, *self.implied, *self.optional))

    def holding(self, **more: Any) -> NodeShape:  # noqa: ANN401 - the fields of a shape
        """This shape with further keys."""
        return NodeShape(
            required=(*self.required, *more.get("required", ())),
            implied={**self.implied, **more.get("implied", {})},
            optional={**self.optional, **more.get("optional", {})},
            inside={**self.inside, **more.get("inside", {})},
        )


def _null(keys: str) -> dict[str, Json]:
    return dict.fromkeys(keys.split())


_NODE = NodeShape(optional=_null("response version"), inside={"response": OPAQUE})
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

QUERIES: Final[Mapping[str, NodeShape]] = {
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
"""The query nodes that an endpoint can have (docs/server.md#bodies), by their `kind`."""

_LEGEND: Final[dict[str, Json]] = {"showLegend": False, "legendPosition": "bottom"}
_CUSTOMIZED: Final = {"resultCustomizations": "ResultCustomization*"}

NODES: Final[Mapping[str, NodeShape]] = {
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
"""The nodes of a series, by their `kind`."""

EXCLUSIONS: Final[Mapping[str, NodeShape]] = {
    "EventsNode": _EVENTS.holding(required=_STEPS),
    "ActionsNode": _ACTIONS.holding(required=_STEPS),
}
"""The exclusions of a funnel, by their `kind`."""

_FILTERED = NodeShape(required=("key",), optional=_null("label value"), inside={"value": OPAQUE})
_COMPARED = _FILTERED.holding(required=("operator",))

PROPERTIES: Final[Mapping[str, NodeShape]] = {
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
    "cohort": NodeShape(
        required=("value",), implied={"key": "id"}, optional=_null("label cohort_name") | {"operator": "in"}
    ),
    "AND": NodeShape(required=("values",), optional={}, inside={"values": PROPERTY}),
    "OR": NodeShape(required=("values",), optional={}, inside={"values": PROPERTY}),
}
"""Property filters and groups of them, by their `type`."""

PARTS: Final[Mapping[str, NodeShape]] = {
    "HogQLFilters": NodeShape(
        optional=_null("properties dateRange filterTestAccounts"),
        inside={"properties": PROPERTY, "dateRange": "DateRange"},
    ),
    "HogQLVariable": NodeShape(
        required=("variableId", "code_name"), optional=_null("value isNull"), inside={"value": OPAQUE}
    ),
    "HogQLQueryModifiers": NodeShape(
        optional=_null("personsOnEventsMode personsArgMaxVersion inCohortVia materializationMode optimizeJoinedFilters")
        | _null("sessionIdPushdown sessionPropertyPreAggregation dataWarehouseEventsModifiers debug timings parserMode")
        | _null("s3TableUseInvalidColumns personsJoinMode bounceRatePageViewMode bounceRateDurationSeconds")
        | _null("sessionTableVersion sessionsV2JoinMode materializedColumnsOptimizationMode propertyGroupsMode")
        | _null("useMaterializedViews customChannelTypeRules useWebAnalyticsPreAggregatedTables")
        | _null("formatCsvAllowDoubleQuotes convertToProjectTimezone usePreaggregatedTableTransforms")
        | _null("usePreaggregatedIntermediateResults optimizeProjections pushDownPredicates inlineCohortCalculation")
        | _null("forceClickhouseDataSkippingIndexes")
    ),
    "DateRange": NodeShape(optional=_null("date_from date_to") | {"explicitDate": False}),
    "CompareFilter": NodeShape(optional={"compare": False, "compare_to": None}),
    "CalendarHeatmapFilter": NodeShape(optional={"bucketBySessionStart": False}),
    "BreakdownFilter": NodeShape(
        optional=_null("breakdown breakdowns breakdown_limit breakdown_normalize_url breakdown_path_cleaning")
        | _null("breakdown_group_type_index breakdown_histogram_bin_count breakdown_hide_other_aggregation")
        | {"breakdown_type": "event"},
        inside={"breakdowns": "Breakdown", "breakdown": OPAQUE},
    ),
    "Breakdown": NodeShape(
        required=("property",), optional=_null("type group_type_index histogram_bin_count normalize_url")
    ),
    "TrendsFilter": NodeShape(
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
    "TrendsFormulaNode": NodeShape(required=("formula",), optional=_null("custom_name")),
    "FunnelsFilter": NodeShape(
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
    "RetentionFilter": NodeShape(
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
    "RetentionEntity": NodeShape(
        optional=_null("id type kind name custom_name order uuid properties"), inside={"properties": PROPERTY}
    ),
    "PathsFilter": NodeShape(
        optional=_null("pathsHogQLExpression includeEventTypes startPoint endPoint pathGroupings excludeEvents")
        | _null("pathReplacements localPathCleaningFilters minEdgeWeight maxEdgeWeight showFullUrls pathStartKey")
        | _null("pathEndKey pathDropoffKey")
        | {"edgeLimit": 50, "stepLimit": 5},
    ),
    "FunnelPathsFilter": NodeShape(
        required=("funnelSource",),
        optional=_null("funnelPathType funnelStep"),
        inside={"funnelSource": NODE},
    ),
    "StickinessFilter": NodeShape(
        optional=_null("display showLegend showValuesOnSeries showMultipleYAxes hiddenLegendIndexes")
        | _null("stickinessCriteria computedAs resultCustomizations")
        | {"legendPosition": "bottom", "resultCustomizationBy": "value"},
        inside=_CUSTOMIZED,
    ),
    "LifecycleFilter": NodeShape(
        optional=_null("showValuesOnSeries showPercentagesOnSeries toggledLifecycles") | _LEGEND | {"stacked": True}
    ),
    "ResultCustomization": NodeShape(required=("assignmentBy",), optional=_null("color hidden")),
    "GoalLine": NodeShape(
        required=("label", "value"), optional=_null("borderColor displayIfCrossed displayLabel position")
    ),
}
"""All other objects inside of nodes."""


def shape_of(name: str, value: Mapping[str, Any]) -> NodeShape | None:
    """The shape of an object with this name in the tables above; None if it is unknown."""
    if name == NODE:
        kind = str(value.get("kind"))
        return NODES.get(kind) or QUERIES.get(kind)
    if name == EXCLUSION:
        return EXCLUSIONS.get(str(value.get("kind")))
    if name == PROPERTY:
        return PROPERTIES.get(str(value.get("type") or "event"))
    return PARTS.get(name.removesuffix("*"))


_EMPTY_LIST_IS_NOTHING: Final = ("properties", "fixedProperties")
_EMPTY_OBJECT_COUNTS: Final = ("filters",)  # an empty one still replaces {filters} in the SQL
LISTS: Final = ("series", "nodes", "exclusions", "breakdowns", "formulaNodes", "goalLines", "values")
EITHER: Final = ("properties",)
_BROKEN_DOWN: Final = ("TrendsQuery", "RetentionQuery")
_MISSPELT: Final = 0.8
_DEEPEST: Final = 100


def expand(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node as the server stores it, with every key of its shape, in alphabetical order."""
    return dict(_expanded(node, NODE))


def strip(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node without nulls and defaults, at any depth; for an unknown kind, without nulls.

    Whole numbers lose their `.0`, because the server converts some to floats. A property filter always keeps its
    `type`.
    """
    return dict(_stripped(node, NODE))


def breakdown_properties(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The breakdown properties that callers of this insight can filter by; empty for kinds without breakdown
    variables."""
    breakdown_filter = node.get("breakdownFilter") or {}
    if node.get("kind") not in _BROKEN_DOWN:
        return ()
    if breakdown_filter.get("breakdowns"):
        return tuple(str(breakdown.get("property")) for breakdown in breakdown_filter["breakdowns"])
    legacy = breakdown_filter.get("breakdown")
    return tuple(map(str, legacy)) if isinstance(legacy, list) else (() if legacy is None else (str(legacy),))


def validate(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the server's schema would refuse, as (dotted path, message): missing or unknown keys, and values that must
    be objects.

    Below the top level, an unknown key is a mistake only if it looks misspelled, because servers add keys.
    """
    kind = node.get("kind")
    if not isinstance(kind, str) or kind not in QUERIES:
        return [("kind", f"an endpoint cannot have a query of the kind {kind!r}{_suggestion(kind, QUERIES)}")]
    if _depth(node) > _DEEPEST:
        return [("", f"the query is nested more than {_DEEPEST} levels deep")]
    known = QUERIES[kind].keys | {"kind"}
    unknown = [(key, f"{kind} has no key {key!r}{_suggestion(key, known)}") for key in node if key not in known]
    return unknown + [(path, message) for path, message in _mistakes("", node, NODE) if path not in dict(unknown)]


def _expanded(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    if name == OPAQUE or not isinstance(value, Mapping | list):
        return value
    if isinstance(value, list):
        return [_expanded(item, name) for item in value]
    if name.endswith("*"):
        return {key: _expanded(item, name.removesuffix("*")) for key, item in value.items()}
    shape = shape_of(name, value)
    if shape is None:
        return dict(value)
    full = {**shape.optional, **value, **_implied(shape, value)}
    return {key: _expanded(full[key], shape.inside.get(key, "")) for key in sorted(full)}


def _stripped(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    if name == OPAQUE:
        return value
    if isinstance(value, list):
        return [_stripped(item, name) for item in value]
    if isinstance(value, Mapping):
        return _stripped_object(value, name)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stripped_object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name.endswith("*"):
        return {key: _stripped(item, name.removesuffix("*")) for key, item in value.items()}
    shape = shape_of(name, value)
    if shape is None:
        return {key: _stripped(item, "") for key, item in value.items() if item is not None}
    complete = {**value, **_implied(shape, value)}
    bare = {key: _stripped(item, shape.inside.get(key, "")) for key, item in complete.items()}
    return {key: item for key, item in bare.items() if not _says_nothing(shape, key, item)}


def _implied(shape: NodeShape, value: Mapping[str, Any]) -> dict[str, str]:
    return {key: only for key, only in shape.implied.items() if value.get(key) is None}


def _says_nothing(shape: NodeShape, key: str, item: object) -> bool:
    if key in shape.required:
        return False
    if item is None or (item == [] and key in _EMPTY_LIST_IS_NOTHING):
        return True
    if item == {} and key in shape.inside:
        return shape.inside[key] != OPAQUE and key not in _EMPTY_OBJECT_COUNTS
    default = shape.optional.get(key)
    return item == default and type(item) is type(default)


def _mistakes(path: str, value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mistakes(f"{path}{index}.", item, name)
    elif name.endswith("*") and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _mistakes(f"{path}{key}.", item, name.removesuffix("*"))
    elif not isinstance(value, Mapping):
        yield path.removesuffix("."), f"must be an object, not {value!r}"
    elif (shape := shape_of(name, value)) is not None:
        yield from _mistakes_of_keys(path, value, shape)
        for key, inner in shape.inside.items():
            if value.get(key) is not None and inner != OPAQUE:
                yield from _mistakes_inside(f"{path}{key}", key, value[key], inner)
    elif name == NODE:
        yield f"{path}kind", f"unknown kind of series {value.get('kind')!r}{_suggestion(value.get('kind'), NODES)}"


def _mistakes_of_keys(path: str, value: Mapping[str, Any], shape: NodeShape) -> Iterator[tuple[str, str]]:
    for key in shape.required:
        if value.get(key) is None:
            yield f"{path}{key}", f"{value.get('kind') or 'this object'} requires {key!r}"
    for key in value:
        if key not in shape.keys | {"kind", "type"} and _near(key, shape.keys, _MISSPELT):
            yield f"{path}{key}", f"unknown key {key!r}{_suggestion(key, shape.keys)}"


def _mistakes_inside(path: str, key: str, value: object, name: str) -> Iterator[tuple[str, str]]:
    if key in LISTS and not isinstance(value, list):
        yield path, f"must be a list, not {value!r}"
    elif isinstance(value, list) and key not in (*LISTS, *EITHER, "fixedProperties"):
        yield path, "must be an object, not a list"
    else:
        yield from _mistakes(f"{path}.", value, name)


def _suggestion(word: object, known: Iterable[str]) -> str:
    close = _near(word, known) if isinstance(word, str) else None
    return f" (did you mean {close!r}?)" if close else ""


def _near(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    return closest(word, sorted(known), likeness=likeness, completes=False)


def _depth(root: object) -> int:
    """The nesting depth of objects and lists, computed level by level without recursion."""
    level, depth = [root], 0
    while level := [item for value in level for item in _children(value)]:
        depth += 1
    return depth


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()
