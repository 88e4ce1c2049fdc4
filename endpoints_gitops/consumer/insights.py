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
    for at, one in _flat(pin, results):
        try:
            made.append(read(_Object(one)))
        except _Odd as odd:
            raise ResultsBroken(pin, str(odd), at=at) from None
    return tuple(made)


def _flat(pin: Pin, results: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Funnels that are broken down come as lists of lists."""
    for at, one in enumerate(results):
        if isinstance(one, list) and pin.kind == "FunnelsQuery":
            yield from ((at, step) for step in one)
        else:
            yield at, one


class _Odd(Exception):
    """A result that is not of its kind; says in which way."""


class _Object:
    """One result, asked for what its kind has."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise _Odd(f"expected an object, got {_shown(value)}")
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
            self._odd(key, "a time")

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(each) if isinstance(each, str) else self._odd(key, "texts") for each in self.items(key))

    def wholes(self, key: str) -> tuple[int, ...]:
        return tuple(each if isinstance(each, int) else self._odd(key, "whole numbers") for each in self.items(key))

    def numbers(self, key: str) -> tuple[Number | None, ...]:
        """Formulas with one total have null in place of a list."""
        return tuple(None if each is None else self._number(key, each) for each in self.items(key))

    def items(self, key: str) -> Sequence[Any]:
        value = self.raw.get(key, self)
        if value is self or not isinstance(value, list | None):
            self._odd(key, "a list")
        return value or ()

    def breakdown(self) -> Breakdown:
        value = self.raw.get("breakdown_value")
        if isinstance(value, list):
            return tuple(None if each is None else str(each) for each in value)
        return None if value is None else str(value)

    def inside(self, key: str) -> JsonObject | None:
        value = self.raw.get(key)
        return value if isinstance(value, Mapping) else None

    def _of(self, key: str, kind: type) -> Json:
        value = self.raw.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            self._odd(key, {str: "a text", int: "a whole number"}[kind])
        return value

    def _number(self, key: str, value: object) -> Number:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._odd(key, "a number")
        return value

    def _odd(self, key: str, expected: str) -> NoReturn:
        raise _Odd(f"expected {expected} under {key!r}, got {_shown(self.raw[key]) if key in self.raw else 'nothing'}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def _trend(of: _Object) -> TrendSeries:
    return TrendSeries(
        label=of.text("label"),
        data=of.numbers("data"),
        days=of.texts("days"),
        labels=of.texts("labels"),
        count=of.number("count"),
        aggregated_value=of.maybe_number("aggregated_value"),
        breakdown_value=of.breakdown(),
        compare_label=of.maybe_text("compare_label"),
        action=of.inside("action"),
        raw=of.raw,
    )


_STATUSES: Final[Mapping[str, Status]] = {
    "new": "new",
    "returning": "returning",
    "resurrecting": "resurrecting",
    "dormant": "dormant",
}


def _lifecycle(of: _Object) -> LifecycleSeries:
    status = _STATUSES.get(of.text("status"))
    if status is None:
        raise _Odd(f"{of.text('status')!r} is no status")
    return LifecycleSeries(
        status=status,
        label=of.text("label"),
        data=of.numbers("data"),
        days=of.texts("days"),
        labels=of.texts("labels"),
        count=of.number("count"),
        raw=of.raw,
    )


def _cohort(of: _Object) -> RetentionCohort:
    return RetentionCohort(
        label=of.text("label"),
        date=of.moment("date"),
        values=tuple(_came_back(_Object(each)) for each in of.items("values")),
        breakdown_value=of.breakdown(),
        raw=of.raw,
    )


def _came_back(of: _Object) -> RetentionValue:
    return RetentionValue(
        count=of.number("count"), label=of.text("label"), aggregation_value=of.maybe_number("aggregation_value")
    )


def _funnel(of: _Object) -> FunnelStep | FunnelTimes | FunnelTrend:
    """Which view it is shows in the keys."""
    if "bins" in of.raw:
        return _times(of)
    if "data" in of.raw:
        return FunnelTrend(
            count=of.number("count"),
            data=of.numbers("data"),
            days=of.texts("days"),
            labels=of.texts("labels"),
            breakdown_value=of.breakdown(),
            raw=of.raw,
        )
    return FunnelStep(
        name=of.text("name"),
        custom_name=of.maybe_text("custom_name"),
        order=of.whole("order"),
        count=of.number("count"),
        average_conversion_time=of.maybe_number("average_conversion_time"),
        median_conversion_time=of.maybe_number("median_conversion_time"),
        breakdown_value=of.breakdown(),
        raw=of.raw,
    )


def _times(of: _Object) -> FunnelTimes:
    pairs = of.items("bins")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise _Odd("expected pairs of seconds and people under 'bins'")
    return FunnelTimes(
        bins=tuple((seconds, people) for seconds, people in pairs),
        average_conversion_time=of.maybe_number("average_conversion_time"),
        raw=of.raw,
    )


def _path(of: _Object) -> PathLink:
    return PathLink(
        source=of.text("source"),
        target=of.text("target"),
        value=of.number("value"),
        average_conversion_time=of.maybe_number("average_conversion_time"),
        raw=of.raw,
    )


def _stickiness(of: _Object) -> StickinessSeries:
    return StickinessSeries(
        label=of.text("label"),
        data=of.numbers("data"),
        days=of.wholes("days"),
        labels=of.texts("labels"),
        count=of.number("count"),
        raw=of.raw,
    )


_READERS: Final[Mapping[str, Callable[[_Object], Any]]] = {
    "TrendsQuery": _trend,
    "LifecycleQuery": _lifecycle,
    "RetentionQuery": _cohort,
    "FunnelsQuery": _funnel,
    "PathsQuery": _path,
    "StickinessQuery": _stickiness,
}
