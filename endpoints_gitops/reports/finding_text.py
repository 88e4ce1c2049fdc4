"""Findings as text: the lines of each, how many there are, and why one does not count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.model.finding import Finding, Scope, Severity, Waiver, WaiverKind, finding_counts
from endpoints_gitops.model.line import Line, Style
from endpoints_gitops.model.policy import approval_of

_STYLES: Final = {Severity.ERROR: Style.BAD, Severity.WARN: Style.WARN, Severity.INFO: Style.FAINT}
_PLURALS: Final = ("conflicts", "definitions", "endpoints", "errors", "infos", "pins", "requests", "warnings")
_WAIVED: Final = {
    WaiverKind.APPROVED: "approved",
    WaiverKind.IGNORED: "ignored",
    WaiverKind.OFF: "switched off",
    WaiverKind.RULESET: "not judged",
}


def finding_lines(
    findings: Iterable[Finding], *, indent: str = "", fails: Callable[[Finding], bool] | None = None
) -> Iterator[Line]:
    """`path:line:column: CODE message`, with callers and fix unless it is an info; a waived one with its waiver.

    A finding for callers that `fails` gets the command that approves it.
    """
    for finding in findings:
        location = _location(finding) or f"{finding.endpoint}{f': {finding.locus}' if finding.locus else ''}"
        start = f"{indent}{location}: {finding.code} {finding.message}"
        if finding.waiver is not None:
            yield Line(f"{start} [{finding.waiver.kind}]", Style.FAINT)
            yield Line(f"{indent}  {waiver_text(finding.waiver)}", Style.FAINT)
            continue
        yield Line(f"{start} [{finding.severity}]", _STYLES[finding.severity])
        if finding.callers and finding.severity is not Severity.INFO:
            yield Line(f"{indent}  hits {', '.join(finding.callers)}", Style.FAINT)
        if finding.fix and finding.severity is not Severity.INFO:
            yield Line(Advice(f"{indent}  fix: ", finding.fix), Style.FAINT)
        if fails is not None and fails(finding) and finding.scope is not Scope.NEITHER:
            yield Line(Advice(f"{indent}  or approve it: ", approval_of(finding)), Style.FAINT)


def is_shown(finding: Finding, *, verbose: bool) -> bool:
    """Whether a finding is printed: infos, and those that an ignore leaves out, only with `verbose`."""
    return verbose or (finding.severity is not Severity.INFO and (finding.counts or finding.is_approved))


def waiver_text(waiver: Waiver) -> str:
    """Who decided that a finding does not count, until when, and why."""
    by = f" by {waiver.by}" if waiver.by else ""
    until = f" until {waiver.until}" if waiver.until else ""
    reason = f": {waiver.reason}" if waiver.reason else ""
    return f"{_WAIVED[waiver.kind]}{by}{until}{reason}{f' ({waiver.where})' if waiver.where else ''}"


def counted(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning, 1 approved`; empty without findings."""
    return count_words(finding_counts(findings))


def count_words(counts: Mapping[str, int]) -> str:
    """The counts that are not 0, in words."""
    return ", ".join(
        f"{count:,} {name.removesuffix('s') if count == 1 and name in _PLURALS else name}"
        for name, count in counts.items()
        if count
    )


def _location(finding: Finding) -> str | None:
    location = finding.location
    return f"{location.path}:{location.line or 1}:{location.column or 1}" if location else None
