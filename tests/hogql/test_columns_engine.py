"""Names, types and nullability that are claimed to be known are those that the local engine answers with.

The engine runs real ClickHouse, so it confirms every claim of `known`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.hogql.columns import output
from endpoints_gitops.local.engine.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as opened:
        yield opened


OF_ROWS = (
    (
        "event, e.event, uuid, person_id, distinct_id, properties, timestamp, created_at, elements_chain_texts, "
        "$session_id"
    ),
    (
        "properties.a, properties.a.b, properties['x'], properties['x y'], person.properties.email, person.id, "
        "pdi.person_id"
    ),
    "person.created_at, group_0.properties.name, group_0.key, session.$session_duration, session.$start_timestamp",
    "1, 1.5, 'a', 'it''s', true, null, -1, 1 + 2, 1 - 2, 1 * 2.5, 1 / 2, 7 % 2, -timestamp::int",
    "event = 'b', event != 'b', 1 < 2, event like 'b', event ilike 'b', event not like 'b', event =~ 'b', event !~ 'b'",
    "event =~* 'b', event in ('a', 'b'), event in ('a'), event not in ('a'), event is null, properties.a = 'x'",
    "1 and 0, 1 or 0, not 1, 1 between 1 and 2, properties.a is not null and 1, nullIf(1, 2) and 1",
    "1 ? 2 : 3, event ?? 'b', event || properties.a, case when 1 then 2 end, case when 1 then 2 when 3 then 4.5 end",
    (
        "toDate(timestamp), toDate('2024-01-01'), toDate(timestamp) + 1, toDate(timestamp) + interval 1 hour, "
        "today(), now()"
    ),
    (
        "timestamp - timestamp, timestamp - interval 1 day, now() - toIntervalMonth(1), toDateTime('2024-01-01'), "
        "yesterday()"
    ),
    "toStartOfDay(timestamp), toStartOfHour(timestamp), toStartOfWeek(timestamp), toStartOfMonth(timestamp)",
    "toMonday(timestamp), toStartOfYear(timestamp), dateTrunc('day', timestamp), dateTrunc('month', timestamp)",
    "toStartOfInterval(timestamp, interval 5 minute), dateDiff('day', timestamp, now()), toUnixTimestamp(timestamp)",
    "toYear(timestamp), toYYYYMM(timestamp), toHour(timestamp), formatDateTime(timestamp, '%Y'), addDays(timestamp, 1)",
    "dateAdd('day', 1, timestamp), addHours(toDate(timestamp), 1), toTimeZone(timestamp, 'Asia/Tokyo')",
    "toInt('1'), toFloat('1'), toString(1), toBool(1), toBool(1) and 1, toUUID('x'), toDecimal(1, 2), toIntOrZero('1')",
    "'1'::int, '1.5'::float, 1::text, '2024-01-01'::date, toInt(properties.a), toFloat(properties.a) * 2",
    "coalesce(properties.a, 'b'), ifNull(properties.a, 'b'), if(1, properties.a, 'b'), multiIf(1, properties.a, 'b')",
    "coalesce(nullIf(event, 'a'), 'b'), coalesce(nullIf(event, 'a'), nullIf('b', 'c')), ifNull(nullIf(1, 2), 3)",
    (
        "lower(event), upper(properties.a), length(event), substring(event, 1, 2), replaceAll(event, 'a', 'b'), "
        "trim(event)"
    ),
    "map(event, 1), map('a', nullIf(1, 2)), map('a', [event]), (map('a', 1.5), 2)",
    "[map('a', 1)], if(1, map('a', 1), map('b', 2)), multiIf(1, map('a', 'b'), map('c', 'd')), map('a', map('b', 1))",
    "splitByChar(',', event), [1, 2], [1, 2][1], ['a', 'b'][1], (1, 'a'), [], {'a': 1}, (1, 2).1",
    "arrayMap(x -> x + 1, [1]), arrayFilter(x -> x > 1, [1, 2]), arraySum([1, 2]), arrayFirst(x -> x = 1, [1, 2])",
    "arrayJoin(['a']), arrayStringConcat(['a'], ','), arraySort([2, 1]), has([1], 1), arrayDistinct([1]), range(3)",
    "JSONExtractString(properties, 'a'), JSONExtractInt(properties, 'a'), domain(event), cutQueryString(event)",
    "greatest(1, 2), least(1, 2.5), round(1.5), floor(1), abs(-1), sqrt(4), intDiv(5, 2), rand(), cityHash64(event)",
    "if(1, event, null), multiIf(1, 1, 2, 2.5, 3), if(1, timestamp, now()), isNull(event), assumeNotNull(nullIf(1, 2))",
    "row_number() over (order by event), sum(1) over (partition by event), lagInFrame(event) over (order by timestamp)",
)
OF_GROUPS = (
    "count(), count(*), COUNT(event), count(distinct event), uniq(person_id), uniqExact(event), countIf(event = 'a')",
    "sum(1), sum(1.5), sum(toFloat(properties.a)), sum(toInt(properties.a)), avg(1), avg(toFloat(properties.a))",
    (
        "min(timestamp), max(event), max(toDate(timestamp)), any(event), argMax(event, timestamp), "
        "anyLast(nullIf(event, 'a'))"
    ),
    "quantile(0.5)(1), median(toFloat(properties.a)), quantiles(0.5, 0.9)(1), groupArray(event), groupUniqArray(1)",
    "sumIf(1, event = 'a'), avgIf(toFloat(properties.a), event = 'b'), minOrNull(1), topK(3)(event), stddevPop(1)",
    "count() / 2, round(avg(1), 2), max(timestamp) - min(timestamp), sum(1) + count(), if(count() > 1, 'a', 'b')",
    "toDate(max(timestamp)), dateDiff('day', min(timestamp), max(timestamp)), uniqIf(event, 1), countDistinct(event)",
)
QUERIES = (
    *(f"select {items} from events as e" for items in OF_ROWS),
    *(f"select {items} from events" for items in OF_GROUPS),
    "select a, b + 1 as c from (select event as a, count() as b from events group by event)",
    "with q as (select now() as t, 1 as n) select q.t, n, toDate(t) as d, * from q",
    "with q(x) as (select 1.5) select x from q",
    "with 5 as n select n, n * 1.5 as m",
    "select e.event, p.created_at, p.id, p.properties from events e left join persons p on e.person_id = p.id",
    "select 1 as x union all select 2.5",
    "select 1 as x, 'a' union all select null, 'b'",
    "select it, length(it) from events array join elements_chain_texts as it",
    "select * from (select 1 as a, nullIf(1, 2) as b, event from events)",
    "select number, number + 1 from numbers(5)",
    "select p.a.b from (select properties as p from events)",
    "select toDate(timestamp) as d, d + 1 as next, d from events",
    "select * from groups",
    "select id, created_at, properties from persons",
    "select session_id, $start_timestamp, $session_duration, $entry_current_url, $pageview_count from sessions",
    "select distinct_id, person_id, person.properties.a.b from person_distinct_ids",
    "select event, count() as n from events group by event having n > 1 order by n desc limit 5",
)


@pytest.mark.parametrize("sql", QUERIES)
def test_what_is_known_is_what_the_engine_answers(engine: Engine, sql: str) -> None:
    found, answer = output(sql), engine.run(sql, {})
    assert found.complete
    assert [column.name for column in found.columns] == list(answer.columns)
    for column, (name, clickhouse) in zip(found.columns, answer.types, strict=True):
        if column.type != "unknown":
            assert (name, column.type) == (name, type_word(clickhouse))
        if column.nullable is not None and "Nothing" not in clickhouse:
            assert (name, column.nullable) == (name, clickhouse.startswith("Nullable"))


def test_most_of_it_is_known() -> None:
    columns = [column for sql in QUERIES for column in output(sql).columns]
    assert sum(column.known for column in columns) / len(columns) > 0.9
