"""Bytes that are not a request of a client: large, deep, cut off, slow. Each gets one clear 4xx."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]
JSON: Final = {"Content-Type": "application/json"}
QUERY: Final = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
TEN_MEGABYTES: Final = 10_000_000
CONTENTS: Final = {
    "ten megabytes of blanks": b" " * TEN_MEGABYTES,
    "ten megabytes of text": b'{"name": "' + b"a" * TEN_MEGABYTES + b'"}',
    "ten megabytes of SQL": json.dumps(
        {"name": "e", "query": {**QUERY, "query": "SELECT 1" + ", 1" * 3_300_000}}
    ).encode(),
    "ten megabytes of keys": json.dumps({f"key {number}": number for number in range(500_000)}).encode(),
    "ten megabytes of variables": json.dumps(
        {"name": "e", "query": {**QUERY, "variables": {f"v{number}": {"code_name": "a"} for number in range(250_000)}}}
    ).encode(),
    "a list in lists": b"[" * 100_000 + b"]" * 100_000,
    "an object in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a query in lists": b'{"name": "e", "query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "brackets in SQL": json.dumps({"name": "e", "query": {**QUERY, "query": "SELECT " + "(" * 100_000}}).encode(),
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "half a UTF-8 character": b'{"name": "\xf0\x9f"}',
    "half a surrogate pair": b'{"name": "\\udc00"}',
    "UTF-16": '{"name": "e"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "e"}',
    "a NUL byte": b'{"name": "e\x00"}',
    "an escaped NUL": b'{"name": "e\\u0000"}',
    "NaN": b'{"name": "e", "data_freshness_seconds": NaN}',
    "infinity": b'{"name": "e", "data_freshness_seconds": -Infinity}',
    "a huge float": b'{"name": "e", "data_freshness_seconds": 1e999}',
    "a huge integer": b'{"name": "e", "data_freshness_seconds": ' + b"9" * 4000 + b"}",
    "an integer beyond Python": b'{"name": "e", "data_freshness_seconds": ' + b"9" * 100_000 + b"}",
    "two documents": b'{"name": "e"}{"name": "f"}',
    "a comma at the end": b'{"name": "e",}',
    "single quotes": b"{'name': 'e'}",
    "a comment": b'{"name": "e" /* name */}',
    "a form": b"name=e",
}
PATHS: Final = ("endpoints/", "endpoints/e/run", "query/", "insight_variables/", "endpoints/last_execution_times/")


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTENTS)
def test_content(ask: Ask, name: str) -> None:
    started = time.monotonic()
    answer = ask("POST", "endpoints/", content=CONTENTS[name], headers=JSON)
    assert 400 <= answer.status_code < 500
    told = answer.json()
    assert told["type"] in {"invalid_request", "validation_error"}
    assert 0 < len(told["detail"]) < 25_000, "the answer repeats what was sent"
    assert time.monotonic() - started < 20
    assert ask("GET", "endpoints/").json()["count"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_content_of_other_requests(ask: Ask, path: str) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": QUERY})
    for name, content in CONTENTS.items():
        answer = ask("POST", path, content=content, headers=JSON)
        if answer.status_code == 500:
            assert path.endswith("times/"), f"{name}: {answer.text[:200]}"
        else:
            assert answer.is_success or 400 <= answer.status_code < 500, f"{name}: {answer.text[:200]}"


def test_the_last_of_two_equal_keys_counts(ask: Ask) -> None:
    content = b'{"name": "first", "name": "last", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}}'
    assert ask("POST", "endpoints/", content=content, headers=JSON).json()["name"] == "last"


@pytest.fixture
def plain(server: RunningServer) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections to the server."""
    opened: list[socket.socket] = []
    parts = urlsplit(server.url)

    def connected() -> socket.socket:
        opened.append(socket.create_connection((parts.hostname, parts.port), timeout=10))
        return opened[-1]

    yield connected
    for connection in opened:
        connection.close()


def head(server: RunningServer, method: str, path: str, *lines: str) -> bytes:
    common = ("Host: 127.0.0.1", f"Authorization: Bearer {server.key}", "Content-Type: application/json", *lines)
    return "\r\n".join((f"{method} /api/projects/1/{path} HTTP/1.1", *common, "", "")).encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 100,
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: nothing\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request(plain: Callable[[], socket.socket], ask: Ask, sent: bytes) -> None:
    connection = plain()
    connection.sendall(sent)
    answer = connection.recv(65_536)
    assert answer.split(b" ", 2)[1][:1] == b"4", answer[:200]
    assert ask("GET", "endpoints/").status_code == 200


def test_a_body_in_chunks(server: RunningServer, plain: Callable[[], socket.socket], ask: Ask) -> None:
    content = json.dumps({"name": "e", "query": QUERY}).encode()
    connection = plain()
    connection.sendall(head(server, "POST", "endpoints/", "Transfer-Encoding: chunked"))
    for byte in content:
        connection.sendall(b"1\r\n%c\r\n" % byte)
    connection.sendall(b"0\r\n\r\n")
    assert connection.recv(65_536).startswith(b"HTTP/1.1 201")
    assert ask("GET", "endpoints/e/").status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("length", [["Content-Length: 100"], ["Transfer-Encoding: chunked"]])
def test_a_request_that_breaks_off_is_not_handled(
    server: RunningServer, plain: Callable[[], socket.socket], ask: Ask, method: str, length: list[str]
) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": QUERY})
    before = ask("GET", "endpoints/e/").json()
    connection = plain()
    connection.sendall(
        head(server, method, "endpoints/e/", *length) + (b"1\r\n \r\n" if "chunked" in length[0] else b" ")
    )
    connection.close()
    for _ in range(20):
        assert ask("GET", "endpoints/e/").json() == before


def test_slow_requests_hold_up_nobody(server: RunningServer, plain: Callable[[], socket.socket], ask: Ask) -> None:
    """Two hundred connections: half of them inside their headers, half inside their bodies."""
    begun = head(server, "POST", "endpoints/", "Content-Length: 1000")
    for number in range(200):
        plain().sendall(begun[:50] if number % 2 else begun + b'{"name": "')
    started = time.monotonic()
    assert ask("POST", "endpoints/", {"name": "e", "query": QUERY}).status_code == 201
    assert ask("POST", "endpoints/e/run", {}).json()["results"] == [[1]]
    assert time.monotonic() - started < 10


def test_an_answer_that_is_not_read_holds_up_nobody(
    server: RunningServer, plain: Callable[[], socket.socket], ask: Ask
) -> None:
    rows: dict[str, Any] = {"query": {**QUERY, "query": "SELECT repeat('a', 1000) FROM numbers(20000) LIMIT 20000"}}
    content = json.dumps(rows).encode()
    for _ in range(3):
        plain().sendall(head(server, "POST", "query/", f"Content-Length: {len(content)}") + content)
    with closing(plain()):
        assert ask("POST", "query/", {"query": QUERY}).json()["results"] == [[1]]
