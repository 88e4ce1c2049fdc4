"""The state of a change of a plan: applied already, pending as planned, or stale."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum

from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, Precondition
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.settings import Key, is_cosmetic, same


class ChangeState(StrEnum):
    """The state of one change of a plan."""

    APPLIED = "applied"
    PENDING = "pending"
    STALE = "stale"
    """The server changed since the plan was made."""


def state_of(change: EndpointChange, remote: ServerRevision | None) -> ChangeState:
    """The state of a change, whether it was ever sent or not. `remote` is the endpoint as the server has it now.

    An update can land in part, the new version without its settings (docs/server.md#versions): that is our own write,
    and the rest is pending.
    """
    if remote is None or change.precondition.endpoint_id not in {None, remote.endpoint.id}:
        return ChangeState.PENDING if change.precondition.endpoint_id is None else ChangeState.STALE
    left = not_applied(change, remote)
    if not left:
        return ChangeState.APPLIED
    if not stale_keys(change.precondition, remote) or _is_our_half(change, remote, left):
        return ChangeState.PENDING
    return ChangeState.STALE


def stale_keys(precondition: Precondition, remote: ServerRevision | None) -> tuple[Key, ...]:
    """The keys in which the server no longer has what the change was computed against; empty where it may be written.

    The query stands for the endpoint as a whole: it is named too where the endpoint came, went, or was recreated.
    """
    if remote is None or precondition.endpoint_id is None:
        as_planned = (remote is None) == (precondition.endpoint_id is None)
        return () if as_planned else (Key.QUERY,)
    now = remote.settings
    changed = (key for key, value in precondition.settings.items() if key not in now or not same(key, value, now[key]))
    return tuple(dict.fromkeys((*_other_version(precondition, remote.endpoint), *changed)))


def not_applied(change: EndpointChange, remote: ServerRevision) -> tuple[Key, ...]:
    """The keys of a change, with those that follow from it, that the endpoint does not have as they were sent."""
    now, sent = remote.settings, dict(change.after)
    if change.cuts_a_version and change.precondition.settings.get(Key.MATERIALIZATION) is True:
        sent.setdefault(Key.MATERIALIZATION, True)  # the new version has a table like the one before it
    return tuple(key for key in Key if key in sent and key in now and not _is_as_sent(key, sent[key], now[key]))


def _other_version(precondition: Precondition, endpoint: Endpoint) -> Iterator[Key]:
    planned = (precondition.endpoint_id, precondition.version, precondition.version_id)
    now = (endpoint.id, endpoint.current_version, endpoint.current_version_id)
    pairs = zip(planned, now, strict=True)
    if any(before is not None and after is not None and before != after for before, after in pairs):
        yield Key.QUERY


def _is_our_half(change: EndpointChange, remote: ServerRevision, left: Collection[Key]) -> bool:
    sent = change.after.keys()
    if change.action is ChangeAction.CREATE or sent <= set(left):
        return False
    landed = change.cuts_a_version and Key.QUERY not in left
    now, before = remote.settings, change.precondition.settings
    untouched = all(same(key, before[key], now[key]) for key in sent if key in left and key in before and key in now)
    return untouched and remote.current_version == (change.precondition.version or 0) + landed


def _is_as_sent(key: Key, sent: Json, now: Json) -> bool:
    """Whether a value is as it was sent; a query also in its form, which is all that --allow-cosmetic sends."""
    return same(key, sent, now) and not (key is Key.QUERY and is_cosmetic(sent, now))
