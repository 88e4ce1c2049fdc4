"""`promote --from ENV --to ENV`: two projects of one server, whose ids for the same variable differ."""

from __future__ import annotations

import shutil

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.faults import Edit, Effect, Fault
from endpoints_gitops.model.secret import Secret

PROMOTE = ("promote", "--from", "staging", "--to", "prod")
FILE = """\
name: signups
description: People
query: SELECT {variables.plan} AS plan
variables:
- {name: plan, type: List, default: pro, label: "The Plan", values: [free, pro]}
tags: [web]
environments:
  staging: {active: true}
  prod: {tags: [live], data_freshness: 1hour}
"""


@pytest.fixture
def projects(server, cli, checkout):
    """Staging is the first project, prod another one. The command knows both."""
    second = server.add_project("Production")
    block = '[environments.{}]\nhost = "{}"\nproject_id = {}\nkey = "env:ENDPOINTS_TEST_KEY"\n'
    text = "\n".join(block.format(name, server.url, number) for name, number in (("staging", 1), ("prod", second)))
    (checkout.top / "endpoints.toml").write_text(f'dir = "endpoints"\ndefault_environment = "staging"\n{text}')
    checkout.commit({"signups.yaml": FILE})
    assert cli("push", "--yes").code == 0
    return second


@pytest.fixture
def prod(server, projects):
    with Client(Connection(host=server.url, project_id=projects, key=Secret(server.key))) as made:
        yield made


def test_promote_copies_query_settings_and_variables(cli, client, prod):
    ran = cli(*PROMOTE, "--yes", "--format", "json")
    assert ran.code == 0, ran.err
    there = prod.get_endpoint("signups")
    assert (there.sql, there.description) == ("SELECT {variables.plan} AS plan", "People")
    assert (there.tags, there.data_freshness_seconds) == ((), 86400), "what prod's overlay says is left alone"
    (made,) = prod.list_variables()
    assert (made.code_name, made.name, made.type) == ("plan", "The Plan", "List")
    assert (made.values, made.default_value) == (["free", "pro"], "pro")
    assert made.id != client.list_variables()[0].id
    assert made.id in there.query["variables"]


@pytest.mark.usefixtures("prod")
def test_promote_writes_nothing_the_second_time(cli, server):
    assert cli(*PROMOTE, "--yes").code == 0
    server.requests.clear()
    ran = cli(*PROMOTE, "--yes", "--format", "json")
    assert (ran.code, [item["state"] for item in ran.json["items"]]) == (0, ["unchanged"])
    assert server.requests.writes() == ()


def hogql(sql):
    return {"query": {"kind": "HogQLQuery", "query": sql}}


@pytest.mark.parametrize(
    ("staging", "target", "words", "code", "sql"),
    [
        (hogql("SELECT 2 AS plan"), None, ["--yes"], 0, "SELECT 2 AS plan"),
        (hogql("SELECT 2 AS plan"), None, [], 2, "SELECT {variables.plan} AS plan"),
        (None, hogql("SELECT 3 AS plan"), ["--yes"], 0, "SELECT 3 AS plan"),
        (hogql("SELECT 2 AS plan"), hogql("SELECT 3 AS plan"), ["--yes"], 6, "SELECT 3 AS plan"),
        (hogql("SELECT 2 AS plan"), hogql("SELECT 3 AS plan"), ["--yes", "--overwrite"], 0, "SELECT 2 AS plan"),
        (
            hogql("SELECT 2 AS plan"),
            hogql("SELECT 3 AS plan"),
            ["--yes", "--overwrite=signups@2"],
            0,
            "SELECT 2 AS plan",
        ),
        (
            hogql("SELECT 2 AS plan"),
            hogql("SELECT 3 AS plan"),
            ["--yes", "--overwrite=signups@1"],
            6,
            "SELECT 3 AS plan",
        ),
    ],
)
def test_promote_never_overwrites_changes_in_the_target(cli, client, prod, staging, target, words, code, sql):
    assert cli(*PROMOTE, "--yes").code == 0
    for where, body in ((client, staging), (prod, target)):
        if body is not None:
            where.update_endpoint("signups", body)
    ran = cli(*PROMOTE, *words)
    assert (ran.code, prod.get_endpoint("signups").sql) == (code, sql), ran.err


def test_promote_reports_edits_during_the_push(cli, client, server, prod):
    assert cli(*PROMOTE, "--yes").code == 0
    prod.update_endpoint("signups", hogql("SELECT 2 AS plan"))
    edit = Edit(path="endpoints/signups/", body=hogql("SELECT 3 AS plan"))  # in the first project: staging
    server.faults.add(Fault(effect=Effect.EDIT, method="PATCH", edit=edit))
    ran = cli("promote", "--from", "prod", "--to", "staging", "--yes")
    assert (ran.code, client.get_endpoint("signups").current_version) == (6, 3), ran.err


def test_selectors_and_manage_of_both_sides(cli, client, create, checkout, prod):
    create("other")
    create("third")
    configuration = checkout.top / "endpoints.toml"
    text = configuration.read_text()
    configuration.write_text(text.replace("[environments.prod]", '[environments.prod]\nmanage = ["o*", "s*"]'))
    assert cli(*PROMOTE, "o*", "third", "--yes").code == 0
    assert [endpoint.name for endpoint in prod.list_endpoints()] == ["other"]
    assert client.get_endpoint("third").name == "third"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "staging", "--to", "staging"], "same project"),
        (["--from", "staging", "--to", "live"], "there is no environment 'live'"),
        (["--from", "staging", "--to", "prod", "nothing"], "nothing"),
        (["--from", "staging"], "--to"),
        (["--from", "staging", "--to", "prod", "--env", "prod"], "--env"),
    ],
)
def test_promote_refuses_wrong_environments(cli, prod, words, said):
    ran = cli("promote", *words, "--yes")
    assert (ran.code, prod.list_endpoints()) == (2, ())
    assert said in ran.err


@pytest.mark.parametrize("is_there", [True, False], ids=["an empty folder", "no folder"])
def test_promote_refuses_a_folder_whose_definitions_are_all_not_on_disk(cli, checkout, prod, is_there):
    shutil.rmtree(checkout.folder)
    if is_there:
        checkout.folder.mkdir()
    ran = cli(*PROMOTE, "--yes")
    assert (ran.code, "endpoints has no definition on disk, but git tracks 1 in it" in ran.err) == (2, True), ran.err
    assert list(prod.list_endpoints()) == []
