"""The queries that the server refuses in every project, and queries that must not be reported as refused."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.refusals import refusals


def found(sql: str, **node: object) -> list[str]:
    said = refusals({"query": sql, **node})
    return [f"{one.offset} {one.message}{'' if one.is_certain else ' (uncertain)'}" for one in said]


REFUSED = [
    ("select cuont() from events", "7 HogQL has no function 'cuont'; did you mean 'count'?"),
    ("select toInt64(1)", "7 HogQL has no function 'toInt64'; did you mean 'toInt'?"),
    ("select toUInt8(1)", "7 HogQL has no function 'toUInt8'; did you mean 'toInt'?"),
    ("select tostring(1)", "7 HogQL has no function 'tostring'; did you mean 'toString'?"),
    ("select url('x')", "7 HogQL has no function 'url'"),
    ("select 1 from events where nonsense(event)", "27 HogQL has no function 'nonsense'"),
    ("select (select cuont() from events)", "15 HogQL has no function 'cuont'; did you mean 'count'?"),
    ("with q as (select cuont()) select 1 from q", "18 HogQL has no function 'cuont'; did you mean 'count'?"),
    ("select 'ü', cuont()", "12 HogQL has no function 'cuont'; did you mean 'count'?"),
    ("select sume(1) over ()", "7 HogQL has no function 'sume'; did you mean 'sum'?"),
    (
        "select arrayShuffle([1])",
        "7 HogQL has no function 'arrayShuffle'; ClickHouse has it, so a newer PostHog may allow it (uncertain)",
    ),
    ("select count(event, uuid) from events", "7 Aggregation 'count' expects at most 1 argument, found 2"),
    ("select dateDiff('day', now())", "7 Function 'dateDiff' expects 3 arguments, found 2"),
    ("select substring('abc', 1)", "7 Function 'substring' expects 3 arguments, found 2"),
    ("select quantile(1)", "7 Aggregation 'quantile' requires parameters in addition to arguments"),
    ("select quantile(1, 2)(1)", "7 Aggregation 'quantile' expects 1 parameter, found 2"),
    ("select json_agg(1, 2)", "7 Function 'json_agg' requires exactly 1 argument"),
    ("select percentile_cont(0.5)", "7 Aggregation 'percentile_cont' requires WITHIN GROUP"),
    (
        "select percentile_cont(0.5) within group (order by 1)",
        "7 Aggregation 'percentile_cont' with WITHIN GROUP is not supported in ClickHouse dialect",
    ),
    ("select lower(1)('x')", "7 Function 'lower' does not accept parameters"),
    ("select equals(1)", "7 Comparison 'equals' requires exactly two arguments"),
    ("select sum(count()) from events", "11 Aggregation 'count' cannot be nested inside another aggregation 'sum'."),
    (
        "select md5(toString(count())) from events",
        "20 Aggregation 'count' cannot be nested inside another aggregation 'md5'.",
    ),
    ("select to_timestamp(1, 2)", "7 Function 'to_timestamp' requires exactly 1 argument"),
    ("select try_cast(1 as int)", "7 TRY_CAST is not allowed in clickhouse dialect"),
    ("select 1::bigint", "7 Unsupported type cast to 'bigint'"),
    ("select [1][0]", "7 SQL indexes start from one, not from zero. E.g: array[1]"),
    ("select *", "7 Cannot use '*' when there are no tables in the query"),
    (
        "select * from events, persons",
        "7 Cannot use '*' without table name when there are multiple tables in the query",
    ),
    (
        "select 1 from events join events on 1 = 1",
        '26 Already have joined a table called "events". Can\'t redefine.',
    ),
    ("select 1 from events final", "14 The FINAL keyword is not supported in HogQL as it causes slow queries"),
    ("select 1 from events(1)", "14 Table 'events' does not accept arguments"),
    ("select 1 from numbers()", "14 Table function 'numbers' requires at least 1 argument"),
    ("select 1 from events qualify 1", "29 QUALIFY is not supported in the 'clickhouse' dialect"),
    ("select 1 from events where {filters}", "27 Unresolved placeholder: {filters}"),
    ("select {nothing}", "7 Unresolved placeholder: {nothing}"),
    ("select {variables}", "7 Unresolved placeholder: {variables}"),
]


@pytest.mark.parametrize(("sql", "expected"), REFUSED)
def test_a_refusal_names_its_place(sql: str, expected: str) -> None:
    assert found(sql) == [expected]


FILTERS = [
    ("select 1 from events where {filters}", []),
    ("select 1 from events where timestamp > {filters.dateRange.from}", []),
    ("select 1 from persons where {filters}", ["28 Cannot use 'filters' placeholder in a SELECT clause that does not"]),
    ("select 1 from events where {filters.other}", ["27 Unsupported filters placeholder `{filters.other}`."]),
]


@pytest.mark.parametrize(("sql", "expected"), FILTERS)
def test_filters_are_filled_in_where_the_query_has_some(sql: str, expected: list[str]) -> None:
    said = found(sql, filters={})
    assert len(said) == len(expected)
    assert all(one.startswith(start) for one, start in zip(said, expected, strict=True))


def test_values_of_the_node_fill_in_placeholders() -> None:
    assert found("select {day}", values={"day": "2026-01-01"}) == []


ACCEPTED = """
select COUNT(*), Sum(1), count(distinct event), countIf(1), IF(1, 2, 3), toInt('1'), _toInt64('1') from events
select event, count() * 100.0 / sum(count()) over () as share from events group by event
select arraySort(groupUniqArray(10)(event)), groupArray(1)(event)[1] from events
select rowNumberInAllBlocks(), arrayRotateRight([1], 1), string_agg(event, ', ') from events
select argMaxMerge(s) from (select argMaxState(event, timestamp) as s from events)
select number, ntile(2) over (order by number), percent_rank() over (order by number) from numbers(4)
select groupUniqArrayArray([event]), quantilesMerge(0.5)(s), uniqTheta(event), sumMapIf([1], [2], 1) from events
select sparkline([1]), convertCurrency('EUR', 'USD', 1), matchesAction('x'), h3ToGeo(1), hogFunctionOfLater::text from t
select {variables.x}, {variables['x']}, {1 + 1}, {variables.x + 1} from events
select e.*, p.* from events as e join persons as p on e.person_id = p.id
select 1 from events as a join events as b on a.uuid = b.uuid
select (select * from events limit 1), a[-1], (1, 2).1 from t
select number from numbers(1, 2)
select _anything(1), bitmapLater(1), geohashLater(1)
"""


@pytest.mark.parametrize("sql", ACCEPTED.strip().splitlines())
def test_what_posthog_runs_is_not_called_refused(sql: str) -> None:
    assert found(sql) == []
