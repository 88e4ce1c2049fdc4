"""Which extra brings which module, and the command that installs it into each kind of environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest

from benchmarks.install_size import UV
from endpoints_gitops import MissingExtra, extras
from tests.install.conftest import TOP

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]


def required(extra: str) -> set[str]:
    """The packages that pyproject.toml lists for an extra, and for the extras that it includes."""
    names: set[str] = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        included = re.fullmatch(r"endpoints-gitops\[(\w+)\]", requirement)
        names |= required(included[1]) if included else {re.match(r"[\w.-]+", requirement)[0]}
    return names


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_extras_are_those_of_the_distribution(extra):
    expected = {"socksio"} if extra == "socks" else required(extra)  # httpx[socks] brings it
    assert set(extras.EXTRAS[extra].values()) == expected
    assert extras.missing_packages(extra) in ((), ("socksio",))


def test_every_extra_is_listed():
    assert extras.EXTRAS.keys() == PROJECT["optional-dependencies"].keys()


def test_a_missing_package_is_one_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "ruamel", None)
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    extras.require("hogql", "a query")
    with pytest.raises(MissingExtra) as raised:
        extras.require("cli", "the command line")
    error = raised.value
    assert (error.message, error.extra, error.packages, error.exit_code, error.code) == (
        "the command line needs rich and ruamel.yaml, which are not installed",
        "cli",
        ("rich", "ruamel.yaml"),
        2,
        "usage.extra",
    )
    assert error.fix.command_line[-1] == "endpoints-gitops[cli]"
    assert error.__notes__ == [f"fix: {error.fix}"]  # what a traceback shows


@pytest.mark.parametrize(("extra", "missing"), [("cli", ()), ("hogql", ()), ("local", ("hogql-parser-rs",))])
def test_windows_works_without_the_parser(monkeypatch, extra, missing):
    monkeypatch.setitem(sys.modules, "hogql_parser_rs", None)
    monkeypatch.setattr(extras, "IS_WINDOWS", True)
    assert extras.missing_packages(extra) == missing
    assert "no builds for Windows" in extras.install_advice("local")


KINDS = {
    "pip": ("app/.venv", {}, "pip", "pip install 'endpoints-gitops[cli]'"),
    "uv": ("app/.venv", {}, "uv", "uv pip install 'endpoints-gitops[cli]'"),
    "uv project": ("app/.venv", {"../uv.lock": ""}, "uv", "uv add 'endpoints-gitops[cli]'"),
    "uv tool": ("tools/endpoints-gitops", {"uv-receipt.toml": ""}, "uv", "uv tool install 'endpoints-gitops[cli]'"),
    "uv tool of another": (
        "tools/ruff",
        {"uv-receipt.toml": ""},
        "uv",
        "uv tool install ruff --with 'endpoints-gitops[cli]'",
    ),
    "uvx": ("cache/archive-v0/a1b2", {}, "uv", "uvx --from 'endpoints-gitops[cli]' endpoints-gitops"),
    "pipx": (
        "venvs/endpoints-gitops",
        {"pipx_metadata.json": ""},
        "pip",
        "pipx install --force 'endpoints-gitops[cli]'",
    ),
    "pipx of another": ("venvs/ruff", {"pipx_metadata.json": ""}, "pip", "pipx inject ruff 'endpoints-gitops[cli]'"),
    "pre-commit": (
        "repo1/py_env-python3.12",
        {},
        "pip",
        'add ".[cli]" to `additional_dependencies` of the hook in .pre-commit-config.yaml',
    ),
    "prek": (
        "hooks/python-a1b2",
        {".prek-hook.json": ""},
        "uv",
        'add ".[cli]" to `additional_dependencies` of the hook in .pre-commit-config.yaml',
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_advice_fits_the_environment(monkeypatch, tmp_path, kind):
    prefix, files, installer, advice = KINDS[kind]
    environment = tmp_path / prefix
    environment.mkdir(parents=True)
    for name, content in files.items():
        (environment / name).write_text(content)
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(extras, "_installer", lambda: installer)
    assert extras.install_advice("cli") == advice


REAL_TOOLS = {
    "uv tool install": "uv tool install 'endpoints-gitops[cli]'",
    "uvx": "uvx --from 'endpoints-gitops[cli]' endpoints-gitops",
}


@pytest.mark.parametrize("kind", REAL_TOOLS)
def test_the_advice_fits_a_real_tool(wheels, tmp_path, kind):
    env = os.environ | {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    wheel, options = str(wheels["endpoints-gitops"]), ("--quiet", "--python", sys.executable)
    command: tuple[str, ...] = (UV, "tool", "run", "--isolated", *options, "--from", wheel, "endpoints-gitops")
    if kind == "uv tool install":
        subprocess.run((UV, "tool", "install", *options, wheel), env=env, check=True)
        command = (str(tmp_path / "bin" / "endpoints-gitops"),)
    ran = subprocess.run((*command, "check"), env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, REAL_TOOLS[kind] in ran.stderr) == (2, True), ran.stderr
