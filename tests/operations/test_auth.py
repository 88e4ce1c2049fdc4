"""`auth status`, as a user runs it."""

from __future__ import annotations

import pytest

from endpoints_gitops.local.faults import Effect, Fault


def test_a_key_that_may_do_everything(cli, server):
    ran = cli("auth", "status")
    assert ran.code == 0
    assert f"environment  test: {server.url}, project 1 (Local project)" in ran.out
    assert "personal API key 'Everything', from environment variable ENDPOINTS_TEST_KEY" in ran.out
    assert "who          author@example.com of " in ran.out
    assert "lacks" not in ran.out
    assert "direct: 236 left this minute" in ran.out


def test_as_json_and_without_the_word_status(cli):
    (item,) = cli("auth", "--format", "json").json["items"]
    assert item["may"] == dict.fromkeys(item["may"], True)
    assert item["projects"] == [{"id": 1, "name": "Local project"}]
    assert item["budgets"]["direct"]["hour"] == 2396
    assert item["unknown"] == {}


def test_a_key_that_may_only_read(make_cli, checkout, server):
    ran = make_cli(checkout.top, key=server.readonly_key)("auth", "status")
    assert ran.code == 0
    lacking = [line.split()[1] for line in ran.out.splitlines() if line.startswith("  lacks")]
    assert lacking == ["endpoint:write", "insight_variable:write"]
    assert "for push, activate" in ran.out


def test_what_cannot_be_read_is_said_as_unknown(make_cli, checkout, server):
    key = server.issue_key("endpoint:write")
    (item,) = make_cli(checkout.top, key=key)("auth", "status", "--format", "json").json["items"]
    assert (item["who"], item["projects"]) == (None, None)
    assert item["unknown"] == {
        "who": "API key missing required scope 'user:read'",
        "projects": "API key missing required scope 'project:read'",
    }
    assert (item["may"]["endpoint:read"], item["may"]["query:read"]) == (True, False)


def test_projects_are_known_from_the_organization_too(make_cli, checkout, server):
    key = server.issue_key("endpoint:read", "organization:read")
    server.add_project("Second")
    ran = make_cli(checkout.top, key=key)("auth", "status")
    assert "projects     1 (Local project), 2 (Second)" in ran.out


def test_a_project_secret_key_says_what_it_can(make_cli, checkout, server):
    ran = make_cli(checkout.top, key=server.project_secret_key)("auth", "status")
    assert ran.code == 0
    assert "project secret API key, from" in ran.out
    assert "has      endpoint:read           for run; every other command needs a personal API key" in ran.out
    assert "endpoint:write" not in ran.out
    assert "projects     unknown: a project secret key cannot ask for it" in ran.out
    assert [entry.path for entry in server.requests.entries()] == [
        "/api/projects/1/endpoints/endpoints-gitops-auth-status/run/"
    ]


@pytest.mark.parametrize(
    ("scopes", "settings", "code"),
    [
        (["query:read"], {}, "api.missing_scope"),
        (["endpoint:read"], {"scoped_projects": (7,)}, "api.other_project"),
        ([], {"secret": True}, "api.missing_scope"),
        (["endpoint:read"], {"secret": True, "project_id": 7}, "api.other_project"),
    ],
)
def test_a_key_that_is_of_no_use_here_is_3(make_cli, checkout, server, scopes, settings, code):
    ran = make_cli(checkout.top, key=server.issue_key(*scopes, **settings))("auth", "status", "--format", "json")
    assert ran.code == 3
    (error,) = ran.json["errors"]
    assert (error["code"], bool(error["fix"])) == (code, True)
    assert len(ran.json["items"]) == 1, "what is known is shown all the same"


@pytest.mark.parametrize("key", ["phx_nobody", "phs_nobody"])
def test_a_refused_key_is_3(make_cli, checkout, server, key):
    ran = make_cli(checkout.top, key=key)("auth", "status")
    assert ran.code == 3
    assert "from environment variable ENDPOINTS_TEST_KEY" in ran.out, "where a wrong key comes from helps most"
    assert "scopes       unknown: the server refuses the key" in ran.out
    assert len(server.requests.entries()) == 1


def test_a_budget_is_reset(cli, server, tmp_path):
    from endpoints_gitops.api.connection import Connection
    from endpoints_gitops.api.rate_limiter import FileRateLimiter
    from endpoints_gitops.model.secret import Secret

    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    limiter = FileRateLimiter(tmp_path / "state" / "budgets.sqlite", connection, notice=pytest.fail)
    limiter.pause(3000, materialized=False)
    limiter.close()
    refused = cli("list", "--max-wait", "1")
    assert refused.code == 4
    assert "endpoints-gitops auth reset-budget" in refused.err
    reset = cli("auth", "reset-budget")
    assert (
        reset.code,
        reset.out.startswith("cleared the request count of the key of test, and a wait of "),
    ) == (
        0,
        True,
    )
    assert server.requests.entries() == ()
    assert cli("list").code == 0


def test_no_key_is_3(make_cli, checkout, server):
    ran = make_cli(checkout.top, key="")("auth", "status")
    assert (ran.code, server.requests.entries()) == (3, ())
    assert "ENDPOINTS_TEST_KEY" in ran.err


def test_a_server_that_fails_is_4(cli, server):
    assert cli("auth", "status").code == 0
    server.faults.add(Fault(effect=Effect.ERROR, status=500))
    ran = cli("auth", "status", "--max-wait", "0.2")
    assert ran.code == 4
    assert "500" in ran.err


def test_an_older_server_does_not_know_the_key_route(cli, server):
    server.faults.add(Fault(effect=Effect.ERROR, path="*/personal_api_keys/*", status=404))
    ran = cli("auth", "status")
    assert ran.code == 0
    assert "unknown  endpoint:write" in ran.out
