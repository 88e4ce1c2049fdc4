"""Whose change it is: the table of what happened, and the traps beside it. Nothing here needs git or a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.plan.attribution import needs_versions
from endpoints_gitops.plan.diff import Attribution, Presence, compare_revisions
from endpoints_gitops.plan.evidence import NoHistory, PastSettings, Provenance
from endpoints_gitops.plan.settings import Key, definition_settings
from tests.plan.reasons import assert_reasons

AHEAD, DRIFTED, CONFLICT, IDLED = Attribution


@pytest.fixture(autouse=True)
def _reasons(request, make):
    """Every reason that a test of this file is given stands in `reasons.json`; those of laws are of any values."""
    make.diffs.clear()
    yield
    if not hasattr(request.function, "hypothesis"):
        assert_reasons(request.node.name, make.diffs)


NEVER = object()


def at(hour: float) -> datetime:
    return datetime(2026, 7, 1, tzinfo=UTC) + timedelta(hours=hour)


def letters(make, texts: str) -> tuple[PastSettings, ...]:
    """States of the file, oldest first, one each hour from one o'clock on: a letter is the query, a dot is no file, an
    exclamation mark a file that does not load."""
    states = []
    for number, text in enumerate(texts, start=1):
        if text in ".!":
            unknown = PastSettings(settings=None, committed_at=at(number), commit=f"{number:07d}", readable=text == ".")
            states.append(unknown)
        else:
            states.append(make.past(number, query=text))
    return tuple(reversed(states))


def verdicts(judged) -> dict[str, Attribution]:
    return {str(one.key): one.attribution for one in judged.differences}


def query_verdict(make, history: str, versions: str, file: str, *, record=None, hour: float = 0, **keys):
    """The verdict on the query of a file, of which HEAD has the last state of the history."""
    made = make.versions(*versions, hour=hour)
    endpoint = make.endpoint(query=versions[-1], current_version=len(versions), current_version_id=f"v{len(versions)}")
    evidence = Provenance(
        record=record,
        history=letters(make, history),
        versions=made,
        is_dirty=not history.endswith(file),
    )
    judged = make.diff(make.loaded(query=file, **keys), endpoint, evidence, None)
    return verdicts(judged).get("query", NEVER)


def remembered(make, server: str, *, before=(), hour: float = 0, version: int = 1, **keys):
    """The record after pulls or pushes that wrote over `before` and left file and server at one query."""
    record = None
    for text in (*before, server):
        endpoint = make.endpoint(query=text, current_version=version, **keys)
        file = definition_settings(make.loaded(query=text), None)
        record = make.recorded(record, endpoint=endpoint, file=file, at=at(hour))
    return record


# What the commits had, what the versions had, what the file has now: without a record, as from a fresh clone.
FRESH = [
    ("edited and committed", "AB", "A", "B", AHEAD),
    ("edited, not committed", "A", "A", "B", AHEAD),
    ("a pushed change reverted", "ABA", "AB", "A", AHEAD),
    ("a pushed change reverted by hand", "AB", "AB", "A", AHEAD),
    ("the revert of a revert", "ABAB", "ABA", "B", AHEAD),
    ("commits that were never pushed", "ABCD", "A", "D", AHEAD),
    ("a killed push: this one is left", "AB", "A", "B", AHEAD),
    ("made in the web, then pulled", "CD", "ABC", "D", AHEAD),
    ("a foreign version that was overwritten", "ABC", "AXB", "C", AHEAD),
    ("edited in the web, file untouched", "A", "AX", "A", DRIFTED),
    ("edited in the web twice", "AB", "ABXY", "B", DRIFTED),
    ("edited in the web, file edited", "AB", "AX", "B", CONFLICT),
    ("edited in the web, file edited, not committed", "A", "AX", "B", CONFLICT),
    ("an older query put back in the web", "AB", "ABA", "B", DRIFTED),
    ("an older query put back, file edited", "ABC", "ABA", "C", CONFLICT),
    ("an older query put back, file edited, not committed", "AB", "ABA", "C", CONFLICT),
    ("a squash dropped the commit", "AC", "AB", "C", CONFLICT),
    ("no commit had any version", "A", "X", "A", CONFLICT),
    ("a new file for what is there", "", "X", "A", CONFLICT),
    ("a query from before the file was in git comes back", "AB", "BA", "B", AHEAD),
    ("the same, edited in the web", "AB", "BAX", "B", CONFLICT),
    ("put back in the web over what was edited there", "AB", "AXA", "B", AHEAD),
    ("the same versions, all of them pushed", "ABAD", "ABA", "D", AHEAD),
    ("pushed twice, once in another form", "AB", "AA", "B", AHEAD),
    ("touched without a change, put back in the web", "AAB", "ABA", "B", DRIFTED),
    ("touched without a change", "AAB", "A", "B", AHEAD),
    ("equal states, edited in the web", "ABA", "AX", "A", DRIFTED),
    ("equal states, the newer one was pushed, edited in the web", "ABA", "ABX", "A", CONFLICT),
    ("removed and back", "A.B", "A", "B", AHEAD),
    ("a commit that does not load", "A!B", "A", "B", AHEAD),
    ("a commit that does not load, edited in the web", "A!A", "AX", "A", DRIFTED),
]


@pytest.mark.parametrize(
    ("history", "versions", "file", "expected"), [case[1:] for case in FRESH], ids=[c[0] for c in FRESH]
)
def test_a_query_from_a_fresh_clone(make, history, versions, file, expected):
    assert query_verdict(make, history, versions, file, hour=-6) is expected


def test_a_repeated_query_is_told_by_its_time_alone(make):
    """The revert was pushed and reverted; or all that was pushed, and somebody put the old query back."""
    assert query_verdict(make, "ABAB", "ABA", "B", hour=0.5) is AHEAD
    assert query_verdict(make, "ABAB", "ABA", "B", hour=2) is CONFLICT
    assert query_verdict(make, "ACAB", "ABA", "D", hour=3.5) is CONFLICT
    assert query_verdict(make, "ACAB", "ABA", "D", hour=1) is AHEAD


# The same with the record of this checkout: what it pulled or pushed before, what it left, and when (hours as commits).
RECORDED = [
    ("edited, not committed", "A", "A", "B", ("", "A", 1.5), AHEAD),
    ("edited and committed", "AB", "A", "B", ("", "A", 1.5), AHEAD),
    ("pulled, then edited, nothing committed", "A", "AX", "B", ("A", "X", 1.5), CONFLICT),
    ("pulled, then edited, one commit", "AB", "AX", "B", ("A", "X", 1.5), CONFLICT),
    ("pulled and committed, then edited", "AX", "AX", "B", ("A", "X", 1.5), AHEAD),
    ("a pushed change reverted", "ABA", "AB", "A", ("A", "B", 2.5), AHEAD),
    ("reverted by hand", "AB", "AB", "A", ("A", "B", 2.5), AHEAD),
    ("an uncommitted pull thrown away", "A", "AX", "A", ("A", "X", 1.5), CONFLICT),
    ("an older commit checked out", "A", "AB", "A", ("A", "B", 2.5), CONFLICT),
    ("another branch, edited there before the pull", "AC", "AX", "C", ("A", "X", 2.5), CONFLICT),
    ("an old query came back, was pulled and thrown away", "BA", "BAB", "A", ("A", "B", 2.5), CONFLICT),
    ("a squash of what this checkout pushed", "AC", "AB", "C", ("A", "B", 1.5), CONFLICT),
    ("a colleague pushed, their commit is here, edited", "ABC", "AB", "C", ("", "A", 1.5), AHEAD),
    ("a colleague pushed and reverted", "ABA", "AB", "A", ("", "A", 1.5), AHEAD),
    ("a colleague pushed, their commit is not here", "A", "AB", "A", ("", "A", 1.5), DRIFTED),
    ("the same, file edited", "A", "AB", "C", ("", "A", 1.5), CONFLICT),
    ("edited in the web", "A", "AX", "A", ("", "A", 1.5), DRIFTED),
    ("edited in the web, file edited", "AB", "AX", "B", ("", "A", 1.5), CONFLICT),
    ("an older query put back", "AB", "ABA", "B", ("A", "B", 2.5), DRIFTED),
    ("an older query put back, file edited", "AB", "ABA", "C", ("A", "B", 2.5), CONFLICT),
]


@pytest.mark.parametrize(
    ("history", "versions", "file", "memory", "expected"), [case[1:] for case in RECORDED], ids=[c[0] for c in RECORDED]
)
def test_a_query_from_the_same_checkout(make, history, versions, file, memory, expected):
    before, left, hour = memory
    record = remembered(make, left, before=before, hour=hour)
    assert query_verdict(make, history, versions, file, record=record) is expected


def test_a_record_settles_it_without_git_and_without_versions(make):
    evidence = Provenance(record=remembered(make, "A"), without_history=NoHistory(reason="no git", fix="git init"))
    loaded, endpoint = make.loaded(query="B"), make.endpoint(query="A")
    assert verdicts(make.diff(loaded, endpoint, evidence, None)) == {"query": AHEAD}
    assert not needs_versions(make.diff(loaded, endpoint, evidence, None))
    moved = make.endpoint(query="X", current_version=2)
    assert verdicts(make.diff(make.loaded(query="A"), moved, evidence, None)) == {"query": DRIFTED}
    assert verdicts(make.diff(loaded, moved, evidence, None)) == {"query": CONFLICT}
    assert needs_versions(make.diff(loaded, moved, evidence, None))


def test_without_history_and_record_every_difference_is_a_conflict_with_a_cure(make):
    evidence = Provenance(without_history=NoHistory(reason="this clone is shallow", fix="fetch-depth: 0"))
    endpoint = make.endpoint(query="A", description="x")
    judged = make.diff(make.loaded(query="B", description="y"), endpoint, evidence, None)
    assert verdicts(judged) == {"query": CONFLICT, "description": CONFLICT}
    assert all("shallow" in one.reason and "fetch-depth: 0" in one.fix for one in judged.differences)


def test_versions_are_asked_for_only_where_the_query_differs_and_is_not_settled(make):
    history = letters(make, "AB")
    evidence = Provenance(history=history)
    assert needs_versions(make.diff(make.loaded(query="B"), make.endpoint(query="A"), evidence, None))
    assert not needs_versions(make.diff(make.loaded(query="B"), make.endpoint(query="B"), evidence, None))
    assert not needs_versions(make.diff(make.loaded(query="B", tags=["a"]), make.endpoint(query="B"), evidence, None))


def test_a_new_default_of_a_variable_is_ahead(make):
    sql = "SELECT {variables.days}"

    def keys(**default):
        return {"query": sql, "variables": [{"name": "days", "type": "Number", **default}]}

    endpoint = make.endpoint(query=sql, variables={"days": 7})
    version = make.version(1, sql, 1)
    version = version.model_copy(update={"query": endpoint.query})
    for earlier in (keys(default=7), keys()):
        evidence = Provenance(history=(make.past(1, **earlier),), versions=(version,), is_dirty=True)
        judged = make.diff(make.loaded(**keys(default=30)), endpoint, evidence, None)
        assert verdicts(judged) == {"query": AHEAD}
    assert make.diff(make.loaded(**keys()), endpoint, evidence, None).differences == ()


# A setting from a fresh clone: its values in the commits (None: not managed), when the server was last written to, what
# it has, what the file has. The commits are an hour apart, from one o'clock on.
SETTINGS = [
    ("edited and committed", ["a", "b"], 1.5, "a", "b", AHEAD),
    ("edited, not committed", ["a"], 9, "a", "b", AHEAD),
    ("two commits that were never pushed", ["a", "b", "c"], 1.5, "a", "c", AHEAD),
    ("of two commits one was pushed", ["a", "b", "c"], 2.5, "b", "c", AHEAD),
    ("put back in the web, or never pushed", ["a", "b"], 2.5, "a", "b", CONFLICT),
    ("changed in the web, the file never changed it", ["a"], 1.5, "x", "a", DRIFTED),
    ("changed in the web, the file untouched after a change", ["a", "b"], 2.5, "x", "b", CONFLICT),
    ("changed in the web, the file edited", ["a"], 1.5, "x", "b", CONFLICT),
    ("managed only now, over the default", [None], 1.5, "", "b", AHEAD),
    ("managed only now, committed", [None, "b"], 1.5, "", "b", AHEAD),
    ("managed only now, over something", [None], 1.5, "x", "b", CONFLICT),
    ("managed only now, committed, over something", [None, "b"], 1.5, "x", "b", CONFLICT),
    ("managed since two commits, never pushed", [None, "a", "b"], 1.5, "", "b", AHEAD),
    ("managed since two commits, cleared in the web", [None, "a", "b"], 2.5, "", "b", CONFLICT),
    ("managed, not, and again", ["a", None, "b"], 1.5, "a", "b", CONFLICT),
    ("managed, not, and again, over the default", ["a", None, "b"], 1.5, "", "b", AHEAD),
    ("a new file, over the default", [], 1.5, "", "b", AHEAD),
    ("a new file, over something", [], 1.5, "x", "b", CONFLICT),
    ("a new file in its only commit, over the default", ["b"], 0.5, "", "b", AHEAD),
    ("a new file in its only commit, over something", ["b"], 0.5, "x", "b", CONFLICT),
    ("cleared in the web after the only commit", ["b"], 1.5, "", "b", DRIFTED),
    ("an old server says no time", ["a", "b"], None, "a", "b", CONFLICT),
]


@pytest.mark.parametrize(
    ("commits", "written", "server", "file", "expected"), [case[1:] for case in SETTINGS], ids=[c[0] for c in SETTINGS]
)
def test_a_setting_from_a_fresh_clone(make, commits, written, server, file, expected):
    states = [
        make.past(hour, **({} if text is None else {"description": text})) for hour, text in enumerate(commits, start=1)
    ]
    updated_at = None if written is None else at(written).isoformat()
    evidence = Provenance(history=tuple(reversed(states)), is_dirty=not commits or commits[-1] != file)
    endpoint = make.endpoint(description=server, updated_at=updated_at)
    judged = make.diff(make.loaded(description=file), endpoint, evidence, None)
    assert verdicts(judged) == {"description": expected}


def test_a_setting_with_a_record(make):
    """Left at b by this checkout; the web puts a back, which the file once had; a colleague's commit goes on to c."""
    file = make.loaded(description="b")
    record = make.recorded(
        None, endpoint=make.endpoint(description="b"), file=definition_settings(file, None), at=at(2.5)
    )
    two = (make.past(2, description="b"), make.past(1, description="a"))
    three = (make.past(3, description="c"), *two)
    back = make.endpoint(description="a", updated_at=at(3).isoformat())
    assert verdicts(make.diff(file, back, Provenance(record=record, history=two), None)) == {"description": DRIFTED}
    pushed = make.endpoint(description="c", updated_at=at(3).isoformat())
    edited = Provenance(record=record, history=three, is_dirty=True)
    assert verdicts(make.diff(make.loaded(description="d"), pushed, edited, None)) == {"description": AHEAD}
    assert verdicts(make.diff(make.loaded(description="d"), back, edited, None)) == {"description": CONFLICT}


@pytest.mark.parametrize(
    ("left", "server", "expected"),
    [
        (
            "b",
            "c",
            CONFLICT,
        ),  # a colleague pushed c after d was committed: a fresh clone cannot tell, nor does this one
        ("b", "a", CONFLICT),  # a comes before it, so it was put back
        ("x", "c", CONFLICT),  # no commit had x, so all there is are the times, and c was written after d
        ("x", "x2", CONFLICT),
    ],
)
def test_a_setting_moved_along_the_history_since_the_record(make, left, server, expected):
    texts = enumerate("abcd", start=1)
    history = tuple(reversed([make.past(hour, description=text) for hour, text in texts]))
    file = definition_settings(make.loaded(description=left), None)
    record = make.recorded(None, endpoint=make.endpoint(description=left), file=file, at=at(2.5))
    endpoint = make.endpoint(description=server, updated_at=at(4.5).isoformat())
    judged = make.diff(make.loaded(description="d"), endpoint, Provenance(record=record, history=history), None)
    assert verdicts(judged) == {"description": expected}


def test_a_key_that_the_record_shows_to_be_new_is_written_over_the_default_alone(make):
    """Without git, the record knows that the file did not manage the description."""

    def verdict(server):
        endpoint = make.endpoint(description=server)
        record = make.recorded(None, endpoint=endpoint, file=definition_settings(make.loaded(), None), at=at(1))
        return verdicts(make.diff(make.loaded(description="b"), endpoint, Provenance(record=record), None))[
            "description"
        ]

    assert (verdict(""), verdict("x")) == (AHEAD, CONFLICT)


def test_what_was_agreed_on_keeps_its_time_while_another_key_is_pulled(make):
    """X was pulled and committed, and B made of it; then the description was pulled."""
    agreed = remembered(make, "X", before="A", hour=2.5)
    history, file = letters(make, "AXB"), definition_settings(make.loaded(query="B", description="d"), None)
    endpoint = make.endpoint(query="X", description="d")
    record = make.recorded(agreed, endpoint=endpoint, file=file, at=at(4))
    evidence = Provenance(record=record, history=history, versions=make.versions("A", "X"))
    assert verdicts(make.diff(make.loaded(query="B"), endpoint, evidence, None)) == {"query": AHEAD}


def test_what_was_kept_against_the_server_conflicts_once_it_moves_again(make):
    loaded = make.loaded(description="mine")
    file = definition_settings(loaded, None)
    kept = make.recorded(None, endpoint=make.endpoint(description="x"), file=file, at=at(1), settled=[Key.DESCRIPTION])
    assert verdicts(make.diff(loaded, make.endpoint(description="y"), Provenance(record=kept), None)) == {
        "description": CONFLICT
    }


def test_only_a_conflict_that_cannot_be_attributed_is_not_known(make):
    """A pull asks a person about those."""

    def known(loaded, endpoint, **evidence):
        (one,) = make.diff(loaded, endpoint, Provenance(**evidence), None).differences
        return one.is_known

    endpoint, history = make.endpoint(query="X", current_version=2), letters(make, "A")
    assert not known(make.loaded(query="A"), endpoint)
    assert not known(make.loaded(query="A"), endpoint, history=history, versions=make.versions("Y", "X"))
    assert known(make.loaded(query="B"), endpoint, history=history, versions=make.versions("A", "X"), is_dirty=True)


def test_times_without_a_zone_are_read_as_utc(make):
    history = (make.past(2, description="b"), make.past(1, description="a"))
    for written, expected in (("2026-07-01T01:30:00", AHEAD), ("2026-07-01T02:30:00", CONFLICT)):
        endpoint = make.endpoint(description="a", updated_at=written)
        judged = make.diff(make.loaded(description="b"), endpoint, Provenance(history=history), None)
        assert verdicts(judged) == {"description": expected}


def test_git_tells_seconds_and_what_is_within_one_may_be_older(make):
    history = (make.past(2, description="b"), make.past(1, description="a"))
    for seconds, expected in ((0.9, AHEAD), (1, CONFLICT)):
        endpoint = make.endpoint(description="a", updated_at=(at(2) + timedelta(seconds=seconds)).isoformat())
        judged = make.diff(make.loaded(description="b"), endpoint, Provenance(history=history), None)
        assert verdicts(judged) == {"description": expected}


def test_drift_that_was_left_alone_stays_drift(make):
    """The record of a push must not take for ours what it did not write."""
    loaded = make.loaded(query="A", description="a")
    file = definition_settings(loaded, None)
    agreed = make.recorded(None, endpoint=make.endpoint(description="a"), file=file, at=at(1))
    drifted = make.endpoint(description="x")
    again = make.recorded(agreed, endpoint=drifted, file=file, at=at(2))
    assert verdicts(make.diff(loaded, drifted, Provenance(record=again), None)) == {"description": DRIFTED}
    never_agreed = make.recorded(None, endpoint=drifted, file=file, at=at(2))
    assert verdicts(make.diff(loaded, drifted, Provenance(record=never_agreed), None)) == {"description": CONFLICT}
    mine = make.recorded(agreed, endpoint=drifted, file=file, at=at(2), settled=[Key.DESCRIPTION])
    assert verdicts(make.diff(loaded, drifted, Provenance(record=mine), None)) == {"description": AHEAD}


def test_each_key_has_its_own_verdict(make):
    history = (make.past(2, query="B", description="a"), make.past(1, query="A", description="a"))
    evidence = Provenance(history=history, versions=make.versions("A"))
    endpoint = make.endpoint(query="A", description="x", is_active=False, updated_at=at(3).isoformat())
    judged = make.diff(make.loaded(query="B", description="a"), endpoint, evidence, None)
    assert verdicts(judged) == {"query": AHEAD, "description": DRIFTED}
    assert [one.key for one in judged.differences] == [Key.QUERY, Key.DESCRIPTION]
    assert [one.line for one in judged.differences] == [2, 3]


def test_supersedes_answers_one_version_for_all_keys(make):
    loaded = make.loaded(query="B", description="mine", supersedes=4)
    evidence = Provenance(history=letters(make, "A"), versions=make.versions("X", "X", "X", "X"), is_dirty=True)
    answered = make.endpoint(query="X", description="theirs", current_version=4)
    assert verdicts(make.diff(loaded, answered, evidence, None)) == {"query": AHEAD, "description": AHEAD}
    moved = make.endpoint(query="X", description="theirs", current_version=5)
    assert verdicts(make.diff(loaded, moved, evidence, None)) == {"query": CONFLICT, "description": CONFLICT}


def test_a_recreated_endpoint_is_attributed_without_the_record(make):
    evidence = Provenance(
        record=remembered(make, "A", id="endpoint-0"), history=letters(make, "AB"), versions=make.versions("X")
    )
    judged = make.diff(make.loaded(query="B"), make.endpoint(query="X"), evidence, None)
    assert verdicts(judged) == {"query": CONFLICT}
    assert "recreated" in judged.note


def test_materialisation_comes_with_activation_and_buckets_come_with_it(make):
    loaded = make.loaded(active=True, materialization={"enabled": True}, bucket_overrides={"timestamp": "hour"})
    inactive = make.endpoint(is_active=False)
    evidence = Provenance(
        record=make.recorded(
            None, endpoint=inactive, file=definition_settings(make.loaded(active=False), None), at=at(1)
        )
    )
    judged = make.diff(loaded, inactive, evidence, None)
    assert verdicts(judged) == {"active": AHEAD, "materialization": AHEAD, "bucket_overrides": AHEAD}
    drifted = Provenance(history=(make.past(-1, active=True, materialization={"enabled": True}),))
    loaded = make.loaded(active=True, materialization={"enabled": True})
    assert verdicts(make.diff(loaded, inactive, drifted, None)) == {"active": DRIFTED, "materialization": DRIFTED}


def test_materialisation_is_not_compared_where_either_side_is_inactive(make):
    off = make.loaded(active=False, materialization={"enabled": True}, bucket_overrides={"a": "day"})
    assert not make.diff(off, make.endpoint(is_active=False), Provenance(), None).differences
    assert set(verdicts(make.diff(off, make.endpoint(), Provenance(), None))) == {"active"}
    silent = make.loaded(materialization={"enabled": True})
    assert not make.diff(silent, make.endpoint(is_active=False), Provenance(), None).differences


DAY = 24
ON = {"materialization": {"enabled": True}}
OFF = {"materialization": {"enabled": False}}
TABLES = {
    # what the file said at each hour; when the server was last written to and called; now; verdict
    "its last call is more than 30 days ago": ([(1, ON)], 2, 3, 34 * DAY, IDLED),
    "its last call is less than 30 days ago": ([(1, OFF), (2, ON)], 3, 4, 30 * DAY, CONFLICT),
    "nothing ever called it": ([(1, OFF), (2, ON)], 3, None, 90 * DAY, CONFLICT),
    "the file begins to ask for a table later": ([(1, OFF), (33 * DAY, ON)], 2, 3, 34 * DAY, AHEAD),
    "the file asked for a table later than the last write": ([(1, OFF), (5, ON)], 2, 3, 34 * DAY, AHEAD),
    "the edit that asks for a table is not committed": ([(1, OFF)], 2, 3, 34 * DAY, AHEAD),
    "the file always asked for a table": ([(1, ON), (5, ON | {"description": "more"})], 6, 7, 34 * DAY, IDLED),
    "somebody wrote to it after it idled out": ([(1, ON)], 33 * DAY, 3, 34 * DAY, IDLED),
}


@pytest.mark.parametrize(("commits", "written", "called", "now", "expected"), TABLES.values(), ids=TABLES)
def test_a_table_that_idled_out(make, commits, written, called, now, expected):
    endpoint = make.endpoint(
        updated_at=at(written).isoformat(), last_executed_at=None if called is None else at(called).isoformat()
    )
    history = tuple(reversed([make.past(hour, **keys) for hour, keys in commits]))
    last = commits[-1][1] if "not committed" not in str(expected) else ON
    is_edited = commits[-1][1] is OFF
    file = make.loaded(**(ON if is_edited else last))
    judged = make.diff(file, endpoint, Provenance(history=history, is_dirty=is_edited, now=at(now)), None)
    found = {one.key: one for one in judged.differences}[Key.MATERIALIZATION]
    assert found.attribution is expected, found.reason
    if expected is IDLED:
        assert (
            "S115 the server switched the table off by itself: no API key has called it since 2026-07-01"
            in found.reason
        )
        assert found.fix.startswith("endpoints-gitops push --overwrite=signups@1 signups turns the table on again")


def test_a_table_that_idled_out_is_known_by_the_record_and_by_the_calls_of_its_own_version(make):
    on = make.endpoint(materialized=True)
    file = make.loaded(**ON)
    record = make.recorded(None, endpoint=on, file=definition_settings(file, None), at=at(2))
    called = at(34 * DAY).isoformat()
    endpoint = make.endpoint(last_executed_at=called)  # another version was called
    evidence = Provenance(record=record, now=at(35 * DAY))
    judged = make.diff(file, endpoint, evidence, None)
    assert (verdicts(judged)["materialization"], needs_versions(judged)) == (DRIFTED, True)
    versions = (make.version(1, "A", 1, last_executed_at=at(3).isoformat()),)
    judged = make.diff(file, endpoint, Provenance(record=record, versions=versions, now=at(35 * DAY)), None)
    assert (verdicts(judged)["materialization"], needs_versions(judged)) == (IDLED, False)


def test_a_server_that_says_that_a_table_hibernates_is_believed(make):
    file = make.loaded(**ON, bucket_overrides={"timestamp": "day"})
    off = {"enabled": False, "hibernated": True}
    evidence = Provenance(history=(make.past(1, **ON),), now=at(2))
    judged = make.diff(file, make.endpoint(materialization=off, updated_at=at(2).isoformat()), evidence, None)
    assert verdicts(judged) == {"materialization": IDLED, "bucket_overrides": IDLED}
    unknown = make.diff(
        file,
        make.endpoint(materialization=off, updated_at=at(2).isoformat()),
        Provenance(history=(make.past(1, **ON),)),
        None,
    )
    assert IDLED not in verdicts(unknown).values(), "without a clock, nothing is said of idling"


def test_an_environment_is_compared_by_its_own_settings(make):
    overlay = {"prod": {"tags": ["live"]}}
    loaded = make.loaded(tags=["a"], environments=overlay)
    assert not make.diff(loaded, make.endpoint(tags=["live"]), Provenance(), "prod").differences
    assert set(verdicts(make.diff(loaded, make.endpoint(tags=["live"]), Provenance(), "staging"))) == {"tags"}


def test_a_cosmetic_difference_is_none(make):
    judged = make.diff(make.loaded(query="SELECT 1"), make.endpoint(query="select  1"), Provenance(), None)
    assert (judged.differences, judged.is_cosmetic) == ((), True)


def test_what_is_only_here_is_created_unless_it_was_ours(make):
    new = make.diff(make.loaded(), None, Provenance(), None)
    assert (new.presence, new.is_missing) == (Presence.ONLY_LOCAL, False)
    assert "version 1" in new.note
    assert make.diff(make.loaded(), None, Provenance(record=remembered(make, "A", version=4)), None).is_missing
    assert make.diff(make.loaded(), None, Provenance(is_pinned=True), None).is_missing


def test_what_is_only_there_may_be_deactivated_where_it_is_as_a_file_left_it(make):
    def removal(endpoint, **evidence):
        found = make.diff(None, endpoint, Provenance(**evidence), None)
        assert found.presence is Presence.ONLY_REMOTE
        return found.removal and found.removal.attribution

    history = letters(make, "AB.")
    assert removal(make.endpoint(query="B"), history=history) is AHEAD
    assert removal(make.endpoint(query="X"), history=history) is CONFLICT
    assert removal(make.endpoint(query="B"), history=history, record=remembered(make, "A")) is CONFLICT
    assert removal(make.endpoint(query="B", is_active=False), history=history) is None
    assert removal(make.endpoint(query="B"), history=()) is None
    assert removal(make.endpoint(query="B"), record=remembered(make, "B")) is None


def test_reasons_say_who_did_what(make):
    evidence = Provenance(history=letters(make, "AB"), versions=make.versions("A", "X"))
    endpoint = make.endpoint(query="X", current_version=2)
    judged = make.diff(make.loaded(query="B"), endpoint, evidence, None)
    assert [one.reason for one in judged.differences] == [
        "edited on the server, and the file changed too, by commit 0000002"
    ]
    assert judged.explanation(judged.differences[0]) == (
        f"{judged.differences[0].reason} (server: version 2 by ann@example.com, 2026-07-01)"
    )
    assert (judged.version, judged.author, judged.date) == (2, "ann@example.com", at(2))


QUERIES = st.text(alphabet="ABC", max_size=5)


@given(history=QUERIES, versions=st.text(alphabet="ABC", min_size=1, max_size=5), dirty=st.booleans())
@settings(deadline=None)
def test_a_file_that_is_as_the_server_has_no_difference(make, history, versions, dirty):
    evidence = Provenance(history=letters(make, history), versions=make.versions(*versions), is_dirty=dirty)
    endpoint = make.endpoint(query=versions[-1], current_version=len(versions))
    assert make.diff(make.loaded(query=versions[-1]), endpoint, evidence, None).differences == ()


@given(history=QUERIES, versions=st.text(alphabet="ABCX", min_size=1, max_size=5), file=st.sampled_from("ABC"))
@settings(deadline=None)
def test_what_no_commit_had_is_never_written_over_without_a_record(make, history, versions, file):
    verdict = query_verdict(make, history, versions, file)
    if versions[-1] not in history and verdict is not NEVER:
        assert verdict is not AHEAD


EVENTS = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from("ABC")),
    st.tuples(st.just("push"), st.just("")),
    st.tuples(st.just("web"), st.sampled_from("XYZ")),
    st.tuples(st.just("back"), st.integers(min_value=0, max_value=9)),
)


class Story:
    """Somebody commits and pushes, somebody else edits in the web or puts an older version back there; one an hour."""

    def __init__(self, make, events):
        self.make, self.commits, self.versions = make, [], []
        self.ours = self.theirs = ""
        self.pushed_at = 0
        for hour, (what, detail) in enumerate([("commit", "A"), ("push", ""), *events]):
            if what == "commit":
                self.commits.append((hour, detail))
            else:
                self.write(hour, what, detail)

    def write(self, hour, what, detail):
        file = self.commits[-1][1]
        text = {"push": file, "web": detail}.get(what) or self.versions[detail % len(self.versions)][1]
        if what == "push":
            self.ours, self.theirs, self.pushed_at = text, "", hour
        else:
            self.theirs = text
        if not self.versions or text != self.versions[-1][1]:
            self.versions.append((hour, text))

    @property
    def web_was_last(self):
        """And did what no push can have done: put back what was pushed last, or what was committed since, it can."""
        committed = {text for hour, text in self.commits if hour > self.pushed_at}
        return self.theirs not in {"", self.ours, *committed}

    def attribution(self):
        make, file, server = self.make, self.commits[-1][1], self.versions[-1][1]
        history = tuple(reversed([make.past(hour, query=text) for hour, text in self.commits]))
        listed = [make.version(number, text, hour) for number, (hour, text) in enumerate(self.versions, start=1)]
        evidence = Provenance(history=history, versions=tuple(reversed(listed)))
        endpoint = make.endpoint(query=server, current_version=len(listed))
        return verdicts(make.diff(make.loaded(query=file), endpoint, evidence, None)).get("query", NEVER)


@given(events=st.lists(EVENTS, max_size=12))
@settings(deadline=None, max_examples=150)
def test_what_the_web_did_last_is_never_written_over(make, events):
    story = Story(make, events)
    if story.web_was_last:
        assert story.attribution() is not AHEAD


@given(events=st.lists(EVENTS.filter(lambda event: event[0] in {"commit", "push"}), max_size=12))
@settings(deadline=None, max_examples=150)
def test_where_only_the_file_moves_every_difference_is_ahead(make, events):
    assert Story(make, events).attribution() in {AHEAD, NEVER}


def test_an_endpoint_that_neither_side_has_is_refused():
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_revisions("signups", None, None)


@pytest.mark.parametrize(("visible", "expected"), [("A", AHEAD), ("C", CONFLICT), ("C!A", AHEAD), ("", AHEAD)])
def test_a_shallow_clone_believes_the_record_where_a_commit_that_is_there_had_it(make, visible, expected):
    evidence = Provenance(
        record=remembered(make, "A"),
        visible=letters(make, visible),
        without_history=NoHistory(reason="this clone is shallow", fix="fetch-depth: 0"),
        head="0000009",
        is_dirty=True,
    )
    assert verdicts(make.diff(make.loaded(query="B"), make.endpoint(query="A"), evidence, None)) == {"query": expected}
