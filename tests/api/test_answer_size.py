"""Answers of any size and depth: what is kept in memory is bounded, and what cannot be read is one clear error."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.connection import MAX_ANSWER_VARIABLE, Connection
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.secret import Secret

MIB = 2**20


class Sent:
    """What the server answers, whatever is asked, and how often it was asked."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.requests = 200, {}, b"{}", []


@pytest.fixture
def sent() -> Iterator[Sent]:
    answer = Sent()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.requests.append(self.headers)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        answer.host = f"http://127.0.0.1:{server.server_port}"
        yield answer
        server.shutdown()


def packed(kind: str, size: int) -> bytes:
    body = b'{"name": "' + b"x" * size + b'"}'
    return {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}[kind](body)


@pytest.mark.parametrize("kind", ["", "gzip", "deflate"])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(ask, sent, kind):
    sent.body, sent.headers = packed(kind, 300 * MIB if kind else 3 * MIB), {"Content-Encoding": kind} if kind else {}
    tracemalloc.start()
    try:
        with pytest.raises(errors.AnswerTooLarge) as caught:
            ask("get_endpoint", "e", to={"host": sent.host, "max_answer_bytes": 2 * MIB})
        assert tracemalloc.get_traced_memory()[1] < 150 * MIB  # one part of the answer may be unpacked
    finally:
        tracemalloc.stop()
    assert caught.value.message.endswith("the answer has more than 2,097,152 bytes")
    assert caught.value.status == 200
    assert MAX_ANSWER_VARIABLE in str(caught.value.fix)
    assert len(sent.requests) == 1


def test_an_answer_that_is_just_small_enough_is_read(ask, sent):
    sent.body, sent.status, sent.headers = b'{"detail": "x"}', 404, {}
    with pytest.raises(errors.NotFound):
        ask("get_endpoint", "e", to={"host": sent.host, "max_answer_bytes": len(sent.body)})
    with pytest.raises(errors.AnswerTooLarge):
        ask("get_endpoint", "e", to={"host": sent.host, "max_answer_bytes": len(sent.body) - 1})


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x-unknown"])
def test_an_answer_packed_in_another_way_is_refused(ask, sent, encoding):
    sent.headers = {"Content-Encoding": encoding}
    with pytest.raises(errors.AnswerTooLarge, match=f"has the encoding {encoding}, which was not requested"):
        ask("get_endpoint", "e", to={"host": sent.host})
    assert {each["Accept-Encoding"] for each in sent.requests} == {"gzip, deflate"}


def test_of_a_write_it_is_not_known_whether_it_landed(ask, sent):
    sent.body = packed("", 3 * MIB)
    with pytest.raises(errors.LostAnswer, match="more than 2,097,152 bytes"):
        ask("update_endpoint", "e", {"description": "d"}, to={"host": sent.host, "max_answer_bytes": 2 * MIB})
    assert len(sent.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"detail":' * 200_000,
        b'{"results": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": ' + b"9" * 5_000 + b"}",
        b'{"current_version": -' + b"1" * 5_000 + b"}",
        b'{"current_version": 1e999999}',
        b'{"name": "\x00"}',
        b'{"name": "\\ud800"}',
        b"\xff\xfe{}",
        b"NaN",
        b"",
    ],
    ids=["list", "objects", "results", "digits", "negative", "exponent", "nul", "surrogate", "utf-16", "nan", "empty"],
)
@pytest.mark.parametrize("call", [("get_endpoint", "e"), ("run", "e"), ("list_endpoints",)])
def test_no_answer_is_a_traceback(ask, sent, ticking, call, body, status):
    sent.body, sent.status = body, status
    with pytest.raises(errors.ApiError) as caught:
        ask(*call, to={"host": sent.host}, retry_policy={"now": ticking(25)})
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 3_000


@pytest.mark.parametrize(("text", "size"), [("", 256 * MIB), ("1000", 1000)])
def test_the_limit_comes_from_the_environment(monkeypatch, text, size):
    monkeypatch.setenv(MAX_ANSWER_VARIABLE, text)
    assert Connection(host="https://h.test", project_id=1, key=Secret("phx_k")).max_answer_bytes == size


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "much", "9" * 5_000, "٣"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(MAX_ANSWER_VARIABLE, text)
    with pytest.raises(UsageError, match="must be a number of bytes above 0"):
        Connection(host="https://h.test", project_id=1, key=Secret("phx_k"))
