"""Clients that an app makes at import, the key of the plugin, refusals without retries, and rehearsals."""

from __future__ import annotations

import pytest

APP = """
from endpoints_gitops import AsyncEndpoints, Endpoints

endpoints = Endpoints.from_lock(max_wait=2)
cached = Endpoints.from_lock(max_wait=2, cache=60)
async_endpoints = AsyncEndpoints.from_lock(max_wait=2)

def mrr(client, month):
    return sum(row.mrr for row in client.run("revenue", month=month))

async def async_mrr(month):
    return sum(row.mrr for row in await async_endpoints.run("revenue", month=month))
"""
HEAD = """
import asyncio, os, urllib.request
from contextlib import suppress
import board, pytest
from endpoints_gitops import Endpoints

def ask(month="2026-07", name="revenue"):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/{name}/run?version=1"
    body = b'{"variables": {"month": "%s"}}' % month.encode()
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    with suppress(urllib.error.HTTPError):
        return urllib.request.urlopen(urllib.request.Request(url, body, headers)).status
"""
HOST = "posthog.quill.example"


@pytest.fixture
def recorded(app_once):
    app = app_once
    path = app.folder / "endpoints.toml"
    path.write_text(path.read_text().replace(app.server.url, f"https://{HOST}"))
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.write("board.py", APP)
    app.pytester.syspathinsert()
    return app


def test_a_client_made_at_import_follows_the_fixture(recorded):
    recorded.suite(
        HEAD
        + """
def test_it(endpoints_env, endpoints_server):
    assert board.mrr(board.endpoints, "2026-07") == 120
    assert asyncio.run(board.async_mrr("2026-07")) == 120
    assert [row.mrr for row in board.endpoints.iterate("revenue", month="2026-07")] == [120]
    assert len(endpoints_server.requests) == 3

@pytest.mark.parametrize("number", range(2))
def test_tests_do_not_share_a_cache(endpoints_env, endpoints_server, number):
    assert board.mrr(board.cached, "2026-07") == board.mrr(board.cached, "2026-07") == 120
    assert len(endpoints_server.requests) == 1

def test_a_host_given_in_code_is_not_replaced(endpoints_env, endpoints_server):
    client = Endpoints.from_lock(host=endpoints_server.url, project_id=1, key="phx_other", max_wait=1)
    with pytest.raises(Exception, match="401"):
        client.run("revenue", month="2026-07")

def test_the_redirection_ends_with_the_test():
    with pytest.raises(pytest.fail.Exception, match="the network was used"):
        Endpoints.from_lock(max_wait=1, host="https://posthog.quill.example", key="phx_x").run("revenue")
"""
    )
    recorded.pytest(env={"ENDPOINTS_GITOPS_ALLOWED_HOSTS": f"https://{HOST}"}).assert_outcomes(passed=5)


@pytest.mark.parametrize("mode", ["record", "refresh", "live"])
def test_the_plugin_does_not_use_its_own_made_up_key(app_once, mode):
    app = app_once
    app.locks(app.PIN)
    app.write("board.py", APP)
    app.pytester.syspathinsert()
    app.suite(
        HEAD
        + """
def test_server(endpoints_env):
    ask()

def test_fixture(endpoints_env, endpoints):
    endpoints("revenue")

def test_set_by_the_test(endpoints_server, endpoints, monkeypatch):
    monkeypatch.setenv("APP_KEY", endpoints_server.key)
    endpoints("revenue")
"""
    )
    before = app.runs()
    result = app.pytest(f"--endpoints={mode}")
    result.assert_outcomes(passed=1, errors=1, failed=2)
    assert "environment test: no way to call the server" in result.outlines
    assert app.runs() == before


def test_the_key_of_the_server_is_never_sent_to_another_host(recorded):
    """The app kept its host from before the test, and the mode has no other guard."""
    recorded.suite(
        HEAD
        + """
import socket

@pytest.mark.endpoints(mode="live")
def test_it(endpoints_env, monkeypatch):
    monkeypatch.setattr(socket.socket, "getpeername", lambda self: ("192.0.2.7", 443))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        head = f"GET /run HTTP/1.1\\r\\nHost: app.example\\r\\nAuthorization: Bearer {os.environ['POSTHOG_API_KEY']}"
        with suppress(BaseException):
            ours.sendall(head.encode() + b"\\r\\n\\r\\n")
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(100) == b""
"""
    )
    result = recorded.pytest()
    result.assert_outcomes(passed=1, errors=1)
    assert "app.example: the key of endpoints_server was about to be sent there" in result.outlines


def test_the_client_does_not_retry_a_refusal_by_the_plugin(recorded):
    """Waiting does not create a recording."""
    recorded.suite(
        HEAD
        + """
from endpoints_gitops import EndpointsError

@pytest.mark.parametrize("call", ["month='1900-01'", "mnth=1"])
def test_it(endpoints_env, endpoints_server, call):
    client = Endpoints.from_lock(max_wait=60)
    with pytest.raises(EndpointsError):
        client.run("revenue", variables={"month": "1900-01"})
    (asked,) = endpoints_server.requests
    assert 400 <= asked.status < 500 and asked.status not in (408, 425, 429)
"""
    )
    recorded.pytest().assert_outcomes(passed=2, errors=2)


def test_a_rehearsal_of_an_unknown_name_fails_at_once(recorded):
    recorded.suite(
        HEAD
        + """
def test_it(endpoints_env, endpoints_server):
    endpoints_server.fail("revenu")
    assert False, "not reached"
"""
    )
    result = recorded.pytest()
    result.assert_outcomes(failed=1)
    assert recorded.failure(result, "revenu").startswith(
        "revenu: not pinned in environment test; did you mean 'revenue'?"
    )


def test_a_rehearsal_that_no_call_met_fails_the_test(recorded):
    recorded.suite(
        HEAD
        + """
def test_unmet(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue")

def test_replaced(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", status=500)
    endpoints_server.fail("revenue", status=429)
    assert ask() is None

def test_met(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", times=2)
    assert ask() is None

def test_failed_anyway(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue")
    assert False
"""
    )
    result = recorded.pytest()
    result.assert_outcomes(passed=3, errors=2, failed=1)
    assert "revenue: no call met the rehearsed error" in result.outlines


KEPT = """
import os, pytest
from endpoints_gitops import Cache, Endpoints

clients = []

def client(**cache):
    \"\"\"As an app that makes one client, from its settings, when it first needs it.\"\"\"
    if not clients:
        project = int(os.environ["POSTHOG_PROJECT_ID"])
        key = os.environ["POSTHOG_API_KEY"]
        settings = {"host": os.environ["POSTHOG_HOST"], "project_id": project, "key": key}
        clients.append(Endpoints.from_lock(max_wait=2, cache=Cache(seconds=600, stale_if_error=600, CACHE), **settings))
    return clients[0]

@pytest.mark.parametrize("mrr", [1, 2])
def test_rows(endpoints, endpoints_env, endpoints_server, mrr):
    endpoints.stub("revenue", rows=[["pro", mrr, "2026-07"]])
    assert client().run("revenue").column("mrr") == client().run("revenue").column("mrr") == [mrr]
    assert len(endpoints_server.requests) == 1

def test_stale(endpoints, endpoints_env):
    endpoints.stub("revenue", status=503)
    with pytest.raises(Exception, match="capacity"):
        client().run("revenue")

def test_recorded(endpoints_env):
    assert client().run("revenue", month="2026-07").column("mrr") == [120]
"""


@pytest.mark.parametrize("shared", [False, True], ids=["in the process", "in Redis"])
def test_no_cached_answer_reaches_another_test(recorded, shared, request):
    """Not even in a client with a host in code, which is not redirected."""
    url = request.getfixturevalue("redis_url") if shared else None
    recorded.suite(KEPT.replace("CACHE", f"url={url!r}"))
    recorded.pytest("-p", "no:randomly").assert_outcomes(passed=4)
