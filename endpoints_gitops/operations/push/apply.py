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
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.operations.push.results import (
    ChangeResult,
    VariableResult,
    already_applied,
    not_landed,
    overtaken,
    refused,
    refused_in_part,
    settings_replaced,
    stale_result,
    uncertain,
    unverified,
    verified,
)
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, body
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.preconditions import ChangeState, not_applied, state_of
from endpoints_gitops.plan.settings import Key, same
from endpoints_gitops.plan.variables import VariableAction, VariableChange, create_body, update_body

TRIES: Final = 3
"""How often a write is sent whose answers are lost and that, read again, has not landed."""
_RACE_LOST: Final = "Failed to update endpoint."  # two cut the same version number at once: docs/server.md#concurrency


def apply_change(
    client: Client,
    change: EndpointChange,
    variables: Mapping[str, InsightVariable],
    there: ServerRevision | None = None,
) -> ChangeResult:
    """Send one change that is pending; `there` is the endpoint as it was listed.

    Where no version shows an edit between the list and the write, the endpoint is read once more right before. Where
    the write cuts a version, the one before it still has the settings that were its own, and is read afterwards.
    """
    if change.action is ChangeAction.CREATE or not _needs_reading(change):
        return _with_previous_version(client, change, _sent(client, change, variables, there))
    try:
        now = _read_again(client, change)
    except ApiError as error:
        return refused(change, error)
    state = state_of(change, now)
    if now is None or state is ChangeState.STALE:
        return stale_result(change, now)
    return already_applied(change, now) if state is ChangeState.APPLIED else _sent(client, change, variables, now)


def _sent(
    client: Client, change: EndpointChange, variables: Mapping[str, InsightVariable], there: ServerRevision | None
) -> ChangeResult:
    for _ in range(TRIES):
        try:
            return verified(change, _send(client, change, variables, there))
        except EndpointNotFound:
            return stale_result(change, None)
        except ApiError as error:
            if not _may_have_landed(error):
                return _refused(client, change, error)
            lost = error
        except EndpointsError as error:
            return refused(change, error)
        try:
            there = _read_again(client, change)
        except ApiError:
            return uncertain(change, lost)
        state = state_of(change, there)
        if there is not None and state is ChangeState.APPLIED:
            return verified(change, there)
        if state is ChangeState.STALE:
            return _by_versions(client, change, there)
        if isinstance(lost, NameTaken):
            break  # taken by one that this key may not see
    return refused(change, lost) if isinstance(lost, NameTaken) else not_landed(change, lost, there)


_OF_A_VERSION: Final = frozenset((Key.DESCRIPTION, Key.FRESHNESS, Key.OPTIONAL_BREAKDOWNS))
"""Settings that a version keeps when a newer one is cut (docs/server.md#versions)."""


def _needs_reading(change: EndpointChange) -> bool:
    """Whether it sends a setting that no version keeps; a table's bucket overrides are repeated with any change."""
    settings = {one.key for one in change.keys} - {Key.QUERY}
    depended = change.precondition.settings
    repeats = depended.get(Key.MATERIALIZATION) is True and bool(depended.get(Key.BUCKET_OVERRIDES))
    return repeats or not settings <= _OF_A_VERSION or bool(settings and not change.cuts_a_version)


def _with_previous_version(client: Client, change: EndpointChange, written: ChangeResult) -> ChangeResult:
    """The same, with an error where a setting was edited on the server before ours replaced it."""
    number, known = change.precondition.version, change.precondition.settings
    keys = [one.key for one in change.keys if one.key in _OF_A_VERSION and one.key in known]
    if not keys or number is None or not change.cuts_a_version or not written.landed or written.errors:
        return written
    try:
        before = ServerRevision.of(client.get_version(change.name, number)).settings
    except ApiError as error:
        return replace(written, errors=(unverified(change, error),))
    moved_keys = [key for key in keys if key in before and not same(key, known[key], before[key])]
    return replace(written, errors=(settings_replaced(change, moved_keys),)) if moved_keys else written


def _refused(client: Client, change: EndpointChange, error: ApiError) -> ChangeResult:
    """A write that is refused (400) may have landed in part: a new version without its table, an endpoint without tags
    (docs/server.md#versions). So the endpoint is read back.
    """
    if not isinstance(error, Refused):
        return refused(change, error)
    try:
        now = _read_again(client, change)
    except ApiError:
        return uncertain(change, error)
    if now is None:
        return refused(change, error)
    left = not_applied(change, now)
    is_new = change.action is ChangeAction.CREATE or now.current_version > (change.precondition.version or 0)
    landed = [one.key for one in change.keys if one.key not in left and not _was_so(change, one)]
    has_query = change.cuts_a_version or change.action is ChangeAction.CREATE
    if not landed or (has_query and (Key.QUERY in left or not is_new)):
        return refused(change, error)
    return refused_in_part(change, error, now, left)


def _was_so(change: EndpointChange, one: KeyChange) -> bool:
    return change.action is not ChangeAction.CREATE and same(one.key, one.after, one.before)


def _send(
    client: Client, change: EndpointChange, variables: Mapping[str, InsightVariable], there: ServerRevision | None
) -> ServerRevision:
    sent = body(change, variables)
    if change.action is ChangeAction.CREATE:
        return ServerRevision.of(client.create_endpoint(sent))
    return ServerRevision.of(client.update_endpoint(change.name, {**_table_again(change, there), **sent}))


def _table_again(change: EndpointChange, there: ServerRevision | None) -> JsonObject:
    """A new version is materialised like the one before it; where that failed, nothing but a request brings it back."""
    lost = there is not None and Key.MATERIALIZATION in not_applied(change, there)
    return {"is_materialized": True} if lost else {}


def _may_have_landed(error: ApiError) -> bool:
    if isinstance(error, LostAnswer | BadAnswer | ServerFault | NameTaken):
        return True  # a name that is taken may be by our own earlier try, whose answer was lost
    return isinstance(error, Refused) and error.detail == _RACE_LOST


def _read_again(client: Client, change: EndpointChange) -> ServerRevision | None:
    try:
        return ServerRevision.of(client.get_endpoint(change.name))
    except EndpointNotFound:
        return None


def _by_versions(client: Client, change: EndpointChange, now: ServerRevision | None) -> ChangeResult:
    """Somebody wrote too, before or after what we sent: the versions tell whether ours is among theirs."""
    if now is None or not change.cuts_a_version or change.precondition.endpoint_id != now.endpoint.id:
        return stale_result(change, now)
    try:
        versions = client.list_versions(change.name)
    except ApiError:
        return stale_result(change, now)
    newer = (one for one in versions if one.version > (change.precondition.version or 0))
    ours = next((one.version for one in newer if Key.QUERY not in not_applied(change, ServerRevision.of(one))), None)
    return stale_result(change, now) if ours is None else overtaken(change, now, ours)


TURNS: Final = 6
"""Reading and changing take two, as creating and renaming do; the others are for lost answers."""
_TAKEN: Final = "already exists"


def write_variable(client: Client, change: VariableChange, listed: InsightVariable | None) -> VariableResult:
    """Create or change one shared variable; `listed` is what the project had under its code name.

    One that exists is read once more right before it is changed, as a shared variable has no versions that would show
    an edit. After a lost answer the project is read again; only what it lacks is sent again.
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
