"""A query in lines is the same query, and formatting does not change its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_gitops.hogql.canonical import canonical_sql
from endpoints_gitops.hogql.layout import laid_out

QUERIES = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("sql", QUERIES)
def test_every_query_of_the_corpus_survives(sql: str) -> None:
    lines = laid_out(sql)
    assert canonical_sql(lines) == canonical_sql(sql)
    assert laid_out(lines) == lines
    assert laid_out(sql.replace(" ", "  ")) == lines or "'" in sql or "`" in sql


def test_columns_conditions_and_clauses_have_lines_of_their_own() -> None:
    sql = (
        "with r as (select 1 as x) select a, countIf(b and c) as n from events e join persons p on p.id = e.id and p.x "
        "where a = 'and, from' and (b or c and d) and e in (select id from r) group by a order by n desc limit 10"
    )
    assert laid_out(sql).splitlines() == [
        "WITH r AS (",
        "    SELECT",
        "      1 AS x",
        "  )",
        "SELECT",
        "  a,",
        "  countIf(b AND c) AS n",
        "FROM events AS e",
        "  JOIN persons AS p ON p.id = e.id AND p.x",
        "WHERE a = 'and, from'",
        "  AND (b OR c AND d)",
        "  AND e IN (",
        "    SELECT",
        "      id",
        "    FROM r",
        "  )",
        "GROUP BY a",
        "ORDER BY n DESC",
        "LIMIT 10",
    ]


def test_the_arms_of_a_set_begin_on_new_lines() -> None:
    assert laid_out("select 1 union all select 2").count("\nUNION ALL (\n") == 1


@pytest.mark.parametrize("sql", ["select from where", "SELECT '\ue000' FROM t", "", "select not (a) from t pivot"])
def test_a_text_that_cannot_be_laid_out_stays_as_it_is(sql: str) -> None:
    assert laid_out(sql) == sql


def test_deep_queries_are_laid_out() -> None:
    sql = "select x from t"
    for _ in range(150):
        sql = f"select x from ({sql})"
    assert laid_out(sql).count("SELECT") == 151
