"""Which endpoints a `--prune` may deactivate: this folder once defined them, and no file defines them now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.workplace import Workplace
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
    work: Workplace, definitions: Sequence[LoadedDefinition], endpoints: Mapping[str, Endpoint]
) -> frozenset[str]:
    """The names of active endpoints that may be pruned.

    Never one that `protect` covers, never a stranger, and never what a definition was renamed from: its callers still
    use it. A definition that HEAD or git's index has counts, also where its file is not on disk. Raises UsageError
    where there is no whole history, or a submodule is missing, for then nobody knows what was ours.
    """
    found = _whole_history(work)
    missing = not_on_disk(work.folder)
    if missing.submodules:
        message = f"--prune needs every definition, and the submodule {missing.submodules[0]} is not initialised"
        fix = missing.advice
        raise UsageError(message, fix=fix, code="prune.submodule")
    there = (*definitions, *tracked(found, work.folder))
    kept = {loaded.name for loaded in there} | {loaded.definition.renamed_from for loaded in there}
    protected = managed(
        work.environment.protect,
        definitions=definitions,
        endpoints=endpoints.values(),
        environment=work.environment.name,
    )
    active = {name for name, endpoint in endpoints.items() if endpoint.is_active}
    try:
        ever_defined = names_ever_defined(found, work.folder)
    except HistoryUnavailable as error:
        raise _refused(error, "prune.partial") from error
    return (ever_defined & active) - kept - protected


def _whole_history(work: Workplace) -> Repository:
    found = repository(work.folder)
    if found is None:
        raise _refused(explain_missing(work.folder), "prune.no_git")
    if found.is_shallow:
        raise _refused(explain_shallow(found), "prune.shallow")
    return found


def _refused(error: HistoryUnavailable, code: str) -> UsageError:
    message = f"--prune needs the whole history to know which endpoints were defined here: {error.message}"
    return UsageError(message, fix=error.fix, code=code)
