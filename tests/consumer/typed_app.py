"""An app as a consumer writes it: checked by type checkers in `test_public`, with public names alone."""
# ruff: noqa: T201 - an app may print

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import assert_type

from pydantic import BaseModel

from endpoints_gitops import (
    ApiError,
    AsyncEndpoints,
    Cache,
    CallEvent,
    ColumnsBroken,
    Concurrency,
    ContractBroken,
    Endpoints,
    EndpointsError,
    FunnelStep,
    LifecycleSeries,
    MissingVariable,
    PathLink,
    Pin,
    RetentionCohort,
    Row,
    Rows,
    StickinessSeries,
    Throttled,
    TrendSeries,
    UnknownVariable,
)


class Revenue(BaseModel):
    plan: str
    mrr: float


def watch(event: CallEvent) -> None:
    print(event.endpoint, event.version, event.environment, event.attempts, event.request_id, event.execution_id)
    assert_type(event.seconds, float)
    assert_type(event.status, int | None)
    if event.error is None and event.cache == "shared":
        print("another call asked for the same")


def sync_app() -> int:
    app = Endpoints.from_lock("endpoints.lock", environment="prod", contract="warn", cache=30.0, on_request=watch)
    with app as endpoints:
        rows = endpoints.run(
            "revenue", since=date(2026, 7, 1), variables={"$browser": "Chrome"}, _limit=10, _max_wait=5
        )
        assert_type(rows, Rows)
        assert_type(rows.columns, tuple[str, ...])
        assert_type(rows.types, tuple[str, ...])
        assert_type(rows.has_more, bool | None)
        assert_type(rows.age, float)
        assert_type(rows.is_stale, bool)
        assert_type(rows.to_models(Revenue), list[Revenue])
        for row in rows.of(Row):
            assert_type(row, Row)
            print(row.plan, row["mrr"], row[0], row.as_dict())
        for series in endpoints.run("visits").of(TrendSeries):
            assert_type(series.data, tuple[int | float | None, ...])
            assert_type(series.days, tuple[str, ...])
        print(insights(endpoints))
        print(list(endpoints.iterate("revenue", page_size=1_000, max_wait=60)))
        assert_type(endpoints.pins, Mapping[str, Pin])
        return endpoints.version("revenue")


def insights(endpoints: Endpoints) -> list[object]:
    funnel: tuple[FunnelStep, ...] = endpoints.run("signup").of(FunnelStep)
    cohorts: tuple[RetentionCohort, ...] = endpoints.run("retention").of(RetentionCohort)
    paths: tuple[PathLink, ...] = endpoints.run("paths", _refresh="force").of(PathLink)
    sticky: tuple[StickinessSeries, ...] = endpoints.run("sticky").of(StickinessSeries)
    life: tuple[LifecycleSeries, ...] = endpoints.run("life").of(LifecycleSeries)
    return [*funnel, *cohorts, *paths, *sticky, *life, *(value.count for one in cohorts for value in one.values)]


def careful(endpoints: Endpoints) -> Rows | None:
    try:
        return endpoints.run("revenue")
    except (UnknownVariable, MissingVariable) as wrong:
        print([(one.name, one.near) for one in wrong.mistakes], wrong.pin.label)
    except ColumnsBroken as broken:
        print([(one.kind, one.column) for one in broken.mistakes], broken.received)
    except ContractBroken as broken:
        print(broken.pin.version, broken.fix)
    except Throttled as throttled:
        print(throttled.retry_after)
    except ApiError as error:
        print(error.status, error.detail, error.request, error.request_id, error.error_event_id)
    except EndpointsError as error:
        print(error.code, error.message, error.where, error.fix)
    return None


async def async_app() -> list[Row]:
    cache, limits = Cache(5, stale_if_error=60, url="redis://localhost"), Concurrency(direct=2)
    Cache(seconds=5, most=10).clear()
    async with AsyncEndpoints.from_lock(cache=cache, budget_url="redis://localhost", concurrency=limits) as endpoints:
        await endpoints.warm_up(connect=True)
        rows = await endpoints.run("revenue", _limit=10, _offset=10)
        assert_type(rows, Rows)
        async for row in endpoints.iterate("revenue", month="2026-07"):
            print(row.plan)
        return list(rows.of(Row))
