"""A printed query parses to the same query."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.canonical import canonical_sql
from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.printer import Unprintable, print_hogql, readable

QUERIES = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("sql", QUERIES)
def test_every_query_of_the_corpus_survives(sql: str) -> None:
    once = print_hogql(parse(sql))
    assert canonical_sql(once).startswith("{")
    assert canonical_sql(once) == canonical_sql(sql)
    assert print_hogql(parse(once)) == once


NAMES = st.sampled_from(["a", "e.event", "properties.$os", "`select`", "`a b`", "timestamp", "x.`null`", "n", "date"])
CONSTANTS = st.sampled_from(["1", "-1", "1.5", "'it''s'", r"'a\\b\n'", "null", "true", "1e400", "9223372036854775808"])
PLACEHOLDERS = st.sampled_from(["{variables.x}", "{variables['x y']}", "{filters}", "{1 + 2}"])
BETWEEN_TWO = ("+", "-", "*", "/", "%", "=", "!=", "<", ">=", "like", "=~", "and", "or", "in", "??", "||")
AROUND = (
    "({})",
    "not {}",
    "-{}",
    "f({}, 1)",
    "count(distinct {})",
    "[{}]",
    "({}, 2)",
    "{}[1]",
    "({}).1",
    "{}::int",
    "{} is null",
    "{} between 1 and 2",
    "not ({})",
    "x -> {}",
    "f(x -> {})",
    "sum({}) over (partition by {} order by a desc)",
    "case when {} then 1 end",
    "(select {} from t limit 1)",
    "{{'k': {}}}",
    "interval {} day",
    "({} as q)",
    "quantile(0.5)({})",
)


@st.composite
def _around(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    template = draw(st.sampled_from(AROUND))
    return template.format(*(draw(inner) for _ in range(template.count("{}"))))


@st.composite
def _between(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    return f"{draw(inner)} {draw(st.sampled_from(BETWEEN_TWO))} {draw(inner)}"


EXPRESSIONS = st.recursive(
    NAMES | CONSTANTS | PLACEHOLDERS, lambda inner: _around(inner) | _between(inner), max_leaves=8
)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), EXPRESSIONS)
@settings(deadline=None)
def test_every_expression_survives(items: list[str], condition: str) -> None:
    sql = f"select {', '.join(items)} from t where {condition}"
    if not canonical_sql(sql).startswith("{"):
        return  # what the parser refuses has no tree to print
    printed = readable(parse(sql))
    if printed != "<SelectQuery>":  # NOT in front of brackets, which has a test of its own
        assert canonical_sql(printed) == canonical_sql(sql)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8))
@settings(deadline=None)
def test_every_name_and_text_survives(word: str) -> None:
    tree = {
        "node": "SelectQuery",
        "select": [{"node": "Alias", "alias": "x", "expr": {"node": "Field", "chain": ["t", word]}}],
        "where": {"node": "Constant", "value": word},
    }
    again = parse(print_hogql(tree))
    assert again["select"][0]["expr"]["chain"] == ["t", word]
    assert again["where"]["value"] == word


def test_a_long_chain_is_printed_without_recursion() -> None:
    sql = "select " + "1+" * 400 + "1"
    assert canonical_sql(print_hogql(parse(sql))) == canonical_sql(sql)


@pytest.mark.parametrize(
    ("sql", "printed"),
    [
        ("select  a,b from t -- c", "SELECT a, b FROM t"),
        ("select ((a+b))*c", "SELECT (a + b) * c"),
        ("select a from t where (x=1 and y=2) or z", "SELECT a FROM t WHERE x = 1 AND y = 2 OR z"),
        ("select a where b is not null and c in (1,2)", "SELECT a WHERE b IS NOT NULL AND c IN (1, 2)"),
        ("select a from t order by a asc,b desc limit 5", "SELECT a FROM t ORDER BY a, b DESC LIMIT 5"),
        ("select {variables.from}", "SELECT {variables.from}"),
        ("select 1 union all select 2", "(SELECT 1) UNION ALL (SELECT 2)"),
    ],
)
def test_printed(sql: str, printed: str) -> None:
    assert print_hogql(parse(sql)) == printed


def test_what_cannot_be_printed_is_named() -> None:
    tree = parse("select * from t pivot (sum(a) for b in (1,2))")
    with pytest.raises(Unprintable, match=r"^PivotColumn cannot be printed as HogQL$"):
        print_hogql(tree)
    assert readable(tree["select_from"]["table"]) == "<PivotExpr>"


def test_not_in_front_of_brackets_cannot_be_printed() -> None:
    with pytest.raises(Unprintable, match=r"^NOT in front of brackets cannot be printed as HogQL$"):
        print_hogql(parse("select not a is null + a"))
