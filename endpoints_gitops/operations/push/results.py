"""What a push did: what became of every change, in values and in words, and the exit code that follows."""

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
    """What became of one change, in the past tense."""

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
    """What became of one change. `remote` is what the server answered last; `landed` whether a write of ours did."""

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
        """The version that is current now, as far as the server said."""
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
        """Whether nothing is left of it that sending it again could finish."""
        return self.state not in _TO_RESUME and not any(isinstance(one, PartlyApplied) for one in self.errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableResult:
    """What became of one shared variable.

    `variable` is what the project has now, None where that is not known. `landed`: a write of ours did; `is_uncertain`:
    one may have.
    """

    change: VariableChange
    variable: InsightVariable | None = None
    landed: bool = False
    is_uncertain: bool = False
    error: EndpointsError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """How the materialisation of one endpoint ended; `error` where it did not end well, or not in time."""

    name: str
    error: EndpointsError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The plan, and what became of it; `waited` where `--wait` was said, `findings` are what it does to callers."""

    plan: Plan
    variables: tuple[VariableResult, ...] = ()
    written: tuple[ChangeResult, ...] = ()
    waited: tuple[Waited, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left that `resume` could finish."""
        return all(one.error is None for one in self.variables) and all(one.is_settled for one in self.written)

    @property
    def errors(self) -> tuple[EndpointsError, ...]:
        """Everything that went wrong, in the order of the plan."""
        return (
            *(one.error for one in self.variables if one.error is not None),
            *(error for one in self.written for error in one.errors),
            *(one.error for one in self.waited if one.error is not None),
        )

    def exit_code(self, *, fail_on_drift: bool = False) -> ExitCode:
        """Something left undone is "partly applied" where anything landed or may have, else what kept it from that."""
        return worst(*self._codes(fail_on_drift=fail_on_drift))

    def _codes(self, *, fail_on_drift: bool) -> Iterator[ExitCode]:
        yield from (error.exit_code for error in self.errors)
        if not self.is_settled and self._landed():
            yield ExitCode.PARTLY_APPLIED
        yield from self.plan.exit_codes(fail_on_drift=fail_on_drift)

    def _landed(self) -> bool:
        uncertain = any(one.is_uncertain for one in self.variables) or any(
            one.state is ChangeOutcome.UNCERTAIN for one in self.written
        )
        return uncertain or any(one.landed for one in self.variables) or any(one.landed for one in self.written)


def verified(change: EndpointChange, answer: ServerRevision) -> ChangeResult:
    """What an answer, or what was read instead of one that is lost, says about a change that landed."""
    faults = tuple(_faults(change, answer))
    return ChangeResult(change=change, state=_DONE[change.action], remote=answer, landed=True, errors=faults)


def already_applied(change: EndpointChange, remote: ServerRevision) -> ChangeResult:
    """Nothing to send: the server has it already."""
    return ChangeResult(change=change, state=ChangeOutcome.ALREADY, remote=remote)


def not_sent(change: EndpointChange, why: EndpointsError) -> ChangeResult:
    """Nothing was sent, for a reason that is not the endpoint's own."""
    return ChangeResult(change=change, state=ChangeOutcome.NOT_SENT, errors=(why,))


def uncertain(change: EndpointChange, lost: EndpointsError) -> ChangeResult:
    """It was sent, and no answer tells what became of it."""
    return ChangeResult(change=change, state=ChangeOutcome.UNCERTAIN, errors=(lost,))


def refused(change: EndpointChange, why: EndpointsError) -> ChangeResult:
    """The server refused it."""
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, errors=(why,))


def refused_in_part(
    change: EndpointChange, why: EndpointsError, now: ServerRevision, left: Collection[Key]
) -> ChangeResult:
    """The server refused it, and some of it is there all the same; `left` are the keys that are not."""
    lacking = f" without {', '.join(left)}" if left else ""
    error = PartlyApplied(
        f"{change.name} landed in part{lacking}, although the server refused the write: {why.message}",
        where=_where(change),
        fix=Advice(Command("diff", change.name), " shows it; correct what the server names, and push again"),
        code="push.refused_in_part",
        subject=change.name,
    )
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, remote=now, landed=True, errors=(error,))


def unverified(change: EndpointChange, why: ApiError) -> PartlyApplied:
    """The error of a write that landed, where the version before it could not be read."""
    message = f"{change.name} was written; cannot tell whether its settings were edited meanwhile: {why.message}"
    fix = Advice(Command("versions", change.name))
    return PartlyApplied(message, where=why.where, fix=fix, code="push.unverified", subject=change.name)


def settings_replaced(change: EndpointChange, keys: Collection[Key]) -> Conflict:
    """The error of a write that replaced settings which were edited on the server while the push ran."""
    name, before = change.name, change.precondition.version
    what, ours = ", ".join(keys), change.expected_version
    return Conflict(
        f"{what} of {name} was edited on the server while this push ran, and version {ours} has ours",
        where=_where(change),
        fix=Advice(Command("get", name, "--version", str(before)), " shows theirs"),
        code="push.came_between",
        subject=change.name,
    )


def not_landed(change: EndpointChange, lost: ApiError, now: ServerRevision | None) -> ChangeResult:
    """Sent again and again without an answer; what was read afterwards (`now`) tells that it, or some, did not land."""
    left = not_applied(change, now) if now is not None and change.action is ChangeAction.UPDATE else ()
    in_part = bool(left) and len(left) < len(change.keys)
    reason = lost.reason if isinstance(lost, LostAnswer) else lost.message
    cause = f"{lost.status} {lost.detail or ''}".rstrip() if lost.status else reason
    what = f"{change.name} landed in part, without {', '.join(left)}" if in_part else f"{change.name} did not land"
    error = CouldNotFindOut(f"{what}: {cause}", where=lost.request or None, code=lost.code, subject=change.name)
    error.fix = Advice(Command("resume"), " tries again, when the server is well")
    return ChangeResult(change=change, state=ChangeOutcome.FAILED, remote=now, landed=in_part, errors=(error,))


def stale_result(change: EndpointChange, now: ServerRevision | None) -> ChangeResult:
    """Nothing of it landed: the server changed since the plan was made."""
    error = Conflict(
        _what_changed(change, now),
        where=_where(change),
        fix=_fix_of(change, now),
        code="push.moved",
        subject=change.name,
    )
    return ChangeResult(change=change, state=ChangeOutcome.CONFLICT, remote=now, errors=(error,))


def overtaken(change: EndpointChange, now: ServerRevision, ours: int) -> ChangeResult:
    """It landed as version `ours`, and another client made a version after it."""
    name = change.name
    error = Conflict(
        f"version {ours} of {name} is ours, and another client made version {now.current_version} after it",
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
    return ChangeResult(change=change, state=ChangeOutcome.CONFLICT, remote=now, landed=True, errors=(error,))


def _faults(change: EndpointChange, answer: ServerRevision) -> Iterator[EndpointsError]:
    name, where = change.name, _where(change)
    if change.precondition.endpoint_id not in {None, answer.endpoint.id}:
        yield _recreated(change, answer)
    elif answer.current_version > change.expected_version:
        yield _came_between(change, answer)
    left = not_applied(change, answer)
    if answer.endpoint.materialization_error:
        message = f"{name} was written, but could not be materialised: {answer.endpoint.materialization_error}"
        fix = Advice(
            Command("resume"),
            " tries again; or change what the server names, or set materialization.enabled to "
            f"false, and push {name} again",
        )
        yield PartlyApplied(message, where=where, fix=fix, code="push.materialization_error", subject=change.name)
    elif left and answer.current_version <= change.expected_version:
        message = f"{name}: the server accepted the write, but has something else for {', '.join(left)}"
        fix = Advice(Command("diff", name), " shows it; ", Command("resume"), " tries again")
        yield PartlyApplied(message, where=where, fix=fix, code="push.unverified", subject=change.name)


def _came_between(change: EndpointChange, answer: ServerRevision) -> Conflict:
    """Both versions, and the command that brings theirs back."""
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


def _what_changed(change: EndpointChange, now: ServerRevision | None) -> str:
    name, before = change.name, change.precondition.version
    if now is None:
        return f"{name} was deleted on the server, and version {before} with it; nothing was written"
    if before is None:
        return (
            f"{name} was created by another client since the plan was made (version {now.current_version}); "
            "nothing was written"
        )
    if change.precondition.endpoint_id != now.endpoint.id:
        return f"{name} was deleted and recreated on the server (version {now.current_version}); nothing was written"
    if now.current_version != before:
        return (
            f"the plan for {name} is stale: it was made against version {before}, the server has version "
            f"{now.current_version}; nothing was written"
        )
    return f"the plan for {name} is stale: settings of version {before} were changed on the server; nothing was written"


def _fix_of(change: EndpointChange, now: ServerRevision | None) -> str:
    if now is None:
        return Advice(Command("push", change.name), " creates it again, at version 1")
    return Advice(Command("diff", change.name), " shows it; plan and push again to go on")


def _where(change: EndpointChange) -> str | None:
    return f"{change.path}:{change.line}" if change.path and change.line else change.path
