"""What the server has of a branch, and what a push of the branch would do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.errors import EndpointsError, ExitCode, InvalidInput
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.review.changes import BranchChanges
from endpoints_gitops.plan.changes import EndpointChange, LeftAlone, Plan
from endpoints_gitops.plan.diff import EndpointDiff, Revision, Snapshot, compare_revisions
from endpoints_gitops.plan.variables import VariableChange, needed

if TYPE_CHECKING:
    from endpoints_gitops.operations.project import ProjectContext

_OFFLINE: Final = Advice("pass --offline to judge files and lock alone")


@dataclass(frozen=True, kw_only=True)
class ReviewedServer:
    """What the server has, and what a push of the branch would do there.

    `requests` were needed to read it. `endpoints` are all of the project, `diffs` those of the branch.
    """

    project: ProjectContext
    endpoints: Mapping[str, Endpoint]
    diffs: Mapping[str, EndpointDiff]
    local: Mapping[str, Revision]
    plan: Plan
    requests: int
    warnings: tuple[str, ...] = ()

    @cached_property
    def changes(self) -> Mapping[str, EndpointChange]:
        return {change.name: change for change in self.plan.changes}

    def left_alone(self, name: str) -> tuple[LeftAlone, ...]:
        return tuple(left for left in self.plan.left_alone if left.name == name)


def read_server(project: ProjectContext, changes: BranchChanges) -> tuple[Snapshot, int]:
    """Read the server's endpoints, and its shared variables where a definition uses any.

    Returns them with the number of requests that this took. Raises ApiError.
    """
    client, before = project.client, project.client.requests_sent
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    has_variables = any(loaded.definition.variables for loaded in changes.local) or any(
        endpoints[name].query.get("variables") for name in changes.diffs.keys() & endpoints.keys()
    )
    snapshot = Snapshot(endpoints=endpoints, variables=client.list_variables() if has_variables else ())
    return snapshot, client.requests_sent - before


def compare_with_server(
    project: ProjectContext, changes: BranchChanges, answer: tuple[Snapshot, int]
) -> ReviewedServer:
    """Compare the branch with the answer of `read_server`, and plan a push of it.

    Requests the versions of an endpoint only where nothing else explains how it differs.

    Raises ApiError.
    """
    from endpoints_gitops.operations.checkout import Checkout
    from endpoints_gitops.operations.compare import attribute_all
    from endpoints_gitops.plan.planning import make_plan

    snapshot, requests = answer
    endpoints = snapshot.endpoints
    checkout = Checkout.of(project, changes.local, snapshot)
    environment = project.environment.name
    names = [name for name, diff in changes.diffs.items() if diff.local is not None or name in endpoints]
    diffs = [
        compare_revisions(name, checkout.local.get(name), snapshot.revision(name), environment=environment)
        for name in names
    ]
    bases = {name: diff.remote_settings for name, diff in changes.diffs.items()}
    attributed = attribute_all(project, diffs, checkout.record, bases=bases)
    plan = make_plan(
        attributed,
        _variable_changes(changes, snapshot),
        host=project.host,
        project_id=project.project_id,
        environment=environment,
    )
    return ReviewedServer(
        project=project,
        endpoints=endpoints,
        diffs={diff.name: diff for diff in attributed},
        local=checkout.local,
        plan=plan,
        requests=requests,
        warnings=(checkout.record.warning,) if checkout.record.warning else (),
    )


def with_offline(error: EndpointsError) -> EndpointsError:
    """The error of a key, with --offline as a way out."""
    if error.exit_code is ExitCode.CREDENTIALS:
        error.fix = Advice(error.fix, "; or ", _OFFLINE) if error.fix else _OFFLINE
    return error


def _variable_changes(changes: BranchChanges, snapshot: Snapshot) -> tuple[VariableChange, ...]:
    try:
        return needed(changes.local, snapshot.variables, tuple(snapshot.endpoints.values()))
    except InvalidInput:  # definitions disagree on a variable, which is an error of the lint (G117)
        return ()
