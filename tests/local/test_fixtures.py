"""Fixtures: each row does what its label says, when the query runs on the engine over the written files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.fixtures import Fixture, make_fixture

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def labels(fixture: Fixture) -> list[str]:
    return [row.label for row in fixture.rows]


def returned(fixture: Fixture, folder: Path, where: str, *, table: str = "events") -> set[int]:
    """The numbers of the rows that meet a condition, counted from 0, in an engine that reads the files."""
    for name, content in fixture.files.items():
        (folder / name).write_bytes(content)
    key = "uuid" if table == "events" else "id"
    with Engine.open(data=[folder], now=NOW) as engine:
        found = {str(row[0]) for row in engine.run(f"SELECT toString({key}) FROM {table} WHERE {where}", {}).results}
    lines = [json.loads(line) for line in fixture.files[f"{table}.jsonl"].splitlines()]
    return {index for index, line in enumerate(lines) if line[key] in found}


CONDITIONS = (
    "event = 'a' AND properties.amount > 5",
    "event IN ('a', 'b') AND properties.plan NOT IN ('free', 'trial')",
    "event LIKE 'page%' AND properties.url NOT ILIKE '%Admin%'",
    "properties.n IS NULL AND properties.m IS NOT NULL",
    "timestamp >= now() - INTERVAL 30 DAY AND timestamp < now() - INTERVAL 1 DAY",
    "toDate(timestamp) = '2026-06-15' AND toHour(timestamp) = 9",
    "properties.n BETWEEN 5 AND 9 AND properties.n != 7",
    "toFloat(properties.a) / 2 >= 1.5 AND lower(properties.b) = 'x'",
    "person.properties.country = 'DE' AND person.created_at < '2026-01-01'",
    "properties.ok = true AND properties.a = properties.b",
    "NOT (event = 'a' OR properties.n > 3)",
    "match(properties.url, '^https://x\\\\.example')",
    "properties.deep.key = 'v' AND $session_id != ''",
)


@pytest.mark.slow
@pytest.mark.parametrize("where", CONDITIONS)
def test_hits_are_returned_and_misses_are_not(tmp_path: Path, where: str) -> None:
    fixture = make_fixture(f"SELECT event FROM events WHERE {where}", NOW)
    assert fixture.unknown == ()
    hits = {index for index, row in enumerate(fixture.rows) if not row.misses}
    assert len(fixture.rows) > len(hits) > 0
    assert returned(fixture, tmp_path, where) == hits


@pytest.mark.slow
@pytest.mark.parametrize("where", CONDITIONS[:6])
def test_each_condition_is_missed_by_a_row_of_its_own(tmp_path: Path, where: str) -> None:
    """The row that misses a condition meets all others, so that it alone shows the condition's effect."""
    fixture = make_fixture(f"SELECT event FROM events WHERE {where}", NOW)
    first, second = where.split(" AND ")
    missed = [index for index, row in enumerate(fixture.rows) if row.misses]
    assert len(missed) == 2
    assert returned(fixture, tmp_path, first) == {0, missed[1]}
    assert returned(fixture, tmp_path, second) == {0, missed[0]}


def test_a_query_that_groups(tmp_path: Path) -> None:
    sql = (
        "SELECT properties.plan AS plan, sum(properties.amount) AS mrr FROM events "
        "WHERE event = 'paid' AND plan != 'free' GROUP BY plan ORDER BY plan LIMIT 5"
    )
    fixture = make_fixture(sql, NOW)
    assert labels(fixture) == ["hit", "miss: event = 'paid'", "miss: plan != 'free'"]
    assert fixture.unknown == ()
    assert not fixture.is_timed
    (tmp_path / "events.jsonl").write_bytes(fixture.files["events.jsonl"])
    with Engine.open(data=[tmp_path]) as engine:
        assert engine.run(sql, {}).results == [["freex", 1.0]]
    rows = [json.loads(line) for line in fixture.files["events.jsonl"].splitlines()]
    assert [row["properties"]["fixture"] for row in rows] == labels(fixture)


@pytest.mark.slow
def test_persons(tmp_path: Path) -> None:
    where = "properties.plan = 'pro' AND created_at < '2026-01-01'"
    fixture = make_fixture(f"SELECT id FROM persons WHERE {where}", NOW)
    assert labels(fixture) == ["hit", "miss: properties.plan = 'pro'", "miss: created_at < '2026-01-01'"]
    assert returned(fixture, tmp_path, where, table="persons") == {0}


@pytest.mark.slow
def test_each_side_of_an_or_has_a_hit(tmp_path: Path) -> None:
    where = "properties.a = 'x' OR properties.b = 'y'"
    fixture = make_fixture(f"SELECT event FROM events WHERE {where}", NOW)
    assert [row.misses for row in fixture.rows].count((where,)) == 1
    assert returned(fixture, tmp_path, "properties.a = 'x' AND properties.b != 'y'")
    assert returned(fixture, tmp_path, "properties.b = 'y' AND properties.a != 'x'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT event FROM events WHERE event = 'a' AND event = 'b'", "no tried values meet it together with"),
        ("SELECT event FROM events WHERE event = 'a' AND length(event) < 99", "no tried value misses it"),
        ("SELECT event FROM events WHERE JSONExtractString(properties, 'a', 'b') = 'v'", "no tried value meets it"),
        ("SELECT event FROM events WHERE nothing(event)", "the engine refuses it: Unsupported function call"),
        ("SELECT event FROM events GROUP BY event HAVING count() > 1", "HAVING is about more than one row"),
        ("SELECT nothing FROM events WHERE event = 'a'", "the engine refuses it: Unable to resolve field: nothing"),
        ("SELECT count() FROM events WHERE event = 'a' LIMIT 0", "its result is the same without the hits"),
        ("SELECT 1", "it reads neither events nor persons by itself"),
    ],
)
def test_what_has_no_hit_or_no_miss_is_named(sql: str, told: str) -> None:
    fixture = make_fixture(sql, NOW)
    assert len(fixture.unknown) > 0
    assert told in fixture.unknown[0].reason


@pytest.mark.slow
def test_conditions_that_are_not_understood_leave_the_others(tmp_path: Path) -> None:
    sql = "SELECT event FROM events WHERE event = 'a' AND uuid IN (SELECT uuid FROM events) AND properties.n > 5"
    fixture = make_fixture(sql, NOW)
    assert [unknown.text for unknown in fixture.unknown] == ["uuid IN (SELECT uuid FROM events)"]
    assert returned(fixture, tmp_path, "event = 'a' AND properties.n > 5") == {0}


@pytest.mark.slow
def test_now_is_the_time_that_was_given() -> None:
    fixture = make_fixture("SELECT event FROM events WHERE timestamp > now() - INTERVAL 1 HOUR", NOW)
    assert fixture.is_timed
    hit: Any = json.loads(fixture.files["events.jsonl"].splitlines()[0])
    assert hit["timestamp"].startswith("2026-07-01T1")


@pytest.mark.slow
def test_equal_queries_give_equal_bytes() -> None:
    sql = "SELECT event FROM events WHERE event = 'a' AND (properties.n > 5 OR properties.m < 3)"
    assert make_fixture(sql, NOW).files == make_fixture(sql, NOW).files
