"""Configuration: found upward, checked as a whole, under variables and options."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.workspace.configuration import (
    choose_environment,
    definitions_folder,
    load_configuration,
    named_environment,
)
from endpoints_gitops.workspace.toml_places import line_of

TWO = """\
dir = "definitions"
manage = ["*"]
protect = ["tag:billing"]
default_environment = "prod"
[uses]
monthly_active_users = "*"
revenue_by_plan = { version = "*", reads = "name", columns = ["plan"], examples = [{ month = "2026-07" }] }
[environments.prod]
host = "https://us.posthog.com"
project_id = 12345
key = "env:POSTHOG_API_KEY"
[environments.staging]
host = "http://10.0.0.1:8000/prefix"
project_id = "77"
key = "dotenv:.env:KEY"
allow_insecure = true
protect = []
dir = "staged"
uses = { revenue_by_plan = { version = 3 } }
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def loaded(text: str, **env: str):
        (tmp_path / "endpoints.toml").write_text(text, encoding="utf-8")
        return load_configuration(tmp_path, {f"ENDPOINTS_GITOPS_{name}": value for name, value in env.items()})

    return loaded


def test_an_environment_has_the_common_settings_under_its_own(load):
    configuration = load(TWO)
    prod = choose_environment(configuration, None)
    staging = choose_environment(configuration, "staging")
    assert (prod.name, prod.host, prod.project_id, prod.key) == (
        "prod",
        "https://us.posthog.com",
        12345,
        "env:POSTHOG_API_KEY",
    )
    assert (prod.protect, prod.dir, prod.allow_insecure) == (("tag:billing",), "definitions", False)
    assert (staging.protect, staging.dir, staging.project_id, staging.allow_insecure) == ((), "staged", 77, True)
    assert prod.uses["revenue_by_plan"]["columns"] == ["plan"]
    assert staging.uses == {"monthly_active_users": "*", "revenue_by_plan": {"version": 3}}
    assert (prod.where, staging.where) == ("endpoints.toml:8", "endpoints.toml:12")


def test_the_nearest_table_counts_and_other_peoples_projects_are_passed_over(tmp_path):
    near, far = tmp_path / "a" / "b" / "c", tmp_path
    near.mkdir(parents=True)
    (far / "pyproject.toml").write_text('[tool.endpoints-gitops]\ndir = "far"\n')
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')
    (tmp_path / "a" / "b" / "pyproject.toml").write_text("this is = = no toml, and not ours\n")
    assert load_configuration(near, {}).path == far / "pyproject.toml"
    (near / "endpoints.toml").write_text('dir = "near"\n')
    assert load_configuration(near, {}).common.dir == "near"


def test_nothing_configured_makes_one_environment_called_default(tmp_path):
    configuration = load_configuration(tmp_path, {})
    environment = choose_environment(configuration, None)
    assert (configuration.path, configuration.is_configured) == (None, False)
    assert (environment.name, environment.key, environment.project_id) == ("default", "posthog-cli", None)
    assert choose_environment(configuration, "default") == environment


def test_two_tables_in_one_folder_are_refused(load, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.endpoints-gitops]\n")
    with pytest.raises(UsageError) as caught:
        load("")
    assert str(caught.value) == "pyproject.toml and endpoints.toml both hold a configuration"


@pytest.mark.parametrize(
    ("variables", "option", "expected"),
    [
        ({}, None, "prod"),
        ({"ENV": "staging"}, None, "staging"),
        ({"ENV": "staging"}, "prod", "prod"),
        ({"ENV": " "}, None, "prod"),
    ],
)
def test_option_over_variable_over_file(load, variables, option, expected):
    assert choose_environment(load(TWO, **variables), option).name == expected


def test_variables_go_over_the_chosen_environment_and_not_over_one_that_is_named(load):
    configuration = load(TWO, HOST="http://127.0.0.1:8000", PROJECT_ID="9", KEY="env:OTHER")
    chosen = choose_environment(configuration, None)
    assert (chosen.host, chosen.project_id, chosen.key) == ("http://127.0.0.1:8000", 9, "env:OTHER")
    assert named_environment(configuration, "prod").project_id == 12345


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"PROJECT_ID": "phx_secret"}, "ENDPOINTS_GITOPS_PROJECT_ID"),
        ({"KEY": "phx_secret"}, "ENDPOINTS_GITOPS_KEY"),
        ({"HOST": "us.posthog.com"}, "ENDPOINTS_GITOPS_HOST"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(load, variables, where):
    with pytest.raises(UsageError) as caught:
        choose_environment(load(TWO, **variables), None)
    assert caught.value.where == where
    assert "secret" not in f"{caught.value} {caught.value.fix}"


@pytest.mark.parametrize(
    ("variables", "option", "expected"),
    [
        ({}, None, "checkout/definitions"),
        ({"DIR": "v"}, None, "here/v"),
        ({"DIR": "v"}, "o", "here/o"),
    ],
)
def test_where_the_definitions_are(tmp_path, monkeypatch, variables, option, expected):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "endpoints.toml").write_text('dir = "definitions"')
    env = {f"ENDPOINTS_GITOPS_{name}": value for name, value in variables.items()}
    configuration = load_configuration(tmp_path / "checkout", env)
    found = definitions_folder(configuration, choose_environment(configuration, None), option)
    assert found.absolute() == tmp_path / expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prd", "there is no environment 'prd'; did you mean 'prod'?"),
        ("zzz", "there is no environment 'zzz'"),
    ],
)
def test_an_unknown_environment(load, name, message):
    with pytest.raises(UsageError) as caught:
        choose_environment(load(TWO), name)
    assert (caught.value.message, caught.value.fix) == (message, "the configured ones are prod, staging")


def test_several_environments_and_none_said(load):
    with pytest.raises(UsageError) as caught:
        choose_environment(load("[environments.b]\n[environments.a]\n"), None)
    assert caught.value.message == "several environments are configured and none is the default: a, b"
    assert caught.value.fix == "add --env a, or set default_environment"


def test_one_environment_is_the_default(load):
    assert choose_environment(load("[environments.only]\n"), None).name == "only"


MISTAKES = [
    ('dri = "x"', "endpoints.toml:1:1: unknown key 'dri'; did you mean 'dir'?"),
    ("[environments.prod]\nhots = 1", "endpoints.toml:2:1: unknown key 'hots'; did you mean 'host'?"),
    ("environments.prod.hots = 1", "endpoints.toml:1:1: unknown key 'hots'; did you mean 'host'?"),
    (
        'default_environment = "prd"\n[environments.prod]',
        "endpoints.toml:1:1: there is no environment 'prd'; did you mean 'prod'?",
    ),
    ("manage = 'x'", "endpoints.toml:1:1: manage is a list of texts"),
    ("protect = ['tag:']", "endpoints.toml:1:1: protect: a tag is missing after tag:"),
    ("dir = 1", "endpoints.toml:1:1: dir is text"),
    ("environments = 1", "endpoints.toml:1:1: environments is a table"),
    ("[environments]\nprod = 1", "endpoints.toml:2:1: 'prod' is a table of settings"),
    ("[environments.p]\nproject_id = true", "endpoints.toml:2:1: project_id is a number"),
    ("[environments.p]\nproject_id = 'phx_secret'", "endpoints.toml:2:1: project_id is a number"),
    ("[environments.p]\nallow_insecure = 1", "endpoints.toml:2:1: allow_insecure is true or false"),
    (
        "[environments.p]\nhost = 'us.posthog.com'",
        "endpoints.toml:2:1: host is an address such as https://us.posthog.com",
    ),
    (
        "[environments.p]\nhost = 'https://u:secret@x'",
        "endpoints.toml:2:1: host is an address without user, question mark or #",
    ),
    (
        "[environments.p]\nkey = 'phx_secret'",
        (
            "endpoints.toml:2:1: this is a key itself, and it is not taken from here: "
            "write where it comes from, and revoke it if anybody else can have seen it"
        ),
    ),
    (
        "[environments.p]\nkey = 'secret'",
        'endpoints.toml:2:1: key says where the key comes from: "env:NAME", "dotenv:FILE:NAME" or "posthog-cli"',
    ),
    ("uses = 1", "endpoints.toml:1:1: uses is a table of endpoint names"),
    ("[uses]\n'a b' = '*'", "endpoints.toml:2:1: 'a b' is no name of an endpoint"),
    ("[uses]\na = 3", 'endpoints.toml:2:1: a is "*" or a table such as { version = 3 }'),
    ("[uses]\na = { versoin = 3 }", "endpoints.toml:2:1: unknown key 'versoin'; did you mean 'version'?"),
    ("[uses]\na = { version = 0 }", 'endpoints.toml:2:1: version is a whole number from 1, or "*"'),
    ("[uses.a]\nversion = true", 'endpoints.toml:2:1: version is a whole number from 1, or "*"'),
    ("[uses.a]\nreads = 'nam'", "endpoints.toml:2:1: reads is one of position, name, call; did you mean 'name'?"),
    ("[uses.a]\ncolumns = [1]", "endpoints.toml:2:1: columns is a list of texts"),
    ("[uses.a]\nexamples = [1]", "endpoints.toml:2:1: examples is a list of tables of variables"),
    (
        "[uses]\na = { version = 3 }\n[environments.x]\n[environments.y]",
        (
            "endpoints.toml:2:1: an exact version for all environments: "
            "numbers differ by project; put it under each environment"
        ),
    ),
    ("a = = 1", "endpoints.toml:1:5: this is no TOML: Invalid value"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistakes(load, text, message):
    with pytest.raises(InvalidInput) as caught:
        load(text)
    assert [str(problem) for problem in caught.value.problems] == [message]
    assert "secret" not in repr([(problem.message, problem.fix) for problem in caught.value.problems])


def test_every_mistake_at_once(load):
    with pytest.raises(InvalidInput) as caught:
        load("dri = 1\nmanage = 2\n[environments.p]\nkey = 3\n")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 4]


def test_one_environment_may_have_a_common_exact_version(load):
    assert choose_environment(load("[uses]\na = { version = 3 }\n[environments.x]"), None).uses == {"a": {"version": 3}}


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["encoding", "a folder"])
def test_a_configuration_that_cannot_be_read_is_an_error(tmp_path, content):
    path = tmp_path / "endpoints.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_configuration(tmp_path, {})
    assert caught.value.code == "configuration.unreadable"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("tool", "x"), 2),
        (("tool", "x", "a"), 3),
        (("tool", "x", "b c", "d"), 4),
        (("tool", "x", "environments", "p.q", "host"), 7),
        (("tool", "x", "environments", "p.q", "inline", "deep"), 8),
        (("tool", "y"), 1),
        (("nowhere",), 0),
    ],
)
def test_lines_of_keys(path, line):
    text = "\n".join(
        [
            "[tool.other]",
            "[tool.x]",
            "a = 1",
            '"b c" . d = 2',
            's = """',
            '"\\z" = 1"""',
            '[tool.x.environments."p.q"]',
            "inline = { deep = 1 }",
        ]
    )
    assert line_of(text, path) == line
