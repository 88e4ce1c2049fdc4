"""Make the server as a plan says: shared variables first, then endpoints, at the same time, each write verified.

A journal says at any moment what was sent and what of it landed, so that `resume` can finish what was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final

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
from endpoints_gitops.codecs.plan import write_plan
from endpoints_gitops.errors import (
    CouldNotFindOut,
    CredentialsError,
    EndpointsError,
    Interrupted,
    PartlyApplied,
    UsageError,
)
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.evidence import Record, read_record
from endpoints_gitops.operations.interrupted import Pair
from endpoints_gitops.operations.pushed import PushResult
from endpoints_gitops.operations.recording import Keeper, head_of, save_record
from endpoints_gitops.operations.standing import Standing, standing
from endpoints_gitops.operations.together import each
from endpoints_gitops.operations.variables import VariableWritten, by_code_name, write_variable
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.operations.writing import write
from endpoints_gitops.operations.written import State, Written, already, moved, not_sent
from endpoints_gitops.plan.changes import Change, Plan
from endpoints_gitops.plan.variables import VariableChange
from endpoints_gitops.workspace.journal import Journal, begin
from endpoints_gitops.workspace.state import held

NOT_BEGUN: Final = "push.not_begun"
VARIABLE = "variable "
"""Before the code name in a journal: no endpoint's name has a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a push stands on: one fresh list of endpoints and of variables, and what this checkout has and remembers."""

    endpoints: Mapping[str, Endpoint]
    variables: tuple[InsightVariable, ...] = ()
    definitions: Mapping[str, LoadedDefinition] = field(default_factory=dict)
    record: Record = field(default_factory=Record)

    @classmethod
    def of_comparison(cls, comparison: Comparison) -> Ground:
        """The lists that the plan was just made from are fresh."""
        return cls(
            endpoints=comparison.endpoints,
            variables=comparison.variables,
            definitions=comparison.definitions,
            record=comparison.record,
        )

    @classmethod
    def look(cls, work: Workplace, plan: Plan, definitions: Iterable[LoadedDefinition]) -> Ground:
        """The server as it is now, for a plan that was made earlier."""
        endpoints = {endpoint.name: endpoint for endpoint in work.client.list_endpoints()}
        ours = {loaded.name: loaded for loaded in definitions}
        return cls(
            endpoints=endpoints,
            variables=work.client.list_variables() if _has_variables(plan) else (),
            definitions=ours,
            record=read_record(work, [Pair(loaded=ours[name], endpoint=endpoints.get(name)) for name in ours]),
        )


def push(work: Workplace, plan: Plan, ground: Ground) -> PushResult:
    """Carry out a plan, overwriting nobody: what is not as the plan saw it is left alone and told.

    Raises UsageError for the plan of another project, and Conflict while another push of this checkout runs. The
    journal stays where something is left to do, also when this is interrupted.
    """
    check_target(work, plan)
    if plan.is_empty:
        return PushResult(plan=plan)
    with held(work.state):
        return carry_out(work, plan, ground)


def carry_out(work: Workplace, plan: Plan, ground: Ground) -> PushResult:
    """The same for who holds the state folder. The journal takes the place of any that an earlier push left."""
    save_record(work, ground.record.unsaved)
    head = head_of(work)
    journal = begin(work.state, plan=json.loads(write_plan(plan)), entries=entries_of(plan), head=head)
    return _Push(work=work, plan=plan, ground=ground, journal=journal, head=head).all()


def check_target(work: Workplace, plan: Plan) -> None:
    """Raises UsageError for a plan that was made for another project."""
    if (plan.host, plan.project_id) != (work.host, work.project_id):
        message = (
            f"this plan is for {plan.environment} ({plan.host}, project {plan.project_id}), "
            f"and this command works on {work.environment.name} ({work.host}, project {work.project_id})"
        )
        raise UsageError(message, fix=f"add --env {plan.environment}, or make a new plan", code="plan.other_target")


def entries_of(plan: Plan) -> tuple[str, ...]:
    """What a journal calls the variables and the changes of a plan."""
    return (*(VARIABLE + one.code_name for one in plan.variables), *(change.name for change in plan.changes))


def _has_variables(plan: Plan) -> bool:
    return bool(plan.variables) or any(_sends_variables(change) for change in plan.changes)


def _sends_variables(change: Change) -> bool:
    return any(isinstance(each.after, Mapping) and bool(each.after.get("variables")) for each in change.keys)


@dataclass(slots=True, kw_only=True)
class _Push:
    """A push in flight. Its steps run in several threads; what they share guards itself."""

    work: Workplace
    plan: Plan
    ground: Ground
    journal: Journal
    head: str | None
    stopped: Event = field(default_factory=Event)
    keeper: Keeper = field(init=False)
    variables: dict[str, InsightVariable] = field(init=False)
    lacking: dict[str, VariableWritten] = field(default_factory=dict)
    landed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keeper = Keeper(
            work=self.work,
            definitions=self.ground.definitions,
            before=self.ground.record.entries,
            head=self.head,
        )
        self.variables = by_code_name(self.ground.variables)

    def all(self) -> PushResult:
        self.work.progress.started("writing", len(entries_of(self.plan)))
        try:
            shared = each(self._variable, self.plan.variables)
            self._take_in(shared)
            written = each(self._change, self.plan.changes)
        except UsageError as error:  # the journal, which nothing goes on without: the disk is full, say
            if not self.work.client.has_written:
                raise
            message = f"{error.message}; the push stopped, and some of it is written"
            raise PartlyApplied(message, fix="mend that, and push again", code=error.code) from error
        except KeyboardInterrupt as error:
            message = f"interrupted: {len(self.landed)} of {len(entries_of(self.plan))} written"
            raise Interrupted(message, "endpoints-gitops resume does what is left, and nothing twice") from error
        finally:
            self.keeper.save()
            self.work.progress.finished()
        result = PushResult(plan=self.plan, variables=shared, written=written)
        if result.is_settled:
            self.journal.finish()
        return result

    def _take_in(self, shared: Iterable[VariableWritten]) -> None:
        """The new ids are there for the queries; who uses a variable that is not right is not sent."""
        for one in shared:
            if one.variable is not None:
                self.variables[one.change.code_name] = one.variable
            if one.error is not None:
                self.lacking |= dict.fromkeys(one.change.declared_by, one)

    def _variable(self, change: VariableChange) -> VariableWritten:
        if self.stopped.is_set():
            return VariableWritten(change=change, error=_not_begun())
        entry = VARIABLE + change.code_name
        self.journal.sending(entry)
        written = write_variable(self.work.client, change, self.variables.get(change.code_name))
        if written.landed:
            self.landed.append(entry)
        if written.error is None:
            self.journal.done(entry)
            self._heard(entry, "written")
        else:
            self._heard(entry, "not written", written.error)
        return written

    def _change(self, change: Change) -> Written:
        written = self._written(change)
        if written.landed:
            self.landed.append(change.name)
        if written.state is State.UNCERTAIN:
            self.stopped.set()
        self._heard(change.name, written.state, *written.errors)
        return written

    def _written(self, change: Change) -> Written:
        endpoint = self.ground.endpoints.get(change.name)
        stand = standing(change, endpoint)
        if endpoint is not None and stand is Standing.DONE:
            return self._noted(change, already(change, endpoint))
        if stand is Standing.MOVED:
            return self._noted(change, moved(change, endpoint))
        if self.stopped.is_set():
            return not_sent(change, _not_begun())
        if change.name in self.lacking:
            return not_sent(change, _without_variable(self.lacking[change.name]))
        self.journal.sending(change.name)
        return self._noted(change, write(self.work.client, change, self.variables, endpoint))

    def _noted(self, change: Change, written: Written) -> Written:
        """In the journal when nothing is left of it to do, with what the record will hold of it."""
        entry = self.keeper.keep(written, self.ground.endpoints.get(change.name))
        if written.is_settled:
            self.journal.done(change.name, entry)
        return written

    def _heard(self, name: str, state: str, *errors: EndpointsError) -> None:
        """A key that is refused, or a server that is away, is so for the others too: nothing more is begun."""
        if any(isinstance(error, _FOR_ALL) for error in errors):
            self.stopped.set()
        self.work.progress.advanced(name, state)


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
    fix = "endpoints-gitops resume, when the cause is mended"
    return CouldNotFindOut("not begun: what went wrong before concerns this too", fix=fix, code=NOT_BEGUN)


def _without_variable(lacking: VariableWritten) -> EndpointsError:
    cause = lacking.error
    message = f"not begun: the shared variable {lacking.change.code_name!r} is not there as it should be"
    error = EndpointsError(message, fix=cause.fix if cause else None, code="push.not_begun")
    error.exit_code = cause.exit_code if cause else error.exit_code
    return error
