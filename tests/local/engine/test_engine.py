"""Pages, descriptions, limits and what happens around queries: several engines, threads, failures in the middle."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.local.engine.embedded import CONNECTIONS, EmbeddedSession
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.session import MEMORY, ClickHouseSession

TEN = "SELECT number FROM numbers(10) ORDER BY number"


@pytest.mark.parametrize(
    ("hogql", "limit", "offset", "rows", "has_more"),
    [
        (TEN, 4, None, [0, 1, 2, 3], True),
        (TEN, 10, 0, range(10), False),
        (TEN, 11, 0, range(10), False),
        (TEN, 4, 8, [8, 9], False),
        (TEN, 4, 40, [], False),
        (f"{TEN} LIMIT 5", 4, 0, [0, 1, 2, 3], True),
        (f"{TEN} LIMIT 5", 4, 4, [4], False),
        (f"{TEN} LIMIT 5", 5, 0, range(5), False),
        (f"{TEN} LIMIT 5", 4, 5, [], False),
        (f"{TEN} LIMIT 5", 9, 0, range(5), False),
        (f"{TEN} LIMIT 0", 9, 0, [], False),
        (f"{TEN} LIMIT {{variables.n}}", 9, 0, [0, 1, 2], False),
        (f"{TEN} OFFSET 3", 2, 0, [3, 4], True),
        (f"{TEN} LIMIT 9 OFFSET 3", 2, 1, [1, 2], True),
        ("SELECT number FROM (SELECT 7 AS number UNION ALL SELECT 7)", 1, 0, [7], True),
    ],
)
def test_page(small: Engine, hogql: str, limit: int, offset: int | None, rows: Any, has_more: bool) -> None:
    answer = small.run(hogql, {"n": 3}, limit=limit, offset=offset)
    assert [row[0] for row in answer.results] == list(rows)
    assert answer.has_more is has_more


def test_page_of_a_set(small: Engine) -> None:
    with pytest.raises(QueryRefused, match="Pagination is not supported for UNION queries") as caught:
        small.run("SELECT 1 UNION ALL SELECT 2", {}, limit=1)
    assert caught.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("hogql", "count"),
    [
        ("SELECT number FROM numbers(200)", 100),
        ("SELECT number FROM numbers(200) LIMIT 150", 150),
        ("SELECT number FROM numbers(60000) LIMIT 60000", 50_000),
        ("SELECT number FROM numbers(60000) LIMIT 60000 + 1", 50_000),
        ("SELECT number FROM numbers(200) UNION ALL SELECT number FROM numbers(200)", 200),
        ("SELECT number FROM numbers(200) UNION ALL SELECT number FROM numbers(200) LIMIT 1", 101),
        ("(SELECT number FROM numbers(200)) UNION ALL (SELECT number FROM numbers(200)) LIMIT 150", 150),
        ("SELECT number FROM (SELECT number FROM numbers(300)) LIMIT 250", 250),
        ("WITH a AS (SELECT number FROM numbers(300)) SELECT number FROM a LIMIT 250", 250),
        ("SELECT number FROM (SELECT number FROM numbers(9) LIMIT 2)", 2),
    ],
)
def test_rows_without_a_page(small: Engine, hogql: str, count: int) -> None:
    answer = small.run(hogql, {})
    assert len(answer.results) == count
    assert answer.has_more is False


@pytest.mark.parametrize(
    ("hogql", "columns"),
    [
        (
            "SELECT event, count() AS n, avg(properties.n), max(timestamp), today() AS d FROM events GROUP BY 1",
            ["event string", "n integer", "avg(properties.n) float", "max(timestamp) datetime", "d date"],
        ),
        (
            "SELECT toBool(1) AS b, [1] AS a, (1, 2) AS t, map('a', 1) AS m, toDecimal(1, 2) AS x, NULL AS u",
            ["b boolean", "a array", "t json", "m json", "x decimal", "u unknown"],
        ),
        ("SELECT {variables.a} AS a, properties.n > {variables.b} AS b FROM events", ["a string", "b integer"]),
        ("SELECT uniqState(event) AS s, sumState(1) AS t FROM events", ["s string", "t integer"]),
        ("SELECT event FROM events LIMIT {variables.n}", []),
        ("SELECT 1 + event FROM events", []),
    ],
)
def test_description(small: Engine, hogql: str, columns: list[str]) -> None:
    """With '' for each variable; what ClickHouse alone refuses has no columns."""
    described = small.describe({"kind": "HogQLQuery", "query": hogql})
    assert [f"{each.name} {each.type}" for each in described] == columns


def test_description_refuses_what_cannot_be_resolved(small: Engine) -> None:
    with pytest.raises(QueryRefused, match="Unable to resolve field: nope"):
        small.describe({"query": "SELECT nope FROM events"})


@given(
    value=st.text(st.characters(exclude_categories=("Cs",)))
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none()
    | st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1)
)
@settings(max_examples=300, deadline=None)
def test_values_come_back_as_they_were(small: Engine, value: Any) -> None:
    ((got,),) = small.run("SELECT {variables.x} AS x", {"x": value}).results
    assert got == value
    assert type(got) is type(value) or (isinstance(value, float) and math.isclose(got, value))


@pytest.mark.parametrize(
    "hogql",
    [
        "SELECT intDiv(1, number - 1) FROM numbers(3)",
        "SELECT number, intDiv(1, number - 30000) FROM numbers(40000) LIMIT 50000",
        "SELECT toString(number)::date FROM numbers(1)",
    ],
)
def test_a_failure_leaves_nothing_behind(small: Engine, hogql: str) -> None:
    """ClickHouse keeps what it wrote before it failed; the next answer is not to begin with it."""
    with pytest.raises(QueryRefused):
        small.run(hogql, {})
    assert small.run("SELECT 1 AS one", {}).results == [[1]]


@pytest.mark.parametrize(
    "hogql",
    [
        f"SELECT {'(' * 900}1{')' * 900}",
        f"SELECT {'lower(' * 900}'a'{')' * 900}",
        f"SELECT {'-' * 900}number FROM numbers(1)",
        f"SELECT * FROM {'(SELECT * FROM ' * 300}numbers(1){')' * 300}",
        f"SELECT {' + '.join(['number'] * 600)} FROM numbers(1)",
        f"SELECT {'[' * 600}1{']' * 600}",
        f"SELECT '{'x' * 100_000}' = 'x'",
    ],
    ids=["brackets", "calls", "minus", "subqueries", "sum", "arrays", "long"],
)
def test_deep_or_long_queries_end(small: Engine, hogql: str) -> None:
    with suppress(QueryRefused):
        small.run(hogql, {})
    assert small.run("SELECT 1 AS one", {}).results == [[1]]


def test_a_query_that_doubles_with_every_step_is_refused(small: Engine) -> None:
    ctes = ", ".join(f"a{n} AS (SELECT x.n FROM a{n - 1} x CROSS JOIN a{n - 1} y)" for n in range(1, 40))
    with pytest.raises(QueryRefused) as caught:
        small.run(f"WITH a0 AS (SELECT 1 AS n), {ctes} SELECT count() FROM a39", {})
    assert caught.value.code == "query_too_large"


def test_time_is_bounded(open_session: Callable[[int], ClickHouseSession]) -> None:
    with open_session(1) as session:
        session.restrict()
        with pytest.raises(QueryRefused) as caught:
            session.ask("SELECT count() FROM numbers(10000000000000) WHERE cityHash64(number) = 1")
    assert (caught.value.code, caught.value.type) == ("query_timeout", "server_error")


@pytest.mark.slow
def test_a_query_that_clickhouse_does_not_end_is_ended(open_session: Callable[[int], ClickHouseSession]) -> None:
    """One call of a function on one long text: ClickHouse looks at the time after it."""
    with open_session(1) as session:
        session.restrict()
        started = time.monotonic()
        with pytest.raises(QueryRefused) as caught:
            session.ask("SELECT replaceRegexpAll(repeat('a', 400000), '(a?){500}', 'b')")
        assert caught.value.code == "query_timeout"
        assert time.monotonic() - started < 12
        assert session.ask("SELECT 1 AS one").rows == [[1]]


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
def test_memory_of_loading_is_given_back() -> None:
    """In a process of its own, as others use the same ClickHouse."""
    program = (
        "import re; from endpoints_gitops.local.engine.embedded import EmbeddedSession\n"
        "def megabytes(): return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024\n"
        "session = EmbeddedSession(); session.execute('SELECT 1'); before = megabytes()\n"
        "session.execute('SELECT length(groupArray(toString(number))) FROM numbers(4000000)')  # takes 180 MB\n"
        "session.restrict(); print(megabytes() - before)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(ended.stdout) < 60


def test_a_query_does_not_wait_for_a_slow_one() -> None:
    slow = "SELECT count() FROM numbers(10000000000000) WHERE cityHash64(number) = 1"
    with EmbeddedSession(seconds=1) as session, ThreadPoolExecutor(CONNECTIONS - 1) as threads:
        session.restrict()
        waiting = [threads.submit(session.ask, slow) for _ in range(CONNECTIONS - 1)]
        assert session.ask("SELECT 1 AS one").rows == [[1]]
        assert not any(one.done() for one in waiting)
        refusals = [one.exception() for one in waiting]
    assert {refusal.code for refusal in refusals if isinstance(refusal, QueryRefused)} == {"query_timeout"}
    assert len(refusals) == CONNECTIONS - 1


def test_more_queries_than_connections_wait() -> None:
    with EmbeddedSession() as session, ThreadPoolExecutor(3 * CONNECTIONS) as threads:
        answers = threads.map(lambda n: session.ask(f"SELECT {n}, sleep(0.05)").rows, range(3 * CONNECTIONS))
        assert list(answers) == [[[n, 0]] for n in range(3 * CONNECTIONS)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO one VALUES (2)",
        "DROP TABLE one",
        "CREATE TABLE two (a Int8) ENGINE = Memory",
        "SET readonly = 0",
        "SELECT a FROM one SETTINGS max_execution_time = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
    ],
)
def test_statements_of_users_only_read_the_tables(open_session: Callable[[int], ClickHouseSession], sql: str) -> None:
    """What the translation never prints would be refused by ClickHouse too."""
    with open_session(10) as session:
        session.create_table("one", ["a Int8"], "a")
        session.insert("one", '{"a": 1}')
        session.restrict()
        with pytest.raises(QueryRefused) as caught:
            session.execute(sql)
        assert caught.value.code == "readonly"
        assert session.ask("SELECT a FROM one").rows == [[1]]


def test_the_limits_of_queries_of_users(open_session: Callable[[int], ClickHouseSession]) -> None:
    names = ("readonly", "max_execution_time", "max_memory_usage", "transform_null_in", "join_use_nulls")
    asked = f"SELECT {', '.join(f'getSetting({name!r})' for name in names)}"
    with open_session(7) as session:
        assert session.ask(asked).rows[0][:2] == [0, 0]
        session.restrict()
        assert session.ask(asked).rows == [[1, 7, MEMORY, True, False]]


OTHERS = """
SELECT * FROM system.tables
SELECT * FROM `system.tables`
SELECT * FROM system.one AS events
SELECT name FROM information_schema.tables
SELECT * FROM `system`.`tables`
SELECT * FROM `events` JOIN system.one ON 1 = 1
SELECT * FROM `events` AS `e` FINAL
SELECT count() FROM events WHERE event IN system.one
SELECT count() FROM events WHERE event IN (SELECT name FROM system.databases)
SELECT (SELECT count() FROM system.tables)
WITH a AS (SELECT * FROM system.tables) SELECT * FROM a
SELECT 1 UNION ALL SELECT count() FROM system.tables
SELECT * FROM file('/etc/passwd')
SELECT * FROM url('http://127.0.0.1:1/', 'CSV')
SELECT * FROM s3('http://127.0.0.1:1/a/b')
SELECT * FROM remote('127.0.0.1', system.one)
SELECT * FROM cluster('default', system.one)
SELECT * FROM merge('system', '.*')
SELECT * FROM executable('cat', 'TSV', 'a String')
SELECT file('/etc/passwd')
SELECT joinGet('system.one', 'dummy', 1)
SELECT hasColumnInTable('system', 'one', 'dummy')
SELECT getSetting('max_threads')
SELECT currentDatabase()
SELECT hostName()
SELECT initializeAggregation('count')
SELECT 1 SETTINGS readonly = 0
SELECT 1 FORMAT Native
SELECT 1 INTO OUTFILE 'x'
SELECT 1; DROP TABLE events
INSERT INTO events (event) VALUES ('x')
DROP TABLE events
""".strip().splitlines()


@pytest.mark.parametrize("hogql", OTHERS)
def test_queries_reach_nothing_but_the_tables(small: Engine, hogql: str) -> None:
    """They are refused before ClickHouse sees them: these are refusals of the parser or of the translation."""
    with pytest.raises(QueryRefused) as caught:
        small.run(hogql, {})
    assert caught.value.code in {"hogql_syntax_error", "hogql_error", "hogql_query_error", "invalid_input"}
    assert "readonly" not in caught.value.message


@pytest.mark.parametrize("name", ["a` FROM system.one --", "a\\", "a\\` ", "`", "a\n`", "system.one"])
def test_names_stay_names(small: Engine, name: str) -> None:
    quoted = "`" + name.replace("\\", "\\\\").replace("`", "``") + "`"
    answer = small.run(f"SELECT x.{quoted} FROM (SELECT 1 AS {quoted}) AS x", {})
    assert (answer.columns, answer.results) == ((name,), [[1]])


def test_engines_share_nothing() -> None:
    with Engine.open() as one, Engine.open(sample=True) as two:
        assert one.run("SELECT count() FROM events", {}).results == [[0]]
        assert two.run("SELECT count() > 0 FROM events", {}).results == [[1]]
        one.close()
        assert two.run("SELECT 1", {}).results == [[1]]
        with pytest.raises(QueryRefused, match="closed"):
            one.run("SELECT 1", {})


def test_many_threads(small: Engine) -> None:
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for _ in range(20):
            got = small.run("SELECT {variables.n} AS n", {"n": number}).results
            if got != [[number]]:
                wrong.append((number, got))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_expression_in_a_placeholder_does_not_prevent_a_description(small: Engine) -> None:
    node = {"query": "select event as e from events where length(event) = {variables.n + 1}"}
    assert [column.name for column in small.describe(node)] in (["e"], [])
    assert small.run(node["query"], {"n": 2}).results == small.run(node["query"], {"n": 2.0}).results
