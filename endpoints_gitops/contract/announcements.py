"""Announced removals of single definitions: near and after the sunset, by the date alone or with the last calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.contract.rules.address import short_window
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, Severity, in_order
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.suggestions import did_you_mean
from endpoints_gitops.model.sunset import Announcement, DeprecationPolicy


def announcement_findings(
    announcement: Announcement, today: date, policy: DeprecationPolicy, names: Collection[str]
) -> Iterator[Finding]:
    """The findings of one announcement by its file and the date; `names` are the endpoints that are defined here."""
    name, notice = announcement.name, announcement.notice
    if (hit := short_window(name, notice, notice.since, policy)) is not None:
        yield _finding("A108", announcement, hit.message, before=hit.before)
    if notice.replaced_by is not None:
        yield from _replacement(announcement, notice.replaced_by, names)
    days = notice.days_left(today)
    if not announcement.is_on:
        return
    if days <= 0:
        finding = _finding("A111", announcement, f"{name}: {notice.when(today)}; whether it is still called is unknown")
        fix = Advice(
            Command("retire", name), " asks the server for its last call; ", Command("check", "--live"), " too"
        )
        yield replace(finding, severity=_capped("A111", announcement, Severity.WARN), fix=fix)
    elif days <= policy.warn_days:
        yield _finding("A114", announcement, f"{name}: {notice.when(today)}; it can be retired from then on")


def traffic_findings(
    announcements: Mapping[str, Announcement], endpoints: Iterable[Endpoint], now: datetime, policy: DeprecationPolicy
) -> tuple[Finding, ...]:
    """The findings of `traffic_finding` for those endpoints that have an announcement, in a fixed order."""
    announced = ((announcements[endpoint.name], endpoint) for endpoint in endpoints if endpoint.name in announcements)
    findings = (traffic_finding(announcement, endpoint, now, policy) for announcement, endpoint in announced)
    return in_order(finding for finding in findings if finding is not None)


def traffic_finding(
    announcement: Announcement, endpoint: Endpoint, now: datetime, policy: DeprecationPolicy
) -> Finding | None:
    """A110 or A111 after the sunset of an active endpoint, by its last call; None before it and if it is inactive."""
    notice, name = announcement.notice, announcement.name
    today = now.astimezone(UTC).date()
    if not notice.is_over(today) or not endpoint.is_active:
        return None
    called = last_call(endpoint)
    if is_idle(endpoint, now, policy):
        since = "the server knows no call of it" if called is None else f"its last call was on {called:%Y-%m-%d}"
        return _finding("A111", announcement, f"{name}: {notice.when(today)}; {since}")
    message = f"{name}: {notice.when(today)}; it is still called, last on {called:%Y-%m-%d}"
    return _finding("A110", announcement, message)


def last_call(endpoint: Endpoint) -> datetime | None:
    """The last call with an API key in UTC, as the server stamps it: to half an hour. None if there was none."""
    called = endpoint.last_executed_at
    if called is None:
        return None
    return called.astimezone(UTC) if called.tzinfo else called.replace(tzinfo=UTC)


def is_idle(endpoint: Endpoint, now: datetime, policy: DeprecationPolicy) -> bool:
    """Whether no API key called the endpoint, or the version, within the policy's `idle_days`."""
    called = last_call(endpoint)
    return called is None or now - called >= timedelta(days=policy.idle_days)


def _replacement(announcement: Announcement, replacement: str, names: Collection[str]) -> Iterator[Finding]:
    if replacement != announcement.name and replacement in names:
        return
    others = sorted(set(names) - {announcement.name})
    what = (
        "which is the endpoint itself"
        if replacement == announcement.name
        else f"which no file here defines{did_you_mean(replacement, others)}"
    )
    message = f"{announcement.name} is replaced by {replacement!r}, {what}"
    finding = _finding("A115", announcement, message, after=replacement)
    yield replace(finding, locus="deprecation.replaced_by", where=announcement.replaced_by_where)


def _finding(code: str, announcement: Announcement, message: str, before: Json = None, after: Json = None) -> Finding:
    return RULES[code].finding(
        announcement.name,
        message,
        locus="deprecation.sunset",
        severity=_capped(code, announcement, RULES[code].severity),
        where=announcement.where,
        before=before,
        after=announcement.notice.sunset.isoformat() if after is None else after,
    )


def _capped(code: str, announcement: Announcement, severity: Severity) -> Severity:
    return RULES[code].capped(severity, announcement.stability)
