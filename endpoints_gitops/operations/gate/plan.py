"""Whether applying a saved plan would hurt a caller: a verdict for each endpoint that it changes.

A change in place and a removal reach callers that pin the version; a new version reaches callers without a pin. Where
no caller of an endpoint is known there may be some, so its findings keep their severity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from endpoints_gitops.contract.context import Caller
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.report import Detail, Subject, Verdict
from endpoints_gitops.model.sunset import DeprecationPolicy
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.operations.push.preview import consequences
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, Plan
from endpoints_gitops.plan.diff import Revision, Snapshot
from endpoints_gitops.workspace.configuration import EnvironmentSettings


def plan_consequences(
    plan: Plan,
    local: Mapping[str, Revision],
    callers: Callers,
    *,
    today: date,
    deprecation: DeprecationPolicy,
    allow_unknown: bool = False,
) -> tuple[Finding, ...]:
    """The findings of the plan for callers, before the policy is applied. `local` are the definitions by name.

    No server is asked: the plan holds the state that it was made against, and a push refuses what changed since.
    Raises PluginFailed.
    """
    return consequences(
        plan, Snapshot(), local, callers, is_unknown_error=not allow_unknown, today=today, policy=deprecation
    )


def plan_subjects(
    plan: Plan, findings: Sequence[Finding], callers: Callers, fail_on: Severity = Severity.ERROR
) -> tuple[Subject, ...]:
    """A subject for each endpoint that the plan changes, or whose shared variable it retypes.

    Findings of `fail_on` or above block, unless they are waived.
    """
    changes = {change.name: change for change in plan.changes}
    names = [*changes, *sorted({finding.endpoint for finding in findings} - changes.keys())]
    return tuple(
        _subject(
            name,
            changes.get(name),
            [finding for finding in findings if finding.endpoint == name],
            callers.of(plan.environment, name),
            fail_on,
        )
        for name in names
    )


def refuse_other_environment(plan: Plan, environment: EnvironmentSettings) -> None:
    """Raise UsageError for a plan that was made for another project, as far as the configuration names one."""
    host = environment.host.rstrip("/") if environment.host else None
    if host in (None, plan.host) and environment.project_id in (None, plan.project_id):
        return
    message = (
        f"this plan is for {plan.environment} ({plan.host}, project {plan.project_id}), and this command works on "
        f"{environment.name} ({host or plan.host}, project {environment.project_id})"
    )
    raise UsageError(message, fix=f"add --env {plan.environment}, or make a new plan", code="plan.other_target")


def plan_notes(plan: Plan) -> tuple[str, ...]:
    """What the plan holds and a push of it does not write."""
    rest = {
        "not pushed, because the server changed too": {left.name for left in plan.left_alone},
        "withheld, because of a finding": {withheld.name for withheld in plan.withheld},
    }
    return tuple(f"{', '.join(sorted(names))}: {why}" for why, names in rest.items() if names)


def _subject(
    name: str,
    change: EndpointChange | None,
    findings: Sequence[Finding],
    callers: Sequence[Caller],
    fail_on: Severity,
) -> Subject:
    is_blocked = any(finding.fails(fail_on) for finding in findings)
    return Subject(
        name=name,
        verdict=Verdict.BLOCKED if is_blocked else Verdict.RELEASED,
        change=_description(change),
        findings=tuple(findings),
        details=(Detail("callers", _callers(callers)),),
        where=f"{change.path}:{change.line or 1}" if change is not None and change.path else None,
        extra={"action": change.action.value if change is not None else None},
    )


def _description(change: EndpointChange | None) -> str:
    if change is None:
        return "a shared variable that it uses is retyped"
    if change.action is ChangeAction.CREATE:
        return "is created"
    if change.action is ChangeAction.DEACTIVATE:
        return "is deactivated"
    keys = ", ".join(key_change.key.value for key_change in change.keys)
    return f"new version {change.expected_version}" if change.cuts_a_version else f"changes in place: {keys}"


def _callers(callers: Iterable[Caller]) -> str:
    described = [f"{caller.name} ({f'pins {caller.version}' if caller.version else 'no pin'})" for caller in callers]
    return ", ".join(described) or "none is known, and there may be some"
