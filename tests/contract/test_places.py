"""A finding names the line of the file that causes it."""

from __future__ import annotations

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.lint import lint

BEFORE = """\
name: orders
tags: [billing]
query: |-
  SELECT count() AS n FROM events WHERE event = {variables.event}
variables:
  - name: event
    type: String
    default: a
materialization:
  enabled: false
  schedule: 1hour
columns:
  - name: n
    type: integer
environments:
  prod:
    active: true
"""


@pytest.mark.parametrize(
    ("old", "new", "environment", "expected"),
    [
        ("[billing]", "[finance]", None, ["A113 orders.yaml:2"]),
        ("AS n FROM", "AS m FROM", None, ["C102 orders.yaml:4:21"]),
        ("default: a", "default: b", None, ["V108 orders.yaml:8"]),
        ("type: String", "type: List", None, ["V109 orders.yaml:7"]),
        ("enabled: false", "enabled: true", None, ["S101 orders.yaml:10"]),
        ("schedule: 1hour", "schedule: 6hour", None, ["S106 orders.yaml:11"]),
        ("    active: true", "    active: false", "prod", ["A103 orders.yaml:17", "A109 orders.yaml:17"]),
        ("    active: true", "    materialization: {enabled: true}", "prod", ["S101 orders.yaml:17"]),
    ],
)
def test_the_line_of_the_key(old: str, new: str, environment: str | None, expected: list[str]) -> None:
    assert old in BEFORE
    sides = [
        from_definition(read_definition("orders.yaml", text.encode(), lambda _: b""), environment)
        for text in (BEFORE, BEFORE.replace(old, new))
    ]
    assert [f"{one.code} {one.where}" for one in compare(*sides)] == expected


def test_the_line_of_a_declared_column() -> None:
    loaded = read_definition("orders.yaml", BEFORE.replace("integer", "float").encode(), lambda _: b"")
    assert [f"{one.code} {one.where}" for one in lint(loaded)] == ["G105 orders.yaml:13"]


SQL = """\
WITH recent AS (
  SELECT event, person_id FROM events WHERE timestamp > {variables.since}
)
SELECT
  event AS event,
  count() AS n
FROM recent
JOIN persons ON recent.person_id = persons.id
WHERE event != 'a'
GROUP BY event
ORDER BY event
LIMIT 10"""
CHANGES = [
    ("count() AS n", "count() AS number", "C102", "count() AS ", "number"),
    ("count() AS n", "toString(count()) AS n", "C103", "", "toString("),
    ("event AS event,\n  count() AS n", "event AS event", "C101", "", "event AS event"),
    ("AS n\n", "AS n,\n  1 AS one\n", "C110", "", "1 AS one"),
    ("count()", "uniq(persons.id)", "M101", "", "uniq("),
    ("event != 'a'", "event != 'b'", "M102", "WHERE ", "event != 'b'"),
    ("> {variables", ">= {variables", "V110", ">= ", "{variables"),
    ("GROUP BY event", "GROUP BY event, n", "M103", "GROUP BY ", "event, n"),
    ("ORDER BY event", "ORDER BY n", "M104", "ORDER BY ", "n\n"),
    ("JOIN persons", "LEFT JOIN persons", "M106", "LEFT JOIN ", "persons ON"),
    ("LIMIT 10", "LIMIT 5", "V112", "LIMIT ", "5"),
]


def place_of(text: str, part: str) -> str:
    before = text[: text.index(part)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def folded(sql: str) -> str:
    return "name: orders\nquery: >-\n  " + sql.replace("\n", "\n\n  ")


LAYOUTS = {
    "block": lambda sql: "name: orders\nquery: |-\n  " + sql.replace("\n", "\n  "),
    "indented": lambda sql: "name: orders\nquery: |2-\n     " + sql.replace("\n", "\n     "),
    "folded": folded,
    "quoted": lambda sql: "name: orders\nquery: '" + sql.replace("'", "''").replace("\n", "\n\n    ") + "'",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("old", "new", "code", "before", "part"), CHANGES)
def test_a_finding_points_into_the_query(layout: str, old: str, new: str, code: str, before: str, part: str) -> None:
    assert old in SQL
    texts = [LAYOUTS[layout](f"{sql}\n").rstrip() for sql in (SQL, SQL.replace(old, new))]
    sides = [from_definition(read_definition("orders.yaml", text.encode(), lambda _: b"")) for text in texts]
    found = {one.where for one in compare(*sides) if one.code == code}
    written = (before + part).split("\n")[0]
    written = written.replace("'", "''") if layout == "quoted" else written
    line, _, column = place_of(texts[1], written).partition(":")
    assert f"orders.yaml:{line}:{int(column) + len(before)}" in found


def test_a_one_line_query_with_escapes_is_pointed_into() -> None:
    text = "name: orders\nquery: \"SELECT '\\u00fc\\t' AS a, \\\n  count() AS n FROM events\"\n"
    sides = [
        from_definition(read_definition("orders.yaml", one.encode(), lambda _: b""))
        for one in (text, text.replace("AS n", "AS number"))
    ]
    assert [f"{one.code} {one.where}" for one in compare(*sides)] == ["C102 orders.yaml:3:14"]


def test_a_finding_points_into_the_file_of_the_query() -> None:
    text = b"name: orders\nquery_file: sql/orders.sql\n"
    sides = [
        from_definition(read_definition("a/orders.yaml", text, lambda _, sql=sql: sql.encode()))
        for sql in (SQL, SQL.replace("AS n\n", "AS number\n"))
    ]
    (found,) = (one.where for one in compare(*sides) if one.code == "C102")
    assert found == "a/sql/orders.sql:6:14"


def test_a_finding_points_into_a_subquery() -> None:
    sql = "SELECT plan FROM (\n    SELECT event AS plan FROM events WHERE event > 'a') AS q"
    sides = [
        from_definition(read_definition("a.yaml", f"name: a\nquery: |-\n  {one}\n".encode(), lambda _: b""))
        for one in (sql, sql.replace("'a'", "'b'"))
    ]
    assert [f"{one.code} {one.where}" for one in compare(*sides)] == ["M102 a.yaml:4:44"]


def test_what_is_gone_points_at_the_query_that_lost_it() -> None:
    sides = [
        from_definition(read_definition("orders.yaml", f"name: orders\nquery: {sql}\n".encode(), lambda _: b""))
        for sql in ("SELECT event FROM events WHERE event = 'a'", "SELECT event FROM events")
    ]
    assert [f"{one.code} {one.where}" for one in compare(*sides)] == ["M102 orders.yaml:2:8"]


def test_a_finding_about_an_insight_points_at_its_key() -> None:
    text = "name: orders\nquery_definition:\n  kind: TrendsQuery\n  series:\n    - {kind: EventsNode, event: a}\n"
    loaded = read_definition("orders.yaml", f"{text}  dateRange: {{date_from: -7d}}\n".encode(), lambda _: b"")
    assert {one.where for one in lint(loaded) if one.code == "G112"} == {"orders.yaml:6"}
