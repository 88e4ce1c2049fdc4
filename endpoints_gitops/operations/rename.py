"""Rename an endpoint. The server cannot: NEW is created, the file gets the name NEW, and OLD stays for its callers.

The server is written first, then the file. A rename that was interrupted between the two is run again: it finds NEW on
the server and goes on with the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import Conflict, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.operations.compare import Comparison, compare, not_on_disk_error, plan_of, require_files
from endpoints_gitops.operations.file_edits import FileEdit, edit_of, write_edits
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.push.results import PushResult
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import compare_revisions
from endpoints_gitops.plan.planning import PlanOptions
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.workspace.commits import not_on_disk
from endpoints_gitops.workspace.selection import managed


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """A prepared rename. `plan` creates the new name, and is empty where it exists; `edit` is the file's.

    `unmanaged` are the settings that OLD has on the server and the definition does not state: NEW starts without them.
    """

    old: str
    new: str
    loaded: LoadedDefinition
    comparison: Comparison
    plan: Plan
    edit: FileEdit
    unmanaged: tuple[Key, ...] = ()

    @property
    def is_in_file(self) -> bool:
        """Whether the file has the new name already."""
        return self.edit.before == self.edit.after


def prepare(project: ProjectContext, definitions: Sequence[LoadedDefinition], old: str, new: str) -> Renaming:
    """Prepare a rename, and check everything that could prevent it before anything is written.

    Raises UsageError for names that are not valid or not defined, Conflict where the server has another endpoint with
    the new name, and ApiError.
    """
    loaded = _definition(project, definitions, old, new)
    renamed = replace(loaded, definition=loaded.definition.model_copy(update={"name": new, "renamed_from": old}))
    others = [definition for definition in definitions if definition is not loaded]
    comparison = compare(project, [*others, renamed], (new,))
    require_files((new,), comparison)
    if not comparison.diffs:
        message = f"{new} is outside of what this configuration manages"
        raise UsageError(message, fix="change `manage` in the configuration", code="usage.selector")
    (diff,) = comparison.diffs
    if diff.endpoint is not None and diff.differences:
        raise Conflict(
            f"the server has another {new} already (version {diff.endpoint.current_version}), not what the file says",
            where=loaded.where(),
            fix=Advice("choose another name, or ", Command("delete", new)),
            code="rename.taken",
        )
    _refuse_chain(loaded, old, comparison)
    plan = plan_of(project, comparison, PlanOptions())
    edit = edit_of(loaded, {("name",): new, ("renamed_from",): old})
    return Renaming(
        old=old,
        new=new,
        loaded=renamed,
        comparison=comparison,
        plan=plan,
        edit=edit,
        unmanaged=compare_revisions(new, diff.local, comparison.snapshot.revision(old)).unmanaged,
    )


def rename_in_file(renaming: Renaming, result: PushResult, folder: Path) -> bool:
    """Write the new name into the file after the push; the file keeps its path. Returns whether it was written."""
    if result.errors or result.plan.withheld or renaming.is_in_file:
        return False
    write_edits((renaming.edit,), folder)
    return True


def finishing(project: ProjectContext, definitions: Sequence[LoadedDefinition], old: str, new: str) -> Endpoint:
    """The endpoint to deactivate to finish a rename.

    Raises UsageError where no file was renamed like this, where NEW cannot answer calls, and where OLD is protected.
    """
    if not any(loaded.name == new and loaded.definition.renamed_from == old for loaded in definitions):
        fix = Advice(Command("rename", old, new), " comes first")
        raise UsageError(f"no definition called {new} was renamed from {old}", fix=fix, code="rename.not_begun")
    endpoints = {endpoint.name: endpoint for endpoint in project.client.list_endpoints()}
    if new not in endpoints or not endpoints[new].is_active:
        lacks = "is inactive" if new in endpoints else "is not on the server"
        command = Command("activate" if new in endpoints else "push", new)
        raise UsageError(f"{new} {lacks}, so {old} stays", fix=Advice(command), code="rename.no_successor")
    if old not in endpoints:
        raise UsageError(f"the server has no {old}: nothing is left to finish", code="rename.finished")
    if old in managed(project.environment.protect, definitions=definitions, endpoints=endpoints.values()):
        remedy = "take it out of `protect` in the configuration first"
        raise UsageError(f"{old} is protected, and stays active", fix=remedy, code="rename.protected")
    return endpoints[old]


def _refuse_chain(loaded: LoadedDefinition, old: str, comparison: Comparison) -> None:
    """Raises UsageError for a second rename before the first is finished. `renamed_from` holds one name; the one before
    it would be pulled or pruned like an endpoint that was never defined here.
    """
    before = loaded.definition.renamed_from
    endpoint = comparison.snapshot.endpoints.get(before or "")
    if before is not None and before != old and endpoint is not None and endpoint.is_active:
        message = f"{loaded.name} was renamed from {before}, which is still active"
        fix = Advice(Command("rename", before, loaded.name, "--finish"), " comes first")
        raise UsageError(message, where=loaded.where("renamed_from"), fix=fix, code="rename.unfinished")


def _definition(
    project: ProjectContext, definitions: Iterable[LoadedDefinition], old: str, new: str
) -> LoadedDefinition:
    """The definition to rename. One that has the new name already is that of a rename that was interrupted."""
    if not is_endpoint_name(new) or new == old:
        fix = "a name is a letter, then up to 127 of letters, digits, _ and -"
        raise UsageError(f"{old!r} cannot be renamed to {new!r}", fix=fix, code="rename.name")
    by_name = {loaded.name: loaded for loaded in definitions}
    current, taken = by_name.get(old), by_name.get(new)
    if taken is not None and (taken.definition.renamed_from != old or current is not None):
        message = f"{new} is defined already"
        raise UsageError(message, where=taken.where(), fix="choose another name", code="rename.taken")
    renamed = current or taken
    if renamed is None:
        if old in not_on_disk(project.folder).names:
            raise not_on_disk_error(old)
        from endpoints_gitops.model.suggestions import did_you_mean

        message = f"no definition is called {old!r}{did_you_mean(old, sorted(by_name))}"
        raise UsageError(
            message, fix=Advice(Command("pull", old), " makes a file of an endpoint"), code="usage.selector"
        )
    return renamed
