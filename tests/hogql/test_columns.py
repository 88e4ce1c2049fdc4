"""The names and types of columns, and which are unknown: docs/server.md#hogql, row by row."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.columns import OutputColumn, output
from endpoints_gitops.hogql.parser import parse


def only(sql: str) -> OutputColumn:
    (column,) = output(sql).columns
    return column


NAMES = [
    ("event", "event"),
    ("e.event", "event"),
    ("properties.$browser", "$browser"),
    ("e.properties.$browser", "$browser"),
    ("properties", "properties"),
    ("properties.a.b", "a__b"),
    ("properties['x']", "properties.x"),
    ("properties['x y']", "properties.`x y`"),
    ("person.properties.email", "email"),
    ("person.id", "id"),
    ("person_id", "person_id"),
    ("session.$session_duration", "$session_duration"),
    ("group_0.properties.name", "name"),
    ("1", "1"),
    ("1.5", "1.5"),
    ("'a'", "'a'"),
    ("'it''s'", r"'it\'s'"),
    ("true", "true"),
    ("null", "NULL"),
    ("1 + 2", "plus(1, 2)"),
    ("-timestamp", "minus(0, timestamp)"),
    ("1 - 2", "minus(1, 2)"),
    ("1 * 2", "multiply(1, 2)"),
    ("1 / 2", "divide(1, 2)"),
    ("1 % 2", "modulo(1, 2)"),
    ("event = 'b'", "equals(event, 'b')"),
    ("event != 'b'", "notEquals(event, 'b')"),
    ("1 < 2", "less(1, 2)"),
    ("1 <= 2", "lessOrEquals(1, 2)"),
    ("1 > 2", "greater(1, 2)"),
    ("1 >= 2", "greaterOrEquals(1, 2)"),
    ("event like 'b'", "like(event, 'b')"),
    ("event not like 'b'", "notLike(event, 'b')"),
    ("event ilike 'b'", "ilike(event, 'b')"),
    ("event not ilike 'b'", "notILike(event, 'b')"),
    ("event =~ 'b'", "match(event, 'b')"),
    ("event !~ 'b'", "not(match(event, 'b'))"),
    ("event =~* 'b'", "match(event, concat('(?i)', 'b'))"),
    ("event !~* 'b'", "not(match(event, concat('(?i)', 'b')))"),
    ("event in ('a', 'b')", "in(event, tuple('a', 'b'))"),
    ("event in ('a')", "in(event, 'a')"),
    ("event not in ('a', 'b')", "notIn(event, tuple('a', 'b'))"),
    ("1 and 0", "and(1, 0)"),
    ("1 or 0", "or(1, 0)"),
    ("not 1", "not(1)"),
    ("1 between 1 and 2", "1 BETWEEN 1 AND 2"),
    ("event is null", "equals(event, NULL)"),
    ("event is not null", "notEquals(event, NULL)"),
    ("1 ? 2 : 3", "if(1, 2, 3)"),
    ("event ?? 'b'", "ifNull(event, 'b')"),
    ("event || 'b'", "concat(event, 'b')"),
    ("case when 1 then 2 end", "if(1, 2, NULL)"),
    ("case when 1 then 2 when 3 then 4 end", "multiIf(1, 2, 3, 4, NULL)"),
    ("count()", "count()"),
    ("count(*)", "count(*)"),
    ("COUNT(event)", "COUNT(event)"),
    ("count(distinct event)", "count(DISTINCT event)"),
    ("quantile(0.5)(1)", "quantile(0.5)(1)"),
    ("toDate(e.timestamp)", "toDate(e.timestamp)"),
    ("now() - interval 1 day", "minus(now(), toIntervalDay(1))"),
    ("[1, 2]", "[1, 2]"),
    ("(1, 2)", "tuple(1, 2)"),
    ("(1,2).1", "tuple(1, 2).1"),
    ("[1][1]", "[1][1]"),
    ("arrayMap(x -> x + 1, [1])", "arrayMap(x -> plus(x, 1), [1])"),
    ("row_number() over (order by event)", "row_number() OVER (ORDER BY event ASC)"),
    ("'1'::int", "toInt64('1')"),
    ("{'a': 1}", "tuple('__hx_tag', '__hx_obj', 'a', 1)"),
    ('event as "my col"', "my col"),
    ("event one", "one"),
    (
        "sum(1) over (partition by event order by timestamp desc rows between 1 preceding and current row)",
        "sum(1) OVER (PARTITION BY event ORDER BY timestamp DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    ),
    ("toFloat(properties['$a b'])", "toFloat(properties.`$a b`)"),
]


@pytest.mark.parametrize(("expression", "name"), NAMES)
def test_a_column_is_called_as_the_server_calls_it(expression: str, name: str) -> None:
    column = only(f"select {expression} from events as e")
    assert column.name == name
    assert "print" not in (column.why or "")


GUESSED = [
    "lag(event) over (order by event)",
    "(select 1)",
    "concat('a', {variables.x})",
    "count() filter (where 1)",
    "[1, 2, 3][1:2]",
    "event in cohort 1",
    "(event as x) || 'a'",
    "'x'::datetime",
]


@pytest.mark.parametrize("expression", GUESSED)
def test_an_undocumented_name_is_marked_as_uncertain(expression: str) -> None:
    column = only(f"select {expression} from events")
    assert not column.known
    assert column.why is not None
    assert ("the server" in column.why) or ("a variable" in column.why)


TYPES = [
    ("count()", "integer", False),
    ("uniq(person_id)", "integer", False),
    ("sum(1.5)", "float", False),
    ("sum(toFloat(properties.a))", "float", True),
    ("avg(1)", "float", False),
    ("max(timestamp)", "datetime", False),
    ("groupArray(event)", "array", False),
    ("quantile(0.5)(1)", "float", False),
    ("timestamp", "datetime", False),
    ("timestamp - timestamp", "decimal", False),
    ("timestamp - interval 1 day", "datetime", False),
    ("toDate(timestamp)", "date", False),
    ("toDate('2024-01-01')", "date", True),
    ("toDate(timestamp) + 1", "date", False),
    ("toDate(timestamp) + interval 1 hour", "datetime", False),
    ("toStartOfDay(timestamp)", "datetime", False),
    ("toStartOfMonth(timestamp)", "date", False),
    ("dateTrunc('week', timestamp)", "date", False),
    ("dateTrunc('hour', timestamp)", "datetime", False),
    ("toStartOfInterval(timestamp, interval 5 minute)", "datetime", False),
    ("dateDiff('day', timestamp, now())", "integer", False),
    ("true", "integer", False),
    ("1 = null", "integer", False),
    ("timestamp < parseDateTimeBestEffort(event)", "integer", True),
    ("equals(properties.a, timestamp)", "integer", True),
    ("timestamp between toDate(event) and now()", "integer", True),
    ("person.created_at < parseDateTimeBestEffort(event)", "integer", False),
    ("timestamp < now()", "integer", False),
    ("timestamp in (null)", "integer", False),
    ("toBool(1)", "boolean", False),
    ("toBool(1) and true", "boolean", False),
    ("1 / 2", "float", False),
    ("1 + 2", "integer", False),
    ("1 + 2.5", "float", False),
    ("toInt('1')", "integer", True),
    ("toDecimal(1, 2)", "decimal", True),
    ("event || properties.a", "string", False),
    ("nullIf(event, 'a')", "string", True),
    ("coalesce(nullIf(event, 'a'), 'b')", "string", False),
    ("coalesce(properties.a, 'b')", "string", False),
    ("ifNull(properties.a, 'b')", "string", False),
    ("IFNULL(properties.a, 'b')", "string", False),
    ("if(event = 'a', properties.a, 'b')", "string", True),
    ("multiIf(event = 'a', properties.a, event = 'b', properties.b, 'c')", "string", True),
    ("if(1, event, null)", "string", True),
    ("multiIf(1, 1, 2, 2.5, 3)", "float", False),
    ("person_id", "string", False),
    ("properties", "string", False),
    ("properties.a.b", "string", True),
    ("properties.$ai_trace_id", "string", True),
    ("(1, 'a')", "json", False),
    ("[1, 2]", "array", False),
    ("[1, 2][1]", "integer", False),
    ("arrayFilter(x -> x > 1, [1, 2])", "array", False),
    ("arrayJoin(['a'])", "string", False),
    ("splitByChar(',', event)", "array", False),
    ("elements_chain_texts[1]", "string", False),
    ("row_number() over (order by event)", "integer", False),
    ("sumIf(1, event = 'a')", "integer", False),
    ("countIf(event = 'a')", "integer", False),
    ("avgIf(toFloat(properties.a), 1)", "float", True),
    ("'1'::float", "float", False),
    ("event in ('a')", "integer", False),
    ("formatDateTime(timestamp, '%Y')", "string", False),
]


@pytest.mark.parametrize(("expression", "word", "nullable"), TYPES)
def test_types_that_the_text_decides(expression: str, word: str, nullable: bool) -> None:
    column = only(f"select {expression} as it from events")
    assert (column.type, column.nullable, column.known, column.why) == (word, nullable, True, None)


UNDECIDED = [
    ("properties.price", "unknown", True, "the project defines the type of the property price"),
    ("{variables.x}", "string", None, "it depends on the value of the variable x"),
    ("nonsense(event)", "unknown", None, "the result type of nonsense is unknown"),
    ("nowhere", "unknown", None, "the query has no name nowhere"),
    ("max(properties.price)", "unknown", True, "the project defines the type of the property price"),
    ("(select 1)", "integer", None, "it is unknown whether the subquery returns a row"),
    ("interval 1 day", "unknown", False, "an interval has no type in JSON"),
    ("if(1, 'a', 2)", "unknown", False, "its branches have different types: integer, string"),
]


@pytest.mark.parametrize(("expression", "word", "nullable", "why"), UNDECIDED)
def test_names_that_depend_on_the_project_have_a_reason(
    expression: str, word: str, nullable: bool | None, why: str
) -> None:
    column = only(f"select {expression} as it from events")
    assert (column.type, column.nullable, column.known, column.why) == (word, nullable, False, why)


THROUGH = {
    "subquery": (
        "select a, b + 1 as c from (select event as a, count() as b from events group by event)",
        "a:string c:integer",
    ),
    "subquery renamed": ("select x from (select 1, 'a') as q (w, x)", "x:string"),
    "cte": ("with q as (select now() as t) select q.t, toDate(t) as d from q", "t:datetime d:date"),
    "cte renamed": ("with q(x) as (select 1.5) select x from q", "x:float"),
    "cte of a cte": ("with a as (select 1 as x), b as (select x from a) select * from b", "x:integer"),
    "value of with": ("with 5 as n select n, n * 1.5 as m", "n:integer m:float"),
    "join": (
        "select e.event, p.created_at from events e left join persons p on e.person_id = p.id",
        "event:string created_at:datetime",
    ),
    "alias in a later item": ("select toDate(timestamp) as d, d + 1 as next from events", "d:date next:date"),
    "alias hides a field": ("select 1 as event, event from events", "event:integer event:integer"),
    "union": ("select 1 as x union all select 2.5", "x:float"),
    "union with a null": ("select 1 as x union all select null", "x:integer?"),
    "array join": ("select it from events array join elements_chain_texts as it", "it:string"),
    "star of a subquery": ("select * from (select 1 as a, nullIf(1, 2) as b)", "a:integer b:integer?"),
    "star with exclude": ("select * exclude (a) from (select 1 as a, 2 as b)", "b:integer"),
    "star of one of two": (
        "with a as (select 1 as x), b as (select 'y' as y) select b.* from a cross join b",
        "y:string",
    ),
    "table": ("select number from numbers(5)", "number:integer"),
    "json of a subquery": ("select p.a.b from (select properties as p from events)", "a__b:string?"),
    "json by another name": ("select properties as q, q.a.b from events", "q:string a__b:string?"),
}


@pytest.mark.parametrize("case", THROUGH)
def test_columns_are_followed_through_the_query(case: str) -> None:
    sql, expected = THROUGH[case]
    found = output(sql)
    assert found.complete
    assert " ".join(f"{each.name}:{each.type}{'?' * bool(each.nullable)}" for each in found.columns) == expected
    assert all(each.known for each in found.columns)


def test_a_star_is_reported_and_written_out() -> None:
    found = output("select * from (select 1 as a, 2 as b)")
    assert found.stars == ("*",)
    assert [column.expression for column in found.columns] == ["subquery 0.a", "subquery 0.b"]


INCOMPLETE = [
    ("select * from stripe_charges", "only the project knows the columns of stripe_charges", ("*",)),
    ("select c.* from a.b as c", "only the project knows the columns of a.b", ("c.*",)),
    ("select * from events, persons", "a `*` without a table expands to several tables or none", ("*",)),
    ("select columns('a') from events", "COLUMNS(…) selects columns by a pattern", ("COLUMNS(…)",)),
    (
        "select * from events",
        "the project decides whether `*` of events includes person_id and event_person_id",
        ("*",),
    ),
    ("select * from (select * from t)", "only the project knows the columns of t", ("*",)),
    ("with recursive r as (select 1) select * from r", "recursive CTEs are not analyzed", ("*",)),
    ("selec 1", "mismatched input 'selec' expecting {SELECT, WITH, '{', '(', '<'}", ()),
]


@pytest.mark.parametrize(("sql", "why", "stars"), INCOMPLETE)
def test_an_unknown_list_of_columns_has_a_reason(sql: str, why: str, stars: tuple[str, ...]) -> None:
    found = output(sql)
    assert (found.complete, found.why, found.stars) == (False, why, stars)


@pytest.mark.parametrize(
    ("sql", "name", "known_name"),
    [("select a from t", "a", True), ("select t.a from t", "a", True), ("select t.properties.b from t", "b", False)],
)
def test_columns_of_a_table_that_only_the_project_knows(sql: str, name: str, known_name: bool) -> None:
    column = only(sql)
    assert (column.name, column.type, column.known) == (name, "unknown", False)
    assert column.why == "only the project knows the columns of t"
    assert known_name or "properties" in sql


def test_doubled_names_are_kept_and_named() -> None:
    found = output("select event, 1 as a, event, 2 as a, count() from events")
    assert [column.name for column in found.columns] == ["event", "a", "event", "a", "count()"]


def test_two_columns_computed_alike_have_one_expression() -> None:
    before, after = (
        only("select  count( distinct event) as users from events"),
        only("select count(DISTINCT event) people from events"),
    )
    assert before.expression == after.expression == "count(DISTINCT event)"


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "1+" * 400 + "1 as x",
        "select " + "not " * 300 + "1 as x",
    ],
)
def test_long_and_deep_expressions_are_typed(sql: str) -> None:
    assert only(sql).type == "integer"


def test_queries_nested_too_deeply_have_a_reason() -> None:
    sql = "select x from (" * 60 + "select 1 as x" + ")" * 60
    parse(sql)
    assert only(sql).why == "the query is nested more than 40 levels deep"


def test_ctes_that_read_each_other_are_each_read_once() -> None:
    parts = ["a0 as (select 1 as x)"]
    parts += [f"a{n} as (select l.x from a{n - 1} l join a{n - 1} r on l.x = r.x)" for n in range(1, 30)]
    assert only(f"with {', '.join(parts)} select x from a29").type == "integer"
