"""What a caller of an insight endpoint relies on: the keys of the result objects, the series and their order
(docs/server.md#insights).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.insights import breakdown_properties, strip

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
    """`source` is the event or action, `label` what the results call it."""

    source: str
    label: str
    math: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightShape:
    """`keys` are those of each result object, sorted; empty where they are not known (web analytics).

    `is_total` says that there is one value for the whole range and no value per interval.
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
    """Of any query node but HogQL; spelt-out defaults make no difference."""
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


def insight_variables(node: Mapping[str, Any], *, is_materialized: bool) -> tuple[str, ...]:
    """What a caller may send: the breakdowns, and the dates while the version is not materialised."""
    return (*breakdown_properties(node), *(() if is_materialized else ("date_from", "date_to")))


def moving_dates(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The ends of the date range that move by themselves, as `date_from -7d`; the server's own range is the last 7
    days.
    """
    given = _inside(node, "dateRange")
    start, end = (str(given.get(key) or "") for key in ("date_from", "date_to"))
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


def _series(given: Any) -> Series:  # noqa: ANN401 - JSON of any shape
    node = given if isinstance(given, Mapping) else {}
    source = node.get("event") or node.get("id") or node.get("table_name") or "all events"
    label = node.get("custom_name") or node.get("name") or node.get("event") or "All events"
    return Series(source=str(source), label=str(label), math=str(node.get("math") or "total"))


def _formulas(given: Mapping[str, Any]) -> tuple[str, ...]:
    nodes = [one.get("formula") for one in _list(given.get("formulaNodes")) if isinstance(one, Mapping)]
    return tuple(str(each) for each in (nodes or _list(given.get("formulas")) or [given.get("formula")]) if each)


def _breakdowns(node: Mapping[str, Any]) -> tuple[str, ...]:
    """Of any kind, also those whose breakdowns are no variables."""
    return breakdown_properties({**node, "kind": "TrendsQuery"})


def _display(node: Mapping[str, Any]) -> str | None:
    shown = (_inside(node, each).get("display") for each in _FILTERS)
    return next((str(each) for each in shown if each), None)


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
