"""The configuration file: found, read and checked, every mistake at once and on its line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import MOST_PROBLEMS, InvalidInput, Problem, UsageError, first_problems
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.origin import host_mistake
from endpoints_gitops.workspace.files import read_regular_file, shown, work_tree
from endpoints_gitops.workspace.settings import POSTHOG_CLI, Configuration, EnvironmentSettings
from endpoints_gitops.workspace.toml_places import line_of

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
    from endpoints_gitops.codecs.text import NotToml, load_toml

    try:
        return load_toml(text)
    except NotToml as error:
        message = f"this is no TOML: {error.message}"
        problem = Problem(
            path=shown(path), line=error.line, column=error.column, message=message, code="configuration.invalid"
        )
        raise InvalidInput((problem,)) from error
