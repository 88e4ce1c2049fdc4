"""Which endpoints a `--prune` may deactivate: this folder once defined them, and no file defines them now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.workspace.commits import not_on_disk, tracked
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    Repository,
    explain_missing,
    explain_shallow,
    repository,
)
from endpoints_gitops.workspace.history import names_ever_defined
from endpoints_gitops.workspace.selection import managed


def prunable(
    project: ProjectContext, definitions: Sequence[LoadedDefinition], endpoints: Mapping[str, Endpoint]
) -> frozenset[str]:
    """The names of active endpoints that may be pruned.

    Never one that `protect` covers, never a stranger, and never what a definition was renamed from: its callers still
    use it. A definition that HEAD or git's index has counts, also where its file is not on disk. Raises UsageError
    without the whole history, or where a submodule is missing: what this folder defined is unknown then.
    """
    found = _whole_history(project)
    missing = not_on_disk(project.folder)
    if missing.submodules:
        message = f"--prune needs every definition, and the submodule {missing.submodules[0]} is not initialised"
        fix = missing.advice
        raise UsageError(message, fix=fix, code="prune.submodule")
    there = (*definitions, *tracked(found, project.folder))
    kept = {loaded.name for loaded in there} | {loaded.definition.renamed_from for loaded in there}
    protected = managed(
        project.environment.protect,
        definitions=definitions,
        endpoints=endpoints.values(),
        environment=project.environment.name,
    )
    active = {name for name, endpoint in endpoints.items() if endpoint.is_active}
    try:
        ever_defined = names_ever_defined(found, project.folder)
    except HistoryUnavailable as error:
        raise _refused(error, "prune.partial") from error
    return (ever_defined & active) - kept - protected


def _whole_history(project: ProjectContext) -> Repository:
    found = repository(project.folder)
    if found is None:
        raise _refused(explain_missing(project.folder), "prune.no_git")
    if found.is_shallow:
        raise _refused(explain_shallow(found), "prune.shallow")
    return found


def _refused(error: HistoryUnavailable, code: str) -> UsageError:
    message = f"--prune needs the whole history to know which endpoints were defined here: {error.message}"
    return UsageError(message, fix=error.fix, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Endpoints that this folder once defined and no file defines now.

    `active` can be pruned, `protected` are active and never pruned, `pruned` are inactive.
    """

    active: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()
    pruned: frozenset[str] = frozenset()


def orphans(
    project: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
    strangers: Collection[str],
) -> Orphans:
    """Which of the endpoints without a file are orphans; none where git does not have the whole history."""
    renamed = {loaded.definition.renamed_from for loaded in definitions}
    candidates = frozenset(strangers) - renamed
    found = repository(project.folder) if candidates else None
    if found is None or found.is_shallow:
        return Orphans()
    try:
        names = names_ever_defined(found, project.folder) & candidates
    except HistoryUnavailable:  # a partial clone; --prune says so
        return Orphans()
    active = frozenset(name for name in names if endpoints[name].is_active)
    protected = active & managed(
        project.environment.protect,
        definitions=definitions,
        endpoints=[endpoints[name] for name in names],
        environment=project.environment.name,
    )
    return Orphans(active=active - protected, protected=protected, pruned=names - active)
