"""The record of this checkout, after a push: what file and server agreed on, endpoint by endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.operations.written import Written
from endpoints_gitops.plan.evidence import Recorded, recorded
from endpoints_gitops.plan.meaning import Key, Meaning, of_definition, of_endpoint
from endpoints_gitops.workspace.git import repository
from endpoints_gitops.workspace.record import update_record


def now() -> datetime:
    """The time that an entry is stamped with; commits are compared with it."""
    return datetime.now(UTC)


def agreed(
    previous: Recorded | None,
    *,
    loaded: LoadedDefinition,
    endpoint: Endpoint,
    environment: str | None,
    server_before: Meaning | None = None,
    file_before: Meaning | None = None,
    accepted: frozenset[Key] = frozenset(),
    head: str | None = None,
    pushed: frozenset[Key] = frozenset(),
    pulled: frozenset[Key] = frozenset(),
) -> Recorded:
    """What to remember of an endpoint and its file as they are now.

    A key in which they still differ (drifted, in conflict) keeps what was remembered of it: else the next push would
    find "as the last one left it" where nobody ever agreed. Of `accepted` keys somebody saw what the server has and
    keeps the file's: both are remembered, so that the next push writes over just that. `head` is the commit of HEAD,
    `pushed` and `pulled` are the keys that were written to the server and to the file.
    """
    return recorded(
        previous,
        endpoint=endpoint,
        file=of_definition(loaded, environment),
        at=now(),
        server_before=server_before,
        file_before=file_before,
        settled=accepted,
        head=head,
        pushed=pushed,
        pulled=pulled,
    )


def refreshed(
    previous: Recorded | None, *, loaded: LoadedDefinition, endpoint: Endpoint, environment: str | None
) -> Recorded | None:
    """The entry for an endpoint in which nothing was to do, None where the one that is there says so already.

    A colleague pushed, and what they pushed came here through git: without this, the next edit would be judged by what
    was there before them.
    """
    fresh = agreed(previous, loaded=loaded, endpoint=endpoint, environment=environment)
    return None if previous is not None and replace(fresh, at=previous.at) == previous else fresh


def head_of(work: Workplace) -> str | None:
    """The commit that HEAD is at; None without git."""
    found = repository(work.folder)
    return found.head if found else None


def save_record(work: Workplace, entries: Mapping[str, Recorded]) -> None:
    """Save entries, where there are any; the others stay."""
    if entries:
        update_record(work.state, {name: entry.as_json() for name, entry in entries.items()})


def refresh_record(work: Workplace, comparison: Comparison) -> None:
    """Remember every endpoint in which file and server agree."""
    entries, environment = dict(comparison.record.unsaved), work.environment.name
    for one in comparison.judged:
        if one.loaded is None or one.endpoint is None or one.differences:
            continue
        previous = comparison.record.entries.get(one.name)
        fresh = refreshed(previous, loaded=one.loaded, endpoint=one.endpoint, environment=environment)
        if fresh is not None:
            entries[one.name] = fresh
    save_record(work, entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Gathers what the writes of a push leave, from several threads, and saves it once, at the end.

    What a kill keeps from being saved stands in the journal.
    """

    work: Workplace
    definitions: Mapping[str, LoadedDefinition]
    before: Mapping[str, Recorded]
    head: str | None = None
    _kept: dict[str, Recorded] = field(default_factory=dict)

    def keep(self, written: Written, before: Endpoint | None) -> JsonObject | None:
        """The entry of what was written, None where there is nothing to remember.

        What was sent and is not there is what our push left, so that the next one sends it again.
        """
        loaded = self.definitions.get(written.name)
        if loaded is None or written.endpoint is None or not written.is_agreed:
            return None
        entry = agreed(
            self.before.get(written.name),
            loaded=loaded,
            endpoint=written.endpoint,
            environment=self.work.environment.name,
            server_before=of_endpoint(before) if before is not None and written.landed else None,
            accepted=written.unapplied,
            head=self.head,
            pushed=written.applied if written.landed else frozenset(),
        )
        self._kept[written.name] = entry
        return entry.as_json()

    def save(self) -> None:
        save_record(self.work, self._kept)
