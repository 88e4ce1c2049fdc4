"""Tables that the server turns off because no API key calls them (rule S115)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, in_order

NEAR: Final = timedelta(days=7)
"""How long before that day the finding is reported."""


def idling(
    endpoint: Endpoint, now: datetime, *, is_wanted: bool = False, callers: tuple[str, ...] = ()
) -> Finding | None:
    """The finding that the server turned off the table for lack of calls, or soon will; None otherwise.

    `is_wanted`: a definition or a pin expects a table. Otherwise a missing table is reported only if the server itself
    says that it was turned off.
    """
    if not endpoint.is_callable:
        return None
    label = f"{endpoint.name}@{endpoint.number}"
    if (is_wanted or endpoint.materialization.hibernated is True) and endpoint.has_idled(now):
        return _finding(
            endpoint, f"the server turned off the table of {label}: {since(endpoint)}", callers, table_fix(endpoint)
        )
    idles_at = endpoint.idles_at
    if endpoint.materialization.is_on and idles_at is not None and idles_at - now <= NEAR:
        day = max(idles_at, now)
        message = f"the server turns off the table of {label} on {day:%Y-%m-%d}, unless an API key calls it before"
        fix = f"call {label} with an API key, or set `materialization: {{enabled: false}}` in the file"
        return _finding(endpoint, message, callers, fix)
    return None


def all_idling(endpoints: Iterable[Endpoint], now: datetime) -> tuple[Finding, ...]:
    """The findings of `idling` for many endpoints, in a fixed order."""
    findings = (idling(endpoint, now) for endpoint in endpoints)
    return in_order(finding for finding in findings if finding is not None)


def since(endpoint: Endpoint) -> str:
    """How long no API key has called the endpoint, in words."""
    if endpoint.last_executed_at is None:
        return "no API key has called it for 30 days"
    return f"no API key has called it since {endpoint.last_executed_at:%Y-%m-%d}"


def table_fix(endpoint: Endpoint) -> str:
    """How to get the table back, or to do without it."""
    name = endpoint.name
    if endpoint.number != endpoint.current_version:
        return f"move the pin to a version with a table, or ask the owner of {name} for one"
    return Advice(
        Command("push", f"--overwrite={name}@{endpoint.current_version}", name),
        " turns the table on again; `materialization: {enabled: false}` in the file turns it off for good",
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
