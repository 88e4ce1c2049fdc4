"""Results of insights, a dataclass for each kind (docs/server.md#insights). `raw` is the object as it came.

Numbers are int or float as the server sent them. What a kind must have and lacks is a ResultsBroken; whatever more
there is stays in `raw`.
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
"""The value that a result is about, several where it is broken down by several properties; None: not broken down, or
the property is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendSeries:
    """One series of a TrendsQuery: `data[i]` belongs to `days[i]` (`2026-07-01`, of hours with a time) and `labels[i]`.

    Displays of one total have no `data`, and `aggregated_value`. `compare_label` is `current` or `previous`.
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
    """The people of one status per period; dormant ones count below zero."""

    status: Status
    label: str
    data: tuple[Number | None, ...]
    days: tuple[str, ...]
    labels: tuple[str, ...]
    count: Number
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionValue:
    """How many of a cohort came back in one period. `aggregation_value` is there where a property is aggregated."""

    count: Number
    label: str
    aggregation_value: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionCohort:
    """Those who began at `date`; `values[k]` is the k-th period after. Periods that are yet to come are 0."""

    label: str
    date: datetime
    values: tuple[RetentionValue, ...]
    breakdown_value: Breakdown
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """One step. `count` reached at least this one; times are seconds from the step before, None on the first.

    A funnel that is broken down gives the steps of one value after those of the other.
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
    """How long converting took: pairs of seconds and people."""

    bins: tuple[tuple[Number, Number], ...]
    average_conversion_time: Number | None
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelTrend:
    """Conversion over time; `data` are the rates in percent."""

    count: Number
    data: tuple[Number | None, ...]
    days: tuple[str, ...]
    labels: tuple[str, ...]
    breakdown_value: Breakdown
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLink:
    """How many went from one place to another, and in how many milliseconds on average."""

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
    """The results as dataclasses; of a kind that has none here (web analytics), as they came.

    Raises ResultsBroken.
    """
    read = _READERS.get(pin.kind)
    if read is None:
        return tuple(results)
    made = []
    for index, item in _flat(pin, results):
        try:
            made.append(read(_InsightResult(item)))
        except _Malformed as malformed:
            raise ResultsBroken(pin, str(malformed), at=index) from None
    return tuple(made)


def _flat(pin: Pin, results: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Funnels that are broken down come as lists of lists."""
    for index, item in enumerate(results):
        if isinstance(item, list) and pin.kind == "FunnelsQuery":
            yield from ((index, step) for step in item)
        else:
            yield index, item


class _Malformed(Exception):
    """A result that is not of its kind; says in which way."""


class _InsightResult:
    """One result, asked for what its kind has."""

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
        assert isinstance(value, int), "as asked for"
        return value

    def maybe_number(self, key: str) -> Number | None:
        return None if self.raw.get(key) is None else self.number(key)

    def maybe_text(self, key: str) -> str | None:
        return None if self.raw.get(key) is None else self.text(key)

    def moment(self, key: str) -> datetime:
        try:
            return datetime.fromisoformat(self.text(key))
        except ValueError:
            self._refuse(key, "a time")

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(item) if isinstance(item, str) else self._refuse(key, "texts") for item in self.items(key))

    def wholes(self, key: str) -> tuple[int, ...]:
        return tuple(item if isinstance(item, int) else self._refuse(key, "whole numbers") for item in self.items(key))

    def numbers(self, key: str) -> tuple[Number | None, ...]:
        """Formulas with one total have null in place of a list."""
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
            self._refuse(key, {str: "a text", int: "a whole number"}[kind])
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
        labels=result.texts("labels"),
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
        raise _Malformed(f"{result.text('status')!r} is no status")
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
        date=result.moment("date"),
        values=tuple(_came_back(_InsightResult(item)) for item in result.items("values")),
        breakdown_value=result.breakdown(),
        raw=result.raw,
    )


def _came_back(result: _InsightResult) -> RetentionValue:
    return RetentionValue(
        count=result.number("count"),
        label=result.text("label"),
        aggregation_value=result.maybe_number("aggregation_value"),
    )


def _funnel(result: _InsightResult) -> FunnelStep | FunnelTimes | FunnelTrend:
    """Which view it is shows in the keys."""
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
