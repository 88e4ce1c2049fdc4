"""Compare definitions with the server: one list of endpoints, one of variables, and whose each difference is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.checkout import Checkout, attribute_all
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.prune import Orphans, orphans, prunable
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import EndpointDiff, Presence, Snapshot, compare_revisions
from endpoints_gitops.plan.planning import PlanOptions, make_plan
from endpoints_gitops.plan.variables import VariableChange, needed
from endpoints_gitops.workspace.commits import NotOnDisk, not_on_disk
from endpoints_gitops.workspace.selection import managed, select_names


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
