"""A query that the parser cannot finish is refused, and other requests are answered meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from endpoints_gitops.hogql import parser
from endpoints_gitops.hogql.parser_processes import POOL
from endpoints_gitops.local.engine.embedded import EmbeddedSession
from endpoints_gitops.local.serve import RunningServer
from tests.serve_process import serve_process


def endless(name: str) -> str:
    """A text of its own for each test: what the parser could not finish is kept."""
    return "SELECT " + "CAST(" * 37 + name


def hogql(sql: str) -> dict[str, Any]:
    return {"kind": "HogQLQuery", "query": sql}


@pytest.fixture
def small(ask: Callable[..., httpx.Response]) -> None:
    assert ask("POST", "endpoints/", {"name": "small", "query": hogql("SELECT 1 AS one")}).status_code == 201


def assert_others_are_answered(ask: Callable[..., httpx.Response]) -> None:
    assert ask("GET", "endpoints/small/").json()["name"] == "small"
    assert ask("POST", "endpoints/small/run", {}).json()["results"] == [[1]]
    assert ask("POST", "endpoints/", {"name": "other", "query": hogql("SELECT 2 AS two")}).status_code == 201


REQUESTS = [
    ("POST", "query/", {"query": hogql(endless("asked"))}),
    ("POST", "endpoints/", {"name": "slow", "query": hogql(endless("created"))}),
    ("PATCH", "endpoints/small/", {"query": hogql(endless("patched"))}),
    ("PUT", "endpoints/small/", {"query": hogql(endless("put"))}),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=["query", "create", "patch", "put"])
def test_others_are_answered_while_a_query_is_parsed(
    server: RunningServer, ask: Callable[..., httpx.Response], method: str, path: str, body: Any
) -> None:
    begun, real = threading.Event(), POOL.parse
    released = threading.Event()

    def parse(sql: str, *more: Any) -> str:
        if "CAST(CAST(" not in sql:
            return real(sql, *more)
        begun.set()
        assert released.wait(30)
        return real(sql, 0.2, *more[1:])

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setattr(POOL, "parse", parse)
        slow = thread.submit(ask, method, path, body)
        try:
            assert begun.wait(30)
            assert_others_are_answered(ask)
            assert not slow.done()
        finally:
            released.set()
        assert slow.result(30).status_code == 400
        assert "could not be parsed within" in slow.result().json()["detail"]
    assert server.store.lock.acquire(blocking=False)
    server.store.lock.release()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "query/", {"query": hogql("SELECT 'slow'")}),
        ("POST", "endpoints/", {"name": "slow", "query": hogql("SELECT 'slow'")}),
        ("PATCH", "endpoints/small/", {"query": hogql("SELECT 'slow'")}),
    ],
    ids=["query", "create", "patch"],
)
def test_others_are_answered_while_the_engine_is_busy(
    ask: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    begun, released, real = threading.Event(), threading.Event(), EmbeddedSession.execute

    def asked(session: EmbeddedSession, sql: str, answer_format: str = "TSVRaw") -> str:
        if "slow" in sql:
            begun.set()
            assert released.wait(30)
        return real(session, sql, answer_format)

    monkeypatch.setattr(EmbeddedSession, "execute", asked)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(ask, method, path, body)
        try:
            assert begun.wait(30)
            assert_others_are_answered(ask)
            assert not slow.done()
        finally:
            released.set()
        assert slow.result(30).is_success


@pytest.mark.usefixtures("small")
def test_a_preview_parses_without_the_lock(
    server: RunningServer, ask: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT ((((((((((((1)))))))))))) AS previewed"
    assert ask("POST", "endpoints/", {"name": "deep", "query": hogql(sql)}).status_code == 201
    parser._outcome.cache_clear(), parser._answered.cache_clear()
    real, held = POOL.parse, []

    def parse(*more: Any) -> str:
        with ThreadPoolExecutor(1) as thread:  # the lock is reentrant: another thread sees whether it is held
            held.append(not thread.submit(take_and_release, server).result())
        return real(*more)

    monkeypatch.setattr(POOL, "parse", parse)
    assert ask("POST", "endpoints/deep/materialization_preview", {}).json()["can_materialize"] is True
    assert held == [False]


def take_and_release(server: RunningServer) -> bool:
    if not server.store.lock.acquire(blocking=False):
        return False
    server.store.lock.release()
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_at_once_while_it_parses(processes: Any, number: signal.Signals) -> None:
    with serve_process() as (start, process):
        client = httpx.Client(
            base_url=f"{start['url']}/api/projects/1",
            headers={"Authorization": f"Bearer {start['readonly_key']}"},
            verify=False,
            timeout=30,
        )
        with client, ThreadPoolExecutor(1) as thread:
            slow = thread.submit(client.post, "/query/", json={"query": hogql(endless("stopped"))})
            processes.until(lambda: processes.descendants(process.pid, "parser_child"))
            assert client.get("/endpoints/").json()["results"] == []
            process.send_signal(number)
            assert (*process.communicate(timeout=parser.SECONDS / 2), process.returncode) == ("", "", 0)
            with pytest.raises(httpx.HTTPError):
                slow.result(30).raise_for_status()
