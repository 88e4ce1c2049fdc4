"""`lock --verify`: each way in which the server no longer has what is locked, by its own rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import Lock

SQL = "SELECT plan FROM (SELECT 'a' AS plan) WHERE plan = {variables.plan}"
NEWEST = '"*"'


@pytest.fixture
def locked(cli, uses, create):
    """`revenue` with a variable that has a default, and `signups`, both pinned in version 1."""
    create("revenue", SQL, variables={"plan": ("String", "a")})
    create("signups")
    uses(revenue=NEWEST, signups=NEWEST)
    assert cli("lock").code == 0


def hogql(sql):
    return {"query": {"kind": "HogQLQuery", "query": sql}}


def newer(client):
    client.update_endpoint("signups", hogql("SELECT 2 AS one"))


def deleted(client):
    client.delete_endpoint("signups")


def recreated(client):
    client.delete_endpoint("signups")
    client.create_endpoint({"name": "signups"} | hogql("SELECT 1 AS one"))


def version_off(client):
    client.update_endpoint("signups", {"is_active": False}, version=1)


def endpoint_off(client):
    client.update_endpoint("signups", {"is_active": False})


def materialised(client):
    client.update_endpoint("revenue", {"is_materialized": True})


def relaxed(client):
    client.update_endpoint("signups", {"data_freshness_seconds": 604800})


def retyped(client):
    client.update_variable(client.list_variables()[0].id, {"type": "Number", "default_value": 1})


def described(client):
    client.update_endpoint("signups", {"description": "other words", "tags": ["new"]})


FOUND = {
    "newer, and the locked one is there": (newer, 0, set()),
    "description and tags": (described, 0, set()),
    "deleted": (deleted, 1, {"P102"}),
    "deleted and recreated": (recreated, 1, {"A105", "P103"}),
    "version inactive": (version_off, 1, {"P104"}),
    "endpoint inactive": (endpoint_off, 1, {"A103"}),
    "materialised, so variables are required": (materialised, 1, {"P111", "S101"}),
    "freshness relaxed": (relaxed, 0, {"P111", "S106"}),
}


@pytest.mark.parametrize(("change", "code", "codes"), FOUND.values(), ids=FOUND)
@pytest.mark.usefixtures("locked")
def test_each_change_is_found_by_its_rule(cli, client, change, code, codes):
    change(client)
    ran = cli("lock", "--verify", "--format", "json")
    found = {item["code"] for item in ran.json["items"]}
    assert (ran.code, found & (codes | {"P102", "P103", "P104", "P111"})) == (code, codes), ran.out
    assert all(item["environment"] == "test" for item in ran.json["items"])
    assert not any("NAME" in item["fix"] for item in ran.json["items"]), "advice is there to be pasted"
    assert cli("lock", "--verify").code == code


@pytest.mark.usefixtures("locked")
def test_a_retyped_shared_variable_changes_the_contract_in_place(cli, client):
    retyped(client)
    ran = cli("lock", "--verify", "--format", "json")
    assert (ran.code, "P111" in {item["code"] for item in ran.json["items"]}) == (1, True), ran.out


OTHER = {
    "another query": lambda pin: replace(pin, query=pin.query | {"query": "SELECT 3 AS one"}),
    "another id of the version": lambda pin: replace(pin, version_id="5c1e0000-0000-4000-8000-000000000003"),
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
@pytest.mark.usefixtures("locked")
def test_a_recreated_endpoint_with_the_same_version_is_found(cli, pins, checkout, change):
    other = pins() | {"signups": change(pins()["signups"])}
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=tuple(other.values()))))
    ran = cli("lock", "--verify", "--format", "json")
    assert (ran.code, [item["code"] for item in ran.json["items"]]) == (1, ["P103"]), ran.out
    assert cli("lock", "--check").code == 0, "offline both are as they should be"


@pytest.mark.usefixtures("locked")
def test_a_request_for_each_pin_and_one_for_all_variables(cli, server):
    server.requests.clear()
    ran = cli("lock", "--verify")
    assert (ran.code, "revenue@1 (test): as locked" in ran.out) == (0, True)
    *versions, variables = (one.path.partition("/api/projects/1/")[2] for one in server.requests.entries())
    assert sorted(versions) == ["endpoints/revenue/?version=1", "endpoints/signups/?version=1"]
    assert variables == "insight_variables/"


@pytest.mark.usefixtures("locked")
def test_mismatches_with_the_manifest_are_reported(cli, uses):
    uses(revenue=NEWEST)
    ran = cli("lock", "--verify")
    assert (ran.code, "P108" in ran.out, "revenue@1 (test): as locked" in ran.out) == (1, True, True)


@pytest.mark.usefixtures("locked")
def test_a_pin_that_cannot_be_looked_up_exits_with_4(cli, server, client):
    deleted(client)
    server.faults.add(Fault(effect=Effect.ERROR, path="*/endpoints/revenue"))
    ran = cli("lock", "--verify", "--max-wait", "0.2", "--format", "json")
    assert (ran.code, [item["code"] for item in ran.json["items"]]) == (4, ["P102"]), ran.err
    assert (ran.json["summary"]["asked"], len(ran.json["errors"])) == (1, 1)


@pytest.mark.usefixtures("locked")
def test_a_refused_key_exits_with_3(make_cli, checkout, uses):
    ran = make_cli(checkout.top, key="phx_of_nobody")
    uses(revenue=NEWEST, signups=NEWEST)
    told = ran("lock", "--verify", "--format", "json")
    assert (told.code, len(told.json["errors"])) == (3, 1), "what failed alike is said once"
