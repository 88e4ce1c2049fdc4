"""A checkout: its definitions, and the record of what its last pulls and pushes left."""

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
    """What the last pull or push of this checkout left, by name. `warning` says why the stored record is not used.

    `unsaved` are the entries that are in the journal only, as the push was killed before it could save them.
    """

    entries: Mapping[str, Recorded] = field(default_factory=dict)
    unsaved: Mapping[str, Recorded] = field(default_factory=dict)
    warning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The definitions of a checkout by name, each with its settings, and the record."""

    local: Mapping[str, Revision] = field(default_factory=dict)
    record: CheckoutRecord = field(default_factory=CheckoutRecord)

    @classmethod
    def of(cls, project: ProjectContext, definitions: Iterable[LoadedDefinition], snapshot: Snapshot) -> Checkout:
        """The checkout that these definitions are in. The snapshot shows what landed of an interrupted push."""
        environment, variables = project.environment.name, snapshot.variables_by_code_name
        local = {loaded.name: Revision.local(loaded, environment, variables) for loaded in definitions}
        return cls(local=local, record=read_record(project, local, snapshot))

    @property
    def definitions(self) -> Mapping[str, LoadedDefinition]:
        """The definitions by name."""
        return {name: revision.loaded for name, revision in self.local.items() if revision.loaded is not None}


def read_record(project: ProjectContext, local: Mapping[str, Revision], snapshot: Snapshot) -> CheckoutRecord:
    """The record of this checkout. Entries that are not valid are left out, as history is read instead.

    The journal of an interrupted push adds entries for what landed; the snapshot shows that of changes without an
    answer.
    """
    stored = load_record(project.state)
    entries = _valid_entries(stored.entries)
    try:
        journal = unfinished(project.state)
    except UsageError:  # a journal that cannot be read, which `resume` reports
        journal = None
    if journal is None:
        return CheckoutRecord(entries=entries, warning=stored.warning)
    unsaved = {
        name: entry for name, entry in _valid_entries(journal.done).items() if _is_newer(entry, entries.get(name))
    }
    unsaved |= _landed_without_answer(journal, local, snapshot, entries, project.clock())
    return CheckoutRecord(entries=entries | unsaved, unsaved=unsaved, warning=stored.warning)


def _valid_entries(stored: Mapping[str, Json]) -> dict[str, Recorded]:
    read = ((name, Recorded.from_json(entry)) for name, entry in stored.items() if isinstance(entry, Mapping))
    return {name: entry for name, entry in read if entry is not None}


def _is_newer(entry: Recorded, other: Recorded | None) -> bool:
    return entry.at is not None and (other is None or other.at is None or entry.at > other.at)


def _landed_without_answer(
    journal: InterruptedPush,
    local: Mapping[str, Revision],
    snapshot: Snapshot,
    entries: Mapping[str, Recorded],
    now: datetime,
) -> dict[str, Recorded]:
    """The entries of changes that landed and whose answers never came. Without them, a later edit of the file would be
    in conflict with our own write.

    `local` are the definitions by name. A journal whose plan cannot be read gives none, and `resume` reports it.
    """
    from endpoints_gitops.codecs.plan import from_json

    if not journal.uncertain:
        return {}
    try:
        plan = from_json(journal.plan, "the journal")
    except InvalidInput:
        return {}
    landed: dict[str, Recorded] = {}
    for change in plan.changes:
        remote = snapshot.revision(change.name) if change.name in journal.uncertain else None
        if remote is None or change.name not in local:
            continue
        is_applied = state_of(change, remote) is ChangeState.APPLIED
        if is_applied and remote.endpoint.current_version == change.expected_version:
            landed[change.name] = recorded(
                entries.get(change.name),
                endpoint=remote.endpoint,
                server=remote.settings,
                # the file may have been edited since: when it was sent, it stated what the plan has
                file={**local[change.name].settings, **change.after},
                at=remote.endpoint.updated_at or now,  # when it landed: later commits are newer
                server_before=change.before,
                head=journal.head,
                pushed=change.after.keys(),
            )
    return landed


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
    """The record's entry for a file and its endpoint as they are now.

    A key in which they still differ (drifted, in conflict) keeps its earlier entry, else the next push would treat it
    as agreed. For `accepted` keys the user saw the server's value and keeps the file's: both are recorded, so that the
    next push overwrites just that value. `head` is the commit of HEAD, `pushed` and `pulled` are the keys that were
    written to the server and to the file.
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
    """The commit of HEAD; None without git."""
    repo = repository(project.folder)
    return repo.head if repo else None


def save_record(project: ProjectContext, entries: Mapping[str, Recorded]) -> None:
    """Save these entries. The other entries of the record stay."""
    if entries:
        update_record(project.state, {name: entry.as_json() for name, entry in entries.items()})


def refresh_record(project: ProjectContext, record: CheckoutRecord, diffs: Iterable[EndpointDiff]) -> None:
    """Record every endpoint in which file and server agree, where the record does not say so already.

    A colleague's push that came here through git is such an agreement. Without it, the next edit would be compared with
    what the server had before that push.
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
