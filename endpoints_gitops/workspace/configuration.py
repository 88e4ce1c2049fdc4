"""The configuration: one table in `pyproject.toml` or `endpoints.toml`, under what the environment's variables say.

Nothing here asks a server or reads a key; `credentials` does the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.origin import host_mistake
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.configuration_file import find_table, key_mistake, read_table, table_at
from endpoints_gitops.workspace.files import is_other_repository, leads_out, shown
from endpoints_gitops.workspace.settings import POSTHOG_CLI, Configuration, EnvironmentSettings

DEFAULT_DIR: Final = "endpoints"
DEFAULT_ENVIRONMENT: Final = "default"
PREFIX: Final = "ENDPOINTS_GITOPS_"


def load_configuration(start: Path, env: Mapping[str, str]) -> Configuration:
    """Read the nearest configuration, from `start` up to the top of its git work tree; outside one, in `start` alone.

    Raises InvalidInput with every mistake in it, UsageError where one folder holds two configurations, and for one that
    belongs to another user.
    """
    found = find_table(start.resolve(), env)
    overrides = _overrides(env)
    if found is None:
        empty = Configuration(
            path=None, folder=start.resolve(), common=EnvironmentSettings(name="", folder=start.resolve())
        )
        return replace(empty, overrides=MappingProxyType(overrides))
    return replace(read_table(found), overrides=MappingProxyType(overrides))


def configuration_for(start: Path, env: Mapping[str, str], *, file: str | None, folder: str | None) -> Configuration:
    """The configuration that a command line means.

    It is the one that `file` (`--config`) or `ENDPOINTS_GITOPS_CONFIG` names; else the nearest one to the definitions
    folder that `folder` (`--dir`) or `ENDPOINTS_GITOPS_DIR` names; else the nearest one from `start` upward. Raises
    UsageError where the nearest one to the folder does not name it, and is not the one of `start` either.
    """
    overrides = _overrides(env)
    named, said = file or overrides.get("CONFIG"), folder or overrides.get("DIR")
    if named:
        return replace(read_table(table_at(Path(named).expanduser())), overrides=MappingProxyType(overrides))
    here = load_configuration(start, env)
    if not said:
        return here
    beside = _nearest(Path(said).expanduser(), env)
    if beside.path is None or beside.path == here.path:
        return here
    if here.path is None or _names(beside, Path(said).expanduser()):
        return beside
    message = f"{shown(beside.path)} or {shown(here.path)} could be meant: neither names the folder {said}"
    raise UsageError(message, fix=f"add --config {shown(beside.path)}, or the other", code="configuration.ambiguous")


def refuse_other_project(configuration: Configuration, folder: Path, env: Mapping[str, str]) -> None:
    """Raises UsageError where a definitions folder has a configuration of its own, and this is another one."""
    real = folder.resolve()
    for one in (real, *real.parents):
        if one == configuration.folder:
            return
        if any((one / name).is_file() for name in ("pyproject.toml", "endpoints.toml")):
            break
    own = _nearest(real, env)
    if own.path is None or own.path == configuration.path or not _names(own, folder):
        return
    used = shown(configuration.path) if configuration.path else "the variables of posthog-cli"
    message = f"the definitions in {shown(folder)} belong to {shown(own.path)}, and this command would use {used}"
    fix = f"add --config {shown(own.path)}, or name another folder with --dir"
    raise UsageError(message, fix=fix, code="configuration.other-project")


def choose_environment(configuration: Configuration, name: str | None) -> EnvironmentSettings:
    """The environment to work on, with `ENDPOINTS_GITOPS_HOST`, `_PROJECT_ID` and `_KEY` laid over the file.

    `name` is what `--env` says; else `ENDPOINTS_GITOPS_ENV`, `default_environment`, or the only environment that there
    is. Raises UsageError for a name that is not there, and where several are and none is said.
    """
    chosen = name or configuration.overrides.get("ENV") or configuration.default_environment
    if chosen is None and len(configuration.environments) > 1:
        names = ", ".join(sorted(configuration.environments))
        message = f"several environments are configured and none is the default: {names}"
        fix = f"add --env {min(configuration.environments)}, or set default_environment"
        raise UsageError(message, where=_place(configuration), fix=fix, code="configuration.environment")
    only = next(iter(configuration.environments), DEFAULT_ENVIRONMENT)
    return _laid_over(named_environment(configuration, chosen or only), configuration.overrides)


def named_environment(configuration: Configuration, name: str) -> EnvironmentSettings:
    """The environment of that name as the file has it, whatever the variables say: for commands that work on two."""
    if name in configuration.environments:
        return configuration.environments[name]
    if not configuration.is_configured and name == DEFAULT_ENVIRONMENT:
        return replace(configuration.common, name=name, key=POSTHOG_CLI)
    raise _unknown_environment(configuration, name)


def definitions_folder(configuration: Configuration, environment: EnvironmentSettings, option: str | None) -> Path:
    """The definitions folder: `--dir`, else `ENDPOINTS_GITOPS_DIR`, else the configuration's, else `endpoints`.

    The first two are relative to the current folder, and may be anywhere. The others are relative to the folder of the
    configuration. Raises UsageError where they lead out of its repository, or into another one.
    """
    said = option or configuration.overrides.get("DIR")
    if said:
        return Path(said).expanduser()
    folder = configuration.folder / (environment.dir or DEFAULT_DIR)
    if leads_out(folder, configuration.folder):
        message = f"the definitions folder {shown(folder)} leads out of the repository, to {folder.resolve()}"
        fix = "use a folder inside it, or name the folder with --dir"
        raise UsageError(message, where=_place(configuration), fix=fix, code="files.outside")
    if is_other_repository(folder, configuration.folder):
        message = (
            f"the definitions folder {shown(folder)} is in a git repository of its own, not in the configuration's"
        )
        fix = "put the configuration into that repository, or name the folder with --dir"
        raise UsageError(message, where=_place(configuration), fix=fix, code="files.outside")
    return folder


def _nearest(folder: Path, env: Mapping[str, str]) -> Configuration:
    """The nearest configuration to a definitions folder; beside it also where no git work tree is searched upward."""
    own = load_configuration(folder, env)
    return own if own.path is not None else load_configuration(folder.resolve().parent, env)


def _names(configuration: Configuration, folder: Path) -> bool:
    """Whether a configuration is beside a definitions folder, in it, or says its path."""
    real = folder.resolve()
    settings = (configuration.common, *configuration.environments.values())
    said = ((configuration.folder / (one.dir or DEFAULT_DIR)).resolve() for one in settings)
    return configuration.folder in (real, real.parent) or real in said


def _overrides(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): value for name, value in env.items() if name.startswith(PREFIX) and value.strip()
    }


def _unknown_environment(configuration: Configuration, name: str) -> UsageError:
    from endpoints_gitops.codecs.mistakes import did_you_mean

    names = sorted(configuration.environments)
    said = f"there is no environment {printable(name)!r}{did_you_mean(name, names)}"
    there = f"the configured ones are {', '.join(names)}" if names else "none is configured: leave --env away"
    return UsageError(said, where=_place(configuration), fix=there, code="configuration.environment")


def _laid_over(environment: EnvironmentSettings, overrides: Mapping[str, str]) -> EnvironmentSettings:
    changes: dict[str, Any] = {}
    if host := overrides.get("HOST"):
        changes["host"] = _right("HOST", host.strip(), host_mistake(host.strip()))
    if project := overrides.get("PROJECT_ID"):
        changes["project_id"] = project_number(project, f"{PREFIX}PROJECT_ID")
    if key := overrides.get("KEY"):
        source = _right("KEY", key.strip(), key_mistake(key.strip()))
        changes |= {"key": source, "base": Path.cwd(), "key_from_checkout": False}
    return replace(environment, **changes)


def project_number(text: str, where: str) -> int:
    """The number of a project. Raises UsageError, which does not repeat the text: it may be a misplaced key."""
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 16):
        raise UsageError("the project is a number", where=where, fix="it stands in the address of your project")
    return int(text)


def _right(name: str, value: str, mistake: str | None) -> str:
    if mistake is not None:
        raise UsageError(mistake, where=PREFIX + name, code="configuration.invalid")
    return value


def _place(configuration: Configuration) -> str | None:
    return shown(configuration.path) if configuration.path else None
