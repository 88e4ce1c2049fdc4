"""What became of one change of a plan, in values and in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.errors import Conflict, CouldNotFindOut, EndpointsError, PartlyApplied
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.standing import cuts_a_version, expected_version, not_applied
from endpoints_gitops.plan.changes import Action, Change
from endpoints_gitops.plan.meaning import Key


class State(StrEnum):
    """What became of one change, in the past tense."""

    CREATED = "created"
    UPDATED = "updated"
    DEACTIVATED = "deactivated"
    ALREADY = "already so"
    CONFLICT = "conflict"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    NOT_SENT = "not sent"


_DONE: Final = {Action.CREATE: State.CREATED, Action.UPDATE: State.UPDATED, Action.DEACTIVATE: State.DEACTIVATED}
_TO_RESUME: Final = frozenset({State.FAILED, State.UNCERTAIN, State.NOT_SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one change. `endpoint` is what the server answered last; `landed` whether a write of ours did."""

    change: Change
    state: State
    endpoint: Endpoint | None = None
    landed: bool = False
    errors: tuple[EndpointsError, ...] = ()

    @property
    def name(self) -> str:
        return self.change.name

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
        return self.landed or self.state is State.ALREADY

    @property
    def unapplied(self) -> frozenset[Key]:
        """What the server has otherwise than sent, although nobody came between: that is a fault, and no edit."""
        if self.endpoint is None or self.state is not _DONE[self.change.action]:
            return frozenset()
        if self.endpoint.current_version > expected_version(self.change):
            return frozenset()
        return frozenset(not_applied(self.change, self.endpoint))

    @property
    def applied(self) -> frozenset[Key]:
        """The keys that the server has as they were sent."""
        if self.endpoint is None:
            return frozenset()
        return frozenset(each.key for each in self.change.keys) - {*not_applied(self.change, self.endpoint)}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left of it that sending it again could finish."""
        return self.state not in _TO_RESUME and not any(isinstance(one, PartlyApplied) for one in self.errors)


def verified(change: Change, answer: Endpoint) -> Written:
    """What an answer, or what was read instead of one that is lost, says about a change that landed."""
    faults = tuple(_faults(change, answer))
    return Written(change=change, state=_DONE[change.action], endpoint=answer, landed=True, errors=faults)


def already(change: Change, endpoint: Endpoint) -> Written:
    """Nothing to send: the server has it."""
    return Written(change=change, state=State.ALREADY, endpoint=endpoint)


def not_sent(change: Change, why: EndpointsError) -> Written:
    """Nothing was sent, for a reason that is not the endpoint's own."""
    return Written(change=change, state=State.NOT_SENT, errors=(why,))


def uncertain(change: Change, lost: EndpointsError) -> Written:
    """It was sent, and nothing could be heard of it."""
    return Written(change=change, state=State.UNCERTAIN, errors=(lost,))


def refused(change: Change, why: EndpointsError) -> Written:
    """The server did not do it, and said so."""
    return Written(change=change, state=State.FAILED, errors=(why,))


def refused_in_part(change: Change, why: EndpointsError, now: Endpoint, left: Collection[Key]) -> Written:
    """The server refused it, and some of it is there all the same; `left` are the keys that are not."""
    lacking = f" without {', '.join(left)}" if left else ""
    error = PartlyApplied(
        f"{change.name} landed in part{lacking}, although the server refused the write: {why.message}",
        where=_where(change),
        fix=f"endpoints-gitops diff {change.name} shows it; correct what the server names, and push again",
        code="push.refused_in_part",
    )
    return Written(change=change, state=State.FAILED, endpoint=now, landed=True, errors=(error,))


def unverified(change: Change, why: ApiError) -> PartlyApplied:
    """The error of a write that landed, where the version before it could not be read."""
    message = f"{change.name} was written; cannot tell whether its settings were edited meanwhile: {why.message}"
    fix = f"endpoints-gitops versions {change.name}"
    return PartlyApplied(message, where=why.where, fix=fix, code="push.unverified")


def settings_replaced(change: Change, keys: Collection[Key]) -> Conflict:
    """The error of a write that replaced settings which were edited on the server while the push ran."""
    name, before = change.name, change.precondition.version
    what, ours = ", ".join(keys), expected_version(change)
    return Conflict(
        f"{what} of {name} was edited on the server while this push ran, and version {ours} has ours",
        where=_where(change),
        fix=f"endpoints-gitops get {name} --version {before} shows theirs",
        code="push.came_between",
    )


def not_landed(change: Change, lost: ApiError, now: Endpoint | None) -> Written:
    """Sent again and again without an answer; what was read afterwards (`now`) tells that it, or some, did not land."""
    left = not_applied(change, now) if now is not None and change.action is Action.UPDATE else ()
    in_part = bool(left) and len(left) < len(change.keys)
    cause = f"{lost.status} {lost.detail or ''}".rstrip() if lost.status else lost.message.partition(";")[0]
    what = f"{change.name} landed in part, without {', '.join(left)}" if in_part else f"{change.name} did not land"
    error = CouldNotFindOut(f"{what}: {cause}", where=lost.request or None, code=lost.code)
    error.fix = "endpoints-gitops resume tries again, when the server is well"
    return Written(change=change, state=State.FAILED, endpoint=now, landed=in_part, errors=(error,))


def moved(change: Change, now: Endpoint | None) -> Written:
    """Nothing of it landed: the server is not as the plan saw it."""
    error = Conflict(_what_moved(change, now), where=_where(change), fix=_way_out(change, now), code="push.moved")
    return Written(change=change, state=State.CONFLICT, endpoint=now, errors=(error,))


def overtaken(change: Change, now: Endpoint, ours: int) -> Written:
    """It landed as version `ours`, and somebody made another one after it."""
    name = change.name
    error = Conflict(
        f"version {ours} of {name} is ours, and somebody else made version {now.current_version} after it",
        where=_where(change),
        fix=f"endpoints-gitops pull {name} brings theirs into the file; "
        f"endpoints-gitops rollback {name}@{ours} makes ours the newest",
        code="push.came_between",
    )
    return Written(change=change, state=State.CONFLICT, endpoint=now, landed=True, errors=(error,))


def _faults(change: Change, answer: Endpoint) -> Iterator[EndpointsError]:
    name, where = change.name, _where(change)
    if change.precondition.endpoint_id not in {None, answer.id}:
        yield _recreated(change, answer)
    elif answer.current_version > expected_version(change):
        yield _came_between(change, answer)
    left = not_applied(change, answer)
    if answer.materialization_error:
        message = f"{name} was written, but could not be materialised: {answer.materialization_error}"
        fix = (
            "endpoints-gitops resume tries again; or change what the server names, or set materialization.enabled to "
            f"false, and push {name} again"
        )
        yield PartlyApplied(message, where=where, fix=fix, code="push.materialization_error")
    elif left and answer.current_version <= expected_version(change):
        message = f"{name}: the server accepted the write, but has something else for {', '.join(left)}"
        fix = f"endpoints-gitops diff {name} shows it; endpoints-gitops resume tries again"
        yield PartlyApplied(message, where=where, fix=fix, code="push.unverified")


def _came_between(change: Change, answer: Endpoint) -> Conflict:
    """Both versions, and the command that brings theirs back."""
    name, expected, now = change.name, expected_version(change), answer.current_version
    if cuts_a_version(change):
        theirs = now - 1
        what = f"version {theirs} of {name} was made by somebody else while this push ran, and version {now} is ours"
        fix = f"endpoints-gitops rollback {name}@{theirs} restores theirs; else nothing is to be done"
    else:
        what = (
            f"version {now} of {name} was made by somebody else while this push ran; the plan knew version {expected}"
        )
        fix = (
            f"endpoints-gitops pull {name} brings version {now} into the file; "
            f"endpoints-gitops rollback {name}@{expected} goes back"
        )
    return Conflict(what, where=_where(change), fix=fix, code="push.came_between")


def _recreated(change: Change, answer: Endpoint) -> Conflict:
    name, now = change.name, answer.current_version
    message = (
        f"{name} was deleted and made anew by somebody else while this push ran; version {now} of the new one is ours"
    )
    fix = f"endpoints-gitops versions {name} shows theirs; endpoints-gitops rollback {name}@{now - 1} restores it"
    if not cuts_a_version(change):
        message = f"{name} was deleted and made anew by somebody else while this push ran, and has our settings now"
        fix = f"endpoints-gitops diff {name}"
    return Conflict(message, where=_where(change), fix=fix, code="push.came_between")


def _what_moved(change: Change, now: Endpoint | None) -> str:
    name, before = change.name, change.precondition.version
    if now is None:
        return f"{name} is gone: somebody deleted it, and version {before} with it; nothing was written"
    if before is None:
        return f"{name} was created by somebody else meanwhile (version {now.current_version}); nothing was written"
    if change.precondition.endpoint_id != now.id:
        return f"{name} was deleted and made anew by somebody else (version {now.current_version}); nothing was written"
    if now.current_version != before:
        seen = f"the plan was made against version {before}, the server has version {now.current_version}"
    else:
        seen = f"settings of version {before} were changed by somebody else"
    return f"{name} moved: {seen}; nothing was written"


def _way_out(change: Change, now: Endpoint | None) -> str:
    if now is None:
        return f"endpoints-gitops push {change.name} creates it again, at version 1"
    return f"endpoints-gitops diff {change.name} shows it; plan and push again to go on"


def _where(change: Change) -> str | None:
    return f"{change.path}:{change.line}" if change.path and change.line else change.path
