"""`outdated`: which pins are behind or changed in place, and what would break on the way to the newest version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from endpoints_gitops.contract.pins import behind, judge_pin, recreated
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.lock.pins import (
    EnvironmentUses,
    Lookup,
    VariableTypes,
    look_up,
    read_named,
    read_types,
)
from endpoints_gitops.operations.lock.upgrade import findings_of, gone


@dataclass(frozen=True, slots=True, kw_only=True)
class PinStatus:
    """One pin and the newest version: `finding` says that it is behind, or gone; None where it is neither.

    `in_place` is what changed of the pinned version itself, and `moves` what the way to the newest would change.
    """

    use: Use
    pin: Pin
    newest: int | None = None
    finding: Finding | None = None
    in_place: tuple[Finding, ...] = ()
    moves: tuple[Finding, ...] = ()


def outdated(side: EnvironmentUses, lock: Lock) -> tuple[PinStatus, ...]:
    """How the pins of one environment stand: one request for each pin, one for those that are behind, and one more
    where variables' types are needed.
    """
    pinned = side.pinned(lock)
    if not pinned:
        return ()
    client = side.client()
    found = look_up(client, [pin for _, pin in pinned])
    if (error := next((one.error for one in found if one.error is not None), None)) is not None:
        raise error
    moved = [pin.name for (_, pin), one in zip(pinned, found, strict=True) if _is_moved(pin, one.endpoint)]
    newest = read_named(client, moved)
    types = read_types(client, [*(one.version for one in found if one.version), *newest.values()])
    return tuple(
        _standing(use, pin, one, newest.get(use.name), types) for (use, pin), one in zip(pinned, found, strict=True)
    )


def _is_moved(pin: Pin, endpoint: Endpoint | None) -> bool:
    return endpoint is not None and (endpoint.id != pin.endpoint_id or endpoint.current_version > pin.version)


def _standing(use: Use, pin: Pin, found: Lookup, newest: Endpoint | None, types: VariableTypes) -> PinStatus:
    """`newest` is asked for where the pin is behind."""
    if found.endpoint is None:
        return PinStatus(use=use, pin=pin, finding=gone(pin))
    if found.endpoint.id != pin.endpoint_id:
        moves = findings_of(use, pin, types.contract(newest)) if newest is not None else ()
        number = found.endpoint.current_version
        return PinStatus(use=use, pin=pin, newest=number, finding=next(recreated(pin, found.endpoint)), moves=moves)
    named = types.of(found.version) if found.version is not None else None
    in_place = judge_pin(pin, found.endpoint, found.version, types.shared, named, use, datetime.now(UTC))
    if newest is None:
        return PinStatus(use=use, pin=pin, newest=found.endpoint.current_version, in_place=in_place)
    moves = findings_of(use, pin, types.contract(newest))
    number = newest.current_version
    return PinStatus(
        use=use, pin=pin, newest=number, finding=behind(pin, number, moves), in_place=in_place, moves=moves
    )
