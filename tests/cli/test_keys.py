"""What a missing, a wrong and a project secret key end in; and that no key is ever written anywhere."""

from __future__ import annotations

import pytest

from endpoints_gitops.local.faults import Effect, Fault


def test_commands_work_on_an_empty_project(cli):
    ran = cli("list")
    assert ran.code == 0
    assert "the project has no endpoints" in ran.err


@pytest.mark.parametrize(("key", "said"), [("phx_wrong", "api.unauthenticated"), ("", "credentials.missing")])
def test_refused_keys_exit_with_3(make_cli, checkout, key, said):
    ran = make_cli(checkout.top, key=key)("list", "--format", "json")
    assert ran.code == 3
    assert [error["code"] for error in ran.json["errors"]] == [said]


def test_a_project_secret_key_can_only_run(make_cli, checkout, create, server):
    create("one")
    cli = make_cli(checkout.top, key=server.project_secret_key)
    assert cli("list").code == 3
    assert cli("run", "one").out == "one\n---\n  1\n"


def files_below(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("fault", [None, "error", "html", "drop"])
def test_no_key_is_written_anywhere(cli, checkout, create, server, tmp_path, fault):
    """The fixture looks at both streams of each run; here are the files that are left."""
    create("one")
    checkout.write({"one.yaml": "name: one\nquery: SELECT 2 AS two\n"})
    if fault is not None:
        server.faults.add(Fault(effect=Effect(fault), status=502))
    for words in (
        ["list"],
        ["get", "one"],
        ["versions", "one"],
        ["get", "none"],
        ["run", "one", "--var", "x=1"],
        ["run", "--file", "endpoints/one.yaml"],
        ["open", "one"],
        ["auth", "status"],
        ["diff"],
        ["plan", "-o", "plan.json"],
        ["push", "--yes"],
        ["resume", "--yes"],
        ["pull", "--yes"],
        ["deactivate", "one"],
        ["delete", "one", "--yes"],
    ):
        ran = cli(*words, "--verbose", "--format", "json", "--max-wait", "10" if fault is None else "0.1")
        assert words == ["resume", "--yes"] or "/api/" in ran.err, "--verbose shows no requests"
    written = files_below(tmp_path)
    assert any(path.name.startswith("budget") for path in written), "nothing was written where it is looked for"
    assert [path for path in written if server.key.encode() in path.read_bytes()] == []
