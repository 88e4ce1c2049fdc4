"""What a missing, a wrong and a project secret key end in; and that no key is ever written anywhere."""

from __future__ import annotations

import pytest


def test_an_empty_project(cli):
    ran = cli("list")
    assert ran.code == 0
    assert "the project has no endpoints" in ran.err


@pytest.mark.parametrize(("key", "said"), [("phx_wrong", "api.unauthenticated"), ("", "credentials.missing")])
def test_credentials(make_cli, checkout, key, said):
    ran = make_cli(checkout.top, key=key)("list", "--format", "json")
    assert ran.code == 3
    assert [error["code"] for error in ran.json["errors"]] == [said]


def test_a_project_secret_key_can_only_run(make_cli, checkout, create, server):
    create("one")
    cli = make_cli(checkout.top, key=server.project_secret_key)
    assert cli("list").code == 3
    assert cli("run", "one").out == "one\n---\n  1\n"
