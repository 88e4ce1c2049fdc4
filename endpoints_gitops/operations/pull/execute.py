"""Bring what changed on the server into the definitions: three-way, key by key, and nothing that is ahead is touched.

Everything is asked, decided and computed before the first file is written, so that a fault of the network leaves the
folder as it was.

Of a shared variable, type, label, values and multi belong to the project and leave no versions
(docs/server.md#insight-variables). Git alone can tell who changed them: what the file said in every commit is not new
in it, and what it said once is older.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import Conflict, EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.definition import LoadedDefinition, Variable
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.operations.checkout import agreed, head_of, save_record
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.file_edits import FileEdit, create, keep_uncommitted, write_edits
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.pull.decide import PullDecision, PullState, PullStrategy, VariableDiff, decide
from endpoints_gitops.operations.pull.rewrite import Rewrite, edits_of
from endpoints_gitops.plan.diff import Attribution, Presence, Revision, ServerRevision
from endpoints_gitops.plan.evidence import Recorded
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.workspace.definitions import read_file
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.git import HistoryUnavailable, repository
from endpoints_gitops.workspace.history import history
from endpoints_gitops.workspace.record import update_record
from endpoints_gitops.workspace.selection import CHANGED
from endpoints_gitops.workspace.state import exclusive_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledEndpoint:
    """What became of one name: where its file is, and why not, if not.

    `copies` are of the files whose uncommitted edit the server's value replaced.
    """

    decision: PullDecision
    state: PullState
    path: str | None = None
    copies: tuple[Path, ...] = ()
    error: EndpointsError | None = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode(self.error.exit_code) if self.error else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """`dry` results say what would become of each name. `cosmetic` are those whose query differs in form alone."""

    pulled: tuple[PulledEndpoint, ...]
    cosmetic: tuple[str, ...] = ()
    dry: bool = False
    outside: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        return worst(*(pulled.exit_code for pulled in self.pulled))

    @property
    def summary(self) -> Mapping[str, int]:
        return Counter(pulled.state.value.replace(" ", "_") for pulled in self.pulled)


def pull(
    project: ProjectContext,
    comparison: Comparison,
    definitions: Sequence[LoadedDefinition],
    strategy: PullStrategy,
    *,
    ask: Callable[[Sequence[str]], bool] = lambda _: False,
    dry: bool = False,
) -> PullResult:
    """Write to the files what the server has and they lack, and remember what is known now.

    `definitions` are all of the folder's. `ask` is told the names of which nobody knows who moved, and says whether to
    take the server's. A name that cannot be written does not keep the others from being written. With `dry` nothing is
    written, files and record both.
    """
    new = [one.name for one in comparison.diffs if one.presence is Presence.ONLY_REMOTE]
    if comparison.submodules and new:
        paths = " ".join(comparison.submodules)
        message = f"cannot tell whether {', '.join(new)} is defined in a submodule that is not initialised: {paths}"
        fix = f"git submodule update --init {paths}"
        raise UsageError(message, fix=fix, code="pull.submodule")
    pulling = _Pulling.of(project, comparison, definitions)
    decisions = tuple(pulling.decisions(strategy))
    undecided = [one.name for one in decisions if one.state is PullState.UNDECIDED]
    if undecided and ask(undecided):
        decisions = tuple(pulling.decisions(replace(strategy, guess_remote=True)))
    prepared = [pulling.prepared(decision) for decision in decisions]
    if not dry:
        with exclusive_lock(project.state):
            prepared = pulling.written(prepared)
    return PullResult(
        pulled=tuple(one.pulled for one in prepared),
        cosmetic=tuple(one.name for one in comparison.diffs if one.is_cosmetic),
        dry=dry,
        outside=comparison.outside,
        warnings=comparison.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    pulled: PulledEndpoint
    edits: tuple[FileEdit, ...] = ()

    def failed(self, error: EndpointsError) -> _Prepared:
        return _Prepared(pulled=replace(self.pulled, state=PullState.FAILED, error=error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pulling:
    """One pull: what is compared, and what the project's variables are."""

    project: ProjectContext
    comparison: Comparison
    definitions: Sequence[LoadedDefinition]
    variables: Mapping[str, InsightVariable]
    variable_diffs: Mapping[str, VariableDiff]
    sql_files: Counter[Path] = field(default_factory=Counter)

    @classmethod
    def of(cls, project: ProjectContext, comparison: Comparison, definitions: Sequence[LoadedDefinition]) -> _Pulling:
        variables = comparison.snapshot.variables or _variables(project, comparison)
        there = [one.loaded for one in comparison.diffs if one.loaded and one.presence is Presence.BOTH]
        return cls(
            project=project,
            comparison=comparison,
            definitions=definitions,
            variables={variable.id: variable for variable in variables},
            variable_diffs=compare_variables(project, there, variables),
            sql_files=Counter(filter(None, map(_sql_file, definitions))),
        )

    def decisions(self, strategy: PullStrategy) -> Iterator[PullDecision]:
        for diff in self.comparison.diffs:
            decision = decide(diff, strategy, self.variable_diffs.get(diff.name))
            yield replace(decision, state=self._state_without_file(decision.state, diff.name))

    def _state_without_file(self, state: PullState, name: str) -> PullState:
        """What was pruned comes back only where it is named, and so does what `changed:REF` finds deleted."""
        if state is not PullState.CREATED:
            return state
        if name in self.comparison.predecessors:
            return PullState.PREDECESSOR
        selectors = self.comparison.selectors
        if selectors and all(selector.startswith(CHANGED) for selector in selectors):
            return PullState.DELETED
        is_pruned = name in self.comparison.orphans.pruned and name not in selectors
        return PullState.PRUNED if is_pruned else state

    def prepared(self, decision: PullDecision) -> _Prepared:
        loaded = decision.diff.loaded
        path = loaded.path if loaded else None
        prepared = _Prepared(
            pulled=PulledEndpoint(decision=decision, state=decision.state, path=path, error=_open(decision))
        )
        try:
            edits = self._edits(decision)
        except OSError as error:
            return prepared.failed(UsageError(f"cannot be read: {error.strerror or error}", where=path))
        except EndpointsError as error:
            return prepared.failed(error)
        if decision.state is PullState.CREATED:
            prepared = replace(prepared, pulled=replace(prepared.pulled, path=shown(edits[0].path)))
        return replace(prepared, edits=edits)

    def _edits(self, decision: PullDecision) -> tuple[FileEdit, ...]:
        from endpoints_gitops.codecs.pulled import definition_values

        remote, local = decision.diff.remote, decision.diff.local
        if not isinstance(remote, ServerRevision) or not (
            decision.state is PullState.CREATED or decision.taken or decision.takes_variables
        ):
            return ()
        values = definition_values(remote.endpoint, self.variables)
        if local is None or local.loaded is None:
            return (create(remote, values, self.project.folder, self.definitions, self.project.environment.name),)
        rewrite = Rewrite(
            local=local,
            loaded=local.loaded,
            remote=remote,
            values=values,
            keys=decision.taken,
            environment=self.project.environment.name,
            takes_variables=decision.takes_variables,
            own_sql_file=self.sql_files[_sql_file(local.loaded) or Path()] < 2,
        )
        return edits_of(rewrite, self.project.folder)

    def written(self, prepared: Iterable[_Prepared]) -> list[_Prepared]:
        """Files first, then the record of those that were written: it must never say more than the files."""
        done: list[_Prepared] = []
        waiting = list(prepared)
        count = sum(bool(one.edits) for one in waiting)
        if count:
            self.project.progress.started("writing definitions", count)
        try:
            done.extend(map(self._write, waiting))
        finally:
            save_record(self.project, {**self.comparison.checkout.record.unsaved, **dict(self._entries(done))})
            self._forget(done)
            self.project.progress.finished()
        return done

    def _write(self, one: _Prepared) -> _Prepared:
        try:
            copies = keep_uncommitted(one.edits, self.project) if _replaces_edits(one.pulled.decision) else ()
            write_edits(one.edits, self.project.folder)
        except EndpointsError as error:
            return one.failed(error)
        one = replace(one, pulled=replace(one.pulled, copies=copies))
        if one.edits:
            self.project.progress.advanced(one.pulled.decision.name, one.pulled.state.value)
        return one

    def _entries(self, done: Iterable[_Prepared]) -> Iterator[tuple[str, Recorded]]:
        """A name in conflict keeps the record that says so. What the record says already is not saved again."""
        written = [*done]
        head = head_of(self.project) if any(one.edits for one in written) else None
        for one in written:
            decision, path = one.pulled.decision, one.pulled.path
            remote, before = decision.diff.remote, decision.diff.local
            if one.pulled.state not in _KNOWN or not isinstance(remote, ServerRevision) or path is None:
                continue
            previous = self.comparison.checkout.record.entries.get(decision.name)
            local = self._reread(Path(path)) if one.edits else before
            assert local is not None, "what has a path has a definition"
            now = agreed(
                previous,
                local=local,
                remote=remote,
                at=self.project.clock(),
                file_before=before.settings if before else None,
                accepted=decision.kept,
                head=head,
                pulled=decision.taken,
            )
            if previous is None or decision.kept or replace(now, at=previous.at) != previous:
                yield decision.name, now

    def _reread(self, path: Path) -> Revision:
        return Revision.local(read_file(path, self.project.folder), self.project.environment.name)

    def _forget(self, done: Iterable[_Prepared]) -> None:
        """Whoever keeps a file whose endpoint is gone has it created by the next push."""
        names = [one.pulled.decision.name for one in done if one.pulled.state is PullState.KEPT]
        lost = {name: None for name in names if name not in self.comparison.snapshot.endpoints}
        if lost:
            update_record(self.project.state, lost)


def _replaces_edits(decision: PullDecision) -> bool:
    """Whether the file may have said something else on purpose: also a comment in a query, which has no meaning."""
    attributions = {difference.key: difference.attribution for difference in decision.diff.differences}
    is_edited = any(attributions.get(key) is not Attribution.DRIFTED for key in decision.taken)
    return is_edited or Key.QUERY in decision.taken or decision.takes_variables


_KNOWN = frozenset((PullState.CREATED, PullState.UPDATED, PullState.UNCHANGED, PullState.AHEAD, PullState.KEPT))


def _open(decision: PullDecision) -> EndpointsError | None:
    """Why a name is not, or not wholly, pulled; with what is known of the other side, and the ways out."""
    if decision.state not in {PullState.CONFLICT, PullState.UNDECIDED}:
        return None
    diff = decision.diff
    reasons = [f"{difference.key}: {difference.reason}" for difference in decision.undecided]
    if decision.variables and not decision.takes_variables and decision.variables.attribution is Attribution.CONFLICT:
        reasons.append(f"variables: {decision.variables.reason}")
    by = f" by {diff.author}" if diff.author else ""
    date = f", {diff.date:%Y-%m-%d %H:%M}" if diff.date else ""
    version = f" (the server has version {diff.version}{by}{date})" if diff.version else ""
    first = decision.undecided[0].line if decision.undecided else None
    path = diff.loaded.path if diff.loaded else ""
    return Conflict(
        f"{diff.name} was left as it is{version}: {'; '.join(reasons)}",
        where=f"{path}:{first}" if first else path,
        fix=Advice(Command("pull", "--theirs", diff.name), " takes the server's, --mine keeps the file's"),
        code=f"pull.{decision.state}",
    )


def _variables(project: ProjectContext, comparison: Comparison) -> tuple[InsightVariable, ...]:
    """Also where no definition declares one: what comes from the server may use some."""
    pulled = (diff.endpoint for diff in comparison.diffs if diff.endpoint and (diff.differences or not diff.loaded))
    return project.client.list_variables() if any(endpoint.query.get("variables") for endpoint in pulled) else ()


def _sql_file(loaded: LoadedDefinition) -> Path | None:
    beside = loaded.definition.query_file
    return (Path(loaded.path).parent / beside).resolve() if beside else None


_STATED = ("type", "label", "values", "multi")


def compare_variables(
    project: ProjectContext, definitions: Iterable[LoadedDefinition], variables: Iterable[InsightVariable]
) -> dict[str, VariableDiff]:
    """By the name of the definition; only those that disagree with the project."""
    present = {variable.code_name: _of_project(variable) for variable in variables}
    differing = {loaded.name: loaded for loaded in definitions if _differing_variables(loaded, present)}
    past = _past_variables(project, differing)
    return {
        name: _variable_diff(_differing_variables(loaded, present), _of_file(loaded), present, past.get(name))
        for name, loaded in differing.items()
    }


def _differing_variables(loaded: LoadedDefinition, present: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    listed = {variable.name: _stated(variable) for variable in loaded.definition.variables or ()}
    return tuple(name for name, stated in listed.items() if name in present and not _agrees(stated, present[name]))


def _agrees(stated: Mapping[str, Json], has: Mapping[str, Json]) -> bool:
    return all(canonical(value) == canonical(has[key]) for key, value in stated.items())


def _of_file(loaded: LoadedDefinition) -> Mapping[str, Json]:
    return {variable.name: _stated(variable) for variable in loaded.definition.variables or ()}


def _stated(variable: Variable) -> dict[str, Json]:
    stated = {key: getattr(variable, key) for key in _STATED if getattr(variable, key) is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in stated.items()}


def _of_project(variable: InsightVariable) -> Mapping[str, Json]:
    return {
        "type": variable.type,
        "label": variable.name,
        "values": variable.values,
        "multi": variable.is_multi,
    }


type _VariableStates = Mapping[str, Json]
"""The settings of the variables by their names, as a definition stated them."""


def _past_variables(
    project: ProjectContext, definitions: Mapping[str, LoadedDefinition]
) -> Mapping[str, Sequence[_VariableStates]]:
    """What each definition said in the commits behind HEAD, newest first; nothing where history cannot be had."""
    repo = repository(project.folder) if definitions else None
    if repo is None or repo.is_shallow:
        return {}
    try:
        past = history(repo, project.folder, definitions.keys(), _of_file)
    except HistoryUnavailable:
        return {}
    return {name: [state.settings for state in states if state.settings is not None] for name, states in past.items()}


def _variable_diff(
    names: tuple[str, ...],
    stated: _VariableStates,
    present: Mapping[str, Mapping[str, Json]],
    past: Sequence[_VariableStates] | None,
) -> VariableDiff:
    listed = ", ".join(names)
    if past and all(_said(state, name, stated[name]) for state in past for name in names):
        return VariableDiff(
            names=names, attribution=Attribution.DRIFTED, reason=f"{listed}: the file never said anything else"
        )
    if past and all(any(_had(state, name, present[name]) for state in past) for name in names):
        return VariableDiff(
            names=names, attribution=Attribution.AHEAD, reason=f"{listed}: the project has what the file said once"
        )
    reason = f"{listed}: type, label or values differ from the project's; cannot tell which side changed them"
    return VariableDiff(names=names, attribution=Attribution.CONFLICT, reason=reason)


def _said(state: _VariableStates, name: str, stated: Json) -> bool:
    return name not in state or canonical(state[name]) == canonical(stated)


def _had(state: _VariableStates, name: str, present: Mapping[str, Json]) -> bool:
    stated = state.get(name)
    return isinstance(stated, Mapping) and _agrees(stated, present)
