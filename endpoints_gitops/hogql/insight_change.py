"""What changed in meaning between two insight queries, path by path, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.changes import ChangeKind
from endpoints_gitops.model.json import Json

_BY_KEY: Final[Mapping[str, tuple[ChangeKind | None, str]]] = {
    "kind": (ChangeKind.SOURCE, "what the query is"),
    "event": (ChangeKind.SOURCE, "the event"),
    "id": (ChangeKind.SOURCE, "the action"),
    "table_name": (ChangeKind.SOURCE, "the table"),
    "math": (ChangeKind.AGGREGATION, "how values are aggregated"),
    "math_property": (ChangeKind.AGGREGATION, "the property that is aggregated"),
    "math_hogql": (ChangeKind.AGGREGATION, "the expression that is aggregated"),
    "math_multiplier": (ChangeKind.AGGREGATION, "the factor of the values"),
    "math_group_type_index": (ChangeKind.AGGREGATION, "the kind of group that is counted"),
    "formula": (ChangeKind.AGGREGATION, "the formula"),
    "formulas": (ChangeKind.AGGREGATION, "the formulas"),
    "formulaNodes": (ChangeKind.AGGREGATION, "the formulas"),
    "properties": (ChangeKind.FILTER, "the filters"),
    "fixedProperties": (ChangeKind.FILTER, "the filters"),
    "filterTestAccounts": (ChangeKind.FILTER, "whether test accounts are left out"),
    "dateRange": (ChangeKind.FILTER, "the date range"),
    "samplingFactor": (ChangeKind.FILTER, "the share of data that is read"),
    "exclusions": (ChangeKind.FILTER, "the steps that are left out"),
    "breakdownFilter": (ChangeKind.GROUPING, "the breakdown"),
    "aggregation_group_type_index": (ChangeKind.GROUPING, "the kind of group that is counted"),
    "interval": (ChangeKind.BUCKET, "the interval"),
    "period": (ChangeKind.BUCKET, "the length of a period"),
    "intervalCount": (ChangeKind.BUCKET, "the interval"),
    "totalIntervals": (ChangeKind.LIMIT, "the number of periods"),
    "compareFilter": (ChangeKind.COLUMNS, "the comparison with another period"),
    "display": (ChangeKind.COLUMNS, "the display, which decides on the keys of the results"),
    "funnelVizType": (ChangeKind.COLUMNS, "the view, which decides on the keys of the results"),
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
    """`path` is dotted, `what` is for people. `kind` is None where only the chart in PostHog looks different."""

    path: str
    what: str
    kind: ChangeKind | None
    before: Json
    after: Json


def insight_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[NodeChange, ...]:
    """Sorted by path; empty exactly where both nodes ask the same (spelt-out defaults make no difference)."""
    found = _changes((), canonical_query(before), canonical_query(after))
    return tuple(sorted(found, key=lambda change: change.path))


def _changes(path: tuple[str, ...], old: Json, new: Json) -> Iterator[NodeChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            mine, other = old.get(key), new.get(key)
            if key in old and key in new:
                yield from _changes((*path, key), mine, other)
            elif isinstance(one := mine or other, Mapping) and key not in _BY_KEY and one:
                yield from _changes((*path, key), mine or {}, other or {})  # settings of a kind, one by one
            else:
                yield _change((*path, key), mine, other)
    elif _are_lists_alike(old, new):
        for place, (mine, other) in enumerate(zip(old, new, strict=True)):  # type: ignore[arg-type]  # both are lists
            yield from _changes((*path, str(place)), mine, other)
    elif old != new or type(old) is not type(new):
        yield _change(path, old, new)


def _are_lists_alike(old: Json, new: Json) -> bool:
    """Lists of objects of one length are compared item by item, others as a whole."""
    both = [old, new]
    if not all(isinstance(each, list) for each in both):
        return False
    return len(old) == len(new) and all(isinstance(item, Mapping) for each in both for item in each)  # type: ignore[arg-type, union-attr]  # both are lists


def _change(path: tuple[str, ...], old: Json, new: Json) -> NodeChange:
    kind, what = next(
        (_BY_KEY[key] for key in reversed(path) if key in _BY_KEY),
        (ChangeKind.EXPRESSION, f"the setting {path[-1]}" if path else "the query"),
    )
    if any(key in _SHOWN_ONLY for key in path):
        kind, what = None, "how PostHog shows it"
    return NodeChange(path=".".join(path), what=what, kind=kind, before=old, after=new)
