"""Compare definitions with the server: one list of endpoints, one of variables, each difference attributed to a side.

What attribution needs is gathered with the fewest questions. The record and git's history cost no request. The list of
an endpoint's versions costs one, and is asked for only where those two leave it open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.checkout import Checkout, CheckoutRecord
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.attribution import attribute, needs_versions
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import EndpointDiff, Presence, Snapshot, compare_revisions
from endpoints_gitops.plan.evidence import NoHistory, PastSettings, Provenance
from endpoints_gitops.plan.planning import PlanOptions, make_plan
from endpoints_gitops.plan.settings import Key, definition_settings
from endpoints_gitops.plan.variables import VariableChange, needed
from endpoints_gitops.workspace.commits import NotOnDisk, not_on_disk, tracked
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    Repository,
    dirty,
    explain_missing,
    explain_shallow,
    repository,
)
from endpoints_gitops.workspace.history import PastState, history, names_ever_defined
from endpoints_gitops.workspace.selection import managed, select_names, touching


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Endpoints that this folder once defined and no file defines now.

    `active` can be pruned, `protected` are active and never pruned, `pruned` are inactive.
    """

    active: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()
    pruned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Definitions and server, side by side.

    `diffs` has every name that is managed and selected, by name, also those without a difference. `snapshot` is the
    whole server, and what every write of a push is checked against: it is not read a second time. `checkout` has the
    definitions that are selected, and the record. `outside` counts the names that `manage` leaves out; `prunable` is
    empty unless it was asked for. `not_on_disk` has the names of endpoints whose definition git tracks and the work
    tree does not have: they are not in `diffs`. `orphans` are endpoints whose file is gone, `outside_definitions` the
    names of definitions that `manage` leaves out.
    """

    diffs: tuple[EndpointDiff, ...] = ()
    snapshot: Snapshot = field(default_factory=Snapshot)
    checkout: Checkout = field(default_factory=Checkout)
    variable_changes: tuple[VariableChange, ...] = ()
    prunable: frozenset[str] = frozenset()
    outside: int = 0
    not_on_disk: frozenset[str] = frozenset()
    submodules: tuple[str, ...] = ()
    orphans: Orphans = field(default_factory=Orphans)
    outside_definitions: frozenset[str] = frozenset()
    selectors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def predecessors(self) -> frozenset[str]:
        """Names without a file that a definition was renamed from: they are kept for their callers."""
        renamed = {loaded.definition.renamed_from for loaded in self.checkout.definitions.values()}
        return frozenset(diff.name for diff in self.diffs if diff.loaded is None and diff.name in renamed)

    @property
    def unchanged(self) -> int:
        """How many names are the same here and there, in all that the files say."""
        return sum(diff.presence is Presence.BOTH and not diff.differences for diff in self.diffs)

    def diff(self, name: str) -> EndpointDiff | None:
        """The diff of that name; None where it is not compared."""
        return next((diff for diff in self.diffs if diff.name == name), None)


def compare(
    project: ProjectContext, definitions: Sequence[LoadedDefinition], selectors: Sequence[str], *, prune: bool = False
) -> Comparison:
    """Compare what the selectors mean; without selectors, everything that is managed.

    Asks for the endpoints once, all pages, for the variables once where a definition declares any, and for the versions
    of those endpoints alone whose difference nothing else explains. Raises UsageError for a selector that means
    nothing, or that `manage` leaves out, and ApiError.
    """
    endpoints = {endpoint.name: endpoint for endpoint in project.client.list_endpoints()}
    missing = not_on_disk(project.folder) if endpoints.keys() - {loaded.name for loaded in definitions} else NotOnDisk()
    scope = _SelectedNames.of(project, definitions, endpoints, selectors)
    ours = {loaded.name: loaded for loaded in definitions if loaded.name in scope.names}
    variables, changes = _variables(project, definitions, ours, endpoints)
    names = scope.names - missing.names
    removable = prunable(project, definitions, endpoints) & names if prune else frozenset()
    snapshot = Snapshot(endpoints=endpoints, variables=variables)
    checkout = Checkout.of(project, ours.values(), snapshot)
    environment, local = project.environment.name, checkout.local
    diffs = [
        compare_revisions(name, local.get(name), snapshot.revision(name), environment=environment) for name in names
    ]
    strangers = (names & endpoints.keys()) - {loaded.name for loaded in definitions}
    warning = checkout.record.warning
    return Comparison(
        diffs=attribute_all(project, diffs, checkout.record, prunable=removable),
        snapshot=snapshot,
        checkout=checkout,
        variable_changes=changes,
        prunable=removable,
        outside=scope.outside,
        not_on_disk=scope.names & missing.names,
        submodules=missing.submodules,
        orphans=orphans(project, definitions, endpoints, strangers),
        outside_definitions=scope.outside_definitions,
        selectors=tuple(selectors),
        warnings=(*([warning] if warning else []), *_warnings(scope.names & missing.names, missing)),
    )


def plan_of(project: ProjectContext, comparison: Comparison, options: PlanOptions) -> Plan:
    """The plan for what was compared. It holds everything that a push needs, and no secret.

    Raises UsageError where `options.overwrite` names what was not compared.
    """
    return make_plan(
        comparison.diffs,
        comparison.variable_changes,
        host=project.host,
        project_id=project.project_id,
        environment=project.environment.name,
        options=options,
        prunable=comparison.prunable,
    )


def _warnings(names: frozenset[str], missing: NotOnDisk) -> Iterator[str]:
    if names:
        yield (
            f"{len(names)} not compared: git tracks the definition, and the file is not on disk (git sparse-checkout, "
            f"git status): {', '.join(sorted(names))}"
        )
    for path in missing.submodules:
        yield f"the submodule {path} is not initialised, so what it defines is unknown: git submodule update --init"


@dataclass(frozen=True, slots=True, kw_only=True)
class _SelectedNames:
    names: frozenset[str]
    outside: int
    outside_definitions: frozenset[str]

    @classmethod
    def of(
        cls,
        project: ProjectContext,
        definitions: Sequence[LoadedDefinition],
        endpoints: Mapping[str, Endpoint],
        selectors: Sequence[str],
    ) -> _SelectedNames:
        environment, there, patterns = project.environment.name, tuple(endpoints.values()), project.environment.manage
        ours = managed(patterns, definitions=definitions, endpoints=there, environment=environment)

        def meant(chosen: Sequence[str]) -> frozenset[str]:
            return select_names(
                chosen,
                definitions=definitions,
                endpoints=there,
                folder=project.folder,
                environment=environment,
                configuration=project.configuration,
            )

        for selector in selectors:
            if (names := meant((selector,))) and not names & ours:
                raise _outside(selector, patterns)
        defined = frozenset(loaded.name for loaded in definitions)
        outside = (defined | endpoints.keys()) - ours
        return cls(names=meant(selectors) & ours, outside=len(outside), outside_definitions=outside & defined)


def refuse_not_on_disk(names: Iterable[str], comparison: Comparison) -> None:
    """Raises UsageError for the first of the names whose definition git tracks while its file is not on disk."""
    for name in names:
        if name in comparison.not_on_disk:
            raise not_on_disk_error(name)


def not_on_disk_error(name: str) -> UsageError:
    """The error for a command that needs the file of a definition, where git tracks it and it is not on disk."""
    message = f"git tracks the definition of {name}, and its file is not on disk"
    fix = "git restore the file, or commit that it is deleted"
    return UsageError(message, fix=fix, code="usage.not_on_disk")


def _outside(selector: str, patterns: Sequence[str]) -> UsageError:
    message = f"{selector} is outside of what this configuration manages: manage = [{', '.join(patterns)}]"
    return UsageError(message, fix="change `manage` in the configuration", code="usage.selector")


def _variables(
    project: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    ours: Mapping[str, LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
) -> tuple[tuple[InsightVariable, ...], tuple[VariableChange, ...]]:
    """The shared variables, and what of them differs, where a definition has to do with any; else nobody asks.

    Definitions that disagree are told whichever of them were selected: the variable is one.
    """
    used = (bool(endpoints[name].query.get("variables")) for name in ours.keys() & endpoints.keys())
    if not any(loaded.definition.variables for loaded in ours.values()) and not any(used):
        return (), ()
    variables = project.client.list_variables()
    changes = needed(definitions, variables, tuple(endpoints.values()))
    return variables, tuple(change for change in changes if not ours.keys().isdisjoint(change.declared_by))


def attribute_all(
    project: ProjectContext,
    diffs: Iterable[EndpointDiff],
    record: CheckoutRecord,
    *,
    prunable: frozenset[str] = frozenset(),
) -> tuple[EndpointDiff, ...]:
    """Every difference attributed, in the order of the names. `prunable` has the names that may be pruned."""
    now = datetime.now(UTC)
    attributed = {
        diff.name: attribute(diff, Provenance.of_record(record.entries.get(diff.name), now)) for diff in diffs
    }
    open_to_history = [diff for diff in attributed.values() if _is_open_to_history(diff, prunable)]
    attributed |= {diff.name: attribute(diff, evidence) for diff, evidence in _with_history(project, open_to_history)}
    unexplained = [attributed[diff.name] for diff in open_to_history if needs_versions(attributed[diff.name])]
    versions = concurrent_map(project.client.list_versions, [diff.name for diff in unexplained])
    for diff, listed in zip(unexplained, versions, strict=True):
        attributed[diff.name] = attribute(diff, replace(diff.evidence, versions=listed))
    return tuple(attributed[name] for name in sorted(attributed))


type _Known = Iterable[tuple[EndpointDiff, Provenance]]


def _with_history(project: ProjectContext, diffs: Sequence[EndpointDiff]) -> _Known:
    """The same with what git knows of the definitions, or why it knows nothing."""
    if not diffs:
        return ()
    found = repository(project.folder)
    if found is None:
        return _without_history(diffs, explain_missing(project.folder))
    try:
        past = history(
            found,
            project.folder,
            [diff.name for diff in diffs],
            lambda loaded: definition_settings(loaded, project.environment.name),
        )
    except HistoryUnavailable as error:
        return _without_history(diffs, error, found.head)
    edited = touching([diff.loaded for diff in diffs if diff.loaded is not None], dirty(found, project.folder))
    shallow = _cause(explain_shallow(found)) if found.is_shallow else None
    return [
        (
            diff,
            replace(
                diff.evidence,
                head=found.head,
                is_dirty=diff.name in edited,
                history=None if shallow else states,
                visible=states if shallow else None,
                without_history=shallow,
            ),
        )
        for diff in diffs
        for states in [tuple(map(_past, past[diff.name]))]
    ]


def _without_history(diffs: Iterable[EndpointDiff], error: HistoryUnavailable, head: str | None = None) -> _Known:
    cause = _cause(error)
    return [(diff, replace(diff.evidence, without_history=cause, head=head)) for diff in diffs]


def _cause(error: HistoryUnavailable) -> NoHistory:
    assert error.fix is not None, "every cause has its advice"
    return NoHistory(reason=error.message, fix=error.fix)


def _past(state: PastState[Key]) -> PastSettings:
    return PastSettings(
        settings=state.settings,
        committed_at=state.committed_at,
        commit=state.commit,
        readable=state.readable,
        supersedes=state.definition.definition.supersedes if state.definition else None,
    )


def _is_open_to_history(diff: EndpointDiff, prunable: frozenset[str]) -> bool:
    return diff.name in prunable or (diff.presence is Presence.BOTH and bool(diff.differences or diff.unmanaged))


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
        raise _refuse_prune(error, "prune.partial") from error
    return (ever_defined & active) - kept - protected


def _whole_history(project: ProjectContext) -> Repository:
    found = repository(project.folder)
    if found is None:
        raise _refuse_prune(explain_missing(project.folder), "prune.no_git")
    if found.is_shallow:
        raise _refuse_prune(explain_shallow(found), "prune.shallow")
    return found


def _refuse_prune(error: HistoryUnavailable, code: str) -> UsageError:
    message = f"--prune needs the whole history to know which endpoints were defined here: {error.message}"
    return UsageError(message, fix=error.fix, code=code)


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
