"""`rollback NAME@N`: the query of an older version, newest again, and in the file."""

from __future__ import annotations

import pytest

from endpoints_gitops.local.faults import Edit, Effect, Fault

FILE = "# ours\nname: signups\nquery: {}   # the query\n"
ONE, TWO, THREE = "SELECT 1 AS n", "SELECT 2 AS n", "SELECT 3 AS n"


def hogql(sql):
    return {"kind": "HogQLQuery", "query": sql}


@pytest.fixture
def path(cli, checkout, client):
    """Version 2 is current, and the file that says so was pulled and committed."""
    client.create_endpoint({"name": "signups", "query": hogql(ONE)})
    client.update_endpoint("signups", {"query": hogql(TWO)})
    checkout.commit({"signups.yaml": FILE.format(TWO)})
    assert cli("pull").code == 0
    return checkout.folder / "signups.yaml"


def test_rollback_makes_the_old_query_the_newest_and_writes_the_file(cli, client, path):
    ran = cli("rollback", "signups@1", "--yes", "--format", "json")
    assert (ran.code, ran.json["items"][0]["version"]) == (0, 3), ran.err
    assert (client.get_endpoint("signups").sql, path.read_text()) == (ONE, FILE.format(ONE))
    assert cli("diff").code == 0
    assert cli("pull", "--format", "json").json["summary"]["unchanged"] == 1
    path.write_text(FILE.format(THREE))
    assert cli("push", "--yes").code == 0, "an edit after it is ahead"


def test_rollback_sends_nothing_the_second_time_and_restores_the_file(cli, client, path):
    cli("rollback", "signups@1", "--yes")
    path.write_text(FILE.format(TWO))
    ran = cli("rollback", "signups@1", "--yes", "--format", "json")
    assert (ran.code, client.get_endpoint("signups").current_version) == (0, 3), ran.err
    assert path.read_text() == FILE.format(ONE)


def test_rollback_works_without_a_file(cli, client, checkout, path):
    path.unlink()
    ran = cli("rollback", "signups@1", "--yes")
    assert (ran.code, client.get_endpoint("signups").sql) == (2, TWO)
    assert "endpoints has no definition on disk, but git tracks 1 in it" in ran.err
    checkout.commit()
    assert cli("rollback", "signups@1", "--yes").code == 0
    assert (client.get_endpoint("signups").sql, path.exists()) == (ONE, False)


@pytest.mark.parametrize(
    ("words", "typed", "code", "sql"),
    [
        ([], None, 6, TWO),
        (["--yes"], None, 6, TWO),
        ([], "n\n", 6, TWO),
        ([], "y\ny\n", 0, ONE),
        ([], "y\nn\n", 2, TWO),
    ],
)
def test_rollback_never_loses_an_uncommitted_edit(cli, client, path, tmp_path, words, typed, code, sql):
    """Only a person may replace it, and a copy stays."""
    path.write_text(FILE.format(THREE))
    ran = cli("rollback", "signups@1", *words, input=typed)
    assert (ran.code, client.get_endpoint("signups").sql) == (code, sql), ran.err
    assert path.read_text() == FILE.format(ONE if code == 0 else THREE)
    assert [copy.read_text() for copy in tmp_path.rglob("replaced/*")] == ([FILE.format(THREE)] if code == 0 else [])


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_an_edit_that_git_is_told_to_overlook_is_not_lost(cli, checkout, client, path, flag):
    checkout.git("update-index", f"--{flag}", "endpoints/signups.yaml")
    path.write_text(FILE.format(THREE))
    assert cli("rollback", "signups@1", "--yes").code == 6
    assert (client.get_endpoint("signups").sql, path.read_text()) == (TWO, FILE.format(THREE))


def test_an_uncommitted_comment_counts_as_an_edit(cli, client, path):
    path.write_text(FILE.format(f"{TWO} -- an hour of work"))
    assert cli("rollback", "signups@1", "--yes").code == 6
    assert (client.get_endpoint("signups").sql, "an hour of work" in path.read_text()) == (TWO, True)


def test_rollback_replaces_an_unpushed_commit_only_with_yes(cli, checkout, client, path):
    checkout.commit({"signups.yaml": FILE.format(THREE)})
    assert cli("rollback", "signups@1").code == 6
    assert cli("rollback", "signups@1", "--yes").code == 0
    assert (client.get_endpoint("signups").sql, path.read_text()) == (ONE, FILE.format(ONE))


def test_rollback_keeps_a_shared_sql_file(cli, checkout, client):
    for name in ("one", "two"):
        client.create_endpoint({"name": name, "query": hogql(ONE)})
        client.update_endpoint(name, {"query": hogql(TWO)})
    files = {f"{name}.yaml": f"name: {name}\nquery_file: shared.sql\n" for name in ("one", "two")}
    checkout.commit({**files, "shared.sql": TWO + "\n"})
    assert cli("pull").code == 0
    assert cli("rollback", "one@1", "--yes").code == 0
    assert (checkout.folder / "shared.sql").read_text() == TWO + "\n"
    assert cli("diff").code == 0


@pytest.mark.usefixtures("path")
def test_rollback_reports_an_edit_meanwhile_with_both_versions(cli, server):
    edit = Edit(path="endpoints/signups/", body={"query": hogql(THREE)})
    server.faults.add(Fault(effect=Effect.EDIT, method="PATCH", edit=edit))
    ran = cli("rollback", "signups@1", "--yes")
    assert ran.code == 6
    assert "version 3" in ran.err
    assert "version 4" in ran.err


@pytest.mark.usefixtures("path")
def test_rollback_keeps_bucket_overrides(cli, client):
    buckets = {"timestamp": "hour"}
    client.update_endpoint("signups", {"is_materialized": True, "bucket_overrides": buckets})
    assert cli("rollback", "signups@1", "--yes").code == 0
    endpoint = client.get_endpoint("signups")
    assert (endpoint.materialization.is_on, endpoint.bucket_overrides) == (True, buckets)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["signups@9"], 2, "9"),
        (["signup@1"], 2, "did you mean 'signups'"),
        (["signups"], 2, "NAME@N"),
        (["signups@0"], 2, "version"),
        (["signups@1"], 2, "--yes"),
    ],
)
def test_rollback_refuses_wrong_versions(cli, client, path, words, code, said):
    ran = cli("rollback", *words)
    assert (ran.code, client.get_endpoint("signups").current_version, path.read_text()) == (code, 2, FILE.format(TWO))
    assert said in ran.err


def test_rollback_finds_variables_by_code_name(cli, client, create, checkout):
    create("top", "SELECT {variables.n} AS n", variables={"n": ("Number", 3)})
    client.update_endpoint("top", {"query": hogql("SELECT 1 AS n")})
    assert cli("pull").code == 0
    assert cli("rollback", "top@1", "--yes").code == 0
    assert "default: 3" in (checkout.folder / "top.yaml").read_text()
    assert cli("diff").code == 0


def test_rollback_names_a_deleted_variable(cli, client, create, server):
    create("top", "SELECT {variables.n} AS n", variables={"n": ("Number", 3)})
    client.update_endpoint("top", {"query": hogql("SELECT 1 AS n")})
    gone = f"insight_variables/{client.list_variables()[0].id}/"
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", nth=1, edit=Edit(method="DELETE", path=gone)))
    ran = cli("rollback", "top@1", "--yes")
    assert (ran.code, client.get_endpoint("top").current_version) == (2, 2)
    assert "no longer has: n" in ran.err
