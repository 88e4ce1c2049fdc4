"""The lock, manifest and connection settings of an app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.consumer.errors import PinMissing
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.secret import Secret

if TYPE_CHECKING:
    from endpoints_gitops.api.connection import Connection
    from endpoints_gitops.workspace.configuration import Configuration, EnvironmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The pins of one environment, with its settings. `key` and `host_in_code` are passed by the app and take
    precedence over the settings. `is_redirected`: tests call another server with them.
    """

    path: Path
    settings: EnvironmentSettings
    environment: str
    pins: Mapping[str, Pin]
    uses: Mapping[str, Use]
    key: Secret | None = None
    host_in_code: str | None = None
    is_redirected: bool = False

    def connection(self, max_wait: float, read_timeout: float) -> Connection:
        """The connection to the server. Raises CredentialsError if there is no key or it must not be sent to the host,
        and UsageError without a project."""
        from endpoints_gitops.api.connection import Connection
        from endpoints_gitops.workspace.credentials import resolve_connection

        if self.key is not None:
            self._require_host_and_project()
        access = resolve_connection(self.settings, os.environ, host=self.host_in_code, key=self.key)
        return Connection(
            host=access.host,
            project_id=access.project_id,
            key=access.key,
            allow_insecure=True,
            max_wait=max_wait,
            read_timeout=read_timeout,
        )

    def _require_host_and_project(self) -> None:
        host, project = self.host_in_code or self.settings.host, self.settings.project_id
        if host is None or project is None:
            missing = "host" if host is None else "project_id"
            fix = f"Endpoints.from_lock(…, {missing}=…, key=…), or add {missing} to the configuration"
            raise UsageError(f"a key is passed without a {missing}", fix=fix, code="configuration.invalid")

    def missing(self, name: str) -> PinMissing:
        """The error for a name without a pin, with a suggestion."""
        from endpoints_gitops.model.suggestions import did_you_mean
        from endpoints_gitops.workspace.files import shown

        message = f"{shown(self.path)} has no pin of {name!r} in environment {self.environment}"
        guess = did_you_mean(name, self.pins)
        fix = Advice(f'add {name} = "*" to `uses`, and run ', Command("lock"))
        return PinMissing(message + guess, name=name, environment=self.environment, fix=fix)


def find(
    path: str | os.PathLike[str],
    *,
    environment: str | None,
    host: str | None = None,
    project_id: int | None = None,
    key: str | None = None,
    configuration: Configuration | None = None,
) -> Locked:
    """Read the lock and the configuration, by default that in its folder or above. No request is made and no key is
    needed.

    Raises UsageError if the lock or the environment does not exist, and InvalidInput for mistakes in the files.
    """
    from endpoints_gitops.workspace.configuration import load_configuration
    from endpoints_gitops.workspace.manifest import uses_of

    _refuse_kinds(host=host, key=key, project_id=project_id)
    file = Path(path)
    lock = _lock(file)
    configuration = configuration or load_configuration(file.absolute().parent, os.environ)
    settings = _settings(configuration, environment, lock)
    pinned = _environment_of_pins(configuration, settings, environment, lock)
    return Locked(
        path=file,
        settings=replace(settings, project_id=project_id or settings.project_id),
        environment=pinned,
        pins={pin.name: pin for pin in lock.of(pinned)},
        uses={use.name: use for use in uses_of(settings)},
        key=Secret(key) if key else None,
        host_in_code=host or None,
    )


def _refuse_kinds(host: object, key: object, project_id: object) -> None:
    """Raise UsageError for what cannot be a host, a key or a project. Empty texts count as not passed. A key of another
    kind is not shown."""
    is_project = isinstance(project_id, int) and not isinstance(project_id, bool) and project_id >= 1
    if project_id is not None and not is_project:
        raise UsageError(f"project_id must be the number of a project, not {project_id!r}", code="usage.project")
    for name, text in (("host", host), ("key", key)):
        if text is not None and not isinstance(text, str):
            raise UsageError(f"{name} must be a str, not {type(text).__name__}", code=f"usage.{name}")


def _lock(path: Path) -> Lock:
    from endpoints_gitops.workspace.manifest import missing_lock, read_lock_file

    lock = read_lock_file(path)
    if lock is None:
        raise missing_lock(path)
    return lock


def _settings(configuration: Configuration, environment: str | None, lock: Lock) -> EnvironmentSettings:
    """The settings of the environment; by default the only locked one, if the configuration names no default."""
    from endpoints_gitops.workspace.configuration import DEFAULT_ENVIRONMENT, choose_environment

    if not configuration.is_configured:
        return choose_environment(configuration, DEFAULT_ENVIRONMENT)
    locked = {pin.environment for pin in lock.pins} & configuration.environments.keys()
    is_open = not (environment or configuration.overrides.get("ENV") or configuration.default_environment)
    return choose_environment(configuration, next(iter(locked)) if is_open and len(locked) == 1 else environment)


def _environment_of_pins(
    configuration: Configuration, settings: EnvironmentSettings, environment: str | None, lock: Lock
) -> str:
    """The environment of the pins. Without a configuration, as in a container with only the lock, the lock decides."""
    if configuration.is_configured:
        return settings.name
    name = environment or configuration.overrides.get("ENV")
    locked = sorted({pin.environment for pin in lock.pins})
    if name is None and len(locked) > 1:
        message = f"the lock has pins of several environments: {', '.join(locked)}"
        fix = f'Endpoints.from_lock(…, environment="{locked[0]}")'
        raise UsageError(message, fix=fix, code="configuration.environment")
    return name or next(iter(locked), settings.name)
