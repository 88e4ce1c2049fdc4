"""The content of a report: any outcome as a `Report`, and as a flat list of issues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from endpoints_gitops.errors import ExitCode, Location
from endpoints_gitops.model.finding import Finding, Scope, Severity, finding_counts
from endpoints_gitops.model.json import fingerprint
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.report import Detail, Report, Subject, Verdict
from endpoints_gitops.reports.finding_text import count_words, counted, waiver_text

NO_FILE: Final = "."
"""The path of what concerns no file, in formats that require one: the folder of the checkout."""

_MOST_NAMES: Final = 5


def report_of(outcome: Outcome) -> Report:
    """What the outcome's command judged, with the verdict that its exit code states.

    Subjects of a command without a report are the endpoints that have findings.
    """
    if outcome.report is not None:
        return _after_failures(outcome, outcome.report)
    subjects = tuple(_subjects(outcome.findings, outcome.fail_on))
    return Report(
        title=outcome.command,
        verdict=_verdict(outcome, Verdict.SAFE),
        answer=_answer(outcome),
        subjects=subjects,
        details=tuple(
            Detail(name.replace("_", " "), f"{count:,}")
            for name, count in outcome.summary.items()
            if count and name not in finding_counts(())
        ),
    )


def findings_of(outcome: Outcome) -> tuple[Finding, ...]:
    """The findings of an outcome, each once."""
    return outcome.findings or (outcome.report.findings if outcome.report is not None else ())


def errors_of(outcome: Outcome) -> tuple[ErrorEntry, ...]:
    """The errors of the outcome that are not the reason for the verdict on a subject."""
    reasons = {reason for subject in (outcome.report.subjects if outcome.report else ()) for reason in subject.reasons}
    return tuple(error for error in dict.fromkeys(outcome.errors) if error not in reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A finding, a reason for a verdict, or an error, for formats that are a list.

    `subject` is empty where it concerns the whole change. `is_failure`: something could not be read or asked, or the
    command failed. `finding` is set for findings; one that does not count is an info whose message says why. `also` are
    the loci of the infos that are folded into it.
    """

    code: str
    severity: Severity
    message: str
    subject: str = ""
    fix: str | None = None
    location: Location | None = None
    is_failure: bool = False
    finding: Finding | None = None
    also: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The same for the same issue in every run."""
        if self.finding is not None:
            return self.finding.fingerprint
        return fingerprint([self.code, self.subject, self.message])


def issues_of(outcome: Outcome) -> tuple[Issue, ...]:
    """Everything to report, the errors first. Unless the verdict is good, at least one issue is an error."""
    report = report_of(outcome)
    issues = [
        *(_error_issue(error, is_failure=True) for error in errors_of(outcome)),
        *_without_repetition(issue for subject in report.subjects for issue in subject_issues(subject)),
    ]
    if not (report.verdict.is_good or any(issue.severity is Severity.ERROR for issue in issues)):
        is_failure = report.verdict is Verdict.UNKNOWN
        code = f"{outcome.command}.{report.verdict}"
        issues.append(Issue(code=code, severity=Severity.ERROR, message=report.headline, is_failure=is_failure))
    unique = {(issue.fingerprint, issue.subject, issue.message, issue.location): issue for issue in issues}
    return tuple(sorted(unique.values(), key=lambda issue: -issue.severity.rank))


def shared_reasons(report: Report) -> Mapping[ErrorEntry, tuple[str, ...]]:
    """The reasons that several subjects have, such as a server that does not answer, with the names of these."""
    names: dict[ErrorEntry, list[str]] = {}
    for subject in report.subjects:
        for reason in dict.fromkeys(subject.reasons):
            names.setdefault(reason, []).append(subject.name)
    return {reason: tuple(subjects) for reason, subjects in names.items() if len(subjects) > 1}


def listed(names: Sequence[str]) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _without_repetition(issues: Iterable[Issue]) -> Iterator[Issue]:
    """The issues, those that are the same for several subjects once: GitHub shows only the first ten of a step."""
    groups: dict[object, list[Issue]] = {}
    for issue in issues:
        key = (issue.fingerprint, issue.subject) if issue.finding else (issue.code, issue.message, issue.fix)
        groups.setdefault(key, []).append(issue)
    for first, *others in groups.values():
        if first.finding is not None or not others:
            yield from (first, *others)
            continue
        names = tuple(dict.fromkeys(issue.subject for issue in (first, *others)))
        yield replace(
            first,
            subject="" if len(names) > 1 else first.subject,
            message=f"{first.message} ({listed(names)})" if len(names) > 1 else first.message,
            location=first.location if all(issue.location == first.location for issue in others) else None,
            is_failure=any(issue.is_failure for issue in (first, *others)),
        )


def subject_issues(subject: Subject) -> Iterator[Issue]:
    """The reasons for the verdict on a subject, and its findings.

    At least one is an error if the verdict is not good, and none if it is.
    """
    is_failure = subject.verdict is Verdict.UNKNOWN
    most = Severity.WARN if subject.verdict.is_good else Severity.ERROR
    where = location_of(subject.where)
    issues = [
        replace(issue, severity=most, location=issue.location or where)
        for issue in (_error_issue(reason, is_failure=is_failure, subject=subject.name) for reason in subject.reasons)
    ]
    issues += [
        Issue(
            code=finding.code,
            severity=Severity.INFO
            if finding.waiver
            else min(finding.severity, most, key=lambda severity: severity.rank),
            message=f"{finding.message} [{waiver_text(finding.waiver)}]"
            if finding.waiver
            else folded_text(finding, also),
            subject=finding.endpoint,
            fix=None if finding.waiver or finding.severity is Severity.INFO else finding.fix,
            location=location_of(finding.where) or where,
            finding=finding,
            also=also,
        )
        for finding, also in folded(subject.findings)
    ]
    yield from issues
    if not (subject.verdict.is_good or any(issue.severity is Severity.ERROR for issue in issues)):
        yield Issue(
            code=str(subject.verdict),
            severity=Severity.ERROR,
            message=f"{subject.verdict}: {subject.change}",
            subject=subject.name,
            location=where,
            is_failure=is_failure,
        )


def folded(findings: Iterable[Finding]) -> list[tuple[Finding, tuple[str, ...]]]:
    """The findings, each with the loci of those that it stands for: in a list, the infos of one rule about one endpoint
    are one entry, because an endpoint can have as many of them as it has columns.
    """
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        is_info = finding.counts and finding.severity is Severity.INFO
        key = (finding.code, finding.endpoint, finding.callers) if is_info else id(finding)
        groups.setdefault(key, []).append(finding)
    return [(first, tuple(other.locus for other in others)) for first, *others in groups.values()]


def folded_text(finding: Finding, also: Sequence[str]) -> str:
    """The message of a finding, with the loci of those that it stands for."""
    return f"{finding.message} (and {len(also):,} more: {listed(also)})" if also else finding.message


def may_be_approved(finding: Finding, subject: Subject) -> bool:
    """Whether an approval of this finding helps: an error for callers that blocks the subject."""
    is_error = finding.counts and finding.severity is Severity.ERROR and finding.scope is not Scope.NEITHER
    return is_error and subject.verdict is Verdict.BLOCKED


def location_of(where: str | None) -> Location | None:
    """The place in a file that `where` names; None without one."""
    location = where if isinstance(where, Location) else Location.of(where or "")
    return location if location.path else None


def counts_of(report: Report) -> str:
    """`2 blocked, 1 unknown, 12 unchanged`, without what is 0."""
    return count_words({name.replace("_", " "): count for name, count in report.counts.items()})


def _verdict(outcome: Outcome, verdict: Verdict) -> Verdict:
    """The verdict that the exit code states, and this one where the command succeeded."""
    if outcome.exit_code is ExitCode.DONE:
        return verdict
    return Verdict.BLOCKED if outcome.exit_code is ExitCode.FINDINGS else Verdict.UNKNOWN


def _after_failures(outcome: Outcome, report: Report) -> Report:
    """The report with the verdict of the exit code. That differs if something failed after the command had judged, such
    as writing a file: then the answer begins with it."""
    verdict = _verdict(outcome, report.verdict)
    if verdict is report.verdict:
        return report
    return replace(report, verdict=verdict, answer=f"{_failure(outcome)}; it judged: {report.headline}")


def _failure(outcome: Outcome) -> str:
    return f"{outcome.command or 'the command'} could not finish (exit code {int(outcome.exit_code)})"


def _answer(outcome: Outcome) -> str:
    numbers = counted(outcome.findings) or "no findings"
    if outcome.exit_code in (ExitCode.DONE, ExitCode.FINDINGS):
        return numbers
    return f"{_failure(outcome)}; {numbers}" if outcome.findings else _failure(outcome)


def _subjects(findings: Iterable[Finding], fail_on: Severity) -> Iterator[Subject]:
    """The endpoints with findings; what is not about an endpoint is about its file."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.endpoint or finding.location.path or "(no endpoint)", []).append(finding)
    for name, group in by_name.items():
        is_blocked = any(finding.fails(fail_on) for finding in group)
        verdict = Verdict.BLOCKED if is_blocked else Verdict.SAFE
        yield Subject(name=name, verdict=verdict, change=counted(group), findings=tuple(group))


def _error_issue(error: ErrorEntry, *, is_failure: bool, subject: str = "") -> Issue:
    location = error.where if isinstance(error.where, Location) else None
    message = error.message if location or not error.where else f"{error.where}: {error.message}"
    return Issue(
        code=error.code,
        severity=Severity.ERROR,
        message=message,
        subject=subject,
        fix=error.fix,
        location=location,
        is_failure=is_failure,
    )
