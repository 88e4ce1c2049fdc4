"""What a plan would do to callers, shown before anybody is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.bases import known_callers
from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.cli.context import Context
from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.plan.changes import Plan

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
    from endpoints_gitops.operations.callers import Callers


def of_plan(
    context: Context,
    plan: Plan,
    endpoints: Mapping[str, Endpoint],
    definitions: Mapping[str, LoadedDefinition],
    variables: Sequence[InsightVariable],
) -> tuple[Finding, ...]:
    """The findings, the pins of the lock beside the configuration considered."""
    if plan.is_empty:
        return ()
    from endpoints_gitops.operations.consequences import consequences

    return consequences(plan, endpoints, definitions, variables, _callers(context, endpoints))


def lines(found: Sequence[Finding], *, verbose: bool) -> Iterator[Line]:
    """How many there are of each severity, then each; infos only when everything is asked for."""
    if not found:
        return
    hidden = 0 if verbose else sum(one.severity is Severity.INFO for one in found)
    more = " (--verbose shows the infos)" if hidden else ""
    yield Line(f"for callers: {findings.counted(found)}{more}", Style.HEAD)
    yield from findings.lines((one for one in found if verbose or one.severity is not Severity.INFO), indent="  ")


def _callers(context: Context, endpoints: Mapping[str, Endpoint]) -> Callers:
    """Nobody, and that said, where the lock cannot be read: findings keep their full severity then."""
    from endpoints_gitops.operations.callers import Callers

    try:
        return known_callers(context, endpoints)
    except UsageError as error:
        count = len(error.problems) if isinstance(error, InvalidInput) else 1
        mistakes = f"{count} mistake{'s' if count != 1 else ''} in it"
        message = f"the lock cannot be read ({mistakes}), so no pin is considered"
        context.console.warn(Line(f"{message}; endpoints-gitops lock --check tells more", Style.WARN))
        return Callers()
