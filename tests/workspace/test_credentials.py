"""The sources of a key: each of them, each way in which one is missing or wrong, and no message that shows a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from endpoints_gitops.errors import CredentialsError, EndpointsError, UsageError
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.configuration import EnvironmentSettings
from endpoints_gitops.workspace.credentials import resolve_connection

HOST = "https://eu.posthog.com"
KEY, PROJECT = "POSTHOG_CLI_API_KEY", "POSTHOG_CLI_PROJECT_ID"
FULL = {KEY: "phx_environment", PROJECT: "1", "POSTHOG_CLI_HOST": HOST}
LOGIN = json.dumps({"host": None, "token": "phx_login", "env_id": "3"})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _environment(**changes) -> EnvironmentSettings:
    settings = {"name": "default", "key": "posthog-cli"} | changes
    return EnvironmentSettings(**settings)


def _resolve(environment, env, files=None, **options):
    for name, content in (files or {}).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    return resolve_connection(environment, {"POSTHOG_HOME": "home"} | env, **options)


POSTHOG_CLI = [
    pytest.param(FULL, {}, (HOST, 1, "phx_environment", f"{KEY} in the environment"), id="environment"),
    pytest.param(
        {"POSTHOG_CLI_TOKEN": "phx_old", "POSTHOG_CLI_ENV_ID": "2"},
        {},
        ("https://us.posthog.com", 2, "phx_old", "POSTHOG_CLI_TOKEN in the environment"),
        id="older names, no host",
    ),
    pytest.param(
        {"POSTHOG_CLI_TOKEN": "phx_old", **FULL},
        {},
        (HOST, 1, "phx_environment", f"{KEY} in the environment"),
        id="the newer name wins",
    ),
    pytest.param(
        {KEY: "phx_environment", "POSTHOG_CLI_HOST": HOST, "POSTHOG_CLI_DOTENV_FILE": ".env"},
        {".env": f"export {KEY}='phx_dotenv' # mine\n{PROJECT}=5\n"},
        ("https://us.posthog.com", 5, "phx_dotenv", f"{KEY} in .env"),
        id="all values from one source",
    ),
    pytest.param(
        FULL,
        {"home/credentials.json": "not read at all"},
        (HOST, 1, "phx_environment", f"{KEY} in the environment"),
        id="a later source is not read",
    ),
    pytest.param(
        {"POSTHOG_CLI_DOTENV_FILE": ".env"},
        {".env": f"{KEY}=phx_dotenv\n", "home/credentials.json": LOGIN},
        ("https://us.posthog.com", 3, "phx_login", "home/credentials.json"),
        id="a dotenv file without project",
    ),
    pytest.param(
        {},
        {"home/credentials.json": json.dumps({"host": HOST + "/", "token": " phx_login\n", "env_id": 3})},
        (HOST, 3, "phx_login", "home/credentials.json"),
        id="login",
    ),
]


@pytest.mark.parametrize(("env", "files", "expected"), POSTHOG_CLI)
def test_the_places_of_posthog_cli(env, files, expected):
    access = _resolve(_environment(), env, files)
    assert (access.host, access.project_id, access.key.reveal(), access.source) == expected
    assert isinstance(access.key, Secret)
    assert access.key.reveal() not in repr(access)


def test_the_home_folder_is_the_default(tmp_path):
    folder = tmp_path / "home" / ".posthog"
    folder.mkdir(parents=True)
    (folder / "credentials.json").write_text(LOGIN)
    assert resolve_connection(_environment(), {}).key.reveal() == "phx_login"


def test_an_option_names_the_dotenv_file_before_the_variable():
    files = {"a.env": f"{KEY}=phx_a\n{PROJECT}=1", "b.env": f"{KEY}=phx_b\n{PROJECT}=2"}
    access = _resolve(_environment(), {"POSTHOG_CLI_DOTENV_FILE": "a.env"}, files, dotenv_file="b.env")
    assert access.key.reveal() == "phx_b"


CONFIGURED = [
    pytest.param({"key": "env:MINE"}, {"MINE": " phx_mine\n"}, {}, ("phx_mine", "environment variable MINE"), id="env"),
    pytest.param(
        {"key": "dotenv:app/.env:MINE"},
        {},
        {"app/.env": "MINE=phx_mine"},
        ("phx_mine", "MINE in app/.env"),
        id="dotenv",
    ),
    pytest.param(
        {}, {KEY: "phx_half"}, {}, ("phx_half", f"{KEY} in the environment"), id="posthog-cli with a key alone"
    ),
    pytest.param(
        {},
        {KEY: "phx_half"},
        {"home/credentials.json": LOGIN},
        ("phx_login", "home/credentials.json"),
        id="whole first",
    ),
]


@pytest.mark.parametrize(("settings", "env", "files", "expected"), CONFIGURED)
def test_a_configured_environment(settings, env, files, expected):
    environment = _environment(name="prod", host=HOST, project_id=9, **settings)
    access = _resolve(environment, env, files)
    assert (access.key.reveal(), access.source) == expected
    assert (access.environment, access.host, access.project_id) == ("prod", HOST, 9)


MISSING = [
    pytest.param(
        {},
        {},
        {},
        "no credentials for environment 'default': the environment does not set POSTHOG_CLI_API_KEY and "
        "POSTHOG_CLI_PROJECT_ID; POSTHOG_CLI_DOTENV_FILE names no dotenv file; home/credentials.json does not exist",
        id="nothing",
    ),
    pytest.param(
        {},
        {PROJECT: "1", "POSTHOG_CLI_DOTENV_FILE": ".env"},
        {".env": f"{KEY}=phx_secret", "home/credentials.json": "{}"},
        "no credentials for environment 'default': the environment does not set POSTHOG_CLI_API_KEY; "
        ".env does not set POSTHOG_CLI_PROJECT_ID; home/credentials.json has no token and no env_id",
        id="three halves",
    ),
    pytest.param(
        {"key": "env:MINE", "where": "endpoints.toml:3"},
        {"MINE": " "},
        {},
        "endpoints.toml:3: environment 'default' reads its key from the environment variable MINE, which is not set",
        id="env",
    ),
    pytest.param(
        {"key": "dotenv:.env:MINE"},
        {},
        {".env": "MINE\nMINE=\n"},
        "environment 'default' reads its key from .env, which does not set MINE",
        id="dotenv",
    ),
    pytest.param(
        {"key": None}, FULL, {}, "environment 'default' has no `key` that names the source of its key", id="no source"
    ),
    pytest.param(
        {"key": "dotenv:.env:MINE"}, {}, {}, ".env: cannot be read: No such file or directory", id="no dotenv file"
    ),
    pytest.param(
        {},
        {"POSTHOG_CLI_DOTENV_FILE": ".env"},
        {},
        ".env: cannot be read: No such file or directory",
        id="named, not there",
    ),
    pytest.param(
        {"key": "dotenv:.env:MINE"},
        {},
        {".env": "A=1\nphx secret\n"},
        ".env:2: this line is not of the form NAME=VALUE",
        id="bad dotenv",
    ),
    pytest.param(
        {},
        {},
        {"home/credentials.json": '{"token": "phx_secret"'},
        "home/credentials.json:1:23: not valid JSON: Expecting ',' delimiter",
        id="bad JSON",
    ),
    pytest.param(
        {},
        {},
        {"home/credentials.json": "[]"},
        "home/credentials.json: the file must be an object with host, token and env_id",
        id="[]",
    ),
    pytest.param(
        {},
        {},
        {"home/credentials.json": '{"token": true}'},
        "home/credentials.json: token must be text",
        id="a truth value",
    ),
    pytest.param(
        {"key": "env:MINE", "project_id": 1},
        {"MINE": "phx_secret\r\nX-Evil: 1"},
        {},
        "the value of environment variable MINE is not an API key: it contains a character that no key contains",
        id="a line break",
    ),
    pytest.param(
        {"name": "prod", "host": "https://evil.example"},
        FULL,
        {},
        f"the key of {KEY} in the environment is stored for {HOST}, not for "
        "https://evil.example (environment 'prod'): it is not sent",
        id="a key for another host",
    ),
]


@pytest.mark.parametrize(("settings", "env", "files", "message"), MISSING)
def test_missing_and_wrong_credentials_are_errors(settings, env, files, message):
    with pytest.raises(CredentialsError) as caught:
        _resolve(_environment(**settings), env, files)
    assert str(caught.value) == message
    assert "secret" not in f"{caught.value.message}{caught.value.fix}"


@pytest.mark.parametrize(
    ("settings", "env", "message"),
    [
        ({"key": "env:MINE"}, {"MINE": "phx_x"}, "environment 'default' has no project_id"),
        (
            {},
            FULL | {PROJECT: "phx_secret"},
            "the project in POSTHOG_CLI_API_KEY in the environment: the project must be a number",
        ),
        (
            {},
            FULL | {"POSTHOG_CLI_HOST": "eu"},
            "POSTHOG_CLI_API_KEY in the environment: host must be a URL such as https://us.posthog.com",
        ),
    ],
)
def test_a_wrong_configuration_is_a_usage_error(settings, env, message):
    with pytest.raises(UsageError) as caught:
        _resolve(_environment(**settings), env)
    assert str(caught.value) == message


def test_a_file_without_permission_is_an_error(monkeypatch):
    def refused(*_path, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("endpoints_gitops.workspace.key_sources.read_regular_file", refused)
    with pytest.raises(EndpointsError) as caught:
        _resolve(_environment(), {})
    assert str(caught.value) == "home/credentials.json: cannot be read: Permission denied"
