"""Where an operation works: one environment, its definitions, its server, and whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.operations.progress import Progress
from endpoints_gitops.workspace.configuration import EnvironmentSettings

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """`folder` holds the definitions; `state` is the state folder of this host, project and checkout."""

    environment: EnvironmentSettings
    folder: Path
    state: Path
    client: Client
    progress: Progress
    host: str
    project_id: int
