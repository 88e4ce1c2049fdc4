"""No command runs a program of the checkout, whatever the repository and the caller's environment say to git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile_repositories import COMMANDS, HOSTILE, NAME, OLD_SQL, escapes, is_provoked, plant


@pytest.fixture(params=HOSTILE, ids=str)
def planted(request, tmp_path, nobodys_settings):  # noqa: ARG001 - a fixture that works by being there
    return plant(request.param, tmp_path / "hostile")


def test_no_command_runs_the_program(planted, make_cli, create):
    """And safe is not the same as blind: where git can be read, the file is known to be ahead by the commit before."""
    assert is_provoked(planted) or not planted.hostile.provoke, "git alone runs it, else this test proves nothing"
    create(NAME, OLD_SQL)
    cli = make_cli(planted.top)
    path = planted.top / "endpoints.toml"
    path.write_text(path.read_text().replace('"endpoints"', f'"{planted.hostile.folder}"', 1))
    ran = {}

    def run(*words, env):
        ran[words[0]] = cli(*words, env=env)
        assert "a defect of this tool" not in ran[words[0]].err

    assert list(escapes(planted, run)) == []
    assert len(ran) == len({words[0] for words in COMMANDS})
    if planted.hostile.is_readable:
        assert ran["plan"].code == 0, ran["plan"].err
        assert [item["name"] for item in ran["plan"].json["items"]] == [NAME]
    else:
        is_partial = "this clone is partial" in ran["plan"].err
        assert ran["plan"].code == (2 if is_partial else 4), ran["plan"].err


@pytest.fixture
def recorded_git(tmp_path):
    """A git before the real one on PATH that notes how it was started."""
    noted = tmp_path / "noted"
    real = next(folder for folder in os.get_exec_path() if (Path(folder) / "git").exists())
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"with open({str(noted)!r}, 'a') as file:\n"
        "    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)\n"
        f"os.execv({real + '/git'!r}, ['git', *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return path, lambda: [json.loads(line) for line in noted.read_text().splitlines()]


def test_git_starts_at_the_top_without_keys(checkout, make_cli, create, recorded_git):
    secret = "phx_this-must-not-reach-git"
    inherited = {
        "GITHUB_TOKEN": secret,
        "AWS_SECRET_ACCESS_KEY": secret,
        "GIT_SSH_COMMAND": secret,
        "GIT_DIR": "/nowhere",
    }
    header = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": secret}
    header |= {"GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": str(checkout.top)}
    create(NAME, OLD_SQL)
    cli = make_cli(checkout.top)
    for sql in (OLD_SQL, "SELECT 2 AS one"):
        checkout.commit({f"sub/{NAME}.yaml": f"name: {NAME}\nquery: {sql}\n"})
    (checkout.top / "endpoints.toml").write_text(
        (checkout.top / "endpoints.toml").read_text().replace('"endpoints"', '"endpoints/sub"', 1)
    )
    path, noted = recorded_git
    for words in COMMANDS:
        cli(*words, env=inherited | header | {"PATH": path})
    starts = noted()
    assert len(starts) > len(COMMANDS)
    for words, env in starts:
        assert words[:2] == ["-C", str(checkout.top.resolve())]
        assert {"safe.bareRepository=explicit", "core.fsmonitor=false", f"core.hooksPath={os.devnull}"} <= {*words}
        assert "--no-pager" in words
        assert (env["GIT_NO_LAZY_FETCH"], env["GIT_ALLOW_PROTOCOL"]) == ("1", "none")
        assert env["GIT_CEILING_DIRECTORIES"] == str(checkout.top.parent.resolve())
        assert not any(value == secret or value.startswith("phx_") for value in env.values())
        assert not {"GIT_DIR", "GIT_SSH_COMMAND"} & env.keys()
        assert env["GIT_CONFIG_COUNT"] == "1"
        assert (env["GIT_CONFIG_KEY_0"], env["GIT_CONFIG_VALUE_0"]) == ("safe.directory", str(checkout.top))


@pytest.mark.slow
@pytest.mark.usefixtures("nobodys_settings")
def test_python_modules_of_the_checkout_are_not_imported(tmp_path):
    """The parser runs in a process of its own for a long query."""
    marker = tmp_path / "ran"
    top = tmp_path / "checkout"
    (top / "endpoints").mkdir(parents=True)
    for name in ("hogql_parser_rs", "json", "sitecustomize", "usercustomize", "tomllib", "httpx", "chdb", "git"):
        (top / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')\nraise SystemExit(9)\n")
    columns = ", ".join(f"{number} AS c{number}" for number in range(1500))
    (top / "endpoints" / "long.yaml").write_text(f"name: long\nquery: SELECT {columns}\n")
    program = Path(sys.executable).with_name("endpoints-gitops")
    ran = subprocess.run([program, "check"], cwd=top, capture_output=True, text=True, check=False)
    assert not marker.exists(), marker.read_text()
    assert ran.returncode == 0, ran.stderr
