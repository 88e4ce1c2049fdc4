"""Compare definitions with the server: one list of endpoints, one of variables, and whose each difference is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.evidence import Record, judge_all, read_record
from endpoints_gitops.operations.interrupted import Pair
from endpoints_gitops.operations.prune import Orphans, orphans, prunable
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.judging import Judged
from endpoints_gitops.plan.variables import VariableChange, needed
from endpoints_gitops.workspace.commits import NotOnDisk, not_on_disk
from endpoints_gitops.workspace.selection import managed, select_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Definitions and server, side by side.

    `judged` has every name that is managed and selected, by name, also those without a difference. `endpoints` is the
    whole list of the server, and what every write of a push is checked against: it is not asked for a second time.
    `outside` counts the names that `manage` leaves out; `prunable` is empty unless it was asked for. `not_on_disk` has
    the names of endpoints whose definition git tracks and the work tree does not have: they are not in `judged`.
    `orphans` are endpoints whose file is gone, `outside_definitions` the names of definitions that `manage` leaves out.
    """

    judged: tuple[Judged, ...]
    endpoints: Mapping[str, Endpoint]
    definitions: Mapping[str, LoadedDefinition]
    variables: tuple[InsightVariable, ...] = ()
    variable_changes: tuple[VariableChange, ...] = ()
    record: Record = field(default_factory=Record)
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
        renamed = {loaded.definition.renamed_from for loaded in self.definitions.values()}
        return frozenset(one.name for one in self.judged if one.loaded is None and one.name in renamed)

    @property
    def unchanged(self) -> int:
        """How many names are the same here and there, in all that the files say."""
        return sum(
            judged.endpoint is not None and judged.loaded is not None and not judged.differences
            for judged in self.judged
        )


def compare(
    work: Workplace, definitions: Sequence[LoadedDefinition], selectors: Sequence[str], *, prune: bool = False
) -> Comparison:
    """Compare what the selectors mean; without selectors, everything that is managed.

    Asks for the endpoints once, all pages, for the variables once where a definition declares any, and for the versions
    of those endpoints alone whose difference nothing else explains.
    """
    endpoints = {endpoint.name: endpoint for endpoint in work.client.list_endpoints()}
    scope = _Scope.of(work, definitions, endpoints, selectors)
    ours = {loaded.name: loaded for loaded in definitions if loaded.name in scope.names}
    variables, changes = _variables(work, definitions, ours, endpoints)
    missing = not_on_disk(work.folder) if endpoints.keys() - {loaded.name for loaded in definitions} else NotOnDisk()
    names = scope.names - missing.names
    removable = prunable(work, definitions, endpoints) & names if prune else frozenset()
    pairs = [Pair(loaded=ours.get(name), endpoint=endpoints.get(name)) for name in names]
    record = read_record(work, pairs)
    strangers = (names & endpoints.keys()) - {loaded.name for loaded in definitions}
    return Comparison(
        judged=judge_all(work, pairs, record, prunable=removable),
        endpoints=endpoints,
        definitions=ours,
        variables=variables,
        variable_changes=changes,
        record=record,
        prunable=removable,
        outside=scope.outside,
        not_on_disk=scope.names & missing.names,
        submodules=missing.submodules,
        orphans=orphans(work, definitions, endpoints, strangers),
        outside_definitions=scope.outside_definitions,
        selectors=tuple(selectors),
        warnings=(*([record.warning] if record.warning else []), *_warnings(scope.names & missing.names, missing)),
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
class _Scope:
    names: frozenset[str]
    outside: int
    outside_definitions: frozenset[str]

    @classmethod
    def of(
        cls,
        work: Workplace,
        definitions: Sequence[LoadedDefinition],
        endpoints: Mapping[str, Endpoint],
        selectors: Sequence[str],
    ) -> _Scope:
        environment, there, patterns = work.environment.name, tuple(endpoints.values()), work.environment.manage
        ours = managed(patterns, definitions=definitions, endpoints=there, environment=environment)

        def meant(chosen: Sequence[str]) -> frozenset[str]:
            return select_names(
                chosen,
                definitions=definitions,
                endpoints=there,
                folder=work.folder,
                environment=environment,
                configuration=work.configuration,
            )

        for selector in selectors:
            if (names := meant((selector,))) and not names & ours:
                raise _outside(selector, patterns)
        defined = frozenset(loaded.name for loaded in definitions)
        outside = (defined | endpoints.keys()) - ours
        return cls(names=meant(selectors) & ours, outside=len(outside), outside_definitions=outside & defined)


def _outside(selector: str, patterns: Sequence[str]) -> UsageError:
    message = f"{selector} is outside of what this configuration manages: manage = [{', '.join(patterns)}]"
    return UsageError(message, fix="change `manage` in the configuration", code="usage.selector")


def _variables(
    work: Workplace,
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
    variables = work.client.list_variables()
    changes = needed(definitions, variables, tuple(endpoints.values()))
    return variables, tuple(change for change in changes if not ours.keys().isdisjoint(change.declared_by))
