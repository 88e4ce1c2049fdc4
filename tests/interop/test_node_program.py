"""PostHog's Node program (`@posthog/cli`) on the local server: every tool for endpoints, SQL variables and SQL."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer
from tests.interop.programs import node_file, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # each call takes Node one to five seconds
SQL = "SELECT event, count() AS n FROM events WHERE event = {variables.event_name} GROUP BY event"
NODE = {"kind": "HogQLQuery", "query": SQL}
VARIABLE = {"name": "event_name", "type": "String", "default_value": "$pageview"}
OF_ENDPOINTS = """
endpoint-create endpoint-delete endpoint-get endpoint-logs endpoint-materialization-status endpoint-openapi-spec
endpoint-run endpoint-update endpoint-versions endpoints-get-all endpoints-last-execution-times
endpoints-materialization-preview
"""
OF_SQL = "execute-sql sql-variables-create sql-variables-delete sql-variables-update"

type Run = Callable[..., subprocess.CompletedProcess[str]]
type Call = Callable[..., Any]


@pytest.fixture
def run(server: RunningServer) -> Run:
    file = node_file("@posthog/cli/lib/posthog-api-cli.mjs")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTHOG_")}
    environment = {
        "POSTHOG_CLI_HOST": server.url,
        "POSTHOG_CLI_API_KEY": server.key,
        "POSTHOG_CLI_PROJECT_ID": str(server.project_id),
    }

    def started(*words: str) -> subprocess.CompletedProcess[str]:
        command = [program("node"), file, *words]
        return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False, timeout=120)

    return started


@pytest.fixture
def call(run: Run, server: RunningServer) -> Iterator[Call]:
    """One tool with its arguments. No request of the test is refused, on the way either."""

    def called(tool: str, *options: str, **arguments: Any) -> Any:
        ran = run("call", "--json", *options, tool, json.dumps(arguments))
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    yield called
    entries = server.requests.entries()
    assert [entry for entry in entries if entry.status is None or entry.status >= 400] == []
    asked = {entry.path for entry in entries}
    assert {"/api/personal_api_keys/@current", "/api/users/@me/", "/api/projects/1/"} <= asked


def test_tools_are_those_that_the_tests_call(run: Run) -> None:
    """A new version of the program with another tool fails here."""
    names = json.loads(run("tools").stdout)
    ours = {name for name in names if "endpoint" in name.split("-")[0] or "sql" in name.split("-")}
    assert ours == set(f"{OF_ENDPOINTS} {OF_SQL}".split())


@pytest.fixture
def daily(server: RunningServer) -> None:
    """An endpoint with a variable."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=f"{server.url}/api/projects/1/", headers=headers, verify=False) as client:
        client.post("insight_variables/", json=VARIABLE).raise_for_status()
        client.post("endpoints/", json={"name": "daily", "query": NODE}).raise_for_status()


def test_endpoint_is_created_read_and_deleted(call: Call) -> None:
    variable = call("sql-variables-create", **VARIABLE)
    made = call("endpoint-create", name="daily", query=NODE, description="By event", tags=["a"])
    assert (made["current_version"], made["columns"][1]) == (1, {"name": "n", "type": "integer"})
    assert list(made["query"]["variables"]) == [variable["id"]]
    assert call("endpoint-get", name="daily") == made
    assert call("endpoints-get-all")["results"] == [made]
    assert call("endpoint-delete", "--confirm", name="daily") == {"success": True}
    assert call("endpoints-get-all")["results"] == []


@pytest.mark.usefixtures("daily")
def test_endpoint_is_run_and_changed(call: Call) -> None:
    answer = call("endpoint-run", name="daily", variables={"event_name": "$pageview"}, limit=5)
    ((event, count),) = answer["results"]
    assert (event, answer["endpoint_version"], answer["hasMore"]) == ("$pageview", 1, False)
    assert count > 0
    ((name, executed),) = call("endpoints-last-execution-times", names=["daily"])["query_status"]["results"]
    assert (name, executed) == ("daily", call("endpoint-get", name="daily")["last_executed_at"])
    (entry,) = call("endpoint-logs", name="daily", limit=10)["results"]
    assert (entry["level"], entry["instance_id"]) == ("INFO", answer["execution_id"])

    changed = call("endpoint-update", name="daily", query={**NODE, "query": f"{SQL} LIMIT 3"}, tags=["a"])
    assert (changed["current_version"], changed["tags"]) == (2, ["a"])
    assert [item["version"] for item in call("endpoint-versions", name="daily")["results"]] == [2, 1]


@pytest.mark.usefixtures("daily")
def test_endpoint_is_described(call: Call) -> None:
    assert call("endpoint-materialization-status", name="daily")["can_materialize"] is True
    assert call("endpoints-materialization-preview", name="daily")["can_materialize"] is True
    document = call("endpoint-openapi-spec", name="daily", version=1)
    assert (document["openapi"], document["info"]["title"], document["info"]["version"]) == ("3.0.3", "daily", "1")


def test_sql_variables(call: Call, server: RunningServer) -> None:
    made = call("sql-variables-create", name="Plan", type="List", values=["free", "pro"], default_value="free")
    assert (made["code_name"], made["values"]) == ("plan", ["free", "pro"])
    changed = call("sql-variables-update", id=made["id"], default_value="pro", name="The plan")
    assert (changed["code_name"], changed["name"], changed["default_value"]) == ("plan", "The plan", "pro")
    call("sql-variables-delete", "--confirm", id=made["id"])
    assert server.store.variables.count() == 0


def test_execute_sql(call: Call) -> None:
    call("endpoint-create", name="one", query={"kind": "HogQLQuery", "query": "SELECT 1 AS one"}, description="First")
    asked = (
        "SELECT e.name, e.is_active, v.version, v.description, v.query.query AS hogql "
        "FROM system.data_modeling_endpoints e "
        "LEFT JOIN system.data_modeling_endpoint_versions v ON v.endpoint_id = e.id AND v.version = e.current_version"
    )
    assert call("execute-sql", query=asked) == "name|is_active|version|description|hogql\none|1|1|First|SELECT 1 AS one"
    assert call("execute-sql", query="SELECT count() AS total FROM system.insight_variables") == "total\n0"


def test_execute_sql_tells_the_reason(run: Run) -> None:
    ran = run("call", "execute-sql", json.dumps({"query": "SELECT 1 FROM nowhere"}))
    assert ran.returncode == 1
    assert "Query validation failed: Unknown table `nowhere`." in ran.stderr


def test_endpoint_that_is_missing(run: Run, server: RunningServer) -> None:
    ran = run("call", "endpoint-get", json.dumps({"name": "nothing"}))
    statuses = {entry.path: entry.status for entry in server.requests.entries()}
    assert (ran.returncode, statuses["/api/projects/1/endpoints/nothing/"]) == (1, 404)
