"""What all kinds of insights ask: the engine, the time, and the conditions that the whole node sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.dates import Period, is_all, period

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
    """An engine that runs HogQL text; it raises QueryRefused."""

    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> HogQLRows: ...


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
        return period(self.date_range, interval or self.interval, self.now, first=first, exact=exact)

    def common(self) -> list[str]:
        """The conditions of the node itself."""
        return [filters.properties(self.node.get("properties") or [], self.now)]

    def _first_event(self) -> datetime | None:
        events = [filters.events_of(series) for series in self.node.get("series") or []]
        condition = filters.any_of(events)
        rows = self.ask(f"SELECT min(timestamp) FROM events WHERE {condition} HAVING count() > 0")  # noqa: S608 - translated parts
        return moment_of(rows[0][0]) if rows else None


def clock_of(engine: RunsHogQL) -> datetime:
    """The time of the engine's queries, which may be stopped."""
    return moment_of(engine.run("SELECT now()", {}, limit=None, offset=None).results[0][0])


def moment_of(value: str) -> datetime:
    """A date or time of an answer, in UTC."""
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def bucketed(interval: str, field: str = "timestamp") -> str:
    """The HogQL of the bucket of a time."""
    return _BUCKETS[interval].format(field)


def within(of: Period) -> list[str]:
    """The conditions for the events of a period."""
    return [f"timestamp >= {filters.moment(of.lower)}", f"timestamp <= {filters.moment(of.end)}"]
