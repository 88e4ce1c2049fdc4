"""One change of a plan: sent once, verified by its own answer, read again only where that answer is lost.

Nothing on the server guards against two writers (docs/server.md#concurrency), so whoever came between is found by the
number of the version that the answer names. The server makes the code name of a shared variable from its label
(docs/server.md#insight-variables): one whose label is another is created under its code name and renamed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import (
    ApiError,
    BadAnswer,
    EndpointNotFound,
    LostAnswer,
    NameTaken,
    NotFound,
    Refused,
    ServerFault,
)
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.operations.push.results import (
    ChangeOutcome,
    ChangeResult,
    VariableResult,
    failed,
    not_landed,
    overtaken,
    refused_in_part,
    settings_replaced,
    stale_result,
    unverified,
    verified,
)
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, Plan, body
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.preconditions import ChangeState, not_applied, state_of
from endpoints_gitops.plan.settings import Key, same
from endpoints_gitops.plan.variables import VariableAction, VariableChange, create_body, update_body

TRIES: Final = 3
"""How often a write is sent whose answers are lost and that, read again, has not landed."""
_RACE_LOST: Final = "Failed to update endpoint."  # two cut the same version number at once: docs/server.md#concurrency


_KEPT_BY_VERSIONS: Final = frozenset((Key.DESCRIPTION, Key.FRESHNESS, Key.OPTIONAL_BREAKDOWNS))
"""Settings that a version keeps when a newer one is cut (docs/server.md#versions)."""


def apply_change(
    client: Client,
    change: EndpointChange,
    variables: Mapping[str, InsightVariable],
    listed: ServerRevision | None = None,
) -> ChangeResult:
    """Send one pending change, and verify it. `listed` is the endpoint as the list before the push had it.

    Where no version would show an edit between the list and the write, the endpoint is read once more right before.
    Where the write cuts a version, the version before it keeps its own settings, and is read afterwards.
    """
    if change.action is ChangeAction.CREATE or not _needs_fresh_read(change):
        return _check_previous_version(client, change, _send_until_known(client, change, variables, listed))
    try:
        fresh = _read_endpoint(client, change.name)
    except ApiError as error:
        return failed(change, error)
    state = state_of(change, fresh)
    if fresh is None or state is ChangeState.STALE:
        return stale_result(change, fresh)
    if state is ChangeState.APPLIED:
        return ChangeResult(change=change, state=ChangeOutcome.ALREADY, remote=fresh)
    return _send_until_known(client, change, variables, fresh)


def requests_of(plan: Plan) -> int:
    """How many requests applying a plan takes where every write lands at once, without those that read the server."""
    return sum(map(_requests_of_variable, plan.variables)) + sum(map(_requests_of_change, plan.changes))


def _requests_of_variable(change: VariableChange) -> int:
    """An existing variable is read before it is changed; a new one is renamed to its label afterwards."""
    return 2 if change.action is VariableAction.UPDATE or update_body(change) else 1


def _requests_of_change(change: EndpointChange) -> int:
    if change.action is ChangeAction.CREATE:
        return 1
    return 2 if _needs_fresh_read(change) or _replaced_settings(change) else 1


def _replaced_settings(change: EndpointChange) -> list[Key]:
    """The settings that a new version has and the version before keeps: that one is read afterwards."""
    known = change.precondition.settings if change.cuts_a_version else {}
    return [key for key in change.after if key in _KEPT_BY_VERSIONS and key in known]


def _needs_fresh_read(change: EndpointChange) -> bool:
    """Whether the change sends a setting that no version keeps. A table's bucket overrides are repeated with any
    change, so they are such a setting.
    """
    settings = change.after.keys() - {Key.QUERY}
    depended = change.precondition.settings
    repeats = depended.get(Key.MATERIALIZATION) is True and bool(depended.get(Key.BUCKET_OVERRIDES))
    return repeats or not settings <= _KEPT_BY_VERSIONS or bool(settings and not change.cuts_a_version)


def _send_until_known(
    client: Client, change: EndpointChange, variables: Mapping[str, InsightVariable], remote: ServerRevision | None
) -> ChangeResult:
    """Send the change, again where its answer was lost and it did not land. `remote` is the endpoint as last read."""
    for _ in range(TRIES):
        try:
            return verified(change, _send(client, change, variables, remote))
        except EndpointNotFound:
            return stale_result(change, None)
        except ApiError as error:
            if not _may_have_landed(error):
                return _refused(client, change, error)
            lost = error
        except EndpointsError as error:
            return failed(change, error)
        try:
            remote = _read_endpoint(client, change.name)
        except ApiError:
            return ChangeResult(change=change, state=ChangeOutcome.UNCERTAIN, errors=(lost,))
        state = state_of(change, remote)
        if remote is not None and state is ChangeState.APPLIED:
            return verified(change, remote)
        if state is ChangeState.STALE:
            return _find_own_version(client, change, remote)
        if isinstance(lost, NameTaken):  # by an endpoint that this key may not see
            return failed(change, lost)
    return not_landed(change, lost, remote)


def _send(
    client: Client, change: EndpointChange, variables: Mapping[str, InsightVariable], remote: ServerRevision | None
) -> ServerRevision:
    sent = body(change, variables)
    if change.action is ChangeAction.CREATE:
        return ServerRevision.of(client.create_endpoint(sent))
    if remote is not None and Key.MATERIALIZATION in not_applied(change, remote):
        # a new version is materialised like the one before it; where that failed, only a request brings it back
        sent = {"is_materialized": True, **sent}
    return ServerRevision.of(client.update_endpoint(change.name, sent))


def _may_have_landed(error: ApiError) -> bool:
    if isinstance(error, LostAnswer | BadAnswer | ServerFault | NameTaken):
        return True  # a name that is taken may be by our own earlier try, whose answer was lost
    return isinstance(error, Refused) and error.detail == _RACE_LOST


def _read_endpoint(client: Client, name: str) -> ServerRevision | None:
    try:
        return ServerRevision.of(client.get_endpoint(name))
    except EndpointNotFound:
        return None


def _check_previous_version(client: Client, change: EndpointChange, result: ChangeResult) -> ChangeResult:
    """The result, with an error where a setting was edited on the server before ours replaced it."""
    number, known = change.precondition.version, change.precondition.settings
    keys = _replaced_settings(change)
    if not keys or number is None or not result.landed or result.errors:
        return result
    try:
        before = ServerRevision.of(client.get_version(change.name, number)).settings
    except ApiError as error:
        return replace(result, errors=(unverified(change, error),))
    edited = [key for key in keys if key in before and not same(key, known[key], before[key])]
    return replace(result, errors=(settings_replaced(change, edited),)) if edited else result


def _refused(client: Client, change: EndpointChange, error: ApiError) -> ChangeResult:
    """The result of a write that was refused. One that was refused with 400 may have landed in part: a new version
    without its table, an endpoint without tags (docs/server.md#versions). So the endpoint is read back.
    """
    if not isinstance(error, Refused):
        return failed(change, error)
    try:
        remote = _read_endpoint(client, change.name)
    except ApiError:
        return ChangeResult(change=change, state=ChangeOutcome.UNCERTAIN, errors=(error,))
    if remote is None:
        return failed(change, error)
    is_creation = change.action is ChangeAction.CREATE
    missing = not_applied(change, remote)
    landed = [
        key_change
        for key_change in change.keys
        if key_change.key not in missing
        and (is_creation or not same(key_change.key, key_change.after, key_change.before))
    ]
    is_new = is_creation or remote.current_version > (change.precondition.version or 0)
    has_query = is_creation or change.cuts_a_version
    if not landed or (has_query and (Key.QUERY in missing or not is_new)):
        return failed(change, error)
    return refused_in_part(change, error, remote, missing)


def _find_own_version(client: Client, change: EndpointChange, remote: ServerRevision | None) -> ChangeResult:
    """The result where another client wrote too, before or after this push: the list of versions shows whether ours
    is among them.
    """
    if remote is None or not change.cuts_a_version or change.precondition.endpoint_id != remote.endpoint.id:
        return stale_result(change, remote)
    try:
        versions = client.list_versions(change.name)
    except ApiError:
        return stale_result(change, remote)
    for version in versions:
        is_newer = version.version > (change.precondition.version or 0)
        if is_newer and Key.QUERY not in not_applied(change, ServerRevision.of(version)):
            return overtaken(change, remote, version.version)
    return stale_result(change, remote)


TURNS: Final = 6
"""A variable is read and changed, or created and renamed, which takes two turns; the others are for lost answers."""
_TAKEN: Final = "already exists"


def write_variable(client: Client, change: VariableChange, listed: InsightVariable | None) -> VariableResult:
    """Create or change one shared variable. `listed` is the variable as the list before the push had it.

    A variable that exists is read once more right before it is changed, as it has no versions that would show an edit.
    After a lost answer the project is read again, and only what it lacks is sent again.
    """
    present, landed, is_fresh = listed, False, False
    lost: EndpointsError | None = None
    for _ in range(TURNS):
        state = _variable_state(change, present)
        if state is ChangeState.APPLIED:
            return VariableResult(change=change, variable=present, landed=landed or lost is not None)
        if state is ChangeState.STALE:
            return VariableResult(change=change, variable=present, landed=landed, error=_conflict(change))
        try:
            if change.action is VariableAction.UPDATE and present is not None and not is_fresh:
                present, is_fresh = _read_variable(client, present), True
                continue
            present, landed = _sent_variable(client, change, present), True
        except EndpointsError as error:
            if not _variable_may_have_landed(error):
                return VariableResult(change=change, landed=landed, error=error)
            lost = error
            try:
                variables = client.list_variables()
            except EndpointsError:
                break  # what the project has cannot be known now
            present = next((variable for variable in variables if variable.code_name == change.code_name), None)
    return VariableResult(change=change, landed=landed, is_uncertain=True, error=lost or _unlike(change))


def _read_variable(client: Client, variable: InsightVariable) -> InsightVariable | None:
    try:
        return client.get_variable(variable.id)
    except NotFound:
        return None


def _sent_variable(client: Client, change: VariableChange, present: InsightVariable | None) -> InsightVariable:
    if present is None:
        return client.create_variable(create_body(change))
    return client.update_variable(present.id, update_body(change) or {})


def _variable_may_have_landed(error: EndpointsError) -> bool:
    """Whether the project may have it all the same: ours whose answer is lost, or another one of the same name."""
    if isinstance(error, Refused):
        return _TAKEN in (error.detail or "")
    return isinstance(error, LostAnswer | BadAnswer | ServerFault)


def _variable_state(change: VariableChange, present: InsightVariable | None) -> ChangeState:
    """What is left of the change; `present` is the variable as the project has it now."""
    creates = change.action is VariableAction.CREATE
    if present is None:
        return ChangeState.PENDING if creates else ChangeState.STALE
    wanted, now = _wanted(change), _now(present)
    missing = {key for key, value in wanted.items() if canonical(value) != canonical(now[key])}
    if not missing:
        return ChangeState.APPLIED
    if creates:
        is_ours = missing == {"label"} and present.name == change.code_name
        return ChangeState.PENDING if is_ours else ChangeState.STALE
    before = change.before or {}
    untouched = all(canonical(before[key]) == canonical(now[key]) for key in missing & before.keys())
    return ChangeState.PENDING if untouched else ChangeState.STALE


def _wanted(change: VariableChange) -> dict[str, Json]:
    """What definitions say of the variable. A default is for a new one alone: one that is there keeps its own.

    Only a List has choices and takes several of them (docs/server.md#insight-variables).
    """
    wanted: dict[str, Json] = {"type": change.type.value, "label": change.label}
    if change.type is VariableType.LIST:
        wanted |= {"values": None if change.values is None else _texts(change.values), "multi": change.multi}
    return {key: value for key, value in wanted.items() if value is not None}


def _now(present: InsightVariable) -> Mapping[str, Json]:
    return {
        "type": present.type.value,
        "label": present.name,
        "values": _texts(present.values),
        "multi": present.is_multi,
    }


def _texts(values: Json) -> list[Json]:
    """The server keeps the choices of a List as texts."""
    listed = values if isinstance(values, list | tuple) else ()
    return [value if isinstance(value, str) else canonical(value) for value in listed]


def _conflict(change: VariableChange) -> Conflict:
    message = f"the shared variable {change.code_name!r} was changed on the server since the plan was made; not written"
    return Conflict(
        message,
        where=change.where or None,
        fix="plan and push again",
        code="push.variable_moved",
        subject=change.code_name,
    )


def _unlike(change: VariableChange) -> PartlyApplied:
    message = f"the server accepted the shared variable {change.code_name!r}, but has something else"
    fix = "look at it in PostHog: Data management, Variables"
    return PartlyApplied(message, where=change.where or None, fix=fix, code="push.unverified", subject=change.code_name)
