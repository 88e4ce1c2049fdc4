"""`get NAME`: one endpoint, or one version of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.sunset import SunsetNotice, notice_item, today_at

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint, MaterializationState

_WIDTH = 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the name and the version."""
    parser.add_argument("name", metavar="NAME", help="the endpoint")
    parser.add_argument("--version", type=version_number, metavar="N", help="this version (default: the newest)")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print its settings and its query."""
    from endpoints_gitops.contract.announcements import traffic_findings
    from endpoints_gitops.contract.idling import all_idling

    name, number = arguments.name, arguments.version
    with CommandContext.of(arguments, console) as context, context.naming(name):
        client = context.client
        endpoint = client.get_endpoint(name) if number is None else client.get_version(name, number)
        address, run_url = context.address(name), context.run_url(name, number)
        announcement, now, policy = context.announcements.get(name), context.now, context.configuration.deprecation
    notice = announcement.notice if announcement else None
    console.show(lines(endpoint, address, run_url, notice, today_at(now)))
    found = all_idling([endpoint], datetime.now(UTC))
    if announcement is not None and number is None:
        found += traffic_findings({name: announcement}, [endpoint], now, policy)
    console.warn(*findings.lines(findings.shown(found, verbose=console.verbose)))
    item = {
        **endpoint.model_dump(mode="json"),
        "address": address,
        "run_url": run_url,
        "deprecation": notice_item(notice, today_at(now)),
        "findings": list(findings.items(found)),
    }
    return Outcome(command="get", summary={"endpoints": 1}, items=(item,))


def lines(
    endpoint: Endpoint, address: str, run_url: str, notice: SunsetNotice | None, today: date
) -> Iterator[Line | str]:
    """Everything about an endpoint, the query last; `address` is its page, `run_url` where programs call it."""
    yield Line(endpoint.name, Style.HEAD)
    for title, text in (*_settings(endpoint), *_deprecation(notice, today)):
        for number, line in enumerate(text.rstrip().split("\n") if text else ()):
            yield f"  {title if number == 0 else '':{_WIDTH}}{line.removesuffix('\r')}"
    yield f"  {'address':{_WIDTH}}{address}"
    yield f"  {'run':{_WIDTH}}POST {run_url}"
    yield ""
    sql = endpoint.sql if endpoint.sql is not None else json.dumps(endpoint.query, indent=2, ensure_ascii=False)
    yield from (line.removesuffix("\r") for line in sql.split("\n"))


def materialisation_word(state: MaterializationState) -> str:
    """Whether materialisation is on, and the status of the table."""
    if not state.is_on:
        return "no"
    return " · ".join(part for part in ("yes", (state.status or "").lower(), state.error or "") if part)


def day(timestamp: datetime | None) -> str:
    """A time to the minute, with its zone if it has one."""
    return f"{timestamp:%Y-%m-%d %H:%M %Z}".rstrip() if timestamp else ""


def _settings(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    yield "description", endpoint.description
    yield "version", _version(endpoint)
    yield "active", _active(endpoint)
    yield "kind", endpoint.kind
    yield "variables", ", ".join(_variables(endpoint))
    yield "columns", ", ".join(f"{column.name} {column.type}" for column in endpoint.columns or ())
    yield "tags", ", ".join(endpoint.tags)
    yield "materialised", materialisation_word(endpoint.materialization) + _refusal(endpoint.materialization)
    yield "freshness", _freshness(endpoint.data_freshness_seconds)
    yield "breakdowns", ", ".join(f"{name} may be left out" for name in endpoint.optional_breakdown_properties)
    yield "created", " by ".join(filter(None, (day(endpoint.created_at), _author(endpoint))))
    yield "last run", day(endpoint.last_executed_at)


def _deprecation(notice: SunsetNotice | None, today: date) -> Iterator[tuple[str, str]]:
    if notice is not None:
        yield "deprecated", f"since {notice.since}, {notice.when(today)}"
        yield "replaced by", notice.replaced_by or ""
        yield "reason", notice.reason or ""


def _refusal(state: MaterializationState) -> str:
    """Why the query cannot be materialised; empty if it can be or the server does not say."""
    if state.is_on or state.can_materialize is not False:
        return ""
    return f", and it cannot be: {state.reason or 'the server does not say why'}"


def _version(endpoint: Endpoint) -> str:
    number = getattr(endpoint, "version", None)
    if number is None:
        return str(endpoint.current_version)
    return f"{number} of {endpoint.current_version}" if number != endpoint.current_version else f"{number}, the newest"


def _active(endpoint: Endpoint) -> str:
    if not getattr(endpoint, "endpoint_is_active", True):
        return "no, the endpoint is switched off"
    return "yes" if endpoint.is_active else "no"


def _variables(endpoint: Endpoint) -> Iterator[str]:
    for entry in (endpoint.query.get("variables") or {}).values():
        if isinstance(entry, dict):
            default = f" = {json.dumps(entry['value'], ensure_ascii=False)}" if "value" in entry else ""
            yield f"{entry.get('code_name')}{default}"


def _freshness(seconds: int | None) -> str:
    from endpoints_gitops.model.freshness import schedule_word

    return "" if seconds is None else schedule_word(seconds) or f"{seconds} s"


def _author(endpoint: Endpoint) -> str:
    author = getattr(endpoint, "version_created_by", None) or endpoint.created_by
    return author.label if author else ""
