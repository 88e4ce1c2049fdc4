"""`rename OLD NEW`: two names for a while, and never none."""

from __future__ import annotations

import pytest

from endpoints_gitops.local.faults import Effect, Fault, When

FILE = """\
# ours
name: signups   # counted
query: SELECT {variables.n} AS n
variables:
- {name: n, type: Number, default: 3}
"""
RENAMED = FILE.replace("name: signups ", "name: people ")


@pytest.fixture
def path(cli, checkout):
    """A definition that was pushed, in a file of another name."""
    checkout.commit({"team/first.yaml": FILE})
    assert cli("push", "--yes").code == 0
    return checkout.folder / "team/first.yaml"


def test_rename_creates_the_new_endpoint_and_keeps_the_old_one(cli, client, path):
    ran = cli("rename", "signups", "people", "--yes", "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"]) == (0, "renamed"), ran.err
    assert path.read_text() == RENAMED + "renamed_from: signups\n"
    names = {endpoint.name: endpoint.is_active for endpoint in client.list_endpoints()}
    assert names == {"signups": True, "people": True}
    assert cli("diff").code == 0, "the old name is no difference"
    assert cli("pull", "--format", "json").json["summary"]["kept_for_its_callers"] == 1
    assert len(list(path.parent.parent.rglob("*.yaml"))) == 1


def test_finish_deactivates_the_old_name(cli, client, path):
    cli("rename", "signups", "people", "--yes")
    assert cli("rename", "signups", "people", "--finish").code == 2, "nobody said yes"
    assert client.get_endpoint("signups").is_active
    assert cli("rename", "signups", "people", "--finish", "--yes").code == 0
    assert not client.get_endpoint("signups").is_active
    assert cli("rename", "signups", "people", "--finish", "--yes").code == 0, "a second time is nothing new"
    assert "renamed_from" in path.read_text(), "so that no pull brings the old name back"


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.HALF, Effect.HTML])
def test_rename_continues_after_an_interruption(cli, client, server, path, effect):
    server.faults.add(Fault(effect=effect, method="POST", path="*/endpoints", when=When.AFTER))
    server.faults.add(Fault(effect=effect, method="GET", path="*/endpoints/people"))
    ran = cli("rename", "signups", "people", "--yes", "--max-wait", "0.1")
    assert ran.code in {4, 5}, ran.err
    assert path.read_text() == FILE
    server.faults.clear()
    assert cli("rename", "signups", "people", "--yes").code == 0
    assert path.read_text().startswith(RENAMED)
    assert client.get_endpoint("people").current_version == 1


def test_rename_names_unmanaged_settings(cli, client, path):
    client.update_endpoint("signups", {"tags": ["web"], "data_freshness_seconds": 900})
    ran = cli("rename", "signups", "people", "--yes")
    assert "will not have them: tags, data_freshness" in ran.err
    assert (client.get_endpoint("people").tags, path.exists()) == ((), True)


def test_one_rename_at_a_time(cli, client, path):
    cli("rename", "signups", "people", "--yes")
    ran = cli("rename", "people", "users", "--yes")
    assert (ran.code, [one.name for one in client.list_endpoints()]) == (2, ["signups", "people"])
    assert "rename signups people --finish" in ran.err
    cli("rename", "signups", "people", "--finish", "--yes")
    assert cli("rename", "people", "users", "--yes").code == 0
    assert "renamed_from: people" in path.read_text()


def test_rename_does_nothing_the_second_time(cli, path):
    cli("rename", "signups", "people", "--yes")
    written = path.read_bytes()
    ran = cli("rename", "signups", "people", "--yes", "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"], path.read_bytes()) == (0, "unchanged", written)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["signups", "taken"], 6, "another taken"),
        (["signups", "mine"], 2, "mine is defined already"),
        (["signups", "1st"], 2, "cannot be renamed"),
        (["signups", "signups"], 2, "cannot be renamed"),
        (["signup", "people"], 2, "did you mean 'signups'"),
        (["signups", "people", "--finish"], 2, "comes first"),
    ],
)
def test_rename_refuses_wrong_names(cli, create, checkout, path, words, code, said):
    create("taken")
    checkout.write({"mine.yaml": "name: mine\nquery: SELECT 1\n"})
    ran = cli("rename", *words, "--yes")
    assert (ran.code, path.read_text()) == (code, FILE), ran.err
    assert said in ran.err


def test_finish_keeps_a_protected_endpoint(cli, client, checkout, path):
    cli("rename", "signups", "people", "--yes")
    configuration = checkout.top / "endpoints.toml"
    configuration.write_text('protect = ["sign*"]\n' + configuration.read_text())
    ran = cli("rename", "signups", "people", "--finish", "--yes")
    assert (ran.code, client.get_endpoint("signups").is_active, path.exists()) == (2, True, True)
    assert "protected" in ran.err


def test_finish_needs_a_working_successor(cli, client, path):
    cli("rename", "signups", "people", "--yes")
    client.update_endpoint("people", {"is_active": False})
    assert cli("rename", "signups", "people", "--finish", "--yes").code == 2
    assert (client.get_endpoint("signups").is_active, path.exists()) == (True, True)
