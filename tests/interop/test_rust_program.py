"""PostHog's Rust program (`posthog-cli exp endpoints`) on the local server; its files and ours, both ways."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer
from tests.interop.programs import program

pytestmark = pytest.mark.slow
PLAIN = "name: plain\ndescription: One\nquery: SELECT 1 AS one\nmaterialization:\n  enabled: true\n  schedule: 1hour\n"
LINES = """\
name: daily
description: By event
query: |-
  SELECT event, count() AS n
  FROM events
  WHERE event = {variables.event_name}
  GROUP BY event
variables:
  - name: event_name
    type: String
    default: $pageview
materialization:
  enabled: true
  schedule: 15min
"""
INSIGHT = """\
name: trend
query_definition:
  kind: TrendsQuery
  series:
    - kind: EventsNode
      event: $pageview
"""
NOT_A_TABLE = "name: direct\nquery: SELECT 2 AS two\n"

type Theirs = Callable[..., str]
type Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def run(server: RunningServer, tmp_path: Path) -> Callable[..., Ran]:
    """Starts the program in `tmp_path`. Its home is empty, nothing leaves this machine, and `open` notes the URL."""
    command = program("posthog-cli")
    tools = tmp_path / "tools"
    tools.mkdir()
    opener = tools / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path / "opened"}\n')
    opener.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTHOG_")}
    environment = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "POSTHOG_HOME": str(tmp_path / "home"),
        "POSTHOG_CLI_HOST": server.url,
        "POSTHOG_CLI_API_KEY": server.key,
        "POSTHOG_CLI_PROJECT_ID": str(server.project_id),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }

    def started(*words: str) -> Ran:
        return subprocess.run(
            [command, "exp", "endpoints", *words],
            cwd=tmp_path,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return started


@pytest.fixture
def theirs(run: Callable[..., Ran], server: RunningServer) -> Theirs:
    """One command that succeeds, without a refused request: what it printed. Its exit code says little."""

    def ran(*words: str) -> str:
        done = run(*words)
        assert (done.returncode, "✗" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
        assert [entry for entry in server.requests.entries() if (entry.status or 500) >= 400] == []
        return done.stdout

    return ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Definitions that both programs accept, in the folder that ours works on."""
    made = tmp_path / "endpoints"
    made.mkdir(exist_ok=True)
    for text in (PLAIN, LINES):
        name = text.partition("\n")[0].removeprefix("name: ")
        (made / f"{name}.yaml").write_text(text)
    return made


@pytest.fixture
def ours(make_cli: Callable[..., Callable], tmp_path: Path) -> Callable:
    return make_cli(tmp_path)


@pytest.mark.usefixtures("folder")
def test_every_command(theirs: Theirs, server: RunningServer, tmp_path: Path) -> None:
    assert "2 endpoints synced." in theirs("push", "endpoints", "--yes")
    assert "2 endpoints total." in theirs("list")
    assert f"{server.url}/project/1/endpoints/daily" in theirs("get", "daily")
    assert "$pageview" in theirs("run", "daily", "--var", "event_name=$pageview")
    answer = json.loads(theirs("run", "daily", "--quiet", "--json", "--var", "event_name=no such event"))
    assert (answer["columns"], answer["results"]) == (["event", "n"], [])
    assert json.loads(theirs("run", "-f", "endpoints/plain.yaml", "--quiet", "--json"))["results"] == [[1]]
    theirs("open", "daily")
    assert (tmp_path / "opened").read_text() == f"{server.url}/project/1/endpoints/daily\n"
    assert "0 new, 0 changed, 2 unchanged" in theirs("diff", "endpoints")
    (tmp_path / "endpoints" / "plain.yaml").write_text(PLAIN.replace("1 AS one", "2 AS one"))
    assert "0 new, 1 changed, 1 unchanged" in theirs("diff", "endpoints")
    assert "1 endpoint synced." in theirs("push", "endpoints", "--yes")
    assert "2 files written." in theirs("pull", "--all", "--output", "pulled", "--yes")
    assert "query: SELECT 2 AS one\n" in (tmp_path / "pulled" / "plain.yaml").read_text()


def test_endpoint_that_is_missing(run: Callable[..., Ran]) -> None:
    ran = run("get", "nothing")
    assert (ran.returncode, "details='Not found.'" in ran.stdout + ran.stderr) == (1, True)


def test_we_see_no_difference_after_their_push(theirs: Theirs, ours: Callable, folder: Path) -> None:
    (folder / "trend.yaml").write_text(INSIGHT)
    (folder / "direct.yaml").write_text(NOT_A_TABLE)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    theirs("push", "endpoints", "--yes")
    assert ours("diff", "--format", "json").json["summary"]["same"] == 4
    assert ours("pull", "--yes").code == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_they_see_no_difference_after_our_push(theirs: Theirs, ours: Callable, folder: Path) -> None:
    assert ours("push", "--yes").code == 0
    assert "0 new, 0 changed, 2 unchanged" in theirs("diff", str(folder))


def test_they_see_no_difference_after_our_pull(theirs: Theirs, ours: Callable, folder: Path) -> None:
    theirs("push", "endpoints", "--yes")
    for path in folder.iterdir():
        path.unlink()
    assert ours("pull", "--yes").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["daily.yaml", "plain.yaml"]
    assert "0 new, 0 changed, 2 unchanged" in theirs("diff", str(folder))


@pytest.mark.usefixtures("folder")
def test_we_see_no_difference_after_their_pull(theirs: Theirs, ours: Callable) -> None:
    assert ours("push", "--yes").code == 0
    theirs("pull", "--all", "--output", "pulled", "--yes")
    assert ours("check", "--dir", "pulled").code == 0
    told = ours("diff", "--dir", "pulled", "--format", "json")
    assert (told.code, told.json["summary"]["same"]) == (0, 2)


def test_they_see_a_schedule_where_there_is_no_table(
    theirs: Theirs, ours: Callable, folder: Path, server: RunningServer
) -> None:
    """Their program reads the freshness of every endpoint as a schedule, and never writes one without a table."""
    (folder / "direct.yaml").write_text(NOT_A_TABLE)
    assert ours("push", "--yes").code == 0
    told = " ".join(theirs("diff", "endpoints/direct.yaml").split())
    assert told.startswith("CHANGED direct Schedule: remote: 24hour local: (none) 1 file compared: 0 new, 1 changed")
    headers = {"Authorization": f"Bearer {server.key}"}
    kept = httpx.get(f"{server.url}/api/projects/1/endpoints/direct/", headers=headers, verify=False).json()
    assert (kept["data_freshness_seconds"], kept["materialization"]["enabled"]) == (86400, False)
