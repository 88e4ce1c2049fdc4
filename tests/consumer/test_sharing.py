"""One shared client: forked processes, event loops, threads that close it, and callers with the same request."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from endpoints_gitops import AsyncEndpoints, Cache, Endpoints, Throttled, UsageError
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import _SQLITE
from endpoints_gitops.api.transport import transport_of
from endpoints_gitops.model.secret import Secret

CONNECTION = Connection(host="https://h.test", project_id=1, key=Secret("phx_k"))
COLUMNS = {"columns": ["n"], "types": [["n", "UInt64"]], "hasMore": False, "endpoint_version": 1}


class Canned(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers with the number of the request; holds each until it is let go."""

    def __init__(self, *, holds: bool = False, status: int = 200, results=None) -> None:
        self.requests = 0
        self.begun, self.released = threading.Event(), threading.Event()
        self.status, self.results = status, results
        if not holds:
            self.released.set()

    def _answer(self) -> httpx.Response:
        self.requests += 1
        self.begun.set()
        assert self.released.wait(30)
        if self.status != 200:
            return httpx.Response(self.status, json={"detail": "no"}, headers={"Retry-After": "90"})
        return httpx.Response(200, json={**COLUMNS, "results": self.results or [[self.requests]]})

    def handle_request(self, _request: httpx.Request) -> httpx.Response:
        return self._answer()

    async def handle_async_request(self, _request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self._answer)


@pytest.fixture
def make(lock, create, server):
    """Makes clients of one pinned endpoint: `make(AsyncEndpoints, transport=…)`."""
    path = lock(create("one", "SELECT 1 AS n"))

    def made(kind=Endpoints, **more):
        more = {"host": server.url, "project_id": 1, "key": server.key, "contract": "off", **more}
        return kind.from_lock(path, **more)

    return made


def in_child(work) -> int:
    """The exit status of a forked child that did this."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_forked_child_has_connections_and_files_of_its_own(make):
    with make() as endpoints:
        endpoints.run("one")
        parent = endpoints._open

        def call() -> None:
            assert endpoints._open is None
            assert endpoints.run("one")[0].n == 1
            mine = endpoints._open
            assert mine.client._transport is not parent.client._transport
            assert mine.client.rate_limiter is not parent.client.rate_limiter
            endpoints.close()

        assert in_child(call) == 0
        assert endpoints._open is parent
        assert endpoints.run("one")[0].n == 1, "the child closed a connection of its parent"


def test_a_fork_while_a_lock_is_held_leaves_no_child_waiting(make):
    endpoints = make(cache=60)
    cache = endpoints._cache
    assert cache.claim("another thread asks for this") is None
    with endpoints._lock, cache._lock:

        def call() -> None:
            assert endpoints.run("one")[0].n == 1
            assert cache.claim("another thread asks for this") is None, "whoever asks is not in this process"

        assert in_child(call) == 0
    endpoints.close()


FORK_DURING_AN_IMPORT = """
import os, sys, threading, time, warnings
from endpoints_gitops import Endpoints
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a process with threads
url, project, key, lock = sys.argv[1:]
endpoints = Endpoints.from_lock(lock, host=url, project_id=int(project), key=key)
is_importing = threading.Event()

class Slow:
    def find_spec(self, name, path, target=None):
        if name == "httpx":
            is_importing.set()
            time.sleep(0.5)

sys.meta_path.insert(0, Slow())
threading.Thread(target=endpoints.run, args=("one",), daemon=True).start()
assert is_importing.wait(60)
child = os.fork()
if child == 0:
    os._exit(len(endpoints.run("one")))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_waits_for_the_imports_of_the_first_call(create, lock, server):
    """A child that inherits half of an import would wait for the rest of it for ever."""
    path = lock(create("one", "SELECT 1 AS n"))
    command = [sys.executable, "-c", FORK_DURING_AN_IMPORT, server.url, str(server.project_id), server.key, path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def test_rows_of_an_iterator_go_on_in_a_child(make):
    endpoints = make()
    rows = endpoints.iterate("one", page_size=1)

    def call() -> None:
        assert [row.n for row in rows] == [1]

    assert in_child(call) == 0
    assert [row.n for row in rows] == [1]
    endpoints.close()


def test_an_iterator_holds_its_client(make):
    rows = make().iterate("one")
    gc.collect()
    assert [row.n for row in rows] == [1]


def test_closing_waits_for_the_calls_that_run(make):
    canned = Canned(holds=True)
    endpoints = make(transport=canned)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(endpoints.run, "one")
        assert canned.begun.wait(30)
        held = endpoints._open
        endpoints.close()
        assert held.finalize.alive
        canned.released.set()
        assert running.result(30)[0].n == 1
    assert not held.finalize.alive
    assert endpoints.run("one")[0].n == 2, "the next call opens new connections"
    endpoints.close()


def test_one_async_client_in_several_loops(make):
    endpoints = make(AsyncEndpoints)

    async def call() -> int:
        return (await endpoints.run("one"))[0].n

    with ThreadPoolExecutor(3) as threads:
        calls = [asyncio.run(call()), asyncio.run(call()), *threads.map(lambda _: asyncio.run(call()), range(3))]
    assert calls == [1] * 5


@pytest.fixture
def unclosed():
    """The warnings about what was left open, by the time the test asks."""
    gc.collect()
    with warnings.catch_warnings(record=True, action="always") as caught:

        def left_open() -> list[str]:
            gc.collect()
            return [str(warning.message) for warning in caught if warning.category is ResourceWarning]

        yield left_open


def test_an_event_loop_that_ends_closes_its_connections(make, unclosed):
    endpoints = make(AsyncEndpoints)

    async def several() -> list[int]:
        return [rows[0].n for rows in await asyncio.gather(*(endpoints.run("one") for _ in range(5)))]

    for _ in range(2):
        assert asyncio.run(several()) == [1] * 5
    assert len(endpoints._opened) == 0, "a client of a loop that ended would be kept for ever"
    assert unclosed() == []


def test_trio_closes_the_connections_of_its_run(make, unclosed):
    trio = pytest.importorskip("trio")
    endpoints = make(AsyncEndpoints)
    assert [trio.run(endpoints.run, "one")[0].n for _ in range(2)] == [1, 1]
    assert len(endpoints._opened) == 0
    assert unclosed() == []


def test_a_client_that_is_no_longer_used_closes_its_connections(make, unclosed):
    async def play() -> None:
        assert (await make(AsyncEndpoints).run("one"))[0].n == 1
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(play())
    assert unclosed() == []


def test_a_call_that_is_cancelled_leaves_nothing_open(make, unclosed):
    endpoints = make(AsyncEndpoints)

    async def play(turns: int) -> None:
        call = asyncio.create_task(endpoints.run("one"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    for turns in range(0, 40, 3):
        asyncio.run(play(turns))
    assert unclosed() == []


def test_a_loop_that_is_closed_by_hand_is_forgotten(make):
    endpoints = make(AsyncEndpoints, transport=Canned())
    for number in (1, 2):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(endpoints.run("one"))[0].n == number
        loop.close()
    assert len(endpoints._opened) == 1


def test_an_async_client_waits_under_trio(make):
    trio = pytest.importorskip("trio")
    statuses = [429, 200]

    def answer(_: httpx.Request) -> httpx.Response:
        status = statuses.pop(0)
        return httpx.Response(status, json={**COLUMNS, "results": [[1]]}, headers={"Retry-After": "0.01"})

    endpoints = make(AsyncEndpoints, transport=httpx.MockTransport(answer))
    rows = trio.run(endpoints.run, "one")
    assert (rows[0].n, statuses) == (1, [])


def test_closing_in_a_loop_waits_for_the_calls_of_that_loop(make):
    canned = Canned(holds=True)
    endpoints = make(AsyncEndpoints, transport=canned)

    async def play() -> int:
        call = asyncio.create_task(endpoints.run("one"))
        await asyncio.to_thread(canned.begun.wait, 30)
        await endpoints.close()
        canned.released.set()
        return (await call)[0].n

    assert asyncio.run(play()) == 1


def test_no_event_loop_waits_for_the_file_that_requests_are_counted_in(make):
    endpoints = make(AsyncEndpoints, transport=Canned())
    path = os.path.join(os.environ["ENDPOINTS_GITOPS_STATE"], "budgets.sqlite")  # noqa: PTH118 - a text

    async def play() -> None:
        await endpoints.run("one")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        call = asyncio.create_task(endpoints.run("one"))
        for _ in range(100):  # the loop turns while the file is held
            await asyncio.sleep(0)
        assert not call.done()
        holder.execute("COMMIT")
        holder.close()
        assert (await call)[0].n == 2
        await endpoints.close()

    asyncio.run(play())


def test_callers_of_the_same_share_one_request(make):
    canned = Canned(holds=True)
    endpoints = make(transport=canned, cache=60)
    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(endpoints.run, "one") for _ in range(20)]
        assert canned.begun.wait(30)
        canned.released.set()
        assert {call.result(30)[0].n for call in calls} == {1}
    assert canned.requests == 1
    endpoints.close()


def test_tasks_and_loops_share_one_request(make):
    canned = Canned(holds=True)
    cache = Cache(seconds=60)
    endpoints = make(AsyncEndpoints, transport=canned, cache=cache)

    async def play(count: int) -> set[int]:
        calls = [asyncio.create_task(endpoints.run("one")) for _ in range(count)]
        await asyncio.to_thread(canned.begun.wait, 30)
        canned.released.set()
        found = {(await call)[0].n for call in calls}
        await endpoints.close()
        return found

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: asyncio.run(play(10)), range(2))) == [{1}, {1}]
    assert canned.requests == 1


def test_who_waits_for_a_failed_request_gets_its_error(make):
    canned = Canned(holds=True, status=429)
    endpoints = make(transport=canned, cache=60, max_wait=1)
    with ThreadPoolExecutor(5) as threads:
        calls = [threads.submit(endpoints.run, "one") for _ in range(5)]
        assert canned.begun.wait(30)
        canned.released.set()
        for call in calls:
            with pytest.raises(Throttled):
                call.result(30)
    assert endpoints._cache._pending == {}
    endpoints.close()


def test_tasks_that_wait_for_a_failed_request_share_its_error(make):
    canned = Canned(holds=True, status=429)
    endpoints = make(AsyncEndpoints, transport=canned, cache=60, max_wait=0.1)

    async def play() -> list[object]:
        calls = [asyncio.create_task(endpoints.run("one")) for _ in range(5)]
        await asyncio.to_thread(canned.begun.wait, 30)
        canned.released.set()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        await endpoints.close()
        return errors

    first, *others = asyncio.run(play())
    assert isinstance(first, Throttled)
    assert all(error is first for error in others), others
    assert canned.requests == 1


def test_a_cancelled_caller_cancels_no_other_caller(make):
    canned = Canned(holds=True)
    endpoints = make(AsyncEndpoints, transport=canned, cache=60)

    async def play() -> int:
        first = asyncio.create_task(endpoints.run("one"))
        await asyncio.to_thread(canned.begun.wait, 30)
        waiting = [asyncio.create_task(endpoints.run("one")) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()
        await asyncio.gather(first, waiting[0], return_exceptions=True)
        canned.released.set()
        found = [(await call)[0].n for call in waiting[1:]]
        await endpoints.close()
        return len(set(found))

    assert asyncio.run(play()) == 1
    assert canned.requests == 2, "the next one asks, for both"


def test_what_one_caller_changes_no_other_sees(make):
    body = {**COLUMNS, "types": [["n", "Array(String)"]], "results": [[["a"]]]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    endpoints = make(transport=transport, cache=60)
    rows = endpoints.run("one")
    rows[0].n.append("b")
    rows.as_dicts()[0]["n"].append("b")
    rows.column("n")[0].append("b")
    rows.raw["results"][0][0].append("b")
    for _ in range(2):
        again = endpoints.run("one")
        assert (again[0].n, again.column("n"), again.raw["results"]) == (["a"], [["a"]], [[["a"]]])
    endpoints.close()


def test_an_async_transport_is_for_async_endpoints():
    with pytest.raises(UsageError, match=r"^ASGITransport is an async transport: pass it to AsyncEndpoints$"):
        transport_of(CONNECTION, httpx.ASGITransport(app=lambda *_: None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transport": object()}, "transport must be an httpx transport, or have the methods send and close; it is "),
        ({"transport": "http://h.test"}, "transport must be an httpx transport, or have the methods send and close; "),
        ({"max_wait": "60"}, "max_wait must be a number of seconds above 0, not "),
        ({"max_wait": None}, "max_wait must be a number of seconds above 0, not "),
        ({"read_timeout": -1}, "read_timeout must be a number of seconds above 0, not "),
        ({"read_timeout": True}, "read_timeout must be a number of seconds above 0, not "),
        ({"cache": "redis://h.test"}, "cache must be a number of seconds or a Cache, not 'redis://h.test'"),
        ({"project_id": 0}, "project_id must be the number of a project, not 0"),
        ({"project_id": "1"}, "project_id must be the number of a project, not '1'"),
        ({"host": 3}, "host must be a str, not int"),
        ({"key": b"phx_1"}, "key must be a str, not bytes"),
        ({"cache": True}, "cache must be a number of seconds or a Cache, not True"),
        ({"cache": Cache}, "cache must be a number of seconds or a Cache, not <class "),
    ],
)
def test_a_setting_of_another_kind_is_one_clear_error(make, settings, message):
    with pytest.raises(UsageError) as caught, make(**settings) as endpoints:
        endpoints.run("one")
    assert str(caught.value).startswith(message)
    with pytest.raises(UsageError) as caught:
        asyncio.run(make(AsyncEndpoints, **settings).run("one"))
    assert str(caught.value).startswith(message)


def test_a_transport_that_answers_with_something_else_is_named(make):
    class Other:
        def send(self, _request):
            return httpx.Response(200)

        def close(self):
            pass

    with pytest.raises(
        UsageError, match="`send` of the transport returned a Response; it must return Answer, NotSent or NoAnswer"
    ):
        make(transport=Other()).run("one")


def test_a_fork_waits_for_a_thread_that_counts_a_request():
    """SQLite's own locks would be held for ever in a child that was forked in the middle of a statement."""
    held, steps = threading.Event(), []

    def count() -> None:
        with _SQLITE:
            held.set()
            time.sleep(0.2)
            steps.append("counted")

    with ThreadPoolExecutor(1) as thread:
        counting = thread.submit(count)
        assert held.wait(30)
        assert in_child(lambda: _SQLITE.acquire(timeout=5) or os._exit(3)) == 0
        assert steps == ["counted"]
        counting.result(30)
