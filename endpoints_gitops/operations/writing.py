"""One change of a plan: sent once, verified by its own answer, read again only where that answer is lost.

Nothing on the server guards against two writers (docs/server.md#concurrency), so whoever came between is found by the
number of the version that the answer names.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.operations.standing import Standing, cuts_a_version, not_applied, standing
from endpoints_gitops.operations.written import Written, moved, not_landed, overtaken, refused, uncertain, verified
from endpoints_gitops.plan.changes import Action, Change, body
from endpoints_gitops.plan.meaning import Key

TRIES: Final = 3
"""How often a write is sent whose answers are lost and that, read again, has not landed."""
_RACE_LOST: Final = "Failed to update endpoint."  # two cut the same version number at once: docs/server.md#concurrency


def write(
    client: Client, change: Change, variables: Mapping[str, InsightVariable], there: Endpoint | None = None
) -> Written:
    """Send one change of which `standing` says that it is to do; `there` is the endpoint as it was listed."""
    for _ in range(TRIES):
        try:
            return verified(change, _send(client, change, variables, there))
        except EndpointNotFound:
            return moved(change, None)
        except ApiError as error:
            if not _may_have_landed(error):
                return refused(change, error)
            lost = error
        except EndpointsError as error:
            return refused(change, error)
        try:
            there = _read_again(client, change)
        except ApiError:
            return uncertain(change, lost)
        stand = standing(change, there)
        if there is not None and stand is Standing.DONE:
            return verified(change, there)
        if stand is Standing.MOVED:
            return _by_versions(client, change, there)
        if isinstance(lost, NameTaken):
            break  # taken by one that this key may not see
    return refused(change, lost) if isinstance(lost, NameTaken) else not_landed(change, lost, there)


def _send(client: Client, change: Change, variables: Mapping[str, InsightVariable], there: Endpoint | None) -> Endpoint:
    sent = body(change, variables)
    if change.action is Action.CREATE:
        return client.create_endpoint(sent)
    return client.update_endpoint(change.name, {**_table_again(change, there), **sent})


def _table_again(change: Change, there: Endpoint | None) -> JsonObject:
    """A new version is materialised like the one before it; where that failed, nothing but a request brings it back."""
    lost = there is not None and Key.MATERIALIZATION in not_applied(change, there)
    return {"is_materialized": True} if lost else {}


def _may_have_landed(error: ApiError) -> bool:
    if isinstance(error, LostAnswer | BadAnswer | ServerFault | NameTaken):
        return True  # a name that is taken may be by our own earlier try, whose answer was lost
    return isinstance(error, Refused) and error.detail == _RACE_LOST


def _read_again(client: Client, change: Change) -> Endpoint | None:
    try:
        return client.get_endpoint(change.name)
    except EndpointNotFound:
        return None


def _by_versions(client: Client, change: Change, now: Endpoint | None) -> Written:
    """Somebody wrote too, before or after what we sent: the versions tell whether ours is among theirs."""
    if now is None or not cuts_a_version(change) or change.precondition.endpoint_id != now.id:
        return moved(change, now)
    try:
        versions = client.list_versions(change.name)
    except ApiError:
        return moved(change, now)
    newer = (one for one in versions if one.version > (change.precondition.version or 0))
    ours = next((one.version for one in newer if Key.QUERY not in not_applied(change, one)), None)
    return moved(change, now) if ours is None else overtaken(change, now, ours)
