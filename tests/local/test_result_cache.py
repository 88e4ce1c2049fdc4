"""The cache of results, beyond the rows of `tests/facts/details.yaml` that are about it (docs/local-server.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.access import AccessLevel
from endpoints_gitops.local.engine.interface import EngineRows, QueryEngine
from endpoints_gitops.local.engine.project_data import ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.result_cache import ResultCache
from endpoints_gitops.local.serve import running_server

START = datetime(2026, 3, 1, tzinfo=UTC)
OF_EACH_RUN = ("is_cached", "execution_id")


class CountingEngine:
    """Counts the queries that another engine runs; refuses those of `refused`."""

    def __init__(self, engine: QueryEngine) -> None:
        self._engine = engine
        self.queries: list[str] = []
        self.refused = 0

    @property
    def project(self) -> ProjectData:
        return self._engine.project

    def describe(self, query_node: Mapping[str, Any]) -> Any:
        return self._engine.describe(query_node)

    def run(
        self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None, **more: Any
    ) -> EngineRows:
        self.queries.append(sql)
        if self.refused:
            self.refused -= 1
            raise QueryRefused("This query exceeded the execution time limit", "query_timeout")
        return self._engine.run(sql, values, limit=limit, offset=offset, **more)

    def close(self) -> None:
        self._engine.close()


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def counted(engine: QueryEngine) -> CountingEngine:
    return CountingEngine(engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(counted: CountingEngine, clock: Clock, connect: Callable[..., httpx.Client]) -> Iterator[httpx.Client]:
    with running_server(engine=counted, clock=clock) as running:
        yield connect(running)


def _create(client: httpx.Client, sql: str, name: str = "e", **settings: Any) -> None:
    query = {"kind": "HogQLQuery", "query": sql}
    answer = client.post("endpoints/", json={"name": name, "query": query} | settings)
    assert answer.status_code == 201, answer.text


def _variable(client: httpx.Client, name: str, default: Any, kind: str = "String") -> str:
    answer = client.post("insight_variables/", json={"name": name, "type": kind, "default_value": default})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _run(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("endpoints/e/run", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_cached_answer_runs_no_query_and_is_the_computed_one(client, counted):
    _create(client, "SELECT 'é' AS name, toDateTime('2026-01-02 03:04:05') AS at, [1.5, 2] AS list, NULL AS nothing")
    computed = client.post("endpoints/e/run", json={}).json()
    queries = len(counted.queries)
    cached = client.post("endpoints/e/run", json={}).json()
    assert len(counted.queries) == queries > 0
    assert (computed["is_cached"], cached["is_cached"]) == (False, True)
    assert list(cached) == list(computed)
    assert {k: v for k, v in cached.items() if k not in OF_EACH_RUN} == {
        k: v for k, v in computed.items() if k not in OF_EACH_RUN
    }
    assert cached["execution_id"] != computed["execution_id"]


def test_values_of_different_types_are_different_results(client):
    _variable(client, "x", "0")
    _create(client, "SELECT toTypeName({variables.x}) AS type")
    values = [1, 1.0, True, "1", [1], ["1"], "true", None, 2]
    expected = [_run(client, variables={"x": value}, refresh="force")["results"] for value in values]
    for value, results in zip(values, expected, strict=True):
        answer = _run(client, variables={"x": value})
        assert (answer["results"], answer["is_cached"]) == (results, True)
    kinds = {str(results) for results in expected}
    assert {"[['UInt8']]", "[['String']]", "[['Array(UInt8)']]"} <= kinds


def test_a_deleted_variable_is_refused_though_a_result_is_kept(client):
    variable = _variable(client, "word", "a")
    _create(client, "SELECT {variables.word} AS word")
    assert [_run(client)["is_cached"] for _ in range(2)] == [False, True]
    assert client.delete(f"insight_variables/{variable}/").status_code == 204
    answer = client.post("endpoints/e/run", json={})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Variable word does not exist")


def test_a_refusal_is_not_kept(client, counted):
    _create(client, "SELECT 1 AS one")
    counted.refused = 2
    answers = [client.post("endpoints/e/run", json={}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 200, 200]
    assert [answer.json()["is_cached"] for answer in answers[2:]] == [False, True]


def test_a_refusal_of_a_forced_run_leaves_the_result(client, counted):
    _create(client, "SELECT 1 AS one")
    first = _run(client)
    counted.refused = 1
    assert client.post("endpoints/e/run", json={"refresh": "force"}).status_code == 400
    assert _run(client)["last_refresh"] == first["last_refresh"]


def test_the_freshness_of_the_version_ends_it_to_the_second(client, clock):
    _create(client, "SELECT 1 AS one", data_freshness_seconds=900)
    first = _run(client)
    assert (first["last_refresh"], first["cache_target_age"]) == ("2026-03-01T00:00:00Z", "2026-03-01T00:15:00Z")
    assert first["next_allowed_client_refresh"] == "2026-03-01T00:01:00Z"
    clock.now = START + timedelta(seconds=899)
    kept = _run(client)
    assert (kept["is_cached"], kept["cache_target_age"]) == (True, "2026-03-01T00:15:00Z")
    clock.now = START + timedelta(seconds=900)
    again = _run(client)
    assert (again["is_cached"], again["last_refresh"]) == (False, "2026-03-01T00:15:00Z")


def test_a_result_of_the_future_is_not_fresh(client, clock):
    _create(client, "SELECT 1 AS one")
    _run(client)
    clock.now = START - timedelta(seconds=1)
    assert _run(client)["is_cached"] is False


def test_a_read_from_a_table_is_cached_until_the_build_that_follows(client, clock):
    _create(client, "SELECT 1 AS one", is_materialized=True, data_freshness_seconds=3600)
    client.get("endpoints/e/")
    clock.now = START + timedelta(seconds=1800)
    first = _run(client)
    assert (first["endpoint_materialized_at"], first["is_cached"]) == ("2026-03-01T00:00:00+00:00", False)
    assert first["cache_target_age"] == "2026-03-01T01:00:00Z", "the freshness counts from the build"
    clock.now = START + timedelta(seconds=3599)
    assert _run(client)["is_cached"] is True
    clock.now = START + timedelta(seconds=3601)
    rebuilt = _run(client)
    assert (rebuilt["endpoint_materialized_at"], rebuilt["is_cached"]) == ("2026-03-01T01:00:00+00:00", False)
    assert rebuilt["cache_target_age"] == "2026-03-01T02:00:00Z"


def test_a_table_that_is_built_anew_has_no_result_of_the_old_one(client, clock):
    _variable(client, "since", "2026-01-01")
    moments = "SELECT toDateTime('2026-01-01 10:00:00') AS at"
    _create(client, f"SELECT count() AS n FROM ({moments}) WHERE at >= {{variables.since}}", is_materialized=True)
    client.get("endpoints/e/")
    since = {"since": "2026-01-01 11:00:00"}
    assert _run(client, variables=since)["results"] == [[1]], "by day"
    clock.now = START + timedelta(minutes=1)
    assert client.patch("endpoints/e/", json={"bucket_overrides": {"at": "hour"}}).status_code == 200
    client.get("endpoints/e/")
    answer = _run(client, variables=since)
    assert (answer["is_cached"], answer["results"], answer["endpoint_materialized"]) == (False, [[0]], True)


def test_a_query_without_an_endpoint_is_always_computed(client, counted):
    body = {"query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}}
    answers = [client.post("query/", json=body).json() for _ in range(2)]
    assert [answer["is_cached"] for answer in answers] == [False, False]
    assert len(counted.queries) == 2


def test_a_query_of_system_tables_is_always_computed(engine: QueryEngine, connect: Callable[..., httpx.Client]):
    with running_server(engine=engine) as running:
        client = connect(running)
        _create(client, "SELECT name FROM system.data_modeling_endpoints ORDER BY name")
        names = [_run(client)["results"]]
        _create(client, "SELECT 1 AS one", "f")
        names.append(_run(client)["results"])
        running.set_access(AccessLevel.NONE, "f")
        answer = _run(client)
        assert [*names, answer["results"]] == [[["e"]], [["e"], ["f"]], [["e"]]]
        assert answer["is_cached"] is False


def test_equal_endpoints_have_results_of_their_own(client):
    for name in ("e", "f"):
        _create(client, "SELECT 1 AS one", name)
    _run(client)
    assert client.post("endpoints/f/run", json={}).json()["is_cached"] is False


def test_a_server_with_other_data_starts_without_results(tmp_path: Path, connect: Callable[..., httpx.Client]):
    data = tmp_path / "orders.csv"
    rows = {}
    for amount in (1, 2):
        data.write_text(f"amount\n{amount}\n")
        with running_server(state=tmp_path / "state", data=[data]) as running:
            client = connect(running)
            if amount == 1:
                _create(client, "SELECT amount FROM orders")
            rows[amount] = [(answer["results"], answer["is_cached"]) for answer in (_run(client), _run(client))]
    assert rows == {1: [([[1]], False), ([[1]], True)], 2: [([[2]], False), ([[2]], True)]}


def test_an_example_is_read_at_each_run(engine: QueryEngine, tmp_path: Path, connect: Callable[..., httpx.Client]):
    node = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "$pageview"}], "samplingFactor": 0.1}
    definition = (
        "name: e\nquery_definition:\n  kind: TrendsQuery\n  series:\n    - kind: EventsNode\n      event: $pageview\n"
        "  samplingFactor: 0.1\nexamples:\n  - rows:\n      - {label: all, count: 3}\n"
    )
    with running_server(engine=engine, definitions=tmp_path) as running:
        client = connect(running)
        assert client.post("endpoints/", json={"name": "e", "query": node}).status_code == 201
        for count in (3, 4):
            (tmp_path / "e.yaml").write_text(definition.replace("count: 3", f"count: {count}"))
            answer = _run(client)
            assert (answer["results"], answer["is_cached"]) == ([{"label": "all", "count": count}], False)


def test_concurrent_runs_get_their_own_results(client, counted):
    _variable(client, "x", 0, "Number")
    _create(client, "SELECT {variables.x} AS x")
    values = [number % 7 for number in range(140)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda value: _run(client, variables={"x": value}), values))
    assert [answer["results"] for answer in answers] == [[[value]] for value in values]
    hits = sum(answer["is_cached"] for answer in answers)
    assert hits == len(values) - len(counted.queries)
    assert hits > len(values) / 2


def test_a_cache_is_bounded_by_results_and_keeps_those_that_are_read():
    cache = ResultCache(most_results=2)
    for key in "ab":
        cache.put(key, {"n": key}, START)
    assert cache.get("a") is not None
    cache.put("c", {"n": "c"}, START)
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]


def test_a_cache_is_bounded_by_bytes():
    cache = ResultCache(most_bytes=30)
    for key in "abc":
        cache.put(key, {"n": "123456"}, START)  # 14 bytes
    assert [cache.get(key) is not None for key in "abc"] == [False, True, True]
    cache.put("c", {"n": "1" * 30}, START + timedelta(seconds=1))
    assert cache.get("c") is None, "what is too large to be kept still replaces what is older"
    cache.put("d", {"n": "123456"}, START)
    assert [cache.get(key) is not None for key in "bd"] == [True, True], "its bytes are free again"


def test_a_result_of_an_earlier_run_does_not_replace_a_later_one():
    cache = ResultCache()
    for minute, number in ((5, 1), (3, 2), (6, 3)):
        cache.put("a", {"n": number}, START + timedelta(minutes=minute))
        kept = cache.get("a")
        assert kept is not None
        assert kept.content == {"n": 3 if number == 3 else 1}


def test_a_cached_result_cannot_be_changed_by_its_reader():
    cache = ResultCache()
    content: dict[str, Any] = {"results": [[1]]}
    cache.put("a", content, START)
    content["results"].append([2])
    kept = cache.get("a")
    assert kept is not None
    kept.content["results"].clear()
    assert kept.content == {"results": [[1]]}
