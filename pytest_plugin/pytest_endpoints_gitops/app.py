"""The app under test: its pins in one environment, its recordings, and what is needed to call the server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.workspace.configuration import Configuration, choose_environment
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.config import EndpointsConfig
from pytest_endpoints_gitops.failures import NotPinned
from pytest_endpoints_gitops.recordings import Recordings, folder_of
from pytest_endpoints_gitops.trouble import set_up

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.api.connection import Connection
    from pytest_endpoints_gitops.live import LiveCalls
    from pytest_endpoints_gitops.modes import Mode
    from pytest_endpoints_gitops.session import Session


class App:
    """Everything is found out when somebody asks for it, and once."""

    def __init__(self, session: Session, config: EndpointsConfig) -> None:
        self.session = session
        self.config = config
        self._modes: dict[str, Mode] = {}
        self._client: Client | None = None
        self._making = threading.Lock()

    @cached_property
    def lock(self) -> Lock:
        return self.session.lock

    @cached_property
    def configuration(self) -> Configuration:
        return self.session.configuration

    @cached_property
    def environment(self) -> str:
        """Whose pins are called: what the suite says, the option, the configuration, or the only one in the lock."""
        said = self.config.environment or self.session.settings.environment.value
        if said:
            return said
        there = {pin.environment for pin in self.lock.pins}
        if len(there) == 1 and not self.configuration.is_configured:
            return there.pop()
        with set_up("the configuration cannot be used"):
            return choose_environment(self.configuration, None).name

    @cached_property
    def pins(self) -> Mapping[str, Pin]:
        return {pin.name: pin for pin in self.lock.of(self.environment)}

    @cached_property
    def query_hashes(self) -> Mapping[str, str]:
        return {name: pin.query_hash for name, pin in self.pins.items()}

    def pin(self, name: str) -> Pin:
        """Raises NotPinned, with the name that was probably meant."""
        pin = self.pins.get(name)
        if pin is not None:
            return pin
        near = get_close_matches(name, self.pins, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise NotPinned(
            f"{name}: not pinned in environment {self.environment}{meant}",
            ("expected", f"a pin in {shown(self.session.lock_path)}"),
            ("received", ", ".join(pin.label for pin in self.pins.values()) or "no pins at all"),
            ("fix", "add it to `uses`, then"),
            command=f"endpoints-gitops lock --env {self.environment}",
        )

    @cached_property
    def uses(self) -> Mapping[str, Use]:
        """How the app reads what it calls; nothing where no configuration says so."""
        from endpoints_gitops.workspace.manifest import uses_of

        settings = self.configuration.environments.get(self.environment, self.configuration.common)
        with set_up("the configuration cannot be used"):
            return {use.name: use for use in uses_of(settings)}

    @cached_property
    def recordings(self) -> Recordings:
        settings = self.session.settings
        return Recordings(self.session.recordings_folder, int(settings.max_age.value))

    @cached_property
    def folder_of_recordings(self) -> str:
        """Below the folder of recordings: where the lock pins several environments, each has its own."""
        if len({pin.environment for pin in self.lock.pins}) < 2:
            return ""
        return folder_of(self.environment)

    def variables(self, pin: Pin, said: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent: the suite's defaults for what the version declares, under what the call says."""
        declared = {variable.name for variable in pin.variables}
        defaults = {name: value for name, value in self.config.variables.items() if name in declared}
        return {**defaults, **said}

    def mode(self, name: str) -> Mode:
        from pytest_endpoints_gitops.modes import mode_named

        if name not in self._modes:
            self._modes[name] = mode_named(name, self)
        return self._modes[name]

    @cached_property
    def connection(self) -> Connection:
        """Raises NotSetUp, which says every place that was looked at for a key."""
        from endpoints_gitops.api.connection import Connection
        from endpoints_gitops.errors import CredentialsError
        from endpoints_gitops.workspace.credentials import resolve_connection
        from pytest_endpoints_gitops.names import KEY

        with set_up(f"environment {self.environment}: no way to call the server"):
            access = resolve_connection(
                choose_environment(self.configuration, self.environment), self.session.environ()
            )
            if access.key.reveal() == KEY:
                message = "the key is the one that the fixture endpoints_env gives to the app; PostHog does not know it"
                raise CredentialsError(message, where=access.source, fix="set the variable to your own key")
            return Connection(
                host=access.host,
                project_id=access.project_id,
                key=access.key,
                allow_insecure=True,
            )

    @property
    def client(self) -> Client:
        """For all threads of this process; it counts in the budget that all processes of this user share."""
        from endpoints_gitops.api.client import Client
        from endpoints_gitops.workspace.state import state_folder

        with self._making:
            if self._client is None:
                self._client = Client(
                    self.connection, rate_limiter=state_folder(self.session.environ()) / "budgets.sqlite"
                )
            return self._client

    @cached_property
    def live(self) -> LiveCalls:
        from pytest_endpoints_gitops.live import LiveCalls

        return LiveCalls(self)

    def place(self, pin: Pin) -> str:
        """Where it is defined: the definition where it is at hand, else its block in the lock."""
        from pytest_endpoints_gitops.places import place_of_definition, place_of_pin

        return place_of_definition(self.configuration, self.environment, pin.name) or place_of_pin(
            self.session.lock_path, pin
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
