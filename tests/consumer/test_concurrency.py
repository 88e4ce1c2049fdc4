"""How many calls with one key a process makes at once, and what the others wait for."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

import endpoints_gitops as library
from endpoints_gitops import AsyncEndpoints, Concurrency, Endpoints
from endpoints_gitops.api.rate_limiter import CallSlots, call_slots


class Counting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Counts the requests that are under way at once; holds each until so many have come, or it is let go."""

    def __init__(self, *, holds: bool = False) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.requests = 0
        self.begun, self.released = threading.Semaphore(0), threading.Event()
        if not holds:
            self.released.set()

    def _answer(self) -> httpx.Response:
        with self.lock:
            self.requests += 1
            self.now += 1
            self.most = max(self.most, self.now)
        self.begun.release()
        assert self.released.wait(30)
        with self.lock:
            self.now -= 1
        body = {"results": [[1]], "columns": ["n"], "types": [["n", "UInt64"]], "hasMore": False, "endpoint_version": 1}
        return httpx.Response(200, json=body)

    def handle_request(self, _request: httpx.Request) -> httpx.Response:
        return self._answer()

    async def handle_async_request(self, _request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self._answer)


@pytest.fixture
def make(lock, create, server, request):
    """Makes clients of one pinned endpoint with a key of this test: `make(AsyncEndpoints, transport=…)`."""
    pin = create("one", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)})
    path = lock(pin, replace(pin, name="table", materialized=True, variables=()))
    made = []

    def client(kind=Endpoints, **more):
        key = f"phx_{abs(hash(request.node.nodeid))}"
        client = kind.from_lock(path, **{"host": server.url, "project_id": 1, "key": key, "contract": "off"} | more)
        made.append(client)
        return client

    yield client
    for client in made:
        if isinstance(client, Endpoints):
            client.close()


def slots(client) -> CallSlots:
    return call_slots(client._connection())


def wait_until(condition) -> None:
    for _ in range(30_000):
        if condition():
            return
        threading.Event().wait(0.001)
    pytest.fail("the condition was never met")


@pytest.mark.parametrize(
    ("name", "settings", "most"),
    [
        ("one", {}, 3),
        ("table", {}, 10),
        ("one", {"concurrency": Concurrency(direct=5)}, 5),
        ("table", {"concurrency": Concurrency(materialized=2)}, 2),
        ("one", {"concurrency": None}, 12),
    ],
)
def test_threads_make_so_many_calls_at_once(make, name, settings, most):
    transport = Counting(holds=True)
    endpoints = make(transport=transport, **settings)
    with ThreadPoolExecutor(12) as threads:
        calls = [threads.submit(endpoints.run, name) for _ in range(12)]
        for _ in range(most):
            assert transport.begun.acquire(timeout=30)
        if most < 12:
            wait_until(lambda: len(slots(endpoints)._waiting[name == "table"]) == 12 - most)
        assert transport.now == most
        transport.released.set()
        assert {call.result(30)[0].n for call in calls} == {1}
    assert (transport.requests, transport.most) == (12, most)
    assert slots(endpoints).running(materialized=name == "table") == 0


def test_threads_and_event_loops_of_all_clients_count_together(make):
    transport = Counting(holds=True)
    clients = make(transport=transport), make(transport=transport), make(AsyncEndpoints, transport=transport)

    async def several():
        return await asyncio.gather(*(clients[2].run("one", n=n) for n in range(4)))

    with ThreadPoolExecutor(5) as threads:
        calls = [threads.submit(client.run, "one") for client in clients[:2] for _ in range(2)]
        calls.append(threads.submit(asyncio.run, several()))
        wait_until(lambda: len(slots(clients[0])._waiting[False]) == 5)
        for _ in range(3):
            assert transport.begun.acquire(timeout=30)
        assert transport.now == 3
        transport.released.set()
        for call in calls:
            assert call.result(30)
    assert (transport.requests, transport.most) == (8, 3)


def test_trio_waits_too(make):
    trio = pytest.importorskip("trio")
    transport = Counting()

    async def answer(_):
        transport.now += 1
        transport.most = max(transport.most, transport.now)
        await trio.sleep(0.01)
        transport.now -= 1
        return transport._answer()

    endpoints = make(AsyncEndpoints, transport=httpx.MockTransport(answer))

    async def play():
        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(lambda n=n: endpoints.run("one", n=n))

    trio.run(play)
    assert (transport.requests, transport.most) == (8, 3)


def test_another_key_has_slots_of_its_own(make):
    transport = Counting(holds=True)
    first, second = make(transport=transport), make(transport=transport, key="phx_another")
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(client.run, "one") for client in (first, second) for _ in range(3)]
        for _ in range(6):
            assert transport.begun.acquire(timeout=30)
        transport.released.set()
        assert all(call.result(30) for call in calls)
    assert slots(first) is not slots(second)


@pytest.fixture
def full(make):
    """A client of which three calls are held, and what lets them go."""
    transport = Counting(holds=True)
    endpoints = make(transport=transport)
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(endpoints.run, "one") for _ in range(3)]
        for _ in range(3):
            assert transport.begun.acquire(timeout=30)
        try:
            yield transport
        finally:
            transport.released.set()
        assert all(call.result(30) for call in calls)
    assert slots(endpoints).running(materialized=False) == 0
    assert not slots(endpoints)._waiting[False]


@pytest.mark.parametrize("kind", [Endpoints, AsyncEndpoints])
def test_a_wait_for_a_slot_ends_with_max_wait(make, full, kind):
    events = []
    endpoints = make(kind, transport=full, on_request=events.append)

    def call():
        rows = endpoints.run("one", _max_wait=0.05)
        return rows if kind is Endpoints else asyncio.run(rows)

    with pytest.raises(library.NoFreeSlot) as raised:
        call()
    assert str(raised.value) == "one@1: 3 calls with this key were running until max_wait ended; nothing was sent"
    assert raised.value.fix == (
        "make fewer calls at once, wait longer with max_wait=SECONDS, or raise the limits of Concurrency"
    )
    [event] = events
    assert (event.error, event.attempts, event.request_id) == (raised.value, 0, None)
    assert event.seconds >= 0.05
    assert full.requests == 3


def test_a_page_waits_for_a_slot_and_none_is_held_between_pages(make, full):
    endpoints = make(transport=full)
    rows = endpoints.iterate("one", max_wait=0.05)
    with pytest.raises(library.NoFreeSlot):
        next(rows)
    rows = endpoints.iterate("one")
    full.released.set()
    wait_until(lambda: slots(endpoints).running(materialized=False) == 0)
    next(rows)
    assert slots(endpoints).running(materialized=False) == 0, "an iteration that goes no further would hold it for ever"


def test_a_cancelled_wait_leaves_no_slot_behind(make, full):
    endpoints = make(AsyncEndpoints, transport=full)

    async def play():
        waiting = [asyncio.create_task(endpoints.run("one", n=n)) for n in range(4)]
        await asyncio.sleep(0)
        while len(slots(endpoints)._waiting[False]) < 4:
            await asyncio.sleep(0.001)
        for task in waiting[1:3]:
            task.cancel()
        cancelled = await asyncio.gather(*waiting[1:3], return_exceptions=True)
        assert [type(error) for error in cancelled] == [asyncio.CancelledError] * 2
        assert len(slots(endpoints)._waiting[False]) == 2
        full.released.set()
        assert [(await task)[0].n for task in (waiting[0], waiting[3])] == [1, 1]

    asyncio.run(play())
    assert full.requests == 5


def test_a_slot_that_comes_too_late_goes_to_the_next():
    """A caller that gives up in the moment in which it is counted."""
    slots = CallSlots()
    assert slots.claim(1, materialized=False) is None
    given_up, following = (slots.claim(1, materialized=False) for _ in range(2))
    slots.release(materialized=False)
    assert (given_up.done(), following.done()) == (True, False)
    slots.withdraw(given_up, materialized=False)
    assert following.done()
    slots.release(materialized=False)
    assert slots.running(materialized=False) == 0


def test_callers_of_the_same_wait_for_one_slot(make, full):
    """Who joins the request of another holds no slot, so that no one waits for the other."""
    endpoints = make(transport=full, cache=60)
    with ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(endpoints.run, "one", n=5) for _ in range(10)]
        wait_until(lambda: len(slots(endpoints)._waiting[False]) == 1)
        full.released.set()
        assert {call.result(30)[0].n for call in calls} == {1}
    assert full.requests == 4


def test_a_failed_call_releases_its_slot(app, create):
    def refuse(_):
        raise ZeroDivisionError

    called = app(create("one"), answers=refuse)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            called.run("one")
    assert slots(called.endpoints).running(materialized=False) == 0


def test_a_forked_child_has_all_slots(make, full):
    endpoints = make(transport=Counting())
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert slots(endpoints).running(materialized=False) == 0
            assert [endpoints.run("one", _max_wait=5)[0].n for _ in range(4)] == [1] * 4
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert slots(endpoints).running(materialized=False) == 3
    assert full.now == 3


@pytest.mark.parametrize("limit", [0, -1, 2.5, "3", True, None])
def test_a_limit_is_a_number_of_calls(limit):
    with pytest.raises(library.UsageError, match="materialized of Concurrency must be an integer of at least 1, not"):
        Concurrency(materialized=limit)


def test_a_concurrency_of_another_kind_is_refused(make):
    with pytest.raises(library.UsageError, match="concurrency must be a Concurrency or None, not 3"):
        make(concurrency=3)
