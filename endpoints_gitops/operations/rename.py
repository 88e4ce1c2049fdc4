"""Give an endpoint another name. The server cannot: NEW is created, the file says NEW, and OLD stays for its callers.

First the server, then the file: whatever stops this in between, running it again finds NEW there, as the file says it,
and goes on with the file.
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
from endpoints_gitops.operations.compare import Comparison, compare, not_on_disk_error, plan_of, refuse_not_on_disk
from endpoints_gitops.operations.file_edits import FileEdit, edit_of, write_edits
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.push.results import PushResult
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import EndpointDiff, ServerRevision, compare_revisions
from endpoints_gitops.plan.planning import PlanOptions
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.workspace.commits import not_on_disk
from endpoints_gitops.workspace.selection import managed


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """What a rename will do: `plan` creates the new name, and is empty where it is there; `edit` is the file's.

    `unmanaged` is what OLD has on the server and the definition says nothing of: NEW starts without it.
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
        """Whether the file says the new name already."""
        return self.edit.before == self.edit.after


def prepare(project: ProjectContext, definitions: Sequence[LoadedDefinition], old: str, new: str) -> Renaming:
    """Look at everything that could be wrong before anything is written.

    Raises UsageError for names that cannot be, Conflict where the server has something else under the new name.
    """
    loaded = _definition(project, definitions, old, new)
    renamed = replace(loaded, definition=loaded.definition.model_copy(update={"name": new, "renamed_from": old}))
    others = [definition for definition in definitions if definition is not loaded]
    comparison = compare(project, [*others, renamed], (new,))
    refuse_not_on_disk((new,), comparison)
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
        unmanaged=_unmanaged(diff, comparison.snapshot.revision(old)),
    )


def rename_in_file(renaming: Renaming, result: PushResult, folder: Path) -> bool:
    """Rename in the file once the new name is there. The file keeps its place. Whether anything was written."""
    if result.errors or result.plan.withheld or renaming.is_in_file:
        return False
    write_edits((renaming.edit,), folder)
    return True


def finishing(project: ProjectContext, definitions: Sequence[LoadedDefinition], old: str, new: str) -> Endpoint:
    """The endpoint to switch off, after everything that speaks against it was looked at.

    Raises UsageError where no file was renamed so, where NEW cannot take the calls, and where OLD is protected.
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
    """`renamed_from` has room for one name, and what it forgets would be pulled, or pruned, as a stranger."""
    before = loaded.definition.renamed_from
    endpoint = comparison.snapshot.endpoints.get(before or "")
    if before is not None and before != old and endpoint is not None and endpoint.is_active:
        message = f"{loaded.name} was renamed from {before}, which is still active"
        fix = Advice(Command("rename", before, loaded.name, "--finish"), " comes first")
        raise UsageError(message, where=loaded.where("renamed_from"), fix=fix, code="rename.unfinished")


def _unmanaged(diff: EndpointDiff, old: ServerRevision | None) -> tuple[Key, ...]:
    return compare_revisions(diff.name, diff.local, old).unmanaged


def _definition(
    project: ProjectContext, definitions: Iterable[LoadedDefinition], old: str, new: str
) -> LoadedDefinition:
    """The file to rename; one that says the new name already is that of a rename that was interrupted."""
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
