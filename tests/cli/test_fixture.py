"""`fixture new`: the files it writes and keeps, and the exit code of what it does not understand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from endpoints_gitops.local.engine.engine import Engine

PAID = """\
name: paid
query: SELECT count() AS n FROM events WHERE event = 'paid' AND properties.plan = {variables.plan}
variables:
  - {name: plan, type: String}
examples:
  - variables: {plan: pro}
"""
BIG = "name: big\nquery: SELECT event FROM events WHERE event = 'a' GROUP BY event HAVING count() > 3\n"
TREND = "name: trend\nquery_definition: {kind: TrendsQuery, series: [{kind: EventsNode, event: a}]}\n"


@pytest.fixture
def folder(checkout: Any) -> Any:
    checkout.write({"paid.yaml": PAID, "big.yaml": BIG, "trend.yaml": TREND})
    return checkout.top


def test_it_writes_tables_that_serve_reads(cli: Any, folder: Any, server: Any) -> None:
    server.requests.clear()
    ran = cli("fixture", "new", "paid")
    assert ran.code == 0
    assert ran.out.splitlines() == ["hit", "miss: event = 'paid'", "miss: properties.plan = 'pro'"]
    assert "endpoints-gitops serve --data fixtures/paid" in ran.err
    assert server.requests.entries() == ()
    with Engine.open(data=[folder / "fixtures" / "paid"]) as engine:
        sql = "SELECT properties.fixture FROM events WHERE event = 'paid' AND properties.plan = 'pro'"
        assert engine.run(sql, {}).results == [["hit"]]


def test_a_variable_of_the_command_line(cli: Any, folder: Any) -> None:
    ran = cli("fixture", "new", "paid", "--var", "plan=team", "--out", "rows", "--format", "json")
    assert ran.code == 0
    assert ran.json["summary"] == {"rows": 3, "unknown": 0}
    assert ran.json["items"][2] == {
        "label": "miss: properties.plan = 'team'", "misses": ["properties.plan = 'team'"]
    }  # fmt: skip
    rows = [json.loads(line) for line in (folder / "rows" / "events.jsonl").read_text().splitlines()]
    assert [row["properties"]["plan"] for row in rows] == ["team", "team", "teamx"]


def test_what_is_not_understood_is_an_error(cli: Any, folder: Any) -> None:
    ran = cli("fixture", "new", "big", "--format", "json")
    assert ran.code == 4
    (error,) = ran.json["errors"]
    assert error["code"] == "fixture.unknown"
    assert error["message"] == "HAVING count() > 3: HAVING is about more than one row"
    assert (folder / "fixtures" / "big" / "events.jsonl").exists()


def test_files_are_replaced_only_after_an_answer(cli: Any, folder: Any) -> None:
    kept = folder / "fixtures" / "paid"
    kept.mkdir(parents=True)
    for name in ("events.jsonl", "persons.jsonl"):
        (kept / name).write_text("mine")
    ran = cli("fixture", "new", "paid")
    assert ran.code == 2
    assert "Replace fixtures/paid/events.jsonl and fixtures/paid/persons.jsonl?" in ran.err
    assert (kept / "events.jsonl").read_text() == "mine"
    assert cli("fixture", "new", "paid", "--yes").code == 0
    assert [path.name for path in kept.iterdir()] == ["events.jsonl"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pai"], "is called 'pai'; did you mean 'paid'?"),
        (["trend"], "trend is an insight: only the conditions of HogQL are understood"),
        (["paid", "--var", "x=1"], "the query has no variable 'x'"),
        (["paid", "--now", "soon"], "'soon' is not an ISO time"),
        (["paid", "--now", "1900-01-01"], "'1900-01-01' is outside the range of ClickHouse's times"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes(cli: Any, words: list[str], told: str) -> None:
    ran = cli("fixture", "new", *words)
    assert ran.code == 2
    assert told in ran.err


def test_a_variable_without_a_value(cli: Any, checkout: Any) -> None:
    checkout.write({"paid.yaml": PAID.partition("examples")[0]})
    ran = cli("fixture", "new", "paid")
    assert ran.code == 2
    assert "variable plan has no default" in ran.err
