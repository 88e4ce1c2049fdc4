"""The sample product: the same on every machine, and enough of everything to ask about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from endpoints_gitops.local.engine import sample
from endpoints_gitops.local.engine.engine import Engine

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
VALUES = {
    "properties.source": {"google", "newsletter", "hackernews", "friend", "direct"},
    "properties.plan": {"free", "pro", "team"},
    "properties.kind": {"text", "checklist", "drawing"},
    "properties.$browser": {"Chrome", "Safari", "Firefox", "Edge"},
    "properties.$os": {"Mac OS X", "Windows", "iOS", "Android", "Linux"},
    "properties.channel": {"link", "email", "team"},
    "properties.format": {"pdf", "markdown", "html"},
    "properties.succeeded": {True, False},
    "properties.$lib": {"web", "posthog-ios"},
    "person.properties.country": {"DE", "US", "FR", "GB", "BR", "IN"},
    "event": {
        "$pageview",
        "user signed up",
        "note created",
        "note shared",
        "subscription started",
        "invoice paid",
        "subscription cancelled",
        "export finished",
    },
}

LIVES = "SELECT min(timestamp) AS f, any(person.created_at) AS c FROM events GROUP BY person_id"
IDS = "SELECT count() AS c FROM person_distinct_ids GROUP BY person_id"


@pytest.fixture(scope="module")
def quill() -> Iterator[Engine]:
    with Engine.open(sample=True, now=NOW) as engine:
        yield engine


def column(engine: Engine, hogql: str) -> list[Any]:
    return [row[0] for row in engine.run(hogql, {}).results]


def test_size() -> None:
    product = sample.product(NOW)
    assert 18_000 < len(product.events) < 22_000
    assert len(product.persons) == sample.PEOPLE
    assert len({event["uuid"] for event in product.events}) == len(product.events)


def test_same_every_time() -> None:
    assert sample.product(NOW) == sample.product(NOW)


def test_moves_with_the_day_and_stops_at_the_hour() -> None:
    now, later = sample.product(NOW), sample.product(NOW + timedelta(hours=6))
    assert [event for event in later.events if event["timestamp"] <= f"{NOW:%Y-%m-%d %H:%M:%S}"] == list(now.events)
    tomorrow = sample.product(NOW + timedelta(days=1))
    names = Counter(event["event"] for event in now.events), Counter(event["event"] for event in tomorrow.events)
    assert names[0]["user signed up"] == pytest.approx(names[1]["user signed up"], abs=5)


@pytest.mark.parametrize("hogql", VALUES)
def test_every_value_occurs_in_the_last_thirty_days(quill: Engine, hogql: str) -> None:
    found = column(quill, f"SELECT DISTINCT {hogql} AS x FROM events WHERE timestamp > now() - INTERVAL 30 DAY")
    assert set(found) - {None} == VALUES[hogql]


def test_invoices_in_every_month(quill: Engine) -> None:
    paid = "SELECT DISTINCT toStartOfMonth(timestamp) AS m FROM events WHERE event = 'invoice paid' ORDER BY m"
    assert column(quill, paid) == [f"2026-0{month}-01" for month in range(1, 8)]


@pytest.mark.parametrize("day", [1, 15, 28])
def test_this_month_has_invoices_on_any_day(day: int) -> None:
    now = datetime(2027, 3, day, 0, 30, tzinfo=UTC)
    paid = [event for event in sample.product(now).events if event["event"] == "invoice paid"]
    assert any(event["timestamp"].startswith("2027-03") for event in paid)


@pytest.mark.parametrize(
    ("hogql", "row"),
    [
        ("SELECT count() FROM persons WHERE created_at > now()", [0]),
        ("SELECT count() FROM events WHERE timestamp > now()", [0]),
        ("SELECT count() FROM events WHERE person.id != person_id", [0]),
        (f"SELECT countIf(f != c) FROM ({LIVES})", [0]),
        ("SELECT countIf(properties.email IS NULL) > 0, countIf(properties.plan = 'team') > 0 FROM persons", [1, 1]),
        (f"SELECT countIf(c > 1) > 0, max(c) FROM ({IDS})", [1, 2]),
        ("SELECT count() > 1000, countIf($is_bounce) > 0, avg($session_duration) > 0 FROM sessions", [1, 1, 1]),
        ("SELECT count() > 0, countIf(company.properties.name IS NULL) FROM events WHERE $group_0 != ''", [1, 0]),
        ("SELECT min(properties.amount), countIf(properties.amount % 8 != 0) FROM events WHERE event = 'invoice paid'",
         [8.0, 0]),
        ("SELECT round(avg(properties.succeeded = false), 1) FROM events WHERE event = 'export finished'", [0.1]),
    ],
)  # fmt: skip
def test_facts(quill: Engine, hogql: str, row: list[Any]) -> None:
    assert quill.run(hogql, {}).results == [row]
