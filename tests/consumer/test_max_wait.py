"""`_max_wait` of a call and `max_wait` of an iteration: seconds in all, whatever the call waits for."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import endpoints_gitops as library
from endpoints_gitops import AsyncEndpoints, Endpoints
from endpoints_gitops.api.flow import RetryPolicy
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.consumer.client_base import PinnedClient
from endpoints_gitops.local.faults import Effect, Fault

ROWS = {"results": [[1]], "columns": ["one"], "types": [["one", "UInt8"]], "hasMore": False, "endpoint_version": 1}


def test_a_call_can_wait_less_than_its_client(app, create, server):
    called = app(create("one"), max_wait=600)
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=30, nth=1))
    began = time.monotonic()
    with pytest.raises(library.Throttled):
        called.run("one", _max_wait=0.5)
    assert time.monotonic() - began < 20
    server.faults.clear()
    with pytest.raises(library.BudgetSpent):  # the pause holds for later calls
        called.run("one", _max_wait=0.5)


def test_a_call_can_wait_longer_than_its_client(app, create, server):
    called = app(create("one"), max_wait=0.01)
    server.faults.add(Fault(effect=Effect.ERROR, status=503, retry_after=0, nth=1))
    assert called.run("one", _max_wait=30)[0].one == 1


@pytest.mark.parametrize("wait", [0, -1, float("nan"), float("inf"), "5", True])
def test_a_wait_that_is_no_duration_is_refused(app, create, server, wait):
    called = app(create("one"))
    with pytest.raises(library.UsageError, match="one@1: _max_wait must be a number of seconds above 0"):
        called.run("one", _max_wait=wait)
    with pytest.raises(library.UsageError, match="one@1: max_wait must be a number of seconds above 0"):
        called.iterate("one", max_wait=wait)
    assert server.requests.entries() == ()


def test_a_variable_may_be_named_max_wait(app, create):
    pin = create("wait", "SELECT {variables.max_wait} AS n", variables={"max_wait": ("Number", 1)})
    assert app(pin).run("wait", max_wait=5)[0].n == 5
    assert app(pin).iterate("wait", variables={"max_wait": 7}, max_wait=30)[0].n == 7


def test_pages_share_one_wait_without_the_time_of_the_app(app, create, monkeypatch):
    """Each page takes 0.2 seconds, and the app five minutes for a row, by a clock of the test."""
    clock, settings, seen = [0.0], PinnedClient._settings, []
    policy = RetryPolicy(now=lambda: clock[0])
    monkeypatch.setattr(PinnedClient, "_settings", lambda *args: settings(*args) | {"retry_policy": policy})

    def answer(request):
        clock[0] += 0.2
        offset = request.body.get("offset", 0)
        body = ROWS | {"results": [[offset]], "hasMore": offset < 9}
        return Answer(status=200, headers={}, body=json.dumps(body).encode())

    def take(row):
        clock[0] += 300
        seen.append(row.one)

    called = app(create("one", "SELECT number AS one FROM numbers(99) ORDER BY one"), answers=answer)
    with pytest.raises(library.WaitEnded, match="one@1: max_wait ended before all pages were read") as raised:
        called.iterate("one", page_size=1, max_wait=0.7, on_row=take)
    assert raised.value.fix == "max_wait=SECONDS waits longer"
    assert seen == [0, 1, 2, 3]
    assert len(called.iterate("one", page_size=1, max_wait=2.5, on_row=take)) == 10
    assert len(called.iterate("one", page_size=1, on_row=take)) == 10


@pytest.fixture
def held(create, lock, server):
    """Clients with a cache, whose server answers once it is let go."""
    begun, released = threading.Event(), threading.Event()

    def answer(_):
        begun.set()
        assert released.wait(30)
        return httpx.Response(200, json=ROWS)

    async def answer_in_loop(request):
        return await asyncio.to_thread(answer, request)

    path, reach = lock(create("one")), {"host": server.url, "project_id": 1, "key": server.key}

    def make(kind, cache=60):
        transport = httpx.MockTransport(answer if kind is Endpoints else answer_in_loop)
        return kind.from_lock(path, **reach, cache=cache, transport=transport), begun, released

    return make


def test_a_thread_waits_for_the_call_of_another_no_longer_than_it_may(held):
    endpoints, begun, released = held(Endpoints)
    with endpoints, ThreadPoolExecutor(1) as thread:
        asking = thread.submit(endpoints.run, "one")
        assert begun.wait(30)
        with pytest.raises(library.WaitEnded, match="one@1: max_wait ended before the answer to another call"):
            endpoints.run("one", _max_wait=0.1)
        released.set()
        assert asking.result(30)[0].one == 1
        assert endpoints.run("one", _max_wait=0.1)[0].one == 1


def test_a_task_waits_for_the_call_of_another_no_longer_than_it_may(held):
    endpoints, begun, released = held(AsyncEndpoints)

    async def play():
        async with endpoints:
            asking = asyncio.create_task(endpoints.run("one"))
            await asyncio.to_thread(begun.wait, 30)
            with pytest.raises(library.WaitEnded):
                await endpoints.run("one", _max_wait=0.1)
            released.set()
            assert (await asking)[0].one == 1

    asyncio.run(play())


def test_a_task_of_trio_waits_for_the_call_of_another_no_longer_than_it_may(held):
    trio = pytest.importorskip("trio")
    endpoints, begun, released = held(Endpoints)
    with endpoints, ThreadPoolExecutor(1) as thread:
        asking = thread.submit(endpoints.run, "one")
        assert begun.wait(30)
        waiting, _, _ = held(AsyncEndpoints, endpoints._cache)

        async def play():
            with pytest.raises(library.WaitEnded):
                await waiting.run("one", _max_wait=0.1)

        trio.run(play)
        released.set()
        assert asking.result(30)[0].one == 1
