"""What the checkout says: the lock, the configuration, the pins of one environment, and where things are defined."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.suggestions import did_you_mean
from endpoints_gitops.workspace.configuration import (
    Configuration,
    EnvironmentSettings,
    choose_environment,
    definitions_folder,
    load_configuration,
)
from endpoints_gitops.workspace.definitions import list_files
from endpoints_gitops.workspace.files import read_regular_file, shown
from endpoints_gitops.workspace.manifest import read_lock_file
from pytest_endpoints_gitops.config import EndpointsConfig
from pytest_endpoints_gitops.errors import set_up
from pytest_endpoints_gitops.failures import EndpointRef, NotPinned, NotSetUp
from pytest_endpoints_gitops.names import KEY, LOCK
from pytest_endpoints_gitops.options import PluginSettings

if TYPE_CHECKING:
    from endpoints_gitops.api.connection import Connection


type ReplacedVariables = tuple[dict[str, str | None], dict[str, str]]
"""Environment variables: their values before, and those that replace them."""


class AppProject:
    """The lock and the configuration of a checkout, each read once, when it is needed.

    `name` is the path of the lock from the rootdir; empty where there is none. `replaced` are the environment variables
    that `endpoints_env` sets at the moment: their values before, and its own.
    """

    def __init__(
        self, root: Path, settings: PluginSettings, name: str = "", replaced: Sequence[ReplacedVariables] = ()
    ) -> None:
        self._root = root
        self.settings = settings
        self.name = name
        self._replaced = replaced

    @cached_property
    def lock_path(self) -> Path:
        """Raises NotSetUp where there is no lock."""
        if not self.settings.lock.value:
            received = ("received", f"no endpoints.lock in {self._root} or above")
            raise NotSetUp("endpoints.lock", "not found", received, command=("endpoints-gitops", "lock"))
        return Path(self.settings.lock.value)

    def command_folder(self, start: Path) -> str:
        """The folder where commands of endpoints-gitops find this lock; empty for `start`, where pytest was started."""
        if not self.settings.lock.value:
            return ""
        folder = Path(self.settings.lock.value).parent
        nearest = next((above for above in (start, *start.parents) if (above / LOCK).exists()), None)
        return "" if nearest == folder else Path(os.path.relpath(folder, start)).as_posix()

    @cached_property
    def lock(self) -> Lock:
        """Raises NotSetUp where the lock is missing or invalid."""
        path = self.lock_path
        with set_up(shown(path), "the lock cannot be used"):
            lock = read_lock_file(path)
        if lock is None:
            raise NotSetUp(shown(path), "no such file", command=("endpoints-gitops", "lock"))
        return lock

    @cached_property
    def configuration(self) -> Configuration:
        """Raises NotSetUp where it cannot be used."""
        with set_up("configuration", "it cannot be used"):
            return load_configuration(self.lock_path.parent, self.environ())

    def read(self) -> None:
        """Read lock and configuration now. Raises NotSetUp."""
        self.lock  # noqa: B018 - kept from here on
        self.configuration  # noqa: B018 - the same

    def environ(self) -> dict[str, str]:
        """The environment variables without those of `endpoints_env`: they are for the app, and lead to our server."""
        variables = dict(os.environ)
        for before, ours in reversed(self._replaced):
            for name, value in ours.items():
                if variables.get(name) != value:
                    continue  # the test set it to something else
                original = before[name]
                if original is None:
                    del variables[name]
                else:
                    variables[name] = original
        return variables

    @cached_property
    def hosts(self) -> set[str]:
        """The hosts of all environments; none where the configuration cannot be read, which the fixtures report."""
        from endpoints_gitops.workspace.credentials import DEFAULT_HOST

        try:
            configuration = load_configuration(self.lock_path.parent, os.environ)
        except EndpointsError:
            return set()
        environments = (*configuration.environments.values(), configuration.common)
        urls = [environment.host or DEFAULT_HOST for environment in environments]
        urls.append(configuration.overrides.get("HOST") or DEFAULT_HOST)
        return {urlsplit(url).hostname or "" for url in urls}


class PinnedEnvironment:
    """One environment of the lock, as one `endpoints_config` chooses it."""

    def __init__(self, project: AppProject, config: EndpointsConfig) -> None:
        self.project = project
        self._config = config

    @cached_property
    def name(self) -> str:
        """The suite's, else that of the option, else the only one in the lock, else the configuration's default.

        Raises NotSetUp where none can be chosen.
        """
        chosen = self._config.environment or self.project.settings.environment.value
        if chosen:
            return chosen
        locked = {pin.environment for pin in self.project.lock.pins}
        if len(locked) == 1 and not self.project.configuration.is_configured:
            return locked.pop()
        with set_up("configuration", "it cannot be used"):
            return choose_environment(self.project.configuration, None).name

    @cached_property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of this environment, by name."""
        return {pin.name: pin for pin in self.project.lock.of(self.name)}

    @cached_property
    def query_hashes(self) -> Mapping[str, str]:
        """The query hash of each pin, by name."""
        return {name: pin.query_hash for name, pin in self.pins.items()}

    def pin(self, name: str) -> Pin:
        """Raises NotPinned, with the closest pinned name."""
        pin = self.pins.get(name)
        if pin is not None:
            return pin
        raise NotPinned(
            EndpointRef(name),
            f"not pinned in environment {self.name}{did_you_mean(name, self.pins)}",
            ("expected", f"a pin in {shown(self.project.lock_path)}"),
            ("received", ", ".join(pin.label for pin in self.pins.values()) or "no pins at all"),
            advice="add it to `uses`",
            command=("endpoints-gitops", "lock", "--env", self.name),
        )

    @property
    def settings(self) -> EnvironmentSettings:
        """What the configuration says of this environment."""
        configuration = self.project.configuration
        return configuration.environments.get(self.name, configuration.common)

    @cached_property
    def uses(self) -> Mapping[str, Use]:
        """How the app reads what it calls, by name; empty where the configuration does not say it."""
        from endpoints_gitops.workspace.manifest import uses_of

        with set_up("configuration", "it cannot be used"):
            return {use.name: use for use in uses_of(self.settings)}

    @cached_property
    def recordings_subfolder(self) -> str:
        """Below the folder of recordings: where the lock pins several environments, each has its own."""
        return recordings_subfolder(self.name) if has_several_environments(self.project.lock) else ""

    @cached_property
    def definitions(self) -> Path | None:
        """The definitions folder, if this checkout has one."""
        with set_up("configuration", "it cannot be used"):
            folder = definitions_folder(self.project.configuration, self.settings, None)
        return folder if folder.is_dir() else None

    def variables(self, pin: Pin, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a call sends: the suite's defaults for variables that the version takes, overridden by the call's."""
        declared = {variable.name for variable in pin.variables}
        defaults = {name: value for name, value in self._config.variables.items() if name in declared}
        return {**defaults, **given}

    @cached_property
    def connection(self) -> Connection:
        """How to reach the server. Raises NotSetUp, which lists every place that was searched for a key."""
        from endpoints_gitops.api.connection import Connection
        from endpoints_gitops.errors import CredentialsError
        from endpoints_gitops.workspace.credentials import resolve_connection

        with set_up(f"environment {self.name}", "no way to call the server"):
            environment = choose_environment(self.project.configuration, self.name)
            access = resolve_connection(environment, self.project.environ())
            if access.key.reveal() == KEY:
                message = "the key is the one that the fixture endpoints_env gives to the app; PostHog does not know it"
                raise CredentialsError(message, where=access.source, fix="set the variable to your own key")
            return Connection(host=access.host, project_id=access.project_id, key=access.key, allow_insecure=True)

    def location(self, pin: Pin) -> str:
        """`path:line` of the definition, where it is at hand, else of the pin's block in the lock."""
        try:
            folder = definitions_folder(self.project.configuration, self.settings, None)
            paths, _ = list_files(folder)
        except UsageError:
            paths = []
        named = re.compile(rf"^name:\s*[\"']?{re.escape(pin.name)}[\"']?\s*(?:#.*)?$", re.MULTILINE)
        locations = (_location(path, named) for path in paths)
        return next(filter(None, locations), None) or self._location_in_lock(pin)

    def _location_in_lock(self, pin: Pin) -> str:
        path = self.project.lock_path
        block = rf'^environment = "{re.escape(pin.environment)}"\nname = "{re.escape(pin.name)}"$'
        return _location(path, re.compile(block, re.MULTILINE)) or shown(path)


def has_several_environments(lock: Lock) -> bool:
    return len({pin.environment for pin in lock.pins}) > 1


def recordings_subfolder(environment: str) -> str:
    """The folder of an environment's recordings, where the lock pins several."""
    return f"{quote(environment, safe='').replace('.', '%2E')}/"


def _location(path: Path, pattern: re.Pattern[str]) -> str | None:
    try:
        text = read_regular_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    match = pattern.search(text)
    return f"{shown(path)}:{text.count('\n', 0, match.start()) + 1}" if match else None
