"""The project's shared variables that definitions need: which are missing, and which differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from endpoints_gitops.model.definition import LoadedDefinition, VariableType
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import Json, JsonObject


class VariableAction(StrEnum):
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableChange:
    """What has to happen to one shared variable so that it is as the definitions say.

    `label`, `values` and `multi` are None where no definition states them. `default` is for a new one. `before` has what
    an update changes, as it is now; `id` is the variable's, None for a new one. `declared_by` are the definitions,
    `used_by` those and every endpoint whose query uses it. `where` is the place that says so.
    """

    code_name: str
    action: VariableAction
    type: VariableType
    label: str | None = None
    default: Json = None
    values: tuple[Json, ...] | None = None
    multi: bool | None = None
    id: str | None = None
    before: JsonObject | None = None
    declared_by: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    where: str = ""


def needed(
    definitions: Iterable[LoadedDefinition], variables: Iterable[InsightVariable], endpoints: Iterable[Endpoint]
) -> tuple[VariableChange, ...]:
    """What of the shared variables is missing or differs, by code name.

    Raises InvalidInput where definitions disagree on one, with every place.
    """
    raise NotImplementedError


def create_body(change: VariableChange) -> JsonObject:
    """The body that creates it. Its name is the code name, from which the server makes just that code name."""
    raise NotImplementedError


def update_body(change: VariableChange) -> JsonObject | None:
    """The body of the PATCH: of an update, or of a creation the rename to its label; None where there is none."""
    raise NotImplementedError
