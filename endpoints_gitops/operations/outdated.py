"""`outdated`: which pins are behind, and what would break on the way to the newest version."""

from __future__ import annotations

from dataclasses import dataclass

from endpoints_gitops.contract.pins import behind
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.pinning import Side, Types, read_named, read_types
from endpoints_gitops.operations.upgrade import findings_of, gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One pin and the newest version: `finding` says that it is behind, or gone; None where it is neither."""

    use: Use
    pin: Pin
    newest: int | None = None
    finding: Finding | None = None
    moves: tuple[Finding, ...] = ()


def outdated(side: Side, lock: Lock) -> tuple[Standing, ...]:
    """How the pins of one environment stand: one request for all, one more where variables' types are needed."""
    pinned = side.pinned(lock)
    if not pinned:
        return ()
    client = side.client()
    there = read_named(client, [use.name for use, _ in pinned])
    moved = [there[use.name] for use, pin in pinned if use.name in there and _is_moved(pin, there[use.name])]
    types = read_types(client, moved)
    return tuple(_standing(use, pin, there.get(use.name), types) for use, pin in pinned)


def _is_moved(pin: Pin, endpoint: Endpoint) -> bool:
    return endpoint.id != pin.endpoint_id or endpoint.current_version > pin.version


def _standing(use: Use, pin: Pin, endpoint: Endpoint | None, types: Types) -> Standing:
    if endpoint is None:
        return Standing(use=use, pin=pin, finding=gone(pin))
    newest = endpoint.current_version
    if not _is_moved(pin, endpoint):
        return Standing(use=use, pin=pin, newest=newest)
    moves = findings_of(use, pin, types.contract(endpoint))
    finding = _recreated(pin, endpoint) if endpoint.id != pin.endpoint_id else behind(pin, newest, moves)
    return Standing(use=use, pin=pin, newest=newest, finding=finding, moves=moves)


def _recreated(pin: Pin, endpoint: Endpoint) -> Finding:
    message = f"{pin.name} was deleted and created again: version {pin.version} means another query now"
    return RULES["A105"].finding(
        pin.name, message, locus="endpoint", version=pin.version, before=pin.endpoint_id, after=endpoint.id
    )
