"""What all kinds of insights ask: the engine, the time, and the conditions that the whole node sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from endpoints_gitops.local.engine.project_data import ProjectAction, ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.dates import Period, is_all, period
from endpoints_gitops.local.insights.filters import FilterContext
from endpoints_gitops.local.insights.refused import NotComputed

MOST_ROWS: Final = 50_000
_BUCKETS: Final = {
    "minute": "toStartOfMinute({})",
    "hour": "toStartOfHour({})",
    "day": "toStartOfDay({})",
    "week": "toStartOfWeek({})",
    "month": "toStartOfMonth({})",
}


class HogQLRows(Protocol):
    @property
    def results(self) -> Sequence[Sequence[Any]]: ...


class RunsHogQL(Protocol):
    """An engine that runs HogQL text, with the settings of the project; it raises QueryRefused."""

    @property
    def project(self) -> ProjectData: ...

    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> HogQLRows: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSource:
    """The event or action that a series counts."""

    id: Any
    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightRun:
    """A run of an insight: its node without defaults and as it is stored, the engine, and the time of its queries.

    `is_endpoint`: it is a run of an endpoint, which sets the breakdown limit.
    """

    node: Mapping[str, Any]
    stored: Mapping[str, Any]
    engine: RunsHogQL
    now: datetime
    is_endpoint: bool

    @property
    def project(self) -> ProjectData:
        return self.engine.project

    @property
    def zone(self) -> ZoneInfo:
        return self.project.zone

    @property
    def context(self) -> FilterContext:
        """What filters depend on."""
        return FilterContext(now=self.now, project=self.project)

    @property
    def interval(self) -> str:
        return str(self.node.get("interval") or "day")

    @property
    def date_range(self) -> Mapping[str, Any]:
        return self.node.get("dateRange") or {}

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """The rows of a query. Raises QueryRefused if there are more than an answer can have."""
        rows = self.engine.run(f"{sql} LIMIT {MOST_ROWS}", {}, limit=None, offset=None).results
        if len(rows) >= MOST_ROWS:
            raise QueryRefused(f"The insight has more than {MOST_ROWS:,} rows, which the local server does not compute")
        return rows

    def period(self, *, interval: str | None = None, exact: bool = False) -> Period:
        """The period of the node's date range."""
        first = self._first_event() if is_all(self.date_range) else None
        return period(
            self.date_range,
            interval or self.interval,
            self.now,
            first=first,
            exact=exact,
            week_start=self.project.week_start_day,
        )

    def common(self) -> list[str]:
        """The conditions of the node itself."""
        return [
            filters.properties(self.node.get("properties") or [], self.context),
            *(test_accounts("filterTestAccounts", self.context) if self.node.get("filterTestAccounts") else []),
        ]

    def events_of(self, series: Mapping[str, Any]) -> str:
        """The condition for the events of a series, without its filters. Raises NotComputed for other series."""
        if series.get("kind") == "ActionsNode":
            return f"({self.action(series.get('id')).condition})"
        if series.get("kind") != "EventsNode":
            raise NotComputed(f"series of the kind {series.get('kind')}")
        event = series.get("event")
        return filters.TRUE if event is None else f"event = {filters.text(event)}"

    def filters_of(self, series: Mapping[str, Any]) -> str:
        """The condition of a series' own filters."""
        keys = ("properties", "fixedProperties")
        return filters.all_of([filters.properties(series.get(key) or [], self.context) for key in keys])

    def action(self, wanted: object) -> ProjectAction:
        """The action with this id. Raises QueryRefused, and NotComputed without the settings of the project."""
        if not self.project.is_given:
            raise NotComputed("actions", "those of the project are not known (serve --project)")
        action = self.project.action(wanted)
        if action is None:
            raise QueryRefused(f"Action ID {wanted} does not exist!")
        return action

    def source(self, series: Mapping[str, Any]) -> SeriesSource:
        """The event or action of a series, as answers name it."""
        if series.get("kind") == "ActionsNode":
            action = self.action(series.get("id"))
            return SeriesSource(id=action.id, name=action.name, type="actions")
        event = series.get("event")
        return SeriesSource(id=event, name=event or "All events", type="events")

    def zoned(self, timestamp: datetime) -> str:
        """A time as HogQL, whose days are those of the project."""
        text = filters.timestamp(timestamp)
        return text if self.zone.key == "UTC" else f"toTimeZone({text}, {filters.text(self.zone.key)})"

    def local(self, value: str) -> datetime:
        """A time of an answer in the zone of the project; a date is the start of its day there."""
        return _in_zone(value, self.zone)

    def _first_event(self) -> datetime | None:
        events = [self.events_of(series) for series in self.node.get("series") or []]
        condition = filters.any_of(events)
        rows = self.ask(f"SELECT min(timestamp) FROM events WHERE {condition} HAVING count() > 0")  # noqa: S608 - translated parts
        return self.local(rows[0][0]) if rows else None


def test_accounts(key: str, context: FilterContext) -> list[str]:
    """The conditions that leave out test accounts. Raises NotComputed without the settings of the project."""
    if not context.project.is_given:
        raise NotComputed(key, "the test accounts of the project are not known (serve --project)")
    return [filters.properties(item, context) for item in context.project.test_account_filters]


def clock_of(engine: RunsHogQL) -> datetime:
    """The time of the engine's queries, which may be stopped, in the zone of the project."""
    value = engine.run("SELECT now()", {}, limit=None, offset=None).results[0][0]
    return timestamp_of(value).astimezone(engine.project.zone)


@lru_cache(maxsize=4096)
def _in_zone(value: str, zone: ZoneInfo) -> datetime:
    """`local` of a zone. The buckets of one insight are those of the next."""
    is_date = "T" not in value
    return datetime.fromisoformat(value).replace(tzinfo=zone) if is_date else timestamp_of(value).astimezone(zone)


def timestamp_of(value: str) -> datetime:
    """A date or time of an answer, in UTC."""
    timestamp = datetime.fromisoformat(value)
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def bucketed(interval: str, field: str = "timestamp") -> str:
    """The HogQL of the bucket of a time."""
    return _BUCKETS[interval].format(field)


def within(of: Period) -> list[str]:
    """The conditions for the events of a period."""
    return [f"timestamp >= {filters.timestamp(of.lower)}", f"timestamp <= {filters.timestamp(of.end)}"]
