"""The values that a configuration holds: common settings, and those of each environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

POSTHOG_CLI: Final = "posthog-cli"
"""The key of an environment that takes it from where posthog-cli keeps its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """One environment, with the common settings where it has none of its own.

    `host`, `project_id` and `key` (where the key comes from, never the key itself) are None where nothing was said;
    `uses` is kept as it was written. `where` is `path:line` of the environment, `folder` the one that holds the
    configuration, and `base` the one that a relative `dotenv:` path starts from. `key_from_checkout` is False where a
    variable of the process names the source of the key.
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
    where: str | None = None
    folder: Path = field(default_factory=Path)
    base: Path = field(default_factory=Path)
    key_from_checkout: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the nearest configuration file says; `path` is None, and there are no environments, where there is none.

    `common` holds the settings of all environments; `folder` is where relative paths in the file start; `overrides` are
    the `ENDPOINTS_GITOPS_…` variables by the rest of their name, empty ones left out.
    """

    path: Path | None
    folder: Path
    common: EnvironmentSettings
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    default_environment: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_configured(self) -> bool:
        """Whether an environment is configured; else posthog-cli's variables count."""
        return bool(self.environments)
