"""Shared variables, written before the endpoints that use them.

The server makes the code name from the label (docs/server.md#insight-variables): one whose label is another is created
under its code name and renamed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer, LostAnswer, NotFound, Refused, ServerFault
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.plan.preconditions import ChangeState
from endpoints_gitops.plan.variables import VariableAction, VariableChange, create_body, update_body

TURNS: Final = 6
"""Reading and changing take two, as creating and renaming do; the others are for lost answers."""
_TAKEN: Final = "already exists"


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


def write_variable(client: Client, change: VariableChange, listed: InsightVariable | None) -> VariableResult:
    """Create or change one shared variable; `listed` is what the project had under its code name.

    One that exists is read once more right before it is changed, as a shared variable has no versions that would show
    an edit. After a lost answer the project is read again; only what it lacks is sent again.
    """
    present, landed, is_fresh = listed, False, False
    lost: EndpointsError | None = None
    for _ in range(TURNS):
        state = _state_of(change, present)
        if state is ChangeState.APPLIED:
            return VariableResult(change=change, variable=present, landed=landed or lost is not None)
        if state is ChangeState.STALE:
            return VariableResult(change=change, variable=present, landed=landed, error=_conflict(change))
        try:
            if change.action is VariableAction.UPDATE and present is not None and not is_fresh:
                present, is_fresh = _read(client, present), True
                continue
            present, landed = _sent(client, change, present), True
        except EndpointsError as error:
            if not _may_have_landed(error):
                return VariableResult(change=change, landed=landed, error=error)
            lost = error
            try:
                variables = client.list_variables()
            except EndpointsError:
                break  # what the project has cannot be known now
            present = next((variable for variable in variables if variable.code_name == change.code_name), None)
    return VariableResult(change=change, landed=landed, is_uncertain=True, error=lost or _unlike(change))


def _read(client: Client, variable: InsightVariable) -> InsightVariable | None:
    try:
        return client.get_variable(variable.id)
    except NotFound:
        return None


def _sent(client: Client, change: VariableChange, present: InsightVariable | None) -> InsightVariable:
    if present is None:
        return client.create_variable(create_body(change))
    return client.update_variable(present.id, update_body(change) or {})


def _may_have_landed(error: EndpointsError) -> bool:
    """Whether the project may have it all the same: ours whose answer is lost, or another one of the same name."""
    if isinstance(error, Refused):
        return _TAKEN in (error.detail or "")
    return isinstance(error, LostAnswer | BadAnswer | ServerFault)


def _state_of(change: VariableChange, present: InsightVariable | None) -> ChangeState:
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
    return Conflict(message, where=change.where or None, fix="plan and push again", code="push.variable_moved")


def _unlike(change: VariableChange) -> PartlyApplied:
    message = f"the server accepted the shared variable {change.code_name!r}, but has something else"
    fix = "look at it in PostHog: Data management, Variables"
    return PartlyApplied(message, where=change.where or None, fix=fix, code="push.unverified")
