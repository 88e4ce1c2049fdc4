"""Starting and stopping: in a thread, as a process, twice at once, with state in a folder."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.local.store import FILE_NAME, Store

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
SERVE = (
    "import sys; from endpoints_gitops.local.serve import bound_port, serve;"
    "serve(bound_port(0), state=None, sample=False, data=(), now=None, definitions=None)"
)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_process_says_where_it_is_and_stops_at_once(how: signal.Signals) -> None:
    """An idle connection does not delay the stop."""
    client = httpx.Client(verify=False)
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert list(told) == ["url", "project_id", "key", "readonly_key", "project_secret_key", "page"]
        assert told["page"] == f"{told['url']}/#key={told['readonly_key']}"
        assert [told[key][:4] for key in ("key", "readonly_key", "project_secret_key")] == ["phx_", "phx_", "phs_"]
        headers = {"Authorization": f"Bearer {told['key']}"}
        base = f"{told['url']}/api/projects/{told['project_id']}/endpoints/"
        assert client.get(base, headers=headers).json()["count"] == 0
        process.send_signal(how)
        started = time.monotonic()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")
        assert time.monotonic() - started < 5
    finally:
        client.close()
        process.kill()
        process.communicate()


def test_two_at_once_share_nothing(engine: QueryEngine, connect: Callable[..., httpx.Client]) -> None:
    with running_server(engine=engine) as one, running_server(engine=engine) as two:
        assert connect(one).post("endpoints/", json={"name": "e", "query": QUERY}).status_code == 201
        assert connect(two).get("endpoints/").json()["count"] == 0
        assert connect(two, one.key).get("endpoints/").status_code == 401
        assert len(one.requests.entries()) == 1


def test_state_outlives_the_server(engine: QueryEngine, connect: Callable[..., httpx.Client], tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with running_server(engine=engine, state=folder) as first:
        made = connect(first).post("endpoints/", json={"name": "e", "query": QUERY, "is_materialized": True}).json()
        connect(first).post("insight_variables/", json={"name": "v", "type": "String"})
    with running_server(engine=engine, state=folder) as second:
        kept = connect(second).get("endpoints/e/").json()
        assert (kept["id"], kept["created_at"], kept["is_materialized"]) == (made["id"], made["created_at"], True)
        assert connect(second).get("insight_variables/").json()["count"] == 1
        assert connect(second, first.key).get("endpoints/").status_code == 200
        assert second.key != first.key
    stored = (folder / FILE_NAME).read_bytes()
    assert first.key.encode() not in stored
    assert second.project_secret_key.encode() not in stored
    if os.name == "posix":
        assert (folder / FILE_NAME).stat().st_mode & 0o077 == 0


def test_only_loopback(server: RunningServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")


def test_port_in_use(engine: QueryEngine, server: RunningServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"cannot listen on port {port}"), running_server(engine=engine, port=port):
        pytest.fail("it listens")


@pytest.mark.parametrize("port", [-1, 70_000])
def test_port_that_is_none(engine: QueryEngine, port: int) -> None:
    with pytest.raises(UsageError, match="cannot listen"), running_server(engine=engine, port=port):
        pytest.fail("it listens")


def test_path_before_every_route(engine: QueryEngine) -> None:
    with running_server(engine=engine, prefix="/posthog") as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        base = f"{server.url}/api/projects/1/endpoints/"
        made = httpx.post(base, json={"name": "e", "query": QUERY}, headers=headers, verify=False).json()
        assert made["url"] == f"{server.url}/api/projects/1/endpoints/e/run"
        page = httpx.get(f"{base}?limit=1&offset=1", headers=headers, verify=False).json()
        assert page["previous"] == f"{base}?limit=1"
        bare = base.replace("/posthog", "")
        assert httpx.get(bare, headers=headers, verify=False).status_code == 404


def test_stops_while_a_client_waits(engine: QueryEngine, connect: Callable[..., httpx.Client]) -> None:
    """Neither an open connection, used or not, nor an unfinished request delays the stop."""
    with running_server(engine=engine) as server:
        assert connect(server).get("endpoints/").status_code == 200
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        idle = socket.create_connection(address, timeout=5)
        begun = socket.create_connection(address, timeout=5)
        begun.sendall(b"POST /api/projects/1/endpoints/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        started = time.monotonic()
    assert time.monotonic() - started < 3
    idle.close()
    begun.close()


def test_many_at_once(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    """Twenty writers of one endpoint: each cuts a version of its own."""
    client = connect(server)
    client.post("endpoints/", json={"name": "e", "query": QUERY})
    numbers: list[int] = []

    def write(number: int) -> None:
        body = {"query": {"kind": "HogQLQuery", "query": f"SELECT {number} AS n, 'x'"}}
        numbers.append(client.patch("endpoints/e/", json=body).json()["current_version"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(2, 22))


def test_an_answer_is_one_packet(server: RunningServer) -> None:
    """Head and body together, of each of two requests of a connection."""
    request = (
        f"GET /api/projects/1/endpoints/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        for _ in range(2):
            connection.sendall(request.encode())
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b'"results":[]}')


def test_build_takes_its_time(engine: QueryEngine, connect: Callable[..., httpx.Client]) -> None:
    with running_server(engine=engine, build_seconds=3600) as server:
        client = connect(server)
        client.post("endpoints/", json={"name": "e", "query": QUERY, "is_materialized": True})
        assert client.get("endpoints/e/").json()["materialization"]["status"] == "Running"
        assert not client.get("endpoints/e/").json()["is_materialized"]


def test_announcement_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from endpoints_gitops.local import serve as module

    monkeypatch.setattr(module._UvicornServer, "main_loop", _returns_at_once)
    written = io.StringIO()
    module.serve(module.bound_port(0), state=None, sample=False, data=(), now=None, definitions=None, announce=written)
    assert written.getvalue().count("\n") == 1


async def _returns_at_once(_self: object) -> None:
    return None


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("file", "it is a file, not a folder"),
        ("file/inner", "file/inner: Not a directory"),
        ("taken", "taken/local-server.sqlite3: Is a directory"),
    ],
)
def test_a_folder_that_cannot_hold_the_state_is_refused(tmp_path: Path, state: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(UsageError) as refused:
        Store(tmp_path / state)
    assert refused.value.message.startswith(
        f"--state {tmp_path / state}: cannot keep the state of the local server there: "
    )
    assert refused.value.message.endswith(reason)


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and half of a header", b"not a database" * 100])
def test_a_state_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(UsageError, match=r"local-server\.sqlite3: cannot read the state of the local server"):
        Store(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content
