"""The manifest, which lists the endpoints that an app uses, with their versions; and the lock next to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.toml import line_of, load_toml
from endpoints_gitops.errors import Location, UsageError
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Lock, PinnedExample, Use
from endpoints_gitops.workspace.configuration import (
    PREFIX,
    Configuration,
    EnvironmentSettings,
    choose_environment,
    named_environment,
)
from endpoints_gitops.workspace.files import (
    read_optional_file,
    read_regular_file,
    rewrite_file,
    shown,
    write_atomically,
)

_OF_ONE_ENVIRONMENT: Final = ("HOST", "PROJECT_ID", "KEY")


def uses_of(settings: EnvironmentSettings) -> tuple[Use, ...]:
    """The endpoints that the manifest lists for one environment, sorted by name.

    Raises UsageError for an example with a value that JSON cannot represent.
    """
    return tuple(_use(name, settings.uses[name]) for name in sorted(settings.uses))


def environments_in_use(configuration: Configuration, name: str | None) -> tuple[EnvironmentSettings, ...]:
    """The environments with used endpoints, by name; only the one that `--env` or `ENDPOINTS_GITOPS_ENV` names, if any.

    Variables for host, project and key override those of a single environment. Raises UsageError for an unknown name.
    """
    if configuration.is_environment_chosen(name) or len(configuration.environments) < 2:
        return (choose_environment(configuration, name),)
    every = (named_environment(configuration, environment) for environment in sorted(configuration.environments))
    used = tuple(settings for settings in every if settings.uses)
    return (choose_environment(configuration, used[0].name),) if len(used) == 1 else used


def refuse_ambiguous(configuration: Configuration, environments: Sequence[EnvironmentSettings]) -> None:
    """Raise UsageError for several environments if a variable sets host, project or key, which belong to only one."""
    variables = [PREFIX + word for word in _OF_ONE_ENVIRONMENT if configuration.overrides.get(word)]
    if variables and len(environments) > 1:
        names = ", ".join(settings.name for settings in environments)
        message = f"{variables[0]} applies to one environment, but endpoints are used in {names}"
        fix = f"add --env {environments[0].name}, or unset {variables[0]}"
        raise UsageError(message, fix=fix, code="configuration.environment")


def read_lock_file(path: Path) -> Lock | None:
    """The lock, or None if the file does not exist.

    Raises InvalidInput with every mistake in it, UsageError if it cannot be read.
    """
    from endpoints_gitops.codecs.lock import read_lock

    content = read_optional_file(path, code="lock.unreadable")
    return None if content is None else read_lock(content, shown(path))


def missing_lock(path: Path) -> UsageError:
    """The error of everything that needs a lock, where there is none."""
    return UsageError(f"{shown(path)} does not exist", fix=Advice(Command("lock")), code="lock.missing")


def write_lock_file(path: Path, lock: Lock) -> bool:
    """Write the lock, and return whether the file changed. Raises UsageError if it cannot be written."""
    from endpoints_gitops.codecs.lock import write_lock

    content = write_lock(lock)
    return rewrite_file(path, content)


def use_locations(configuration: Configuration, environment: str) -> Callable[[str], Location | None]:
    """Where a use is written, by its name: `path:line`, else the table that it belongs in, else the file.

    The file is read once. None without a file.
    """
    path = configuration.path
    if path is None:
        return lambda _: None
    text, label = read_regular_file(path).decode("utf-8-sig"), shown(path)
    document = load_toml(text)
    return lambda name: Location(label, line_of(text, _place(path, document, environment, name)) or 0)


def move_use(configuration: Configuration, environment: str, name: str, version: int) -> None:
    """Change the version of a used endpoint in the manifest; no other byte of the file changes.

    Raises UsageError if that is not possible; the file is then unchanged.
    """
    path = configuration.path
    assert path is not None, "a used endpoint comes from a file"
    content = read_regular_file(path)
    moved = _moved(path, content, environment, name, version)
    if moved != content:
        write_atomically(path, moved)


def _use(name: str, written: str | Mapping[str, Any]) -> Use:
    use = Use(name=name)
    if isinstance(written, str):
        return use
    version, columns = written.get("version", "*"), written.get("columns")
    return replace(
        use,
        version=None if version == "*" else version,
        reads=written.get("reads", use.reads),
        columns=None if columns is None else tuple(columns),
        examples=tuple(_example(name, example) for example in written.get("examples", ())),
    )


def _example(name: str, variables: Mapping[str, Any]) -> PinnedExample:
    return PinnedExample(variables={key: _as_json(value, f"{name}: {key}") for key, value in variables.items()})


def _as_json(value: object, label: str) -> Json:
    """A TOML value as JSON, with times as text. Raises UsageError for infinity and NaN."""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list):
        return [_as_json(item, label) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item, label) for key, item in value.items()}
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise UsageError(
            f"an example of {label} is {value}, which cannot be sent as JSON", code="configuration.invalid"
        )
    assert isinstance(value, bool | int | float | str), "TOML has no other values"
    return value


def _place(path: Path, value: Mapping[str, Any], environment: str, name: str) -> tuple[str, ...]:
    """The keys of a used endpoint: under the environment, or under the common `uses`."""
    prefix = ("tool", "endpoints-gitops") if path.name == "pyproject.toml" else ()
    own = (*prefix, "environments", environment, "uses", name)
    common = (*prefix, "uses", name)
    return own if _at(value, own) is not None or _at(value, common[:-1]) is None else common


def _at(value: Any, keys: Sequence[str]) -> Any:  # noqa: ANN401 - any value of a TOML file
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _moved(path: Path, content: bytes, environment: str, name: str, version: int) -> bytes:
    import tomlkit

    text = content.decode("utf-8-sig")
    keys = _place(path, load_toml(text), environment, name)
    document = tomlkit.parse(text)
    use: Any = document
    for key in keys:
        use = use[key]
    before = use["version"]
    use["version"] = version
    moved = content[: len(content) - len(text.encode())] + tomlkit.dumps(document).encode()
    if not _is_only_the_number(content, moved, str(before), str(version)):
        message = f"the version of {name} cannot be changed without changing more of this file"
        raise UsageError(
            message, where=shown(path), fix=f"set version = {version} there by hand", code="configuration.unwritable"
        )
    return moved


def _is_only_the_number(before: bytes, after: bytes, old: str, new: str) -> bool:
    """Whether two texts differ only in one number."""
    starts = (index for index in range(len(before)) if before.startswith(old.encode(), index))
    return any(before[:index] + new.encode() + before[index + len(old) :] == after for index in starts)
