"""One change of a plan: sent once, verified by its own answer, read again only where that answer is lost.

Nothing on the server guards against two writers (docs/server.md#concurrency), so whoever came between is found by the
number of the version that the answer names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import (
    ApiError,
    BadAnswer,
    EndpointNotFound,
    LostAnswer,
    NameTaken,
    Refused,
    ServerFault,
)
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.operations.standing import Standing, cuts_a_version, expected_version, not_applied, standing
from endpoints_gitops.plan.changes import Action, Change, body
from endpoints_gitops.plan.meaning import Key

TRIES: Final = 3
"""How often a write is sent whose answers are lost and that, read again, has not landed."""
_RACE_LOST: Final = "Failed to update endpoint."  # two cut the same version number at once: docs/server.md#concurrency


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one change. `endpoint` is what the server answered last; `landed` whether a write of ours did."""

    name: str
    state: State
    before: int | None = None
    endpoint: Endpoint | None = None
    landed: bool = False
    error: EndpointsError | None = None

    @property
    def version(self) -> int | None:
        """The version that is current now, as far as the server said."""
        return self.endpoint.current_version if self.endpoint else None

    @property
    def is_agreed(self) -> bool:
        """Whether the server now has what the plan wanted."""
        return self.landed or self.state is State.ALREADY

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left of it that sending it again could finish."""
        return self.state not in {State.FAILED, State.UNCERTAIN, State.NOT_SENT}


def write(client: Client, change: Change, variables: Mapping[str, InsightVariable]) -> Written:
    """Send one change whose precondition held in the list that was just read."""
    for _ in range(TRIES):
        try:
            return verified(change, _send(client, change, body(change, variables)))
        except EndpointNotFound:
            return _conflict(change, None)
        except EndpointsError as error:
            if not _may_have_landed(error):
                return Written(name=change.name, state=State.FAILED, before=change.precondition.version, error=error)
            found = _settled(client, change, error)
            if found is not None:
                return found
            lost = error
            if isinstance(error, NameTaken):
                break
    return Written(name=change.name, state=State.FAILED, before=change.precondition.version, error=lost)


def verified(change: Change, answer: Endpoint) -> Written:
    """What an answer, or what was read instead of one that is lost, says about a change that landed."""
    return Written(
        name=change.name,
        state=_DONE[change.action],
        before=change.precondition.version,
        endpoint=answer,
        landed=True,
        error=_fault(change, answer),
    )


def already(change: Change, endpoint: Endpoint) -> Written:
    """Nothing to send: the server has it."""
    before = change.precondition.version
    return Written(name=change.name, state=State.ALREADY, before=before, endpoint=endpoint)


def moved(change: Change, endpoint: Endpoint | None) -> Written:
    """Nothing was sent: the server is not as the plan saw it."""
    return _conflict(change, endpoint)


def not_sent(change: Change, why: EndpointsError) -> Written:
    """Nothing was sent, for a reason that is not the endpoint's own."""
    return Written(name=change.name, state=State.NOT_SENT, before=change.precondition.version, error=why)


def _send(client: Client, change: Change, sent: JsonObject) -> Endpoint:
    if change.action is Action.CREATE:
        return client.create_endpoint(sent)
    return client.update_endpoint(change.name, sent)


def _may_have_landed(error: EndpointsError) -> bool:
    if isinstance(error, LostAnswer | BadAnswer | ServerFault | NameTaken):
        return True  # a name that is taken may be by our own earlier try, whose answer was lost
    return isinstance(error, Refused) and error.detail == _RACE_LOST


def _settled(client: Client, change: Change, lost: EndpointsError) -> Written | None:
    """Read again, compare, decide. None where the change has not landed and may be sent once more."""
    try:
        now = client.get_endpoint(change.name)
    except EndpointNotFound:
        return None if change.action is Action.CREATE else _conflict(change, None)
    except ApiError:
        return Written(name=change.name, state=State.UNCERTAIN, before=change.precondition.version, error=lost)
    match standing(change, now):
        case Standing.DONE:
            return verified(change, now)
        case Standing.TO_DO:
            return None
        case Standing.MOVED:
            return _overtaken(client, change, now)


def _overtaken(client: Client, change: Change, now: Endpoint) -> Written:
    """Somebody wrote too, before or after what we sent: the versions tell whether ours is among theirs."""
    before = change.precondition.version
    if not cuts_a_version(change) or change.precondition.endpoint_id != now.id:
        return _conflict(change, now)
    try:
        versions = client.list_versions(change.name)
    except ApiError:
        versions = ()
    numbers = (one.version for one in versions if one.version > (before or 0) and not _lacks_query(change, one))
    ours = next(numbers, None)
    if ours is None:
        return _conflict(change, now)
    message = f"version {ours} of {change.name} is ours, and somebody else made version {now.current_version} after it"
    fix = (
        f"endpoints-gitops pull {change.name} brings theirs into the file; "
        f"endpoints-gitops rollback {change.name}@{ours} makes ours the newest"
    )
    error = Conflict(message, where=_where(change), fix=fix, code="push.came_between")
    return Written(name=change.name, state=State.CONFLICT, before=before, endpoint=now, landed=True, error=error)


def _lacks_query(change: Change, version: Endpoint) -> bool:
    return Key.QUERY in not_applied(change, version)


def _fault(change: Change, answer: Endpoint) -> EndpointsError | None:
    if answer.materialization_error:
        message = f"{change.name} was written, but could not be materialised: {answer.materialization_error}"
        fix = f"change what the server names, or set materialization.enabled to false, and push {change.name} again"
        return PartlyApplied(message, where=_where(change), fix=fix, code="push.materialization_error")
    if change.precondition.endpoint_id not in {None, answer.id}:
        return _recreated(change)
    if answer.current_version > expected_version(change):
        return _came_between(change, answer)
    left = not_applied(change, answer)
    if left:
        message = f"{change.name}: the server accepted the write, but has something else for {', '.join(left)}"
        fix = f"endpoints-gitops diff {change.name}"
        return PartlyApplied(message, where=_where(change), fix=fix, code="push.unverified")
    return None


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


def _recreated(change: Change) -> Conflict:
    message = f"{change.name} was deleted and made anew by somebody else while this push ran, and the push wrote to it"
    fix = f"endpoints-gitops diff {change.name}"
    return Conflict(message, where=_where(change), fix=fix, code="push.came_between")


def _conflict(change: Change, now: Endpoint | None) -> Written:
    before = change.precondition.version
    error = Conflict(_what_moved(change, now), where=_where(change), fix=_way_out(change, now), code="push.moved")
    return Written(name=change.name, state=State.CONFLICT, before=before, endpoint=now, error=error)


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
