"""`serve` as a process: its one line of output, its tables, its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.cli import main
from endpoints_gitops.extras import install_advice
from endpoints_gitops.local.materialization import BUILD_FAILED
from endpoints_gitops.local.serve import bound_port, running_server
from tests.serve_process import PROGRAM, query, serve_process

TABLES = Path(__file__).parent / "engine" / "tables"


@contextmanager
def started(
    *words: str, stop: signal.Signals = signal.SIGTERM, told: str = "", env: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """What the server says at its start; at the end it is stopped, and must have said nothing more than `told`."""
    with serve_process(*words, env=env) as (start, process):
        yield start
        process.send_signal(stop)
        out, err = process.communicate(timeout=20)
        assert (out, process.returncode) == ("", 0)
        assert re.fullmatch(told, err), err


@contextmanager
def serving(
    *words: str, stop: signal.Signals = signal.SIGTERM, told: str = "", env: Mapping[str, str] | None = None
) -> Iterator[Callable[[str], Any]]:
    """What asks the server a query."""
    with started(*words, stop=stop, told=told, env=env) as start:
        yield lambda sql: query(start, sql).json()["results"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_sample_with_a_stopped_clock(stop: signal.Signals) -> None:
    with serving("--sample", "--now", "2026-07-01T12:00:00Z", "--format", "json", stop=stop) as ask:
        assert ask("SELECT now()") == [["2026-07-01T12:00:00Z"]]
        assert ask("SELECT count() > 1000 FROM events WHERE timestamp > now() - INTERVAL 30 DAY") == [[1]]


@pytest.mark.parametrize("paths", [sorted(TABLES.iterdir()), [TABLES]], ids=["files", "folder"])
def test_files_as_tables(paths: list[Path]) -> None:
    with serving("--data", *map(str, paths)) as ask:
        assert ask("SELECT customer, person.properties.plan FROM orders, events WHERE event = 'buy' LIMIT 1") == [
            ["ann", "free"]
        ]


def test_the_settings_of_a_project(tmp_path: Path) -> None:
    settings = tmp_path / "project.yaml"
    settings.write_text("timezone: Asia/Tokyo\nactions: [{id: 1, name: Bought, steps: [{event: buy}]}]\n", "utf-8")
    words = ("--data", str(TABLES), "--project", str(settings), "--now", "2026-07-01T12:00:00Z")
    with serving(*words) as ask:
        assert ask("SELECT now()") == [["2026-07-01T21:00:00+09:00"]]
        actions = "countIf(matchesAction('Bought')) = countIf(event = 'buy')"
        assert ask(f"SELECT {actions}, countIf(matchesAction(1)) > 0 FROM events") == [[1, 1]]


def test_empty_tables() -> None:
    with serving() as ask:
        assert ask("SELECT count() FROM events") == [[0]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--now", "yesterday"], "argument --now: 'yesterday' is not an ISO time"),
        (["--now", "1900-01-01"], "argument --now: '1900-01-01' is outside the range of ClickHouse's times"),
        (["--now", "2200-01-01"], "argument --now: '2200-01-01' is outside the range of ClickHouse's times"),
        (["--dir", "nowhere"], "--dir nowhere: there is no such folder"),
        (["--data", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--project", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["--project", os.devnull], f"cannot read {os.devnull}: not a regular file"),
        (["--port", "70000"], "cannot listen on port 70000"),
    ],
)
def test_mistakes(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--data", "nowhere.csv"], ["--from-project"], ["--project", "nowhere.yaml"]])
def test_a_port_in_use_is_noticed_before_anything_is_read(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main.run(["serve", "--port", str(port), *words]) == 2
    assert f"cannot listen on port {port} of 127.0.0.1" in capsys.readouterr().err


def test_a_port_refuses_connections_until_the_server_is_ready() -> None:
    with bound_port(0) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname())


def test_help_says_what_the_definitions_folder_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "whose examples answer insights that are not computed (default: none)" in told
    assert "from the configuration" not in told.partition("--config")[0]


def test_persons_that_a_static_cohort_is_without_are_named_at_the_start(tmp_path: Path) -> None:
    settings = tmp_path / "project.yaml"
    settings.write_text("cohorts: [{id: 2, name: Chosen, persons: [ann]}]\n", "utf-8")
    with serve_process("--project", str(settings)) as (_, process):
        assert process.stderr is not None
        assert process.stderr.readline() == (
            f"note: {settings}:1:11: cohort 2 is without 'ann': the tables have no person of this id\n"
        )


@pytest.mark.parametrize("missing", ["chdb", "uvicorn"])
def test_without_the_extra(missing: str) -> None:
    hidden = f"import sys; sys.modules[{missing!r}] = None; {PROGRAM}"
    ended = subprocess.run([sys.executable, "-c", hidden, "serve"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"the local server needs {missing}, which is not installed" in ended.stderr
    assert install_advice("local") in ended.stderr


def test_a_server_needs_an_extra_of_its_own() -> None:
    hidden = f"import sys; sys.modules['clickhouse_connect'] = None; {PROGRAM}"
    command = [sys.executable, "-c", hidden, "serve", "--clickhouse", "http://127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the local server needs clickhouse-connect, which is not installed" in ended.stderr
    assert install_advice("clickhouse") in ended.stderr


def test_clickhouse_is_loaded_when_it_is_needed() -> None:
    program = (
        "import sys; from endpoints_gitops.local.serve import running_server\n"
        "with running_server(sample=True): assert 'chdb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})


def test_the_first_answer_needs_neither_pydantic_nor_the_translation_of_hogql() -> None:
    """They take longer to import than all the rest of the server."""
    program = (
        "import sys, urllib.request; from endpoints_gitops.local.serve import running_server\n"
        "with running_server() as server:\n"
        "    url = f'{server.url}/api/projects/{server.project_id}/endpoints/'\n"
        "    request = urllib.request.Request(url, headers={'Authorization': f'Bearer {server.key}'})\n"
        "    assert b'\"results\":[]' in urllib.request.urlopen(request).read()\n"
        "print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = ended.stdout.split()
    assert "endpoints_gitops.local.routes.endpoints" in loaded
    heavy = (
        "anyio._backends",
        "pydantic",
        "chdb",
        "endpoints_gitops.hogql.",
        "endpoints_gitops.local.engine.",
        "endpoints_gitops.local.insights",
    )
    light = (
        "endpoints_gitops.hogql.parser",
        *(f"endpoints_gitops.local.engine.{name}" for name in ("interface", "project_data", "refusals")),
    )
    assert [name for name in loaded if name.startswith(heavy) and name not in light] == []


_FIRST: list[tuple[str, str, Any, int]] = [
    ("GET", "endpoints/", None, 200),
    ("GET", "endpoints/none/openapi.json", None, 404),
    ("GET", "endpoints/materialization_conditions/", None, 200),
    ("POST", "endpoints/", {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS a"}}, 201),
    ("PATCH", "endpoints/none/", {}, 404),
    ("POST", "endpoints/none/run/", {}, 404),
    ("POST", "insight_variables/", {"name": "v", "type": "String"}, 201),
    ("POST", "query/", {"query": {"kind": "HogQLQuery", "query": "SELECT 1"}}, 200),
    ("POST", "query/", {"query": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]}}, 200),
    ("POST", "mcp_tools/execute_sql/", {"args": {"query": "SELECT 1"}}, 200),
]


def test_first_requests_of_all_kinds_at_once() -> None:
    """Each imports what it needs, in a thread of its own."""
    with started() as start, ThreadPoolExecutor(len(_FIRST)) as pool:
        base = f"{start['url']}/api/projects/{start['project_id']}/"
        client = httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {start['key']}"}, verify=False, timeout=60
        )
        asked = [pool.submit(client.request, method, path, json=body) for method, path, body, _ in _FIRST]
        statuses = [request.result().status_code for request in asked]
        client.close()
    assert statuses == [status for *_, status in _FIRST]


@pytest.mark.parametrize(
    ("how", "state"),
    [("instant", (True, "Completed", "")), ("9", (False, "Running", "")), ("fail", (False, "Failed", BUILD_FAILED))],
)
def test_materialize_decides_how_tables_are_built(how: str, state: tuple[bool, str, str]) -> None:
    with started("--materialize", how) as start:
        url = f"{start['url']}/api/projects/{start['project_id']}/endpoints/"
        headers = {"Authorization": f"Bearer {start['key']}"}
        body = {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS a"}, "is_materialized": True}
        assert httpx.post(url, json=body, headers=headers, verify=False).status_code == 201
        table = httpx.get(f"{url}e/", headers=headers, verify=False).json()["materialization"]
    assert (table["ready"], table["status"], table["error"]) == state


@pytest.mark.parametrize(("words", "status"), [(["--control"], 204), ([], 404)])
def test_control_adds_the_route_that_ages_tables(words: list[str], status: int) -> None:
    with started(*words) as start:
        assert httpx.post(f"{start['url']}/__age__", json={"days": 40}, verify=False).status_code == status


@pytest.fixture(scope="module")
def control() -> Iterator[str]:
    with running_server(control=True) as running:
        yield running.url


@pytest.mark.parametrize(
    ("route", "body", "told"),
    [
        ("__age__", {"days": -1}, "N is a number from 0"),
        ("__age__", {"days": 1e300}, "N is a number from 0"),
        ("__age__", {"days": "x"}, "N is a number from 0"),
        ("__age__", {"days": 1, "hours": 2}, "N is a number from 0"),
        ("__age__", [], "N is a number from 0"),
        ("__access__", {"level": "god"}, "one of none, viewer"),
        ("__access__", {"level": "viewer", "endpoints": "a"}, "one of none, viewer"),
        ("__access__", {"level": "viewer", "endpoint": 5}, "one of none, viewer"),
        ("__access__", {"level": "viewer", "endpoint": "a"}, "there is no endpoint 'a'"),
        ("__access__", None, "one of none, viewer"),
    ],
    ids=str,
)
def test_control_refuses_what_it_does_not_understand(control: str, route: str, body: Any, told: str) -> None:
    answer = httpx.post(f"{control}/{route}", json=body, verify=False)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_materialize_refuses_other_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", "--materialize", "soon"]) == 2
    assert "'soon' is neither instant, fail nor a number of seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_a_copy_of_a_projects_events(tmp_path: Path) -> None:
    """The project is another local server; the copy is served, and its file is served again without the project."""
    saved = tmp_path / "saved"
    by_event = "SELECT event, count(), uniq(distinct_id), uniq(person_id) FROM events GROUP BY event ORDER BY event"
    with started("--sample") as start:
        env = {
            "POSTHOG_CLI_HOST": start["url"],
            "POSTHOG_CLI_API_KEY": start["readonly_key"],
            "POSTHOG_CLI_PROJECT_ID": str(start["project_id"]),
            "ENDPOINTS_GITOPS_STATE": str(tmp_path / "state"),
        }
        told = r"(?s).*copied 1,200 events of http://127.*, with 2 requests, to .*\n  replaced: email\n  hashed: .*\n"
        words = ("--from-project", "--events", "1200", "--days", "200", "--save", str(saved))
        with serving(*words, told=told, env=env) as ask:
            served = ask(by_event)
            redacted = "countIf(properties.email LIKE 'person-%@example.com')"
            (emails,) = ask(f"SELECT uniq(properties.email), count(properties.email), {redacted} FROM persons")
    assert sum(row[1] for row in served) == 1200
    assert emails[0] == emails[1] == emails[2] > 100
    with serving("--data", str(saved)) as ask:
        assert ask(by_event) == served
    content = (saved / "events.jsonl").read_text()
    assert "mail.example" not in content
    assert "user-0" not in content
