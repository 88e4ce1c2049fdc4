"""Bring what changed on the server into the definitions: three-way, key by key, and nothing that is ahead is touched.

Everything is asked, decided and computed before the first file is written, so that a fault of the network leaves the
folder as it was.

Of a shared variable, type, label, values and multi belong to the project and leave no versions
(docs/server.md#insight-variables). Git alone can tell who changed them: what the file said in every commit is not new
in it, and what it said once is older.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import Conflict, EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.operations.checkout import agreed, head_of, save_record
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.file_edits import FileEdit, create, keep_uncommitted, write_edits
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.pull.decide import PullDecision, PullState, PullStrategy, VariableDiff, decide
from endpoints_gitops.operations.pull.rewrite import Rewrite, edits_of
from endpoints_gitops.plan.diff import Attribution, Presence, Revision, ServerRevision
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
    """The result of one name: the file that defines it, or the error that prevented that.

    `edits` are of its files. `copies` are of the files whose uncommitted edit the server's value replaced.
    """

    decision: PullDecision
    state: PullState
    path: str | None = None
    edits: tuple[FileEdit, ...] = ()
    copies: tuple[Path, ...] = ()
    error: EndpointsError | None = None

    @property
    def name(self) -> str:
        return self.decision.name

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode(self.error.exit_code) if self.error else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """The results of a pull; with `dry`, what they would be. `cosmetic` ones have a query that differs in form only."""

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
    """Write to the files what changed on the server, and to the record what file and server agree on now.

    `definitions` are all of the folder's. `ask` gets the names whose changes cannot be attributed, and returns whether
    to take the server's. A name that cannot be written does not keep the others from being written. With `dry` neither
    files nor record are written. Raises UsageError where a submodule may define an endpoint that has no file, Conflict
    while another command writes here, and ApiError.
    """
    new = [diff.name for diff in comparison.diffs if diff.presence is Presence.ONLY_REMOTE]
    if comparison.submodules and new:
        paths = " ".join(comparison.submodules)
        message = f"cannot tell whether {', '.join(new)} is defined in a submodule that is not initialised: {paths}"
        fix = f"git submodule update --init {paths}"
        raise UsageError(message, fix=fix, code="pull.submodule")
    pull = _Pull.of(project, comparison, definitions)
    decisions = pull.decisions(strategy)
    undecided = [decision.name for decision in decisions if decision.state is PullState.UNDECIDED]
    if undecided and ask(undecided):
        decisions = pull.decisions(replace(strategy, guess_remote=True))
    prepared = [pull.prepare(decision) for decision in decisions]
    if not dry:
        with exclusive_lock(project.state):
            prepared = pull.write(prepared)
    return PullResult(
        pulled=tuple(prepared),
        cosmetic=tuple(diff.name for diff in comparison.diffs if diff.is_cosmetic),
        dry=dry,
        outside=comparison.outside,
        warnings=comparison.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pull:
    """One pull. `variables` are the project's by id; `sql_files` counts the definitions that use each `.sql` file."""

    project: ProjectContext
    comparison: Comparison
    definitions: Sequence[LoadedDefinition]
    variables: Mapping[str, InsightVariable]
    variable_diffs: Mapping[str, VariableDiff]
    sql_files: Counter[Path]

    @classmethod
    def of(cls, project: ProjectContext, comparison: Comparison, definitions: Sequence[LoadedDefinition]) -> _Pull:
        variables = comparison.snapshot.variables or _variables(project, comparison)
        compared = [diff.loaded for diff in comparison.diffs if diff.loaded and diff.presence is Presence.BOTH]
        return cls(
            project=project,
            comparison=comparison,
            definitions=definitions,
            variables={variable.id: variable for variable in variables},
            variable_diffs=compare_variables(project, compared, variables),
            sql_files=Counter(filter(None, map(_sql_file, definitions))),
        )

    def decisions(self, strategy: PullStrategy) -> list[PullDecision]:
        decisions = [decide(diff, strategy, self.variable_diffs.get(diff.name)) for diff in self.comparison.diffs]
        return [
            replace(decision, state=self._state_without_file(decision.name))
            if decision.state is PullState.CREATED
            else decision
            for decision in decisions
        ]

    def _state_without_file(self, name: str) -> PullState:
        """The state of an endpoint without a file. One that was pruned comes back only where it is named, and so does
        one whose file `changed:REF` finds deleted.
        """
        selectors = self.comparison.selectors
        if name in self.comparison.predecessors:
            return PullState.PREDECESSOR
        if selectors and all(selector.startswith(CHANGED) for selector in selectors):
            return PullState.DELETED
        if name in self.comparison.orphans.pruned and name not in selectors:
            return PullState.PRUNED
        return PullState.CREATED

    def prepare(self, decision: PullDecision) -> PulledEndpoint:
        """What becomes of one name, with the edits that are left to write."""
        loaded = decision.diff.loaded
        path = loaded.path if loaded else None
        pulled = PulledEndpoint(decision=decision, state=decision.state, path=path, error=_conflict(decision))
        try:
            edits = self._edits(decision)
        except OSError as error:
            unreadable = UsageError(f"cannot be read: {error.strerror or error}", where=path)
            return replace(pulled, state=PullState.FAILED, error=unreadable)
        except EndpointsError as error:
            return replace(pulled, state=PullState.FAILED, error=error)
        if decision.state is PullState.CREATED:
            return replace(pulled, edits=edits, path=shown(edits[0].path))
        return replace(pulled, edits=edits)

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

    def write(self, prepared: Sequence[PulledEndpoint]) -> list[PulledEndpoint]:
        """Write the files, then the record of those that were written: it must never claim more than the files."""
        written: list[PulledEndpoint] = []
        progress = self.project.progress
        if count := sum(bool(pulled.edits) for pulled in prepared):
            progress.started("writing definitions", count)
        try:
            for pulled in prepared:
                try:
                    copies = keep_uncommitted(pulled.edits, self.project) if _replaces_edits(pulled.decision) else ()
                    write_edits(pulled.edits, self.project.folder)
                except EndpointsError as error:
                    written.append(replace(pulled, state=PullState.FAILED, error=error, edits=()))
                    continue
                written.append(replace(pulled, copies=copies))
                if pulled.edits:
                    progress.advanced(pulled.name, pulled.state.value)
        finally:
            self._save_record(written)
            progress.finished()
        return written

    def _save_record(self, written: Sequence[PulledEndpoint]) -> None:
        """Save what file and server agree on now. A name in conflict keeps the entry that says so.

        The entry of a kept file whose endpoint is gone is removed, so that the next push creates it.
        """
        record = self.comparison.checkout.record
        entries = dict(record.unsaved)
        head = head_of(self.project) if any(pulled.edits for pulled in written) else None
        for pulled in written:
            decision, local, remote = pulled.decision, pulled.decision.diff.local, pulled.decision.diff.remote
            if pulled.state not in _AGREED or not isinstance(remote, ServerRevision) or pulled.path is None:
                continue
            previous = record.entries.get(pulled.name)
            if pulled.edits:
                loaded = read_file(Path(pulled.path), self.project.folder)
                now = Revision.local(loaded, self.project.environment.name)
            else:
                assert local is not None, "what has a path has a definition"
                now = local
            entry = agreed(
                previous,
                local=now,
                remote=remote,
                at=self.project.clock(),
                file_before=local.settings if local else None,
                accepted=decision.kept,
                head=head,
                pulled=decision.taken,
            )
            if previous is None or decision.kept or replace(entry, at=previous.at) != previous:
                entries[pulled.name] = entry
        save_record(self.project, entries)
        kept = [pulled.name for pulled in written if pulled.state is PullState.KEPT]
        if lost := {name: None for name in kept if name not in self.comparison.snapshot.endpoints}:
            update_record(self.project.state, lost)


_AGREED = frozenset((PullState.CREATED, PullState.UPDATED, PullState.UNCHANGED, PullState.AHEAD, PullState.KEPT))


def _replaces_edits(decision: PullDecision) -> bool:
    """Whether the file may state something else on purpose; a comment in a query, which no setting holds, counts."""
    attributions = {difference.key: difference.attribution for difference in decision.diff.differences}
    is_edited = any(attributions.get(key) is not Attribution.DRIFTED for key in decision.taken)
    return is_edited or Key.QUERY in decision.taken or decision.takes_variables


def _conflict(decision: PullDecision) -> EndpointsError | None:
    """The error for a name of which not everything is pulled, with who changed the server, and the ways out."""
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
    """The variables that pulled queries may use where no definition declares one."""
    pulled = (diff.endpoint for diff in comparison.diffs if diff.endpoint and (diff.differences or not diff.loaded))
    return project.client.list_variables() if any(endpoint.query.get("variables") for endpoint in pulled) else ()


def _sql_file(loaded: LoadedDefinition) -> Path | None:
    beside = loaded.definition.query_file
    return (Path(loaded.path).parent / beside).resolve() if beside else None


type _VariableStates = Mapping[str, Mapping[str, Json]]
"""The settings of shared variables by their names."""


def compare_variables(
    project: ProjectContext, definitions: Iterable[LoadedDefinition], variables: Iterable[InsightVariable]
) -> dict[str, VariableDiff]:
    """The shared variables in which a definition and the project differ, by the name of the definition."""
    present: _VariableStates = {
        variable.code_name: {
            "type": variable.type,
            "label": variable.name,
            "values": variable.values,
            "multi": variable.is_multi,
        }
        for variable in variables
    }
    stated = {loaded.name: _stated_variables(loaded) for loaded in definitions}
    differing = {
        name: tuple(variable for variable in states if not _agrees(states, present, variable))
        for name, states in stated.items()
    }
    past = _past_variables(project, [name for name, names in differing.items() if names])
    return {
        name: _variable_diff(names, stated[name], present, past.get(name)) for name, names in differing.items() if names
    }


def _stated_variables(loaded: LoadedDefinition) -> _VariableStates:
    return {
        variable.name: {
            key: list(value) if isinstance(value, tuple) else value
            for key in ("type", "label", "values", "multi")
            if (value := getattr(variable, key)) is not None
        }
        for variable in loaded.definition.variables or ()
    }


def _agrees(stated: _VariableStates, present: _VariableStates, name: str) -> bool:
    """Whether the project has what a definition states of a variable. A variable that it lacks is no difference."""
    if name not in present:
        return True
    return all(canonical(value) == canonical(present[name][key]) for key, value in stated[name].items())


def _past_variables(project: ProjectContext, names: Sequence[str]) -> Mapping[str, Sequence[_VariableStates]]:
    """What each definition stated in the commits behind HEAD, newest first; nothing where history is unavailable."""
    repo = repository(project.folder) if names else None
    if repo is None or repo.is_shallow:
        return {}
    try:
        past = history(repo, project.folder, names, _stated_variables)
    except HistoryUnavailable:
        return {}
    return {
        name: [
            {variable: settings for variable, settings in state.settings.items() if isinstance(settings, Mapping)}
            for state in states
            if state.settings is not None
        ]
        for name, states in past.items()
    }


def _variable_diff(
    names: tuple[str, ...],
    stated: _VariableStates,
    present: _VariableStates,
    past: Sequence[_VariableStates] | None,
) -> VariableDiff:
    listed = ", ".join(names)
    attribution = Attribution.CONFLICT
    reason = f"{listed}: type, label or values differ from the project's; cannot tell which side changed them"
    if past and all(
        name not in state or canonical(state[name]) == canonical(stated[name]) for state in past for name in names
    ):
        attribution, reason = Attribution.DRIFTED, f"{listed}: the file never stated anything else"
    elif past and all(any(name in state and _agrees(state, present, name) for state in past) for name in names):
        attribution, reason = Attribution.AHEAD, f"{listed}: the project has what the file stated once"
    return VariableDiff(names=names, attribution=attribution, reason=reason)
