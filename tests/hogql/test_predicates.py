"""The conditions of queries: which there are, on which fields, and which are not understood."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.predicates import conditions


def understood(sql: str) -> list[tuple[str, tuple[str, ...]]]:
    """Each condition of the only SELECT with its fields."""
    (select,), unknown = conditions(parse(sql))
    assert unknown == ()
    return [(item.text, tuple(".".join(path) for path in item.fields)) for item in select.predicates]


def refused(sql: str) -> list[tuple[str, str, str]]:
    return [(item.clause.value, item.text, item.reason) for item in conditions(parse(sql))[1]]


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("event = 'a'", ["event"]),
        ("e.event = 'a'", ["event"]),
        ("properties.plan = 'a'", ["properties.plan"]),
        ("e.properties['plan'] = 'a'", ["properties.plan"]),
        ("properties.a.b = 'a'", ["properties.a.b"]),
        ("properties['a']['b'] = 'a'", ["properties.a.b"]),
        ("JSONExtractString(properties, 'plan') = 'a'", ["properties.plan"]),
        ("toFloat(properties.n) > 1", ["properties.n"]),
        ("person.properties.plan = 'a'", ["person.properties.plan"]),
        ("person.created_at > now()", ["person.created_at"]),
        ("person.id = '1'", ["person_id"]),
        ("$session_id != ''", ["properties.$session_id"]),
        ("properties.a = properties.b", ["properties.a", "properties.b"]),
        ("properties.a = 1 OR event = 'x'", ["properties.a", "event"]),
        ("of_select = 'a'", ["properties.of_select"]),
        ("arrayExists(x -> x = 'q', splitByChar(',', properties.tags))", ["properties.tags"]),
    ],
)
def test_fields(condition: str, fields: list[str]) -> None:
    sql = f"SELECT properties.of_select AS of_select FROM events AS e WHERE {condition}"
    ((_, found),) = understood(sql)
    assert list(found) == fields


def test_conditions_that_hold_together_are_apart() -> None:
    sql = "SELECT 1 FROM events PREWHERE event = 'a' WHERE (timestamp > now() AND and(event != 'b', event != 'c'))"
    assert [text for text, _ in understood(sql)] == ["event = 'a'", "timestamp > now()", "event != 'b'", "event != 'c'"]


def test_a_range_has_two_ends() -> None:
    found = understood("SELECT 1 FROM events WHERE properties.n BETWEEN 1 AND 2 AND properties.n NOT BETWEEN 5 AND 6")
    assert [text for text, _ in found] == ["properties.n >= 1", "properties.n <= 2", "properties.n NOT BETWEEN 5 AND 6"]


def test_fields_of_persons() -> None:
    found = understood("SELECT id FROM persons AS p WHERE p.properties.plan = 'a' AND created_at > '2026-01-01'")
    assert [fields for _, fields in found] == [("person.properties.plan",), ("person.created_at",)]


def test_constants_and_expressions() -> None:
    sql = (
        "SELECT 1 FROM events WHERE properties.n IN (1, 2) AND timestamp > now() - INTERVAL 3 DAY AND event IS NOT NULL"
    )
    (select,), _ = conditions(parse(sql))
    comparisons = [part for item in select.predicates for part in item.comparisons]
    assert [part.constants for part in comparisons] == [(1, 2), (), ()]
    assert [part.expressions for part in comparisons] == [(), ("now() - toIntervalDay(3)",), ()]


def test_a_constant_belongs_to_the_fields_that_are_compared_with_it() -> None:
    (select,), _ = conditions(
        parse("SELECT 1 FROM events WHERE NOT (event = 'a' OR properties.n > 3 AND not(event = 'b'))")
    )
    assert [(part.fields, part.constants) for part in select.predicates[0].comparisons] == [
        ((("event",),), ("a",)),
        ((("properties", "n"),), (3,)),
        ((("event",),), ("b",)),
    ]


def test_sides_of_an_or() -> None:
    (select,), _ = conditions(parse("SELECT 1 FROM events WHERE event = 'a' OR event = 'b' OR event = 'c'"))
    assert len(select.predicates[0].alternatives) == 3


def test_fields_that_are_only_read() -> None:
    sql = "SELECT properties.plan, sum(properties.amount) FROM events WHERE event = 'a' GROUP BY properties.plan"
    (select,), _ = conditions(parse(sql))
    assert select.numbers == (("properties", "amount"),)
    assert select.others == (("properties", "plan"),)


@pytest.mark.parametrize(
    ("sql", "clause", "text", "reason"),
    [
        (
            "SELECT event FROM events GROUP BY event HAVING count() > 1",
            "having", "count() > 1", "HAVING is about more than one row",
        ),
        ("SELECT 1 FROM events WHERE uuid = 'a'", "where", "uuid = 'a'", "uuid cannot be given a value"),
        (
            "SELECT 1 FROM events WHERE session.$session_duration > 1",
            "where", "session.$session_duration > 1", "session.$session_duration cannot be given a value",
        ),
        (
            "SELECT 1 FROM events WHERE length(properties) > 1",
            "where", "length(properties) > 1", "properties cannot be given a value",
        ),
        ("SELECT 1 FROM events WHERE 1 = 1", "where", "1 = 1", "it depends on no column"),
        (
            "SELECT 1 FROM events WHERE person_id IN (SELECT 1)",
            "where", "person_id IN (SELECT 1)", "it contains a subquery",
        ),
        ("SELECT 1 FROM orders WHERE n = 1", "where", "n = 1", "its SELECT reads orders"),
        ("SELECT 1 FROM (SELECT 1 AS n) WHERE n = 1", "where", "n = 1", "its SELECT reads a subquery"),
        (
            "SELECT 1 FROM events AS e JOIN persons AS p ON e.person_id = p.id",
            "join", "e.person_id = p.id", "JOIN is about more than one row",
        ),
        (
            "SELECT 1 FROM events ARRAY JOIN [1] AS n WHERE event = 'a'",
            "where", "event = 'a'", "its SELECT has an ARRAY JOIN",
        ),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(sql: str, clause: str, text: str, reason: str) -> None:
    assert refused(sql) == [(clause, text, reason)]


def test_every_select_of_events_counts() -> None:
    sql = (
        "WITH a AS (SELECT event FROM events WHERE event = 'a') SELECT 1 FROM a "
        "UNION ALL SELECT 1 FROM events WHERE event IN (SELECT event FROM events WHERE properties.n = 1)"
    )
    filtered, unknown = conditions(parse(sql))
    assert [[item.text for item in select.predicates] for select in filtered] == [
        ["event = 'a'"],
        [],
        ["properties.n = 1"],
    ]
    assert [item.reason for item in unknown] == ["it contains a subquery"]
