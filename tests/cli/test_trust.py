"""A hostile checkout: the key that it names goes to no host that only it names, in no command."""

from __future__ import annotations

import shlex
import socket

import pytest

from endpoints_gitops.local.serve import RunningServer

KEY = "env:ENDPOINTS_TEST_KEY"


@pytest.fixture
def elsewhere(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server under a name that is neither this machine nor PostHog's: a request that is sent arrives."""
    port = int(server.url.rpartition(":")[2])
    original = socket.getaddrinfo

    def resolved(host, *more, **options):
        known = host in ("ph.test", b"ph.test", "evil.test")
        return original("127.0.0.1" if known else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    server.deployment.host_names.update(("ph.test", "evil.test"))
    return f"http://ph.test:{port}"


@pytest.fixture
def hostile(cli, checkout, server, elsewhere, create):
    """The command in a checkout whose configuration names the other host, and does all that it can."""

    def write(host=elsewhere, key=KEY):
        (checkout.top / "endpoints.toml").write_text(
            f'[environments.test]\nhost = "{host}"\nproject_id = {server.project_id}\nkey = "{key}"\n'
            f'allow_insecure = true\n[environments.other]\nhost = "{host}"\nproject_id = 2\nkey = "{key}"\n'
            'allow_insecure = true\n[uses]\none = "*"\n'
        )

    checkout.write({"one.yaml": "name: one\nquery: SELECT 1 AS one\n"})
    checkout.commit()
    create("one")
    write(server.url)
    assert cli("lock", "--env", "test").code == 0
    server.requests.clear()
    write()

    def run(*words, **options):
        return (
            cli(*words, **options)
            if "--env" in words or "promote" in words
            else cli(*words, "--env", "test", **options)
        )

    run.write = write
    return run


COMMANDS = [
    "list",
    "get one",
    "versions one",
    "run one",
    "run --file endpoints/one.yaml",
    "diff",
    "plan",
    "push --yes",
    "push --prune --yes",
    "pull --yes",
    "activate one --yes",
    "deactivate one --yes",
    "delete one --yes",
    "rename one two --yes",
    "rollback one@1 --yes",
    "adopt one",
    "check --live",
    "lock --verify",
    "outdated",
    "upgrade --yes",
    "promote --from test --to other --yes",
    "auth status",
    "auth",
]


def requests(server):
    return [entry.path for entry in server.requests.entries()]


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_sends_the_key_to_an_untrusted_host(hostile, server, words):
    ran = hostile(*words.split(), "--format", "json")
    assert requests(server) == []
    assert ran.code == 3, ran.err
    assert {error["code"] for error in ran.json["errors"]} == {"credentials.untrusted"}
    fixes = [error["fix"] for error in ran.json["errors"]]
    assert all("endpoints-gitops auth trust " in fix and " http://ph.test:" in fix for fix in fixes)


def test_the_suggested_trust_command_allows_the_host(hostile, server, elsewhere):
    refused = hostile("list")
    assert refused.code == 3
    assert "only the configuration of this checkout names this host" in refused.err
    assert "plain http" in refused.err
    line = next(one for one in refused.err.splitlines() if "fix: " in one).partition("fix: ")[2]
    words = shlex.split(line, comments=True)
    assert words[:3] == ["endpoints-gitops", "auth", "trust"]
    assert hostile(*words[1:]).code == 0
    assert hostile("list").code == 0
    assert requests(server)
    server.requests.clear()
    hostile.write(elsewhere.replace("ph.test", "evil.test"))
    assert hostile("list").code == 3
    hostile.write(key="dotenv:.env:KEY")
    assert hostile("list").code == 3
    assert requests(server) == []


def test_the_variable_for_allowed_hosts_allows_the_host(hostile, server, elsewhere):
    for name in ("ENDPOINTS_GITOPS_ALLOWED_HOSTS", "POSTHOG_CLI_HOST", "ENDPOINTS_GITOPS_HOST"):
        assert hostile("list", env={name: elsewhere}).code == 0
    assert len(requests(server)) == 3
    server.requests.clear()
    assert hostile("list", env={"ENDPOINTS_GITOPS_ALLOWED_HOSTS": elsewhere.replace("http:", "https:")}).code == 3
    assert requests(server) == []


def test_the_user_is_asked_once_at_a_terminal(hostile, server):
    no = hostile("list", input="n\n")
    assert (no.code, requests(server)) == (3, [])
    assert f"to send {KEY} to http://ph.test:" in no.err
    assert "[y/N]" in no.err
    yes = hostile("list", input="y\n")
    assert yes.code == 0
    assert "[y/N]" in yes.err
    again = hostile("list", input="")
    assert again.code == 0
    assert "[y/N]" not in again.err


def test_yes_does_not_trust_a_host(hostile, server):
    assert hostile("push", "--yes").code == 3
    assert hostile("push", "--yes", input="n\n").code == 3
    assert requests(server) == []


def test_trust_is_listed_and_removed(hostile, checkout, server, elsewhere):
    assert "nothing is trusted" in hostile("auth", "trust", "--list").err
    trusted = hostile("auth", "trust")
    assert trusted.out == f"trusted: {checkout.top} sends {KEY} to {elsewhere}\n"
    assert hostile("auth", "trust").out.startswith("trusted already: ")
    assert hostile("auth", "trust", "https://other.test", "env:OTHER").code == 0
    assert hostile("auth", "trust", "--list", "--format", "json").json["items"] == [
        {"folder": str(checkout.top), "host": elsewhere, "key": KEY, "state": "trusted"},
        {"folder": str(checkout.top), "host": "https://other.test", "key": "env:OTHER", "state": "trusted"},
    ]
    assert requests(server) == []
    assert hostile("list").code == 0
    assert hostile("auth", "trust", "--remove", elsewhere).out.startswith("no longer trusted: ")
    assert hostile("list").code == 3
    assert hostile("auth", "trust", "--remove", "--all").out.count("no longer trusted") == 1
    assert hostile("auth", "trust", "--list").out == ""


@pytest.mark.parametrize(
    "words",
    [
        "auth trust https://x.test",
        "auth trust nonsense env:K",
        "auth trust https://x.test phx_a_key_itself",
        "auth trust https://x.test posthog-cli",
        "auth trust https://x.test env:POSTHOG_CLI_API_KEY",
        "auth trust --all",
        "auth trust --list --remove",
        "auth status https://x.test",
        "auth --list",
    ],
)
def test_trust_refuses_wrong_arguments(hostile, words):
    ran = hostile(*words.split())
    assert ran.code == 2, ran.err
    assert "phx_a_key_itself" not in ran.err
    assert hostile("auth", "trust", "--list").out == ""


def test_unneeded_trust_is_refused(cli):
    ran = cli("auth", "trust")
    assert ran.code == 2
    assert "without trust: the host is this machine" in ran.err


SECRETS = [
    ("env:AWS_SECRET_ACCESS_KEY", "which begins with phx_"),
    ("dotenv:~/.aws/credentials:aws_secret_access_key", "outside of the checkout"),
    ("dotenv:.env:SECRET", "which begins with phx_"),
]


@pytest.mark.parametrize("trusts", [False, True])
@pytest.mark.parametrize(("key", "said"), SECRETS)
def test_other_secrets_are_never_sent(hostile, checkout, server, tmp_path, elsewhere, key, said, trusts):
    home = tmp_path / "home" / ".aws"
    home.mkdir(parents=True)
    (home / "credentials").write_text("aws_secret_access_key=phx_not_yours\n")
    (checkout.top / ".env").write_text("SECRET=wJalrXUtnFEMI\n")
    env = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}
    if trusts:
        env["ENDPOINTS_GITOPS_ALLOWED_HOSTS"] = elsewhere
    for host in (elsewhere, server.url):
        hostile.write(host, key)
        ran = hostile("diff", env=env)
        assert (ran.code, requests(server)) == (3, [])
        assert said in ran.err
        assert "wJalrXUtnFEMI" not in ran.err
        assert "phx_not_yours" not in ran.err


@pytest.mark.parametrize("key", ["posthog-cli", "env:POSTHOG_CLI_API_KEY"])
def test_a_key_of_posthog_cli_goes_to_its_own_host_alone(hostile, server, elsewhere, key):
    env = {"POSTHOG_CLI_API_KEY": server.key, "POSTHOG_CLI_PROJECT_ID": "1"}
    for host in (elsewhere, server.url):
        hostile.write(host, key)
        ran = hostile("diff", env=env)
        assert (ran.code, requests(server)) == (3, [])
        assert "is stored for https://us.posthog.com" in ran.err
    assert hostile("list", env={**env, "POSTHOG_CLI_HOST": server.url}).code == 0


def test_status_shows_which_key_is_sent_where_and_why(hostile, server, elsewhere):
    refused = hostile("auth", "status")
    assert refused.code == 3
    assert "key          personal API key, from environment variable ENDPOINTS_TEST_KEY" in refused.out
    assert (
        f"goes to      no host: the key of environment variable ENDPOINTS_TEST_KEY is not sent to {elsewhere}"
        in refused.out
    )
    assert requests(server) == []
    hostile("auth", "trust")
    assert f"goes to      {elsewhere}: you trust this folder with this key and host" in hostile("auth", "status").out
    named = hostile("auth", "status", env={"ENDPOINTS_GITOPS_ALLOWED_HOSTS": elsewhere})
    assert f"goes to      {elsewhere}: ENDPOINTS_GITOPS_ALLOWED_HOSTS names this host" in named.out
    hostile.write(server.url)
    assert f"goes to      {server.url}: the host is this machine" in hostile("auth", "status").out
