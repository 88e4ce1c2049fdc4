"""The configuration: one table in `pyproject.toml` or `endpoints.toml`, overridden by environment variables.

This module finds, reads and checks the file, and reports every mistake with its line. It makes no requests and reads no
keys.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from endpoints_gitops.codecs.reader import Check, Document, between, quoted, satisfies
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.origin import host_mistake
from endpoints_gitops.model.printable import printable
from endpoints_gitops.model.secret import begins_like_a_key
from endpoints_gitops.model.sunset import DEFAULT_POLICY, DeprecationPolicy
from endpoints_gitops.model.target import GenerationTarget, default_out, is_go_package
from endpoints_gitops.workspace.files import is_other_repository, leads_out, read_regular_file, shown, work_tree
from endpoints_gitops.workspace.policy import PolicyTables

LOCK_NAME: Final = "endpoints.lock"
POSTHOG_CLI: Final = "posthog-cli"
"""The `key` of an environment that uses the credentials of posthog-cli."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """One environment, with the common settings as defaults.

    `host`, `project_id` and `key` (the source of the key, never the key itself) are None if the file does not set them;
    `uses` is the unparsed table, and `openapi` the folder of OpenAPI documents. `where` is the environment's
    `path:line`, `folder` that of the configuration, and `base` the folder of a relative `dotenv:` path.
    `key_from_checkout` is False if an environment variable names the source of the key.
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
    openapi: str = "openapi"
    where: str | None = None
    folder: Path = field(default_factory=Path)
    base: Path = field(default_factory=Path)
    key_from_checkout: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The nearest configuration file; without one, `path` is None and there are no environments.

    `common` has the settings of all environments; relative paths in the file start at `folder`; `consumers` is the path
    of the consumers' registry, if the file sets one; `evidence_paths` are the paths and globs that have to agree for
    evidence of another tree to count; `overrides` are the non-empty `ENDPOINTS_GITOPS_…` variables, by their names
    without that prefix. `deprecation` says how many days matter for a sunset. `workspace.policy` makes a policy of
    `policy`; `targets` are those of `generate`, by name; `document` has the lines.
    """

    path: Path | None
    folder: Path
    common: EnvironmentSettings
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    default_environment: str | None = None
    consumers: str | None = None
    evidence_paths: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    deprecation: DeprecationPolicy = DEFAULT_POLICY
    policy: PolicyTables | None = None
    targets: tuple[GenerationTarget, ...] = ()
    document: Document | None = field(default=None, compare=False, repr=False)

    def is_environment_chosen(self, name: str | None) -> bool:
        """Whether the command line (`name`) or `ENDPOINTS_GITOPS_ENV` chooses one environment."""
        return bool(name or self.overrides.get("ENV"))

    @property
    def is_configured(self) -> bool:
        """Whether an environment is configured. Otherwise the variables of posthog-cli are used."""
        return bool(self.environments)


DEFAULT_DIR: Final = "endpoints"
DEFAULT_ENVIRONMENT: Final = "default"
PREFIX: Final = "ENDPOINTS_GITOPS_"
_TABLE: Final = "endpoints-gitops"
_CODE: Final = "configuration.invalid"
_MOST_DAYS: Final = 3650
_SOURCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|dotenv:[^\0\n]+:[A-Za-z_][A-Za-z0-9_.]*|posthog-cli")
_LANGUAGE: Final = re.compile(r"[a-z][a-z0-9+#-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFile:
    """The table of one file."""

    path: Path
    document: Document


def find_table(start: Path, env: Mapping[str, str]) -> ConfigurationFile | None:
    """The nearest table from `start` up to the top of its git work tree, or None.

    Outside of a work tree only `start` is searched. A `pyproject.toml` without the table is skipped. Raises UsageError
    for a file that belongs to another user or cannot be read, InvalidInput for text that is not TOML.
    """
    top = work_tree(start) or start
    folders = (folder for folder in (start, *start.parents) if folder.is_relative_to(top))
    table = next(filter(None, (table_in(folder, _text) for folder in folders)), None)
    if table is not None:
        _refuse_other_owner(table.path, top, env)
    return table


def table_at(path: Path) -> ConfigurationFile:
    """The table of a file or folder that the user names. Raises UsageError if there is none."""
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


def table_in(
    folder: Path, read: Callable[[Path], str | None], label: Callable[[Path], str] = shown
) -> ConfigurationFile | None:
    """The table of one folder. `read` returns the text of a file, or None if the file does not exist; `label` names a
    file in messages.

    Raises UsageError if the folder has two configurations, InvalidInput for text that is not TOML.
    """
    project_path, own_path = folder / "pyproject.toml", folder / "endpoints.toml"
    project = _from_pyproject(project_path, read(project_path), label)
    own = _from_endpoints_toml(own_path, read(own_path), label)
    if project and own:
        message = f"{label(project.path)} and {label(own.path)} both contain a configuration"
        raise UsageError(message, fix="keep one of them", code="configuration.doubled")
    return project or own


def key_mistake(source: str) -> str | None:
    """The mistake in the source of a key, or None. The message does not repeat the text, because it can be a key."""
    if _SOURCE.fullmatch(source):
        return None
    if begins_like_a_key(source):
        return "this is a key; set the source of the key instead, and revoke the key if other people could see it"
    return f'key must name the source of the key: "env:NAME", "dotenv:FILE:NAME" or "{POSTHOG_CLI}"'


def _environment_name_mistake(_: str, value: str) -> str | None:
    if is_environment_name(value):
        return None
    return f"the environment name {quoted(value)} has a /, \\, : or control character, or begins with a dot"


def _evidence_path_mistake(name: str, value: str) -> str | None:
    parts = value.split("/")
    if value.startswith("/") or "\\" in value or ".." in parts or "\0" in value:
        return f"{name}: {quoted(value)} must be below the folder of this file, with / between its parts"
    return None


def _project_mistake(name: str, value: object) -> str | None:
    """The mistake in a project number, or None. The message does not repeat the value, because it can be a key."""
    is_number = type(value) is int or (isinstance(value, str) and _is_project_number(value))
    return None if is_number else f"{name} must be a whole number"


def _is_project_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


type _Item = Annotated[str, Check(lambda name, value: None if value.strip() else f"{name} must not be empty")]
type _Text = Annotated[_Item, Check(lambda name, value: f"{name} contains NUL" if "\0" in value else None)]
type _Pattern = Annotated[
    _Item, Check(lambda name, value: f"{name}: a tag is missing after tag:" if value == "tag:" else None)
]
type _Host = Annotated[_Text, Check(lambda _, value: host_mistake(value) if value else None)]
type _KeySource = Annotated[_Text, Check(lambda _, value: key_mistake(value) if value else None)]
type _EndpointName = Annotated[str, satisfies(is_endpoint_name, "the name of an endpoint")]


@dataclass(kw_only=True, eq=False, repr=False)
class _UseTable:
    """An endpoint that is used, and how."""

    version: Literal["*"] | Annotated[int, between(1)] = "*"
    reads: Literal["position", "name", "call"] = "name"  # model.pin.ReadingStyle, which few commands import
    columns: tuple[_Item, ...] | None = None
    examples: tuple[Mapping[str, object], ...] = ()


type _Folder = Annotated[_Item, Check(_evidence_path_mistake)]


@dataclass(kw_only=True, eq=False, repr=False)
class _CommonTable:
    """The keys that are valid at the top level and under an environment."""

    dir: _Text | None = None
    manage: tuple[_Pattern, ...] | None = None
    protect: tuple[_Pattern, ...] | None = None
    uses: Mapping[_EndpointName, Literal["*"] | _UseTable] = field(default_factory=dict)
    openapi: _Folder | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class _EnvironmentTable(_CommonTable):
    host: _Host | None = None
    project_id: Annotated[object, Check(_project_mistake)] = None
    key: _KeySource | None = None
    allow_insecure: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class _DeprecationTable:
    """Numbers of days; those that the table does not set have the defaults of `model.sunset`."""

    minimum_days: Annotated[int, between(0, _MOST_DAYS)] = DEFAULT_POLICY.minimum_days
    warn_days: Annotated[int, between(0, _MOST_DAYS)] = DEFAULT_POLICY.warn_days
    idle_days: Annotated[int, between(1, _MOST_DAYS)] = DEFAULT_POLICY.idle_days


@dataclass(kw_only=True, eq=False, repr=False)
class _TargetTable:
    """A client that `generate` writes: exactly one of `native`, `stub` and `generator` says how."""

    lang: Annotated[str, satisfies(_LANGUAGE.fullmatch, "the name of a language, such as python")]
    native: bool = False
    stub: bool = False
    generator: _Text | None = None
    version: _Text | None = None
    out: _Folder | None = None
    environment: str | None = None
    per_endpoint: bool = False
    package: Annotated[str, satisfies(is_go_package, "the name of a Go package")] | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class _ConfigurationTable(_CommonTable, PolicyTables):
    default_environment: str | None = None
    consumers: _Text | None = None
    deprecation: _DeprecationTable = field(default_factory=_DeprecationTable)
    evidence_paths: tuple[Annotated[_Item, Check(_evidence_path_mistake)], ...] | None = None
    environments: Mapping[Annotated[str, Check(_environment_name_mistake)], _EnvironmentTable] = field(
        default_factory=dict
    )
    generate: Mapping[str, _TargetTable] = field(default_factory=dict)


def read_table(table: ConfigurationFile) -> Configuration:
    """Parse the configuration in a table. Raises InvalidInput with every mistake in it."""
    document = table.document
    parsed = document.part(_ConfigurationTable, document.value, ())
    _note_unknown_default(document)
    _note_exact_versions(document)
    targets = _targets(document, parsed)
    document.raise_mistakes()
    assert parsed is not None, "there are no mistakes"
    folder = table.path.parent
    common = _with_common(EnvironmentSettings(name="", folder=folder, base=folder), parsed, document.value)
    written = _tables(document.value, "environments")
    environments = {
        name: _environment(document, name, body, _with_common(common, body, written[name]))
        for name, body in parsed.environments.items()
    }
    return Configuration(
        path=table.path,
        folder=folder,
        common=common,
        environments=environments,
        default_environment=parsed.default_environment,
        consumers=parsed.consumers,
        deprecation=DeprecationPolicy(
            minimum_days=parsed.deprecation.minimum_days,
            warn_days=parsed.deprecation.warn_days,
            idle_days=parsed.deprecation.idle_days,
        ),
        policy=parsed,
        targets=targets,
        document=document,
        evidence_paths=parsed.evidence_paths or (),
    )


def _with_common(settings: EnvironmentSettings, table: _CommonTable, written: object) -> EnvironmentSettings:
    """The settings, overridden by those of a table; `uses` stays unparsed."""
    return replace(
        settings,
        dir=settings.dir if table.dir is None else table.dir,
        manage=settings.manage if table.manage is None else table.manage,
        protect=settings.protect if table.protect is None else table.protect,
        uses={**settings.uses, **_tables(written, "uses")},
        openapi=settings.openapi if table.openapi is None else table.openapi.rstrip("/"),
    )


def _environment(
    document: Document, name: str, table: _EnvironmentTable, settings: EnvironmentSettings
) -> EnvironmentSettings:
    line, _ = document.position(("environments", name))
    return replace(
        settings,
        name=name,
        host=table.host,
        project_id=None if table.project_id is None else int(str(table.project_id)),
        key=table.key,
        allow_insecure=table.allow_insecure,
        where=f"{document.path}:{line}",
    )


def _note_unknown_default(document: Document) -> None:
    default = document.value.get("default_environment") if isinstance(document.value, dict) else None
    environments = _tables(document.value, "environments")
    if isinstance(default, str) and default not in environments:
        from endpoints_gitops.model.suggestions import did_you_mean

        message = f"there is no environment {quoted(default)}{did_you_mean(default, environments)}"
        document.add(("default_environment",), message)


def _note_exact_versions(document: Document) -> None:
    """Report an exact version in the common uses: the versions of an endpoint differ between projects."""
    if len(_tables(document.value, "environments")) < 2:
        return
    for name, use in _tables(document.value, "uses").items():
        if isinstance(use, dict) and use.get("version", "*") != "*":
            message = (
                "an exact version cannot apply to several environments: set it under each environment, because the "
                "versions of an endpoint differ between projects"
            )
            document.add(("uses", name), message)


def _targets(document: Document, parsed: _ConfigurationTable | None) -> tuple[GenerationTarget, ...]:
    """The targets of `generate`, by name. Mistakes between their keys are added to the document."""
    targets: dict[tuple[str, str], GenerationTarget] = {}
    for name, table in sorted(parsed.generate.items() if parsed else ()):
        location = ("generate", name)
        ways = [way for way, is_chosen in (("native", table.native), ("stub", table.stub)) if is_chosen]
        ways += [table.generator] if table.generator else []
        if len(ways) != 1:
            document.add(location, f"{name} must have exactly one of native = true, stub = true and generator")
            continue
        if table.version is not None and not table.generator:
            document.add((*location, "version"), "version is that of a generator, and this target has none")
        if table.per_endpoint and table.stub:
            document.add((*location, "per_endpoint"), "per_endpoint does not apply to a stub, which is one file")
        if table.per_endpoint and table.native and table.lang != "python":
            message = "per_endpoint does not apply to this client, which is one file"
            document.add((*location, "per_endpoint"), message)
        if table.package is not None and not (table.lang == "go" and table.native):
            document.add((*location, "package"), "package is for the native client for Go")
        environments = parsed.environments if parsed else {}
        if table.environment is not None and environments and table.environment not in environments:
            from endpoints_gitops.model.suggestions import did_you_mean

            near = did_you_mean(table.environment, environments)
            document.add((*location, "environment"), f"there is no environment {quoted(table.environment)}{near}")
        line, _ = document.position(location)
        target = GenerationTarget(
            name=name,
            lang=table.lang,
            generator=ways[0],
            version=table.version,
            out=(table.out or default_out(table.lang)).rstrip("/"),
            environment=table.environment,
            per_endpoint=table.per_endpoint,
            package=table.package,
            where=f"{document.path}:{line}",
        )
        other = targets.setdefault((target.label, target.out), target)
        if other is not target:
            document.add(location, f"{other.name} and {name} write the same files in {target.out}")
    return tuple(targets.values())


def _tables(value: object, key: str) -> dict[str, Any]:
    """The table under a key of any value; empty if there is none."""
    table = value.get(key) if isinstance(value, dict) else None
    return table if isinstance(table, dict) else {}


def _from_pyproject(path: Path, text: str | None, label: Callable[[Path], str] = shown) -> ConfigurationFile | None:
    if text is None or _TABLE not in text:
        return None
    document = Document.of_toml(text, label(path), code=_CODE).narrowed("tool", _TABLE)
    return ConfigurationFile(path=path, document=document) if document else None


def _from_endpoints_toml(
    path: Path, text: str | None, label: Callable[[Path], str] = shown
) -> ConfigurationFile | None:
    if text is None:
        return None
    return ConfigurationFile(path=path, document=Document.of_toml(text, label(path), code=_CODE))


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
    """Raise UsageError for another user's file. As in git, root, sudo's user and `safe.directory` are accepted."""
    if not hasattr(os, "geteuid"):
        return
    sudo = env.get("SUDO_UID", "")
    accepted = {os.geteuid(), 0, int(sudo) if sudo.isascii() and sudo.isdigit() and len(sudo) < 16 else 0}
    strangers = {status.st_uid for status in (path.lstat(), path.stat())} - accepted
    if not strangers:
        return
    from endpoints_gitops.workspace.git import is_safe_directory

    if not is_safe_directory(top):
        message = f"this file belongs to another user (uid {min(strangers)}), so it is not used"
        fix = f"if you trust it: git config --global --add safe.directory {shlex.quote(str(top))}"
        raise UsageError(message, where=shown(path), fix=fix, code="configuration.owner")


def load_configuration(start: Path, env: Mapping[str, str]) -> Configuration:
    """Read the nearest configuration, from `start` up to the top of its git work tree; outside one, in `start` alone.

    Raises InvalidInput with every mistake in it, and UsageError if one folder has two configurations or the file
    belongs to another user.
    """
    table = find_table(start.resolve(), env)
    overrides = _overrides(env)
    if table is None:
        empty = Configuration(
            path=None, folder=start.resolve(), common=EnvironmentSettings(name="", folder=start.resolve())
        )
        return replace(empty, overrides=MappingProxyType(overrides))
    return replace(read_table(table), overrides=MappingProxyType(overrides))


def configuration_for(start: Path, env: Mapping[str, str], *, file: str | None, folder: str | None) -> Configuration:
    """The configuration of a command.

    `file` (`--config`) or `ENDPOINTS_GITOPS_CONFIG` names it; otherwise it is the nearest one to the definitions folder
    that `folder` (`--dir`) or `ENDPOINTS_GITOPS_DIR` names; otherwise the nearest one from `start` upward. Raises
    UsageError if the nearest one to that folder neither names the folder nor is the one of `start`.
    """
    overrides = _overrides(env)
    named, folder_name = file or overrides.get("CONFIG"), folder or overrides.get("DIR")
    if named:
        return replace(read_table(table_at(Path(named).expanduser())), overrides=MappingProxyType(overrides))
    here = load_configuration(start, env)
    if not folder_name:
        return here
    beside = _nearest(Path(folder_name).expanduser(), env)
    if beside.path is None or beside.path == here.path:
        return here
    if here.path is None or _names(beside, Path(folder_name).expanduser()):
        return beside
    message = (
        f"the configuration is ambiguous: neither {shown(beside.path)} nor {shown(here.path)} names the folder "
        f"{folder_name}"
    )
    raise UsageError(
        message,
        fix=f"add --config {shown(beside.path)}, or --config {shown(here.path)}",
        code="configuration.ambiguous",
    )


def refuse_other_project(configuration: Configuration, folder: Path, env: Mapping[str, str]) -> None:
    """Raise UsageError if a definitions folder has a different configuration than this one."""
    real = folder.resolve()
    for candidate in (real, *real.parents):
        if candidate == configuration.folder:
            return
        if any((candidate / name).is_file() for name in ("pyproject.toml", "endpoints.toml")):
            break
    own = _nearest(real, env)
    if own.path is None or own.path == configuration.path or not _names(own, folder):
        return
    used = shown(configuration.path) if configuration.path else "the variables of posthog-cli"
    message = f"the definitions in {shown(folder)} belong to {shown(own.path)}, but this command would use {used}"
    fix = f"add --config {shown(own.path)}, or name a different folder with --dir"
    raise UsageError(message, fix=fix, code="configuration.other-project")


def lock_path(configuration: Configuration) -> Path:
    """`endpoints.lock` next to the configuration file, or in the start folder without one."""
    return configuration.folder / LOCK_NAME


def choose_environment(configuration: Configuration, name: str | None) -> EnvironmentSettings:
    """The environment of a command, overridden by `ENDPOINTS_GITOPS_HOST`, `_PROJECT_ID` and `_KEY`.

    `name` is the value of `--env`; the defaults are `ENDPOINTS_GITOPS_ENV`, `default_environment` and the only
    environment, in this order. Raises UsageError for an unknown name, and for several environments without a default.
    """
    chosen = name or configuration.overrides.get("ENV") or configuration.default_environment
    if chosen is None and len(configuration.environments) > 1:
        names = ", ".join(sorted(configuration.environments))
        message = f"several environments are configured and none is the default: {names}"
        fix = f"add --env {min(configuration.environments)}, or set default_environment"
        raise UsageError(message, where=_place(configuration), fix=fix, code="configuration.environment")
    only = next(iter(configuration.environments), DEFAULT_ENVIRONMENT)
    return _with_overrides(named_environment(configuration, chosen or only), configuration.overrides)


def named_environment(configuration: Configuration, name: str) -> EnvironmentSettings:
    """The environment of that name without overrides by variables: for commands that use two environments.

    Raises UsageError for an unknown name.
    """
    if name in configuration.environments:
        return configuration.environments[name]
    if not configuration.is_configured and name == DEFAULT_ENVIRONMENT:
        return replace(configuration.common, name=name, key=POSTHOG_CLI)
    raise _unknown_environment(configuration, name)


def definitions_folder(configuration: Configuration, environment: EnvironmentSettings, option: str | None) -> Path:
    """The definitions folder: `--dir`, else `ENDPOINTS_GITOPS_DIR`, else the configuration's, else `endpoints`.

    The first two are relative to the current folder, and can be anywhere. The others are relative to the folder of the
    configuration. Raises UsageError if those are outside of the configuration's repository, or in another one.
    """
    folder_name = option or configuration.overrides.get("DIR")
    if folder_name:
        return Path(folder_name).expanduser()
    folder = configuration.folder / (environment.dir or DEFAULT_DIR)
    if leads_out(folder, configuration.folder):
        message = f"the definitions folder {shown(folder)} is outside of the repository, at {folder.resolve()}"
        fix = "use a folder inside the repository, or name the folder with --dir"
        raise UsageError(message, where=_place(configuration), fix=fix, code="files.outside")
    if is_other_repository(folder, configuration.folder):
        message = f"the definitions folder {shown(folder)} is in a different git repository than the configuration"
        fix = "move the configuration into that repository, or name the folder with --dir"
        raise UsageError(message, where=_place(configuration), fix=fix, code="files.outside")
    return folder


def _nearest(folder: Path, env: Mapping[str, str]) -> Configuration:
    """The nearest configuration to a definitions folder; outside of a work tree, also the one next to the folder."""
    own = load_configuration(folder, env)
    return own if own.path is not None else load_configuration(folder.resolve().parent, env)


def _names(configuration: Configuration, folder: Path) -> bool:
    """Whether a configuration is next to or in a definitions folder, or names its path."""
    real = folder.resolve()
    settings = (configuration.common, *configuration.environments.values())
    folders = ((configuration.folder / (table.dir or DEFAULT_DIR)).resolve() for table in settings)
    return configuration.folder in (real, real.parent) or real in folders


def _overrides(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): value for name, value in env.items() if name.startswith(PREFIX) and value.strip()
    }


def _unknown_environment(configuration: Configuration, name: str) -> UsageError:
    from endpoints_gitops.model.suggestions import did_you_mean

    names = sorted(configuration.environments)
    message = f"there is no environment {printable(name)!r}{did_you_mean(name, names)}"
    fix = f"the configured environments are {', '.join(names)}" if names else "no environment is configured: omit --env"
    return UsageError(message, where=_place(configuration), fix=fix, code="configuration.environment")


def _with_overrides(environment: EnvironmentSettings, overrides: Mapping[str, str]) -> EnvironmentSettings:
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
    """The number of a project. Raises UsageError, which does not repeat the text, because it can be a key."""
    if not _is_project_number(text.strip()):
        raise UsageError("the project must be a number", where=where, fix="the number is in the URL of your project")
    return int(text)


def _right(name: str, value: str, mistake: str | None) -> str:
    if mistake is not None:
        raise UsageError(mistake, where=PREFIX + name, code="configuration.invalid")
    return value


def _place(configuration: Configuration) -> str | None:
    return shown(configuration.path) if configuration.path else None
