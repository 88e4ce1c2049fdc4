"""Every answer is returned, whatever its status; a missing answer is an error."""

from __future__ import annotations

import pytest

from endpoints_gitops.api.errors import EndpointNotFound, LostAnswer, Throttled
from endpoints_gitops.api.wire import Request
from endpoints_gitops.local.faults import Effect, Fault

READ = Request(method="GET", path="/api/projects/1/endpoints/e/", names="e")
WRITE = Request(method="POST", path="/api/projects/1/endpoints/", body={}, repeatable=False)


def test_a_refusal_is_an_answer_with_its_error(connect):
    answer, error = connect().send_for_any_status(READ)
    assert (answer.status, type(error)) == (404, EndpointNotFound)


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_of_the_server_is_an_answer_and_not_tried_again(connect, server, status):
    server.faults.add(Fault(effect=Effect.ERROR, status=status))
    answer, error = connect().send_for_any_status(READ)
    assert (answer.status, error.status, len(server.requests.entries())) == (status, status, 1)


def test_a_throttled_request_is_asked_again(connect, server):
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=0, nth=1))
    answer, _ = connect().send_for_any_status(WRITE)
    assert (answer.status, len(server.requests.entries())) == (400, 2)


def test_a_throttled_request_is_given_up_after_the_longest_window(connect, server):
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=4000))
    with pytest.raises(Throttled):
        connect().send_for_any_status(READ)


def test_a_write_without_an_answer_is_not_sent_again(connect, server):
    server.faults.add(Fault(effect=Effect.DROP))
    with pytest.raises(LostAnswer):
        connect().send_for_any_status(WRITE)
    assert len(server.requests.entries()) == 1
