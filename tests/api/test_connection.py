"""The hosts that get requests, and those that must not get the key."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.client import AsyncClient, Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.errors import CredentialsError, EndpointsError, UsageError
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret

KEY = "phx_sentinel0123456789"


def to(host, **more):
    return Connection(**{"host": host, "project_id": 1, "key": Secret(KEY)} | more)


@pytest.mark.parametrize("host", ["http://us.posthog.com", "http://10.0.0.1:8000", "HTTP://localhost.evil.test"])
def test_plain_http_is_refused_unless_allowed_by_name(host):
    with pytest.raises(UsageError, match="plain http") as caught:
        to(host)
    assert "ENDPOINTS_GITOPS_ALLOWED_HOSTS" in (caught.value.fix or "")
    assert to(host, allow_insecure=True).is_plain


@pytest.mark.parametrize("host", ["http://localhost:1", "http://127.8.0.1", "http://[::1]:8000", "https://x.test/ph/"])
def test_this_machine_and_https_are_fine(host):
    assert not to(host).host.endswith("/")


@pytest.mark.parametrize(
    "host", ["us.posthog.com", "ftp://x.test", "https://", "https://u:p@x.test", "https://x:99999"]
)
def test_what_is_no_address(host):
    with pytest.raises(UsageError, match="host must be a URL"):
        to(host)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_wait_that_is_none(seconds):
    with pytest.raises(UsageError, match="max_wait must be a number of seconds above 0"):
        to("https://x.test", max_wait=seconds)


NAMES = ["ünïcode", "a/b", "..", ".", "a?b#c", "%2e%2e", "a b", "\ud800", "💥", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_stays_one_segment_of_the_path(server, ask, name):
    with pytest.raises(errors.EndpointNotFound):
        ask("get_endpoint", name)
    (entry,) = server.requests.entries()
    assert entry.path.startswith("/api/projects/1/endpoints/")
    assert entry.path not in {"/api/projects/1/endpoints/", "/api/projects/1/"}


def test_no_name_at_all_is_not_sent(server, ask):
    with pytest.raises(UsageError, match="the name is empty"):
        ask("delete_endpoint", "")
    assert server.requests.entries() == ()


def test_a_path_prefix_is_kept(engine):
    with running_server(engine=engine, prefix="/a/b") as server:
        connection = Connection(host=server.url, project_id=1, key=Secret(server.key))
        with Client(connection) as client:
            client.create_endpoint({"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}})
            assert client.get_endpoint("e").name == "e"


@contextmanager
def raw_server(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Gives one answer to each connection; the address, and what it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        thread.join(timeout=5)


def by_threads(connection: Connection) -> object:
    with Client(connection) as client:
        return client.get_endpoint("e")


def by_loop(connection: Connection) -> object:
    async def call() -> object:
        async with AsyncClient(connection) as client:
            return await client.get_endpoint("e")

    return asyncio.run(call())


@pytest.mark.parametrize("drive", [by_threads, by_loop])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(drive: Callable[[Connection], object], status: int) -> None:
    with raw_server() as (elsewhere, heard_elsewhere):
        answer = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(answer) as (url, heard), pytest.raises(errors.Redirected, match="not followed") as caught:
            drive(to(url))
    assert (len(heard), heard_elsewhere) == (1, [])
    assert b"Bearer " + KEY.encode() in heard[0]
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("drive", [by_threads, by_loop])
def test_an_answer_that_trickles_ends_with_the_wait(drive: Callable[[Connection], object]) -> None:
    """Each part comes in time; all of them do not."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while not stop.is_set():
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while not stop.wait(0.02):
                        try:
                            connection.sendall(b" ")
                        except OSError:
                            break

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(errors.BadAnswer, match="no complete answer within"):
            drive(to(f"http://127.0.0.1:{listening.getsockname()[1]}", max_wait=1))
        stop.set()
        thread.join(timeout=5)


@pytest.mark.parametrize("drive", [by_threads, by_loop])
def test_an_unknown_host_is_not_tried_again(drive, monkeypatch):
    asked = []

    def nobody(*host, **_):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(errors.HostWrong, match="Name or service not known"):
        drive(to("https://us.posthog.test"))
    assert len(asked) == 1


@pytest.mark.parametrize("drive", [by_threads, by_loop])
def test_a_server_without_tls_is_not_asked_again(drive):
    with raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (url, heard), pytest.raises(errors.HostWrong):
        drive(to(url.replace("http:", "https:")))
    assert len(heard) == 1
    assert KEY.encode() not in heard[0]


def test_proxies_of_the_environment_do_not_see_plain_http(connection, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(connection()) as client:
        assert client.list_endpoints() == ()


def answer_of(first: str, body: str = "", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {first}", f"Content-Length: {len(body)}", *headers, "", body]).encode()


LEAKY = [
    answer_of("200 OK", f"<title>you sent Bearer {KEY} to us</title>"),
    answer_of("400 No", f'{{"detail": "bad key {KEY} sent"}}'),
    answer_of("400 No", f'{{"detail": {{"bad": ["{KEY}"]}}}}'),
    answer_of("200 OK", f'{{"id": "{KEY}"}}'),
    answer_of("200 OK", f'["{KEY}"]'),
    answer_of("302 Go", "", f"Location: /?key={KEY}"),
    answer_of("302 Go", "", f"Location: /{KEY}"),
    answer_of(KEY),
]


@pytest.mark.parametrize("answer", LEAKY)
def test_the_key_is_in_no_message_even_when_the_server_repeats_it(quick, ticking, answer):
    lines: list[str] = []
    with raw_server(answer) as (url, heard):
        client = Client(to(url), trace=lines.append, retry_policy=quick(now=ticking(25)))
        with client, pytest.raises(EndpointsError) as caught:
            client.get_endpoint("e")
    assert KEY.encode() in heard[0]
    error = caught.value
    shown = [str(error), repr(error), error.fix, *map(str, vars(error).values()), *lines, repr(client.connection)]
    assert not [text for text in shown if KEY in (text or "")]
    assert lines


def test_the_trace_has_a_line_for_each_request(server, connect, endpoint):
    lines: list[str] = []
    server.faults.add(Fault(effect=Effect.ERROR, status=500, nth=1))
    connect(trace=lines.append).get_version(endpoint, 1)
    assert [line.rpartition(" in ")[0] for line in lines] == [
        "GET /api/projects/1/endpoints/e/?version=1 -> 500",
        "GET /api/projects/1/endpoints/e/?version=1 -> 200",
    ]
    assert lines[1].endswith("ms (attempt 2)")


def test_a_project_secret_key_runs_and_does_nothing_else(server, endpoint, ask):
    secret = {"key": server.project_secret_key}
    assert ask("run", endpoint, to=secret).results == [[1]]
    server.requests.clear()
    for method, arguments in (
        ("list_endpoints", ()),
        ("update_endpoint", (endpoint, {})),
        ("me", ()),
        ("query", ({},)),
    ):
        with pytest.raises(CredentialsError) as caught:
            ask(method, *arguments, to=secret)
        assert caught.value.exit_code == 3
    assert server.requests.entries() == ()


def test_many_threads_share_a_client(connect, endpoint):
    from concurrent.futures import ThreadPoolExecutor

    client = connect()
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda _: client.get_endpoint(endpoint).name, range(64)))
    assert names == [endpoint] * 64
