"""`warm_up` does what the first call would do before its request."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest

import endpoints_gitops as library
from endpoints_gitops import AsyncEndpoints, Endpoints
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import FileRateLimiter
from endpoints_gitops.model.secret import Secret
from tests.redis_server import free_port

IN_THREADS = """
endpoints.warm_up()
before = set(sys.modules)
print(endpoints.run("one")[0].one, sorted(set(sys.modules) - before))
"""
IN_LOOP = """
async def main():
    await endpoints.warm_up()
    before = set(sys.modules)
    print((await endpoints.run("one"))[0].one, sorted(set(sys.modules) - before))

import {loop}
{loop}.run(main{call})
"""
PROGRAMS = {
    "threads": ("Endpoints", IN_THREADS),
    "asyncio": ("AsyncEndpoints", IN_LOOP.format(loop="asyncio", call="()")),
    "trio": ("AsyncEndpoints", IN_LOOP.format(loop="trio", call="")),
}


@pytest.mark.parametrize(("kind", "program"), PROGRAMS.values(), ids=PROGRAMS)
def test_the_first_call_after_it_imports_nothing(create, lock, server, kind, program):
    start = f"""
import sys
from endpoints_gitops import {kind}
url, lock, key = sys.argv[1:]
endpoints = {kind}.from_lock(lock, host=url, project_id=1, key=key)
"""
    command = [sys.executable, "-c", start + program, server.url, lock(create("one")), server.key]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("1 []\n", "")


def warm_up(called, **options):
    if isinstance(called.endpoints, Endpoints):
        called.endpoints.warm_up(**options)
    else:
        called._runner.run(called.endpoints.warm_up(**options))


def test_it_sends_nothing(app, create, server):
    called = app(create("one"))
    warm_up(called)
    assert called.endpoints._open if isinstance(called.endpoints, Endpoints) else called.endpoints._opened
    assert server.requests.entries() == ()


def test_the_first_call_uses_the_connection_that_it_opened(app, create, server, tmp_path):
    called = app(create("one"))
    warm_up(called, connect=True)
    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    limiter = FileRateLimiter(tmp_path / "state" / "budgets.sqlite", connection, notice=pytest.fail)
    assert limiter.remaining()["direct"].minute == 240
    limiter.close()
    called.run("one")
    opened, run = server.requests.entries()
    assert (opened.method, opened.path) == ("HEAD", "/")
    assert run.path.endswith("/endpoints/one/run/?version=1")
    assert opened.port == run.port


@pytest.mark.parametrize("kind", [Endpoints, AsyncEndpoints])
def test_a_connection_is_opened_without_the_key(create, lock, kind):
    headers = []

    def answer(request):
        headers.append((request.method, str(request.url), request.headers.get("authorization")))
        return httpx.Response(302, headers={"location": "https://posthog.example/login"})

    reach = {"host": "https://us.posthog.com/proxy", "project_id": 1, "key": "phx_secret"}
    endpoints = kind.from_lock(lock(create("one")), **reach, transport=httpx.MockTransport(answer))
    if kind is Endpoints:
        endpoints.warm_up(connect=True)
        endpoints.close()
    else:

        async def play():
            async with endpoints:
                await endpoints.warm_up(connect=True)

        asyncio.run(play())
    assert headers == [("HEAD", "https://us.posthog.com/proxy/", None)]


def test_it_fails_where_a_call_would(app, create):
    nowhere = app(create("one"), host=f"http://127.0.0.1:{free_port()}")
    warm_up(nowhere)
    with pytest.raises(library.Unreachable, match=r"^HEAD /: http://127\.0\.0\.1:"):
        warm_up(nowhere, connect=True)


def test_it_needs_a_key(create, lock, server):
    endpoints = Endpoints.from_lock(lock(create("one")), host=server.url, project_id=1)
    with pytest.raises(library.CredentialsError):
        endpoints.warm_up()
