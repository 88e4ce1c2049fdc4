"""Generated clients compared with the lock, once for a run that calls what is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_endpoints_gitops.errors import set_up
from pytest_endpoints_gitops.failures import GeneratedStale, NotSetUp

if TYPE_CHECKING:
    from pytest_endpoints_gitops.failures import Failure
    from pytest_endpoints_gitops.project import AppProject


def stale_clients(project: AppProject) -> list[Failure]:
    """A failure for each file that `generate` would write, of targets that need no other program."""
    try:
        targets = [target for target in project.configuration.targets if target.is_internal]
        if not targets:
            return []
        from endpoints_gitops.operations.generate import FileState, compare_targets
        from endpoints_gitops.workspace.files import shown

        with set_up("generate", "the generated clients cannot be compared with the lock"):
            statuses = compare_targets(targets, project.configuration, project.lock)
    except NotSetUp as failure:
        return [failure]
    return [
        GeneratedStale(
            shown(status.path),
            f"the generated client is {status.state}",
            ("because", "\n".join(status.reasons)),
            command=("endpoints-gitops", "generate"),
        )
        for status in statuses
        if status.state is not FileState.CURRENT
    ]
