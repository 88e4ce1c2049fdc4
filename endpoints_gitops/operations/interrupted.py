"""What an interrupted push sent and did not hear of again, and which the server nevertheless has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.standing import Standing, expected_version, standing
from endpoints_gitops.plan.changes import Change, Plan
from endpoints_gitops.plan.evidence import Recorded, recorded
from endpoints_gitops.plan.meaning import of_definition
from endpoints_gitops.workspace.journal import Unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A definition, an endpoint, or both, of one name."""

    loaded: LoadedDefinition | None
    endpoint: Endpoint | None

    @property
    def name(self) -> str:
        there = self.loaded or self.endpoint
        assert there is not None
        return there.name


def unheard(
    left: Unfinished, pairs: Iterable[Pair], previous: Mapping[str, Recorded], environment: str
) -> dict[str, Recorded]:
    """What the record would hold of them: without it an edit made since would be in conflict with our own write."""
    if not left.uncertain:
        return {}
    sent = {change.name: change for change in _plan(left).changes if change.name in left.uncertain}
    return {
        pair.name: _landed(sent[pair.name], pair.loaded, pair.endpoint, previous.get(pair.name), environment, left.head)
        for pair in pairs
        if pair.name in sent and pair.loaded and pair.endpoint and _is_ours(sent[pair.name], pair.endpoint)
    }


def _plan(left: Unfinished) -> Plan:
    from endpoints_gitops.codecs.plan import read_plan

    try:
        return read_plan(json.dumps(left.plan).encode(), "the journal")
    except InvalidInput:  # `resume` tells it
        return Plan(host="", project_id=0, environment="")


def _is_ours(change: Change, endpoint: Endpoint) -> bool:
    is_there = standing(change, endpoint) is Standing.DONE
    return is_there and endpoint.current_version == expected_version(change)


def _landed(
    change: Change,
    loaded: LoadedDefinition,
    endpoint: Endpoint,
    previous: Recorded | None,
    environment: str,
    head: str | None,
) -> Recorded:
    """The file has perhaps been edited since: of what was sent it said then what the plan says."""
    return recorded(
        previous,
        endpoint=endpoint,
        file={**of_definition(loaded, environment), **{each.key: each.after for each in change.keys}},
        at=endpoint.updated_at or datetime.now(UTC),  # when it landed, not now: what was committed since is newer
        server_before={each.key: each.before for each in change.keys},
        head=head,
        pushed=[each.key for each in change.keys],
    )
