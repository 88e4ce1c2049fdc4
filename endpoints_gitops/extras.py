"""The extras of this distribution: the packages that each one brings, and the command that installs it here.

Without an extra, an app can call what it pins. Code that needs a package of an extra calls `require` before it imports
the package, so that a missing package is one error with a command, and never an ImportError.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import PROGRAM, Advice, OtherCommand
from endpoints_gitops.errors import MissingExtra

DISTRIBUTION: Final = "endpoints-gitops"

_PARSER: Final = {"hogql_parser_rs": "hogql-parser-rs"}
_COMMAND_LINE: Final = {
    "deepdiff": "deepdiff",
    **_PARSER,
    "pluggy": "pluggy",
    "pydantic": "pydantic",
    "rich": "rich",
    "ruamel.yaml": "ruamel.yaml",
    "shtab": "shtab",
    "tomlkit": "tomlkit",
}
_SERVER: Final = {"starlette": "starlette", "uvicorn": "uvicorn"}

EXTRAS: Final[Mapping[str, Mapping[str, str]]] = {
    "arrow": {"pyarrow": "pyarrow"},
    "cli": _COMMAND_LINE,
    "clickhouse": {"clickhouse_connect": "clickhouse-connect"} | _COMMAND_LINE | _SERVER,
    "hogql": _PARSER,
    "local": {"chdb": "chdb"} | _COMMAND_LINE | _SERVER,
    "pandas": {"pandas": "pandas"},
    "polars": {"polars": "polars"},
    "redis": {"redis": "redis"},
    "socks": {"socksio": "socksio"},
}
"""The modules that each extra brings, with the packages that contain them, as in pyproject.toml."""

IS_WINDOWS: Final = sys.platform == "win32"
_NOT_FOR_WINDOWS: Final = ("chdb", "hogql_parser_rs")
_WITHOUT_PARSER: Final = ("cli", "hogql")
"""The extras that do what they can where the parser has no build."""


def require(extra: str, purpose: str) -> None:
    """Raise MissingExtra unless all modules of the extra can be imported. `purpose` names what needs them, as in
    "the command line needs rich, which is not installed".
    """
    packages = missing_packages(extra)
    if packages:
        raise MissingExtra(purpose, extra=extra, packages=packages, fix=install_advice(extra))


def missing_packages(extra: str) -> tuple[str, ...]:
    """The packages of the extra that are not installed, without those that it can do without on this platform."""
    needless = _PARSER if IS_WINDOWS and extra in _WITHOUT_PARSER else {}
    return tuple(
        package for module, package in EXTRAS[extra].items() if module not in needless and not _is_installed(module)
    )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that contains it
        return False


def install_advice(extra: str, distribution: str = DISTRIBUTION) -> Advice:
    """The command that adds the extra to this environment, by the program that manages the environment.

    `distribution` is this one, or the pytest plugin, which has extras of its own.
    """
    if IS_WINDOWS and any(module in _NOT_FOR_WINDOWS for module in EXTRAS.get(extra, ())):
        return Advice("chdb and hogql-parser-rs have no builds for Windows: use Linux, macOS or WSL")
    wanted, environment = f"{distribution}[{extra}]", Path(sys.prefix)
    if environment.name.startswith("py_env-") or (environment / ".prek-hook.json").is_file():
        return Advice(f'add ".[{extra}]" to `additional_dependencies` of the hook in .pre-commit-config.yaml')
    return Advice(OtherCommand(*_install_command(wanted, environment)))


def _install_command(wanted: str, environment: Path) -> tuple[str, ...]:
    is_of_tool = environment.name == DISTRIBUTION
    if (environment / "uv-receipt.toml").is_file():
        return ("uv", "tool", "install", *((wanted,) if is_of_tool else (environment.name, "--with", wanted)))
    if (environment / "pipx_metadata.json").is_file():
        return ("pipx", *(("install", "--force", wanted) if is_of_tool else ("inject", environment.name, wanted)))
    if re.fullmatch(r"(archive|builds|environments)-v\d+", environment.parent.name):  # uvx, in the cache of uv
        is_own = wanted.startswith(f"{DISTRIBUTION}[")
        return ("uvx", "--from", wanted, PROGRAM) if is_own else ("uvx", "--with", wanted, "pytest")
    if _installer() != "uv":
        return ("pip", "install", wanted)
    has_project = (environment.parent / "uv.lock").is_file()
    return ("uv", "add", wanted) if has_project else ("uv", "pip", "install", wanted)


def _installer() -> str:
    """The program that installed this distribution, empty if it does not say so."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return (distribution(DISTRIBUTION).read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        return ""
