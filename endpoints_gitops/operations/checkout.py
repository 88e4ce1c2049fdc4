"""What is known of endpoints whose file and server differ, gathered with the fewest questions.

The record and git's history cost no request. The list of versions costs one, and is asked for only where those two
leave it open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.attribution import attribute, needs_versions
from endpoints_gitops.plan.diff import EndpointDiff, Presence, Revision, Snapshot
from endpoints_gitops.plan.evidence import NoHistory, PastSettings, Provenance, Recorded, recorded
from endpoints_gitops.plan.preconditions import ChangeState, state_of
from endpoints_gitops.plan.settings import Key, definition_settings
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    dirty,
    explain_missing,
    explain_shallow,
    repository,
)
from endpoints_gitops.workspace.history import PastState, history
from endpoints_gitops.workspace.journal import InterruptedPush, unfinished
from endpoints_gitops.workspace.record import load_record
from endpoints_gitops.workspace.selection import touching


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRecord:
    """What the last pull or push of this checkout left, by name; `warning` says why it cannot be used.

    `unsaved` are those of the entries that a push put into its journal and was killed before it could save.
    """

    entries: Mapping[str, Recorded] = field(default_factory=dict)
    unsaved: Mapping[str, Recorded] = field(default_factory=dict)
    warning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What this checkout has and remembers: its definitions by name, each with its settings, and the record."""

    local: Mapping[str, Revision] = field(default_factory=dict)
    record: CheckoutRecord = field(default_factory=CheckoutRecord)

    @classmethod
    def of(cls, project: ProjectContext, definitions: Iterable[LoadedDefinition], snapshot: Snapshot) -> Checkout:
        """The checkout beside a server. The snapshot shows what of an interrupted push landed."""
        environment, variables = project.environment.name, snapshot.variables_by_code_name
        local = {loaded.name: Revision.local(loaded, environment, variables) for loaded in definitions}
        return cls(local=local, record=read_record(project, local, snapshot))

    @property
    def definitions(self) -> Mapping[str, LoadedDefinition]:
        """The definitions by name."""
        return {name: revision.loaded for name, revision in self.local.items() if revision.loaded is not None}


def read_record(project: ProjectContext, local: Mapping[str, Revision], snapshot: Snapshot) -> CheckoutRecord:
    """The record of this checkout. An entry that makes no sense is left out: then history is asked instead.

    A journal that an interrupted push left adds what landed of it, heard of or not: the snapshot shows that.
    """
    stored = load_record(project.state)
    entries, left = _entries(stored.entries), _interrupted(project)
    if left is None:
        return CheckoutRecord(entries=entries, warning=stored.warning)
    heard = {name: entry for name, entry in _entries(left.done).items() if _is_newer(entry, entries.get(name))}
    unsaved = heard | _landed_unheard(left, local, snapshot, entries)
    return CheckoutRecord(entries=entries | unsaved, unsaved=unsaved, warning=stored.warning)


def _entries(stored: Mapping[str, Json]) -> dict[str, Recorded]:
    read = ((name, Recorded.from_json(entry)) for name, entry in stored.items() if isinstance(entry, Mapping))
    return {name: entry for name, entry in read if entry is not None}


def _interrupted(project: ProjectContext) -> InterruptedPush | None:
    """What the journal of a push that did not end says; nothing, where it cannot be read."""
    try:
        return unfinished(project.state)
    except UsageError:
        return None


def _is_newer(entry: Recorded, other: Recorded | None) -> bool:
    return entry.at is not None and (other is None or other.at is None or entry.at > other.at)


def attribute_all(
    project: ProjectContext,
    diffs: Iterable[EndpointDiff],
    record: CheckoutRecord,
    *,
    prunable: frozenset[str] = frozenset(),
) -> tuple[EndpointDiff, ...]:
    """Every difference attributed, in the order of the names. `prunable` has the names that may be pruned."""
    now = datetime.now(UTC)
    attributed = {
        diff.name: attribute(diff, Provenance.of_record(record.entries.get(diff.name), now)) for diff in diffs
    }
    open_to_history = [diff for diff in attributed.values() if _is_open_to_history(diff, prunable)]
    attributed |= {diff.name: attribute(diff, evidence) for diff, evidence in _with_history(project, open_to_history)}
    unexplained = [attributed[diff.name] for diff in open_to_history if needs_versions(attributed[diff.name])]
    versions = concurrent_map(project.client.list_versions, [diff.name for diff in unexplained])
    for diff, listed in zip(unexplained, versions, strict=True):
        attributed[diff.name] = attribute(diff, replace(diff.evidence, versions=listed))
    return tuple(attributed[name] for name in sorted(attributed))


type _Known = Iterable[tuple[EndpointDiff, Provenance]]


def _with_history(project: ProjectContext, diffs: Sequence[EndpointDiff]) -> _Known:
    """The same with what git knows of the definitions, or why it knows nothing."""
    if not diffs:
        return ()
    found = repository(project.folder)
    if found is None:
        return _without_history(diffs, explain_missing(project.folder))
    try:
        past = history(
            found,
            project.folder,
            [diff.name for diff in diffs],
            lambda loaded: definition_settings(loaded, project.environment.name),
        )
    except HistoryUnavailable as error:
        return _without_history(diffs, error, found.head)
    edited = touching([diff.loaded for diff in diffs if diff.loaded is not None], dirty(found, project.folder))
    shallow = _cause(explain_shallow(found)) if found.is_shallow else None
    return [
        (
            diff,
            replace(
                diff.evidence,
                head=found.head,
                is_dirty=diff.name in edited,
                history=None if shallow else states,
                visible=states if shallow else None,
                without_history=shallow,
            ),
        )
        for diff in diffs
        for states in [tuple(map(_past, past[diff.name]))]
    ]


def _without_history(diffs: Iterable[EndpointDiff], error: HistoryUnavailable, head: str | None = None) -> _Known:
    cause = _cause(error)
    return [(diff, replace(diff.evidence, without_history=cause, head=head)) for diff in diffs]


def _cause(error: HistoryUnavailable) -> NoHistory:
    assert error.fix is not None, "every cause has its advice"
    return NoHistory(reason=error.message, fix=error.fix)


def _past(state: PastState[Key]) -> PastSettings:
    return PastSettings(
        settings=state.meaning,
        committed_at=state.committed_at,
        commit=state.commit,
        readable=state.readable,
        supersedes=state.definition.definition.supersedes if state.definition else None,
    )


def _is_open_to_history(diff: EndpointDiff, prunable: frozenset[str]) -> bool:
    return diff.name in prunable or (diff.presence is Presence.BOTH and bool(diff.differences or diff.unmanaged))


def _landed_unheard(
    left: InterruptedPush, local: Mapping[str, Revision], snapshot: Snapshot, previous: Mapping[str, Recorded]
) -> dict[str, Recorded]:
    """What the record would hold of them: without it an edit made since would be in conflict with our own write.

    `local` are the definitions by name. A journal that cannot be read gives none: `resume` reports it.
    """
    from endpoints_gitops.codecs.plan import from_json

    if not left.uncertain:
        return {}
    try:
        plan = from_json(left.plan, "the journal")
    except InvalidInput:
        return {}
    entries: dict[str, Recorded] = {}
    for change in plan.changes:
        remote = snapshot.revision(change.name) if change.name in left.uncertain else None
        if remote is None or change.name not in local:
            continue
        is_applied = state_of(change, remote) is ChangeState.APPLIED
        if is_applied and remote.endpoint.current_version == change.expected_version:
            entries[change.name] = recorded(
                previous.get(change.name),
                endpoint=remote.endpoint,
                server=remote.settings,
                # the file has perhaps been edited since: of what was sent it said then what the plan says
                file={**local[change.name].settings, **change.after},
                at=remote.endpoint.updated_at or datetime.now(UTC),  # when it landed: what was committed since is newer
                server_before=change.before,
                head=left.head,
                pushed=change.after.keys(),
            )
    return entries
