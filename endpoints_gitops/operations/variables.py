"""Shared variables, written before the endpoints that use them.

The server makes the code name from the label (docs/server.md#insight-variables): one whose label is another is created
under its code name and renamed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer, LostAnswer, Refused, ServerFault
from endpoints_gitops.errors import Conflict, EndpointsError, PartlyApplied
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, JsonObject, canonical
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
class VariableWritten:
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


def write_variable(client: Client, change: VariableChange, there: InsightVariable | None) -> VariableWritten:
    """Create or change one shared variable; `there` is what the project has under its code name.

    A lost answer is followed by a look at what is there; only what that lacks is sent again.
    """
    landed = False
    lost: EndpointsError | None = None
    for _ in range(TURNS):
        stand = _stand(change, there)
        if stand is _Stand.DONE:
            return VariableWritten(change=change, variable=there, landed=landed or lost is not None)
        if stand is _Stand.FOREIGN:
            return VariableWritten(change=change, variable=there, landed=landed, error=_conflict(change))
        try:
            there, landed = _sent(client, change, there), True
        except EndpointsError as error:
            if not _look_again(error):
                return VariableWritten(change=change, landed=landed, error=error)
            lost = error
            try:
                there = by_code_name(client.list_variables()).get(change.code_name)
            except EndpointsError:
                break
    return VariableWritten(change=change, landed=landed, is_uncertain=True, error=lost or _unlike(change))


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
    wanted = _wanted(change)
    missing = {key for key, value in wanted.items() if not _is(there, key, value)}
    if not missing:
        return _Stand.DONE
    if creates:
        is_ours = missing == {"name"} and there.name == change.code_name
        return _Stand.TO_UPDATE if is_ours else _Stand.FOREIGN
    untouched = all(_is(there, key, value) for key, value in (change.before or {}).items() if key in missing)
    return _Stand.TO_UPDATE if untouched else _Stand.FOREIGN


def _wanted(change: VariableChange) -> JsonObject:
    """What definitions say of the variable. A default is for a new one alone: one that is there keeps its own."""
    said = {"type": change.type.value, "name": change.label, "values": change.values, "is_multi": change.multi}
    return {key: value for key, value in said.items() if value is not None}


def _is(there: InsightVariable, key: str, value: Json) -> bool:
    """The server keeps the values of a list as texts (docs/server.md#insight-variables)."""
    present: Json = getattr(there, key, None)
    if key == "values" and there.type is VariableType.LIST:
        return _texts(present) == _texts(value)
    return canonical(present) == canonical(value)


def _texts(values: Json) -> list[str]:
    listed = values if isinstance(values, list | tuple) else ()
    return [value if isinstance(value, str) else canonical(value) for value in listed]


def _conflict(change: VariableChange) -> Conflict:
    message = f"somebody else changed the shared variable {change.code_name!r} meanwhile; it was left as it is"
    return Conflict(message, where=change.where or None, fix="plan and push again", code="push.variable_moved")


def _unlike(change: VariableChange) -> PartlyApplied:
    message = f"the server accepted the shared variable {change.code_name!r}, but has something else"
    fix = "look at it in PostHog: Data management, Variables"
    return PartlyApplied(message, where=change.where or None, fix=fix, code="push.unverified")
