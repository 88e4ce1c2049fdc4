"""The shape of an insight query, and the semantic changes between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.insights import breakdown_properties, strip
from endpoints_gitops.hogql.query_changes import ChangeKind
from endpoints_gitops.model.json import Json

_SERIES_KEYS: Final = ("action", "count", "data", "days", "label", "labels")
_STEP_KEYS: Final = (
    "action_id",
    "average_conversion_time",
    "count",
    "custom_name",
    "median_conversion_time",
    "name",
    "order",
    "people",
    "type",
)
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "TrendsQuery": _SERIES_KEYS,
    "LifecycleQuery": (*_SERIES_KEYS, "status"),
    "StickinessQuery": _SERIES_KEYS,
    "RetentionQuery": ("date", "label", "values"),
    "FunnelsQuery": _STEP_KEYS,
    "PathsQuery": ("average_conversion_time", "source", "target", "value"),
}
_FUNNEL_VIEWS: Final = {
    "time_to_convert": ("average_conversion_time", "bins"),
    "trends": ("count", "data", "days", "labels"),
}
_TOTALS: Final = frozenset(
    ("BoldNumber", "ActionsPie", "ActionsBarValue", "WorldMap", "ActionsTable", "CalendarHeatmap", "Progress")
)
_FILTERS: Final = ("trendsFilter", "funnelsFilter", "retentionFilter", "stickinessFilter", "lifecycleFilter")
_UNFIXED: Final = ("", "now", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of an insight. `source` is the event or action, `label` its name in the results."""

    source: str
    label: str
    math: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightShape:
    """The shape of the results of an insight. `keys` are those of each result object, sorted; empty if unknown (web
    analytics).

    `is_total`: the results have one value for the date range instead of one per interval.
    """

    kind: str
    keys: tuple[str, ...]
    series: tuple[Series, ...]
    formulas: tuple[str, ...]
    breakdowns: tuple[str, ...]
    breakdown_limit: int | None
    is_compared: bool
    interval: str | None
    display: str | None
    is_total: bool


def insight_shape(node: Mapping[str, Any]) -> InsightShape:
    """The shape of an insight node; explicit defaults make no difference."""
    bare = strip(node)
    kind, breakdown = str(bare.get("kind")), _inside(bare, "breakdownFilter")
    display = _display(bare)
    return InsightShape(
        kind=kind,
        keys=_keys(kind, bare, display),
        series=tuple(map(_series, _list(bare.get("series")))),
        formulas=_formulas(_inside(bare, "trendsFilter")),
        breakdowns=_breakdowns(bare),
        breakdown_limit=_whole(breakdown.get("breakdown_limit")),
        is_compared=_inside(bare, "compareFilter").get("compare") is True,
        interval=_interval(kind, bare),
        display=display,
        is_total=display in _TOTALS,
    )


def moving_dates(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The relative ends of the date range, such as `date_from -7d`; the server's default is the last 7 days."""
    date_range = _inside(node, "dateRange")
    start, end = (str(date_range.get(key) or "") for key in ("date_from", "date_to"))
    moving = [f"date_from {start or '-7d'}"] if not _is_fixed(start) else []
    return tuple(moving + ([f"date_to {end or 'now'}"] if not _is_fixed(end) else []))


def _is_fixed(date: str) -> bool:
    return date not in _UNFIXED and date[:4].isdigit()


def _keys(kind: str, node: Mapping[str, Any], display: str | None) -> tuple[str, ...]:
    keys = set(_KEYS.get(kind, ()))
    view = _inside(node, "funnelsFilter").get("funnelVizType")
    if kind == "FunnelsQuery" and view in _FUNNEL_VIEWS:
        keys = set(_FUNNEL_VIEWS[view])
    if keys and _breakdowns(node):
        keys |= {"breakdown_value"} | ({"breakdown"} if kind == "FunnelsQuery" else set())
    if keys and _inside(node, "compareFilter").get("compare") is True:
        keys |= {"compare", "compare_label"}
    return tuple(sorted(keys | ({"aggregated_value"} if kind == "TrendsQuery" and display in _TOTALS else set())))


def _series(settings: Any) -> Series:  # noqa: ANN401 - JSON of any shape
    node = settings if isinstance(settings, Mapping) else {}
    source = node.get("event") or node.get("id") or node.get("table_name") or "all events"
    label = node.get("custom_name") or node.get("name") or node.get("event") or "All events"
    return Series(source=str(source), label=str(label), math=str(node.get("math") or "total"))


def _formulas(settings: Mapping[str, Any]) -> tuple[str, ...]:
    nodes = [item.get("formula") for item in _list(settings.get("formulaNodes")) if isinstance(item, Mapping)]
    return tuple(str(node) for node in (nodes or _list(settings.get("formulas")) or [settings.get("formula")]) if node)


def _breakdowns(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The breakdowns of any kind, including kinds whose breakdowns are not variables."""
    return breakdown_properties({**node, "kind": "TrendsQuery"})


def _display(node: Mapping[str, Any]) -> str | None:
    shown = (_inside(node, name).get("display") for name in _FILTERS)
    return next((str(name) for name in shown if name), None)


def _interval(kind: str, node: Mapping[str, Any]) -> str | None:
    if kind == "RetentionQuery":
        return str(_inside(node, "retentionFilter").get("period") or "Day")
    return str(node.get("interval") or "day") if kind not in ("PathsQuery", "FunnelsQuery") else node.get("interval")


def _inside(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_BY_KEY: Final[Mapping[str, tuple[ChangeKind | None, str]]] = {
    "kind": (ChangeKind.SOURCE, "the kind of the query"),
    "event": (ChangeKind.SOURCE, "the event"),
    "id": (ChangeKind.SOURCE, "the action"),
    "table_name": (ChangeKind.SOURCE, "the table"),
    "math": (ChangeKind.AGGREGATION, "the aggregation"),
    "math_property": (ChangeKind.AGGREGATION, "the aggregated property"),
    "math_hogql": (ChangeKind.AGGREGATION, "the aggregated expression"),
    "math_multiplier": (ChangeKind.AGGREGATION, "the factor of the values"),
    "math_group_type_index": (ChangeKind.AGGREGATION, "the counted group type"),
    "formula": (ChangeKind.AGGREGATION, "the formula"),
    "formulas": (ChangeKind.AGGREGATION, "the formulas"),
    "formulaNodes": (ChangeKind.AGGREGATION, "the formulas"),
    "properties": (ChangeKind.FILTER, "the filters"),
    "fixedProperties": (ChangeKind.FILTER, "the filters"),
    "filterTestAccounts": (ChangeKind.FILTER, "the exclusion of test accounts"),
    "dateRange": (ChangeKind.FILTER, "the date range"),
    "samplingFactor": (ChangeKind.FILTER, "the sampling factor"),
    "exclusions": (ChangeKind.FILTER, "the excluded steps"),
    "breakdownFilter": (ChangeKind.GROUPING, "the breakdown"),
    "aggregation_group_type_index": (ChangeKind.GROUPING, "the counted group type"),
    "interval": (ChangeKind.BUCKET, "the interval"),
    "period": (ChangeKind.BUCKET, "the length of a period"),
    "intervalCount": (ChangeKind.BUCKET, "the interval"),
    "totalIntervals": (ChangeKind.LIMIT, "the number of periods"),
    "compareFilter": (ChangeKind.COLUMNS, "the comparison with another period"),
    "display": (ChangeKind.COLUMNS, "the display (it decides the keys of the results)"),
    "funnelVizType": (ChangeKind.COLUMNS, "the view (it decides the keys of the results)"),
    "custom_name": (ChangeKind.COLUMNS, "the label"),
    "name": (ChangeKind.COLUMNS, "the label"),
    "series": (ChangeKind.COLUMNS, "the series"),
}
_SHOWN_ONLY: Final = frozenset(
    (
        *("showLegend", "legendPosition", "showValuesOnSeries", "showPercentStackView", "showAlertThresholdLines"),
        *("aggregationAxisFormat", "aggregationAxisPrefix", "aggregationAxisPostfix", "decimalPlaces", "goalLines"),
        *("minDecimalPlaces", "yAxisScaleType", "showMultipleYAxes", "resultCustomizations", "resultCustomizationBy"),
        *("dataColorTheme", "tags", "xAxisLabel", "yAxisLabel", "showLabelsOnSeries", "hiddenLegendIndexes", "layout"),
        *(
            "showTrendLines",
            "showConfidenceIntervals",
            "confidenceLevel",
            "showMovingAverage",
            "stacked",
            "hideWeekends",
        ),
        *("movingAverageIntervals", "showAnnotations", "hiddenLegendBreakdowns", "showPercentagesOnSeries"),
        *("stackBreakdownValues", "dashboardDisplay", "meanRetentionCalculation"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A change of an insight node. `path` is dotted; `what` names it in messages. `kind` is None if only the chart in
    PostHog changes."""

    path: str
    what: str
    kind: ChangeKind | None
    before: Json
    after: Json


def insight_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[NodeChange, ...]:
    """The changes between two insight nodes, sorted by path; empty if both are equivalent (explicit defaults make no
    difference)."""
    changes = _changes((), canonical_query(before), canonical_query(after))
    return tuple(sorted(changes, key=lambda change: change.path))


def _changes(path: tuple[str, ...], old: Json, new: Json) -> Iterator[NodeChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            old_value, new_value = old.get(key), new.get(key)
            if key in old and key in new:
                yield from _changes((*path, key), old_value, new_value)
            elif isinstance(settings := old_value or new_value, Mapping) and key not in _BY_KEY and settings:
                yield from _changes((*path, key), old_value or {}, new_value or {})  # settings, compared separately
            else:
                yield _change((*path, key), old_value, new_value)
    elif _are_lists_alike(old, new):
        for index, (old_item, new_item) in enumerate(zip(old, new, strict=True)):  # type: ignore[arg-type]  # both are lists
            yield from _changes((*path, str(index)), old_item, new_item)
    elif old != new or type(old) is not type(new):
        yield _change(path, old, new)


def _are_lists_alike(old: Json, new: Json) -> bool:
    """Whether two lists are compared item by item: lists of objects of equal length."""
    sides = [old, new]
    if not all(isinstance(side, list) for side in sides):
        return False
    return len(old) == len(new) and all(isinstance(item, Mapping) for side in sides for item in side)  # type: ignore[arg-type, union-attr]  # both are lists


def _change(path: tuple[str, ...], old: Json, new: Json) -> NodeChange:
    kind, what = next(
        (_BY_KEY[key] for key in reversed(path) if key in _BY_KEY),
        (ChangeKind.EXPRESSION, f"the setting {path[-1]}" if path else "the query"),
    )
    if any(key in _SHOWN_ONLY for key in path):
        kind, what = None, "the display in PostHog"
    return NodeChange(path=".".join(path), what=what, kind=kind, before=old, after=new)
