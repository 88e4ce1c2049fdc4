"""A ClickHouse server for tests: embedded ClickHouse behind ClickHouse's documented HTTP interface.

No package registry has a recent server. This one does what a client sees of the interface: the statement in the body or
in `query` (before the body), `database`, settings as parameters, the format in `X-ClickHouse-Format`, basic
authentication, exceptions as text with their code in `X-ClickHouse-Exception-Code`, `/ping`. Each request has a
connection of its own, as on a server. `/__statements__` lists the statements that it executed.

A cluster is one node here: ON CLUSTER and replicas are taken out of a statement after it is listed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

USER, PASSWORD = "tester", 'it\'s a "secret" /@:%'
READER = "reader"
CLUSTER = "two nodes"
REAL = "ENDPOINTS_GITOPS_TEST_CLICKHOUSE"
"""The URL of a real server or cluster that the tests use instead, if this variable is set."""
_TRANSPORT = {"database", "query", "query_id", "wait_end_of_query", "user", "password", "session_id", "role"}
_IGNORED = {"client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
_CODE = re.compile(r"Code: (\d+)\.")
_REFUSED = {516: 403, 62: 400, 164: 403, 497: 403}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, version: str) -> None:
        super().__init__(("127.0.0.1", int(os.environ.get("CLICKHOUSE_TEST_PORT", "0"))), Handler)
        self.version = version
        self.statements: list[str] = []
        self.lock = threading.Lock()
        self.kept = connected()  # without a connection, the databases would be gone


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/ping":
            self.answer(200, b"Ok.\n")
        elif path == "/__statements__":
            with self.server.lock:
                self.answer(200, json.dumps(self.server.statements).encode())
        else:
            self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        user = self.user()
        if user is None:
            text = "Code: 516. DB::Exception: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
            self.refuse(text)
            return
        statement, rows = (given["query"], body) if given.get("query") else (body.decode(), b"")
        try:
            self.answer(200, self.run(statement, rows, given, user))
        except RuntimeError as error:
            self.refuse(str(error))

    def user(self) -> str | None:
        scheme, _, encoded = (self.headers.get("Authorization") or "").partition(" ")
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        return name if scheme == "Basic" and password == PASSWORD and name in (USER, READER) else None

    def run(self, statement: str, rows: bytes, given: dict[str, str], user: str) -> bytes:
        with self.server.lock:
            self.server.statements.append(statement)
        if statement == "SELECT version(), timezone()" and self.server.version:
            return f"{self.server.version}\tUTC\n".encode()
        settings = {name: value for name, value in given.items() if name not in _TRANSPORT | _IGNORED}
        connection = connected()
        try:
            if given.get("database"):
                connection.query(f"USE `{given['database']}`")
            settings = {"max_threads": "2"} | settings | ({"readonly": "1"} if user == READER else {})
            connection.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))
            if rows:
                return self.insert(connection, statement, rows)
            form = self.headers.get("X-ClickHouse-Format") or "TabSeparated"
            answer: bytes = connection.query(single_node(statement), form).bytes()
            return answer
        finally:
            connection.close()

    def insert(self, connection: Any, statement: str, rows: bytes) -> bytes:
        """Rows can be of any format, so they come from a file."""
        head, form = statement.rsplit(" FORMAT ", 1)
        with tempfile.NamedTemporaryFile() as file:
            file.write(rows)
            file.flush()
            table = head.removeprefix("INSERT INTO ")
            connection.query(f"INSERT INTO {table} FROM INFILE '{file.name}' FORMAT {form}")
        return b""

    def refuse(self, text: str) -> None:
        code = int(match[1]) if (match := _CODE.match(text)) else 1000
        body = f"{text} (version {self.server.version or '26.9.2.1'} (official build))\n".encode()
        self.answer(_REFUSED.get(code, 500), body, {"X-ClickHouse-Exception-Code": str(code)})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-ClickHouse-Format": "TabSeparated", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)


def connected() -> Any:
    from chdb import session

    untyped: Any = session
    return untyped.Session()


def quoted(value: str) -> str:
    return value if re.fullmatch(r"-?[0-9]+", value) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def single_node(statement: str) -> str:
    """The statement for the only node of a cluster, which system.clusters calls two."""
    nodes = f"SELECT '{CLUSTER}' AS cluster, number + 1 AS shard_num, 1 AS replica_num FROM numbers(2)"
    statement = statement.replace("FROM system.clusters", f"FROM ({nodes})").replace(f" ON CLUSTER `{CLUSTER}`", "")
    return re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, (\w*))?\)", r"\1(\2)", statement)


@dataclass(frozen=True, slots=True)
class RunningClickHouse:
    """A server of the tests. `url` has the user and the password."""

    url: str
    port: int
    process: subprocess.Popen[str]

    @property
    def statements(self) -> list[str]:
        """Everything that it executed so far."""
        found: list[str] = httpx.get(f"http://127.0.0.1:{self.port}/__statements__", verify=False).json()
        return found


@contextlib.contextmanager
def running_clickhouse(*, version: str = "", port: int = 0) -> Iterator[RunningClickHouse]:
    """A server in a process of its own. `version` is what it claims to be."""
    command = [sys.executable, "-m", "tests.clickhouse_server", "--version", version]
    top = Path(__file__).parents[1]
    environ = os.environ | {"CLICKHOUSE_TEST_PORT": str(port)}
    process = subprocess.Popen(command, cwd=top, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield RunningClickHouse(f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/", port, process)
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="")
    server = Server(parser.parse_args().version)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
