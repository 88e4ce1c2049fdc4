"""The result of a push: the outcome of every change, its errors with their fixes, and the exit code."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.errors import ApiError, LostAnswer
from endpoints_gitops.errors import Conflict, CouldNotFindOut, EndpointsError, ExitCode, PartlyApplied, worst
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, Plan
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.preconditions import not_applied
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.plan.variables import VariableChange


class ChangeOutcome(StrEnum):
    """The outcome of one change."""

    CREATED = "created"
    UPDATED = "updated"
    DEACTIVATED = "deactivated"
    ALREADY = "already so"
    CONFLICT = "conflict"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    NOT_SENT = "not sent"


_DONE: Final = {
    ChangeAction.CREATE: ChangeOutcome.CREATED,
    ChangeAction.UPDATE: ChangeOutcome.UPDATED,
    ChangeAction.DEACTIVATE: ChangeOutcome.DEACTIVATED,
}
_TO_RESUME: Final = frozenset({ChangeOutcome.FAILED, ChangeOutcome.UNCERTAIN, ChangeOutcome.NOT_SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """The result of one change. `remote` is the endpoint as the server answered last; `landed`: our write did."""

    change: EndpointChange
    state: ChangeOutcome
    remote: ServerRevision | None = None
    landed: bool = False
    errors: tuple[EndpointsError, ...] = ()

    @property
    def name(self) -> str:
        """The name of the endpoint."""
        return self.change.name

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint as the server answered last."""
        return self.remote.endpoint if self.remote else None

    @property
    def before(self) -> int | None:
        """The version that the plan was computed against."""
        return self.change.precondition.version

    @property
    def version(self) -> int | None:
        """The version that is current now, None where the server did not answer."""
        return self.endpoint.current_version if self.endpoint else None

    @property
    def is_agreed(self) -> bool:
        """Whether the server had what the plan wanted when it answered last."""
        return self.landed or self.state is ChangeOutcome.ALREADY

    @property
    def unapplied(self) -> frozenset[Key]:
        """The keys that differ from what was sent although no other client wrote: a fault of the server."""
        if self.remote is None or self.state is not _DONE[self.change.action]:
            return frozenset()
        if self.remote.current_version > self.change.expected_version:
            return frozenset()
        return frozenset(not_applied(self.change, self.remote))

    @property
    def applied(self) -> frozenset[Key]:
        """The keys that the server has as they were sent."""
        if self.remote is None:
            return frozenset()
        return frozenset(self.change.after) - {*not_applied(self.change, self.remote)}

    @property
    def is_settled(self) -> bool:
        """Whether sending the change again could not finish anything."""
        return self.state not in _TO_RESUME and not any(isinstance(error, PartlyApplied) for error in self.errors)

    @property
    def is_uncertain(self) -> bool:
        """Whether the change was sent, and no answer tells whether it landed."""
        return self.state is ChangeOutcome.UNCERTAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableResult:
    """The result of one change of a shared variable.

    `variable` is what the project has now, None where that is not known. `landed`: our write did; `is_uncertain`: it
    may have.
    """

    change: VariableChange
    variable: InsightVariable | None = None
    landed: bool = False
    is_uncertain: bool = False
    error: EndpointsError | None = None

    @property
    def is_settled(self) -> bool:
        """Whether sending the change again could not finish anything."""
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """The materialisation of one endpoint. `error` says that it failed, or did not end in time."""

    name: str
    error: EndpointsError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The result of a plan.

    `written` has the results of its changes, `waited` those of `--wait`, `findings` what the plan does to callers.
    """

    plan: Plan
    variables: tuple[VariableResult, ...] = ()
    written: tuple[ChangeResult, ...] = ()
    waited: tuple[Waited, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether `resume` has nothing to finish."""
        return all(result.is_settled for result in self._results)

    @property
    def _results(self) -> tuple[VariableResult | ChangeResult, ...]:
        return (*self.variables, *self.written)

    @property
    def errors(self) -> tuple[EndpointsError, ...]:
        """Everything that went wrong, in the order of the plan."""
        return (
            *(result.error for result in self.variables if result.error is not None),
            *(error for result in self.written for error in result.errors),
            *(result.error for result in self.waited if result.error is not None),
        )

    def exit_code(self, *, fail_on_drift: bool = False) -> ExitCode:
        """The exit code of the push. Where something is left to do, it is PARTLY_APPLIED if anything landed or may
        have landed, else the code of the error that prevented it.
        """
        codes = [error.exit_code for error in self.errors]
        if not self.is_settled and any(result.landed or result.is_uncertain for result in self._results):
            codes.append(ExitCode.PARTLY_APPLIED)
        return worst(*codes, *self.plan.exit_codes(fail_on_drift=fail_on_drift))


def verified(change: EndpointChange, answer: ServerRevision) -> ChangeResult:
    """The result of a change that landed, checked against the answer, or what was read where the answer was lost."""
    faults = tuple(_faults(change, answer))
    return ChangeResult(change=change, state=_DONE[change.action], remote=answer, landed=True, errors=faults)


def failed(change: EndpointChange, error: EndpointsError) -> ChangeResult:
    """The result of a change that did not land, with its error."""
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, errors=(error,))


def refused_in_part(
    change: EndpointChange, refusal: EndpointsError, remote: ServerRevision, missing: Collection[Key]
) -> ChangeResult:
    """The result of a change that the server refused and applied in part. `missing` are the keys that did not land."""
    without = f" without {', '.join(missing)}" if missing else ""
    error = PartlyApplied(
        f"{change.name} landed in part{without}, although the server refused the write: {refusal.message}",
        where=_where(change),
        fix=Advice(Command("diff", change.name), " shows it; correct what the server names, and push again"),
        code="push.refused_in_part",
        subject=change.name,
    )
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, remote=remote, landed=True, errors=(error,))


def unverified(change: EndpointChange, error: ApiError) -> PartlyApplied:
    """The error for a write that landed, where the version before it could not be read."""
    message = f"{change.name} was written; cannot tell whether its settings were edited meanwhile: {error.message}"
    fix = Advice(Command("versions", change.name))
    return PartlyApplied(message, where=error.where, fix=fix, code="push.unverified", subject=change.name)


def settings_replaced(change: EndpointChange, keys: Collection[Key]) -> Conflict:
    """The error for a write that replaced settings which were edited on the server while the push ran."""
    name, before = change.name, change.precondition.version
    what, ours = ", ".join(keys), change.expected_version
    return Conflict(
        f"{what} of {name} was edited on the server while this push ran, and version {ours} has ours",
        where=_where(change),
        fix=Advice(Command("get", name, "--version", str(before)), " shows theirs"),
        code="push.came_between",
        subject=change.name,
    )


def not_landed(change: EndpointChange, lost: ApiError, remote: ServerRevision | None) -> ChangeResult:
    """The result of a change that was sent several times and whose answers were lost.

    `remote` is what was read afterwards: the change did not land, or landed in part.
    """
    missing = not_applied(change, remote) if remote is not None and change.action is ChangeAction.UPDATE else ()
    is_partial = bool(missing) and len(missing) < len(change.keys)
    reason = lost.reason if isinstance(lost, LostAnswer) else lost.message
    cause = f"{lost.status} {lost.detail or ''}".rstrip() if lost.status else reason
    outcome = f"landed in part, without {', '.join(missing)}" if is_partial else "did not land"
    error = CouldNotFindOut(
        f"{change.name} {outcome}: {cause}", where=lost.request or None, code=lost.code, subject=change.name
    )
    error.fix = Advice(Command("resume"), " tries again, when the server is well")
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, remote=remote, landed=is_partial, errors=(error,))


def stale_result(change: EndpointChange, remote: ServerRevision | None) -> ChangeResult:
    """The result of a change of which nothing landed, as the server changed since the plan was made."""
    if remote is None:
        fix = Advice(Command("push", change.name), " creates it again, at version 1")
    else:
        fix = Advice(Command("diff", change.name), " shows it; plan and push again to go on")
    error = Conflict(
        _what_changed(change, remote), where=_where(change), fix=fix, code="push.moved", subject=change.name
    )
    return ChangeResult(change=change, state=ChangeOutcome.CONFLICT, remote=remote, errors=(error,))


def overtaken(change: EndpointChange, remote: ServerRevision, ours: int) -> ChangeResult:
    """The result of a change that landed as version `ours`, after which another client made a version."""
    name = change.name
    error = Conflict(
        f"version {ours} of {name} is ours, and another client made version {remote.current_version} after it",
        where=_where(change),
        fix=Advice(
            Command("pull", name),
            " brings theirs into the file; ",
            Command("rollback", f"{name}@{ours}"),
            " makes ours the newest",
        ),
        code="push.came_between",
        subject=change.name,
    )
    return ChangeResult(change=change, state=ChangeOutcome.CONFLICT, remote=remote, landed=True, errors=(error,))


def _faults(change: EndpointChange, answer: ServerRevision) -> Iterator[EndpointsError]:
    name, where = change.name, _where(change)
    if change.precondition.endpoint_id not in {None, answer.endpoint.id}:
        yield _recreated(change, answer)
    elif answer.current_version > change.expected_version:
        yield _came_between(change, answer)
    differing = not_applied(change, answer)
    if answer.endpoint.materialization_error:
        message = f"{name} was written, but could not be materialised: {answer.endpoint.materialization_error}"
        fix = Advice(
            Command("resume"),
            " tries again; or change what the server names, or set materialization.enabled to "
            f"false, and push {name} again",
        )
        yield PartlyApplied(message, where=where, fix=fix, code="push.materialization_error", subject=change.name)
    elif differing and answer.current_version <= change.expected_version:
        message = f"{name}: the server accepted the write, but has something else for {', '.join(differing)}"
        fix = Advice(Command("diff", name), " shows it; ", Command("resume"), " tries again")
        yield PartlyApplied(message, where=where, fix=fix, code="push.unverified", subject=change.name)


def _came_between(change: EndpointChange, answer: ServerRevision) -> Conflict:
    """The error for a version that another client made while the push ran, with the way back to it."""
    name, expected, now = change.name, change.expected_version, answer.current_version
    if change.cuts_a_version:
        theirs = now - 1
        what = f"version {theirs} of {name} was made by another client while this push ran, and version {now} is ours"
        fix = Advice(Command("rollback", f"{name}@{theirs}"), " restores theirs; else there is nothing to do")
    else:
        what = (
            f"version {now} of {name} was made by another client while this push ran; the plan was made against "
            f"version {expected}"
        )
        fix = Advice(
            Command("pull", name),
            f" brings version {now} into the file; ",
            Command("rollback", f"{name}@{expected}"),
            " goes back",
        )
    return Conflict(what, where=_where(change), fix=fix, code="push.came_between", subject=change.name)


def _recreated(change: EndpointChange, answer: ServerRevision) -> Conflict:
    name, now = change.name, answer.current_version
    message = (
        f"{name} was deleted and recreated on the server while this push ran; version {now} of the new one is ours"
    )
    fix = Advice(Command("versions", name), " shows theirs; ", Command("rollback", f"{name}@{now - 1}"), " restores it")
    if not change.cuts_a_version:
        message = f"{name} was deleted and recreated on the server while this push ran, and has our settings now"
        fix = Advice(Command("diff", name))
    return Conflict(message, where=_where(change), fix=fix, code="push.came_between", subject=change.name)


def _what_changed(change: EndpointChange, remote: ServerRevision | None) -> str:
    name, before = change.name, change.precondition.version
    if remote is None:
        return f"{name} was deleted on the server, and version {before} with it; nothing was written"
    if before is None:
        return (
            f"{name} was created by another client since the plan was made (version {remote.current_version}); "
            "nothing was written"
        )
    if change.precondition.endpoint_id != remote.endpoint.id:
        return f"{name} was deleted and recreated on the server (version {remote.current_version}); nothing was written"
    if remote.current_version != before:
        return (
            f"the plan for {name} is stale: it was made against version {before}, the server has version "
            f"{remote.current_version}; nothing was written"
        )
    return f"the plan for {name} is stale: settings of version {before} were changed on the server; nothing was written"


def _where(change: EndpointChange) -> str | None:
    return f"{change.path}:{change.line}" if change.path and change.line else change.path
