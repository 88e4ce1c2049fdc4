"""Date ranges, buckets and their labels (docs/server.md#insights). Times are in the zone of the project.

`week_start` is the project's first day of a week: 0 for Sunday, 1 for Monday.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from endpoints_gitops.local.insights.refused import NotComputed

INTERVALS: Final = ("minute", "hour", "day", "week", "month")
_RELATIVE: Final = re.compile(r"-?(?P<number>\d{1,6})?(?P<unit>[hdwmqysM])(?P<edge>Start|End)?")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MONTH_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS: Final = {"m": 1, "q": 3, "y": 12}
_SPANS: Final = {"s": "seconds", "M": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DEFAULT: Final = "-7d"
_END_OF_DAY: Final = {"hour": 23, "minute": 59, "second": 59, "microsecond": 999_999}
_FLOORED: Final = (
    ("s", {"microsecond": 0}),
    ("M", {"second": 0, "microsecond": 0}),
    ("h", {"minute": 0, "second": 0, "microsecond": 0}),
)
_MIDNIGHT: Final = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}


_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2298
"""The whole years of ClickHouse's DateTime64, which the timestamps of events have."""


def month_later(timestamp: datetime, months: int) -> datetime:
    """The timestamp some months later, or earlier; on the last day of a shorter month."""
    index = timestamp.year * 12 + timestamp.month - 1 + months
    year, month = divmod(index, 12)
    try:
        last = calendar.monthrange(year, month + 1)[1]
        return timestamp.replace(year=year, month=month + 1, day=min(timestamp.day, last))
    except (ValueError, calendar.IllegalMonthError):
        raise NotComputed("dateRange", "it leaves the calendar") from None


def aligned(timestamp: datetime, interval: str, week_start: int = 0) -> datetime:
    """The start of the interval that holds the timestamp."""
    if interval == "minute":
        return timestamp.replace(second=0, microsecond=0)
    if interval == "hour":
        return timestamp.replace(minute=0, second=0, microsecond=0)
    day = timestamp.replace(**_MIDNIGHT)  # type: ignore[arg-type]
    if interval == "week":
        return day - timedelta(days=(day.isoweekday() - week_start) % 7)
    return day.replace(day=1) if interval == "month" else day


def later(timestamp: datetime, interval: str, count: int = 1) -> datetime:
    """The timestamp some intervals later."""
    if interval == "month":
        return month_later(timestamp, count)
    return timestamp + timedelta(**{f"{interval}s": count})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDate:
    """A timestamp, with the unit of a relative date; `unit` is empty for an absolute one."""

    timestamp: datetime
    unit: str = ""
    number: int = 0
    edge: str = ""
    is_day: bool = False

    @property
    def is_relative(self) -> bool:
        return bool(self.unit)

    def floored(self) -> datetime:
        """A relative date at the start of its hour, minute or second, or else of its day."""
        if not self.is_relative:
            return self.timestamp
        floor: Any = dict(_FLOORED).get(self.unit, _MIDNIGHT)
        return self.timestamp.replace(**floor)


def parsed_date(key: str, text: object, now: datetime, *, week_start: int = 0) -> ParsedDate:
    """The date that a text such as `2026-07-01`, `-7d` or `-1mStart` stands for, in the zone of `now`.

    Raises NotComputed, also for a date that the timestamp of an event cannot have.
    """
    parsed = _parsed(key, text, now, week_start)
    if not _FIRST_YEAR <= parsed.timestamp.year <= _LAST_YEAR:
        raise NotComputed("dateRange", f"{text!r} is not in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return parsed


def _parsed(key: str, text: object, now: datetime, week_start: int) -> ParsedDate:
    if not isinstance(text, str):
        raise NotComputed(key, f"{text!r} is not a date")
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        number = int(relative["number"] or 0)
        return _relative(now, number, relative["unit"], relative["edge"] or "", week_start)
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        raise NotComputed(key, f"{text!r} is not a date that the local server knows") from None
    try:
        zoned = timestamp.astimezone(now.tzinfo) if timestamp.tzinfo else timestamp.replace(tzinfo=now.tzinfo)
    except OverflowError:
        raise NotComputed("dateRange", "it leaves the calendar") from None
    return ParsedDate(timestamp=zoned, is_day=_DATE.fullmatch(text) is not None)


def _relative(now: datetime, number: int, unit: str, edge: str, week_start: int) -> ParsedDate:
    try:
        if unit in _MONTHS:
            timestamp = month_later(now, -number * _MONTHS[unit])
        else:
            timestamp = now - timedelta(**{_SPANS[unit]: number})
    except OverflowError:
        raise NotComputed("dateRange", "it leaves the calendar") from None
    return ParsedDate(timestamp=_at_edge(timestamp, unit, edge, week_start), unit=unit, number=number, edge=edge)


def _at_edge(timestamp: datetime, unit: str, edge: str, week_start: int) -> datetime:
    if not edge:
        return timestamp
    if unit in ("s", "M"):
        raise NotComputed("dateRange", f"{unit}{edge} is not a date that the local server knows")
    if unit in ("h", "d"):
        start = aligned(timestamp, "hour" if unit == "h" else "day")
        return start if edge == "Start" else start + timedelta(**{_SPANS[unit]: 1}, microseconds=-1)
    if unit == "w":
        start = aligned(timestamp, "week", week_start)
        return start if edge == "Start" else start + timedelta(days=7, microseconds=-1)
    first = timestamp.replace(day=1, **_MIDNIGHT)  # type: ignore[arg-type]
    months = _MONTHS[unit]
    start = month_later(first, -((first.month - 1) % months))
    return start if edge == "Start" else month_later(start, months) - timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Period:
    """The period of an insight: `lower` is the bound of events, `start` the given start, `end` is included. Its buckets
    are computed once for all series and breakdown values."""

    start: datetime
    end: datetime
    lower: datetime
    interval: str
    week_start: int = 0

    @cached_property
    def buckets(self) -> tuple[datetime, ...]:
        """The starts of the intervals, the first of which holds `start`."""
        first = aligned(self.start, self.interval, self.week_start)
        buckets = tuple(_until(first, self.end, self.interval))
        refuse_repeated_hours([*buckets, self.end], self.interval)
        return buckets

    @cached_property
    def days(self) -> tuple[str, ...]:
        """The buckets as `days` of the answer."""
        return tuple(day_text(bucket, self.interval) for bucket in self.buckets)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The buckets as `labels` of the answer."""
        return tuple(map(self._label, self.buckets))

    def _label(self, bucket: datetime) -> str:
        if self.interval == "week":
            end = min(bucket + timedelta(days=6), self.end)
            return _week_label(max(bucket, self.start), end)
        if self.interval == "month":
            return f"{_month(bucket)} {bucket.year}"
        clock = f" {bucket:%H:%M}" if self.interval in ("hour", "minute") else ""
        return f"{_day(bucket)}{clock}"


MOST_BUCKETS: Final = 20_000


def _until(first: datetime, end: datetime, interval: str) -> Iterator[datetime]:
    count, bucket = 0, first
    while bucket <= end:
        if count > MOST_BUCKETS:
            raise NotComputed("dateRange", f"the range has more than {MOST_BUCKETS:,} intervals")
        yield bucket
        count += 1
        bucket = later(first, interval, count)


def refuse_repeated_hours(starts: Sequence[datetime], interval: str) -> None:
    """Raises NotComputed for hours and minutes over the night in which clocks go back: the same local time comes twice,
    and one of them would be left out."""
    if interval not in ("hour", "minute"):
        return
    offsets = [start.utcoffset() or timedelta() for start in starts]
    if any(after < before for before, after in pairwise(offsets)):
        raise NotComputed("interval", f"{interval}s over the end of daylight saving time, when local times come twice")


def iso_text(timestamp: datetime) -> str:
    """A time in an answer, with `Z` for UTC."""
    return timestamp.isoformat().replace("+00:00", "Z")


def day_text(bucket: datetime, interval: str) -> str:
    """A bucket in `days`: its date, with the time for hours and minutes."""
    day = bucket.date().isoformat()
    return f"{day} {bucket:%H:%M:%S}" if interval in ("hour", "minute") else day


def _day(timestamp: datetime) -> str:
    return f"{timestamp.day}-{_month(timestamp)}-{timestamp.year}"


def _month(timestamp: datetime) -> str:
    """The short name of the month, in English whatever the locale."""
    return _MONTH_NAMES[timestamp.month - 1]


def _week_label(first: datetime, last: datetime) -> str:
    if first.date() == last.date():
        return _day(first)
    if first.year != last.year:
        return f"{_day(first)} – {_day(last)}"
    if first.month != last.month:
        return f"{first.day}-{_month(first)} – {last.day}-{_month(last)}"
    return f"{first.day}–{last.day} {_month(first)}"


def is_all(date_range: Mapping[str, Any]) -> bool:
    return date_range.get("date_from") == "all"


def period(
    date_range: Mapping[str, Any],
    interval: str,
    now: datetime,
    *,
    first: datetime | None = None,
    exact: bool = False,
    week_start: int = 0,
) -> Period:
    """The period of a date range. `first` is the time of the first event, for `all`. `exact`: nothing is rounded.

    Raises NotComputed for dates and intervals that the local server does not know.
    """
    if interval not in INTERVALS:
        raise NotComputed("interval", f"{interval!r} is not one of {', '.join(INTERVALS)}")
    is_explicit = bool(date_range.get("explicitDate"))
    to = date_range.get("date_to")
    given_end = parsed_date("dateRange.date_to", to, now, week_start=week_start) if to else None
    end = _end(given_end, interval, now, is_explicit=is_explicit, exact=exact)
    if is_all(date_range):
        start = (first or now).astimezone(now.tzinfo)
        lower = _lower(start, interval)
        return Period(start=start, end=end, lower=lower, interval=interval, week_start=week_start)
    given = parsed_date("dateRange.date_from", date_range.get("date_from") or _DEFAULT, now, week_start=week_start)
    is_kept = interval == "minute" or is_explicit or exact
    start = given.timestamp if is_kept and date_range.get("date_from") else given.floored()
    lower = _bound(given, start, interval, is_kept=is_explicit or exact)
    return Period(start=start, end=end, lower=lower, interval=interval, week_start=week_start)


def _end(given: ParsedDate | None, interval: str, now: datetime, *, is_explicit: bool, exact: bool) -> datetime:
    timestamp = now if given is None else given.floored()
    if is_explicit and given is not None:
        return given.timestamp
    if exact and (given is None or not given.is_day):
        return now if given is None else given.timestamp
    if interval == "hour":
        is_relative = given is None or given.is_relative
        return timestamp.replace(minute=59, second=59, microsecond=999_999) if is_relative else timestamp
    if interval == "minute":
        is_relative = given is None or given.is_relative
        return timestamp.replace(second=59, microsecond=999_999) if is_relative else timestamp
    return timestamp.replace(**_END_OF_DAY)  # type: ignore[arg-type]


def _bound(given: ParsedDate, start: datetime, interval: str, *, is_kept: bool) -> datetime:
    is_exact = given.is_relative and (interval in ("hour", "minute") or (interval == "day" and given.unit == "h"))
    return start if is_kept or is_exact else _lower(start, interval)


def _lower(start: datetime, interval: str) -> datetime:
    """The start of the interval; for weeks the start of the day."""
    return aligned(start, "day" if interval == "week" else interval)


def previous(of: Period, date_range: Mapping[str, Any], compare_to: str | None, now: datetime) -> Period:
    """The period that a comparison shows. Raises NotComputed."""
    if compare_to:
        by = parsed_date("compareFilter.compare_to", compare_to, now)
        if not by.is_relative or by.edge:
            raise NotComputed("compareFilter.compare_to", f"{compare_to!r}")
        start, end, lower = (_moved(timestamp, by) for timestamp in (of.start, of.end, of.lower))
        return replace(of, start=start, end=end, lower=lower)
    if is_all(date_range):
        end = of.start - timedelta(microseconds=1)
        start = end - (of.end - of.start)
        return replace(of, start=start, end=end, lower=_lower(start, of.interval))
    text = date_range.get("date_from") or _DEFAULT
    given = parsed_date("dateRange.date_from", text, now, week_start=of.week_start)
    if text in _WHOLE_UNITS and not date_range.get("date_to"):
        start = _moved(of.start, replace(given, number=1))
        end = of.start - timedelta(microseconds=1)
    else:
        start, end = _same_length_before(of, date_range, given)
    lower = _bound(given, start, of.interval, is_kept=bool(date_range.get("explicitDate")))
    return replace(of, start=start, end=end, lower=lower)


_WHOLE_UNITS: Final = ("wStart", "mStart", "qStart", "yStart")
"""Starts that are compared with the whole unit before."""


def _same_length_before(of: Period, date_range: Mapping[str, Any], given: ParsedDate) -> tuple[datetime, datetime]:
    """A period of the same length, at the same times of the day."""
    length = of.end - of.start
    if of.interval == "minute":
        return of.start - length, of.start
    start = datetime.combine((of.start - length).date(), of.start.timetz())
    to = date_range.get("date_to")
    is_to_relative = isinstance(to, str) and _RELATIVE.fullmatch(to) is not None
    if of.interval == "day" and given.unit == "d" and given.number > 0 and given.number % 7 == 0 and not is_to_relative:
        start += timedelta(days=1)
    end = start + length
    if of.interval == "hour":
        return start, end.replace(minute=of.end.minute, second=of.end.second, microsecond=of.end.microsecond)
    return start, datetime.combine(end.date(), of.end.timetz())


def _moved(timestamp: datetime, by: ParsedDate) -> datetime:
    if by.unit in _MONTHS:
        return month_later(timestamp, -by.number * _MONTHS[by.unit])
    return timestamp - timedelta(**{_SPANS[by.unit]: by.number})
