"""The endpoints that a branch changes, from the files that differ from its merge base. Only those are parsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.against import with_renames
from endpoints_gitops.operations.review.scope import ReviewScope
from endpoints_gitops.plan.diff import EndpointDiff, Revision, compare_revisions
from endpoints_gitops.workspace.branch import BranchFiles
from endpoints_gitops.workspace.definitions import list_files, read_file
from endpoints_gitops.workspace.selection import managed, select_names

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition


@dataclass(frozen=True, kw_only=True)
class BranchChanges:
    """The endpoints that a branch changes. `diffs` has both sides of each, without those that cannot be read.

    `outside` are the names that the configuration does not manage.
    """

    files: BranchFiles
    diffs: Mapping[str, EndpointDiff]
    outside: tuple[str, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether a push may write something for one of them."""
        return any(may_write(diff) for diff in self.diffs.values())

    @cached_property
    def by_path(self) -> Mapping[str, str]:
        """The names by the paths of their files."""
        definitions = (*self.local, *self.repaired.values())
        return {loaded.path: loaded.name for loaded in definitions}

    @property
    def repaired(self) -> Mapping[str, LoadedDefinition]:
        """The definitions whose files cannot be read at the merge base."""
        local = self.files.local
        return {name: local[name] for name in self.files.unreadable if name in local}

    @property
    def local(self) -> tuple[LoadedDefinition, ...]:
        return tuple(diff.loaded for diff in self.diffs.values() if diff.loaded is not None)


def branch_changes(scope: ReviewScope, files: BranchFiles) -> BranchChanges:
    """The changes of the endpoints that are selected and managed.

    Raises UsageError for a selector that matches nothing on either side.
    """
    environment = scope.environment.name
    gone = tuple(
        Endpoint(id="", name=name, query={}, tags=tuple(loaded.definition.in_environment(environment).tags or ()))
        for name, loaded in files.before.items()
        if name not in files.local
    )
    managed_names = managed(
        scope.environment.manage, definitions=files.local.values(), endpoints=gone, environment=environment
    )
    unread = files.broken.keys() | files.unreadable.keys()
    known = files.local.keys() | files.before.keys()
    outside = known - managed_names
    revisions = {
        name: (_revision(files.local.get(name), environment), _revision(files.before.get(name), environment))
        for name in files.names
        if name not in unread and name not in outside
    }
    selected = frozenset(files.names)
    if scope.selectors:
        selected = with_renames(
            _selected(scope, gone, unread),
            removed={name: before for name, (local, before) in revisions.items() if before and not local},
            added={name: local for name, (local, before) in revisions.items() if local and not before},
        )
    names = [name for name in files.names if name in selected and name not in outside]
    kept = frozenset(names)
    return BranchChanges(
        files=replace(
            files,
            broken={name: problems for name, problems in files.broken.items() if name in kept},
            unreadable={name: problems for name, problems in files.unreadable.items() if name in kept},
        ),
        diffs={
            name: compare_revisions(name, *revisions[name], environment=environment)
            for name in names
            if name in revisions
        },
        outside=tuple(sorted(outside)),
    )


def may_write(diff: EndpointDiff) -> bool:
    """Whether a push may write something for the endpoint, as far as the files say."""
    if diff.local is None or diff.remote is None:
        return True
    after, before = diff.loaded, diff.remote.loaded
    declares_others = after is not None and before is not None and _variables(after) != _variables(before)
    return declares_others or any(difference.local is not None for difference in diff.differences)


def _variables(loaded: LoadedDefinition) -> object:
    return loaded.definition.variables or ()


def _revision(loaded: LoadedDefinition | None, environment: str) -> Revision | None:
    return Revision.local(loaded, environment) if loaded is not None else None


def _selected(scope: ReviewScope, gone: Sequence[Endpoint], unread: Collection[str]) -> frozenset[str]:
    """The names that the selectors match; files that cannot be read may match any.

    Raises UsageError for a selector that matches nothing on either side.
    """
    definitions = []
    is_whole = True
    for path in list_files(scope.folder)[0] if scope.folder.is_dir() else ():
        try:
            definitions.append(read_file(path, scope.folder, is_parsed=False))
        except InvalidInput:
            is_whole = False
    try:
        names = select_names(
            scope.selectors,
            definitions=definitions,
            endpoints=gone,
            folder=scope.folder,
            environment=scope.environment.name,
            configuration=scope.configuration,
        )
    except UsageError as error:
        if is_whole or error.code != "usage.selector":
            raise
        names = frozenset()
    return names | frozenset(unread)
