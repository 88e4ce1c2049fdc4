"""Compare a pin with the server: whether the server still has the locked version, and whether newer ones exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from endpoints_gitops.advice import AND, Advice, Command, OtherCommand
from endpoints_gitops.contract.build import from_pin, from_version
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.idling import idling
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.finding import Finding, Severity, in_order
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Lock, Pin, Use, query_hash

_NOT_DRIFT: Final = ("A103", "A104", "A105", "A113", "M108")
CONSUMER: Final = "this app"
"""The name of the caller in findings about a pin."""


def check_pin(
    pin: Pin,
    endpoint: Endpoint | None,
    version: EndpointVersion | None,
    variables: Mapping[str, InsightVariable] | None = None,
    types: Mapping[str, str] | None = None,
    use: Use | None = None,
    now: datetime | None = None,
) -> tuple[Finding, ...]:
    """The findings of a pin, in a fixed order; empty if the server still has the locked contract.

    `endpoint` and `version` are the server's under the locked name and number, None if it has none. `variables` and
    `types` are as for `from_version`; `use` is how the app reads, from the manifest. With `now`, a table that the
    server turned off for lack of calls, or soon will, is reported too (S115).
    """
    findings = [*_identity(pin, endpoint, version), *activity(pin, endpoint, version)]
    if endpoint is not None and version is not None and not any(finding.code == "P103" for finding in findings):
        idle = idling(version, now, is_wanted=pin.materialized, callers=(CONSUMER,)) if now is not None else None
        findings += [idle] if idle is not None else []
        has_idled = idle is not None and not idle.after
        findings += _drift(pin, endpoint, version, variables, types, use, has_idled=has_idled)
    return in_order(findings)


def check_identity(pin: Pin, endpoint: Endpoint | None) -> tuple[Finding, ...]:
    """The findings that the server no longer has the pinned version, as far as a list of endpoints tells; empty if it
    has. Versions are numbered within an endpoint's id and never reused, so the id is enough (docs/server.md#versions).
    """
    if endpoint is None:
        return (_finding("P102", pin, f"the server has no endpoint {pin.name}", "version", before=pin.version),)
    findings = [*recreated(pin, endpoint)]
    if findings:
        message = f"{pin.label} belongs to a different endpoint than the locked one"
        findings.append(_finding("P103", pin, message, "endpoint", before=pin.endpoint_id, after=endpoint.id))
    elif pin.version > endpoint.current_version:
        message = f"the server has no version {pin.version} of {pin.name}"
        findings.append(_finding("P102", pin, message, "version", before=pin.version))
    elif pin.version == endpoint.current_version and endpoint.current_version_id not in (None, pin.version_id):
        message = f"{pin.label} has a different id than the locked one"
        after = endpoint.current_version_id
        findings.append(_finding("P103", pin, message, "version_id", before=pin.version_id, after=after))
    return in_order(findings)


def verify_old(lock: Lock, path: str) -> None:
    """Verify the hashes of a lock of schema 1, which cover only the contracts. Raises InvalidInput if one differs."""
    problems = [
        Problem(
            path=path,
            message=f"the pin of {pin.name} does not match its contract_hash: the lock was edited by hand",
            code="lock.invalid",
            fix=Advice(OtherCommand("git", "checkout", "HEAD", "--", path), AND, Command("lock")),
        )
        for pin in lock.pins
        if lock.old_hashes and lock.old_hashes.get((pin.environment, pin.name)) != from_pin(pin).hash
    ]
    if problems:
        raise InvalidInput(tuple(problems), message=f"{path} has mistakes")


def behind(pin: Pin, newest: int, findings: Iterable[Finding]) -> Finding | None:
    """The finding that a newer version exists, or None. `findings` are those of an upgrade to `newest`, the number of
    the newest version; errors among them make the upgrade breaking."""
    if newest <= pin.version:
        return None
    errors = sorted({finding.code for finding in findings if finding.counts and finding.severity is Severity.ERROR})
    code = "P107" if errors else "P106"
    effect = f"breaks this caller ({', '.join(errors)})" if errors else "does not break this caller"
    message = f"{pin.label} is behind: version {newest} exists, and upgrading {effect}"
    return _finding(code, pin, message, "version", before=pin.version, after=newest)


def env_skew(lock: Lock) -> tuple[Finding, ...]:
    """The endpoints whose contracts differ between the environments of a lock."""
    findings = []
    for name in sorted({pin.name for pin in lock.pins}):
        pins = [pin for pin in lock.pins if pin.name == name]
        hashes: dict[str, Json] = {pin.environment: from_pin(pin).hash for pin in pins}
        if len(set(hashes.values())) > 1:
            message = f"{name} has different contracts in {', '.join(sorted(hashes))}"
            findings.append(RULES["P109"].finding(name, message, locus="contract", before=None, after=hashes))
    return tuple(findings)


def _identity(pin: Pin, endpoint: Endpoint | None, version: EndpointVersion | None) -> Iterator[Finding]:
    if endpoint is None or version is None:
        what = f"no endpoint {pin.name}" if endpoint is None else f"no version {pin.version} of {pin.name}"
        yield _finding("P102", pin, f"the server has {what}", "version", before=pin.version)
    if endpoint is not None and endpoint.id != pin.endpoint_id:
        yield from recreated(pin, endpoint)
        if version is not None:
            message = f"{pin.label} belongs to a different endpoint than the locked one"
            yield _finding("P103", pin, message, "endpoint", before=pin.endpoint_id, after=endpoint.id)
    elif version is not None:
        yield from _other_version(pin, version)


def recreated(pin: Pin, endpoint: Endpoint) -> Iterator[Finding]:
    """The finding that the endpoint was recreated under its name (A105)."""
    if endpoint.id != pin.endpoint_id:
        message = f"{pin.name} was deleted and recreated: version {pin.version} refers to a different query now"
        yield _finding("A105", pin, message, "endpoint", before=pin.endpoint_id, after=endpoint.id)


def _other_version(pin: Pin, version: EndpointVersion) -> Iterator[Finding]:
    version_id = version.version_id or version.current_version_id
    if pin.version_id is not None and version_id is not None and pin.version_id != version_id:
        message = f"{pin.label} has a different id than the locked one"
        yield _finding("P103", pin, message, "version_id", before=pin.version_id, after=version_id)
    elif (present := query_hash(version.query)) != pin.query_hash:
        message = f"{pin.label} has a different query than the locked one"
        yield _finding("P103", pin, message, "query", before=pin.query_hash, after=present)


def activity(pin: Pin, endpoint: Endpoint | None, version: EndpointVersion | None) -> Iterator[Finding]:
    """The findings that the server cannot run the version: the endpoint is inactive (A103), or the version is
    (P104)."""
    is_active = version.endpoint_is_active if version is not None else endpoint is None or endpoint.is_active
    if not is_active:
        message = f"{pin.name} is inactive: every call of it returns 404"
        fix = Advice("have it reactivated: ", Command("activate", pin.name))
        yield replace(_finding("A103", pin, message, "active", before=True, after=False), fix=fix)
    if version is not None and not version.is_active:
        message = f"{pin.name}@{version.version} is inactive: the server refuses its calls (400)"
        yield _finding("P104", pin, message, "version.active", before=True, after=False)


def _drift(
    pin: Pin,
    endpoint: Endpoint,
    version: EndpointVersion,
    variables: Mapping[str, InsightVariable] | None,
    types: Mapping[str, str] | None,
    use: Use | None,
    *,
    has_idled: bool,
) -> list[Finding]:
    """The differences of a contract that changed in place, with P111 first. A table that idled out is left to S115."""
    before, after = from_pin(pin), from_version(version, variables, types)
    if has_idled:
        after = replace(after, serving=replace(after.serving, materialized=True))
    reads, columns = (use.reads, use.columns) if use else ("name", None)
    caller = Caller(name=CONSUMER, version=pin.version, reads=reads, columns=columns)
    differences = compare(before, after, RuleContext(callers=(caller,), is_move=True))
    differences = tuple(
        _lost_table(pin, finding) if _is_lost_to_newer(finding, endpoint, version) else finding
        for finding in differences
        if finding.code not in _NOT_DRIFT
    )
    if not differences:
        return []
    codes = sorted({finding.code for finding in differences})
    message = f"the contract of {pin.label} changed in place, without a new version: {', '.join(codes)}"
    drift = _finding("P111", pin, message, "contract", before=before.hash, after=after.hash)
    worst = max((finding.severity for finding in differences), key=lambda severity: severity.rank)
    return [replace(drift, severity=worst), *differences]


def _is_lost_to_newer(finding: Finding, endpoint: Endpoint, version: EndpointVersion) -> bool:
    """Whether a newer version took over the table, as on older servers."""
    is_newer = endpoint.current_version > version.version
    return finding.code == "S103" and is_newer and endpoint.materialization.is_on


def _lost_table(pin: Pin, finding: Finding) -> Finding:
    message = f"{pin.label} lost its table to a newer version: slower, with lower rate limits"
    return _finding("S111", pin, message, finding.locus, before=finding.before, after=finding.after)


def _finding(code: str, pin: Pin, message: str, locus: str, before: Json = None, after: Json = None) -> Finding:
    rule = RULES[code]
    return rule.finding(
        pin.name,
        message,
        locus=locus,
        version=pin.version,
        before=before,
        after=after,
        callers=(CONSUMER,),
    )
