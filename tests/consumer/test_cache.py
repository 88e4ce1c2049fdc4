"""Older answers while the server fails, and answers that machines share in a Redis."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import replace

import pytest
from redis import Redis

import endpoints_gitops as library
from endpoints_gitops import Cache, Endpoints
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.consumer.client_base import Redirection
from endpoints_gitops.local.faults import Effect, Fault
from tests.redis_server import free_port

BODY = {"results": [[1]], "columns": ["one"], "types": [["one", "UInt8"]], "hasMore": False, "endpoint_version": 1}
FAILURES = {
    "500": (Fault(effect=Effect.ERROR, status=500), 500),
    "503": (Fault(effect=Effect.ERROR, status=503), 503),
    "429": (Fault(effect=Effect.ERROR, status=429, retry_after=90), 429),
    "429 at once": (Fault(effect=Effect.ERROR, status=429), 429),
    "502 of a gateway": (Fault(effect=Effect.HTML, status=502), 502),
    "no answer": (Fault(effect=Effect.DROP), None),
    "half an answer": (Fault(effect=Effect.HALF), 200),
}
REFUSALS = {
    "400": Fault(effect=Effect.ERROR, status=400),
    "401": Fault(effect=Effect.ERROR, status=401),
    "403": Fault(effect=Effect.ERROR, status=403),
    "404": Fault(effect=Effect.ERROR, status=404),
    "another program": Fault(effect=Effect.WRONG_JSON),
}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def redis(redis_url):
    """The Redis of these tests, empty."""
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.mark.parametrize(("fault", "status"), FAILURES.values(), ids=FAILURES)
def test_an_older_answer_is_used_while_the_server_fails(app, create, server, clock, caplog, fault, status):
    events = []
    cache = Cache(seconds=30, stale_if_error=3600, now=clock)
    called = app(create("one"), cache=cache, on_request=events.append, max_wait=5)
    assert (called.run("one").age, called.run("one").is_stale) == (0, False)
    clock.now = 31
    server.faults.add(fault)
    rows = called.run("one")
    assert (rows[0].one, rows.age, rows.is_stale) == (1, 31, True)
    assert "<p>an answer that is 31 s old, because the server failed</p>" in rows._repr_html_()
    event = events[-1]
    assert (event.cache, event.status) == ("stale", status)
    assert isinstance(event.error, library.ApiError)
    assert event.attempts == 1
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith("one@1: an answer that is 31 s old is used, because the server failed: ")
    server.faults.clear()
    if status != 429:  # the pause of a 429 holds for other calls
        assert (called.run("one").age, called.run("one").is_stale) == (0, False)


@pytest.mark.parametrize("fault", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_never_covered_by_an_older_answer(app, create, server, clock, fault):
    called = app(create("one"), cache=Cache(seconds=30, stale_if_error=3600, now=clock))
    called.run("one")
    clock.now = 31
    server.faults.add(fault)
    with pytest.raises(library.ApiError):
        called.run("one")


def test_an_answer_that_breaks_the_contract_is_never_covered(app, create, clock):
    bodies = [BODY, BODY | {"columns": ["two"], "types": [["two", "UInt8"]]}]
    answers = lambda _: Answer(status=200, headers={}, body=json.dumps(bodies.pop(0)).encode())  # noqa: E731
    called = app(create("one"), answers=answers, cache=Cache(seconds=30, stale_if_error=3600, now=clock))
    called.run("one")
    clock.now = 31
    with pytest.raises(library.ColumnsBroken):
        called.run("one")


@pytest.mark.parametrize(
    ("settings", "options", "now"),
    [({}, {}, 31), ({"stale_if_error": 10}, {}, 41), ({"stale_if_error": 10}, {"_refresh": "force"}, 31)],
    ids=["not asked for", "too old", "bypassed"],
)
def test_a_failure_is_an_error_without_an_answer_that_may_be_used(app, create, server, clock, settings, options, now):
    called = app(create("one"), cache=Cache(seconds=30, now=clock, **settings))
    called.run("one")
    clock.now = now
    server.faults.add(Fault(effect=Effect.ERROR, status=503, retry_after=90))
    with pytest.raises(library.ServerFault):
        called.run("one", **options)


def test_all_callers_of_a_failed_request_get_the_older_answer(create, lock, server, clock):
    cache = Cache(seconds=30, stale_if_error=60, now=clock)
    reach = {"host": server.url, "project_id": 1, "key": server.key, "cache": cache}
    endpoints = library.AsyncEndpoints.from_lock(lock(create("one")), **reach)

    async def play():
        async with endpoints:
            await endpoints.run("one")
            clock.now = 50
            server.faults.add(Fault(effect=Effect.ERROR, status=500))
            return await asyncio.gather(*(endpoints.run("one") for _ in range(5)))

    assert [(rows[0].one, rows.age, rows.is_stale) for rows in asyncio.run(play())] == [(1, 50, True)] * 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0}, "the seconds and the size of a cache must be above 0"),
        ({"seconds": 1, "stale_if_error": -1}, "stale_if_error must be a number of seconds, at least 0"),
        ({"seconds": 1, "stale_if_error": float("inf")}, "stale_if_error must be a number of seconds, at least 0"),
        ({"seconds": 1, "url": "redis://h", "most": 5}, "most and now are for a cache in this process"),
        ({"seconds": 1, "url": "https://:secret@h"}, "the url of a Cache is not a Redis URL"),
    ],
)
def test_settings_that_make_no_cache_are_refused(settings, message):
    with pytest.raises(library.UsageError) as raised:
        Cache(**settings)
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value) + raised.value.fix


def test_apps_share_answers_in_redis(app, create, server, redis, redis_url):
    events = []
    pin = create("one")
    first = app(pin, cache=Cache(60, url=redis_url)).run("one")
    assert len(redis.keys()) == 1
    second = app(pin, cache=Cache(60, url=redis_url), on_request=events.append).run("one")
    assert len(server.requests.entries()) == 1
    assert (second[0].one, second.raw, second.is_stale) == (1, first.raw, False)
    assert 0 <= second.age < 60
    assert [(event.cache, event.attempts) for event in events] == [("hit", 0)]


def test_neither_a_key_nor_a_variable_is_stored_in_redis_in_clear(app, create, server, redis, redis_url):
    pin = create("mail", "SELECT 1 AS n WHERE {variables.mail} != ''", variables={"mail": ("String", "x")})
    app(pin, cache=Cache(60, url=redis_url)).run("mail", mail="someone@example.com")
    [name] = redis.keys()
    stored = name + redis.get(name)
    assert name.startswith(b"endpoints-gitops:answer:1:")
    assert server.key.encode() not in stored
    assert b"someone@" not in name
    assert 0 < redis.pttl(name) <= 60_000


def test_what_differs_is_not_shared(app, create, server, redis, redis_url):
    pin = create("ten", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)})
    cache = Cache(60, url=redis_url)
    called = app(pin, cache=cache)
    for values in ({}, {"n": 2}, {"_limit": 1}):
        called.run("ten", **values)
    other = server.add_project("other")
    with pytest.raises(library.EndpointNotFound):
        app(pin, cache=cache, project_id=other).run("ten")
    app(replace(pin, endpoint_id="another"), cache=cache).run("ten")
    assert len(redis.keys()) == 4


def test_force_asks_the_server_and_replaces_what_redis_has(app, create, server, redis, redis_url):
    called = app(create("one"), cache=Cache(60, url=redis_url))
    ids = [called.run("one", _refresh=refresh).raw["execution_id"] for refresh in (None, "force", None)]
    assert (ids[0] != ids[1], ids[1] == ids[2]) == (True, True)
    assert len(server.requests.entries()) == 2
    assert len(redis.keys()) == 1


def test_an_older_answer_of_redis_is_used_while_the_server_fails(app, create, server, redis, redis_url):
    pin = create("one")
    cache = Cache(0.001, stale_if_error=3600, url=redis_url)
    app(pin, cache=cache).run("one")
    while redis.pttl(redis.keys()[0]) > 3_600_000 - 20:
        time.sleep(0.005)
    server.faults.add(Fault(effect=Effect.ERROR, status=503))
    rows = app(pin, cache=cache).run("one")
    assert (rows[0].one, rows.is_stale) == (1, True)
    assert 0.001 < rows.age < 60


def test_an_answer_that_another_app_did_not_check_is_not_used(app, create, redis, redis_url):
    """One app reads less of it, or checks nothing."""
    pin = create("one")
    wider = replace(pin, columns=(*pin.columns, replace(pin.columns[0], name="two")))
    cache = Cache(60, url=redis_url)
    assert app(wider, cache=cache, contract="off").run("one")[0].one == 1
    assert app(wider, cache=cache, contract="off").run("one").age >= 0
    with pytest.raises(library.ColumnsBroken):
        app(wider, cache=cache).run("one")
    assert len(redis.keys()) == 1
    in_process = Cache(60)
    assert app(wider, cache=in_process, contract="off").run("one")[0].one == 1
    with pytest.raises(library.ColumnsBroken):
        app(wider, cache=in_process).run("one")


@pytest.mark.parametrize("value", [b"", b"x", b"60000\n", b"60000\n[]", b"60000\n{}", b"60000\n[" * 5, b"\xff\n{}"])
def test_what_is_no_answer_in_redis_is_replaced(app, create, server, redis, redis_url, value):
    pin = create("one")
    app(pin, cache=Cache(60, url=redis_url)).run("one")
    [name] = redis.keys()
    redis.set(name, value, px=60_000)
    assert app(pin, cache=Cache(60, url=redis_url)).run("one")[0].one == 1
    assert len(server.requests.entries()) == 2
    assert json.loads(redis.get(name).partition(b"\n")[2])["results"] == [[1]]


def test_without_redis_calls_go_to_the_server(app, create, server, caplog):
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    called = app(create("one"), cache=Cache(60, stale_if_error=60, url=url), max_wait=5)
    for _ in range(3):
        rows = called.run("one")
        assert (rows[0].one, rows.age, rows.is_stale) == (1, 0, False)
    assert len(server.requests.entries()) == 3
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "answers are not cached for 30 s: cannot use Redis (ConnectionError)"
    ]
    server.faults.add(Fault(effect=Effect.ERROR, status=500))
    with pytest.raises(library.ServerFault):
        called.run("one", _max_wait=0.1)


def test_clear_removes_the_answers_of_redis_alone(app, create, server, redis, redis_url):
    redis.set("of another program", "1")
    cache = Cache(60, url=redis_url)
    called = app(create("one"), cache=cache)
    called.run("one")
    cache.clear()
    assert redis.keys() == [b"of another program"]
    called.run("one")
    assert len(server.requests.entries()) == 2
    in_process = Cache(60)
    again = app(create("two"), cache=in_process)
    again.run("two")
    in_process.clear()
    assert again.run("two").age == 0
    assert len(server.requests.entries()) == 2, "the log was cleared by `create`; both runs of two are in it"


def test_a_redis_that_cannot_be_cleared_is_an_error():
    cache = Cache(60, url=f"redis://:secret@127.0.0.1:{free_port()}/0")
    with pytest.raises(
        library.CacheUnreachable, match=r"the cache is not cleared: cannot use Redis \(ConnectionError\)"
    ):
        cache.clear()
    assert "secret" not in repr(cache)


def test_a_redirected_client_does_not_use_the_redis_of_its_app(create, lock, server, redis, redis_url):
    path = lock(create("one"))
    cache = Cache(60, stale_if_error=5, url=redis_url)
    endpoints = Endpoints.from_lock(path, host=server.url, project_id=1, key=server.key, cache=cache)
    to = Redirection(host=server.url, project_id=1, key=server.key)
    redirected = endpoints.redirected_to(to)
    assert [redirected.run("one").age > 0 for _ in range(2)] == [False, True]
    assert (redis.keys(), redirected._cache.stale_if_error) == ([], 5)
    redirected.close()
