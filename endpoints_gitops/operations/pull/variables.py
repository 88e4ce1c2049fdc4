"""Whose change it is where a definition and the project disagree on a shared variable.

Type, label, values and multi belong to the project's variable and leave no versions (docs/server.md#insight-variables).
Git alone can tell: what the file said in every commit is not new in it, and what it said once is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from endpoints_gitops.model.definition import LoadedDefinition, Variable
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.diff import Attribution
from endpoints_gitops.workspace.git import HistoryUnavailable, repository
from endpoints_gitops.workspace.history import history

_STATED = ("type", "label", "values", "multi")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableDiff:
    """The variables of one definition that the project has otherwise, and whose change that is."""

    names: tuple[str, ...]
    attribution: Attribution
    reason: str


def compare_variables(
    project: ProjectContext, definitions: Iterable[LoadedDefinition], variables: Iterable[InsightVariable]
) -> dict[str, VariableDiff]:
    """By the name of the definition; only those that disagree with the project."""
    there = {variable.code_name: _of_project(variable) for variable in variables}
    differing = {loaded.name: loaded for loaded in definitions if _names(loaded, there)}
    past = _past(project, differing)
    return {
        name: _diff(_names(loaded, there), _of_file(loaded), there, past.get(name))
        for name, loaded in differing.items()
    }


def _names(loaded: LoadedDefinition, there: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    listed = {variable.name: _stated(variable) for variable in loaded.definition.variables or ()}
    return tuple(name for name, stated in listed.items() if name in there and not _agrees(stated, there[name]))


def _agrees(stated: Mapping[str, Json], has: Mapping[str, Json]) -> bool:
    return all(canonical(value) == canonical(has[key]) for key, value in stated.items())


def _of_file(loaded: LoadedDefinition) -> Mapping[str, Json]:
    return {variable.name: _stated(variable) for variable in loaded.definition.variables or ()}


def _stated(variable: Variable) -> dict[str, Json]:
    said = {key: getattr(variable, key) for key in _STATED if getattr(variable, key) is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}


def _of_project(variable: InsightVariable) -> Mapping[str, Json]:
    return {
        "type": variable.type,
        "label": variable.name,
        "values": variable.values,
        "multi": variable.is_multi,
    }


type _State = Mapping[str, Json]
"""The settings of the variables by their names, as a definition stated them."""


def _past(project: ProjectContext, definitions: Mapping[str, LoadedDefinition]) -> Mapping[str, Sequence[_State]]:
    """What each definition said in the commits behind HEAD, newest first; nothing where history cannot be had."""
    found = repository(project.folder) if definitions else None
    if found is None or found.is_shallow:
        return {}
    try:
        past = history(found, project.folder, definitions.keys(), _of_file)
    except HistoryUnavailable:
        return {}
    return {name: [one.meaning for one in states if one.meaning is not None] for name, states in past.items()}


def _diff(
    names: tuple[str, ...],
    stated: _State,
    there: Mapping[str, Mapping[str, Json]],
    past: Sequence[_State] | None,
) -> VariableDiff:
    listed = ", ".join(names)
    if past and all(_said(state, name, stated[name]) for state in past for name in names):
        return VariableDiff(
            names=names, attribution=Attribution.DRIFTED, reason=f"{listed}: the file never said anything else"
        )
    if past and all(any(_had(state, name, there[name]) for state in past) for name in names):
        return VariableDiff(
            names=names, attribution=Attribution.AHEAD, reason=f"{listed}: the project has what the file said once"
        )
    reason = f"{listed}: type, label or values differ from the project's; cannot tell which side changed them"
    return VariableDiff(names=names, attribution=Attribution.CONFLICT, reason=reason)


def _said(state: _State, name: str, stated: Json) -> bool:
    return name not in state or canonical(state[name]) == canonical(stated)


def _had(state: _State, name: str, there: Mapping[str, Json]) -> bool:
    stated = state.get(name)
    return isinstance(stated, Mapping) and _agrees(stated, there)
