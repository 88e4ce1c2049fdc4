"""How the server stands to one change of a plan: already so, still as the plan saw it, or moved by somebody else."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.changes import Action, Change, holds
from endpoints_gitops.plan.meaning import Key, is_cosmetic, of_endpoint, same


class Standing(StrEnum):
    DONE = "done"
    TO_DO = "to do"
    MOVED = "moved"


def standing(change: Change, endpoint: Endpoint | None) -> Standing:
    """What is left of a change, whether it was ever sent or not.

    An update can land in part, the new version without its settings (docs/server.md#versions): that is ours, not
    somebody else's, and the rest is to do.
    """
    if endpoint is None or not _is_the_one(change, endpoint):
        return Standing.MOVED if holds(change.precondition, endpoint) else Standing.TO_DO
    left = not_applied(change, endpoint)
    if not left:
        return Standing.DONE
    if not holds(change.precondition, endpoint) or _is_our_half(change, endpoint, left):
        return Standing.TO_DO
    return Standing.MOVED


def not_applied(change: Change, endpoint: Endpoint) -> tuple[Key, ...]:
    """The keys of a change that the endpoint does not have as they were sent, or as they follow from that."""
    meaning = of_endpoint(endpoint)
    sent = {each.key: each.after for each in change.keys}
    if cuts_a_version(change) and change.precondition.settings.get(Key.MATERIALIZATION) is True:
        sent.setdefault(Key.MATERIALIZATION, True)  # the new version has a table like the one before it
    return tuple(key for key in Key if key in sent and key in meaning and not _as_sent(key, sent[key], meaning[key]))


def cuts_a_version(change: Change) -> bool:
    """Whether the change sends a query: nothing else makes a new version."""
    return change.action is not Action.CREATE and change.sends_query


def expected_version(change: Change) -> int:
    """The current version that the server has when the change landed and nobody came between."""
    if change.precondition.version is None:
        return 1
    return change.precondition.version + cuts_a_version(change)


def _is_the_one(change: Change, endpoint: Endpoint) -> bool:
    return change.precondition.endpoint_id in {None, endpoint.id}


def _is_our_half(change: Change, endpoint: Endpoint, left: Collection[Key]) -> bool:
    sent = {each.key for each in change.keys}
    if change.action is Action.CREATE or sent.issubset(left):
        return False
    landed = cuts_a_version(change) and Key.QUERY not in left
    meaning, before = of_endpoint(endpoint), change.precondition.settings
    compared = sent.intersection(left, before, meaning)
    untouched = all(same(key, before[key], meaning[key]) for key in compared)
    return untouched and endpoint.current_version == (change.precondition.version or 0) + landed


def _as_sent(key: Key, sent: Json, there: Json) -> bool:
    """Equal in meaning; a query also in its text, for one that was sent with --allow-cosmetic differs in that alone."""
    return same(key, sent, there) and not (key is Key.QUERY and is_cosmetic(sent, there))
