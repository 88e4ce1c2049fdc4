"""Compare definitions with the server: one list of endpoints, one of variables, each difference attributed to a side.

What attribution needs is gathered with the fewest questions. The record and git's history cost no request. The list of
an endpoint's versions costs one, and is asked for only where those two leave it open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.checkout import Checkout, CheckoutRecord
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.attribution import attribute, is_decided_by_base, needs_versions
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import EndpointDiff, Presence, Snapshot, compare_revisions
from endpoints_gitops.plan.evidence import NoHistory, PastSettings, Provenance
from endpoints_gitops.plan.planning import PlanOptions, make_plan
from endpoints_gitops.plan.settings import Settings, definition_settings
from endpoints_gitops.plan.variables import VariableChange, needed
from endpoints_gitops.workspace.commits import NotOnDisk, not_on_disk, tracked
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    dirty,
    explain_missing,
    explain_shallow,
    repository,
)
from endpoints_gitops.workspace.history import history, names_ever_defined
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
    """Definitions and server, compared.

    `diffs` has every name that is managed and selected, in order, also without a difference. `snapshot` is the whole
    server, read once: every write of a push is checked against it. `checkout` has the selected definitions and the
    record. `outside` counts the names that `manage` leaves out, `outside_definitions` has those of definitions.
    `prunable` is empty unless it was requested. `not_on_disk` has the names of endpoints whose definition git tracks
    and the work tree lacks: they are not in `diffs`. `orphans` are endpoints whose file is gone.
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
        """The names without a file that a definition was renamed from; they are kept for their callers."""
        renamed = {loaded.definition.renamed_from for loaded in self.checkout.definitions.values()}
        return frozenset(diff.name for diff in self.diffs if diff.loaded is None and diff.name in renamed)

    @property
    def unchanged(self) -> int:
        """The number of endpoints that have what their files state."""
        return sum(diff.presence is Presence.BOTH and not diff.differences for diff in self.diffs)

    def diff(self, name: str) -> EndpointDiff | None:
        """The diff of that name; None where it is not compared."""
        return next((diff for diff in self.diffs if diff.name == name), None)


def compare(
    project: ProjectContext, definitions: Sequence[LoadedDefinition], selectors: Sequence[str], *, prune: bool = False
) -> Comparison:
    """Compare what the selectors name; without selectors, everything that is managed.

    Requests all pages of the list of endpoints once, the variables once where a definition declares any, and the
    versions of those endpoints alone whose difference nothing else explains. Raises UsageError for a selector that
    matches nothing, or that `manage` leaves out, and ApiError.
    """
    endpoints = {endpoint.name: endpoint for endpoint in project.client.list_endpoints()}
    defined = frozenset(loaded.name for loaded in definitions)
    missing = not_on_disk(project.folder) if endpoints.keys() - defined else NotOnDisk()
    selected, managed_names = _select(project, definitions, endpoints, selectors)
    absent, names = selected & missing.names, selected - missing.names
    local = {loaded.name: loaded for loaded in definitions if loaded.name in selected}
    variables, changes = _variables(project, definitions, local, endpoints)
    removable = prunable(project, definitions, endpoints) & names if prune else frozenset()
    snapshot = Snapshot(endpoints=endpoints, variables=variables)
    checkout = Checkout.of(project, local.values(), snapshot)
    diffs = [
        compare_revisions(name, checkout.local.get(name), snapshot.revision(name), environment=project.environment.name)
        for name in names
    ]
    outside = (defined | endpoints.keys()) - managed_names
    warnings = [checkout.record.warning] if checkout.record.warning else []
    if absent:
        warnings.append(
            f"{len(absent)} not compared: git tracks the definition, and the file is not on disk (git sparse-checkout, "
            f"git status): {', '.join(sorted(absent))}"
        )
    warnings += [
        f"the submodule {path} is not initialised, so what it defines is unknown: git submodule update --init"
        for path in missing.submodules
    ]
    return Comparison(
        diffs=attribute_all(project, diffs, checkout.record, prunable=removable),
        snapshot=snapshot,
        checkout=checkout,
        variable_changes=changes,
        prunable=removable,
        outside=len(outside),
        not_on_disk=absent,
        submodules=missing.submodules,
        orphans=orphans(project, definitions, endpoints, (names & endpoints.keys()) - defined),
        outside_definitions=outside & defined,
        selectors=tuple(selectors),
        warnings=tuple(warnings),
    )


def _select(
    project: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
    selectors: Sequence[str],
) -> tuple[frozenset[str], frozenset[str]]:
    """The managed names that the selectors match, and all managed names."""
    environment, patterns = project.environment.name, project.environment.manage
    listed = tuple(endpoints.values())
    managed_names = managed(patterns, definitions=definitions, endpoints=listed, environment=environment)
    select = partial(
        select_names,
        definitions=definitions,
        endpoints=listed,
        folder=project.folder,
        environment=environment,
        configuration=project.configuration,
    )
    for selector in selectors:
        names = select((selector,))
        if names and names.isdisjoint(managed_names):
            message = f"{selector} is outside of what this configuration manages: manage = [{', '.join(patterns)}]"
            raise UsageError(message, fix="change `manage` in the configuration", code="usage.selector")
    return select(selectors) & managed_names, managed_names


def _variables(
    project: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    local: Mapping[str, LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
) -> tuple[tuple[InsightVariable, ...], tuple[VariableChange, ...]]:
    """The shared variables of the project, and the changes that they need; none where nothing selected uses variables.

    Definitions that disagree on a variable are an error whichever of them are selected: the variable is one. `local`
    are those that are selected.
    """
    is_declared = any(loaded.definition.variables for loaded in local.values())
    if not is_declared and not any(endpoints[name].query.get("variables") for name in local.keys() & endpoints.keys()):
        return (), ()
    variables = project.client.list_variables()
    changes = needed(definitions, variables, tuple(endpoints.values()))
    return variables, tuple(change for change in changes if not local.keys().isdisjoint(change.declared_by))


def plan_of(project: ProjectContext, comparison: Comparison, options: PlanOptions) -> Plan:
    """The plan for a comparison. It holds everything that a push needs, and no secret.

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


def require_files(names: Iterable[str], comparison: Comparison) -> None:
    """Raise UsageError for the first name whose definition git tracks while its file is not on disk."""
    for name in names:
        if name in comparison.not_on_disk:
            raise not_on_disk_error(name)


def not_on_disk_error(name: str) -> UsageError:
    """The error for a command that needs the file of a definition, where git tracks it and it is not on disk."""
    message = f"git tracks the definition of {name}, and its file is not on disk"
    fix = "git restore the file, or commit that it is deleted"
    return UsageError(message, fix=fix, code="usage.not_on_disk")


def attribute_all(
    project: ProjectContext,
    diffs: Iterable[EndpointDiff],
    record: CheckoutRecord,
    *,
    prunable: frozenset[str] = frozenset(),
    bases: Mapping[str, Settings] | None = None,
) -> tuple[EndpointDiff, ...]:
    """The diffs with every difference attributed, by name. `prunable` has the names that may be pruned.

    `bases` has the settings at the merge base by name, where a branch is reviewed: a server that still has them needs
    no more evidence.

    Raises ApiError where the versions of an endpoint cannot be listed.
    """
    now = datetime.now(UTC)
    attributed = {
        diff.name: attribute(
            diff, Provenance(record=record.entries.get(diff.name), now=now, base=(bases or {}).get(diff.name, {}))
        )
        for diff in diffs
    }
    differing = [
        diff
        for diff in attributed.values()
        if diff.name in prunable
        or (diff.presence is Presence.BOTH and _needs_history(diff, is_branch=bases is not None))
    ]
    if differing:
        evidence = _evidence_with_history(project, differing)
        attributed |= {diff.name: attribute(diff, evidence[diff.name]) for diff in differing}
    unexplained = [attributed[diff.name] for diff in differing if needs_versions(attributed[diff.name])]
    versions = concurrent_map(project.client.list_versions, [diff.name for diff in unexplained])
    for diff, listed in zip(unexplained, versions, strict=True):
        attributed[diff.name] = attribute(diff, replace(diff.evidence, versions=listed))
    return tuple(attributed[name] for name in sorted(attributed))


def _needs_history(diff: EndpointDiff, *, is_branch: bool) -> bool:
    if is_branch:  # the merge base shows which keys the file stops managing
        return not is_decided_by_base(diff)
    return bool(diff.differences or diff.unmanaged)


def _evidence_with_history(project: ProjectContext, diffs: Sequence[EndpointDiff]) -> dict[str, Provenance]:
    """The evidence of each diff with the history of its definition, or the reason why git has none."""
    repo = repository(project.folder)
    if repo is None:
        return _evidence_without_history(diffs, explain_missing(project.folder))
    names, environment = [diff.name for diff in diffs], project.environment.name
    try:
        past = history(repo, project.folder, names, lambda loaded: definition_settings(loaded, environment))
    except HistoryUnavailable as error:
        return _evidence_without_history(diffs, error, repo.head)
    edited = touching([diff.loaded for diff in diffs if diff.loaded is not None], dirty(repo, project.folder))
    evidence = {}
    for diff in diffs:
        states = tuple(
            PastSettings(
                settings=state.settings,
                committed_at=state.committed_at,
                commit=state.commit,
                readable=state.readable,
                supersedes=state.definition.definition.supersedes if state.definition else None,
            )
            for state in past[diff.name]
        )
        known = replace(diff.evidence, head=repo.head, is_dirty=diff.name in edited)
        if repo.is_shallow:
            shallow = NoHistory.of(explain_shallow(repo))
            evidence[diff.name] = replace(known, visible=states, without_history=shallow)
        else:
            evidence[diff.name] = replace(known, history=states)
    return evidence


def _evidence_without_history(
    diffs: Iterable[EndpointDiff], error: HistoryUnavailable, head: str | None = None
) -> dict[str, Provenance]:
    cause = NoHistory.of(error)
    return {diff.name: replace(diff.evidence, without_history=cause, head=head) for diff in diffs}


def prunable(
    project: ProjectContext, definitions: Sequence[LoadedDefinition], endpoints: Mapping[str, Endpoint]
) -> frozenset[str]:
    """The names of active endpoints that may be pruned: this folder once defined them, and no file does now.

    Never an endpoint that `protect` covers, nor one that a definition was renamed from: its callers still use it. A
    definition that HEAD or git's index has counts, also where its file is not on disk. Raises UsageError without the
    whole history, or where a submodule is missing, as what this folder defined is unknown then.
    """
    repo = repository(project.folder)
    if repo is None:
        raise _refuse_prune(explain_missing(project.folder), "prune.no_git")
    if repo.is_shallow:
        raise _refuse_prune(explain_shallow(repo), "prune.shallow")
    missing = not_on_disk(project.folder)
    if missing.submodules:
        message = f"--prune needs every definition, and the submodule {missing.submodules[0]} is not initialised"
        raise UsageError(message, fix=missing.advice, code="prune.submodule")
    known = (*definitions, *tracked(repo, project.folder))
    kept = {loaded.name for loaded in known} | {loaded.definition.renamed_from for loaded in known}
    protected = managed(
        project.environment.protect,
        definitions=definitions,
        endpoints=endpoints.values(),
        environment=project.environment.name,
    )
    active = {name for name, endpoint in endpoints.items() if endpoint.is_active}
    try:
        ever_defined = names_ever_defined(repo, project.folder)
    except HistoryUnavailable as error:
        raise _refuse_prune(error, "prune.partial") from error
    return (ever_defined & active) - kept - protected


def _refuse_prune(error: HistoryUnavailable, code: str) -> UsageError:
    message = f"--prune needs the whole history to know which endpoints were defined here: {error.message}"
    return UsageError(message, fix=error.fix, code=code)


def orphans(
    project: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
    undefined: Collection[str],
) -> Orphans:
    """The orphans among the endpoints that no file defines; none where git does not have the whole history."""
    candidates = frozenset(undefined) - {loaded.definition.renamed_from for loaded in definitions}
    repo = repository(project.folder) if candidates else None
    if repo is None or repo.is_shallow:
        return Orphans()
    try:
        names = names_ever_defined(repo, project.folder) & candidates
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
