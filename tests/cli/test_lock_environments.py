"""Several environments: two projects of one server, each with numbers and names of its own."""

from __future__ import annotations

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.codecs.lock import read_lock
from endpoints_gitops.model.secret import Secret

NEWEST = 'revenue = "*"\n'


def hogql(sql):
    return {"query": {"kind": "HogQLQuery", "query": sql}}


@pytest.fixture
def configured(server, cli, checkout):  # noqa: ARG001 - `cli` writes a configuration of its own first
    """`configured(common, prod=…, staging=…)` writes the uses of both environments."""
    second = server.add_project("Production")

    def write(common="", **own):
        text = f"[uses]\n{common}" if common else ""
        for name, project in (("staging", 1), ("prod", second), ("unused", 77)):
            if name == "unused" and common:
                continue
            text += f'[environments.{name}]\nhost = "{server.url}"\nproject_id = {project}\n'
            text += 'key = "env:ENDPOINTS_TEST_KEY"\n'
            text += f"[environments.{name}.uses]\n{own[name]}" if name in own else ""
        (checkout.top / "endpoints.toml").write_text(text)

    write.project = second
    return write


@pytest.fixture
def locked(checkout):
    def read():
        pins = read_lock((checkout.top / "endpoints.lock").read_bytes(), "endpoints.lock").pins
        return [(pin.environment, pin.name, pin.version) for pin in pins]

    return read


@pytest.fixture
def prod(server, configured, create, edit):
    """`revenue` is at version 2 in staging and 1 in prod."""
    create("revenue")
    edit("revenue", "SELECT 1 AS one, 2 AS two")
    with Client(Connection(host=server.url, project_id=configured.project, key=Secret(server.key))) as made:
        made.create_endpoint({"name": "revenue"} | hogql("SELECT 1 AS one"))
        yield made


@pytest.mark.usefixtures("prod")
def test_all_environments_in_use_unless_one_is_named(cli, configured, locked):
    configured(prod=NEWEST, staging=NEWEST)
    assert cli("lock", "--env", "prod").code == 0
    assert locked() == [("prod", "revenue", 1)]
    check = cli("lock", "--check", "--format", "json")
    assert (check.code, [item["environment"] for item in check.json["items"]]) == (1, ["staging"])
    assert cli("lock", "--check", "--env", "prod").code == 0
    assert cli("lock", "--check", env={"ENDPOINTS_GITOPS_ENV": "prod"}).code == 0
    assert cli("lock").code == 0
    assert locked() == [("prod", "revenue", 1), ("staging", "revenue", 2)]


@pytest.mark.usefixtures("prod")
def test_uses_of_an_environment_override_common_ones(cli, configured, locked):
    configured(NEWEST, staging="revenue = { version = 1 }\n")
    assert cli("lock").code == 0
    assert locked() == [("prod", "revenue", 1), ("staging", "revenue", 1)]


@pytest.mark.usefixtures("prod")
def test_a_common_exact_version_is_an_error(cli, configured):
    configured("revenue = { version = 1 }\n")
    ran = cli("lock")
    assert (ran.code, "an exact version cannot apply to several environments" in ran.err) == (2, True)


@pytest.mark.usefixtures("prod")
def test_pins_of_an_unused_environment_are_dropped(cli, configured, locked):
    configured(prod=NEWEST, staging=NEWEST)
    assert cli("lock").code == 0
    configured(prod=NEWEST)
    ran = cli("lock", "--check")
    assert (ran.code, "revenue@2 is pinned in environment staging and no longer used" in ran.out) == (1, True)
    assert cli("lock", "--env", "prod").code == 0
    assert len(locked()) == 2, "with --env, other environments are left alone"
    assert cli("lock").code == 0
    assert locked() == [("prod", "revenue", 1)]


@pytest.mark.usefixtures("prod")
def test_nothing_is_written_where_one_environment_lacks_a_name(cli, configured, create, checkout):
    create("signups")
    configured(prod=NEWEST + 'signups = "*"\n', staging='signups = "*"\n')
    ran = cli("lock")
    assert (ran.code, "environment prod has no endpoint 'signups'" in ran.err) == (1, True)
    assert not (checkout.top / "endpoints.lock").exists()


def test_upgrade_moves_all_environments_and_exact_pins_only_by_name(cli, configured, locked, prod, edit):
    configured(prod=NEWEST, staging=NEWEST)
    assert cli("lock").code == 0
    for _ in range(2):
        prod.update_endpoint("revenue", hogql("SELECT 1 AS one, 2 AS two"))
    edit("revenue", "SELECT 1 AS one, 2 AS two, 3 AS three")
    ran = cli("upgrade", "revenue@2")
    assert (ran.code, "endpoints-gitops upgrade revenue@2 --env prod" in ran.err) == (2, True)
    assert cli("upgrade", "revenue@2", "--env", "prod").code == 0
    assert locked() == [("prod", "revenue", 2), ("staging", "revenue", 2)]
    assert cli("upgrade").code == 0
    assert locked() == [("prod", "revenue", 2), ("staging", "revenue", 3)]


@pytest.mark.usefixtures("prod")
def test_an_exact_use_is_rewritten_in_place(cli, configured, locked, checkout):
    configured(prod="revenue = { version = 1 } # ours\n", staging="revenue = { version = 1 } # theirs\n")
    assert cli("lock").code == 0
    before = (checkout.top / "endpoints.toml").read_text()
    assert cli("upgrade", "revenue", "--env", "staging").code == 0
    after = (checkout.top / "endpoints.toml").read_text()
    assert after == before.replace("{ version = 1 } # theirs", "{ version = 2 } # theirs")
    assert locked() == [("prod", "revenue", 1), ("staging", "revenue", 2)]
    assert cli("lock", "--check").code == 0


def test_contracts_that_differ_between_environments_are_reported(cli, configured, prod):
    configured(prod=NEWEST, staging=NEWEST)
    assert cli("lock").code == 0
    ran = cli("lock", "--verify", "--format", "json")
    (item,) = ran.json["items"]
    assert (ran.code, item["code"], item["severity"], item["endpoint"]) == (0, "P109", "warn", "revenue")
    prod.update_endpoint("revenue", hogql("SELECT 1 AS one, 2 AS two"))
    assert cli("upgrade").code == 0
    assert cli("lock", "--verify", "--format", "json").json["items"] == []


@pytest.mark.usefixtures("prod")
def test_variables_about_one_environment_are_refused_for_several(cli, configured):
    configured(prod=NEWEST, staging=NEWEST)
    env = {"ENDPOINTS_GITOPS_KEY": "env:ENDPOINTS_TEST_KEY"}
    ran = cli("lock", env=env)
    assert (ran.code, "ENDPOINTS_GITOPS_KEY applies to one environment" in ran.err) == (2, True)
    assert cli("lock", "--env", "prod", env=env).code == 0
    assert cli("lock", "--check", env=env).code == 1, "offline they do not matter"
