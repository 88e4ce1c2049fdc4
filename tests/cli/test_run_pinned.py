"""run NAME where there is a lock; explain of a status."""

from __future__ import annotations

import json

import pytest

EDITED = {"kind": "HogQLQuery", "query": "SELECT 'new' AS plan"}
PINNED = "note: running plans@1, as pinned in endpoints.lock; --version N runs another"


@pytest.fixture
def pinned(cli, create, checkout, client):
    """`plans` is pinned at version 1, and edited afterwards."""
    create("plans", "SELECT concat('old ', {variables.n}) AS plan", variables={"n": ("String", "x")})
    create("free")
    path = checkout.top / "endpoints.toml"
    path.write_text('uses = { plans = "*" }\n' + path.read_text())
    assert cli("lock").code == 0
    client.update_endpoint("plans", {"query": EDITED})


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(
    ("words", "out", "err"),
    [
        (("plans",), [{"plan": "old x"}], PINNED),
        (("plans", "--var", "n=y"), [{"plan": "old y"}], PINNED),
        (("plans", "--all"), [{"plan": "old x"}], PINNED),
        (("plans", "--version", "2"), [{"plan": "new"}], ""),
        (("free",), [{"one": 1}], "note: endpoints.lock does not pin free in test: running its newest version"),
    ],
)
def test_run_uses_the_pinned_version_and_says_so(cli, words, out, err):
    ran = cli("run", *words, "--output", "json")
    notes = [line for line in ran.err.splitlines() if line.startswith("note")]
    assert (json.loads(ran.out), "".join(notes), ran.code) == (out, err, 0)


@pytest.mark.usefixtures("pinned")
def test_types_of_variables_come_from_the_pin(cli, server):
    server.requests.clear()
    assert cli("run", "plans", "--var", "n=1").code == 0
    assert [entry.path.partition("?")[0].rpartition("/run")[1] for entry in server.requests.entries()] == ["/run"]


@pytest.mark.usefixtures("pinned")
def test_run_refuses_a_damaged_lock(cli, checkout):
    path = checkout.top / "endpoints.lock"
    path.write_text("<<<<<<< ours\n" + path.read_text())
    ran = cli("run", "plans")
    assert (ran.code, ran.out) == (2, "")
    assert "endpoints.lock:1:1: the file has conflict markers of a merge" in ran.err
    assert cli("run", "plans", "--version", "1").code == 0


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404", "405", "415", "429", "500", "502", "503", "504"])
def test_every_status_is_explained(cli, status):
    ran = cli("explain", status)
    assert ran.code == 0
    assert "What to do: " in ran.out


@pytest.mark.parametrize("code", ["call.unknown_variable", "contract.columns", "call.option", "rows.kind", "P101"])
def test_every_code_of_a_call_is_explained(cli, code):
    ran = cli("explain", code)
    assert ran.code == 0
    assert len(ran.out.split()) > 8
    assert cli("explain", "nothing.known").code == 2
