"""What is reviewed, and by which policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.policy import Applied, Conventions, Ignore
from endpoints_gitops.model.sunset import DEFAULT_POLICY, DeprecationPolicy
from endpoints_gitops.operations.check.definition import CheckSettings
from endpoints_gitops.workspace.base import DefinitionsLocation

if TYPE_CHECKING:
    from endpoints_gitops.workspace.check_cache import CheckCache
    from endpoints_gitops.workspace.configuration import EnvironmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewScope:
    """What is reviewed: the branch from its merge base with the ref `against`, in an environment.

    `configuration` is as in `DefinitionsLocation`. `checked_environment` is the environment that `check` takes; None
    for all. `deprecation` and `conventions` are those of the configuration. Findings from `fail_on` on block.
    """

    against: str
    folder: Path
    environment: EnvironmentSettings
    configuration: Path | None = None
    selectors: tuple[str, ...] = ()
    checked_environment: str | None = None
    today: date
    deprecation: DeprecationPolicy = DEFAULT_POLICY
    conventions: Conventions = field(default_factory=Conventions)
    fail_on: Severity = Severity.ERROR
    cache: CheckCache | None = None

    @property
    def location(self) -> DefinitionsLocation:
        return DefinitionsLocation(
            folder=self.folder, environment=self.environment.name, configuration=self.configuration
        )

    @property
    def check_settings(self) -> CheckSettings:
        return CheckSettings(environment=self.checked_environment, conventions=self.conventions)


type ApplyPolicy = Callable[[Sequence[Finding], Sequence[Ignore]], Applied]
"""Judges findings by the policy of the configuration and the ignore comments of definitions."""
