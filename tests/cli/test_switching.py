"""activate, deactivate and delete: by name, verified, and said."""

from __future__ import annotations

import pytest

from endpoints_gitops.api.errors import EndpointNotFound
from endpoints_gitops.local.faults import Edit, Effect, Fault, When

pytestmark = pytest.mark.usefixtures("two")
QUERY = {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}


@pytest.fixture
def two(create):
    create("one")
    create("two")


def names(client):
    return [endpoint.name for endpoint in client.list_endpoints()]


def test_deactivate_and_activate_write_and_verify(cli, client, server):
    ran = cli("deactivate", "one", "two")
    assert (ran.code, ran.out) == (0, "one inactive\ntwo inactive\n")
    assert f"environment test: {server.url}, project 1" in ran.err
    assert [client.get_endpoint(name).is_active for name in ("one", "two")] == [False, False]
    assert "the endpoint one is inactive" in cli("run", "one").err
    assert cli("activate", "one").code == 0
    assert cli("run", "one").code == 0


def test_deactivate_notes_that_the_table_ends(cli, create):
    create("kept", is_materialized=True)
    assert "kept is no longer materialised" in cli("deactivate", "one", "kept").err
    assert "materialised" not in cli("deactivate", "one", "kept").err


def test_activate_writes_nothing_where_it_is_active(cli, server):
    assert cli("activate", "one", "two", "one").out == "one was active already\ntwo was active already\n"
    assert server.requests.writes() == ()


def test_deactivate_takes_one_version(cli, client):
    client.update_endpoint("one", {"query": QUERY})
    assert cli("deactivate", "one", "--version", "1").out == "one@1 inactive\n"
    assert [client.get_version("one", number).is_active for number in (1, 2)] == [False, True]
    assert client.get_endpoint("one").is_active
    assert cli("activate", "one", "--version", "1").code == 0
    assert cli("activate", "one", "--version", "9").code == 2
    assert cli("activate", "one", "two", "--version", "1").code == 2


@pytest.mark.parametrize("command", ["activate", "deactivate", "delete"])
def test_a_missing_name_stops_all(cli, server, command):
    ran = cli(command, "one", "twoo", "--yes")
    assert ran.code == 2
    assert "did you mean 'two'?" in ran.err
    assert server.requests.writes() == ()


@pytest.mark.parametrize(("command", "left"), [("deactivate", ["one", "two"]), ("delete", ["one"])])
def test_a_failure_does_not_stop_the_others(cli, server, client, command, left):
    server.faults.add(Fault(effect=Effect.ERROR, path="*/one", method="[PD]*", status=403))
    ran = cli(command, "one", "two", "--yes", "--format", "json", "--max-wait", "20")
    assert ran.code == 5
    assert ran.json["summary"] == {"done": 1, "failed": 1}
    assert names(client) == left


@pytest.mark.parametrize("when", list(When))
def test_a_lost_answer_is_read_again(cli, server, client, when):
    server.faults.add(Fault(effect=Effect.DROP, method="PATCH", nth=1, when=when))
    ran = cli("deactivate", "one", "--format", "json")
    assert client.get_endpoint("one").is_active is (when is When.BEFORE)
    assert ran.json["ok"] is (when is When.AFTER)


@pytest.mark.parametrize("when", list(When))
def test_a_deletion_without_answer_is_read_again(cli, server, client, when):
    server.faults.add(Fault(effect=Effect.DROP, method="DELETE", nth=1, when=when))
    ran = cli("delete", "one", "--yes", "--format", "json")
    assert ("one" in names(client)) is (when is When.BEFORE)
    assert ran.json["ok"] is (when is When.AFTER)


def test_delete_leaves_a_recreated_endpoint(cli, server, client):
    """The deletion lands, its answer is lost, and somebody creates the name again before we look."""
    again = Edit(method="POST", path="endpoints/", body={"name": "one", "query": QUERY})
    server.faults.add(
        Fault(effect=Effect.DROP, method="DELETE", nth=1, when=When.AFTER),
        Fault(effect=Effect.EDIT, method="GET", path="*/endpoints/one", nth=1, edit=again),
    )
    assert cli("delete", "one", "--yes").out == "one deleted\n"
    assert client.get_endpoint("one").query["query"] == "SELECT 2 AS two"


@pytest.mark.parametrize("command", ["delete", "deactivate"])
@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([Edit(path="endpoints/one/", body={"query": QUERY})], "version 2 is current"),
        ([Edit(method="DELETE", path="endpoints/one/")], "deleted on the server"),
        (
            [
                Edit(method="DELETE", path="endpoints/one/"),
                Edit(method="POST", path="endpoints/", body={"name": "one", "query": QUERY}),
            ],
            "deleted and recreated",
        ),
    ],
)
def test_commands_leave_endpoints_that_changed_since_they_were_shown(cli, server, client, command, edits, said):
    server.faults.add(
        *(
            Fault(effect=Effect.EDIT, method="GET", path="*/endpoints", nth=1, when=When.AFTER, edit=edit)
            for edit in edits
        )
    )
    ran = cli(command, "one", "two", "--yes")
    assert (ran.code, said in ran.err) == (5, True), ran.err
    one = next((endpoint for endpoint in client.list_endpoints() if endpoint.name == "one"), None)
    assert one is None if len(edits) == 1 and edits[0].method == "DELETE" else one is not None and one.is_active


def test_only_a_204_confirms_a_deletion(cli, server, client):
    server.faults.add(Fault(effect=Effect.HTML, status=200, method="DELETE", nth=1))
    ran = cli("delete", "one", "--yes")
    assert (ran.code, "one" in names(client)) == (4, True), ran.err


@pytest.mark.parametrize(("typed", "gone"), [("one\ntwo\n", True), ("one\none\n", False), ("y\n", False), ("", False)])
def test_delete_asks_for_each_name(cli, client, typed, gone):
    ran = cli("delete", "one", "two", input=typed)
    assert ran.code == (0 if gone else 2)
    assert names(client) == ([] if gone else ["one", "two"])


def test_delete_without_a_terminal_needs_yes(cli, client, server):
    ran = cli("delete", "one")
    assert ran.code == 2
    assert "stdin is not a terminal" in ran.err
    assert server.requests.writes() == ()
    assert cli("delete", "one", "--yes").code == 0
    with pytest.raises(EndpointNotFound):
        client.get_endpoint("one")
