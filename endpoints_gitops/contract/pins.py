"""What became of a pin: whether the server still has what was locked, and what lies ahead of it."""

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

_SERVED_OTHERWISE: Final = ("A103", "A104", "A105", "A113", "M108")
CONSUMER: Final = "this app"
"""What findings about a pin call the one who pinned."""


def judge_pin(
    pin: Pin,
    endpoint: Endpoint | None,
    version: EndpointVersion | None,
    variables: Mapping[str, InsightVariable] | None = None,
    types: Mapping[str, str] | None = None,
    use: Use | None = None,
    now: datetime | None = None,
) -> tuple[Finding, ...]:
    """Whether the server still has what is locked: the endpoint of that name, and in it the version of that number.

    `variables` and `types` are as for `from_version`, `use` is what the manifest says of how the app reads. With `now`,
    a table that the server switched off, or soon will, because nothing called it is said (S115).
    """
    found = [*_identity(pin, endpoint, version), *activity(pin, endpoint, version)]
    if endpoint is not None and version is not None and not any(one.code == "P103" for one in found):
        idle = idling(version, now, is_wanted=pin.materialized, callers=(CONSUMER,)) if now is not None else None
        found += [idle] if idle is not None else []
        found += _drift(pin, endpoint, version, variables, types, use, has_idled=idle is not None and not idle.after)
    return in_order(found)


def verify_old(lock: Lock, path: str) -> None:
    """Verify the contracts in a lock of schema 1, whose hashes are of them alone. Raises InvalidInput."""
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
    """That newer versions exist. `findings` are those of the move to the newest; errors among them break."""
    if newest <= pin.version:
        return None
    crossed = sorted({one.code for one in findings if one.severity is Severity.ERROR})
    code = "P107" if crossed else "P106"
    breaks = f", and moving there breaks {', '.join(crossed)}" if crossed else ", and nothing in it breaks this caller"
    message = f"{pin.label} is behind: version {newest} is there{breaks}"
    return _finding(code, pin, message, "version", before=pin.version, after=newest)


def env_skew(lock: Lock) -> tuple[Finding, ...]:
    """The endpoints whose contracts differ between the environments of a lock."""
    found = []
    for name in sorted({pin.name for pin in lock.pins}):
        pins = [pin for pin in lock.pins if pin.name == name]
        hashes: dict[str, Json] = {pin.environment: from_pin(pin).hash for pin in pins}
        if len(set(hashes.values())) > 1:
            message = f"{name} has different contracts in {', '.join(sorted(hashes))}"
            found.append(RULES["P109"].finding(name, message, locus="contract", before=None, after=hashes))
    return tuple(found)


def _identity(pin: Pin, endpoint: Endpoint | None, version: EndpointVersion | None) -> Iterator[Finding]:
    if endpoint is None or version is None:
        what = f"no endpoint {pin.name}" if endpoint is None else f"no version {pin.version} of {pin.name}"
        yield _finding("P102", pin, f"the server has {what}", "version", before=pin.version)
    if endpoint is not None and endpoint.id != pin.endpoint_id:
        yield from recreated(pin, endpoint)
        if version is not None:
            message = f"{pin.label} belongs to another endpoint than the one that was locked"
            yield _finding("P103", pin, message, "endpoint", before=pin.endpoint_id, after=endpoint.id)
    elif version is not None:
        yield from _other_version(pin, version)


def recreated(pin: Pin, endpoint: Endpoint) -> Iterator[Finding]:
    """That the endpoint of that name is another one (A105)."""
    if endpoint.id != pin.endpoint_id:
        message = f"{pin.name} was deleted and created again: version {pin.version} means another query now"
        yield _finding("A105", pin, message, "endpoint", before=pin.endpoint_id, after=endpoint.id)


def _other_version(pin: Pin, version: EndpointVersion) -> Iterator[Finding]:
    there = version.version_id or version.current_version_id
    if pin.version_id is not None and there is not None and pin.version_id != there:
        message = f"{pin.label} has another id than the one that was locked"
        yield _finding("P103", pin, message, "version_id", before=pin.version_id, after=there)
    elif (present := query_hash(version.query)) != pin.query_hash:
        message = f"{pin.label} has another query than the one that was locked"
        yield _finding("P103", pin, message, "query", before=pin.query_hash, after=present)


def activity(pin: Pin, endpoint: Endpoint | None, version: EndpointVersion | None) -> Iterator[Finding]:
    """What keeps the server from running the version: the endpoint is switched off (A103), or the version is (P104)."""
    is_active = version.endpoint_is_active if version is not None else endpoint is None or endpoint.is_active
    if not is_active:
        message = f"{pin.name} is not active: every call of it is a 404"
        fix = Advice("have it activated again: ", Command("activate", pin.name))
        yield replace(_finding("A103", pin, message, "active", before=True, after=False), fix=fix)
    if version is not None and not version.is_active:
        message = f"{pin.name}@{version.version} is not active: calls of it are refused (400)"
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
    """What moved in place, and that it did. A table that idled out is for S115 to say, and no drift."""
    before, after = from_pin(pin), from_version(version, variables, types)
    if has_idled:
        after = replace(after, serving=replace(after.serving, materialized=True))
    reads, columns = (use.reads, use.columns) if use else ("name", None)
    caller = Caller(name=CONSUMER, version=pin.version, reads=reads, columns=columns)
    moved = [one for one in compare(before, after, RuleContext(callers=(caller,), is_move=True)) if _counts(one)]
    if not moved:
        return []
    moved = [_lost_table(pin, one) if _is_lost_to_newer(one, endpoint, version) else one for one in moved]
    codes = sorted({one.code for one in moved})
    message = f"the contract of {pin.label} moved in place, with no new version: {', '.join(codes)}"
    drift = _finding("P111", pin, message, "contract", before=before.hash, after=after.hash)
    gravest = max((one.severity for one in moved), key=lambda severity: severity.rank)
    return [replace(drift, severity=gravest), *moved]


def _counts(finding: Finding) -> bool:
    return finding.code not in _SERVED_OTHERWISE


def _is_lost_to_newer(finding: Finding, endpoint: Endpoint, version: EndpointVersion) -> bool:
    """Whether the table went on to a newer version, as older servers have it."""
    is_newer = endpoint.current_version > version.version
    return finding.code == "S103" and is_newer and endpoint.materialization.is_on


def _lost_table(pin: Pin, finding: Finding) -> Finding:
    message = f"{pin.label} has no table any more, as a newer version took it over: slower, and with lower limits"
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
