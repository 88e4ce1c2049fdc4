"""A snippet of each language, pasted and run against the local server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer
from tests.conftest import Ran
from tests.interop.programs import program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Go compiles its library first

TEXT = 'it\'s "quoted" $HOME `id` $(id) \\ \\\\n ! 100% é 日本\nsecond line\t\u2028\U0001f600'
VALUES = {"text": TEXT, "number": 1.5, "large": 2**60 + 1, "flag": True, "items": ["a'b", "c"], "day": "2026-07-01"}
TYPES = {"text": "String", "number": "Number", "large": "Number", "flag": "Boolean", "items": "List", "day": "Date"}

type Paste = Callable[[Path, str], list[str]]


def _shell(_: Path, text: str) -> list[str]:
    return [program("bash"), "-c", text]


def _curl(folder: Path, text: str) -> list[str]:
    program("curl")
    return _shell(folder, text)


def _python(_: Path, text: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", text]


def _typescript(folder: Path, text: str) -> list[str]:
    """The call of TypeScript has no types, so Node runs it as it is."""
    (folder / "call.mjs").write_text(text)
    return [program("node"), str(folder / "call.mjs")]


def _go(folder: Path, text: str) -> list[str]:
    (folder / "main.go").write_text(text)
    assert subprocess.run([program("gofmt"), "-l", folder], capture_output=True, check=True).stdout == b""
    return [program("go"), "run", str(folder / "main.go")]


PASTE: dict[str, Paste] = {"curl": _curl, "httpie": _shell, "python": _python, "typescript": _typescript, "go": _go}


@pytest.fixture
def lock(cli: Callable[..., Ran], checkout: Any, server: RunningServer) -> Callable[..., None]:
    """Creates an endpoint and locks it, with an example if one is given."""

    def locked(query: dict[str, Any], example: dict[str, Any] | None = None, **settings: Any) -> None:
        headers = {"Authorization": f"Bearer {server.key}"}
        with httpx.Client(base_url=f"{server.url}/api/projects/1/", headers=headers, verify=False) as client:
            declared = {}
            for name, kind in TYPES.items():
                if f"{{variables.{name}}}" not in str(query.get("query")):
                    continue
                variable = client.post("insight_variables/", json={"name": name, "type": kind}).json()
                declared[variable["id"]] = {"variableId": variable["id"], "code_name": name}
            if declared:
                query = {**query, "variables": declared}
            client.post("endpoints/", json={"name": "daily-sums", "query": query, **settings}).raise_for_status()
        use = "{ examples = [" + (_toml(example) if example else "") + "] }"
        path = checkout.top / "endpoints.toml"
        path.write_text(f"uses = {{ daily-sums = {use} }}\n" + path.read_text(), encoding="utf-8")
        ran = cli("lock")
        assert ran.code == 0, ran.err

    return locked


def _toml(values: dict[str, Any]) -> str:
    return (
        "{ "
        + ", ".join(f"{json.dumps(name)} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
        + " }"
    )


def run(words: list[str], folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # httpie is installed beside Python
    environment = {**os.environ, "POSTHOG_API_KEY": key, "PATH": path, "NO_COLOR": "1"}
    return subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=380,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


QUERY = {
    "kind": "HogQLQuery",
    "query": "SELECT {variables.text}, {variables.number}, {variables.large}, {variables.flag}, {variables.items}, "
    "{variables.day}",
}


@pytest.mark.parametrize("language", PASTE)
def test_call_runs_as_pasted_and_fails_visibly(
    language: str, lock: Callable[..., None], cli: Callable[..., Ran], server: RunningServer, tmp_path: Path
) -> None:
    lock(QUERY, VALUES)
    printed = cli("snippet", "daily-sums", "--lang", language)
    assert (printed.code, printed.err) == (0, "")
    words = PASTE[language](tmp_path, printed.out)

    ran = run(words, tmp_path, server.key)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    text, number, large, flag, items, day = answer["results"][0]
    assert {"text": text, "number": number, "large": large, "flag": bool(flag), "items": items, "day": day} == VALUES
    assert answer["endpoint_version"] == 1
    assert [entry.path for entry in server.requests.entries()][-1].endswith("/daily-sums/run?version=1")

    refused = run(words, tmp_path, "phx_wrong")
    assert refused.returncode != 0
    assert "authentication_error" in refused.stdout + refused.stderr


def test_call_of_a_table_has_all_variables(
    lock: Callable[..., None], cli: Callable[..., Ran], server: RunningServer, tmp_path: Path
) -> None:
    sql = "SELECT event, count() AS n FROM events WHERE event = {variables.text} GROUP BY event"
    lock({"kind": "HogQLQuery", "query": sql}, is_materialized=True)
    printed = cli("snippet", "daily-sums")
    assert printed.err.splitlines() == [
        "note: the lock has no value for text: replace what stands there",
        "note: daily-sums@1 is materialized: the server requires every variable",
    ]

    ran = run(_curl(tmp_path, printed.out), tmp_path, server.key)
    assert (ran.returncode, json.loads(ran.stdout)["results"]) == (0, [])
    ran = run(_curl(tmp_path, printed.out.replace("REPLACE_ME", "$pageview")), tmp_path, server.key)
    ((event, _),) = json.loads(ran.stdout)["results"]
    assert event == "$pageview"


def test_call_of_an_insight(
    lock: Callable[..., None], cli: Callable[..., Ran], server: RunningServer, tmp_path: Path
) -> None:
    query = {
        "kind": "TrendsQuery",
        "series": [{"kind": "EventsNode", "event": "$pageview"}],
        "breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"},
    }
    lock(query, {"$browser": "Chrome"})
    printed = cli("snippet", "daily-sums")
    assert printed.err.splitlines() == ["note: left out, because the server does not require them: date_from, date_to"]

    ran = run(_curl(tmp_path, printed.out), tmp_path, server.key)
    assert ran.returncode == 0, ran.stderr
    assert {series["breakdown_value"] for series in json.loads(ran.stdout)["results"]} == {"Chrome"}
