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
from endpoints_gitops.model.json import JsonObject
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
    already_applied,
    not_sent,
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
VARIABLE = "variable "
"""Before the code name in a journal: no endpoint's name has a space."""


def push(project: ProjectContext, plan: Plan, snapshot: Snapshot, checkout: Checkout) -> PushResult:
    """Carry out a plan: what is not on the server as the plan saw it is left alone and reported.

    `snapshot` is the server, read just now. Raises UsageError for the plan of another project, and Conflict while
    another push of this checkout runs. The journal stays where something is left to do, also when this is interrupted.
    """
    check_target(project, plan)
    if plan.is_empty:
        return PushResult(plan=plan)
    with exclusive_lock(project.state):
        return _carried_out(project, plan, snapshot, checkout)


def left_to_do(project: ProjectContext) -> Plan | None:
    """What of the last push is not known to be done; None where there is nothing.

    What the push left alone was reported by it, and is not reported again. Raises UsageError for a journal that cannot
    be read, InvalidInput for a plan in it that cannot be.
    """
    left = unfinished(project.state)
    if left is None:
        return None
    plan = from_json(left.plan, "the journal of the interrupted push")
    rest = replace(
        plan,
        variables=tuple(change for change in plan.variables if VARIABLE + change.code_name not in left.done),
        changes=tuple(change for change in plan.changes if change.name not in left.done),
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
        return _carried_out(project, plan, snapshot, Checkout.of(project, definitions, snapshot))


def read_snapshot(project: ProjectContext, plan: Plan) -> Snapshot:
    """The server as it is now, for a plan that was made earlier. Raises ApiError."""
    endpoints = {endpoint.name: endpoint for endpoint in project.client.list_endpoints()}
    sends_variables = any(variables_of(change.after.get(Key.QUERY)) for change in plan.changes)
    is_needed = bool(plan.variables) or sends_variables
    return Snapshot(endpoints=endpoints, variables=project.client.list_variables() if is_needed else ())


def _carried_out(project: ProjectContext, plan: Plan, snapshot: Snapshot, checkout: Checkout) -> PushResult:
    """The journal takes the place of any that an earlier push left."""
    save_record(project, checkout.record.unsaved)
    head = head_of(project)
    journal = begin(project.state, plan=to_json(plan), entries=entries_of(plan), head=head)
    return _Push(project=project, plan=plan, snapshot=snapshot, checkout=checkout, journal=journal, head=head).all()


def check_target(project: ProjectContext, plan: Plan) -> None:
    """Raises UsageError for a plan that was made for another project."""
    if (plan.host, plan.project_id) != (project.host, project.project_id):
        message = (
            f"this plan is for {plan.environment} ({plan.host}, project {plan.project_id}), "
            f"and this command works on {project.environment.name} ({project.host}, project {project.project_id})"
        )
        raise UsageError(message, fix=f"add --env {plan.environment}, or make a new plan", code="plan.other_target")


def entries_of(plan: Plan) -> tuple[str, ...]:
    """What a journal calls the variables and the changes of a plan."""
    return (*(VARIABLE + one.code_name for one in plan.variables), *(change.name for change in plan.changes))


@dataclass(slots=True, kw_only=True)
class _Push:
    """A push in flight. Its steps run in several threads; what they share guards itself."""

    project: ProjectContext
    plan: Plan
    snapshot: Snapshot
    checkout: Checkout
    journal: Journal
    head: str | None
    stopped: Event = field(default_factory=Event)
    keeper: Keeper = field(init=False)
    variables: dict[str, InsightVariable] = field(init=False)
    lacking: dict[str, VariableResult] = field(default_factory=dict)
    landed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keeper = Keeper(project=self.project, checkout=self.checkout, head=self.head)
        self.variables = dict(self.snapshot.variables_by_code_name)

    def all(self) -> PushResult:
        self.project.progress.started("writing", len(entries_of(self.plan)))
        try:
            shared = concurrent_map(self._variable, self.plan.variables)
            self._take_in(shared)
            written = concurrent_map(self._change, self.plan.changes)
        except UsageError as error:  # the journal, which nothing goes on without: the disk is full, say
            if not self.project.client.has_written:
                raise
            message = f"{error.message}; the push stopped, and some of it is written"
            raise PartlyApplied(message, fix="mend that, and push again", code=error.code) from error
        except KeyboardInterrupt as error:
            message = f"interrupted: {len(self.landed)} of {len(entries_of(self.plan))} written"
            raise Interrupted(message, Advice(Command("resume"), " does what is left, and nothing twice")) from error
        finally:
            self.keeper.save()
            self.project.progress.finished()
        result = PushResult(plan=self.plan, variables=shared, written=written)
        if result.is_settled:
            self.journal.finish()
        return result

    def _take_in(self, shared: Iterable[VariableResult]) -> None:
        """The new ids are there for the queries; who uses a variable that is not right is not sent."""
        for one in shared:
            if one.variable is not None:
                self.variables[one.change.code_name] = one.variable
            if one.error is not None:
                self.lacking |= dict.fromkeys(one.change.declared_by, one)

    def _variable(self, change: VariableChange) -> VariableResult:
        if self.stopped.is_set():
            return VariableResult(change=change, error=_not_begun())
        entry = VARIABLE + change.code_name
        self.journal.sending(entry)
        written = write_variable(self.project.client, change, self.variables.get(change.code_name))
        if written.landed:
            self.landed.append(entry)
        if written.error is None:
            self.journal.done(entry)
            self._heard(entry, "written")
        else:
            self._heard(entry, "not written", written.error)
        return written

    def _change(self, change: EndpointChange) -> ChangeResult:
        result = self._applied(change)
        if result.landed:
            self.landed.append(change.name)
        if result.state is ChangeOutcome.UNCERTAIN:
            self.stopped.set()
        self._heard(change.name, result.state, *result.errors)
        return result

    def _applied(self, change: EndpointChange) -> ChangeResult:
        remote = self.snapshot.revision(change.name)
        state = state_of(change, remote)
        if remote is not None and state is ChangeState.APPLIED:
            return self._noted(change, already_applied(change, remote))
        if state is ChangeState.STALE:
            return self._noted(change, stale_result(change, remote))
        if self.stopped.is_set():
            return not_sent(change, _not_begun())
        if change.name in self.lacking:
            return not_sent(change, _without_variable(self.lacking[change.name]))
        self.journal.sending(change.name)
        return self._noted(change, apply_change(self.project.client, change, self.variables, remote))

    def _noted(self, change: EndpointChange, result: ChangeResult) -> ChangeResult:
        """In the journal when nothing is left of it to do, with what the record will hold of it."""
        entry = self.keeper.keep(result, self.snapshot.revision(change.name))
        if result.is_settled:
            self.journal.done(change.name, entry)
        return result

    def _heard(self, name: str, state: str, *errors: EndpointsError) -> None:
        """A key that is refused, or a server that is away, is so for the others too: nothing more is begun."""
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


def _not_begun() -> EndpointsError:
    fix = Advice(Command("resume"), ", when the cause is mended")
    return CouldNotFindOut("not begun: what went wrong before concerns this too", fix=fix, code=NOT_BEGUN)


def _without_variable(lacking: VariableResult) -> EndpointsError:
    cause = lacking.error
    message = f"not begun: the shared variable {lacking.change.code_name!r} is not there as it should be"
    error = EndpointsError(message, fix=cause.fix if cause else None, code="push.not_begun")
    error.exit_code = cause.exit_code if cause else error.exit_code
    return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Gathers what the writes of a push leave, from several threads, and saves it once, at the end.

    What a kill keeps from being saved stands in the journal.
    """

    project: ProjectContext
    checkout: Checkout
    head: str | None = None
    _kept: dict[str, Recorded] = field(default_factory=dict)

    def keep(self, result: ChangeResult, before: ServerRevision | None) -> JsonObject | None:
        """The entry of what was written, None where there is nothing to remember. `before` is the endpoint as listed.

        What was sent and did not arrive is remembered as our own, so that the next push sends it again.
        """
        local = self.checkout.local.get(result.name)
        if local is None or result.remote is None or not result.is_agreed:
            return None
        entry = agreed(
            self.checkout.record.entries.get(result.name),
            local=local,
            remote=result.remote,
            at=self.project.clock(),
            server_before=before.settings if before is not None and result.landed else None,
            accepted=result.unapplied,
            head=self.head,
            pushed=result.applied if result.landed else frozenset(),
        )
        self._kept[result.name] = entry
        return entry.as_json()

    def save(self) -> None:
        """Save what was kept so far."""
        save_record(self.project, self._kept)


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
    """Ask for the state of each endpoint that is being materialised until all are done, or the time is over."""
    states = {endpoint.name: endpoint.materialization for endpoint in endpoints if endpoint.materialization.is_on}
    deadline, pause = now() + seconds, _FIRST_PAUSE
    project.progress.started("waiting for materialisation", len(states))
    told: set[str] = set()
    while True:
        for name in sorted(states.keys() - told):
            if _is_over(states[name]):
                told.add(name)
                project.progress.advanced(name, "materialised" if _is_done(states[name]) else "not materialised")
        pending = sorted(states.keys() - told)
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
