"""The command of an environment without extras: it answers `--version`, and names the extra for everything else."""

from __future__ import annotations

import json
import os
import pty
import select

import pytest

from endpoints_gitops import __version__
from endpoints_gitops.cli.registry import COMMANDS
from tests.install.conftest import Environment

MESSAGE = (
    "the command line needs deepdiff, hogql-parser-rs, pluggy, pydantic, rich, ruamel.yaml, shtab and tomlkit, "
    "which are not installed"
)
ADVICE = "uv pip install 'endpoints-gitops[cli]'"
ENTRIES = (("endpoints-gitops",), ("python", "-m", "endpoints_gitops"))


@pytest.mark.parametrize("entry", ENTRIES, ids=" ".join)
def test_it_knows_its_version(bare, tmp_path, entry):
    ran = bare.run(*entry, "--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"endpoints-gitops {__version__}\n", "")


@pytest.mark.parametrize("entry", ENTRIES, ids=" ".join)
@pytest.mark.parametrize("words", [(), ("--help",), ("help", "push"), ("check", "--help"), ("no-command",)], ids=str)
def test_it_names_the_extra(bare, tmp_path, entry, words):
    ran = bare.run(*entry, *words, cwd=tmp_path, FORCE_COLOR="1")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert MESSAGE in ran.stderr
    assert ADVICE in ran.stderr
    assert "Traceback" not in ran.stderr


EVERY_COMMAND = """
import contextlib, io, json, sys
from endpoints_gitops.cli.main import run
results = {}
for command in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([command, "--json"])
    results[command] = [code, json.loads(out.getvalue())["errors"], err.getvalue()]
print(json.dumps(results))
"""


def test_every_command_names_it_as_json_too(bare, tmp_path):
    results = bare.python(EVERY_COMMAND, *COMMANDS, cwd=tmp_path)
    assert results.keys() == COMMANDS.keys()
    for code, (error,), _ in results.values():
        assert (code, error["code"], error["message"], error["fix"]) == (2, "usage.extra", MESSAGE, ADVICE)


def test_a_terminal_gets_the_error_without_colours(bare):
    assert on_terminal(bare, "endpoints-gitops", "check").splitlines()[0] == f"error: {MESSAGE}"


def on_terminal(environment: Environment, program: str, *words: str) -> str:
    """What a program writes to a terminal that shows colours."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ["TERM"] = "xterm-256color"
        path = str(environment.programs / program)
        os.execv(path, (path, *words))
    written = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux reports that the other side was closed
            break
        if not part:
            break
        written += part
    os.waitpid(process, 0)
    os.close(terminal)
    return written.decode()


def test_reports_are_written_too(bare, tmp_path):
    ran = bare.run("endpoints-gitops", "check", "--report", "json=report.json", cwd=tmp_path)
    assert ran.returncode == 2
    (error,) = json.loads((tmp_path / "report.json").read_text())["errors"]
    assert error["code"] == "usage.extra"


@pytest.fixture
def command_line(installed):
    """`pip install 'endpoints-gitops[cli]'`."""
    return installed("endpoints-gitops[cli]")


def test_the_extra_brings_every_command(command_line, tmp_path):
    assert command_line.has_all_of("cli")
    for command in COMMANDS:
        ran = command_line.run("endpoints-gitops", command, "--help", cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    (tmp_path / "endpoints").mkdir()
    (tmp_path / "endpoints" / "one.yaml").write_text("name: one\nquery: SELECT 1 AS n\n")
    ran = command_line.run("endpoints-gitops", "check", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("words", "purpose", "extra", "packages"),
    [
        (("demo",), "the demo", "local", "chdb, starlette and uvicorn"),
        (("serve",), "the local server", "local", "chdb, starlette and uvicorn"),
        (
            ("serve", "--clickhouse", "http://localhost"),
            "the local server",
            "clickhouse",
            "clickhouse-connect, starlette and uvicorn",
        ),
        (("fixture", "new", "one"), "a fixture", "local", "chdb, starlette and uvicorn"),
    ],
)
def test_commands_of_the_local_server_name_theirs(command_line, tmp_path, words, purpose, extra, packages):
    ran = command_line.run("endpoints-gitops", *words, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{purpose} needs {packages}, which are not installed" in ran.stderr
    assert f"uv pip install 'endpoints-gitops[{extra}]'" in ran.stderr
