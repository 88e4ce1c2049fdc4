"""Every fault of the local server, with both drivers: the typed error, and the number of requests."""

from __future__ import annotations

import re

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.local.faults import Edit, Effect, Fault, When

NEW_QUERY = {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}}


def statuses(server) -> list[int | None]:
    return [entry.status for entry in server.requests.entries()]


ONCE = [
    (Fault(effect=Effect.ERROR, status=500, nth=1), [500, 200]),
    (Fault(effect=Effect.ERROR, status=502, nth=1), [502, 200]),
    (Fault(effect=Effect.ERROR, status=503, nth=1), [503, 200]),
    (Fault(effect=Effect.ERROR, status=503, nth=1, retry_after=0), [503, 200]),
    (Fault(effect=Effect.ERROR, status=429, nth=1, retry_after=0), [429, 200]),
    (Fault(effect=Effect.ERROR, status=429, nth=1), [429, 200]),
    (Fault(effect=Effect.HTML, status=502, nth=1), [502, 200]),
    (Fault(effect=Effect.HTML, status=429, nth=1), [429, 200]),
    (Fault(effect=Effect.DROP, nth=1), [None, 200]),
    (Fault(effect=Effect.DROP, nth=1, when=When.AFTER), [None, 200]),
    (Fault(effect=Effect.HANG, nth=1), [None, 200]),
    (Fault(effect=Effect.HALF, nth=1), [200, 200]),
    (Fault(effect=Effect.DELAY, nth=1, seconds=0.02), [200]),
]


@pytest.mark.parametrize(("fault", "answered"), ONCE, ids=lambda value: getattr(value, "effect", None))
def test_reading_gets_over_it(server, endpoint, ask, fault, answered):
    server.faults.add(fault)
    retry_policy = {"read": 1.0} if fault.effect is Effect.HANG else {}
    assert ask("get_endpoint", endpoint, retry_policy=retry_policy).name == endpoint
    assert statuses(server) == answered


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("method", ["run", "last_execution_times", "materialization_preview"])
def test_questions_that_are_posts_are_repeated(server, ask, method):
    arguments = {"last_execution_times": [["e"]], "materialization_preview": ["e", {}], "run": ["e"]}[method]
    server.faults.add(Fault(effect=Effect.DROP, method="POST", nth=1, when=When.AFTER))
    ask(method, *arguments)
    assert statuses(server) == [None, 200]


FOR_EVER = [
    (Fault(effect=Effect.ERROR, status=500), errors.ServerFault, 500),
    (Fault(effect=Effect.ERROR, status=504), errors.GatewayFault, 504),
    (Fault(effect=Effect.ERROR, status=503), errors.ServerFault, 503),
    (Fault(effect=Effect.ERROR, status=429), errors.TooManyAtOnce, 429),
    (Fault(effect=Effect.ERROR, status=429, retry_after=0), errors.Throttled, 429),
    (Fault(effect=Effect.HTML, status=502), errors.GatewayFault, 502),
    (Fault(effect=Effect.HALF), errors.AnswerCut, 200),
    (Fault(effect=Effect.DROP), errors.Unreachable, None),
    (Fault(effect=Effect.HANG), errors.Unreachable, None),
]


@pytest.mark.parametrize(("fault", "kind", "status"), FOR_EVER, ids=lambda value: getattr(value, "effect", None))
def test_reading_gives_up_in_time_and_says_for_how_long_it_tried(server, endpoint, ask, ticking, fault, kind, status):
    server.faults.add(fault)
    retry_policy = {"now": ticking(7)} | ({"read": 0.5} if fault.effect is Effect.HANG else {})
    with pytest.raises(kind) as caught:
        ask("get_endpoint", endpoint, retry_policy=retry_policy)
    error = caught.value
    assert type(error) is kind
    assert error.status == status
    assert error.exit_code == 4
    assert error.attempts == len(server.requests.entries())
    assert 1 < error.attempts < 60 / 7, "the clock moves by at least seven of the sixty seconds with every attempt"
    assert re.search(rf"tried {error.attempts} times in \d\d s", str(error))
    assert error.request == f"GET /api/projects/1/endpoints/{endpoint}/"
    assert error.fix


AT_ONCE = [
    (Fault(effect=Effect.HTML, status=200), "an HTML page: 200", 200),
    (Fault(effect=Effect.HTML, status=403), "an HTML page", 403),
    (Fault(effect=Effect.WRONG_JSON), "a list", 200),
    (Fault(effect=Effect.BROKEN_JSON), "not valid JSON", 200),
]


@pytest.mark.parametrize(("fault", "told", "status"), AT_ONCE)
def test_an_answer_of_another_server_is_not_requested_again(server, endpoint, ask, fault, told, status):
    server.faults.add(fault)
    with pytest.raises(errors.BadAnswer, match=told) as caught:
        ask("get_endpoint", endpoint)
    assert caught.value.status == status
    assert len(server.requests.entries()) == 1


WRITES = {
    "update_endpoint": ("e", NEW_QUERY),
    "create_endpoint": ({"name": "new", **NEW_QUERY},),
    "delete_endpoint": ("e",),
    "create_variable": ({"name": "plan", "type": "String"},),
}
LOSSES = [
    Fault(effect=Effect.ERROR, status=500),
    Fault(effect=Effect.ERROR, status=503, retry_after=0, when=When.AFTER),
    Fault(effect=Effect.HTML, status=502),
    Fault(effect=Effect.DROP),
    Fault(effect=Effect.DROP, when=When.AFTER),
    Fault(effect=Effect.HANG, when=When.AFTER),
]
UNREADABLE = [
    Fault(effect=Effect.HALF),
    Fault(effect=Effect.HTML, status=200, when=When.AFTER),
    Fault(effect=Effect.WRONG_JSON, when=When.AFTER),
    Fault(effect=Effect.BROKEN_JSON, when=When.AFTER),
]
# an answer to DELETE has no body that could be cut or wrong
LOST = [(method, fault) for method in WRITES for fault in LOSSES + ([] if method == "delete_endpoint" else UNREADABLE)]


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(("method", "fault"), LOST, ids=lambda value: getattr(value, "effect", value))
def test_a_write_that_may_have_landed_is_never_repeated(server, ask, method, fault):
    server.faults.add(fault)
    max_wait = 1 if fault.effect is Effect.HANG else 60
    with pytest.raises(errors.LostAnswer, match="unknown whether the server made the change") as caught:
        ask(method, *WRITES[method], to={"max_wait": max_wait})
    assert len(server.requests.entries()) == 1
    assert caught.value.status == (fault.status if fault.status >= 500 and fault.effect in {"error", "html"} else None)


@pytest.mark.parametrize("retry_after", [0, None])
def test_a_write_that_was_throttled_is_sent_again(server, endpoint, ask, retry_after):
    server.faults.add(Fault(effect=Effect.ERROR, method="PATCH", status=429, retry_after=retry_after, nth=1))
    answer = ask("update_endpoint", endpoint, NEW_QUERY)
    assert answer.current_version == 2
    assert statuses(server) == [429, 200]


def test_an_edit_in_between_shows_in_the_answer(server, endpoint, ask):
    edit = Edit(path="endpoints/e/", body={"query": {"kind": "HogQLQuery", "query": "SELECT 'theirs' AS t"}})
    server.faults.add(Fault(effect=Effect.EDIT, method="PATCH", nth=1, edit=edit))
    assert ask("update_endpoint", endpoint, NEW_QUERY).current_version == 3


def test_a_fault_of_materialisation_is_in_the_answer(server, endpoint, ask):
    server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH"))
    answer = ask("update_endpoint", endpoint, {**NEW_QUERY, "is_materialized": True})
    assert answer.materialization_error == "Failed to enable materialization."


def test_a_build_that_fails_is_in_the_status(server, endpoint, ask):
    server.faults.add(Fault(effect=Effect.FAIL_BUILD, method="PATCH"))
    ask("update_endpoint", endpoint, {"is_materialized": True})
    state = ask("materialization_status", endpoint)
    assert (state.is_on, state.ready, state.status) == (True, False, "Failed")


def test_nobody_listens(ask, ticking):
    nobody = {"host": "http://127.0.0.1:1"}
    for method, arguments in (("list_endpoints", ()), ("create_endpoint", ({"name": "new"},))):
        with pytest.raises(errors.Unreachable) as caught:
            ask(method, *arguments, to=nobody, retry_policy={"now": ticking(7)})
        assert 1 < caught.value.attempts < 60 / 7, "what was never sent may be tried again, a write too"
