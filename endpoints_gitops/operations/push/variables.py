"""Shared variables, written before the endpoints that use them.

The server makes the code name from the label (docs/server.md#insight-variables): one whose label is another is created
under its code name and renamed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer, LostAnswer, Refused, ServerFault
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.plan.variables import VariableAction, VariableChange, create_body, update_body

TURNS: Final = 5
"""Creating and renaming take two; the others are for lost answers."""
_TAKEN: Final = "already exists"


class _Stand(StrEnum):
    ABSENT = "absent"
    TO_UPDATE = "to update"
    DONE = "done"
    FOREIGN = "foreign"


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


def by_code_name(variables: Iterable[InsightVariable]) -> dict[str, InsightVariable]:
    """The variables as queries refer to them."""
    return {variable.code_name: variable for variable in variables}


def write_variable(client: Client, change: VariableChange, there: InsightVariable | None) -> VariableResult:
    """Create or change one shared variable; `there` is what the project has under its code name.

    A lost answer is followed by a look at what is there; only what that lacks is sent again.
    """
    landed = False
    lost: EndpointsError | None = None
    for _ in range(TURNS):
        stand = _stand(change, there)
        if stand is _Stand.DONE:
            return VariableResult(change=change, variable=there, landed=landed or lost is not None)
        if stand is _Stand.FOREIGN:
            return VariableResult(change=change, variable=there, landed=landed, error=_conflict(change))
        try:
            there, landed = _sent(client, change, there), True
        except EndpointsError as error:
            if not _look_again(error):
                return VariableResult(change=change, landed=landed, error=error)
            lost = error
            try:
                there = by_code_name(client.list_variables()).get(change.code_name)
            except EndpointsError:
                break  # what is there cannot be known now
    return VariableResult(change=change, landed=landed, is_uncertain=True, error=lost or _unlike(change))


def _sent(client: Client, change: VariableChange, there: InsightVariable | None) -> InsightVariable:
    if there is None:
        return client.create_variable(create_body(change))
    return client.update_variable(there.id, update_body(change) or {})


def _look_again(error: EndpointsError) -> bool:
    """Whether it may be there all the same: ours whose answer is lost, or somebody else's of the same name."""
    if isinstance(error, Refused):
        return _TAKEN in (error.detail or "")
    return isinstance(error, LostAnswer | BadAnswer | ServerFault)


def _stand(change: VariableChange, there: InsightVariable | None) -> _Stand:
    creates = change.action is VariableAction.CREATE
    if there is None:
        return _Stand.ABSENT if creates else _Stand.FOREIGN
    wanted, now = _wanted(change), _now(there)
    missing = {key for key, value in wanted.items() if canonical(value) != canonical(now[key])}
    if not missing:
        return _Stand.DONE
    if creates:
        is_ours = missing == {"label"} and there.name == change.code_name
        return _Stand.TO_UPDATE if is_ours else _Stand.FOREIGN
    before = change.before or {}
    untouched = all(canonical(before[key]) == canonical(now[key]) for key in missing & before.keys())
    return _Stand.TO_UPDATE if untouched else _Stand.FOREIGN


def _wanted(change: VariableChange) -> dict[str, Json]:
    """What definitions say of the variable. A default is for a new one alone: one that is there keeps its own.

    Only a List has choices and takes several of them (docs/server.md#insight-variables).
    """
    said: dict[str, Json] = {"type": change.type.value, "label": change.label}
    if change.type is VariableType.LIST:
        said |= {"values": None if change.values is None else _texts(change.values), "multi": change.multi}
    return {key: value for key, value in said.items() if value is not None}


def _now(there: InsightVariable) -> Mapping[str, Json]:
    return {
        "type": there.type.value,
        "label": there.name,
        "values": _texts(there.values),
        "multi": there.is_multi,
    }


def _texts(values: Json) -> list[Json]:
    """The server keeps the choices of a List as texts."""
    listed = values if isinstance(values, list | tuple) else ()
    return [value if isinstance(value, str) else canonical(value) for value in listed]


def _conflict(change: VariableChange) -> Conflict:
    message = f"somebody else changed the shared variable {change.code_name!r} meanwhile; it was left as it is"
    return Conflict(message, where=change.where or None, fix="plan and push again", code="push.variable_moved")


def _unlike(change: VariableChange) -> PartlyApplied:
    message = f"the server accepted the shared variable {change.code_name!r}, but has something else"
    fix = "look at it in PostHog: Data management, Variables"
    return PartlyApplied(message, where=change.where or None, fix=fix, code="push.unverified")
