"""Where a command works: one environment, one project, one definitions folder, and who hears of the progress."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from endpoints_gitops.api.client import Client
from endpoints_gitops.operations.progress import Progress
from endpoints_gitops.workspace.configuration import EnvironmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectContext:
    """`state` is the folder of this host, project and checkout in the state folder; it may not exist yet.

    `configuration` is the folder of the configuration that names `folder`, None where something else does.
    """

    environment: EnvironmentSettings
    folder: Path
    state: Path
    client: Client
    progress: Progress
    host: str
    project_id: int
    configuration: Path | None = None
