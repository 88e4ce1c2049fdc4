"""The record: what it keeps, what it forgets, and that it survives being stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from endpoints_gitops.plan.evidence import OwnWrites, Recorded
from endpoints_gitops.plan.settings import Key, definition_settings, endpoint_settings

NOW = datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)


def left(make, previous, text, **keys):
    return make.recorded(
        previous,
        endpoint=make.endpoint(query=text),
        file=definition_settings(make.loaded(query=text), None),
        at=NOW,
        **keys,
    )


def test_it_comes_back_from_the_state_folder(make):
    apart = make.endpoint(query="B", description="x")
    record = left(make, left(make, None, "A"), "B")
    record = make.recorded(
        record, endpoint=apart, file=definition_settings(make.loaded(query="B", description=""), None), at=NOW
    )
    assert record.kept == {Key.DESCRIPTION: NOW}
    assert Recorded.from_json(json.loads(json.dumps(record.as_json()))) == record


def test_what_this_checkout_wrote_comes_back_too(make):
    own = OwnWrites(
        commit="1234567", pushed={Key.TAGS: ["a"]}, pulled={Key.DESCRIPTION: "x"}, version=3, updated_at=NOW
    )
    for each in (own, OwnWrites(commit="1234567")):
        record = replace(left(make, None, "A"), own=each)
        assert Recorded.from_json(json.loads(json.dumps(record.as_json()))) == record


@pytest.mark.parametrize(
    "damage",
    [
        {"endpoint_id": 1},
        {"version": True},
        {"server": []},
        {"file": None},
        {"superseded": {"query": "A"}},
        {"at": "yesterday"},
        {"at": 5},
        {"at": "2026-07-01T12:00:00"},
        {"kept": {"query": 5}},
        {"own": "me"},
        {"own": {"commit": "1234567"}},
        {"own": {"commit": 1, "pushed": {}, "pulled": {}, "version": None, "updated_at": None}},
    ],
)
def test_what_is_no_entry_is_none(make, damage):
    entry = left(make, None, "A").as_json()
    assert Recorded.from_json({**entry, **damage}) is None
    assert Recorded.from_json({key: value for key, value in entry.items() if key not in damage} | {"file": 1}) is None


def test_keys_of_a_later_release_are_left_out(make):
    record = left(make, None, "A")
    entry = dict(record.as_json())
    entry["server"] = {**record.server, "unheard_of": 1}
    assert Recorded.from_json(entry) == record


def test_what_was_written_over_is_remembered_until_it_is_said_again(make):
    def queries(record):
        return [value["query"][8] for value in record.superseded.get(Key.QUERY, ())]

    first = left(make, None, "B", server_before=endpoint_settings(make.endpoint(query="A")))
    assert queries(first) == ["A"]
    second = left(make, first, "C", file_before=definition_settings(make.loaded(query="X"), None))
    assert queries(second) == ["A", "B", "X"]
    assert queries(left(make, second, "B")) == ["A", "X", "C"]
    assert queries(left(make, replace(second, endpoint_id="another"), "B")) == []


def test_the_oldest_are_forgotten(make):
    record = None
    for number in range(30):
        record = left(make, record, str(number))
    kept = record.superseded[Key.QUERY]
    assert [value["query"] for value in kept] == [f"SELECT '{number}' AS letter" for number in range(9, 29)]
