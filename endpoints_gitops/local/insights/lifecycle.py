"""LifecycleQuery: new, returning, resurrecting and dormant persons per interval (docs/server.md#insights)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.dates import Period, later
from endpoints_gitops.local.insights.questions import InsightRun, SeriesSource, bucketed
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

STATUSES: Final = ("new", "returning", "resurrecting", "dormant")


def results(run: InsightRun) -> list[Json]:
    """The four series of a LifecycleQuery. Raises QueryRefused."""
    series: list[Mapping[str, Any]] = list(run.node.get("series") or [])
    if len(series) != 1:
        raise NotComputed("series", f"a LifecycleQuery has one, not {len(series)}")
    if series[0].get("math") not in (None, "total"):
        raise NotComputed("math", f"{series[0]['math']!r} of a LifecycleQuery")
    period = run.period()
    counts: Counter[tuple[str, datetime]] = Counter()
    for periods, created, persons in _activities(run, series[0], period):
        for status, bucket in _states(periods, created, period.interval):
            counts[status, bucket] += persons
    return [_row(run.source(series[0]), status, counts, period) for status in STATUSES]


def _activities(
    run: InsightRun, series: Mapping[str, Any], period: Period
) -> Iterator[tuple[list[datetime], datetime, int]]:
    """The intervals in which persons were active, the interval of their `created_at`, and how many persons these are.

    Events begin one interval before the range and end with its last interval.
    """
    buckets = period.buckets
    if not buckets:
        raise NotComputed("dateRange", "of a LifecycleQuery that ends before it begins")
    since, until = later(buckets[0], period.interval, -1), later(buckets[-1], period.interval)
    conditions = [
        f"timestamp >= {filters.timestamp(since)}",
        f"timestamp < {filters.timestamp(until)}",
        run.events_of(series),
        run.filters_of(series),
        *run.common(),
        "ifNull(toString(properties.$process_person_profile), '') != 'false'",
    ]
    active = f"arraySort(groupUniqArray({bucketed(period.interval)})) AS _active"
    created = f"{bucketed(period.interval, 'min(person.created_at)')} AS _created"
    where = filters.all_of(conditions)
    persons = f"SELECT {active}, {created} FROM events WHERE {where} GROUP BY person_id"  # noqa: S608
    rows = run.ask(f"SELECT _active, _created, count() FROM ({persons}) GROUP BY _active, _created")  # noqa: S608
    for active_buckets, created_bucket, count in rows:
        yield [run.local(bucket) for bucket in active_buckets], run.local(created_bucket), int(count)


def _states(active: Sequence[datetime], created: datetime, interval: str) -> Iterator[tuple[str, datetime]]:
    """The status of a person in each interval: of its activity, and dormant in the interval after it."""
    known = set(active)
    for bucket in active:
        if bucket == created:
            yield "new", bucket
        else:
            yield "returning" if later(bucket, interval, -1) in known else "resurrecting", bucket
        following = later(bucket, interval)
        if following not in known:
            yield "dormant", following


def _row(source: SeriesSource, status: str, counts: Counter[tuple[str, datetime]], period: Period) -> Json:
    sign = -1 if status == "dormant" else 1
    data = [float(sign * counts[status, bucket]) for bucket in period.buckets]
    data = [value or 0.0 for value in data]  # no negative zero
    return {
        "action": {
            "id": source.id,
            "name": source.name,
            "type": source.type,
            "order": 0,
            "math": "total",
        },
        "data": data,
        "count": float(sum(data)),
        "labels": list(period.labels),
        "days": list(period.days),
        "label": f"{source.name} - {status}",
        "status": status,
    }
