"""What is known of endpoints whose file and server differ, gathered with the fewest questions.

The record and git's history cost no request. The list of versions costs one, and is asked for only where those two
leave it open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.interrupted import Pair, unheard
from endpoints_gitops.operations.together import each
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.evidence import Evidence, NoHistory, Past, Recorded
from endpoints_gitops.plan.judging import Judged, Presence, judge, needs_versions
from endpoints_gitops.plan.meaning import Key, Meaning, of_definition
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    dirty,
    explain_missing,
    explain_shallow,
    repository,
)
from endpoints_gitops.workspace.history import PastState, history
from endpoints_gitops.workspace.journal import Unfinished, unfinished
from endpoints_gitops.workspace.record import load_record
from endpoints_gitops.workspace.selection import touching


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the last pull or push of this checkout left, by name; `warning` says why it cannot be used.

    `unsaved` are those of the entries that a push put into its journal and was killed before it could save.
    """

    entries: Mapping[str, Recorded] = field(default_factory=dict)
    unsaved: Mapping[str, Recorded] = field(default_factory=dict)
    warning: str | None = None


def read_record(work: Workplace, pairs: Iterable[Pair]) -> Record:
    """The record of this checkout. An entry that makes no sense is left out: then history is asked instead.

    A journal that an interrupted push left adds what landed of it, heard of or not: that shows in `pairs`.
    """
    stored = load_record(work.state)
    entries, left = _entries(stored.entries), _interrupted(work)
    if left is None:
        return Record(entries=entries, warning=stored.warning)
    heard = {name: one for name, one in _entries(left.done).items() if _is_newer(one, entries.get(name))}
    unsaved = heard | unheard(left, pairs, entries, work.environment.name)
    return Record(entries=entries | unsaved, unsaved=unsaved, warning=stored.warning)


def _entries(stored: Mapping[str, Json]) -> dict[str, Recorded]:
    read = ((name, Recorded.from_json(entry)) for name, entry in stored.items() if isinstance(entry, Mapping))
    return {name: entry for name, entry in read if entry is not None}


def _interrupted(work: Workplace) -> Unfinished | None:
    """What the journal of a push that did not end says; nothing, where it cannot be read."""
    try:
        return unfinished(work.state)
    except UsageError:
        return None


def _is_newer(entry: Recorded, other: Recorded | None) -> bool:
    return entry.at is not None and (other is None or other.at is None or entry.at > other.at)


def judge_all(
    work: Workplace, pairs: Iterable[Pair], record: Record, *, prunable: frozenset[str] = frozenset()
) -> tuple[Judged, ...]:
    """Each pair judged, in the order of the names. `prunable` has those without a definition that may be pruned."""
    environment, now = work.environment.name, datetime.now(UTC)
    known = {pair.name: (pair, Evidence.of_record(record.entries.get(pair.name), now)) for pair in pairs}
    judged = _judged(known, environment)
    differing = {name: known[name] for name, one in judged.items() if _is_open_to_history(one, prunable)}
    told = _with_history(work, differing)
    judged |= _judged(told, environment)
    told = _with_versions(work, {name: told[name] for name in told if needs_versions(judged[name])})
    judged |= _judged(told, environment)
    return tuple(judged[name] for name in sorted(judged))


type _Known = Mapping[str, tuple[Pair, Evidence]]


def _judged(known: _Known, environment: str) -> dict[str, Judged]:
    return {name: judge(pair.loaded, pair.endpoint, evidence, environment) for name, (pair, evidence) in known.items()}


def _with_history(work: Workplace, known: _Known) -> _Known:
    if not known:
        return known
    found = repository(work.folder)
    if found is None:
        return _without_history(known, explain_missing(work.folder))

    def meaning_of(loaded: LoadedDefinition) -> Meaning:
        return of_definition(loaded, work.environment.name)

    try:
        past = history(found, work.folder, known.keys(), meaning_of)
    except HistoryUnavailable as error:
        return _without_history(known, error, found.head)
    loaded = [pair.loaded for pair, _ in known.values() if pair.loaded is not None]
    edited = touching(loaded, dirty(found, work.folder))
    told = {
        name: (pair, replace(evidence, head=found.head, is_dirty=name in edited))
        for name, (pair, evidence) in known.items()
    }
    states = {name: tuple(map(_past, past[name])) for name in known}
    if found.is_shallow:
        shallow = _cause(explain_shallow(found))
        return {
            name: (pair, replace(evidence, without_history=shallow, visible=states[name]))
            for name, (pair, evidence) in told.items()
        }
    return {name: (pair, replace(evidence, history=states[name])) for name, (pair, evidence) in told.items()}


def _without_history(known: _Known, error: HistoryUnavailable, head: str | None = None) -> _Known:
    cause = _cause(error)
    return {
        name: (pair, replace(evidence, without_history=cause, head=head)) for name, (pair, evidence) in known.items()
    }


def _cause(error: HistoryUnavailable) -> NoHistory:
    assert error.fix is not None, "every cause has its advice"
    return NoHistory(reason=error.message, fix=error.fix)


def _past(state: PastState[Key]) -> Past:
    return Past(
        meaning=state.meaning,
        committed_at=state.committed_at,
        commit=state.commit,
        readable=state.readable,
        supersedes=state.definition.definition.supersedes if state.definition else None,
    )


def _with_versions(work: Workplace, known: _Known) -> _Known:
    found = each(work.client.list_versions, known)
    told = zip(known.items(), found, strict=True)
    return {name: (pair, replace(evidence, versions=versions)) for (name, (pair, evidence)), versions in told}


def _is_open_to_history(judged: Judged, prunable: frozenset[str]) -> bool:
    return judged.name in prunable or (
        judged.presence is Presence.BOTH and bool(judged.differences or judged.unmanaged)
    )
