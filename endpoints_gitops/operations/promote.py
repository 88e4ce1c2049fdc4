"""Promote endpoints from one environment to another: what the source's server has, written like a push.

What runs in the source environment was tested there, so that is promoted, not what a file states now. It is converted
to a definition, so that variables go by code name with their types, and differences in the target are attributed as in
a push. Settings that a definition has for one of the two environments alone are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.definition import Environment, LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.compare import Comparison, compare, plan_of
from endpoints_gitops.operations.file_edits import nothing_beside
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.planning import PlanOptions
from endpoints_gitops.plan.settings import SERVER_DEFAULTS, Key, definition_settings, endpoint_settings
from endpoints_gitops.workspace.selection import managed, select_names

_WORDS = {Key.MATERIALIZATION: "enabled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A prepared promotion, for `push` to apply in the target. `outside` has names that the target does not manage."""

    comparison: Comparison
    plan: Plan
    outside: tuple[str, ...] = ()


def prepare(
    source: ProjectContext,
    target: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    selectors: Sequence[str],
    options: PlanOptions,
) -> Promotion:
    """Read the source, and compare it with the target.

    Raises UsageError for one project on both sides, and for selectors that match nothing in the source, InvalidInput
    where an endpoint of the source cannot be converted to a definition, and ApiError.
    """
    if (source.host, source.project_id) == (target.host, target.project_id):
        message = f"{source.environment.name} and {target.environment.name} are the same project: {source.project_id}"
        raise UsageError(message, fix="name two environments with different projects", code="promote.same")
    endpoints = {endpoint.name: endpoint for endpoint in source.client.list_endpoints()}
    names, outside = _names(source, target, definitions, endpoints, selectors)
    chosen = [endpoints[name] for name in sorted(names)]
    variables = _variables(source, chosen)
    written = tuple(_as_definitions(chosen, variables, definitions, (source, target)))
    comparison = compare(target, written, tuple(sorted(names))) if names else Comparison()
    return Promotion(comparison=comparison, plan=plan_of(target, comparison, options), outside=outside)


def _names(
    source: ProjectContext,
    target: ProjectContext,
    definitions: Sequence[LoadedDefinition],
    endpoints: Mapping[str, Endpoint],
    selectors: Sequence[str],
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The selected names that both environments manage, and those that only the source does."""
    listed = tuple(endpoints.values())
    selected = select_names(
        selectors,
        definitions=definitions,
        endpoints=listed,
        folder=source.folder,
        environment=source.environment.name,
        configuration=source.configuration,
    )
    selected &= endpoints.keys()
    for project in (source, target):
        inside = managed(
            project.environment.manage, definitions=definitions, endpoints=listed, environment=project.environment.name
        )
        kept = selected & inside
        if project is source:
            selected = kept
    if selectors and not selected:
        message = f"{source.environment.name} has no endpoint for {', '.join(selectors)}"
        raise UsageError(message, fix=Advice(Command("list", "--env", source.environment.name)), code="usage.selector")
    return kept, tuple(sorted(selected - kept))


def _variables(source: ProjectContext, endpoints: Iterable[Endpoint]) -> Mapping[str, InsightVariable]:
    uses_any = any(endpoint.query.get("variables") for endpoint in endpoints)
    return {variable.id: variable for variable in source.client.list_variables()} if uses_any else {}


def _as_definitions(
    endpoints: Iterable[Endpoint],
    variables: Mapping[str, InsightVariable],
    definitions: Sequence[LoadedDefinition],
    projects: Sequence[ProjectContext],
) -> Iterator[LoadedDefinition]:
    from endpoints_gitops.codecs.definition import read_definition
    from endpoints_gitops.codecs.pulled import definition_values
    from endpoints_gitops.codecs.rewriting import new_file

    files = {loaded.name: loaded for loaded in definitions}
    environments = [project.environment.name for project in projects]
    for endpoint in endpoints:
        file = files.get(endpoint.name)
        values = _common(endpoint, definition_values(endpoint, variables), file, environments)
        label = f"{endpoint.name} in {environments[0]}"
        try:
            loaded = read_definition(label, new_file(values), nothing_beside)
        except InvalidInput as error:
            raise InvalidInput(error.problems, message=f"{label} cannot be promoted") from error
        yield replace(loaded, path=file.path if file else label, lines={})


def _common(
    endpoint: Endpoint, values: Mapping[str, Json], file: LoadedDefinition | None, environments: Sequence[str]
) -> Mapping[str, Json]:
    """The values without those that the definition has for one environment, and with the defaults that it states."""
    if file is None:
        return values
    overlays = file.definition.environments or {}
    own = set().union(*(_overlaid_keys(overlays[name]) for name in environments if name in overlays))
    stated = _defaults(endpoint, definition_settings(file, None).keys()) | _flat(values)
    return _nested({key: value for key, value in stated.items() if key not in own})


def _overlaid_keys(overlay: Environment) -> set[str]:
    keys = {key for key in ("active", "tags") if overlay.states(key)}
    materialization = overlay.materialization
    if materialization is not None and materialization.enabled is not None:
        keys |= {"enabled", "bucket_overrides"}
    if overlay.data_freshness is not None or (materialization is not None and materialization.schedule is not None):
        keys |= {"schedule", "data_freshness"}
    return keys


def _defaults(endpoint: Endpoint, managed_keys: Collection[Key]) -> dict[str, Json]:
    """Settings that a new definition leaves out because they are the default; a file that manages them states them."""
    settings = endpoint_settings(endpoint)
    words = {key: _WORDS.get(key, str(key)) for key in managed_keys if key in settings and key is not Key.QUERY}
    return {word: settings[key] for key, word in words.items() if settings[key] == SERVER_DEFAULTS[key]}


def _flat(values: Mapping[str, Json]) -> dict[str, Json]:
    inner = values.get("materialization")
    rest = {key: value for key, value in values.items() if key != "materialization"}
    return rest | (dict(inner) if isinstance(inner, Mapping) else {})


def _nested(flat: Mapping[str, Json]) -> Mapping[str, Json]:
    inner = {key: flat[key] for key in ("enabled", "schedule") if key in flat}
    rest = {key: value for key, value in flat.items() if key not in inner}
    if "schedule" in inner:
        rest.pop("data_freshness", None)
    return rest | ({"materialization": inner} if inner else {})
