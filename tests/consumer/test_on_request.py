"""`on_request` is told of every call that ended, and never changes one; errors carry the id of their request."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from pathlib import Path

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import endpoints_gitops as library
from endpoints_gitops import AsyncEndpoints, CallEvent, Endpoints
from endpoints_gitops.api.wire import Answer, NotSent
from endpoints_gitops.consumer.client_base import redirected
from endpoints_gitops.local.faults import Effect, Fault

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ROWS = {"results": [[1]], "columns": ["one"], "types": [["one", "UInt8"]], "hasMore": False, "endpoint_version": 1}


def answering(statuses, bodies=None):
    """Answers with these statuses in turn; adds the bodies of the requests to a list."""
    left = list(statuses)

    def answer(request):
        if bodies is not None:
            bodies.append(request.body)
        status = left.pop(0)
        if status is None:
            return NotSent("connection refused")
        body = ROWS if status == 200 else {"type": "server_error", "code": "error", "detail": "no", "attr": None}
        return Answer(status=status, headers={"retry-after": "0"}, body=json.dumps(body).encode())

    return answer


def test_a_call_is_described(app, create):
    events: list[CallEvent] = []
    rows = app(create("one"), on_request=events.append).run("one")
    [event] = events
    assert (event.endpoint, event.version, event.environment) == ("one", 1, "default")
    assert (event.attempts, event.status, event.error, event.cache) == (1, 200, None, None)
    assert 0 < event.seconds < 60
    assert event.execution_id == rows.raw["execution_id"]
    assert re.fullmatch(UUID, event.request_id)


def test_all_attempts_of_a_call_send_its_id(app, create):
    events, bodies = [], []
    app(create("one"), answers=answering([500, None, 429, 200], bodies), on_request=events.append).run("one")
    [event] = events
    assert (event.attempts, event.status, event.error) == (4, 200, None)
    assert bodies == [{"client_query_id": event.request_id}] * 4


def test_each_call_has_an_id_of_its_own(app, create):
    events = []
    called = app(create("one"), on_request=events.append)
    called.run("one")
    called.run("one")
    assert len({event.request_id for event in events}) == 2


@pytest.mark.parametrize(
    ("statuses", "kind", "attempts", "status"),
    [
        ([400], library.Refused, 1, 400),
        ([401], library.Unauthenticated, 1, 401),
        ([500] * 99, library.ServerFault, None, 500),
        ([None] * 99, library.Unreachable, None, None),
    ],
    ids=str,
)
def test_a_call_that_failed_is_described(app, create, statuses, kind, attempts, status):
    events = []
    called = app(create("one"), answers=answering(statuses), on_request=events.append, max_wait=0.6)
    with pytest.raises(kind) as raised:
        called.run("one")
    [event] = events
    assert event.error is raised.value
    assert event.status == status
    assert event.attempts == (attempts or raised.value.attempts)
    assert (event.request_id, event.execution_id) == (raised.value.request_id, None)


def test_an_answer_that_breaks_the_contract_is_described(app, create):
    events = []
    answers = answering([200])
    with pytest.raises(library.WrongVersion) as raised:
        app(
            create("one"), create("two"), answers=lambda request: renumbered(answers(request)), on_request=events.append
        ).run("one")
    [event] = events
    assert (event.error, event.status, event.attempts) == (raised.value, 200, 1)


def renumbered(answer):
    return Answer(status=200, headers={}, body=json.dumps(json.loads(answer.body) | {"endpoint_version": 7}).encode())


def test_each_page_is_described(app, create):
    events = []
    called = app(create("ten", "SELECT number AS n FROM numbers(10) ORDER BY n"), on_request=events.append)
    assert len(called.iterate("ten", page_size=4)) == 10
    assert [(event.endpoint, event.attempts, event.status) for event in events] == [("ten", 1, 200)] * 3


def test_what_is_refused_before_it_is_sent_is_no_call(app, create):
    events = []
    called = app(create("one"), on_request=events.append)
    for name, values in (("two", {}), ("one", {"days": 1}), ("one", {"_limit": 0})):
        with pytest.raises(library.EndpointsError):
            called.run(name, **values)
    assert events == []


def test_a_cache_says_how_it_was_used(app, create):
    events = []
    called = app(create("one"), cache=60, on_request=events.append)
    for refresh in (None, None, "force", None):
        called.run("one", _refresh=refresh)
    assert [(event.cache, event.attempts, event.status) for event in events] == [
        ("miss", 1, 200),
        ("hit", 0, None),
        (None, 1, 200),
        ("hit", 0, None),
    ]
    assert [event.request_id is None for event in events] == [False, True, False, True]


def test_a_shared_request_is_described_for_each_of_its_callers(create, lock, server):
    events = []

    async def play():
        begun, released = asyncio.Event(), asyncio.Event()

        async def answer(_):
            begun.set()
            await released.wait()
            return httpx.Response(200, json=ROWS)

        reach = {"host": server.url, "project_id": 1, "key": server.key, "transport": httpx.MockTransport(answer)}
        endpoints = AsyncEndpoints.from_lock(lock(create("one")), **reach, cache=60, on_request=events.append)
        async with endpoints:
            calls = [asyncio.create_task(endpoints.run("one"))]
            await begun.wait()
            calls += [asyncio.create_task(endpoints.run("one")) for _ in range(3)]
            for _ in range(10):
                await asyncio.sleep(0)
            released.set()
            assert [(await call)[0].one for call in calls] == [1] * 4

    asyncio.run(play())
    assert sorted((event.cache, event.attempts, event.status) for event in events) == [
        ("miss", 1, 200),
        *[("shared", 0, None)] * 3,
    ]


def test_a_hook_that_fails_changes_no_call(app, create, server, caplog):
    def fail(event):
        raise ZeroDivisionError(event.endpoint)

    called = app(create("one"), on_request=fail, max_wait=0.2)
    assert called.run("one")[0].one == 1
    server.faults.add(Fault(effect=Effect.ERROR, status=403))
    with pytest.raises(library.Forbidden):
        called.run("one")
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failures] == ["on_request failed for one@1"] * 2
    assert all(record.exc_info[0] is ZeroDivisionError for record in failures)


@pytest.mark.parametrize("kind", [Endpoints, AsyncEndpoints])
def test_a_hook_that_would_have_to_be_awaited_is_refused(create, lock, kind):
    async def hook(event):
        """Would never run."""

    path = lock(create("one"))
    with pytest.raises(library.UsageError, match="must be a function that is called with a CallEvent, not a coroutine"):
        kind.from_lock(path, on_request=hook)
    with pytest.raises(library.UsageError, match="must be a function that is called with a CallEvent, not 3"):
        kind.from_lock(path, on_request=3)


def test_a_cancelled_call_is_described(create, lock, server):
    events = []

    async def play():
        begun = asyncio.Event()

        async def answer(_):
            begun.set()
            await asyncio.sleep(60)

        reach = {"host": server.url, "project_id": 1, "key": server.key, "transport": httpx.MockTransport(answer)}
        async with AsyncEndpoints.from_lock(lock(create("one")), **reach, on_request=events.append) as endpoints:
            call = asyncio.create_task(endpoints.run("one"))
            await begun.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(play())
    [event] = events
    assert isinstance(event.error, asyncio.CancelledError)
    assert (event.attempts, event.status) == (1, None)


def test_an_interrupt_is_described_and_ends_the_call(app, create):
    events = []

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app(create("one"), answers=interrupt, on_request=events.append, cache=60).run("one")
    assert [type(event.error) for event in events] == [KeyboardInterrupt]


def test_a_redirected_call_is_described_too(create, lock, server):
    events = []
    endpoints = Endpoints.from_lock(lock(create("one")), on_request=events.append)
    with redirected(server.url, server.project_id, server.key):
        endpoints.run("one")
    assert [(event.endpoint, event.status) for event in events] == [("one", 200)]
    endpoints.close()


def test_errors_have_the_id_of_their_request(app, create, client):
    bodies = []
    with pytest.raises(library.Refused) as raised:
        app(create("one"), answers=answering([400], bodies)).run("one")
    assert bodies == [{"client_query_id": raised.value.request_id}]
    assert f"client_query_id: {raised.value.request_id}" in "".join(traceback.format_exception(raised.value))
    assert raised.value.request_id not in str(raised.value)
    off = create("off")
    client.update_endpoint("off", {"is_active": False})
    with pytest.raises(library.EndpointInactive) as inactive:
        app(off).run("off")
    assert re.fullmatch(UUID, inactive.value.request_id)


def test_a_fault_of_the_server_has_the_id_of_its_event(app, create):
    body = {"type": "server_error", "code": "error", "detail": "A server error occurred.", "error_event_id": "e1 \x1b"}
    answers = lambda _: Answer(status=500, headers={}, body=json.dumps(body).encode())  # noqa: E731
    with pytest.raises(library.ServerFault) as raised:
        app(create("one"), answers=answers, max_wait=0.1).run("one")
    assert raised.value.error_event_id == r"e1 \u{1b}"
    assert "error_event_id: e1 \\u{1b}\n" in "".join(traceback.format_exception(raised.value))


@pytest.fixture
def spans():
    """The recipe of docs/reference.md with an exporter in memory: the hook, and the spans that are finished."""
    recipe = re.search(
        r"<!-- recipe: opentelemetry -->\n```python\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL
    )
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    names = {"provider": provider}
    source = recipe[1].replace('trace.get_tracer("endpoints")', 'provider.get_tracer("endpoints")')
    assert "provider.get_tracer" in source
    exec(compile(source.partition("endpoints = ")[0], "docs/reference.md", "exec"), names)
    yield names["on_request"], provider.get_tracer("app"), exporter.get_finished_spans
    provider.shutdown()


def test_the_recipe_for_opentelemetry_makes_spans(app, create, server, spans):
    hook, tracer, finished = spans
    called = app(create("one"), on_request=hook, max_wait=0.2)
    with tracer.start_as_current_span("page") as page:
        rows = called.run("one")
    server.faults.add(Fault(effect=Effect.ERROR, status=400))
    with pytest.raises(library.InvalidQuery) as refused:
        called.run("one")
    answered, parent, failed = finished()
    assert (answered.name, failed.name) == ("endpoint one", "endpoint one")
    assert answered.attributes["endpoints.version"] == 1
    assert answered.attributes["endpoints.execution_id"] == rows.raw["execution_id"]
    assert answered.attributes["http.response.status_code"] == 200
    assert answered.status.status_code is trace.StatusCode.UNSET
    assert parent.start_time <= answered.start_time < answered.end_time <= parent.end_time
    if isinstance(called.endpoints, Endpoints):  # an event loop of its own has a context of its own
        assert answered.parent.span_id == page.get_span_context().span_id
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.attributes["error.type"] == type(refused.value).__name__
    assert failed.status.description == str(refused.value)
