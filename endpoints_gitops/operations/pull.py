"""Bring what changed on the server into the definitions: three-way, key by key, and nothing that is ahead is touched.

Everything is asked, decided and computed before the first file is written, so that a fault of the network leaves the
folder as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from endpoints_gitops.errors import Conflict, EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.recording import agreed, save_record
from endpoints_gitops.operations.shared_settings import Settings, judge_settings
from endpoints_gitops.operations.taking import FileEdit, Taking, create, take, write_edits
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.evidence import Recorded
from endpoints_gitops.plan.judging import Difference, Judged, Presence, Verdict
from endpoints_gitops.plan.meaning import Key, of_definition, of_endpoint
from endpoints_gitops.workspace.definitions import read_file
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.record import update_record
from endpoints_gitops.workspace.state import held


class Side(StrEnum):
    """Whose word counts where both moved."""

    THEIRS = "theirs"
    MINE = "mine"


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """`side` is for what moved on both sides; `guess_theirs` takes the server's where nobody can tell who moved."""

    side: Side | None = None
    guess_theirs: bool = False


class State(StrEnum):
    """What became of one name."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"
    KEPT = "kept"
    CONFLICT = "conflict"
    UNDECIDED = "undecided"
    GONE = "gone"
    ONLY_HERE = "only here"
    PREDECESSOR = "kept for its callers"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about one name.

    `taken` are the keys that the file takes from the server, `kept` those whose conflict the file wins, `ahead` those
    in which it has something new. `against` are the differences that need a word of a person; `settings` are taken too
    where `takes_settings`.
    """

    judged: Judged
    state: State
    taken: frozenset[Key] = frozenset()
    kept: frozenset[Key] = frozenset()
    ahead: tuple[Key, ...] = ()
    against: tuple[Difference, ...] = ()
    settings: Settings | None = None
    takes_settings: bool = False

    @property
    def name(self) -> str:
        return self.judged.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What became of one name: where its file is, and why not, if not."""

    decision: Decision
    state: State
    path: str | None = None
    error: EndpointsError | None = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode(self.error.exit_code) if self.error else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """`dry` results say what would become of each name."""

    pulled: tuple[Pulled, ...]
    dry: bool = False
    outside: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        return worst(*(one.exit_code for one in self.pulled))

    @property
    def summary(self) -> Mapping[str, int]:
        return Counter(one.state.value.replace(" ", "_") for one in self.pulled)


def decide(judged: Judged, how: How, settings: Settings | None = None) -> Decision:
    """What to do about one name. `settings` are those of shared variables in which file and project differ.

    What follows from another key alone (a table that an inactive endpoint cannot have) is not for a file to take.
    """
    if judged.presence is Presence.ONLY_THERE:
        return Decision(judged=judged, state=State.CREATED)
    if judged.presence is Presence.ONLY_HERE:
        gone = State.KEPT if how.side is Side.MINE else State.GONE
        return Decision(judged=judged, state=gone if judged.gone else State.ONLY_HERE)
    assert judged.endpoint is not None, "both sides are there"
    comparable = of_endpoint(judged.endpoint)
    differences = [one for one in judged.differences if one.key in comparable]
    conflicts = [one for one in differences if one.verdict is Verdict.CONFLICT]
    theirs = [one for one in conflicts if how.side is Side.THEIRS or (how.guess_theirs and not one.is_known)]
    kept = conflicts if how.side is Side.MINE else []
    against = tuple(one for one in conflicts if one not in theirs and one not in kept)
    drifted = [one for one in differences if one.verdict is Verdict.DRIFTED]
    decision = Decision(
        judged=judged,
        state=State.UNCHANGED,
        taken=frozenset(one.key for one in (*drifted, *theirs)),
        kept=frozenset(one.key for one in kept),
        ahead=tuple(one.key for one in differences if one.verdict is Verdict.AHEAD),
        against=against,
        settings=settings,
        takes_settings=settings is not None and _takes(settings, how),
    )
    return replace(decision, state=_state(decision, how))


def _takes(settings: Settings, how: How) -> bool:
    if settings.verdict is Verdict.CONFLICT:
        return how.side is Side.THEIRS or how.guess_theirs
    return settings.verdict is Verdict.DRIFTED


def _state(decision: Decision, how: How) -> State:
    settings = None if decision.takes_settings else decision.settings
    in_conflict = settings is not None and settings.verdict is Verdict.CONFLICT
    if any(one.is_known for one in decision.against):
        return State.CONFLICT
    if decision.against or (in_conflict and how.side is not Side.MINE):
        return State.UNDECIDED
    if decision.taken or decision.takes_settings:
        return State.UPDATED
    if decision.kept or in_conflict:
        return State.KEPT
    return State.AHEAD if decision.ahead or settings is not None else State.UNCHANGED


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
            is_predecessor = decision.state is State.CREATED and judged.name in self.comparison.predecessors
            yield replace(decision, state=State.PREDECESSOR) if is_predecessor else decision

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
            write_edits(one.edits, self.work.folder)
        except EndpointsError as error:
            return one.failed(error)
        if one.edits:
            self.work.progress.advanced(one.pulled.decision.name, one.pulled.state.value)
        return one

    def _entries(self, done: Iterable[_Prepared]) -> Iterator[tuple[str, Recorded]]:
        """A name in conflict keeps the record that says so. What the record says already is not saved again."""
        for one in done:
            decision, path = one.pulled.decision, one.pulled.path
            if one.pulled.state not in _KNOWN or decision.judged.endpoint is None or path is None:
                continue
            previous = self.comparison.record.entries.get(decision.name)
            loaded = read_file(Path(path), self.work.folder) if one.edits else decision.judged.loaded
            now = self._entry(previous, decision, decision.judged.endpoint, loaded)
            if previous is None or decision.kept or replace(now, at=previous.at) != previous:
                yield decision.name, now

    def _entry(
        self, previous: Recorded | None, decision: Decision, endpoint: Endpoint, loaded: LoadedDefinition | None
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
        )

    def _forget(self, done: Iterable[_Prepared]) -> None:
        """Whoever keeps a file whose endpoint is gone has it created by the next push."""
        names = [one.pulled.decision.name for one in done if one.pulled.state is State.KEPT]
        lost = {name: None for name in names if name not in self.comparison.endpoints}
        if lost:
            update_record(self.work.state, lost)


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
