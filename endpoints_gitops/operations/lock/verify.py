"""`lock --verify`: whether the server still has what is locked, version by version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from endpoints_gitops.contract.pins import judge_pin
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.lock.pins import EnvironmentUses, Lookup, VariableTypes, look_up, read_types


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPin:
    """One pin: what was found, or why nothing could be found out."""

    environment: str
    pin: Pin
    findings: tuple[Finding, ...] = ()
    error: EndpointsError | None = None


def verify(side: EnvironmentUses, lock: Lock) -> tuple[VerifiedPin, ...]:
    """Judge the pins of one environment: a request for each, and one for the variables of all.

    What keeps a pin from being judged stands with it.
    """
    pinned = side.pinned(lock)
    if not pinned:
        return ()
    client = side.client()
    there = look_up(client, [pin for _, pin in pinned])
    versions = [one.version for one in there if one.version is not None]
    types = read_types(client, versions)
    return tuple(_judged(side, use, pin, one, types) for (use, pin), one in zip(pinned, there, strict=True))


def _judged(side: EnvironmentUses, use: Use, pin: Pin, there: Lookup, types: VariableTypes) -> VerifiedPin:
    if there.error is not None:
        return VerifiedPin(environment=side.environment, pin=pin, error=there.error)
    named = types.of(there.version) if there.version is not None else None
    findings = judge_pin(pin, there.endpoint, there.version, types.shared, named, use, datetime.now(UTC))
    return VerifiedPin(environment=side.environment, pin=pin, findings=findings)
