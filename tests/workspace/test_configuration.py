"""Configuration: searched upward, checked as a whole, overridden by variables and options."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from endpoints_gitops.codecs.toml import line_of
from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.workspace.configuration import (
    choose_environment,
    definitions_folder,
    load_configuration,
    named_environment,
)

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
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (far / "pyproject.toml").write_text('[tool.endpoints-gitops]\ndir = "far"\n')
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')
    (tmp_path / "a" / "b" / "pyproject.toml").write_text("this is = = no toml, and not ours\n")
    assert load_configuration(near, {}).path == far / "pyproject.toml"
    (near / "endpoints.toml").write_text('dir = "near"\n')
    assert load_configuration(near, {}).common.dir == "near"


def test_nothing_above_the_work_tree_is_searched(tmp_path):
    (tmp_path / "endpoints.toml").write_text('dir = "above"\n')
    (tmp_path / "pyproject.toml").mkdir()
    top, here = tmp_path / "checkout", tmp_path / "checkout" / "a" / "b"
    here.mkdir(parents=True)
    assert load_configuration(here, {}).path is None, "outside a work tree, only the working folder is searched"
    (top / "endpoints.toml").write_text('dir = "top"\n')
    assert load_configuration(here, {}).path is None
    subprocess.run(["git", "init", "--quiet", top], check=True)
    assert load_configuration(here, {}).common.dir == "top"
    (top / "endpoints.toml").unlink()
    assert load_configuration(here, {}).path is None


def test_a_git_folder_without_head_is_not_the_top(tmp_path):
    """What makes a work tree is a `.git` with a HEAD, or the file of a worktree or submodule."""
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "endpoints.toml").write_text('dir = "top"\n')
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert load_configuration(tmp_path / "a", {}).common.dir == "top"
    (tmp_path / "a" / ".git").rmdir()
    (tmp_path / "a" / ".git").write_text("gitdir: ../.git/modules/a\n")
    assert load_configuration(tmp_path / "a", {}).path is None


STRANGER = 4242


@pytest.fixture
def owned_by(monkeypatch):
    """Files called `endpoints.toml` seem to belong to this user, whoever runs the tests."""

    def owned(uid, *, link_only=False):
        def of(result, path):
            values = list(result)
            values[4] = uid
            return os.stat_result(values) if Path(path).name == "endpoints.toml" else result

        for name in ("lstat",) if link_only else ("stat", "lstat"):
            real = getattr(Path, name)
            monkeypatch.setattr(Path, name, lambda path, *, real=real, **more: of(real(path, **more), path))

    return owned


@pytest.mark.parametrize("is_link", [False, True])
def test_the_configuration_of_another_user_is_refused(load, tmp_path, owned_by, is_link):
    load("")
    owned_by(STRANGER, link_only=is_link)
    with pytest.raises(UsageError, match=rf"belongs to another user \(uid {STRANGER}\), so it is not used") as caught:
        load("")
    assert caught.value.code == "configuration.owner"
    assert caught.value.fix.endswith(f"git config --global --add safe.directory {tmp_path}")


@pytest.mark.parametrize("uid", [os.geteuid(), 0, 777])
def test_the_user_root_and_the_user_of_sudo_are_accepted(tmp_path, owned_by, uid):
    (tmp_path / "endpoints.toml").write_text('dir = "x"\n')
    owned_by(uid)
    assert load_configuration(tmp_path, {"SUDO_UID": "777"}).common.dir == "x"
    if uid not in (0, os.geteuid()):
        with pytest.raises(UsageError, match="belongs to another user"):
            load_configuration(tmp_path, {})


@pytest.mark.parametrize(
    ("values", "is_accepted"),
    [
        (["{top}"], True),
        (["*"], True),
        (["{parent}/*"], True),
        (["/elsewhere", "{top}"], True),
        (["/elsewhere"], False),
        (["{parent}"], False),
        (["."], False),
        (["{top}", ""], False),
        (["", "{top}"], True),
    ],
)
@pytest.mark.parametrize("source", ["global", "variables", "checkout"])
def test_folders_that_git_trusts_are_accepted(tmp_path, owned_by, monkeypatch, values, is_accepted, source):
    top = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", top], check=True)
    (top / "endpoints.toml").write_text('dir = "x"\n')
    (top / "sub").mkdir()
    filled = [value.format(top=top, parent=tmp_path) for value in values]
    if source == "variables":
        monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(filled)))
        for number, value in enumerate(filled):
            monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", "safe.directory")
            monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    else:
        file = tmp_path / "global" if source == "global" else top / ".git" / "config"
        if source == "global":
            monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
        for value in filled:
            subprocess.run(["git", "config", "--file", file, "--add", "safe.directory", value], check=True)
    owned_by(STRANGER)
    if is_accepted and source != "checkout":
        assert load_configuration(top / "sub", {}).common.dir == "x"
    else:
        with pytest.raises(UsageError, match="belongs to another user"):
            load_configuration(top / "sub", {})


def test_special_files_in_place_of_the_configuration_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "endpoints.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        load_configuration(tmp_path, {})
    (tmp_path / "endpoints.toml").unlink()
    (tmp_path / "endpoints.toml").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="not a regular file"):
        load_configuration(tmp_path, {})
    (tmp_path / "endpoints.toml").unlink()
    (tmp_path / "endpoints.toml").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        load_configuration(tmp_path, {})


@pytest.mark.parametrize("is_git", [True, False])
@pytest.mark.parametrize("way", ["../outside", "{outside}", "link", "link/sub", "inside/../../outside"])
def test_a_definitions_folder_outside_the_repository_is_refused(tmp_path, way, is_git):
    top, outside = tmp_path / "checkout", tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (top / "inside").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    if is_git:
        subprocess.run(["git", "init", "--quiet", top], check=True)
    (top / "endpoints.toml").write_text(f'dir = "{way.format(outside=outside)}"\n')
    configuration = load_configuration(top, {})
    with pytest.raises(UsageError, match="is outside of the repository") as caught:
        definitions_folder(configuration, configuration.common, None)
    assert caught.value.code == "files.outside"
    assert definitions_folder(configuration, configuration.common, str(outside)) == outside


def test_a_definitions_folder_in_a_repository_inside_of_the_repository(tmp_path):
    """A submodule belongs to the checkout; a clone that lies inside of it does not."""
    inner, top = tmp_path / "inner", tmp_path / "checkout"
    for folder in (inner, top):
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        words = ("-c", "user.name=a", "-c", "user.email=a", "commit", "--quiet", "--allow-empty", "--message", "x")
        subprocess.run(["git", "-C", folder, *words], check=True)
    subprocess.run(["git", "clone", "--quiet", inner, top / "clone"], check=True, stderr=subprocess.DEVNULL)
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "submodule")
    subprocess.run(["git", "-C", top, *words], check=True)
    (top / "endpoints.toml").write_text('dir = "submodule/x"\n')
    configuration = load_configuration(top, {})
    assert definitions_folder(configuration, configuration.common, None) == top / "submodule" / "x"
    (top / "endpoints.toml").write_text('dir = "clone/x"\n')
    configuration = load_configuration(top, {})
    with pytest.raises(UsageError, match="in a different git repository than the configuration"):
        definitions_folder(configuration, configuration.common, None)
    (top / "submodule" / ".git").write_text("gitdir: ../clone/.git\n")
    (top / "endpoints.toml").write_text('dir = "submodule/x"\n')
    configuration = load_configuration(top, {})
    with pytest.raises(UsageError, match="in a different git repository than the configuration"):
        definitions_folder(configuration, configuration.common, None)


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
    assert str(caught.value) == "pyproject.toml and endpoints.toml both contain a configuration"


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
    assert (caught.value.message, caught.value.fix) == (message, "the configured environments are prod, staging")


def test_several_environments_without_a_default_are_an_error(load):
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
    ("manage = 'x'", "endpoints.toml:1:1: manage must be a list of texts"),
    ("protect = ['tag:']", "endpoints.toml:1:1: protect.0: a tag is missing after tag:"),
    ("dir = 1", "endpoints.toml:1:1: dir must be text"),
    ("environments = 1", "endpoints.toml:1:1: environments must be a table"),
    ("[environments]\nprod = 1", "endpoints.toml:2:1: prod must be a table"),
    ("[environments.p]\nproject_id = true", "endpoints.toml:2:1: project_id must be a whole number"),
    ("[environments.p]\nproject_id = 'phx_secret'", "endpoints.toml:2:1: project_id must be a whole number"),
    ("[environments.p]\nallow_insecure = 1", "endpoints.toml:2:1: allow_insecure must be true or false"),
    (
        "[environments.p]\nhost = 'us.posthog.com'",
        "endpoints.toml:2:1: host must be a URL such as https://us.posthog.com",
    ),
    (
        "[environments.p]\nhost = 'https://u:secret@x'",
        "endpoints.toml:2:1: host must be a URL without user, question mark or #",
    ),
    (
        "[environments.p]\nkey = 'phx_secret'",
        (
            "endpoints.toml:2:1: this is a key; set the source of the key instead, and revoke the key if other people "
            "could see it"
        ),
    ),
    (
        "[environments.p]\nkey = 'secret'",
        'endpoints.toml:2:1: key must name the source of the key: "env:NAME", "dotenv:FILE:NAME" or "posthog-cli"',
    ),
    ("uses = 1", "endpoints.toml:1:1: uses must be a table"),
    ("[uses]\n'a b' = '*'", "endpoints.toml:2:1: 'a b' is not the name of an endpoint"),
    ("[uses]\na = 3", 'endpoints.toml:2:1: a must be "*" or a table'),
    ("[uses]\na = { versoin = 3 }", "endpoints.toml:2:1: unknown key 'versoin'; did you mean 'version'?"),
    ("[uses]\na = { version = 0 }", "endpoints.toml:2:1: version must be a whole number from 1"),
    ("[uses.a]\nversion = true", 'endpoints.toml:2:1: version must be "*" or a whole number'),
    ("[uses.a]\nreads = 'nam'", "endpoints.toml:2:1: reads must be one of position, name, call; did you mean 'name'?"),
    ("[uses.a]\ncolumns = [1]", "endpoints.toml:2:1: columns.0 must be text"),
    ("[uses.a]\nexamples = [1]", "endpoints.toml:2:1: examples.0 must be a table"),
    (
        "[uses]\na = { version = 3 }\n[environments.x]\n[environments.y]",
        (
            "endpoints.toml:2:1: an exact version cannot apply to several environments: set it under each environment, "
            "because the versions of an endpoint differ between projects"
        ),
    ),
    ("a = = 1", "endpoints.toml:1:5: not valid TOML: Invalid value"),
    ("dir = ''", "endpoints.toml:1:1: dir must not be empty"),
    ("consumers = ' '", "endpoints.toml:1:1: consumers must not be empty"),
    ("default_environment = ''", "endpoints.toml:1:1: there is no environment ''"),
    ("manage = ['']", "endpoints.toml:1:1: manage.0 must not be empty"),
    ("evidence_paths = [' ']", "endpoints.toml:1:1: evidence_paths.0 must not be empty"),
    ("[environments.p]\nhost = ''", "endpoints.toml:2:1: host must not be empty"),
    ("[environments.p]\nkey = ''", "endpoints.toml:2:1: key must not be empty"),
    ("[environments.p]\ndir = ''", "endpoints.toml:2:1: dir must not be empty"),
    ("[uses.a]\ncolumns = ['']", "endpoints.toml:2:1: columns.0 must not be empty"),
    ("[generate.a]\nnative = true", "endpoints.toml:1:1: missing key 'lang'"),
    (
        "[generate.a]\nlang = 'Python 3'\nnative = true",
        "endpoints.toml:2:1: 'Python 3' is not the name of a language, such as python",
    ),
    (
        "[generate.a]\nlang = 'python'",
        "endpoints.toml:1:1: a must have exactly one of native = true, stub = true and generator",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\ngenerator = 'x'",
        "endpoints.toml:1:1: a must have exactly one of native = true, stub = true and generator",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\nversion = '1'",
        "endpoints.toml:4:1: version is that of a generator, and this target has none",
    ),
    (
        "[generate.a]\nlang = 'python'\nstub = true\nper_endpoint = true",
        "endpoints.toml:4:1: per_endpoint does not apply to a stub, which is one file",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\nper_endpoint = true",
        "endpoints.toml:4:1: per_endpoint does not apply to this client, which is one file",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\npackage = 'My-Package'",
        "endpoints.toml:4:1: 'My-Package' is not the name of a Go package",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\npackage = 'func'",
        "endpoints.toml:4:1: 'func' is not the name of a Go package",
    ),
    (
        "[generate.a]\nlang = 'python'\nnative = true\npackage = 'a'",
        "endpoints.toml:4:1: package is for the native client for Go",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\nout = '../x'",
        "endpoints.toml:4:1: out: '../x' must be below the folder of this file, with / between its parts",
    ),
    (
        "[environments.p]\n[generate.a]\nlang = 'go'\nnative = true\nenvironment = 'q'",
        "endpoints.toml:5:1: there is no environment 'q'",
    ),
    (
        "[generate.a]\nlang = 'go'\nnative = true\n[generate.b]\nlang = 'go'\nnative = true\nout = 'clients/go/'",
        "endpoints.toml:4:1: a and b write the same files in clients/go",
    ),
    (
        "[generate.a]\nlang = 'go'\nnativ = true\nnative = true",
        "endpoints.toml:3:1: unknown key 'nativ'; did you mean 'native'?",
    ),
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
