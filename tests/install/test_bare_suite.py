"""An app's suite in an environment with the pytest plugin and no extra."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from endpoints_gitops.model.pin import PinnedColumn
from tests.install.conftest import TOP

BOARD = TOP / "examples" / "numbers_board"
MISSING = "deepdiff, rich, ruamel.yaml, shtab"


@pytest.fixture
def board(tmp_path):
    """A copy of the example app."""
    return shutil.copytree(BOARD, tmp_path / "board", ignore=shutil.ignore_patterns("__pycache__"))


def pytest_in(plugin, board, *words, **env):
    return plugin.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, cwd=board, **env)


def test_the_plugin_brings_what_replaying_needs(plugin):
    assert {"hogql-parser-rs", "pydantic", "pytest"} <= plugin.names()
    assert not {"rich", "ruamel-yaml", "chdb"} & plugin.names()


def test_a_suite_replays(plugin, board):
    """With its own HTTP code, fixtures, cases and examples."""
    ran = pytest_in(plugin, board)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


SUITE = """
def test_ten(endpoints):
    assert endpoints("ten", least=8).column("n") == [8, 9]

def test_stub(endpoints):
    endpoints.stub("ten", rows=[[3]])
    assert endpoints("ten").column("n") == [3]

def test_case(endpoint_case):
    endpoint_case.check()
"""
CONFIGURATION = """\
[environments.default]
host = "{url}"
project_id = {project}
key = "env:APP_KEY"
[uses]
ten = "*"
"""


@pytest.fixture
def app(create, lock, server):
    """An app whose endpoint is on the server."""
    sql = "SELECT number AS n FROM numbers(10) WHERE number >= {variables.least} ORDER BY n LIMIT 20"
    pin = create("ten", sql, variables={"least": ("Number", 0)})
    path = lock(replace(pin, columns=(PinnedColumn(name="n", type="integer"),)))
    (path.parent / "endpoints.toml").write_text(CONFIGURATION.format(url=server.url, project=server.project_id))
    (path.parent / "test_app.py").write_text(SUITE)
    return path.parent


@pytest.mark.parametrize(
    "words",
    [("--endpoints=record",), ("--endpoints=live",), ("--endpoints=live", "--endpoints-canary=latest")],
    ids=" ".join,
)
def test_a_suite_calls_the_server(plugin, app, server, words):
    ran = pytest_in(plugin, app, *words, APP_KEY=server.key)
    assert (ran.returncode, "3 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
    if words == ("--endpoints=record",):
        server.requests.clear()
        ran = pytest_in(plugin, app)
        assert (ran.returncode, "3 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
        assert server.requests.entries() == ()


@pytest.mark.parametrize(
    ("words", "message", "extra"),
    [
        (
            ("--endpoints=local",),
            f"it needs chdb, {MISSING}, tomlkit, starlette and uvicorn, which are not installed",
            "local",
        ),
        (
            ("--endpoints-canary=worktree",),
            f"could not be compared: the canary worktree needs {MISSING} and tomlkit, which are not installed",
            "cli",
        ),
    ],
    ids=["local", "worktree"],
)
def test_a_mode_that_needs_more_names_the_extra(plugin, board, words, message, extra):
    ran = pytest_in(plugin, board, *words)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert message in " ".join(ran.stdout.split())
    assert f"uv pip install 'endpoints-gitops[{extra}]'" in ran.stdout
    assert "ModuleNotFoundError" not in ran.stdout
    assert not plugin.has_all_of(extra)
