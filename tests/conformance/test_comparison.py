"""The differences between a fact and an answer."""

from __future__ import annotations

import pytest

from endpoints_gitops.conformance.comparison import differences
from endpoints_gitops.conformance.report import without_people
from endpoints_gitops.conformance.server import Reply
from endpoints_gitops.model.fact import Fact, Step

BODY = {"results": [1, 2], "name": "e", "count": 1, "next": None, "settings": {"on": True}}


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({}, []),
        ({"name": "e", "count": 1, "next": None, "settings": {"on": True}, "results": [1, 2]}, []),
        ({"name": "~^[a-f]$"}, []),
        ({"name": "f"}, ["answer.name is 'e', not 'f'"]),
        ({"name": "~^x"}, ["answer.name is 'e', which does not contain '^x'"]),
        ({"count": "~1"}, ["answer.count is 1, which does not contain '1'"]),
        ({"count": True}, ["answer.count is 1, not True"]),
        ({"settings": {"on": 1}}, ["answer.settings.on is True, not 1"]),
        ({"next": {"a": 1}}, ["answer.next is None, which is not an object"]),
        ({"results": [1]}, ["answer.results is [1, 2], not [1]"]),
        ({"results": [1, 3]}, ["answer.results.1 is 2, not 3"]),
        ({"results": []}, ["answer.results is [1, 2], not []"]),
        ({"count": [1]}, ["answer.count is 1, not [1]"]),
        ({"missing": None}, ["answer.missing is missing"]),
        ({"name": "f", "count": 2}, ["answer.name is 'e', not 'f'", "answer.count is 1, not 2"]),
    ],
)
def test_an_answer_has_at_least_what_is_expected(expected, found):
    assert compare(Reply(200, BODY, None), then=expected) == found


def test_a_list_may_be_expected_to_be_empty():
    assert compare(Reply(200, {"results": []}, None), then={"results": []}) == []


def test_another_status_is_the_only_difference():
    assert compare(Reply(404, {}, None), then={"name": "e"}) == ["status is 404, not 200"]


def test_what_is_absent_and_what_comes_first():
    reply = Reply(200, BODY, None)
    assert compare(reply, absent=("settings.off", "name.on"), first_key="results") == []
    assert compare(reply, absent=("settings.on",), first_key="name") == [
        "answer.settings.on is present",
        "the first key is 'results', not 'name'",
    ]
    assert compare(Reply(200, None, None), first_key="results") == ["the first key is None, not 'results'"]


def test_people_are_left_out_of_a_report():
    body = {"created_by": {"id": 1, "email": "a@example.com", "first_name": "Ann"}, "results": [{"uuid": "x"}]}
    assert without_people(body) == {
        "created_by": {"id": 1, "email": "(removed)", "first_name": "(removed)"},
        "results": [{"uuid": "(removed)"}],
    }


def compare(reply, **fact):
    step = Step(method="GET", path="endpoints/e/")
    return list(differences(Fact(id="x", about="answers", given=(), when=step, status=200, **fact), reply))
