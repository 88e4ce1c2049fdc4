"""Queries on a ClickHouse server: its database, what is wrong with servers, lost connections, clusters, large files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.cli import main
from endpoints_gitops.errors import CouldNotFindOut, InvalidInput
from endpoints_gitops.local.engine import remote, storage
from endpoints_gitops.local.engine.clickhouse_url import PASSWORD_VARIABLE, ClickHouseUrl, parse_clickhouse_url
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import ClickHouseUnavailable, QueryRefused
from endpoints_gitops.local.engine.remote import PREFIX, RemoteSession
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret
from tests.clickhouse_server import CLUSTER, PASSWORD, READER, USER, RunningClickHouse, running_clickhouse
from tests.serve_process import SERVE, query, serve_process

pytestmark = pytest.mark.slow
TABLES = Path(__file__).parent / "tables"


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningClickHouse]:
    """A server of our own even if the other tests have a real one: it lists its statements."""
    with running_clickhouse() as server:
        yield server


def url_of(server: RunningClickHouse) -> ClickHouseUrl:
    return parse_clickhouse_url(server.url, {})


def databases(url: ClickHouseUrl) -> set[str]:
    """The databases of this tool."""
    with RemoteSession(url) as session:
        found = session.ask("SELECT name FROM system.databases").rows
        return {str(name) for (name,) in found if str(name).startswith(PREFIX)} - {session.database}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_has_a_database_of_its_own_and_drops_it(fake: RunningClickHouse, stop: signal.Signals) -> None:
    url = url_of(fake)
    before = databases(url)
    shown = fake.url.replace(f":{url.password.reveal()}", "")
    words = ("--clickhouse", f"http://{USER}@127.0.0.1:{fake.port}", "--data", str(TABLES))
    with serve_process(*words, env={PASSWORD_VARIABLE: PASSWORD}) as (start, process):
        (added,) = databases(url) - before
        assert query(start, "SELECT count() > 0 FROM events").json()["results"] == [[1]]
        process.send_signal(stop)
        assert (*process.communicate(timeout=30), process.returncode) == ("", "", 0)
    assert databases(url) == before
    about = [statement for statement in fake.statements if "DATABASE" in statement and added in statement]
    assert [statement.split()[:2] for statement in about] == [["CREATE", "DATABASE"], ["DROP", "DATABASE"]]
    assert f"process {process.pid} on " in about[0]
    assert PASSWORD not in shown


def test_two_servers_share_nothing(fake: RunningClickHouse, tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("n\n1\n")
    with Engine.open(data=[orders], clickhouse=url_of(fake)) as one, Engine.open(clickhouse=url_of(fake)) as two:
        assert one.run("SELECT n FROM orders", {}).results == [[1]]
        with pytest.raises(QueryRefused, match="Unknown table `orders`"):
            two.run("SELECT n FROM orders", {})
        one.close()
        assert two.run("SELECT count() FROM events", {}).results == [[0]]
        with pytest.raises(QueryRefused, match="closed"):
            one.run("SELECT 1", {})


def test_mistakes_in_files_leave_no_database(fake: RunningClickHouse, tmp_path: Path) -> None:
    before = databases(url_of(fake))
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "e", "distinct_id": "a", "timestamp": "2026-06-01"}\n{"event": 5}\n')
    with pytest.raises(InvalidInput):
        Engine.open(data=[path], clickhouse=url_of(fake))
    assert databases(url_of(fake)) == before


def test_an_interrupted_start_leaves_no_database(fake: RunningClickHouse, tmp_path: Path, processes: Any) -> None:
    before, pipe = databases(url_of(fake)), tmp_path / "events.jsonl"
    line = '{"event": "e", "distinct_id": "a", "timestamp": "2026-06-01"}\n'
    pipe.write_text(line * 2_000_000)
    command = [*SERVE, "--clickhouse", fake.url, "--data", str(pipe)]
    loading = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        processes.until(lambda: databases(url_of(fake)) - before)
        loading.send_signal(signal.SIGTERM)
        out, err = loading.communicate(timeout=60)
    finally:
        loading.kill()
        loading.communicate()
    assert (loading.returncode, out, "Traceback" in err) == (130, "", False), err
    assert databases(url_of(fake)) == before


class _Page(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Welcome</html>")

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    """A server that is not ClickHouse."""
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def started(capsys: pytest.CaptureFixture[str], url: str) -> tuple[int, str]:
    """The exit code of a start that fails, and its only line about it."""
    code = main.run(["serve", "--clickhouse", url])
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert PASSWORD not in err
    assert sum(line.startswith("error: ") for line in err.splitlines()) == 1
    return code, err


@pytest.mark.parametrize(
    ("user", "password", "query", "code", "told"),
    [
        (USER, "wrong", "", 3, "refuses the user 'tester': Code: 516"),
        ("nobody", PASSWORD, "", 3, "refuses the user 'nobody': Code: 516"),
        (READER, PASSWORD, "", 3, "the user 'reader' may not do at"),
        (USER, PASSWORD, "?cluster=three", 2, f"has no cluster 'three'; it has {CLUSTER}"),
    ],
)
def test_servers_that_cannot_be_used(
    fake: RunningClickHouse,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    password: str,
    query: str,
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, password)
    ended, err = started(capsys, f"http://{user}@127.0.0.1:{fake.port}/{query}")
    assert told in err
    assert "fix: " in err
    assert ended == code


def test_an_old_server(capsys: pytest.CaptureFixture[str]) -> None:
    with running_clickhouse(version="25.3.2.39") as old:
        code, err = started(capsys, old.url)
    assert code == 2
    assert "has version 25.3.2.39; queries are made for 25.8 and later" in err


def test_no_server_and_no_clickhouse(capsys: pytest.CaptureFixture[str], page: str) -> None:
    code, err = started(capsys, "http://127.0.0.1:1")
    assert code == 4
    assert "ClickHouse at http://default@127.0.0.1:1 does not answer: [Errno 111] Connection refused" in err
    code, err = started(capsys, page)
    assert code == 4
    assert "does not answer: " in err


def test_a_server_that_never_answers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading may take an hour, but whether there is a server is known much sooner."""
    monkeypatch.setattr(remote, "_GREETING_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        code, err = started(capsys, url)
    assert code == 4
    assert f"ClickHouse at {url.replace('//', '//default@')} does not answer: timed out" in err


def test_a_lost_server_is_a_503_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs, then goes on; then one that is gone."""
    monkeypatch.setattr(remote, "_GRACE_SECONDS", 1)
    monkeypatch.setattr(remote, "SECONDS", 1)
    with running_clickhouse() as server, running_server(engine=_engine(url_of(server))) as running:
        start = {"url": running.url, "project_id": 1, "readonly_key": running.key}
        headers = {"Authorization": f"Bearer {running.key}"}
        endpoints = f"{running.url}/api/projects/1/endpoints/"
        body = {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT count() AS n FROM events"}}
        assert httpx.post(endpoints, json=body, headers=headers, verify=False).status_code == 201
        requests: list[Callable[[], httpx.Response]] = [
            lambda: query(start, "SELECT count() FROM events"),
            lambda: httpx.post(f"{endpoints}e/run", json={}, headers=headers, verify=False, timeout=60),
            lambda: httpx.post(endpoints, json={**body, "name": "f"}, headers=headers, verify=False, timeout=60),
            lambda: httpx.post(
                f"{running.url}/api/projects/1/query/",
                json={"query": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "e"}]}},
                headers=headers,
                verify=False,
                timeout=60,
            ),
        ]
        os.kill(server.process.pid, signal.SIGSTOP)
        for request in requests:
            answer = request()
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            refusal = answer.json()
            assert (refusal["type"], refusal["code"]) == ("server_error", "database_unavailable")
            assert "does not answer: timed out" in refusal["detail"] or "does not answer: " in refusal["detail"]
            assert PASSWORD not in refusal["detail"]
        os.kill(server.process.pid, signal.SIGCONT)
        assert query(start, "SELECT count() FROM events").json()["results"] == [[0]]
        assert httpx.post(f"{endpoints}e/run", json={}, headers=headers, verify=False).json()["results"] == [[0]]
        logs = httpx.get(f"{endpoints}e/logs/", headers=headers, verify=False).json()["results"]
        assert any("error=database_unavailable" in entry["message"] for entry in logs)
        server.process.kill()
        server.process.wait()
        assert query(start, "SELECT count() FROM events").status_code == 503


class _Unclosed(Engine):
    def close(self) -> None:
        """Its server is gone, which other tests are about."""


def _engine(url: ClickHouseUrl) -> Engine:
    session = RemoteSession(url, seconds=1)
    tables = storage.stored_tables(session, sample=False, files=(), now=None)
    session.restrict()
    return _Unclosed(session, tables, None)


def test_a_database_that_is_gone_is_not_a_mistake_of_the_query(fake: RunningClickHouse) -> None:
    with Engine.open(clickhouse=url_of(fake)) as engine, RemoteSession(url_of(fake)) as other:
        (mine,) = databases(url_of(fake)) - {other.database}
        other.execute(f"DROP DATABASE {mine}")
        with pytest.raises(ClickHouseUnavailable, match=f"Database {mine} does not exist"):
            engine.run("SELECT count() FROM events", {})
        with pytest.raises(ClickHouseUnavailable):
            engine.describe({"query": "SELECT event FROM events"})


def test_a_database_that_cannot_be_dropped_is_named() -> None:
    with running_clickhouse() as server:
        session = RemoteSession(url_of(server))
        server.process.kill()
        server.process.wait()
        with pytest.raises(CouldNotFindOut) as caught:
            session.close()
    assert f"the database {session.database} is left at http://{USER}@127.0.0.1:{server.port}" in str(caught.value)
    assert f"DROP DATABASE IF EXISTS `{session.database}`" in str(caught.value.fix)


def test_serve_says_that_its_database_is_left() -> None:
    with running_clickhouse() as server, serve_process("--clickhouse", server.url) as (_start, process):
        server.process.kill()
        server.process.wait()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, "")
    assert "error: the database endpoints_gitops_" in err
    assert "Traceback" not in err


def test_a_cluster(fake: RunningClickHouse, tmp_path: Path) -> None:
    """Only the statements can be tried without a cluster."""
    orders = tmp_path / "orders.csv"
    orders.write_text("n\n1\n")
    before = len(fake.statements)
    url = replace(url_of(fake), cluster=CLUSTER)
    with Engine.open(sample=True, data=[orders], clickhouse=url) as engine:
        assert engine.run("SELECT count() > 0, any(n) FROM events, orders", {}).results == [[1, 1]]
    statements = fake.statements[before:]
    changing = [sql for sql in statements if sql.startswith(("CREATE", "DROP"))]
    assert len(changing) > 8
    assert all(f" ON CLUSTER `{CLUSTER}`" in sql for sql in changing)
    tables = [sql for sql in changing if sql.startswith("CREATE TABLE")]
    assert all("MergeTree('/endpoints_gitops_tables/" in sql and "'{shard}_{replica}'" in sql for sql in tables)
    (events,) = (sql for sql in tables if "`events`" in sql)
    assert "/events', '{shard}_{replica}', _row)" in events
    assert not any(sql.startswith("SELECT") and "CLUSTER" in sql for sql in statements)


def test_a_large_file(fake: RunningClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_BATCH", 2_000_000)
    path, count = tmp_path / "events.jsonl", 100_000
    with path.open("w") as stream:
        for number in range(count):
            event = {"event": "e", "distinct_id": f"d{number % 50}", "timestamp": f"2026-06-01T00:00:{number % 60:02}"}
            stream.write(json.dumps(event | {"properties": {"n": number}}) + "\n")
    before = len(fake.statements)
    with Engine.open(data=[path], clickhouse=url_of(fake)) as engine:
        asked = "SELECT count(), sum(properties.n), uniq(person_id) FROM events"
        assert engine.run(asked, {}).results == [[count, count * (count - 1) / 2, 50]]
        assert engine.run("SELECT count() FROM persons", {}).results == [[50]]
    inserts = [sql for sql in fake.statements[before:] if sql == "INSERT INTO `events` FORMAT JSONEachRow"]
    assert len(inserts) > 5


def test_the_password_is_not_in_an_error() -> None:
    url = ClickHouseUrl(scheme="http", host="127.0.0.1", port=1, password=Secret("hidden"))
    with pytest.raises(ClickHouseUnavailable) as caught:
        RemoteSession(url)
    assert "hidden" not in repr(caught.value)


def test_files_that_chdb_reads_without_it(fake: RunningClickHouse, tmp_path: Path) -> None:
    """Without chdb, events and persons as text still load."""
    program = (
        "import sys; sys.modules['chdb'] = None\n"
        "from pathlib import Path; from endpoints_gitops.local.engine.engine import Engine\n"
        "from endpoints_gitops.local.engine.clickhouse_url import parse_clickhouse_url\n"
        "from endpoints_gitops.errors import UsageError\n"
        "url = parse_clickhouse_url(sys.argv[1], {})\n"
        "with Engine.open(data=[Path(sys.argv[2])], clickhouse=url) as engine:\n"
        "    assert engine.run('SELECT event FROM events', {}).results == [['e']]\n"
        "try: Engine.open(data=[Path(sys.argv[3])], clickhouse=url)\n"
        "except UsageError as error: print(error)\n"
    )
    events, orders = tmp_path / "events.jsonl", tmp_path / "orders.csv"
    events.write_text('{"event": "e", "distinct_id": "a", "timestamp": "2026-06-01"}\n')
    orders.write_text("n\n1\n")
    command = [sys.executable, "-c", program, fake.url, str(events), str(orders)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "other than events and persons needs chdb, which is not installed" in ended.stdout
