"""Bring what changed on the server into the definitions: three-way, key by key, and nothing that is ahead is touched.

Everything is asked, decided and computed before the first file is written, so that a fault of the network leaves the
folder as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from endpoints_gitops.errors import Conflict, EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.deciding import Decision, How, State, decide
from endpoints_gitops.operations.file_edits import FileEdit, create, keep_uncommitted, write_edits
from endpoints_gitops.operations.recording import agreed, head_of, save_record
from endpoints_gitops.operations.shared_settings import Settings, judge_settings
from endpoints_gitops.operations.taking import Taking, take
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.evidence import Recorded
from endpoints_gitops.plan.judging import Presence, Verdict
from endpoints_gitops.plan.meaning import Key, of_definition
from endpoints_gitops.workspace.definitions import read_file
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.record import update_record
from endpoints_gitops.workspace.selection import CHANGED
from endpoints_gitops.workspace.state import held


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What became of one name: where its file is, and why not, if not.

    `copies` are of the files whose uncommitted edit the server's value replaced.
    """

    decision: Decision
    state: State
    path: str | None = None
    copies: tuple[Path, ...] = ()
    error: EndpointsError | None = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode(self.error.exit_code) if self.error else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """`dry` results say what would become of each name. `cosmetic` are those whose query differs in form alone."""

    pulled: tuple[Pulled, ...]
    cosmetic: tuple[str, ...] = ()
    dry: bool = False
    outside: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        return worst(*(one.exit_code for one in self.pulled))

    @property
    def summary(self) -> Mapping[str, int]:
        return Counter(one.state.value.replace(" ", "_") for one in self.pulled)


def pull(
    work: Workplace,
    comparison: Comparison,
    definitions: Sequence[LoadedDefinition],
    how: How,
    *,
    ask: Callable[[Sequence[str]], bool] = lambda _: False,
    dry: bool = False,
) -> PullResult:
    """Write to the files what the server has and they lack, and remember what is known now.

    `definitions` are all of the folder's. `ask` is told the names of which nobody knows who moved, and says whether to
    take the server's. A name that cannot be written does not keep the others from being written. With `dry` nothing is
    written, files and record both.
    """
    new = [one.name for one in comparison.judged if one.presence is Presence.ONLY_THERE]
    if comparison.submodules and new:
        paths = " ".join(comparison.submodules)
        message = f"cannot tell whether {', '.join(new)} is defined in a submodule that is not initialised: {paths}"
        fix = f"git submodule update --init {paths}"
        raise UsageError(message, fix=fix, code="pull.submodule")
    pulling = _Pulling.of(work, comparison, definitions)
    decisions = tuple(pulling.decisions(how))
    undecided = [one.name for one in decisions if one.state is State.UNDECIDED]
    if undecided and ask(undecided):
        decisions = tuple(pulling.decisions(replace(how, guess_theirs=True)))
    prepared = [pulling.prepared(decision) for decision in decisions]
    if not dry:
        with held(work.state):
            prepared = pulling.written(prepared)
    return PullResult(
        pulled=tuple(one.pulled for one in prepared),
        cosmetic=tuple(one.name for one in comparison.judged if one.cosmetic),
        dry=dry,
        outside=comparison.outside,
        warnings=comparison.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    pulled: Pulled
    edits: tuple[FileEdit, ...] = ()

    def failed(self, error: EndpointsError) -> _Prepared:
        return _Prepared(pulled=replace(self.pulled, state=State.FAILED, error=error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pulling:
    """One pull: what is compared, and what the project's variables are."""

    work: Workplace
    comparison: Comparison
    definitions: Sequence[LoadedDefinition]
    variables: Mapping[str, InsightVariable]
    settings: Mapping[str, Settings]
    sql_files: Counter[Path] = field(default_factory=Counter)

    @classmethod
    def of(cls, work: Workplace, comparison: Comparison, definitions: Sequence[LoadedDefinition]) -> _Pulling:
        variables = comparison.variables or _variables(work, comparison)
        there = [one.loaded for one in comparison.judged if one.loaded and one.presence is Presence.BOTH]
        return cls(
            work=work,
            comparison=comparison,
            definitions=definitions,
            variables={variable.id: variable for variable in variables},
            settings=judge_settings(work, there, variables),
            sql_files=Counter(filter(None, map(_sql_file, definitions))),
        )

    def decisions(self, how: How) -> Iterator[Decision]:
        for judged in self.comparison.judged:
            decision = decide(judged, how, self.settings.get(judged.name))
            yield replace(decision, state=self._state_without_file(decision.state, judged.name))

    def _state_without_file(self, state: State, name: str) -> State:
        """What was pruned comes back only where it is named, and so does what `changed:REF` finds deleted."""
        if state is not State.CREATED:
            return state
        if name in self.comparison.predecessors:
            return State.PREDECESSOR
        selectors = self.comparison.selectors
        if selectors and all(one.startswith(CHANGED) for one in selectors):
            return State.DELETED
        is_pruned = name in self.comparison.orphans.pruned and name not in selectors
        return State.PRUNED if is_pruned else state

    def prepared(self, decision: Decision) -> _Prepared:
        loaded = decision.judged.loaded
        path = loaded.path if loaded else None
        prepared = _Prepared(pulled=Pulled(decision=decision, state=decision.state, path=path, error=_open(decision)))
        try:
            edits = self._edits(decision)
        except OSError as error:
            return prepared.failed(UsageError(f"cannot be read: {error.strerror or error}", where=path))
        except EndpointsError as error:
            return prepared.failed(error)
        if decision.state is State.CREATED:
            prepared = replace(prepared, pulled=replace(prepared.pulled, path=shown(edits[0].path)))
        return replace(prepared, edits=edits)

    def _edits(self, decision: Decision) -> tuple[FileEdit, ...]:
        from endpoints_gitops.codecs.pulled import definition_values

        endpoint, loaded = decision.judged.endpoint, decision.judged.loaded
        if endpoint is None or not (decision.state is State.CREATED or decision.taken or decision.takes_settings):
            return ()
        values = definition_values(endpoint, self.variables)
        if loaded is None:
            return (create(endpoint, values, self.work.folder, self.definitions, self.work.environment.name),)
        taking = Taking(
            loaded=loaded,
            endpoint=endpoint,
            values=values,
            keys=decision.taken,
            environment=self.work.environment.name,
            settings=decision.takes_settings,
            own_sql_file=self.sql_files[_sql_file(loaded) or Path()] < 2,
        )
        return take(taking, self.work.folder)

    def written(self, prepared: Iterable[_Prepared]) -> list[_Prepared]:
        """Files first, then the record of those that were written: it must never say more than the files."""
        done: list[_Prepared] = []
        waiting = list(prepared)
        count = sum(bool(one.edits) for one in waiting)
        if count:
            self.work.progress.started("writing definitions", count)
        try:
            done.extend(map(self._write, waiting))
        finally:
            save_record(self.work, {**self.comparison.record.unsaved, **dict(self._entries(done))})
            self._forget(done)
            self.work.progress.finished()
        return done

    def _write(self, one: _Prepared) -> _Prepared:
        try:
            copies = keep_uncommitted(one.edits, self.work) if _replaces_edits(one.pulled.decision) else ()
            write_edits(one.edits, self.work.folder)
        except EndpointsError as error:
            return one.failed(error)
        one = replace(one, pulled=replace(one.pulled, copies=copies))
        if one.edits:
            self.work.progress.advanced(one.pulled.decision.name, one.pulled.state.value)
        return one

    def _entries(self, done: Iterable[_Prepared]) -> Iterator[tuple[str, Recorded]]:
        """A name in conflict keeps the record that says so. What the record says already is not saved again."""
        written = [*done]
        head = head_of(self.work) if any(one.edits for one in written) else None
        for one in written:
            decision, path = one.pulled.decision, one.pulled.path
            if one.pulled.state not in _KNOWN or decision.judged.endpoint is None or path is None:
                continue
            previous = self.comparison.record.entries.get(decision.name)
            loaded = read_file(Path(path), self.work.folder) if one.edits else decision.judged.loaded
            now = self._entry(previous, decision, decision.judged.endpoint, loaded, head)
            if previous is None or decision.kept or replace(now, at=previous.at) != previous:
                yield decision.name, now

    def _entry(
        self,
        previous: Recorded | None,
        decision: Decision,
        endpoint: Endpoint,
        loaded: LoadedDefinition | None,
        head: str | None,
    ) -> Recorded:
        environment, before = self.work.environment.name, decision.judged.loaded
        assert loaded is not None, "what has a path has a definition"
        return agreed(
            previous,
            loaded=loaded,
            endpoint=endpoint,
            environment=environment,
            file_before=of_definition(before, environment) if before else None,
            accepted=decision.kept,
            head=head,
            pulled=decision.taken,
        )

    def _forget(self, done: Iterable[_Prepared]) -> None:
        """Whoever keeps a file whose endpoint is gone has it created by the next push."""
        names = [one.pulled.decision.name for one in done if one.pulled.state is State.KEPT]
        lost = {name: None for name in names if name not in self.comparison.endpoints}
        if lost:
            update_record(self.work.state, lost)


def _replaces_edits(decision: Decision) -> bool:
    """Whether the file may have said something else on purpose: also a comment in a query, which has no meaning."""
    verdicts = {one.key: one.verdict for one in decision.judged.differences}
    is_edited = any(verdicts.get(key) is not Verdict.DRIFTED for key in decision.taken)
    return is_edited or Key.QUERY in decision.taken or decision.takes_settings


_KNOWN = frozenset((State.CREATED, State.UPDATED, State.UNCHANGED, State.AHEAD, State.KEPT))


def _open(decision: Decision) -> EndpointsError | None:
    """Why a name is not, or not wholly, pulled; with what is known of the other side, and the ways out."""
    if decision.state not in {State.CONFLICT, State.UNDECIDED}:
        return None
    judged = decision.judged
    said = [f"{one.key}: {one.reason}" for one in decision.against]
    if decision.settings and not decision.takes_settings and decision.settings.verdict is Verdict.CONFLICT:
        said.append(f"variables: {decision.settings.reason}")
    by = f" by {judged.author}" if judged.author else ""
    date = f", {judged.date:%Y-%m-%d %H:%M}" if judged.date else ""
    version = f" (the server has version {judged.version}{by}{date})" if judged.version else ""
    first = decision.against[0].line if decision.against else None
    path = judged.loaded.path if judged.loaded else ""
    return Conflict(
        f"{judged.name} was left as it is{version}: {'; '.join(said)}",
        where=f"{path}:{first}" if first else path,
        fix=f"endpoints-gitops pull --theirs {judged.name} takes the server's, --mine keeps the file's",
        code=f"pull.{decision.state}",
    )


def _variables(work: Workplace, comparison: Comparison) -> tuple[InsightVariable, ...]:
    """Also where no definition declares one: what comes from the server may use some."""
    coming = (one.endpoint for one in comparison.judged if one.endpoint and (one.differences or not one.loaded))
    return work.client.list_variables() if any(one.query.get("variables") for one in coming) else ()


def _sql_file(loaded: LoadedDefinition) -> Path | None:
    beside = loaded.definition.query_file
    return (Path(loaded.path).parent / beside).resolve() if beside else None
