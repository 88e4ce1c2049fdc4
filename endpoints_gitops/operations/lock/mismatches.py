"""Mismatches of manifest and lock (P108) and deprecated pins (P105): offline, without a key, with few imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.sunset import DeprecationPolicy

CODE: Final = "P108"
SLUG: Final = "lock-out-of-date"

type PlaceOf = Callable[[str], str | None]


def lock_mismatches(
    environment: str, uses: Sequence[Use], lock: Lock, place_of: PlaceOf, *, compares_examples: bool = False
) -> tuple[Finding, ...]:
    """The mismatches in one environment: uses that are not pinned as the manifest states, and pins without a use.

    `compares_examples`: examples come from the manifest, as there are no definitions here.
    """
    by_name = {use.name: use for use in uses}
    unused = [pin for pin in lock.of(environment) if pin.name not in by_name]
    findings = [_use(environment, use, lock.pin(use.name, environment), place_of, compares_examples) for use in uses]
    return (*(finding for finding in findings if finding), *(_unused(pin, place_of(pin.name)) for pin in unused))


def unused_pins(environment: str, lock: Lock) -> tuple[Finding, ...]:
    """The mismatches of an environment in which nothing is used, or which is not configured: all its pins."""
    return tuple(_unused(pin, None) for pin in lock.of(environment))


def deprecated_pin(pin: Pin, today: date, policy: DeprecationPolicy) -> Finding | None:
    """The finding that a pinned endpoint will be removed (P105); None without a notice in the lock.

    It is an error within the last days before the sunset, and after it.
    """
    notice = pin.deprecation
    if notice is None:
        return None
    is_late = notice.days_left(today) <= policy.warn_days
    message = f"{pin.label} is deprecated: {notice.when(today)}{notice.because}"
    other = Advice("ask its owner what to use instead; ", Command("lock"), " beside the definitions reads a new notice")
    return Finding(
        code="P105",
        slug="pin-deprecated",
        severity=Severity.ERROR if is_late else Severity.WARN,
        scope=Scope.NEITHER,
        endpoint=pin.name,
        version=pin.version,
        locus="deprecation.sunset",
        before=notice.since.isoformat(),
        after=notice.sunset.isoformat(),
        message=message,
        fix=f"use {notice.replaced_by} instead" if notice.replaced_by else other,
    )


def deprecated_pins(
    lock: Lock, environments: Iterable[str], today: date, policy: DeprecationPolicy
) -> tuple[tuple[str, Finding], ...]:
    """The findings for the deprecated pins of these environments, each with its environment."""
    pins = (pin for environment in environments for pin in lock.of(environment))
    found = ((pin.environment, deprecated_pin(pin, today, policy)) for pin in pins)
    return tuple((environment, finding) for environment, finding in found if finding is not None)


def command(environment: str, *words: str) -> Advice:
    """The advice to run a command for one environment."""
    return Advice(Command(*words, "--env", environment))


def _use(environment: str, use: Use, pin: Pin | None, place_of: PlaceOf, compares_examples: bool) -> Finding | None:
    if pin is None:
        message = f"{use.name} is used in environment {environment} and not pinned"
        return _finding(environment, use.name, message, after=use.version, where=place_of(use.name))
    if use.version is not None and use.version != pin.version:
        message = (
            f"{use.name} is pinned to version {pin.version} in environment {environment}, "
            f"and the manifest says {use.version}"
        )
        fix = command(environment, "upgrade", f"{use.name}@{use.version}")
        return _finding(
            environment, use.name, message, before=pin.version, after=use.version, where=place_of(use.name), fix=fix
        )
    if compares_examples and use.examples != pin.examples:
        message = f"the examples of {use.name} in the manifest are not those in the lock (environment {environment})"
        return _finding(environment, use.name, message, where=place_of(use.name), locus=".examples")
    return None


def _unused(pin: Pin, where: str | None) -> Finding:
    message = f"{pin.label} is pinned in environment {pin.environment} and no longer used"
    return _finding(pin.environment, pin.name, message, before=pin.version, where=where)


def _finding(
    environment: str,
    name: str,
    message: str,
    *,
    before: Json = None,
    after: Json = None,
    where: str | None = None,
    fix: str = Advice(Command("lock")),
    locus: str = "",
) -> Finding:
    return Finding(
        code=CODE,
        slug=SLUG,
        severity=Severity.ERROR,
        scope=Scope.NEITHER,
        endpoint=name,
        locus=f"uses.{environment}{locus}",
        where=where,
        before=before,
        after=after,
        message=message,
        fix=fix,
    )
