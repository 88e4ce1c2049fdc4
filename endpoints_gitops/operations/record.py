"""The record of this checkout, after a push: what file and server agreed on, endpoint by endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.operations.checkout import Checkout
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.project import ProjectContext
from endpoints_gitops.operations.push.results import ChangeResult
from endpoints_gitops.plan.diff import Revision, ServerRevision
from endpoints_gitops.plan.evidence import Recorded, recorded
from endpoints_gitops.plan.settings import Key, Settings
from endpoints_gitops.workspace.git import repository
from endpoints_gitops.workspace.record import update_record


def now() -> datetime:
    """The time that an entry is stamped with; commits are compared with it."""
    return datetime.now(UTC)


def agreed(
    previous: Recorded | None,
    *,
    local: Revision,
    remote: ServerRevision,
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
        at=now(),
        server_before=server_before,
        file_before=file_before,
        settled=accepted,
        head=head,
        pushed=pushed,
        pulled=pulled,
    )


def head_of(project: ProjectContext) -> str | None:
    """The commit that HEAD is at; None without git."""
    found = repository(project.folder)
    return found.head if found else None


def save_record(project: ProjectContext, entries: Mapping[str, Recorded]) -> None:
    """Save entries, where there are any; the others stay."""
    if entries:
        update_record(project.state, {name: entry.as_json() for name, entry in entries.items()})


def refresh_record(project: ProjectContext, comparison: Comparison) -> None:
    """Remember every endpoint in which file and server agree, where the record does not say so already.

    A colleague pushed, and what they pushed came here through git: without this, the next edit would be judged by what
    was there before them.
    """
    record = comparison.checkout.record
    entries = dict(record.unsaved)
    for diff in comparison.diffs:
        if diff.local is None or not isinstance(diff.remote, ServerRevision) or diff.differences:
            continue
        previous = record.entries.get(diff.name)
        fresh = agreed(previous, local=diff.local, remote=diff.remote)
        if previous is None or replace(fresh, at=previous.at) != previous:
            entries[diff.name] = fresh
    save_record(project, entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Gathers what the writes of a push leave, from several threads, and saves it once, at the end.

    What a kill keeps from being saved stands in the journal.
    """

    project: ProjectContext
    checkout: Checkout
    head: str | None = None
    _kept: dict[str, Recorded] = field(default_factory=dict)

    def keep(self, result: ChangeResult, before: ServerRevision | None) -> JsonObject | None:
        """The entry of what was written, None where there is nothing to remember. `before` is the endpoint as listed.

        What was sent and did not arrive is remembered as our own, so that the next push sends it again.
        """
        local = self.checkout.local.get(result.name)
        if local is None or result.remote is None or not result.is_agreed:
            return None
        entry = agreed(
            self.checkout.record.entries.get(result.name),
            local=local,
            remote=result.remote,
            server_before=before.settings if before is not None and result.landed else None,
            accepted=result.unapplied,
            head=self.head,
            pushed=result.applied if result.landed else frozenset(),
        )
        self._kept[result.name] = entry
        return entry.as_json()

    def save(self) -> None:
        """Save what was kept so far."""
        save_record(self.project, self._kept)
