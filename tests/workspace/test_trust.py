"""The hosts that may get a key: every combination of stored host, configured host, trust and the user's choice."""

from __future__ import annotations

import json
import threading
from itertools import product
from pathlib import Path

import pytest

from endpoints_gitops.errors import CredentialsError, ExitCode, InvalidInput, UsageError
from endpoints_gitops.model.origin import Origin
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.configuration import EnvironmentSettings
from endpoints_gitops.workspace.credentials import resolve_connection
from endpoints_gitops.workspace.trust import NotTrusted, Permission, Trust, TrustStore, decide, users_hosts

LOOPBACK, OTHER_LOOPBACK = "http://127.0.0.1:8000", "http://localhost:9000"
US, EU, PLAIN_US = "https://us.posthog.com", "https://eu.posthog.com", "http://us.posthog.com"
OWN, OWN_PORT, PLAIN, EVIL = "https://ph.test", "https://ph.test:8443", "http://ph.test:8000", "https://evil.test"
STORED = {"env:MINE": [None], "env:POSTHOG_CLI_API_KEY": [LOOPBACK, US, EU, OWN, PLAIN]}
HOSTS = [LOOPBACK, OTHER_LOOPBACK, US, EU, PLAIN_US, OWN, OWN_PORT, PLAIN, EVIL]
NEAR = [{LOOPBACK, OTHER_LOOPBACK}, {US, EU}]
"""Hosts between which a stored key may go."""


def expected(stored: str | None, host: str, *, trusted: bool, named: bool, insecure: bool) -> bool:
    """The rules, said the other way around."""
    if named:
        return True
    if stored is None:
        return trusted or any(host in group for group in NEAR)
    if stored != host:
        return any({stored, host} <= group for group in NEAR)
    return insecure or host != PLAIN


CASES = [
    (source, stored, host, trusted, named, insecure)
    for source, hosts in STORED.items()
    for stored, host, trusted, named, insecure in product(hosts, HOSTS, *[(False, True)] * 3)
]


def test_every_combination(tmp_path, monkeypatch):
    """Through the one function that commands, the library and the plugin call."""
    monkeypatch.chdir(tmp_path)
    for source, stored, host, trusted, named, insecure in CASES:
        state = tmp_path.parent / f"state-{'trusting' if trusted else 'new'}-{tmp_path.name}"
        env = {source.removeprefix("env:"): "phx_k", "ENDPOINTS_GITOPS_STATE": str(state)}
        if stored:
            env["POSTHOG_CLI_HOST"] = stored
        if named:
            env["ENDPOINTS_GITOPS_ALLOWED_HOSTS"] = f"https://x.test, {host}/prefix"
        if trusted:
            TrustStore(env).add(Trust(folder=str(tmp_path), host=host, key=source))
        settings = EnvironmentSettings(
            name="e", host=host, project_id=1, key=source, allow_insecure=insecure, folder=tmp_path
        )
        # a stored host that a variable names is the user's word, so it is asked for without that word
        decision = decide(
            Origin.of(host),
            stored=Origin.of(stored) if stored else None,
            users_hosts=users_hosts({**env, "POSTHOG_CLI_HOST": ""}),
            is_trusted=lambda env=env, host=host, source=source: TrustStore(env).holds(
                Trust(folder=str(tmp_path), host=host, key=source)
            ),
            allow_insecure=insecure,
        )
        case = (source, stored, host, trusted, named, insecure)
        allowed = expected(stored, host, trusted=trusted, named=named, insecure=insecure)
        assert (decision.permission is Permission.ALLOWED) == allowed, case
        if stored == host:
            allowed = True  # POSTHOG_CLI_HOST names it
        if allowed:
            access = resolve_connection(settings, env)
            assert (access.host, access.key.reveal(), bool(access.why)) == (host, "phx_k", True), case
        else:
            with pytest.raises(CredentialsError) as caught:
                resolve_connection(settings, env)
            assert caught.value.exit_code == ExitCode.CREDENTIALS, case
            assert caught.value.fix, case


WORDS = [
    ({"ENDPOINTS_GITOPS_ALLOWED_HOSTS": PLAIN}, {}, True),
    ({"ENDPOINTS_GITOPS_ALLOWED_HOSTS": " , HTTP://PH.test:8000/x ,"}, {}, True),
    ({"ENDPOINTS_GITOPS_ALLOWED_HOSTS": "http://ph.test"}, {}, False),
    ({"ENDPOINTS_GITOPS_ALLOWED_HOSTS": "https://ph.test:8000"}, {}, False),
    ({"ENDPOINTS_GITOPS_ALLOWED_HOSTS": "http://sub.ph.test:8000"}, {}, False),
    ({"POSTHOG_CLI_HOST": PLAIN}, {}, True),
    ({"ENDPOINTS_GITOPS_HOST": PLAIN}, {}, True),
    ({"POSTHOG_HOST": PLAIN}, {}, False),
    ({}, {"host": PLAIN}, True),
    ({}, {}, False),
]


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize(("env", "code", "allowed"), WORDS)
def test_whose_word_counts_for_a_host_and_for_plain_http(tmp_path, env, code, allowed, insecure):
    """`allow_insecure`, which the checkout says, changes nothing."""
    settings = EnvironmentSettings(
        name="e", host=PLAIN, project_id=1, key="env:MINE", allow_insecure=insecure, folder=tmp_path
    )
    env = {"MINE": "phx_k", **env}
    if allowed:
        assert resolve_connection(settings, env, **code).host == PLAIN
    else:
        with pytest.raises(NotTrusted, match="plain http"):
            resolve_connection(settings, env, **code)


@pytest.mark.parametrize("entry", ["posthog:8000", "*", "https://eu..posthog.com", "https://u:p@x", "http://x:0"])
def test_a_mistake_in_the_allowed_hosts_is_an_error(entry):
    env = {"MINE": "phx_k", "ENDPOINTS_GITOPS_ALLOWED_HOSTS": f"https://ok.test,{entry}"}
    with pytest.raises(UsageError, match=r"^ENDPOINTS_GITOPS_ALLOWED_HOSTS: host ") as caught:
        resolve_connection(EnvironmentSettings(name="e", project_id=1, key="env:MINE"), env)
    assert "export ENDPOINTS_GITOPS_ALLOWED_HOSTS=" in (caught.value.fix or "")


UNSHAPED = ["AKIAIOSFODNN7EXAMPLE", "phy_x", "PHX_x", "hx_phx_", "ghp_x", "-----BEGIN", "Bearer_phx_k"]


@pytest.mark.parametrize("key", UNSHAPED)
@pytest.mark.parametrize("source", ["env:MINE", "dotenv:.env:MINE", "code"])
def test_a_value_that_is_not_shaped_like_a_key_is_refused(tmp_path, monkeypatch, key, source):
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(f"MINE={key}\n")
    settings = EnvironmentSettings(name="e", host=US, project_id=1, key=source, folder=tmp_path)
    code = {"key": Secret(key)} if source == "code" else {}
    with pytest.raises(CredentialsError, match="which begins with phx_, phs_ or pha_") as caught:
        resolve_connection(settings, {"MINE": key}, **code)
    assert (caught.value.code, caught.value.exit_code) == ("credentials.malformed", 3)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["phx_", "phs_1", "pha_longer"])
def test_the_prefix_is_enough(key):
    settings = EnvironmentSettings(name="e", host=US, project_id=1, key="env:MINE")
    assert resolve_connection(settings, {"MINE": key}).key.reveal() == key


@pytest.mark.parametrize("place", ["environment", "env:POSTHOG_CLI_API_KEY", "dotenv file", "credentials.json"])
def test_an_older_key_is_taken_from_the_places_of_posthog_cli(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    env = {"POSTHOG_HOME": str(tmp_path)}
    variables = {"POSTHOG_CLI_API_KEY": "older0123", "POSTHOG_CLI_PROJECT_ID": "1"}
    if place == "dotenv file":
        Path("cli.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        env["POSTHOG_CLI_DOTENV_FILE"] = "cli.env"
    elif place == "credentials.json":
        Path("credentials.json").write_text(json.dumps({"token": "older0123", "env_id": 1}))
    else:
        env |= variables
    key = place if place.startswith("env:") else "posthog-cli"
    settings = EnvironmentSettings(name="e", project_id=1, key=key)
    access = resolve_connection(settings, env)
    assert (access.key.reveal(), access.host) == ("older0123", US)
    with pytest.raises(CredentialsError, match=f"is stored for {US}, not for {LOOPBACK} \\(environment 'e'\\)"):
        resolve_connection(EnvironmentSettings(name="e", host=LOOPBACK, project_id=1, key=key), env)


@pytest.mark.parametrize(
    ("host", "configured", "allowed"),
    [
        (None, LOOPBACK, False),
        (LOOPBACK, OTHER_LOOPBACK, True),
        (EU, US, True),
        (PLAIN, PLAIN, False),
        (OWN, EVIL, False),
    ],
)
def test_the_host_in_the_login_of_posthog_cli(tmp_path, monkeypatch, host, configured, allowed):
    monkeypatch.chdir(tmp_path)
    Path("credentials.json").write_text(json.dumps({"token": "phx_k", "env_id": 1, "host": host}))
    settings = EnvironmentSettings(name="e", host=configured, key="posthog-cli")
    env = {"POSTHOG_HOME": str(tmp_path)}
    if allowed:
        assert resolve_connection(settings, env).host == configured
        return
    with pytest.raises(CredentialsError) as caught:
        resolve_connection(settings, env)
    assert caught.value.exit_code == 3
    assert f"export ENDPOINTS_GITOPS_ALLOWED_HOSTS={configured}" in (caught.value.fix or "")
    assert resolve_connection(settings, {**env, "ENDPOINTS_GITOPS_ALLOWED_HOSTS": configured}).host == configured


@pytest.fixture
def checkout_and_secrets(tmp_path, monkeypatch):
    """A checkout with a configuration in a folder below its top, and a file with a key outside."""
    top = tmp_path / "checkout"
    folder = top / "app"
    folder.mkdir(parents=True)
    (top / ".git").mkdir()
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "outside.env").write_text("K=phx_secret\n")
    (top / "inside.env").write_text("K=phx_inside\n")
    (folder / "link.env").symlink_to(tmp_path / "outside.env")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop.env").symlink_to(folder / "loop.env")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("../inside.env", None),
        ("../../outside.env", "outside of the checkout"),
        ("~/outside.env", "outside of the checkout"),
        ("{home}/outside.env", "outside of the checkout"),
        ("link.env", "outside of the checkout"),
        ("linked/outside.env", "outside of the checkout"),
        ("~nobody-of-that-name/x", "home folder is unknown"),
        ("loop.env", "cannot be read"),
        ("nul\x00.env", "cannot be read"),
    ],
)
def test_a_checkout_names_a_dotenv_file_inside_itself(checkout_and_secrets, tmp_path, file, said):
    file = file.format(home=tmp_path)
    folder = checkout_and_secrets
    named = {"name": "e", "host": US, "project_id": 1, "key": f"dotenv:{file}:K", "base": folder, "folder": folder}
    if said is None:
        assert resolve_connection(EnvironmentSettings(**named), {}).key.reveal() == "phx_inside"
        return
    with pytest.raises(CredentialsError, match=said) as caught:
        resolve_connection(EnvironmentSettings(**named), {})
    assert "phx_secret" not in f"{caught.value}{caught.value.fix}"
    if "outside.env" in file or file == "link.env":
        by_the_user = EnvironmentSettings(**named, key_from_checkout=False)
        assert resolve_connection(by_the_user, {}).key.reveal() == "phx_secret"


def trust_of(folder, host=OWN, key="env:MINE"):
    return Trust(folder=str(folder), host=host, key=key)


def test_trust_is_for_one_folder_host_and_key(tmp_path):
    store = TrustStore({"ENDPOINTS_GITOPS_STATE": str(tmp_path / "state")})
    here = tmp_path / "here"
    assert store.add(trust_of(here))
    assert not store.add(trust_of(here)), "once is enough"
    assert store.holds(trust_of(here))
    for other in (trust_of(tmp_path), trust_of(here, EVIL), trust_of(here, OWN_PORT), trust_of(here, OWN, "env:OTHER")):
        assert not store.holds(other)
    assert store.remove(lambda one: one.host == OWN) == (trust_of(here),)
    assert store.all() == ()
    assert store.remove(lambda one: one.host == OWN) == ()


def test_a_state_folder_inside_the_checkout_holds_no_trust(tmp_path):
    """A hostile checkout could bring a file in which it is trusted, where CI keeps its state inside."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    folder, state = tmp_path / "app", tmp_path / ".state"
    folder.mkdir()
    state.mkdir()
    entry = {"folder": str(folder), "host": OWN, "key": "env:MINE"}
    (state / "trust.json").write_text(json.dumps({"schema_version": 1, "written": "2026-01-01", "trusted": [entry]}))
    env = {"ENDPOINTS_GITOPS_STATE": str(state), "MINE": "phx_k"}
    assert TrustStore(env).all() == (trust_of(folder),)
    assert not TrustStore(env).holds(trust_of(folder))
    with pytest.raises(UsageError, match="inside the checkout"):
        TrustStore(env).add(trust_of(folder))
    with pytest.raises(NotTrusted):
        resolve_connection(EnvironmentSettings(name="e", host=OWN, project_id=1, key="env:MINE", folder=folder), env)


HEAD = '{"schema_version": 1, "written": "", "trusted": '


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "1:1: not valid JSON"),
        ("[]", "1:1: the file must be an object"),
        ("{}", "1:1: schema_version must be 1"),
        ('{"schema_version": 2}', "1:2: schema_version is 2"),
        ("[" * 100_000, "1:1: not valid JSON"),
        (HEAD + "{}}", "1:38: trusted must be a list of objects"),
        (HEAD + "[1]}", "1:50: trusted.0 must be an object"),
        (HEAD + '[{"folder": 1, "host": "", "key": ""}]}', "1:51: folder must be text"),
        ("\xff", "1:1: not valid JSON: the text is not UTF-8"),
    ],
)
def test_a_damaged_list_is_an_error_and_trusts_no_host(tmp_path, content, message):
    store = TrustStore({"ENDPOINTS_GITOPS_STATE": str(tmp_path)})
    store.path.write_text(content, encoding="latin-1")
    with pytest.raises(InvalidInput) as caught:
        store.holds(trust_of(tmp_path / "x"))
    assert caught.value.message == f"the list of trusted hosts {store.path} is damaged"
    assert str(caught.value.problems[0]).startswith(f"{store.path}:{message}")
    assert caught.value.fix == f"rm {store.path}  # then run auth trust again"


def test_several_processes_may_trust_at_once(tmp_path):
    env = {"ENDPOINTS_GITOPS_STATE": str(tmp_path / "state")}
    threads = [
        threading.Thread(target=lambda number=number: TrustStore(env).add(trust_of(tmp_path / str(number))))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TrustStore(env).all()) == 8
