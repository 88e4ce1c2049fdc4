"""Review a branch: what it changes since the merge base, what that does on the server and to callers, and whether that
is safe.

Only the files that the branch changes are parsed. The server is asked once for its endpoints, and only where the branch
changes something that a push would write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endpoints_gitops.errors import EndpointsError, ExitCode, worst
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.report import Report, Verdict
from endpoints_gitops.operations.against import base_at
from endpoints_gitops.operations.review.changes import branch_changes
from endpoints_gitops.operations.review.scope import ApplyPolicy, ReviewScope
from endpoints_gitops.operations.review.server import ReviewedServer, compare_with_server, read_server, with_offline
from endpoints_gitops.workspace.branch import branch_files

if TYPE_CHECKING:
    from endpoints_gitops.operations.callers import Callers
    from endpoints_gitops.operations.project import ProjectContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """The result of a review. `errors` are what could not be read or asked."""

    report: Report
    errors: tuple[EndpointsError, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 if something blocks; that of the errors where something is unknown."""
        is_blocked = any(subject.verdict is Verdict.BLOCKED for subject in self.report.subjects)
        return worst(ExitCode.FINDINGS if is_blocked else ExitCode.DONE, *(error.exit_code for error in self.errors))


type OpenProject = Callable[[], ProjectContext]
"""Opens the project of the environment. Raises CredentialsError or UsageError."""


type KnownCallers = Callable[[Mapping[str, Endpoint] | None], Callers]
"""The known callers. The endpoints are the server's, None where it was not asked."""


def review(
    scope: ReviewScope, open_project: OpenProject | None, known_callers: KnownCallers, apply_policy: ApplyPolicy
) -> Reviewed:
    """Review a branch. Without `open_project` (offline) no request is sent.

    What could not be asked makes the verdict unknown, and everything else is still judged. Raises BaseUnavailable for
    a base that cannot be read, UsageError for a selector that matches nothing and for a lock that cannot be read, and
    PluginFailed.
    """
    base = base_at(scope.against, scope.location)
    changes = branch_changes(scope, branch_files(base, scope.folder))
    server: ReviewedServer | None = None
    errors: tuple[EndpointsError, ...] = ()
    with ThreadPoolExecutor(1, thread_name_prefix="endpoints-gitops") as pool:
        try:
            project = open_project() if open_project is not None and changes.is_written else None
            answer = pool.submit(read_server, project, changes) if project else None
        except EndpointsError as error:
            project, answer, errors = None, None, (with_offline(error),)
        # meanwhile, also the imports
        from endpoints_gitops.operations.review.judging import JudgedBranch
        from endpoints_gitops.operations.review.lint import lint_branch
        from endpoints_gitops.operations.review.report import branch_report

        lint = lint_branch(scope, base, changes, apply_policy)
    if project is not None and answer is not None:
        try:
            server = compare_with_server(project, changes, answer.result())
        except EndpointsError as error:
            errors = (with_offline(error),)
    judged = JudgedBranch(
        scope=scope,
        base=base,
        changes=changes,
        lint=lint,
        server=server,
        callers=known_callers(server.endpoints if server else None),
        apply_policy=apply_policy,
        errors=errors,
    )
    subjects = tuple(judged.subject(name) for name in judged.names)
    report = branch_report(judged, subjects, is_offline=open_project is None)
    return Reviewed(report=report, errors=(*judged.unreadable, *errors))
