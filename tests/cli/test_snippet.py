"""snippet: where host, project and pin come from, and what stdout holds."""

from __future__ import annotations

import pytest

from endpoints_gitops.codegen.snippet import SnippetLanguage


@pytest.fixture
def locked(cli, create, uses, checkout):
    create("revenue", "SELECT {variables.plan} AS plan", variables={"plan": ("String", "pro")})
    uses(revenue='"*"')
    assert cli("lock").code == 0
    return checkout


@pytest.mark.usefixtures("locked")
def test_stdout_holds_the_call_alone(cli, server):
    server.requests.clear()
    ran = cli("snippet", "revenue")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("curl --fail-with-body ")
    assert f"{server.url}/api/projects/1/endpoints/revenue/run?version=1" in ran.out
    assert server.requests.entries() == ()


@pytest.mark.usefixtures("locked")
def test_json_has_the_call_and_its_values(cli):
    (item,) = cli("snippet", "revenue", "--lang", "go", "--format", "json").json["items"]
    assert (item["name"], item["version"], item["language"]) == ("revenue", 1, "go")
    assert item["variables"] == {"plan": "pro"}
    assert item["text"].startswith("package main\n")


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("revenu",), "pins no endpoint 'revenu' in environment test; did you mean 'revenue'?"),
        (("revenu",), "  fix: endpoints-gitops snippet revenue\n"),
        (("orders",), '  fix: add orders = "*" to `uses`, and run endpoints-gitops lock\n'),
        (("revenue", "--env", "tset"), "there is no environment 'tset'; did you mean 'test'?"),
        (("revenue", "--lang", "java"), "invalid choice: 'java'"),
    ],
)
def test_what_is_unknown_is_refused(cli, words, message):
    ran = cli("snippet", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


@pytest.mark.parametrize("language", SnippetLanguage)
def test_a_key_in_the_lock_does_not_get_into_a_call(cli, create, uses, language):
    key = "phx_" + "0123456789abcdefABCDEF" * 2
    create("revenue", "SELECT {variables.plan} AS plan", variables={"plan": ("String", key)})
    uses(revenue='"*"')
    assert cli("lock").code == 0
    ran = cli("snippet", "revenue", "--lang", language)
    assert (ran.code, ran.out) == (2, "")
    assert "would contain text that looks like an API key" in ran.err
    assert key not in ran.err


def test_no_lock_is_refused(cli):
    ran = cli("snippet", "revenue")
    assert (ran.code, ran.out) == (2, "")
    assert "error: endpoints.lock does not exist\n  fix: endpoints-gitops lock\n" in ran.err


@pytest.mark.parametrize(
    ("settings", "variables", "address"),
    [
        ('host = "https://eu.posthog.com"\nproject_id = 8', {}, "https://eu.posthog.com/api/projects/8/"),
        ("project_id = 8", {}, "https://us.posthog.com/api/projects/8/"),
        ("project_id = 8", {"ENDPOINTS_GITOPS_PROJECT_ID": "9"}, "https://us.posthog.com/api/projects/9/"),
        ('key = "posthog-cli"', {"POSTHOG_CLI_PROJECT_ID": "3"}, "https://us.posthog.com/api/projects/3/"),
        (
            'key = "posthog-cli"\nproject_id = 8',
            {"POSTHOG_CLI_API_KEY": "phx_a", "POSTHOG_CLI_HOST": "https://ph.example.com"},
            "https://ph.example.com/api/projects/8/",
        ),
        (
            'key = "env:POSTHOG_CLI_API_KEY"\nproject_id = 8',
            {"POSTHOG_CLI_HOST": "https://ph.example.com/"},
            "https://ph.example.com/api/projects/8/",
        ),
        # other keys are not stored for the host of posthog-cli
        (
            'key = "env:OWN"\nproject_id = 8',
            {"POSTHOG_CLI_HOST": "https://ph.example.com"},
            "https://us.posthog.com/api/projects/8/",
        ),
    ],
)
def test_host_and_project_are_those_of_a_call(cli, locked, settings, variables, address):
    (locked.top / "endpoints.toml").write_text(f"[environments.test]\n{settings}\n")
    ran = cli("snippet", "revenue", env=variables)
    assert ran.code == 0, ran.err
    assert f"{address}endpoints/revenue/run?version=1" in ran.out


def test_no_project_is_refused(cli, locked):
    (locked.top / "endpoints.toml").write_text('[environments.test]\nkey = "env:OWN"\n')
    ran = cli("snippet", "revenue")
    assert (ran.code, ran.out) == (2, "")
    assert "environment 'test' has no project_id" in ran.err


def test_a_lock_alone_is_enough(cli, locked):
    (locked.top / "endpoints.toml").unlink()
    ran = cli("snippet", "revenue", env={"POSTHOG_CLI_PROJECT_ID": "3"})
    assert ran.code == 0, ran.err
    assert "https://us.posthog.com/api/projects/3/endpoints/revenue/run?version=1" in ran.out
