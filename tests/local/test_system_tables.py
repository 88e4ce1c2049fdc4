"""The tables of what users made: endpoints, their versions, and shared variables (docs/server.md#system-tables)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.access import AccessLevel
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.project_data import ProjectData
from endpoints_gitops.local.serve import RunningServer, running_server

ENDPOINTS, VERSIONS = "system.data_modeling_endpoints", "system.data_modeling_endpoint_versions"
Rows = Callable[[str], list[list[Any]]]


def node(sql: str) -> dict[str, Any]:
    return {"kind": "HogQLQuery", "query": sql}


@pytest.fixture
def rows(ask: Callable[..., httpx.Response]) -> Rows:
    def queried(sql: str) -> list[list[Any]]:
        answer = ask("POST", "query/", {"query": node(sql)})
        assert answer.status_code == 200, answer.text
        results: list[list[Any]] = answer.json()["results"]
        return results

    return queried


def test_endpoint_with_every_column(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    made = ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one"), "is_active": False}).json()
    ask("PATCH", "endpoints/e/", {"query": node("SELECT 2 AS two")})
    kept = ask("GET", "endpoints/e/").json()
    expected = [made["id"], "e", 0, 2, None, 1, made["created_at"], kept["updated_at"], None, 0]
    assert rows(f"SELECT * FROM {ENDPOINTS}") == [expected]


def test_versions_with_every_column(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one"), "data_freshness_seconds": 900})
    ask("PATCH", "endpoints/e/", {"query": node("SELECT 'x' AS two"), "description": "second"})
    ask("PATCH", "endpoints/e/?version=1", {"is_active": False})
    versions = ask("GET", "endpoints/e/versions/").json()["results"]
    (second, first), endpoint = versions, versions[0]["id"]
    columns = "id, endpoint_id, version, description, query.query, data_freshness_seconds, is_active, columns"
    assert rows(f"SELECT {columns} FROM {VERSIONS} ORDER BY version") == [
        [first["version_id"], endpoint, 1, "", "SELECT 1 AS one", 900, 0, '[{"name": "one", "type": "integer"}]'],
        [
            second["version_id"],
            endpoint,
            2,
            "second",
            "SELECT 'x' AS two",
            900,
            1,
            '[{"name": "two", "type": "string"}]',
        ],
    ]
    ((created,),) = rows(f"SELECT created_at FROM {VERSIONS} WHERE version = 2")
    assert created == second["version_created_at"].replace("+00:00", "Z")


def test_json_is_written_as_postgres_writes_it(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 'ü' AS one")})
    ((query,),) = rows(f"SELECT query FROM {VERSIONS}")
    assert query.startswith('{"kind": "HogQLQuery", "name": null, "tags": null, "query": "SELECT \'ü\' AS one", ')


def test_versions_of_a_deleted_endpoint_remain(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one")})
    ask("DELETE", "endpoints/e/")
    assert rows(f"SELECT name FROM {ENDPOINTS}") == []
    assert rows(f"SELECT version FROM {VERSIONS}") == [[1]]


def test_current_versions_by_a_join(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    for name in ("a", "b"):
        ask("POST", "endpoints/", {"name": name, "query": node(f"SELECT '{name}' AS x")})
    ask("PATCH", "endpoints/b/", {"query": node("SELECT 'c' AS x")})
    joined = f"{ENDPOINTS} AS e JOIN {VERSIONS} AS v ON v.endpoint_id = e.id AND v.version = e.current_version"
    assert rows(f"SELECT e.name, v.query.query FROM {joined} ORDER BY e.name") == [
        ["a", "SELECT 'a' AS x"],
        ["b", "SELECT 'c' AS x"],
    ]
    assert rows(f"SELECT system__data_modeling_endpoints.name FROM {ENDPOINTS} WHERE current_version = 2") == [["b"]]


def test_shared_variables(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    ask("POST", "insight_variables/", {"name": "My plan", "type": "List", "values": ["a", "b"], "default_value": "a"})
    ask("POST", "insight_variables/", {"name": "n", "type": "Number", "default_value": 5})
    assert rows("SELECT name, type, code_name, values, default_value FROM system.insight_variables ORDER BY name") == [
        ["My plan", "List", "my_plan", '["a", "b"]', '"a"'],
        ["n", "Number", "n", None, "5"],
    ]


def test_other_projects_are_not_seen(
    server: RunningServer, connect: Callable[..., httpx.Client], ask: Callable[..., httpx.Response], rows: Rows
) -> None:
    other = connect(server, project=server.add_project("Other"))
    other.post("endpoints/", json={"name": "theirs", "query": node("SELECT 1 AS one")})
    ask("POST", "endpoints/", {"name": "ours", "query": node("SELECT 1 AS one")})
    assert rows(f"SELECT name, team_id FROM {ENDPOINTS}") == [["ours", 1]]
    assert rows(f"SELECT team_id FROM {VERSIONS}") == [[1]]


def test_endpoint_reads_the_tables_as_they_are_at_each_run(ask: Callable[..., httpx.Response]) -> None:
    made = ask(
        "POST", "endpoints/", {"name": "a", "query": node(f"SELECT name, is_active FROM {ENDPOINTS} ORDER BY name")}
    )
    assert made.json()["columns"] == [{"name": "name", "type": "string"}, {"name": "is_active", "type": "integer"}]
    assert ask("POST", "endpoints/a/run/", {}).json()["results"] == [["a", 1]]
    ask("POST", "endpoints/", {"name": "b", "query": node("SELECT 1 AS one"), "is_active": False})
    assert ask("POST", "endpoints/a/run/", {}).json()["results"] == [["a", 1], ["b", 0]]


def test_last_run_is_seen(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one")})
    ask("POST", "endpoints/e/run/", {})
    executed = ask("GET", "endpoints/e/").json()["last_executed_at"]
    assert rows(f"SELECT last_executed_at FROM {ENDPOINTS}") == [[executed.replace("+00:00", "Z")]]


def test_unknown_system_table_is_refused_by_name(ask: Callable[..., httpx.Response]) -> None:
    answer = ask("POST", "query/", {"query": node("SELECT * FROM system.dashboards")})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Unknown table `system.dashboards`.")


def test_rows_are_not_in_the_sql_of_the_answer(ask: Callable[..., httpx.Response]) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one"), "description": "a text"})
    answer = ask("POST", "query/", {"query": node(f"SELECT description FROM {VERSIONS}")}).json()
    assert answer["results"] == [["a text"]]
    assert "a text" not in answer["clickhouse"]
    assert VERSIONS in answer["clickhouse"]


def test_sets_and_subqueries(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    for name in ("a", "b"):
        ask("POST", "endpoints/", {"name": name, "query": node("SELECT 1 AS one")})
    named = f"SELECT name FROM {ENDPOINTS} WHERE name = "
    assert sorted(rows(f"{named}'a' UNION ALL {named}'b'")) == [["a"], ["b"]]
    ids = f"SELECT endpoint_id FROM {VERSIONS} WHERE version = 1"
    assert rows(f"WITH x AS ({named}'b') SELECT name FROM x") == [["b"]]
    assert rows(f"SELECT count() FROM {ENDPOINTS} WHERE id IN ({ids})") == [[2]]


@pytest.mark.parametrize(
    "text", ["it's", "a\\", "`system.data_modeling_endpoints`", "line\nend", "日本 🦔", "{variables.x}"]
)
def test_any_text_is_a_value(ask: Callable[..., httpx.Response], rows: Rows, text: str) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": node("SELECT 1 AS one"), "description": text})
    assert rows(f"SELECT description FROM {VERSIONS}") == [[text]]


def test_access_control(server: RunningServer, ask: Callable[..., httpx.Response], rows: Rows) -> None:
    for name in ("a", "b"):
        ask("POST", "endpoints/", {"name": name, "query": node("SELECT 1 AS one")})
    server.set_access(AccessLevel.NONE, "a")
    assert rows(f"SELECT name FROM {ENDPOINTS}") == [["b"]]
    assert rows(f"SELECT count() FROM {VERSIONS}") == [[1]]
    server.set_access(AccessLevel.NONE)
    answer = ask("POST", "query/", {"query": node(f"SELECT name FROM {ENDPOINTS}")})
    assert (answer.status_code, answer.json()["code"]) == (400, "table_access_denied")
    assert rows("SELECT count() FROM system.insight_variables") == [[0]]
    told = ask("POST", "mcp_tools/execute_sql/", {"args": {"query": f"SELECT name FROM {ENDPOINTS}"}}).json()
    reason = f"Tool failed: MaxToolFatalError: You don't have access to table `{ENDPOINTS}`.."
    assert told == {"success": False, "content": reason, "error_type": "permission"}


def test_more_than_a_query_can_bring(ask: Callable[..., httpx.Response], rows: Rows) -> None:
    """The columns that a query does not name cost nothing; one that names too much is refused."""
    for name in ("a", "b", "c"):
        ask("POST", "endpoints/", {"name": name, "query": node("SELECT 1 AS one"), "description": "x" * 800_000})
    assert rows(f"SELECT sum(version) FROM {VERSIONS}") == [[3]]
    answer = ask("POST", "query/", {"query": node(f"SELECT description FROM {VERSIONS}")})
    assert (answer.status_code, answer.json()["code"]) == (400, "query_too_large")


def test_times_are_in_the_zone_of_the_project() -> None:
    with (
        Engine.open(project=ProjectData(timezone="Europe/Berlin")) as engine,
        running_server(engine=engine) as server,
        httpx.Client(headers={"Authorization": f"Bearer {server.key}"}, verify=False) as client,
    ):
        project = f"{server.url}/api/projects/1"
        made = client.post(f"{project}/endpoints/", json={"name": "e", "query": node("SELECT 1 AS one")}).json()
        asked = f"SELECT created_at, created_at > now() - INTERVAL 1 HOUR FROM {ENDPOINTS}"
        ((created, is_new),) = client.post(f"{project}/query/", json={"query": node(asked)}).json()["results"]
        assert datetime.fromisoformat(created) == datetime.fromisoformat(made["created_at"])
        assert (created[-6:] in {"+01:00", "+02:00"}, is_new) == (True, 1)
        assert client.get(f"{project}/").json()["timezone"] == "Europe/Berlin"
