"""The changes between two queries: every kind, differences that do not count, and laws."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.canonical import canonical_sql
from endpoints_gitops.hogql.query_changes import changes

BASE = (
    "SELECT properties.$browser AS browser, count() AS n FROM events AS e WHERE event = '$pageview' "
    "AND timestamp >= {variables.from} GROUP BY browser ORDER BY n DESC LIMIT 10"
)
CTE = "WITH r AS (SELECT event, count() AS n FROM events GROUP BY event) SELECT event, n FROM r"
JOIN = "SELECT e.event, p.id FROM events e JOIN persons p ON e.person_id = p.id"
UNION = "SELECT 1 AS a UNION ALL SELECT 2"


def replaced(old: str, new: str, *, base: str = BASE) -> tuple[str, str]:
    assert old in base
    return base, base.replace(old, new)


def shown(before: str, after: str) -> list[str]:
    return [
        f"{change.kind}{' variable' * change.is_variable} {change.locus}: {change.before} -> {change.after}"
        for change in changes(before, after)
    ]


SAME = [
    (BASE, BASE.lower().replace("$pageview", "$pageview")),
    (BASE, BASE + " -- x"),
    replaced("AS browser", "browser"),
    replaced("GROUP BY browser", "GROUP BY properties.$browser"),
    replaced(
        "event = '$pageview' AND timestamp >= {variables.from}", "timestamp >= {variables.from} AND e.event='$pageview'"
    ),
    replaced("properties.$browser AS", "e.properties.$browser AS"),
    replaced("ORDER BY n", "ORDER BY count()"),
    (
        "select a as b, count() as n from t group by b order by n desc",
        "select a as b, count() as n from t group by 1 order by 2 desc",
    ),
    ("select a, count() from t group by a", "select a, count() from t group by 1"),
    replaced("count()", "COUNT()"),
    replaced("events AS e", "events"),
    replaced(
        "events e JOIN persons p ON e.person_id = p.id",
        "events AS x JOIN persons AS y ON x.person_id = y.id",
        base=JOIN.replace("e.event, p.id", "event, 1"),
    ),
    ("select 1 from t where a and (b and c)", "select 1 from t where c and a and b"),
    ("select 1 from t group by a, b", "select 1 from t group by b, a"),
    (
        "with a as (select 1), b as (select 2) select 1 from a, b",
        "with b as (select 2), a as (select 1) select 1 from a, b",
    ),
    ("selec x\r\n", " selec x"),
]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_spelling_is_no_change(before: str, after: str) -> None:
    assert before != after
    assert changes(before, after) == ()


CHANGED = [
    (
        ("select a, b from t order by 1", "select b, a from t order by 1"),
        ["columns columns: a, b -> b, a", "ordering order by: a -> b"],
    ),
    (replaced("count()", "uniq(person_id)"), ["aggregation columns.n: count() -> uniq(person_id)"]),
    (replaced("count()", "count() * 2"), ["expression columns.n: count() -> count() * 2"]),
    (replaced("'$pageview'", "'$screen'"), ["source where: event = '$pageview' -> event = '$screen'"]),
    (replaced("event = '$pageview' AND ", ""), ["filter where: event = '$pageview' -> None"]),
    (replaced("WHERE", "WHERE distinct_id != 'a' AND"), ["filter where: None -> distinct_id != 'a'"]),
    (replaced(">=", ">"), ["filter variable where: timestamp >= {variables.from} -> timestamp > {variables.from}"]),
    (
        replaced("{variables.from}", "{variables.start}"),
        ["filter variable where: timestamp >= {variables.from} -> timestamp >= {variables.start}"],
    ),
    (
        replaced("{variables.from}", "now()"),
        ["filter where: None -> timestamp >= now()", "filter variable where: timestamp >= {variables.from} -> None"],
    ),
    (
        replaced("GROUP BY browser", "GROUP BY browser, event"),
        ["grouping group by: properties.$browser -> properties.$browser, event"],
    ),
    (
        replaced("$browser AS", "$os AS"),
        [
            "expression columns.browser: properties.$browser -> properties.$os",
            "grouping group by: properties.$browser -> properties.$os",
        ],
    ),
    (
        replaced("GROUP BY browser", "GROUP BY ROLLUP(browser)"),
        ["grouping group by: properties.$browser -> rollup (properties.$browser)"],
    ),
    (replaced(" DESC", ""), ["ordering order by: n DESC -> n"]),
    (replaced(" ORDER BY n DESC", ""), ["ordering order by: n DESC -> None"]),
    (replaced("LIMIT 10", "LIMIT 5"), ["limit limit: 10 -> 5"]),
    (replaced("LIMIT 10", "LIMIT 10 OFFSET 2"), ["limit offset: None -> 2"]),
    (replaced("LIMIT 10", "LIMIT {variables.n}"), ["limit limit: 10 -> {variables.n}"]),
    (replaced("LIMIT 10", "LIMIT 1 BY event LIMIT 10"), ["limit limit by: None -> LIMIT 1 BY event"]),
    (replaced("events AS e", "raw_events AS e"), ["source from: events -> raw_events"]),
    (replaced("events AS e", "events AS e SAMPLE 0.1"), ["source from: events -> events SAMPLE 0.1"]),
    (replaced("events AS e", "events AS e LEFT JOIN persons p ON p.id = e.person_id"), ["join from: None -> persons"]),
    (
        replaced("events AS e", "events AS e ARRAY JOIN elements_chain_texts AS t"),
        ["join array join: None -> ARRAY JOIN elements_chain_texts AS t"],
    ),
    (replaced("SELECT ", "SELECT DISTINCT "), ["distinct distinct: None -> true"]),
    (
        replaced("AS n FROM", "AS views FROM", base=BASE.replace("BY n", "BY count()")),
        ["columns columns: browser, n -> browser, views"],
    ),
    (
        replaced("properties.$browser AS browser, count() AS n", "count() AS n, properties.$browser AS browser"),
        ["columns columns: browser, n -> n, browser"],
    ),
    (
        replaced("LIMIT", "HAVING n > 5 LIMIT", base="SELECT event, count() AS n FROM events GROUP BY event LIMIT 1"),
        ["filter having: None -> count() > 5"],
    ),
    (replaced("count()", "sum(1)", base=CTE), ["aggregation cte r/columns.n: count() -> sum(1)"]),
    (
        replaced("FROM events ", "FROM events WHERE a = {variables.x} ", base=CTE),
        ["filter variable cte r/where: None -> a = {variables.x}"],
    ),
    (
        replaced("JOIN persons", "LEFT JOIN persons", base=JOIN),
        ["join join persons: JOIN ON person_id = persons.id -> LEFT JOIN ON person_id = persons.id"],
    ),
    (
        replaced("= p.id", "= p.key", base=JOIN),
        ["join join persons: JOIN ON person_id = persons.id -> JOIN ON person_id = persons.key"],
    ),
    (
        replaced("persons p", "people p", base=JOIN.replace(", p.id", "").replace("e.person_id = p.id", "1")),
        ["source from: persons -> people"],
    ),
    (replaced("ALL", "DISTINCT", base=UNION), ["source union: UNION ALL -> UNION DISTINCT"]),
    (replaced("SELECT 2", "SELECT 3", base=UNION), ["columns union 2/columns: 2 -> 3"]),
    (
        ("select toStartOfDay(timestamp) as d from events", "select toStartOfWeek(timestamp) as d from events"),
        ["bucket columns.d: toStartOfDay(timestamp) -> toStartOfWeek(timestamp)"],
    ),
    (
        ("select sum(a) over (order by b) as s", "select sum(a) over (order by c) as s"),
        ["window columns.s: sum(a) OVER (ORDER BY b) -> sum(a) OVER (ORDER BY c)"],
    ),
    (
        (
            "select sum(a) over w as s from t window w as (order by b)",
            "select sum(a) over w as s from t window w as (order by c)",
        ),
        ["window window: w AS (ORDER BY b) -> w AS (ORDER BY c)"],
    ),
    (("with 5 as n select n", "with 6 as n select n"), ["expression with n: 5 AS n -> 6 AS n"]),
    (
        ("select {variables.a} as x", "select {variables.b} as x"),
        ["expression variable columns.x: {variables.a} -> {variables.b}"],
    ),
    (("select 1 from (select 1 from t)", "select 1 from (select 1 from u)"), ["source subquery 1/from: t -> u"]),
    (("select 1 from t", "with c as (select 1 from u) select 1 from t"), ["source cte c: None -> SELECT 1 FROM u"]),
    (
        ("select 1 from t where a in (select b from u)", "select 1 from t where a in (select c from u)"),
        ["filter where: a IN (SELECT b FROM u) -> a IN (SELECT c FROM u)"],
    ),
    (("(select 1) union all (select 2) limit 5", "(select 1) union all (select 2) limit 6"), ["limit limit: 5 -> 6"]),
    (("select 1", "selec 1"), ["opaque query: select 1 -> selec 1"]),
]


@pytest.mark.parametrize(("queries", "expected"), CHANGED)
def test_each_change_is_named_where_it_is(queries: tuple[str, str], expected: list[str]) -> None:
    assert shown(*queries) == expected


@pytest.mark.parametrize(("queries", "expected"), CHANGED)
def test_the_way_back_has_the_same_kinds_with_the_texts_swapped(queries: tuple[str, str], expected: list[str]) -> None:
    there, back = changes(*queries), changes(*reversed(queries))
    assert len(there) == len(expected)
    for change, other in zip(there, back, strict=True):
        assert (change.kind, change.is_variable) == (other.kind, other.is_variable)
        assert (change.before, change.after, change.removed, change.added) == (
            other.after,
            other.before,
            other.added,
            other.removed,
        )


def test_an_opaque_change_says_why() -> None:
    (change,) = changes("select 1", "selec 1")
    assert change.why is not None
    assert change.why.startswith("mismatched input 'selec'")


def test_keys_that_left_a_grouping_are_listed() -> None:
    (change,) = changes("select 1 from t group by a, b", "select 1 from t group by b, c")
    assert (change.removed, change.added) == (("a",), ("c",))


QUERIES = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8").splitlines()


@given(st.sampled_from(QUERIES), st.sampled_from(QUERIES))
@settings(deadline=None)
def test_two_queries_differ_exactly_when_their_canonical_forms_do(one: str, other: str) -> None:
    assert changes(one, one) == ()
    assert bool(changes(one, other)) == (canonical_sql(one) != canonical_sql(other))
    assert sorted(each.kind for each in changes(one, other)) == sorted(each.kind for each in changes(other, one))


def test_long_chains_are_compared() -> None:
    before, after = "select " + "1+" * 300 + "1 as x", "select " + "1+" * 300 + "2 as x"
    assert [change.kind for change in changes(before, after)] == ["expression"]
