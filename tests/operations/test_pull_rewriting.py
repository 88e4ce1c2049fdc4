"""Taking from the server into a file: a law over files and servers of every shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.pulled import definition_values
from endpoints_gitops.codecs.rewriting import new_file
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.file_edits import FileEdit, Unprovable, write_edits
from endpoints_gitops.operations.pull.rewrite import Rewrite, edits_of
from endpoints_gitops.plan.diff import Revision, ServerRevision
from endpoints_gitops.plan.settings import Key, definition_settings, endpoint_settings, same
from endpoints_gitops.workspace.definitions import read_file

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
TAGS = st.lists(st.sampled_from(["web", "live", "1", "no"]), unique=True, max_size=3).map(sorted)
FRESHNESS = st.sampled_from([900, "15min", 3600, "1hour", 86400, "24hour"])
TABLE = st.fixed_dictionaries({}, optional={"enabled": st.booleans()})
SETTINGS = {"active": st.just(True), "tags": TAGS, "data_freshness": FRESHNESS, "materialization": TABLE}
EVENT = {"kind": "EventsNode", "event": "$pageview"}
QUERIES = st.sampled_from(
    [
        {"query": "SELECT 1 AS n"},
        {"query": "SELECT 2 AS n\nFROM events\n"},
        {"query_file": "q.sql"},
        {"query_definition": {"kind": "HogQLQuery", "query": "SELECT 1", "modifiers": {"debug": True}}},
        {"query_definition": {"kind": "TrendsQuery", "series": [EVENT], "interval": "day", "properties": []}},
        {"query_definition": {"kind": "TrendsQuery", "series": [EVENT, {**EVENT, "math": "dau"}]}},
        {"query_definition": {"kind": "LifecycleQuery", "series": [EVENT]}},
    ]
)
FILES = st.builds(
    lambda query, own, overlay: {
        "name": "a",
        **query,
        **own,
        **({"environments": {"test": overlay}} if overlay else {}),
    },
    QUERIES,
    st.fixed_dictionaries({}, optional={**SETTINGS, "description": TEXTS}),
    st.fixed_dictionaries({}, optional=SETTINGS),
)
NODES = st.sampled_from(
    [
        {"kind": "HogQLQuery", "query": "SELECT 3 AS n\nFROM events"},
        {"kind": "HogQLQuery", "query": "SELECT 1", "filters": {"properties": []}},
        {"kind": "TrendsQuery", "series": [EVENT], "interval": "week", "filterTestAccounts": False},
        {"kind": "TrendsQuery", "series": [EVENT, EVENT], "breakdownFilter": {"breakdown": "$os"}},
        {"kind": "LifecycleQuery", "series": [{**EVENT, "name": "seen"}]},
    ]
)
ENDPOINTS = st.builds(
    lambda node, tags, seconds, description, table: Endpoint.model_validate(
        {
            "id": "1",
            "name": "a",
            "query": node,
            "tags": tags,
            "data_freshness_seconds": seconds,
            "description": description,
            "materialization": {"enabled": table},
            "is_active": True,
        }
    ),
    NODES,
    TAGS,
    st.sampled_from([900, 21600, 604800]),
    TEXTS,
    st.booleans(),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("endpoints")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(file=FILES, endpoint=ENDPOINTS, data=st.data())
def test_what_is_taken_means_what_the_server_has_and_the_rest_what_it_did(folder, file, endpoint, data):
    path = folder / "a.yaml"
    (folder / "q.sql").write_bytes(b"SELECT 4 AS n\n")
    path.write_bytes(new_file(file).replace(b"name: a\n", b"name: a  # ours\n"))
    loaded = read_file(path, folder)
    before, server = definition_settings(loaded, "test"), endpoint_settings(endpoint)
    differing = [key for key in before if key in server and not same(key, before[key], server[key])]
    keys = frozenset(data.draw(st.sets(st.sampled_from(differing)))) if differing else frozenset[Key]()

    def rewrite_of(definition):
        values = definition_values(endpoint, {})
        local, remote = Revision.local(definition, "test"), ServerRevision.of(endpoint)
        return Rewrite(local=local, loaded=definition, remote=remote, values=values, keys=keys, environment="test")

    write_edits(edits_of(rewrite_of(loaded), folder), folder)
    after = read_file(path, folder)
    for key, value in definition_settings(after, "test").items():
        assert same(key, value, server[key] if key in keys else before[key])
    assert b"name: a  # ours\n" in path.read_bytes()
    assert edits_of(rewrite_of(after), folder) == (), "a second time changes nothing"


@pytest.mark.parametrize("now", [b"else", None])
def test_a_file_that_somebody_changed_meanwhile_is_left(tmp_path, now):
    path = tmp_path / "a.yaml"
    if now is not None:
        path.write_bytes(now)
    with pytest.raises(UsageError, match=r"a\.yaml changed while this command ran"):
        write_edits((FileEdit(path=path, before=b"as it was", after=b"new"),), tmp_path)
    assert (path.read_bytes() if path.exists() else None) == now


@pytest.mark.parametrize(
    ("taken", "local", "wrong"),
    [
        ("SELECT 2", "active: true", None),
        ("SELECT 1", "active: true", "query"),
        ("SELECT 3", "active: true", "query"),
        ("SELECT 2", "active: false", "active"),
    ],
)
def test_edits_are_refused_unless_the_new_file_has_taken_keys_of_the_server_and_others_as_before(
    tmp_path, taken, local, wrong
):
    """The server has SELECT 2, the file SELECT 1 and `active: true`."""
    path, other = tmp_path / "a.yaml", tmp_path / "other" / "a.yaml"
    path.write_bytes(b"name: a\nquery: SELECT 1\nactive: true\n")
    other.parent.mkdir()
    other.write_text(f"name: a\nquery: SELECT 1\n{local}\n")
    endpoint = Endpoint.model_validate({"id": "1", "name": "a", "query": {"kind": "HogQLQuery", "query": "SELECT 2"}})
    rewrite = Rewrite(
        local=Revision.local(read_file(other, other.parent), "test"),
        loaded=read_file(path, tmp_path),
        remote=ServerRevision.of(endpoint),
        values={**definition_values(endpoint, {}), "query": taken},
        keys=frozenset({Key.QUERY}),
        environment="test",
    )
    if wrong is None:
        assert b"SELECT 2" in edits_of(rewrite, tmp_path)[0].after
        return
    with pytest.raises(Unprovable, match=f"cannot write {wrong} of a "):
        edits_of(rewrite, tmp_path)
