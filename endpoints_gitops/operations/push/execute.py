"""Apply a plan to the server: shared variables first, then endpoints, at the same time, each write verified.

A journal says at any moment what was sent and what of it landed, so that `resume` can finish what was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.errors import (
    KeyKindRefused,
    MissingScope,
    OtherProject,
    ProjectNotFound,
    Redirected,
    Throttled,
    Unauthenticated,
    Unreachable,
)
from endpoints_gitops.codecs.plan import from_json, to_json
from endpoints_gitops.errors import (
    CouldNotFindOut,
    CredentialsError,
    EndpointsError,
    Interrupted,
    PartlyApplied,
    UsageError,
)
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable, MaterializationState
from endpoints_gitops.operations.checkout import Checkout, agreed, head_of, save_record
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.push.apply import apply_change, write_variable
from endpoints_gitops.operations.push.results import (
    ChangeOutcome,
    ChangeResult,
    PushResult,
    VariableResult,
    Waited,
    stale_result,
)
from endpoints_gitops.plan.changes import EndpointChange, Plan
from endpoints_gitops.plan.diff import ServerRevision, Snapshot
from endpoints_gitops.plan.evidence import Recorded
from endpoints_gitops.plan.preconditions import ChangeState, state_of
from endpoints_gitops.plan.settings import Key, variables_of
from endpoints_gitops.plan.variables import VariableChange
from endpoints_gitops.workspace.journal import Journal, begin, forget, unfinished
from endpoints_gitops.workspace.state import exclusive_lock

NOT_BEGUN: Final = "push.not_begun"
_VARIABLE: Final = "variable "
"""Before the code name in a journal: no endpoint's name has a space."""


def push(project: ProjectContext, plan: Plan, snapshot: Snapshot, checkout: Checkout) -> PushResult:
    """Apply a plan. What changed on the server since the plan was made is left alone, and reported as a conflict.

    `snapshot` is the server, read just now. Raises UsageError for the plan of another project, and Conflict while
    another push of this checkout runs. The journal stays where something is left to do, also when this is interrupted.
    """
    check_target(project, plan)
    if plan.is_empty:
        return PushResult(plan=plan)
    with exclusive_lock(project.state):
        return _apply(project, plan, snapshot, checkout)


def left_to_do(project: ProjectContext) -> Plan | None:
    """The part of the last push that is not known to be done; None where nothing is left.

    What that push left alone was reported by it, and is not reported again. Raises UsageError for a journal that cannot
    be read, InvalidInput for a plan in it that cannot be read.
    """
    journal = unfinished(project.state)
    if journal is None:
        return None
    plan = from_json(journal.plan, "the journal of the interrupted push")
    rest = replace(
        plan,
        variables=tuple(change for change in plan.variables if _VARIABLE + change.code_name not in journal.done),
        changes=tuple(change for change in plan.changes if change.name not in journal.done),
        left_alone=(),
        withheld=(),
    )
    return None if rest.is_empty else rest


def resume(project: ProjectContext, definitions: Sequence[LoadedDefinition]) -> PushResult | None:
    """Finish what an interrupted push left, from its journal; None where nothing was left.

    Everything that is left is compared with one fresh list first: what was sent and landed is not sent again, and what
    changed on the server meanwhile is left alone. Raises as `push` and `left_to_do`.
    """
    with exclusive_lock(project.state):
        plan = left_to_do(project)
        if plan is None:
            forget(project.state)
            return None
        check_target(project, plan)
        snapshot = read_snapshot(project, plan)
        return _apply(project, plan, snapshot, Checkout.of(project, definitions, snapshot))


def read_snapshot(project: ProjectContext, plan: Plan) -> Snapshot:
    """The server as it is now, for a plan that was made earlier. Raises ApiError."""
    endpoints = {endpoint.name: endpoint for endpoint in project.client.list_endpoints()}
    has_variables = plan.variables or any(variables_of(change.after.get(Key.QUERY)) for change in plan.changes)
    return Snapshot(endpoints=endpoints, variables=project.client.list_variables() if has_variables else ())


def check_target(project: ProjectContext, plan: Plan) -> None:
    """Raises UsageError for a plan that was made for another project."""
    if (plan.host, plan.project_id) != (project.host, project.project_id):
        message = (
            f"this plan is for {plan.environment} ({plan.host}, project {plan.project_id}), "
            f"and this command works on {project.environment.name} ({project.host}, project {project.project_id})"
        )
        raise UsageError(message, fix=f"add --env {plan.environment}, or make a new plan", code="plan.other_target")


def _apply(project: ProjectContext, plan: Plan, snapshot: Snapshot, checkout: Checkout) -> PushResult:
    """Apply the plan. Its journal replaces any that an earlier push left."""
    save_record(project, checkout.record.unsaved)
    head = head_of(project)
    names = (*(_VARIABLE + change.code_name for change in plan.variables), *(change.name for change in plan.changes))
    journal = begin(project.state, plan=to_json(plan), entries=names, head=head)
    push = _Push(
        project=project,
        plan=plan,
        snapshot=snapshot,
        checkout=checkout,
        journal=journal,
        head=head,
        variables=dict(snapshot.variables_by_code_name),
    )
    project.progress.started("writing", len(names))
    try:
        variables = concurrent_map(push.apply_variable, plan.variables)
        changes = concurrent_map(push.apply_change, plan.changes)
    except UsageError as error:  # of the journal, without which nothing is sent: the disk is full, say
        if not project.client.has_written:
            raise
        message = f"{error.message}; the push stopped, and some of it is written"
        raise PartlyApplied(message, fix="mend that, and push again", code=error.code) from error
    except KeyboardInterrupt as error:
        message = f"interrupted: {len(push.landed)} of {len(names)} written"
        raise Interrupted(message, Advice(Command("resume"), " does what is left, and nothing twice")) from error
    finally:
        save_record(project, push.entries)
        project.progress.finished()
    result = PushResult(plan=plan, variables=variables, written=changes)
    if result.is_settled:
        journal.finish()
    return result


@dataclass(slots=True, kw_only=True)
class _Push:
    """A push in flight, whose variables and changes are applied from several threads.

    `variables` are the project's by code name, with those that this push created. `failed_variables` has, by the name
    of a definition, a variable that it needs and that was not written. `entries` are for the record, which is saved at
    the end; what a kill keeps from being saved is in the journal. `stopped` is set after an error that concerns every
    other write too: nothing more is sent then.
    """

    project: ProjectContext
    plan: Plan
    snapshot: Snapshot
    checkout: Checkout
    journal: Journal
    head: str | None
    variables: dict[str, InsightVariable]
    failed_variables: dict[str, VariableResult] = field(default_factory=dict)
    entries: dict[str, Recorded] = field(default_factory=dict)
    landed: list[str] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)

    def apply_variable(self, change: VariableChange) -> VariableResult:
        if self.stopped.is_set():
            return VariableResult(change=change, error=_not_begun())
        name = _VARIABLE + change.code_name
        self.journal.sending(name)
        result = write_variable(self.project.client, change, self.variables.get(change.code_name))
        if result.landed:
            self.landed.append(name)
        if result.variable is not None:
            self.variables[change.code_name] = result.variable
        if result.error is None:
            self.journal.done(name)
            self._report(name, "written", ())
        else:
            self.failed_variables |= dict.fromkeys(change.declared_by, result)
            self._report(name, "not written", (result.error,))
        return result

    def apply_change(self, change: EndpointChange) -> ChangeResult:
        remote = self.snapshot.revision(change.name)
        state = state_of(change, remote)
        if remote is not None and state is ChangeState.APPLIED:
            result = ChangeResult(change=change, state=ChangeOutcome.ALREADY, remote=remote)
        elif state is ChangeState.STALE:
            result = stale_result(change, remote)
        elif self.stopped.is_set():
            result = ChangeResult(change=change, state=ChangeOutcome.NOT_SENT, errors=(_not_begun(),))
        elif change.name in self.failed_variables:
            error = _without_variable(self.failed_variables[change.name])
            result = ChangeResult(change=change, state=ChangeOutcome.NOT_SENT, errors=(error,))
        else:
            self.journal.sending(change.name)
            result = apply_change(self.project.client, change, self.variables, remote)
        entry = self._remember(result, remote)
        if result.is_settled:
            self.journal.done(change.name, entry.as_json() if entry else None)
        if result.landed:
            self.landed.append(change.name)
        if result.state is ChangeOutcome.UNCERTAIN:
            self.stopped.set()
        self._report(change.name, result.state, result.errors)
        return result

    def _remember(self, result: ChangeResult, listed: ServerRevision | None) -> Recorded | None:
        """Keep the record's entry of a change; None where there is nothing to remember.

        What was sent and did not arrive is remembered as our own, so that the next push sends it again.
        """
        local = self.checkout.local.get(result.name)
        if local is None or result.remote is None or not result.is_agreed:
            return None
        self.entries[result.name] = agreed(
            self.checkout.record.entries.get(result.name),
            local=local,
            remote=result.remote,
            at=self.project.clock(),
            server_before=listed.settings if listed is not None and result.landed else None,
            accepted=result.unapplied,
            head=self.head,
            pushed=result.applied if result.landed else frozenset(),
        )
        return self.entries[result.name]

    def _report(self, name: str, state: str, errors: Sequence[EndpointsError]) -> None:
        if any(isinstance(error, _FOR_ALL) for error in errors):
            self.stopped.set()
        self.project.progress.advanced(name, state)


_FOR_ALL: Final = (
    CredentialsError,
    Unauthenticated,
    MissingScope,
    OtherProject,
    KeyKindRefused,
    ProjectNotFound,
    Throttled,
    Unreachable,
    Redirected,
)
"""Errors that every other write would meet too: the key is refused, or the server is away."""


def _not_begun() -> EndpointsError:
    fix = Advice(Command("resume"), ", when the cause is mended")
    return CouldNotFindOut("not begun: what went wrong before concerns this too", fix=fix, code=NOT_BEGUN)


def _without_variable(result: VariableResult) -> EndpointsError:
    cause = result.error
    message = f"not begun: the shared variable {result.change.code_name!r} is not there as it should be"
    error = EndpointsError(message, fix=cause.fix if cause else None, code=NOT_BEGUN)
    error.exit_code = cause.exit_code if cause else error.exit_code
    return error


DEFAULT_SECONDS: Final = 600.0
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 10.0  # a table takes minutes to build; every question counts in the key's budget
_BROKEN: Final = frozenset({"Failed", "Cancelled"})


def wait_for(
    project: ProjectContext,
    endpoints: Iterable[Endpoint],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Waited, ...]:
    """Wait for every endpoint that is being materialised, at most this long, and return how each ended.

    Raises ApiError where the state of one cannot be read.
    """
    states = {endpoint.name: endpoint.materialization for endpoint in endpoints if endpoint.materialization.is_on}
    deadline, pause = now() + seconds, _FIRST_PAUSE
    project.progress.started("waiting for materialisation", len(states))
    reported: set[str] = set()
    while True:
        for name in sorted(states.keys() - reported):
            if _is_over(states[name]):
                reported.add(name)
                project.progress.advanced(name, "materialised" if _is_done(states[name]) else "not materialised")
        pending = sorted(states.keys() - reported)
        if not pending or now() >= deadline:
            break
        sleep(min(pause, max(0.0, deadline - now())))
        pause = min(2 * pause, _LONGEST_PAUSE)
        states |= dict(zip(pending, concurrent_map(project.client.materialization_status, pending), strict=True))
    project.progress.finished()
    return tuple(
        Waited(name=name, error=_waiting_error(name, state, seconds)) for name, state in sorted(states.items())
    )


def _is_done(state: MaterializationState) -> bool:
    return state.ready is True or state.status == "Completed"


def _is_over(state: MaterializationState) -> bool:
    return _is_done(state) or state.status in _BROKEN or not state.is_on


def _waiting_error(name: str, state: MaterializationState, seconds: float) -> EndpointsError | None:
    if _is_done(state):
        return None
    if not state.is_on:
        fix = Advice(Command("diff", name))
        return PartlyApplied(
            f"{name}: materialisation was switched off on the server",
            fix=fix,
            code="push.not_materialised",
            subject=name,
        )
    if state.status in _BROKEN:
        message = f"{name}: materialisation ended as {state.status}: {state.error or 'the server does not say why'}"
        fix = Advice(Command("open", name), " shows more; the endpoint answers from the query until then")
        return PartlyApplied(message, fix=fix, code="push.not_materialised", subject=name)
    message = f"{name} is not materialised after {seconds:g} s (status {state.status or 'unknown'})"
    fix = Advice(Command("push", name, "--wait=SECONDS"), " waits again; nothing is written for that")
    return PartlyApplied(message, fix=fix, code="push.not_materialised", subject=name)
