"""No query crashes an analysis: each returns a result for everything that the parser accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.eligibility import reason
from endpoints_gitops.hogql.narrowing import is_scoped
from endpoints_gitops.hogql.paging import shape
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.query_changes import changes
from endpoints_gitops.hogql.variables import operators, usages

QUERIES = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8").splitlines()
PIECES = st.sampled_from([word for sql in QUERIES for word in sql.split(" ")])


def ask_everything(sql: str) -> None:
    variables = {"i": {"variableId": "i", "code_name": "x"}}
    reason({"kind": "HogQLQuery", "query": sql, "variables": variables})
    output(sql), changes(sql, "select 1"), changes("select 1", sql)
    try:
        parse(sql)
    except ParseFailure:
        return
    usages(sql), operators(sql, "x"), is_scoped(sql, "x"), shape(sql)


@pytest.mark.parametrize("sql", QUERIES)
def test_the_corpus(sql: str) -> None:
    parse(sql)
    ask_everything(sql)


@given(st.sampled_from(QUERIES), st.data())
@settings(deadline=None)
def test_what_is_almost_a_query(sql: str, data: st.DataObject) -> None:
    words = sql.split(" ")
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(PIECES)
    ask_everything(" ".join(words))


@given(st.sampled_from(QUERIES), st.sampled_from(QUERIES), st.sampled_from(QUERIES))
@settings(deadline=None)
def test_queries_inside_of_queries(one: str, other: str, third: str) -> None:
    ask_everything(f"with q as ({one}) select *, ({other}) as v from ({third}) as s, q where a in ({one})")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '\0'",
        "SELECT 'a\0b' AS n, 1 AS x FROM events WHERE event = '\0' ORDER BY concat('\0', event) LIMIT 1",
        "SELECT count() FROM events GROUP BY '\0'",
        "SELECT (SELECT '\0')",
        "SELECT `a\0b` AS n FROM events",
    ],
)
def test_a_zero_byte_in_a_query(sql: str) -> None:
    ask_everything(sql)
    ask_everything(sql.replace("\0", "\\0"))


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "1+" * 300 + "{variables.x} as x",
        "select 1 from t where " + "a = 1 and " * 150 + "b = {variables.x}",
        "select " + "f(" * 250 + "{variables.x}" + ")" * 250,
        "select x from (" * 200 + "select {variables.x} as x" + ")" * 200,
        "select x from t where a in (" * 100 + "select {variables.x} as x" + ")" * 100,
        "with " + ", ".join(f"c{n} as (select * from c{n - 1})" for n in range(1, 100)) + " select * from c99",
        " union all ".join(["select {variables.x}"] * 100),
    ],
    ids=["sum", "and", "calls", "subqueries", "in", "ctes", "union"],
)
def test_long_and_deep_queries(sql: str) -> None:
    ask_everything(sql)
