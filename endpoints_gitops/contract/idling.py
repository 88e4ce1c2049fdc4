"""Tables that the server switches off by itself, because no key calls them (rule S115)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, in_order

NEAR: Final = timedelta(days=7)
"""How long before the day it is said."""


def idling(
    endpoint: Endpoint, now: datetime, *, is_wanted: bool = False, callers: tuple[str, ...] = ()
) -> Finding | None:
    """The finding that the table goes soon, or is gone because nothing called it; None where neither is known.

    `is_wanted`: a definition or a pin says that there is a table. Without it, a table that is off counts as gone only
    where the server itself says so.
    """
    if not endpoint.is_callable:
        return None
    label = f"{endpoint.name}@{endpoint.number}"
    if (is_wanted or endpoint.materialization.hibernated is True) and endpoint.has_idled(now):
        return _finding(
            endpoint, f"the server switched off the table of {label}: {since(endpoint)}", callers, way_back(endpoint)
        )
    idles_at = endpoint.idles_at
    if endpoint.materialization.is_on and idles_at is not None and idles_at - now <= NEAR:
        day = max(idles_at, now)
        message = f"the server switches off the table of {label} on {day:%Y-%m-%d}, unless a key calls it before"
        fix = f"call {label} with a key, or write `materialization: {{enabled: false}}` into the file"
        return _finding(endpoint, message, callers, fix)
    return None


def all_idling(endpoints: Iterable[Endpoint], now: datetime) -> tuple[Finding, ...]:
    """The same for many, without what nobody is known to want."""
    found = (idling(endpoint, now) for endpoint in endpoints)
    return in_order(one for one in found if one is not None)


def since(endpoint: Endpoint) -> str:
    """Since when no key has called it, in words."""
    if endpoint.last_executed_at is None:
        return "no key has called it for 30 days"
    return f"no key has called it since {endpoint.last_executed_at:%Y-%m-%d}"


def way_back(endpoint: Endpoint) -> str:
    """How the table comes back, or is given up."""
    name = endpoint.name
    if endpoint.number != endpoint.current_version:
        return f"move the pin to a version with a table, or ask the owner of {name} for one"
    return Advice(
        Command("push", f"--overwrite={name}@{endpoint.current_version}", name),
        " switches it on again; `materialization: {enabled: false}` in the file gives it up",
    )


def _finding(endpoint: Endpoint, message: str, callers: tuple[str, ...], fix: str) -> Finding:
    return RULES["S115"].finding(
        endpoint.name,
        message,
        locus="serving.materialized",
        version=endpoint.number,
        before=True,
        after=endpoint.materialization.is_on,
        callers=callers,
        fix=fix,
    )
