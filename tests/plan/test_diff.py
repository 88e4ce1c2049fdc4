"""One side of an endpoint, both sides compared, and the server read once."""

from __future__ import annotations

import pytest

from endpoints_gitops.plan.diff import (
    DroppedKey,
    Revision,
    ServerRevision,
    Snapshot,
    compare_revisions,
    explained,
    last_write,
)
from endpoints_gitops.plan.settings import Key
from tests.plan.conftest import at

SQL = "SELECT {variables.event}, {variables.os}"
TWO = [{"name": "event", "type": "String", "default": "a"}, {"name": "os", "type": "String", "default": "b"}]


def types(contract) -> dict[str, str | None]:
    return {variable.name: variable.type for variable in contract.variables}


def test_a_snapshot_derives_each_revision_once_with_the_variables_of_the_project(make):
    month = make.variable("month", type="Date")
    endpoint = make.endpoint(query="SELECT {variables.month}", variables={"month": "2026-07-01"}, current_version=4)
    snapshot = Snapshot(endpoints={"signups": endpoint}, variables=(month,))
    revision = snapshot.revision("signups")
    assert revision is snapshot.revision("signups")
    assert (revision.label, revision.version, revision.endpoint) == ("server, version 4", 4, endpoint)
    assert types(revision.contract) == {"month": "Date"}
    assert snapshot.revision("other") is None
    assert (snapshot.variables_by_code_name, snapshot.variables_by_id) == ({"month": month}, {"id-month": month})


def test_a_version_has_its_own_number(make):
    revision = ServerRevision.of(make.version(3, "A", 1).model_copy(update={"current_version": 7}))
    assert (revision.label, revision.version, revision.current_version) == ("server, version 3", 3, 7)


def test_a_definition_takes_the_types_that_it_does_not_say_from_the_project(make):
    loaded = make.loaded(query="SELECT {variables.month}")
    month = make.variable("month", type="Date")
    assert types(Revision.local(loaded, None, {"month": month}).contract) == {"month": "Date"}
    assert Revision.local(loaded, None).label == "endpoints/signups.yaml"


def test_a_revision_without_a_way_to_build_a_contract_has_none():
    with pytest.raises(ValueError, match=r"^plan has no contract$"):
        Revision(label="plan", settings={}).contract  # noqa: B018 - raises


def test_what_the_file_leaves_alone_and_the_server_has_set(make):
    remote = ServerRevision.of(make.endpoint(description="theirs", tags=["web"]))
    local = Revision.local(make.loaded(tags=["web"]), None)
    assert compare_revisions("signups", local, remote).unmanaged == (Key.DESCRIPTION,)
    for diff in (compare_revisions("signups", None, remote), compare_revisions("signups", remote, remote)):
        assert (diff.unmanaged, diff.is_cosmetic) == ((), False)


def test_nothing_is_no_diff():
    with pytest.raises(ValueError, match=r"^there is nothing to compare$"):
        compare_revisions("signups", None, None)


@pytest.mark.parametrize(
    ("stored", "line"),
    [
        ({"event": "a", "os": "x"}, 8),
        ({"event": "x", "os": "b"}, 6),
        ({"event": "a"}, 8),
    ],
)
def test_the_line_of_the_default_that_differs(make, stored, line):
    loaded = make.loaded(query=SQL, variables=TWO)
    loaded.lines.update({"variables.0.default": 6, "variables.1.default": 8})
    endpoint = make.endpoint(query=SQL, variables=stored)
    (difference,) = compare_revisions("signups", Revision.local(loaded, None), ServerRevision.of(endpoint)).differences
    assert (difference.key, difference.line) == (Key.QUERY, line)


def test_the_line_of_the_query_where_the_default_has_none_or_the_text_differs(make):
    loaded = make.loaded(query=SQL, variables=TWO)
    local = Revision.local(loaded, None)
    unnamed = ServerRevision.of(make.endpoint(query=SQL, variables={"event": "x", "os": "b"}))
    assert [one.line for one in compare_revisions("signups", local, unnamed).differences] == [loaded.lines["query"]]
    loaded.lines.update({"variables.0.default": 6, "variables.1.default": 8})
    other = ServerRevision.of(make.endpoint(query=f"{SQL}, 1", variables={"event": "x", "os": "b"}))
    assert [one.line for one in compare_revisions("signups", local, other).differences] == [loaded.lines["query"]]


def test_the_line_of_the_environment(make):
    loaded = make.loaded(tags=["a"], environments={"prod": {"tags": ["b"]}})
    loaded.lines["environments.prod.tags"] = 9
    remote = ServerRevision.of(make.endpoint())
    diffs = [
        compare_revisions("signups", Revision.local(loaded, name), remote, environment=name)
        for name in ("prod", "staging")
    ]
    assert [difference.line for diff in diffs for difference in diff.differences] == [9, loaded.lines["tags"]]


LAST_WRITES = [
    ((None, 3, "ann", at(0)), ""),
    ((Key.QUERY, None, "ann", None), ""),
    ((Key.QUERY, 3, None, None), "version 3"),
    ((Key.QUERY, 3, "ann", at(0)), "version 3 by ann, 2026-07-01"),
    ((Key.QUERY, None, None, at(0)), "2026-07-01"),
    ((Key.TAGS, 3, "ann", at(0)), "version 3, last written to 2026-07-01"),
]


@pytest.mark.parametrize(("known", "words"), LAST_WRITES)
def test_what_is_known_of_the_last_write(known, words):
    assert last_write(*known) == words
    assert explained("why", words) == (f"why (server: {words})" if words else "why")


def test_what_a_file_no_longer_manages_says_what_stays():
    dropped = DroppedKey(key=Key.DESCRIPTION, remote="über", commit="0123456789")
    assert dropped.message == 'description was managed until 0123456; the server keeps "über"'
