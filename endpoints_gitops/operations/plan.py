"""What a push would do: the comparison, with what the command line allows."""

from __future__ import annotations

from dataclasses import dataclass, field

from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.making import Overwrite, make_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What `plan` and `push` do only when they are told to."""

    overwrite: Overwrite = field(default_factory=Overwrite)
    prune: bool = False
    allow_cosmetic: bool = False
    shared_variables: bool = False


def plan_of(work: Workplace, comparison: Comparison, allowed: Allowed) -> Plan:
    """The plan for what was compared. It holds everything that a push needs, and no secret."""
    return make_plan(
        comparison.judged,
        comparison.variable_changes,
        host=work.host,
        project_id=work.project_id,
        environment=work.environment.name,
        overwrite=allowed.overwrite,
        prune=comparison.prunable if allowed.prune else None,
        allow_cosmetic=allowed.allow_cosmetic,
        shared_variables=allowed.shared_variables,
    )
