"""`init`: what it writes, what it leaves as it is, and what it says to do next."""

from __future__ import annotations

import tomllib

import pytest

from endpoints_gitops.codecs.schema import SHIPPED

PROJECT = '# mine\n[project]\nname = "shop"   # keep\n'
LOGIN = {"POSTHOG_CLI_API_KEY": "phx_example", "POSTHOG_CLI_PROJECT_ID": "7", "POSTHOG_CLI_HOST": "http://127.0.0.1:9"}


@pytest.fixture
def bare(make_cli, checkout):
    """The command in a checkout without any configuration."""
    run = make_cli(checkout.top)
    (checkout.top / "endpoints.toml").unlink()
    checkout.folder.rmdir()
    return run


@pytest.mark.parametrize(
    ("before", "file"),
    [
        ({}, "endpoints.toml"),
        ({"pyproject.toml": PROJECT}, "pyproject.toml"),
        ({"pyproject.toml": PROJECT.rstrip()}, "pyproject.toml"),
        ({"pyproject.toml": PROJECT.replace("\n", "\r\n")}, "pyproject.toml"),
        ({"pyproject.toml": "\ufeff" + PROJECT}, "pyproject.toml"),
        ({"pyproject.toml": "tool = { ruff = {} }\n"}, "endpoints.toml"),
    ],
)
def test_init_writes_configuration_and_example_without_terminal_or_key(bare, checkout, before, file):
    for name, text in before.items():
        (checkout.top / name).write_bytes(text.encode())
    ran = bare("init", "--yes", "--format", "json")
    assert ran.code == 0, ran.err
    written = (checkout.top / file).read_bytes()
    assert written.startswith(before.get(file, "").encode()), "what was there is not touched"
    assert b"\r\n" not in written or written.count(b"\n") == written.count(b"\r\n"), "one kind of line end"
    tomllib.loads(written.decode("utf-8-sig"))
    example = (checkout.folder / "daily_active_users.yaml").read_text()
    assert example.startswith("# yaml-language-server: $schema=endpoints.schema.json\n")
    assert (checkout.folder / "endpoints.schema.json").read_bytes() == SHIPPED.read_bytes()
    assert {item["state"] for item in ran.json["items"]} == {"written"}


def test_init_prints_the_next_command(bare):
    assert "export POSTHOG_CLI_API_KEY=" in bare("init", "--yes").out


def test_init_keeps_existing_files(bare, checkout):
    bare("init", "--yes")
    files = {path: path.read_bytes() for path in checkout.top.rglob("*.*ml")}
    ran = bare("init", "--yes", "--format", "json")
    assert (ran.code, {item["state"] for item in ran.json["items"]}) == (0, {"kept"})
    assert {path: path.read_bytes() for path in checkout.top.rglob("*.*ml")} == files


def test_credentials_of_posthog_cli_become_the_first_environment(bare, checkout):
    ran = bare("init", "--yes", "--max-wait", "0.1", env=LOGIN)
    assert ran.code == 0, ran.err
    written = tomllib.loads((checkout.top / "endpoints.toml").read_text())
    wanted = {"host": LOGIN["POSTHOG_CLI_HOST"], "project_id": 7, "key": "posthog-cli"}
    assert written["environments"]["prod"] == wanted
    assert '# or "env:NAME", "dotenv:FILE:NAME"\n' in (checkout.top / "endpoints.toml").read_text()
    assert "cannot list the endpoints of the server" in ran.err
    assert "phx_example" not in ran.out + ran.err


def test_options_set_environment_and_folder(bare, checkout):
    ran = bare("init", "--yes", "--env", "eu west", "--dir", "analytics", "--max-wait", "0.1", env=LOGIN)
    assert ran.code == 0, ran.err
    written = tomllib.loads((checkout.top / "endpoints.toml").read_text())
    assert (written["dir"], list(written["environments"])) == ("analytics", ["eu west"])


def test_answers_at_the_prompt(bare, checkout):
    ran = bare("init", input="https://eu.posthog.com\n42\n")
    assert ran.code == 0, ran.err
    written = tomllib.loads((checkout.top / "endpoints.toml").read_text())["environments"]["prod"]
    assert (written["host"], written["project_id"]) == ("https://eu.posthog.com", 42)


def test_init_reports_a_broken_pyproject_and_keeps_it(bare, checkout):
    (checkout.top / "pyproject.toml").write_text("[project\n")
    ran = bare("init", "--yes")
    assert (ran.code, (checkout.top / "pyproject.toml").read_text()) == (2, "[project\n")
    assert not (checkout.top / "endpoints.toml").exists()


@pytest.mark.parametrize(
    ("words", "typed", "files"), [(["--yes"], None, 1), ([], None, 0), ([], "y\n", 1), ([], "n\n", 0)]
)
def test_init_offers_to_pull_the_endpoints(cli, checkout, create, words, typed, files):
    create("there")
    ran = cli("init", *words, input=typed)
    assert ran.code == 0, ran.err
    assert len(list(checkout.folder.glob("*.yaml"))) == files
    assert files or "endpoints-gitops pull" in ran.out
