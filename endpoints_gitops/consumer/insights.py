"""Results of insights, a dataclass for each kind (docs/server.md#insights).

Numbers are int or float, as the server sent them. A missing key raises ResultsBroken. `raw` is the original object,
including keys that the dataclass does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NoReturn

from endpoints_gitops.consumer.errors import ResultsBroken
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Pin

type Number = int | float
type Status = Literal["new", "returning", "resurrecting", "dormant"]
type Breakdown = str | tuple[str | None, ...] | None
"""The breakdown value of a result; a tuple if the insight has several breakdowns. None without a breakdown, or if the
property is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendSeries:
    """One series of a TrendsQuery: `data[i]` belongs to `days[i]` (`2026-07-01`; hours have a time) and `labels[i]`.

    A series with one total has `aggregated_value` and no `data`. `compare_label` is `current` or `previous`.
    """

    label: str
    data: tuple[Number | None, ...]
    days: tuple[str, ...]
    labels: tuple[str, ...]
    count: Number
    aggregated_value: Number | None
    breakdown_value: Breakdown
    compare_label: str | None
    action: JsonObject | None = field(repr=False)
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleSeries:
    """The number of people with one status per period; numbers of dormant people are negative."""

    status: Status
    label: str
    data: tuple[Number | None, ...]
    days: tuple[str, ...]
    labels: tuple[str, ...]
    count: Number
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionValue:
    """How many people of a cohort returned in one period. `aggregation_value` is set if a property is aggregated."""

    count: Number
    label: str
    aggregation_value: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionCohort:
    """The people who started at `date`; `values[k]` is the k-th period after it. Future periods are 0."""

    label: str
    date: datetime
    values: tuple[RetentionValue, ...]
    breakdown_value: Breakdown
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """One step of a funnel. `count` people reached at least this step; times are seconds since the previous step, None
    on the first.

    A funnel with a breakdown has the steps of each value, one value after the other.
    """

    name: str
    custom_name: str | None
    order: int
    count: Number
    average_conversion_time: Number | None
    median_conversion_time: Number | None
    breakdown_value: Breakdown
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelTimes:
    """How long conversions took: `bins` are pairs of seconds and number of people."""

    bins: tuple[tuple[Number, Number], ...]
    average_conversion_time: Number | None
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelTrend:
    """Conversion over time; `data` are rates in percent."""

    count: Number
    data: tuple[Number | None, ...]
    days: tuple[str, ...]
    labels: tuple[str, ...]
    breakdown_value: Breakdown
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLink:
    """How many people went from `source` to `target`; `average_conversion_time` is in milliseconds."""

    source: str
    target: str
    value: Number
    average_conversion_time: Number | None
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StickinessSeries:
    """`data[i]` people were active in exactly `days[i]` periods."""

    label: str
    data: tuple[Number | None, ...]
    days: tuple[int, ...]
    labels: tuple[str, ...]
    count: Number
    raw: JsonObject = field(repr=False)


def records(pin: Pin, results: Sequence[Any]) -> tuple[Any, ...]:
    """The results as dataclasses; unchanged for kinds without a dataclass (web analytics).

    Raises ResultsBroken if a result does not have the shape of its kind.
    """
    read = _READERS.get(pin.kind)
    if read is None:
        return tuple(results)
    decoded = []
    for index, item in _flat(pin, results):
        try:
            decoded.append(read(_InsightResult(item)))
        except _Malformed as malformed:
            raise ResultsBroken(pin, str(malformed), at=index) from None
    return tuple(decoded)


def _flat(pin: Pin, results: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The results with their indexes. A funnel with breakdowns is a list of lists."""
    for index, item in enumerate(results):
        if isinstance(item, list) and pin.kind == "FunnelsQuery":
            yield from ((index, step) for step in item)
        else:
            yield index, item


class _Malformed(Exception):
    """A result does not have the shape of its kind; the text says how."""


class _InsightResult:
    """Typed access to the keys of one result."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise _Malformed(f"expected an object, got {_shown(value)}")
        self.raw: JsonObject = value

    def text(self, key: str) -> str:
        return str(self._of(key, str))

    def number(self, key: str) -> Number:
        return self._number(key, self.raw.get(key))

    def whole(self, key: str) -> int:
        value = self._of(key, int)
        assert isinstance(value, int), "checked by _of"
        return value

    def maybe_number(self, key: str) -> Number | None:
        return None if self.raw.get(key) is None else self.number(key)

    def maybe_text(self, key: str) -> str | None:
        return None if self.raw.get(key) is None else self.text(key)

    def timestamp(self, key: str) -> datetime:
        try:
            return datetime.fromisoformat(self.text(key))
        except ValueError:
            self._refuse(key, "a time")

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(item) if isinstance(item, str) else self._refuse(key, "strings") for item in self.items(key))

    def wholes(self, key: str) -> tuple[int, ...]:
        return tuple(item if isinstance(item, int) else self._refuse(key, "integers") for item in self.items(key))

    def numbers(self, key: str) -> tuple[Number | None, ...]:
        """A formula with one total has null instead of a list."""
        return tuple(None if item is None else self._number(key, item) for item in self.items(key))

    def items(self, key: str) -> Sequence[Any]:
        value = self.raw.get(key, self)
        if value is self or not isinstance(value, list | None):
            self._refuse(key, "a list")
        return value or ()

    def breakdown(self) -> Breakdown:
        value = self.raw.get("breakdown_value")
        if isinstance(value, list):
            return tuple(None if item is None else str(item) for item in value)
        return None if value is None else str(value)

    def inside(self, key: str) -> JsonObject | None:
        value = self.raw.get(key)
        return value if isinstance(value, Mapping) else None

    def _of(self, key: str, kind: type) -> Json:
        value = self.raw.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            self._refuse(key, {str: "a string", int: "an integer"}[kind])
        return value

    def _number(self, key: str, value: object) -> Number:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(key, "a number")
        return value

    def _refuse(self, key: str, expected: str) -> NoReturn:
        raise _Malformed(
            f"expected {expected} under {key!r}, got {_shown(self.raw[key]) if key in self.raw else 'nothing'}"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def _trend(result: _InsightResult) -> TrendSeries:
    return TrendSeries(
        label=result.text("label"),
        data=result.numbers("data"),
        days=result.texts("days"),
        labels=result.texts("labels") if "labels" in result.raw else (),  # a total has none
        count=result.number("count"),
        aggregated_value=result.maybe_number("aggregated_value"),
        breakdown_value=result.breakdown(),
        compare_label=result.maybe_text("compare_label"),
        action=result.inside("action"),
        raw=result.raw,
    )


_STATUSES: Final[Mapping[str, Status]] = {
    "new": "new",
    "returning": "returning",
    "resurrecting": "resurrecting",
    "dormant": "dormant",
}


def _lifecycle(result: _InsightResult) -> LifecycleSeries:
    status = _STATUSES.get(result.text("status"))
    if status is None:
        raise _Malformed(f"unknown status {result.text('status')!r}")
    return LifecycleSeries(
        status=status,
        label=result.text("label"),
        data=result.numbers("data"),
        days=result.texts("days"),
        labels=result.texts("labels"),
        count=result.number("count"),
        raw=result.raw,
    )


def _cohort(result: _InsightResult) -> RetentionCohort:
    return RetentionCohort(
        label=result.text("label"),
        date=result.timestamp("date"),
        values=tuple(_retention_value(_InsightResult(item)) for item in result.items("values")),
        breakdown_value=result.breakdown(),
        raw=result.raw,
    )


def _retention_value(result: _InsightResult) -> RetentionValue:
    return RetentionValue(
        count=result.number("count"),
        label=result.text("label"),
        aggregation_value=result.maybe_number("aggregation_value"),
    )


def _funnel(result: _InsightResult) -> FunnelStep | FunnelTimes | FunnelTrend:
    """The view of the funnel; its keys show which one it is."""
    if "bins" in result.raw:
        return _times(result)
    if "data" in result.raw:
        return FunnelTrend(
            count=result.number("count"),
            data=result.numbers("data"),
            days=result.texts("days"),
            labels=result.texts("labels"),
            breakdown_value=result.breakdown(),
            raw=result.raw,
        )
    return FunnelStep(
        name=result.text("name"),
        custom_name=result.maybe_text("custom_name"),
        order=result.whole("order"),
        count=result.number("count"),
        average_conversion_time=result.maybe_number("average_conversion_time"),
        median_conversion_time=result.maybe_number("median_conversion_time"),
        breakdown_value=result.breakdown(),
        raw=result.raw,
    )


def _times(result: _InsightResult) -> FunnelTimes:
    pairs = result.items("bins")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise _Malformed("expected pairs of seconds and people under 'bins'")
    return FunnelTimes(
        bins=tuple((seconds, people) for seconds, people in pairs),
        average_conversion_time=result.maybe_number("average_conversion_time"),
        raw=result.raw,
    )


def _path(result: _InsightResult) -> PathLink:
    return PathLink(
        source=result.text("source"),
        target=result.text("target"),
        value=result.number("value"),
        average_conversion_time=result.maybe_number("average_conversion_time"),
        raw=result.raw,
    )


def _stickiness(result: _InsightResult) -> StickinessSeries:
    return StickinessSeries(
        label=result.text("label"),
        data=result.numbers("data"),
        days=result.wholes("days"),
        labels=result.texts("labels"),
        count=result.number("count"),
        raw=result.raw,
    )


_READERS: Final[Mapping[str, Callable[[_InsightResult], Any]]] = {
    "TrendsQuery": _trend,
    "LifecycleQuery": _lifecycle,
    "RetentionQuery": _cohort,
    "FunnelsQuery": _funnel,
    "PathsQuery": _path,
    "StickinessQuery": _stickiness,
}
