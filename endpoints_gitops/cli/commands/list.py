"""`list`: the endpoints that the server has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.rows import table
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.sunset import Announcement, notice_item, today_at

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.model.finding import Finding

COLUMNS = ("name", "version", "active", "materialised", "kind", "tags", "description")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the endpoints."""
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="a name, a glob, or tag:TAG; none means all")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print a table with a row for each endpoint."""
    from endpoints_gitops.contract.announcements import traffic_findings
    from endpoints_gitops.contract.idling import all_idling

    with CommandContext.of(arguments, console) as context:
        endpoints = context.managed(context.client.list_endpoints(), arguments.selectors)
        announced, now, policy = context.announcements, context.now, context.configuration.deprecation
    found = (*all_idling(endpoints, datetime.now(UTC)), *traffic_findings(announced, endpoints, now, policy))
    items = tuple(
        {**_item(endpoint, found), **deprecation_of(announced.get(endpoint.name), today_at(now))}
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.name)
    )
    if not items:
        console.say("the project has no endpoints")
    has_sunset = any(item["sunset"] for item in items)
    columns = (*COLUMNS[:-1], "sunset", COLUMNS[-1]) if has_sunset else COLUMNS
    rows = [[_shown(item[column]) for column in columns] for item in items]
    console.show_document(table(columns, rows, console.width()))
    console.warn(*findings.lines(findings.shown(found, verbose=console.verbose)))
    return Outcome(command="list", summary={"endpoints": len(items)}, items=items)


def deprecation_of(announcement: Announcement | None, today: date) -> JsonObject:
    """The keys of an item about its deprecation: the notice with the days left, and the sunset in words."""
    if announcement is None:
        return {"deprecation": None, "sunset": None}
    notice = announcement.notice
    return {"deprecation": notice_item(notice, today), "sunset": notice.when(today).removeprefix("sunset ")}


def _item(endpoint: Endpoint, idle: Sequence[Finding]) -> JsonObject:
    return {
        "name": endpoint.name,
        "version": endpoint.current_version,
        "active": endpoint.is_active,
        "materialised": endpoint.materialization.is_on,
        "kind": endpoint.kind,
        "tags": list(endpoint.tags),
        "description": endpoint.description,
        "id": endpoint.id,
        "updated_at": endpoint.updated_at.isoformat() if endpoint.updated_at else None,
        "findings": [finding.as_json() for finding in idle if finding.endpoint == endpoint.name],
    }


def _shown(value: object) -> str | int:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, int) else str(value or "").partition("\n")[0]
