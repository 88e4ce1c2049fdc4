"""The pins of an app, and the sources of its host and key."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

import endpoints_gitops as library
from endpoints_gitops import AsyncEndpoints, Endpoints
from endpoints_gitops.cli.entry import main

CONFIGURED = """
[environments.{name}]
host = "{host}"
project_id = {project}
key = "env:APP_KEY"
"""


@pytest.fixture
def configured(tmp_path, nobodys_settings):  # noqa: ARG001 - works by being there
    """Writes endpoints.toml beside the lock: `configured({"prod": "https://eu.posthog.com"}, head="…", tail="…")`."""

    def write(hosts, head="", tail=""):
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        parts = (CONFIGURED.format(name=name, host=host, project=7) for name, host in hosts.items())
        (folder / "endpoints.toml").write_text(head + "".join(parts) + tail)

    return write


def reached(endpoints):
    connection = endpoints._connection()
    return connection.host, connection.project_id, connection.key.reveal()


def test_host_and_key_from_the_configuration_beside_the_lock(lock, pin, configured, monkeypatch):
    configured({"prod": "https://eu.posthog.com"})
    monkeypatch.setenv("APP_KEY", "phx_app")
    endpoints = Endpoints.from_lock(lock(pin(environment="prod")))
    assert endpoints.environment == "prod"
    assert reached(endpoints) == ("https://eu.posthog.com", 7, "phx_app")


def test_without_configuration_the_variables_of_posthog_cli_count(lock, pin, monkeypatch):
    for name, value in {"API_KEY": "phx_cli", "PROJECT_ID": "9", "HOST": "https://us.posthog.com"}.items():
        monkeypatch.setenv(f"POSTHOG_CLI_{name}", value)
    endpoints = Endpoints.from_lock(lock(pin(environment="prod")))
    assert (endpoints.environment, list(endpoints.pins)) == ("prod", ["revenue"])
    assert reached(endpoints) == ("https://us.posthog.com", 9, "phx_cli")


def test_arguments_of_the_app_take_precedence(lock, pin, configured):
    configured({"prod": "https://eu.posthog.com"})
    endpoints = Endpoints.from_lock(
        lock(pin(environment="prod")), host="https://us.posthog.com", project_id=3, key="phx_k"
    )
    assert reached(endpoints) == ("https://us.posthog.com", 3, "phx_k")


def test_no_key_is_looked_for_before_the_first_call(lock, pin, configured):
    configured({"prod": "https://eu.posthog.com"})
    endpoints = Endpoints.from_lock(lock(pin(environment="prod")))
    with pytest.raises(library.CredentialsError, match="APP_KEY, which is not set"):
        endpoints.run("revenue")


@pytest.mark.parametrize(
    ("environments", "locked", "asked", "variable", "found"),
    [
        (("prod", "staging"), ("prod", "staging"), "staging", None, "staging"),
        (("prod", "staging"), ("prod", "staging"), None, "staging", "staging"),
        (("prod", "staging"), ("staging",), None, None, "staging"),
        ((), ("prod", "staging"), "prod", None, "prod"),
        ((), ("prod", "staging"), None, "staging", "staging"),
        ((), (), None, None, "default"),
    ],
)
def test_which_environment(lock, pin, configured, monkeypatch, environments, locked, asked, variable, found):
    if environments:
        configured(dict.fromkeys(environments, "https://eu.posthog.com"))
    if variable:
        monkeypatch.setenv("ENDPOINTS_GITOPS_ENV", variable)
    path = lock(*(pin(environment=name) for name in locked))
    endpoints = Endpoints.from_lock(path, environment=asked)
    assert endpoints.environment == found
    assert all(one.environment == found for one in endpoints.pins.values())


@pytest.mark.parametrize(
    ("environments", "asked", "message"),
    [
        ((), None, "the lock has pins of several environments: prod, staging"),
        (("prod", "staging"), None, "several environments are configured and none is the default"),
        (("prod", "staging"), "prd", "there is no environment 'prd'; did you mean 'prod'?"),
    ],
)
def test_an_ambiguous_environment(lock, pin, configured, environments, asked, message):
    if environments:
        configured(dict.fromkeys(environments, "https://eu.posthog.com"))
    with pytest.raises(library.UsageError) as raised:
        Endpoints.from_lock(lock(pin(environment="prod"), pin(environment="staging")), environment=asked)
    assert message in str(raised.value)
    assert raised.value.fix


def test_the_manifest_says_how_rows_are_read(lock, pin, configured):
    configured({"prod": "https://eu.posthog.com"}, tail='[uses]\nrevenue = { reads = "position", columns = ["a"] }\n')
    use = Endpoints.from_lock(lock(pin(environment="prod")))._locked.uses["revenue"]
    assert (use.reads, use.columns) == ("position", ("a",))


def test_files_that_are_not_right(lock, pin, tmp_path, configured):
    with pytest.raises(library.UsageError, match="does not exist") as missing:
        Endpoints.from_lock(tmp_path / "endpoints.lock")
    assert missing.value.fix == "endpoints-gitops lock"
    path = lock(pin())
    path.write_bytes(b"<<<<<<< ours\n" + path.read_bytes())
    with pytest.raises(library.InvalidInput) as broken:
        Endpoints.from_lock(path)
    assert broken.value.problems[0].code == "lock.conflict"
    configured({"prod": "no address"})
    with pytest.raises(library.InvalidInput):
        Endpoints.from_lock(lock(pin()))


@pytest.mark.parametrize(("settings", "missing"), [({}, "host"), ({"host": "https://us.posthog.com"}, "project_id")])
def test_a_key_needs_a_host_and_a_project(lock, pin, settings, missing):
    with pytest.raises(library.UsageError, match=f"a key is passed without a {missing}"):
        Endpoints.from_lock(lock(pin()), key="phx_k", **settings).run("revenue")


@pytest.mark.parametrize("seconds", [0, -1, float("inf")])
def test_a_cache_of_no_time(lock, pin, seconds):
    with pytest.raises(library.UsageError, match="the seconds and the size of a cache must be above 0"):
        Endpoints.from_lock(lock(pin()), cache=seconds)


def test_pins_of_other_environments_are_not_called(lock, pin):
    path = lock(pin(environment="prod"), replace(pin(environment="staging"), name="only_staging"))
    with pytest.raises(library.PinMissing, match="has no pin of 'only_staging' in environment prod"):
        Endpoints.from_lock(path, environment="prod").run("only_staging")


@pytest.fixture
def elsewhere(server, monkeypatch):
    """The server under a name that is neither this machine nor PostHog's: a request that is sent arrives."""
    original = socket.getaddrinfo

    def resolved(host, *more, **options):
        return original("127.0.0.1" if host in ("ph.test", b"ph.test") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    server.deployment.host_names.add("ph.test")
    return f"http://ph.test:{server.url.rpartition(':')[2]}"


async def _awaited(path, given):
    async with AsyncEndpoints.from_lock(path, **given) as endpoints:
        return await endpoints.run("revenue")


@pytest.mark.parametrize(
    "run",
    [
        lambda path, given: Endpoints.from_lock(path, **given).run("revenue"),
        lambda path, given: asyncio.run(_awaited(path, given)),
    ],
    ids=["threads", "loop"],
)
def test_a_key_is_not_sent_to_a_host_that_only_the_configuration_names(
    lock, pin, configured, monkeypatch, server, elsewhere, run
):
    configured({"prod": elsewhere})
    path = lock(pin(environment="prod"))
    monkeypatch.setenv("APP_KEY", server.key)
    in_code = {"key": server.key, "project_id": 1}
    for given in ({}, in_code):
        with pytest.raises(library.CredentialsError, match="only the configuration of this checkout names this host"):
            run(path, given)
    with pytest.raises(library.CredentialsError, match="which begins with phx_"):
        run(path, {**in_code, "key": "sk-of-another-service", "host": elsewhere})
    assert server.requests.entries() == ()
    for given in ({"host": elsewhere}, {**in_code, "host": elsewhere}):
        with pytest.raises(library.NotFound):
            run(path, given)
    monkeypatch.setenv("ENDPOINTS_GITOPS_ALLOWED_HOSTS", elsewhere)
    for given in ({}, in_code):
        with pytest.raises(library.NotFound):
            run(path, given)
    assert sum("/run/" in entry.path for entry in server.requests.entries()) == 4


def test_the_trust_that_a_command_remembered_counts(lock, pin, configured, monkeypatch, server, elsewhere, tmp_path):
    configured({"prod": elsewhere})
    monkeypatch.setenv("APP_KEY", server.key)
    monkeypatch.chdir(tmp_path / "app")
    assert main(["auth", "trust"]) == 0
    with pytest.raises(library.NotFound):
        Endpoints.from_lock(lock(pin(environment="prod"))).run("revenue")
