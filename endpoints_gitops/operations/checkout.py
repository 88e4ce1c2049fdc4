"""What this checkout has and remembers: its definitions, and the record of what its last pulls and pushes left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.plan.diff import EndpointDiff, Revision, ServerRevision, Snapshot
from endpoints_gitops.plan.evidence import Recorded, recorded
from endpoints_gitops.plan.preconditions import ChangeState, state_of
from endpoints_gitops.plan.settings import Key, Settings
from endpoints_gitops.workspace.git import repository
from endpoints_gitops.workspace.journal import InterruptedPush, unfinished
from endpoints_gitops.workspace.record import load_record, update_record


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
    unsaved = heard | _landed_unheard(left, local, snapshot, entries, project.clock())
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


def _landed_unheard(
    left: InterruptedPush,
    local: Mapping[str, Revision],
    snapshot: Snapshot,
    previous: Mapping[str, Recorded],
    now: datetime,
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
                at=remote.endpoint.updated_at or now,  # when it landed: what was committed since is newer
                server_before=change.before,
                head=left.head,
                pushed=change.after.keys(),
            )
    return entries


def agreed(
    previous: Recorded | None,
    *,
    local: Revision,
    remote: ServerRevision,
    at: datetime,
    server_before: Settings | None = None,
    file_before: Settings | None = None,
    accepted: frozenset[Key] = frozenset(),
    head: str | None = None,
    pushed: frozenset[Key] = frozenset(),
    pulled: frozenset[Key] = frozenset(),
) -> Recorded:
    """What to remember of a file and its endpoint as they are now.

    A key in which they still differ (drifted, in conflict) keeps what was remembered of it: else the next push would
    take for agreed what never was. Of `accepted` keys the user saw what the server has and keeps the file's: both are
    remembered, so that the next push writes over just that. `head` is the commit of HEAD, `pushed` and `pulled` are the
    keys that were written to the server and to the file.
    """
    return recorded(
        previous,
        endpoint=remote.endpoint,
        server=remote.settings,
        file=local.settings,
        at=at,
        server_before=server_before,
        file_before=file_before,
        settled=accepted,
        head=head,
        pushed=pushed,
        pulled=pulled,
    )


def head_of(project: ProjectContext) -> str | None:
    """The commit that HEAD is at; None without git."""
    repo = repository(project.folder)
    return repo.head if repo else None


def save_record(project: ProjectContext, entries: Mapping[str, Recorded]) -> None:
    """Save entries, where there are any; the others stay."""
    if entries:
        update_record(project.state, {name: entry.as_json() for name, entry in entries.items()})


def refresh_record(project: ProjectContext, record: CheckoutRecord, diffs: Iterable[EndpointDiff]) -> None:
    """Remember every endpoint in which file and server agree, where the record does not say so already.

    A colleague pushed, and what they pushed came here through git: without this, the next edit would be judged by what
    was there before them.
    """
    entries = dict(record.unsaved)
    for diff in diffs:
        if diff.local is None or not isinstance(diff.remote, ServerRevision) or diff.differences:
            continue
        previous = record.entries.get(diff.name)
        fresh = agreed(previous, local=diff.local, remote=diff.remote, at=project.clock())
        if previous is None or replace(fresh, at=previous.at) != previous:
            entries[diff.name] = fresh
    save_record(project, entries)
