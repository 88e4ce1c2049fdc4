"""What an interrupted push sent without hearing the answer, and which the server nevertheless has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.plan.diff import Revision, Snapshot
from endpoints_gitops.plan.evidence import Recorded, recorded
from endpoints_gitops.plan.preconditions import ChangeState, state_of
from endpoints_gitops.workspace.journal import Unfinished


def landed_unheard(
    left: Unfinished, local: Mapping[str, Revision], snapshot: Snapshot, previous: Mapping[str, Recorded]
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
