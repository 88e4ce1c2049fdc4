"""The configuration: one table in `pyproject.toml` or `endpoints.toml`, with the variables of the process laid over it.

The file is found, read and checked here: every mistake at once, on its line. Nothing here asks a server or reads a key.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.codecs.toml import line_of
from endpoints_gitops.errors import MOST_PROBLEMS, InvalidInput, Problem, UsageError, first_problems
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.origin import host_mistake
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.files import is_other_repository, leads_out, read_regular_file, shown, work_tree

POSTHOG_CLI: Final = "posthog-cli"
"""The key of an environment that takes it from where posthog-cli keeps its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """One environment, with the common settings where it has none of its own.

    `host`, `project_id` and `key` (where the key comes from, never the key itself) are None where nothing was said;
    `uses` is kept as it was written. `where` is `path:line` of the environment, `folder` the one that holds the
    configuration, and `base` the one that a relative `dotenv:` path starts from. `key_from_checkout` is False where a
    variable of the process names the source of the key.
    """

    name: str
    host: str | None = None
    project_id: int | None = None
    key: str | None = None
    allow_insecure: bool = False
    dir: str | None = None
    manage: tuple[str, ...] = ("*",)
    protect: tuple[str, ...] = ()
    uses: Mapping[str, Any] = field(default_factory=dict)
    where: str | None = None
    folder: Path = field(default_factory=Path)
    base: Path = field(default_factory=Path)
    key_from_checkout: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the nearest configuration file says; `path` is None, and there are no environments, where there is none.

    `common` holds the settings of all environments; `folder` is where relative paths in the file start; `overrides` are
    the `ENDPOINTS_GITOPS_…` variables by the rest of their name, empty ones left out.
    """

    path: Path | None
    folder: Path
    common: EnvironmentSettings
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    default_environment: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_configured(self) -> bool:
        """Whether an environment is configured; else posthog-cli's variables count."""
        return bool(self.environments)


COMMON_KEYS: Final = ("dir", "manage", "protect", "default_environment", "environments", "uses")
ENVIRONMENT_KEYS: Final = ("host", "project_id", "key", "allow_insecure", "dir", "manage", "protect", "uses")
USE_KEYS: Final = ("version", "reads", "columns", "examples")
READS: Final = ("position", "name", "call")
_TABLE: Final = "endpoints-gitops"
_SOURCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|dotenv:[^\0\n]+:[A-Za-z_][A-Za-z0-9_.]*|posthog-cli")
_A_KEY: Final = re.compile(r"ph[a-z]_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table of one file; `prefix` is where in the file it stands."""

    path: Path
    text: str
    prefix: tuple[str, ...]
    value: Mapping[str, Any]


def find_table(start: Path, env: Mapping[str, str]) -> Table | None:
    """The nearest table from `start` up to the top of its git work tree, None where there is none.

    Outside a work tree, only `start` is searched. A `pyproject.toml` without the table is passed over. Raises
    UsageError for a file that belongs to another user.
    """
    top = work_tree(start) or start
    folders = (folder for folder in (start, *start.parents) if folder.is_relative_to(top))
    table = next(filter(None, (table_in(folder, _text) for folder in folders)), None)
    if table is not None:
        _refuse_other_owner(table.path, top, env)
    return table


def table_at(path: Path) -> Table:
    """The table of a file, or folder, that a person names. Raises UsageError where there is none."""
    named = path.parent.resolve() / path.name
    if path.is_dir():
        table = table_in(path.resolve(), _text)
    elif path.name == "pyproject.toml":
        table = _from_pyproject(named, _text(named))
    else:
        table = _from_endpoints_toml(named, _text(named))
    if table is None:
        what = "has no configuration" if path.exists() else "does not exist"
        fix = "--config takes an endpoints.toml, a pyproject.toml with [tool.endpoints-gitops], or the folder of one"
        raise UsageError(f"{shown(path)} {what}", fix=fix, code="configuration.missing")
    return table


def table_in(folder: Path, read: Callable[[Path], str | None]) -> Table | None:
    """The table of one folder. `read` gives the text of a file, None where there is no such file."""
    project_path, own_path = folder / "pyproject.toml", folder / "endpoints.toml"
    project, own = _from_pyproject(project_path, read(project_path)), _from_endpoints_toml(own_path, read(own_path))
    if project and own:
        message = f"{shown(project.path)} and {shown(own.path)} both hold a configuration"
        raise UsageError(message, fix="keep one of the two", code="configuration.doubled")
    return project or own


def read_table(table: Table) -> Configuration:
    """The configuration that a table holds. Raises InvalidInput with every mistake in it."""
    reader = _Reader(table=table)
    value = table.value
    reader.only(COMMON_KEYS, value, ())
    common = _settings(
        reader, value, (), EnvironmentSettings(name="", folder=table.path.parent, base=table.path.parent)
    )
    environments = {
        name: _environment(reader, name, body, common)
        for name, body in reader.tables(value.get("environments"), ("environments",)).items()
    }
    if len(environments) > 1:
        _refuse_exact_versions(reader, common)
    default = reader.text(value, (), "default_environment")
    if default is not None and default not in environments:
        reader.add(("default_environment",), f"there is no environment {default!r}", environments, default)
    if reader.problems:
        raise InvalidInput(first_problems(reader.problems))
    return Configuration(
        path=table.path,
        folder=table.path.parent,
        common=common,
        environments=environments,
        default_environment=default,
    )


def key_mistake(source: str) -> str | None:
    """What is wrong with what says where a key comes from. The text is not repeated: it may be a key."""
    if _SOURCE.fullmatch(source):
        return None
    if _A_KEY.match(source):
        return (
            "this is a key itself, and it is not taken from here: "
            "write where it comes from, and revoke it if anybody else can have seen it"
        )
    return f'key says where the key comes from: "env:NAME", "dotenv:FILE:NAME" or "{POSTHOG_CLI}"'


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads typed values out of the table and notes what is wrong. No message repeats a value that may be a key."""

    table: Table
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: tuple[str, ...], message: str, known: Iterable[str] = (), word: str = "") -> None:
        from endpoints_gitops.codecs.mistakes import did_you_mean

        near = did_you_mean(word, known) if word and len(self.problems) <= MOST_PROBLEMS else ""
        line = line_of(self.table.text, (*self.table.prefix, *path))
        code = "configuration.invalid"
        self.problems.append(
            Problem(path=shown(self.table.path), line=line, column=1, message=message + near, code=code)
        )

    def only(self, known: Iterable[str], value: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self.add((*path, key), f"unknown key {key!r}", known, key)

    def text(self, value: Mapping[str, Any], path: tuple[str, ...], key: str) -> str | None:
        text = self._typed(value, path, key, str, "text")
        if text is not None and "\0" in text:
            self.add((*path, key), f"{key} contains NUL")
            return None
        return text

    def flag(self, value: Mapping[str, Any], path: tuple[str, ...], key: str) -> bool | None:
        return self._typed(value, path, key, bool, "true or false")

    def number(self, value: Mapping[str, Any], path: tuple[str, ...], key: str) -> int | None:
        found = value.get(key)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 16:
            return int(found)
        return self._typed(value, path, key, int, "a number")

    def texts(self, value: Mapping[str, Any], path: tuple[str, ...], key: str) -> tuple[str, ...] | None:
        found = value.get(key)
        if found is None:
            return None
        if isinstance(found, list) and all(isinstance(one, str) and one for one in found):
            return tuple(found)
        self.add((*path, key), f"{key} is a list of texts")
        return None

    def tables(self, value: object, path: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """The entries of a table that are tables themselves."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(path, f"{path[-1]} is a table")
            return {}
        for key in value:
            if not isinstance(value[key], dict):
                self.add((*path, key), f"{key!r} is a table of settings")
        return {key: one for key, one in value.items() if isinstance(one, dict)}

    def _typed[T](
        self, value: Mapping[str, Any], path: tuple[str, ...], key: str, kind: type[T], said: str
    ) -> T | None:
        found = value.get(key)
        if found is None:
            return None
        if type(found) is kind:  # a truth value is no number here
            return found
        self.add((*path, key), f"{key} is {said}")
        return None


def _settings(
    reader: _Reader, value: Mapping[str, Any], path: tuple[str, ...], common: EnvironmentSettings
) -> EnvironmentSettings:
    """What may stand both at the top and under an environment, over what is common."""
    manage, protect = (reader.texts(value, path, key) for key in ("manage", "protect"))
    for key, patterns in (("manage", manage), ("protect", protect)):
        if patterns and any(one == "tag:" for one in patterns):
            reader.add((*path, key), f"{key}: a tag is missing after tag:")
    return EnvironmentSettings(
        name=common.name,
        dir=reader.text(value, path, "dir") or common.dir,
        manage=common.manage if manage is None else manage,
        protect=common.protect if protect is None else protect,
        uses={**common.uses, **_uses(reader, value.get("uses"), (*path, "uses"))},
        folder=common.folder,
        base=common.base,
    )


def _environment(
    reader: _Reader, name: str, value: Mapping[str, Any], common: EnvironmentSettings
) -> EnvironmentSettings:
    path = ("environments", name)
    if not is_environment_name(name):
        reader.add(path, "an environment's name has no /, \\, : or control character, and does not begin with a dot")
    reader.only(ENVIRONMENT_KEYS, value, path)
    settings = _settings(reader, value, path, common)
    host, key = reader.text(value, path, "host"), reader.text(value, path, "key")
    for word, mistake in (("host", host and host_mistake(host)), ("key", key and key_mistake(key))):
        if mistake:
            reader.add((*path, word), mistake)
    return EnvironmentSettings(
        name=name,
        host=host,
        project_id=reader.number(value, path, "project_id"),
        key=key,
        allow_insecure=reader.flag(value, path, "allow_insecure") or False,
        dir=settings.dir,
        manage=settings.manage,
        protect=settings.protect,
        uses=settings.uses,
        where=f"{shown(reader.table.path)}:{line_of(reader.table.text, (*reader.table.prefix, *path))}",
        folder=settings.folder,
        base=settings.base,
    )


def _uses(reader: _Reader, value: object, path: tuple[str, ...]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        reader.add(path, "uses is a table of endpoint names")
        return {}
    for name, use in value.items():
        if not is_endpoint_name(name):
            reader.add((*path, name), f"{name!r} is no name of an endpoint")
        _check_use(reader, use, (*path, name))
    return value


def _check_use(reader: _Reader, use: object, path: tuple[str, ...]) -> None:
    if use == "*":
        return
    if not isinstance(use, dict):
        reader.add(path, f'{path[-1]} is "*" or a table such as {{ version = 3 }}')
        return
    reader.only(USE_KEYS, use, path)
    version, reads = use.get("version", "*"), use.get("reads", "name")
    if version != "*" and not (type(version) is int and version >= 1):
        reader.add((*path, "version"), 'version is a whole number from 1, or "*"')
    if reads not in READS:
        reader.add((*path, "reads"), f"reads is one of {', '.join(READS)}", READS, str(reads))
    reader.texts(use, path, "columns")
    examples = use.get("examples", [])
    if not isinstance(examples, list) or not all(isinstance(one, dict) for one in examples):
        reader.add((*path, "examples"), "examples is a list of tables of variables")


def _refuse_exact_versions(reader: _Reader, common: EnvironmentSettings) -> None:
    for name, use in common.uses.items():
        if isinstance(use, dict) and use.get("version", "*") != "*":
            message = "an exact version for all environments: numbers differ by project; put it under each environment"
            reader.add(("uses", name), message)


def _from_pyproject(path: Path, text: str | None) -> Table | None:
    if text is None or _TABLE not in text:
        return None
    tools = _parsed(path, text).get("tool")
    value = tools.get(_TABLE) if isinstance(tools, dict) else None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UsageError(f"tool.{_TABLE} is a table", where=shown(path), code="configuration.invalid")
    return Table(path=path, text=text, prefix=("tool", _TABLE), value=value)


def _from_endpoints_toml(path: Path, text: str | None) -> Table | None:
    return None if text is None else Table(path=path, text=text, prefix=(), value=_parsed(path, text))


def _text(path: Path) -> str | None:
    try:
        return read_regular_file(path).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise UsageError(message, where=shown(path), code="configuration.unreadable") from error
    except UnicodeDecodeError as error:
        message = "this file is not UTF-8"
        raise UsageError(message, where=shown(path), fix="save it as UTF-8", code="configuration.unreadable") from error


def _refuse_other_owner(path: Path, top: Path, env: Mapping[str, str]) -> None:
    """Accept what git accepts: the user's own files, root's, those of the user of sudo, and folders that git trusts."""
    if not hasattr(os, "geteuid"):
        return
    sudo = env.get("SUDO_UID", "")
    accepted = {os.geteuid(), 0, int(sudo) if sudo.isascii() and sudo.isdigit() and len(sudo) < 16 else 0}
    strangers = {found.st_uid for found in (path.lstat(), path.stat())} - accepted
    if not strangers:
        return
    from endpoints_gitops.workspace.git import is_safe_directory

    if not is_safe_directory(top):
        message = f"this file belongs to another user (uid {min(strangers)}), and is not used"
        fix = f"if you trust it: git config --global --add safe.directory {shlex.quote(str(top))}"
        raise UsageError(message, where=shown(path), fix=fix, code="configuration.owner")


def _parsed(path: Path, text: str) -> dict[str, Any]:
    from endpoints_gitops.codecs.toml import NotToml, load_toml

    try:
        return load_toml(text)
    except NotToml as error:
        message = f"this is no TOML: {error.message}"
        problem = Problem(
            path=shown(path), line=error.line, column=error.column, message=message, code="configuration.invalid"
        )
        raise InvalidInput((problem,)) from error


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
