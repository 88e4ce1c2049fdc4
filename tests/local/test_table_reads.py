"""What a table changes: order, LIMIT, wrappers, buckets and aggregations (docs/server.md#materialization)."""

from __future__ import annotations

from typing import Any

import pytest

TIMES = "(select toDateTime('2026-01-01 00:00:00') + toIntervalHour(number * 6) as at, number from numbers(12))"
NUMBERS = [[number] for number in range(10)]


@pytest.fixture
def both(ask):
    """The rows of a query with these values, from the query itself and from its table."""

    def answers(sql: str, overrides: dict[str, str] | None = None, **values: Any) -> tuple[Any, Any]:
        for name in values:
            ask("POST", "/insight_variables/", {"name": name, "type": "String", "default_value": ""})
        known = ask("GET", "/insight_variables/").json()["results"]
        variables = {item["id"]: {"variableId": item["id"], "code_name": item["code_name"]} for item in known}
        node = {"kind": "HogQLQuery", "query": sql, "variables": variables}
        assert ask("POST", "/endpoints/", {"name": "e", "query": node}).status_code == 201
        inline = ask("POST", "/endpoints/e/run", {"variables": values}).json()
        body = {"is_materialized": True, **({"bucket_overrides": overrides} if overrides else {})}
        changed = ask("PATCH", "/endpoints/e/", body)
        assert changed.status_code == 200, changed.text
        table = ask("POST", "/endpoints/e/run", {"variables": values}).json()
        assert table.get("endpoint_materialized") is True, table
        assert table["columns"] == inline["columns"]
        return inline["results"], table["results"]

    return answers


def test_rows_of_a_table_have_no_order(both) -> None:
    inline, table = both("select number from numbers(10) order by number")
    assert inline == NUMBERS
    assert table != NUMBERS
    assert sorted(table) == NUMBERS


def test_a_table_holds_every_row_and_a_read_without_limit_gives_100(both) -> None:
    inline, table = both("select number from numbers(300) order by number")
    assert (len(inline), len(table)) == (100, 100)
    assert max(table) > [99]


def test_the_limit_applies_before_the_variables(both) -> None:
    inline, table = both(
        "select number from numbers(10) where toString(number % 2) = {variables.odd} order by number limit 4", odd="1"
    )
    assert inline == [[1], [3], [5], [7]]
    assert sorted(table) == [[1], [3]]


@pytest.mark.parametrize(
    ("wrapper", "rows"), [("concat({variables.start}, '%')", []), ("lower({variables.start})", [["buy"]])]
)
def test_wrappers_with_more_than_one_argument_are_lost(both, wrapper: str, rows: list[Any]) -> None:
    value = "b" if "concat" in wrapper else "BUY"
    inline, table = both(f"select word from (select 'buy' as word) where word like {wrapper}", start=value)
    assert inline == [["buy"]]
    assert table == rows


def test_a_range_takes_whole_buckets_and_aggregates_them_again(both) -> None:
    sql = f"select count() as n, max(number), 'x' as fixed from {TIMES} where at > {{variables.since}} group by fixed"
    inline, table = both(sql, since="2026-01-01 12:00:00")
    assert inline == [[9, 11, "x"]]
    assert table == [[8, 11, "x"]], "`>` loses the bucket of its boundary"


def test_the_override_decides_the_bucket(both) -> None:
    sql = f"select count() as n from {TIMES} where at > {{variables.since}}"
    since = "2026-01-01 12:00:00"
    assert both(sql, {"at": "month"}, since=since) == ([[9]], [[0]])


def test_no_match_gives_a_row_of_zeros_where_all_columns_aggregate_again(both) -> None:
    sql = "select count() as n, sum(number) from numbers(3) where toString(number) = {variables.which}"
    assert both(sql, which="7") == ([[0, 0]], [[0, 0]])


def test_no_match_gives_no_row_where_a_column_cannot_aggregate_again(both) -> None:
    sql = "select count() as n, avg(number) from numbers(3) where toString(number) = {variables.which}"
    assert both(sql, which="7") == ([[0, None]], [])


def test_variables_of_a_group_filter_its_rows(both) -> None:
    third = "toString(number % 3)"
    sql = f"select {third} as third, count() from numbers(9) where {third} = {{variables.third}} group by third"
    assert both(sql, third="2") == ([["2", 3]], [["2", 3]])


def test_direct_answers_from_the_query(both, ask) -> None:
    both("select number from numbers(10) order by number")
    assert ask("POST", "/endpoints/e/run", {"refresh": "direct"}).json()["results"] == NUMBERS
