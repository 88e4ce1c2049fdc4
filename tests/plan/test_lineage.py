"""The states of a file in git: which one it left behind, and since when it answers for a version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.plan.evidence import Provenance
from endpoints_gitops.plan.lineage import Lineage, State, is_default
from endpoints_gitops.plan.settings import Key, definition_settings
from tests.plan.conftest import at


def lineage(make, *states, file="A", is_dirty=False):
    """States of the file, oldest first, each a query and the version that it supersedes."""
    history = tuple(
        replace(make.past(hour, query=query), supersedes=supersedes)
        for hour, (query, supersedes) in enumerate(states, start=1)
    )
    settings = definition_settings(make.loaded(query=file), None)
    return Lineage.of(Provenance(history=history[::-1], is_dirty=is_dirty), settings)


def test_the_file_as_it_is_now_is_the_last_state(make):
    states = [("A", None), ("B", None)]
    assert [state.label for state in lineage(make, *states, file="A").states] == [
        "commit 0000001",
        "commit 0000002",
        "an edit that is not committed",
    ]
    assert len(lineage(make, *states, file="B").states) == 2
    assert len(lineage(make, *states, file="A").states) == 3
    assert len(lineage(make, *states, file="B", is_dirty=True).states) == 3
    assert lineage(make, file="A").is_new
    assert not lineage(make, ("A", None), file="A").is_new
    assert Lineage.of(Provenance(history=None), {}) is None


@pytest.mark.parametrize(
    ("states", "answered"),
    [
        ([("A", 3)], 1),
        ([("A", None), ("B", 3), ("A", 3)], 2),
        ([("A", 3), ("B", None), ("A", 3)], 3),
        ([("A", 3), ("A", 2)], None),
        ([("A", None)], None),
    ],
)
def test_since_which_commit_the_file_supersedes_a_version(make, states, answered):
    state = lineage(make, *states).answered(3)
    assert (state.at if state else None) == (at(answered) if answered else None)


def test_an_edit_that_is_not_committed_answers_for_nothing(make):
    edited = lineage(make, ("A", 3), file="B")
    assert edited.answered(3).at == at(1)
    assert edited.states[-1].label == "an edit that is not committed"
    assert lineage(make, ("A", None), file="B").answered(3) is None


@pytest.mark.parametrize(
    ("state", "timestamp", "is_later", "may_be_later"),
    [
        (at(2), at(1), True, True),
        (at(2), at(2), False, True),
        (at(2), at(3), False, False),
        (at(2), at(1).replace(tzinfo=None), True, True),
        (at(2), None, False, False),
        (None, at(3), True, True),
        (None, None, True, True),
    ],
)
def test_which_is_later(state, timestamp, is_later, may_be_later):
    found = State(settings={}, at=state)
    assert (found.is_later_than(timestamp), found.may_be_later_than(timestamp)) == (is_later, may_be_later)


def test_which_states_had_what_the_server_has(make):
    query = {letter: definition_settings(make.loaded(query=letter), None)[Key.QUERY] for letter in "ABCX"}
    known = lineage(make, ("A", None), ("B", None), ("A", None), ("C", None), file="C")
    assert [known.latest(Key.QUERY, query[letter]) for letter in "ABCX"] == [2, 1, None, None]
    assert [known.latest(Key.QUERY, query["A"], after=index) for index in (1, 2)] == [2, None]
    assert [known.latest_before(at(hour), Key.QUERY, query["A"]) for hour in (0, 1, 2, 3)] == [None, 0, 0, 2]
    assert known.latest_before(None, Key.QUERY, query["C"]) == 3
    assert [known.beginning(Key.QUERY, query[letter]) for letter in "CA"] == [3, 2]
    assert known.latest_without(Key.TAGS, []) == 2
    assert known.latest_without(Key.TAGS, ["a"]) is None
    assert (is_default(Key.TAGS, []), is_default(Key.TAGS, ["a"]), is_default(Key.QUERY, {})) == (True, False, False)
