"""The context of an operation (environment, project, definitions folder), and the listener for its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.workspace.configuration import EnvironmentSettings


class Progress(Protocol):
    """Called from several threads at once, so an implementation has to be thread-safe."""

    def started(self, what: str, total: int) -> None:
        """Work on `total` things (0: unknown) begins; `what` names it in the present: "writing endpoints"."""

    def advanced(self, name: str, state: str) -> None:
        """One of them is done; `state` is a word or two: "updated to version 4"."""

    def finished(self) -> None:
        """All of it is done, or given up."""


class Silence:
    """Reports nothing."""

    def started(self, what: str, total: int) -> None:
        """Do nothing."""

    def advanced(self, name: str, state: str) -> None:
        """Do nothing."""

    def finished(self) -> None:
        """Do nothing."""


type Clock = Callable[[], datetime]
"""What tells the time, with a time zone."""


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectContext:
    """`state` is the folder of this host, project and checkout in the state folder; it may not exist yet.

    `configuration` is the folder of the configuration that names `folder`, None where something else does. `clock`
    stamps the entries of the record, which are compared with the dates of commits.
    """

    environment: EnvironmentSettings
    folder: Path
    state: Path
    client: Client
    progress: Progress
    host: str
    project_id: int
    configuration: Path | None = None
    clock: Clock = utc_now
