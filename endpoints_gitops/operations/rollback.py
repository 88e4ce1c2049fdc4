"""Roll back to an older version's query: write the server, verify its answer, then write the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.operations.checkout import agreed, head_of, save_record
from endpoints_gitops.operations.compare import Comparison, compare, require_files
from endpoints_gitops.operations.file_edits import keep_uncommitted, write_edits
from endpoints_gitops.operations.lifecycle import missing
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.pull.rewrite import Rewrite, edits_of
from endpoints_gitops.operations.push.results import PushResult
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, Plan, Precondition
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, KeyDiff, Revision, ServerRevision, Snapshot
from endpoints_gitops.plan.settings import Key, line_of, normalized_query, same, variables_of
from endpoints_gitops.workspace.definitions import read_file
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.git import dirty, repository
from endpoints_gitops.workspace.selection import files_of, touching


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """A prepared rollback. `plan` is empty where the newest version has the same query.

    `is_uncommitted`: neither a commit nor the server's current version has the query of the file, which is replaced.
    `own_sql_file`: no other definition has its query in the same `.sql` file.
    """

    diff: EndpointDiff
    remote: ServerRevision
    variables: tuple[InsightVariable, ...]
    comparison: Comparison
    plan: Plan
    is_uncommitted: bool = False
    own_sql_file: bool = True

    @property
    def snapshot(self) -> Snapshot:
        """The server, with the variables of the version that comes back."""
        return replace(self.comparison.snapshot, variables=self.variables)

    @property
    def unpushed(self) -> KeyDiff | None:
        """The difference in a query of the file that the server never had, and that the rollback replaces."""
        unpushed = (
            difference
            for difference in self.diff.differences
            if difference.key is Key.QUERY and difference.attribution is not Attribution.DRIFTED
        )
        return next(unpushed, None)


def prepare(project: ProjectContext, definitions: Sequence[LoadedDefinition], name: str, version: int) -> Rollback:
    """Prepare a rollback from the version, the current version and the file.

    Raises UsageError for a missing name or variable, VersionNotFound for a missing version, and ApiError.
    """
    comparison = compare(project, definitions, (name,))
    remote, diff = comparison.snapshot.revision(name), comparison.diff(name)
    if remote is None:
        raise missing(name, comparison.snapshot.endpoints)
    require_files((name,), comparison)
    if diff is None:
        message = f"{name} is outside of what this configuration manages"
        raise UsageError(message, fix="change `manage` in the configuration", code="usage.selector")
    target = project.client.get_version(name, version)
    wanted = normalized_query(target.query)
    variables = project.client.list_variables() if wanted.get("variables") else ()
    _check_variables(name, version, wanted, variables)
    return Rollback(
        diff=diff,
        remote=remote,
        variables=variables,
        comparison=comparison,
        plan=_plan(project, diff, remote, wanted),
        is_uncommitted=diff.loaded is not None and _is_uncommitted(project, diff.loaded, remote.endpoint),
        own_sql_file=diff.loaded is None or not _shares_sql_file(diff.loaded, definitions),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """The result: the endpoint as the server answered last, and the files that were written, or the error."""

    result: PushResult
    endpoint: Endpoint | None
    paths: tuple[str, ...] = ()
    copies: tuple[Path, ...] = ()
    error: EndpointsError | None = None


def write_back(project: ProjectContext, rollback: Rollback, result: PushResult) -> RolledBack:
    """Write the query that the server has after the push into the file that defines the name.

    A rollback that is killed before this is run again: it sends nothing and writes the file.
    """
    written = result.written[0] if result.written else None
    remote = rollback.remote if written is None else written.remote
    local, endpoint = rollback.diff.local, remote.endpoint if remote else None
    if local is None or remote is None or (written is not None and not written.is_agreed):
        return RolledBack(result=result, endpoint=endpoint)
    try:
        paths, copies = _write_file(project, rollback, local, remote)
    except EndpointsError as error:
        return RolledBack(result=result, endpoint=endpoint, error=error)
    return RolledBack(result=result, endpoint=endpoint, paths=paths, copies=copies)


def _write_file(
    project: ProjectContext, rollback: Rollback, local: Revision, remote: ServerRevision
) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    from endpoints_gitops.codecs.pulled import definition_values

    loaded, environment = local.loaded, project.environment.name
    assert loaded is not None, "the local side is a definition"
    values = definition_values(remote.endpoint, {variable.id: variable for variable in rollback.variables})
    rewrite = Rewrite(
        local=local,
        loaded=loaded,
        remote=remote,
        values=values,
        keys=frozenset((Key.QUERY,)),
        environment=environment,
        own_sql_file=rollback.own_sql_file,
    )
    edits = edits_of(rewrite, project.folder)
    copies = keep_uncommitted(edits, project)
    write_edits(edits, project.folder)
    entry = agreed(
        rollback.comparison.checkout.record.entries.get(loaded.name),
        local=Revision.local(read_file(Path(loaded.path), project.folder), environment),
        remote=remote,
        at=project.clock(),
        file_before=local.settings,
        head=head_of(project),
        pushed=frozenset((Key.QUERY,)),
    )
    save_record(project, {loaded.name: entry})
    return tuple(shown(edit.path) for edit in edits), copies


def _shares_sql_file(loaded: LoadedDefinition, definitions: Sequence[LoadedDefinition]) -> bool:
    """Whether another definition has its query in the same file."""
    ours = {path.resolve() for path in files_of(loaded)[1:]}
    others = (other for other in definitions if other.name != loaded.name)
    return any(path.resolve() in ours for other in others for path in files_of(other)[1:])


def _is_uncommitted(project: ProjectContext, loaded: LoadedDefinition, endpoint: Endpoint) -> bool:
    """Whether neither a commit nor the server has the query of the file. Without git, no commit has."""
    node = loaded.definition.query_definition
    is_there = loaded.sql == endpoint.sql if node is None else canonical(node) == canonical(endpoint.query)
    repo = repository(project.folder)
    return not is_there and (repo is None or bool(touching((loaded,), dirty(repo, project.folder))))


def _plan(project: ProjectContext, diff: EndpointDiff, remote: ServerRevision, wanted: JsonObject) -> Plan:
    """A plan with one change: the query, and nothing else in which file and server differ."""
    current, loaded = remote.settings[Key.QUERY], diff.loaded
    empty = Plan(host=project.host, project_id=project.project_id, environment=project.environment.name)
    if same(Key.QUERY, wanted, current):
        return empty
    change = EndpointChange(
        name=diff.name,
        action=ChangeAction.UPDATE,
        keys=(KeyChange(key=Key.QUERY, before=current, after=wanted),),
        precondition=Precondition.of(remote, (Key.QUERY,)),
        path=loaded.path if loaded else None,
        line=line_of(Key.QUERY, loaded, project.environment.name) if loaded else None,
        notes=(f"makes version {remote.current_version + 1}",),
    )
    return replace(empty, changes=(change,))


def _check_variables(name: str, version: int, wanted: JsonObject, variables: Sequence[InsightVariable]) -> None:
    """Raises UsageError for a query that uses a deleted variable: it cannot run (docs/server.md#insight-variables)."""
    gone = sorted(variables_of(wanted).keys() - {variable.code_name for variable in variables})
    if gone:
        raise UsageError(
            f"version {version} of {name} uses what the project no longer has: {', '.join(gone)}",
            fix="declare them in a definition and push that, which creates them again",
            code="rollback.variable_gone",
        )
