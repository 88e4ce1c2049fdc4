"""What an app has at hand before it asks a server: its lock, its manifest, and where its key comes from."""

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
    """The pins of one environment. `key` and `host_in_code` are what the app passes; else the settings say where the
    key is and where it goes.
    """

    path: Path
    settings: EnvironmentSettings
    environment: str
    pins: Mapping[str, Pin]
    uses: Mapping[str, Use]
    key: Secret | None = None
    host_in_code: str | None = None

    def connection(self, max_wait: float, read_timeout: float) -> Connection:
        """Raises CredentialsError where there is no key or it may not go to the host, UsageError without a project."""
        from endpoints_gitops.api.connection import Connection
        from endpoints_gitops.workspace.credentials import resolve_connection

        if self.key is not None:
            self._refuse_half_an_address()
        access = resolve_connection(self.settings, os.environ, host=self.host_in_code, key=self.key)
        return Connection(
            host=access.host,
            project_id=access.project_id,
            key=access.key,
            allow_insecure=True,
            max_wait=max_wait,
            read_timeout=read_timeout,
        )

    def _refuse_half_an_address(self) -> None:
        host, project = self.host_in_code or self.settings.host, self.settings.project_id
        if host is None or project is None:
            lacking = "host" if host is None else "project_id"
            fix = f"Endpoints.from_lock(…, {lacking}=…, key=…), or add {lacking} to the configuration"
            raise UsageError(f"there is a key, and no {lacking} to use it with", fix=fix, code="configuration.invalid")

    def missing(self, name: str) -> PinMissing:
        """The error of a name that is not among the pins; it says what was probably meant."""
        from endpoints_gitops.model.suggestions import did_you_mean
        from endpoints_gitops.workspace.files import shown

        where = f"{shown(self.path)} pins no endpoint {name!r} in environment {self.environment}"
        guess = did_you_mean(name, self.pins)
        fix = Advice(f'add {name} = "*" to `uses`, and run ', Command("lock"))
        return PinMissing(where + guess, name=name, environment=self.environment, fix=fix)


def find(
    path: str | os.PathLike[str],
    *,
    environment: str | None,
    host: str | None = None,
    project_id: int | None = None,
    key: str | None = None,
) -> Locked:
    """Read the lock and the configuration beside it, or above. Nothing is asked, and no key is looked for.

    Raises UsageError without a lock and for an environment that is not there, InvalidInput for files that are wrong.
    """
    from endpoints_gitops.workspace.configuration import load_configuration
    from endpoints_gitops.workspace.manifest import uses_of

    file = Path(path)
    lock = _lock(file)
    configuration = load_configuration(file.absolute().parent, os.environ)
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


def _lock(path: Path) -> Lock:
    from endpoints_gitops.workspace.files import shown
    from endpoints_gitops.workspace.manifest import read_lock_file

    lock = read_lock_file(path)
    if lock is None:
        fix = Advice(Command("lock"), " writes it; deploy it with the app")
        raise UsageError(f"there is no lock at {shown(path)}", fix=fix, code="lock.missing")
    return lock


def _settings(configuration: Configuration, environment: str | None, lock: Lock) -> EnvironmentSettings:
    """A configuration that names no default may still have just one environment that is locked."""
    from endpoints_gitops.workspace.configuration import DEFAULT_ENVIRONMENT, choose_environment

    if not configuration.is_configured:
        return choose_environment(configuration, DEFAULT_ENVIRONMENT)
    locked = {pin.environment for pin in lock.pins} & configuration.environments.keys()
    is_open = not (environment or configuration.overrides.get("ENV") or configuration.default_environment)
    return choose_environment(configuration, next(iter(locked)) if is_open and len(locked) == 1 else environment)


def _environment_of_pins(
    configuration: Configuration, settings: EnvironmentSettings, environment: str | None, lock: Lock
) -> str:
    """Without a configuration, as in a container that has the lock alone, the lock says which there are."""
    if configuration.is_configured:
        return settings.name
    name = environment or configuration.overrides.get("ENV")
    locked = sorted({pin.environment for pin in lock.pins})
    if name is None and len(locked) > 1:
        message = f"the lock has pins of several environments: {', '.join(locked)}"
        fix = f'Endpoints.from_lock(…, environment="{locked[0]}")'
        raise UsageError(message, fix=fix, code="configuration.environment")
    return name or next(iter(locked), settings.name)
