"""schemathesis over the server's own OpenAPI document: no 500 but PostHog's own, and every answer as described.

It runs in an environment of its own (the dependency group `openapi`), because its pytest plugin would make every start
of pytest slower by seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.app import DOCUMENTED
from endpoints_gitops.local.serve import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).parents[2]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth,"
    "allow_header_conformance,use_after_free"
)
POSTHOGS_OWN = "endpoints/last_execution_times"
"""PostHog answers a body without names with a 500, and so does this server (docs/local-server.md#openapi)."""
FAULT = ("ServerError", f"POST /api/projects/{{project_id}}/{POSTHOGS_OWN}/")
EVERY = sum(len(resource.actions) for resource in DOCUMENTED)
QUERIES = "create_endpoint|update_endpoint_put|update_endpoint_patch|run_query"
RUNS = [
    f"/api/projects/{project}/{path}"
    for project in ("@current", "1")
    for path in ("endpoints/rows/run", "endpoints/trend/run", "query/")
]
TRENDS = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "note created"}]}
SQL = "SELECT event, count() AS c FROM events WHERE toDate(timestamp) >= {variables.day} GROUP BY event"


@pytest.fixture
def known(ask: Callable[..., httpx.Response]) -> dict[str, list[str]]:
    """Names of endpoints and ids of variables that exist."""
    variables = [
        ask("POST", "insight_variables/", {"name": name, "type": kind, "default_value": default}).json()["id"]
        for name, kind, default in (("day", "Date", "2026-06-01"), ("plan", "List", "free"))
    ]
    queries: dict[str, Any] = {"rows": {"kind": "HogQLQuery", "query": SQL}, "trend": TRENDS}
    for name, query in queries.items():
        assert ask("POST", "endpoints/", {"name": name, "query": query, "is_materialized": True}).status_code == 201
    changed = {"query": {"kind": "HogQLQuery", "query": f"{SQL} LIMIT 3"}, "is_materialized": False}
    assert ask("PATCH", "endpoints/rows/", changed).is_success
    return {"project_id": ["@current", "1"], "name": list(queries), "id": variables}


@pytest.mark.parametrize(
    ("chosen", "operations", "failures"),
    [
        pytest.param(
            ["--phases", "examples,fuzzing,stateful", "--max-examples", "15", "--checks", CHECKS],
            EVERY,
            [FAULT],
            id="fuzzing",
        ),
        pytest.param(
            ["--phases", "coverage", "--checks", CHECKS, "--exclude-operation-id-regex", f"^({QUERIES})$"],
            EVERY - 4,
            [FAULT],
            id="coverage",
        ),
        # thousands of cases; the bodies of create and update hold the same queries, which they do not run
        pytest.param(
            ["--phases", "coverage", "--checks", "not_a_server_error", "--include-operation-id", "run_query"],
            1,
            [],
            id="coverage of queries",
        ),
    ],
)
def test_no_answer_is_a_fault_or_undescribed(
    server: RunningServer,
    known: dict[str, list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    chosen: list[str],
    operations: int,
    failures: list[tuple[str, str]],
) -> None:
    uv = shutil.which("uv")
    assert uv is not None, "uv runs schemathesis in an environment of its own"
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [
            *(uv, "run", "--quiet", "--isolated", "--only-group", "openapi", "--project", str(CHECKOUT)),
            *("schemathesis", "run", f"{server.url}/api/schema/", "--header", f"Authorization: Bearer {server.key}"),
            *(*chosen, "--generation-deterministic", "--continue-on-failure"),
            *("--report-json-path", str(report), "--no-color"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
        | {"KNOWN_PATH_PARAMETERS": json.dumps(known)},
        capture_output=True,
        text=True,
        check=False,
    )
    run = json.loads(report.read_text()) if report.exists() else {}
    assert (run.get("complete"), run.get("errors")) == (True, []), ended.stdout + ended.stderr
    assert run["operations"]["tested"] == operations
    assert [(failure["type"], *failure["operations"]) for failure in run["failures"]] == failures, ended.stdout
    assert caplog.text == "", "an exception that no route expects"
    faults = {entry.path for entry in server.requests.entries() if entry.status and entry.status >= 500}
    assert all(path.partition("?")[0].rstrip("/").endswith(POSTHOGS_OWN) for path in faults)
    answers = {entry.status for entry in server.requests.entries() if entry.path.partition("?")[0] in RUNS}
    assert answers >= {200, 400}, "nothing was run"
