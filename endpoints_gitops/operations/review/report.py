"""The report of a review: its verdict over all endpoints, counts, and what a push costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from endpoints_gitops.model.finding import Finding, finding_counts
from endpoints_gitops.model.report import Detail, Report, Subject, Verdict
from endpoints_gitops.operations.review.judging import BranchEffect, JudgedBranch
from endpoints_gitops.operations.review.server import ReviewedServer
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.plan.diff import Snapshot


def branch_report(judged: JudgedBranch, subjects: tuple[Subject, ...], *, is_offline: bool) -> Report:
    """The report on a branch, whose subjects are judged already."""
    verdicts = Counter(subject.verdict for subject in subjects)
    is_unknown = bool(judged.errors or judged.unreadable) or verdicts[Verdict.UNKNOWN] > 0
    verdict = Verdict.UNKNOWN if is_unknown else Verdict.BLOCKED if verdicts[Verdict.BLOCKED] else Verdict.SAFE
    counts = _counts(subjects)
    server = judged.server
    outside = len(judged.changes.outside)
    return Report(
        title=f"Review against {judged.scope.against}",
        verdict=verdict,
        answer=_answer(judged, verdict, counts, is_offline=is_offline),
        subjects=subjects,
        counts=counts,
        details=tuple(_report_details(judged)),
        notes=(
            *judged.base.notes,
            *((f"{outside} changed outside of `manage`",) if outside else ()),
            *(server.plan.notes if server else ()),
            *(server.warnings if server else ()),
        ),
    )


def _counts(subjects: Sequence[Subject]) -> dict[str, int]:
    effects = Counter(str(subject.extra["effect"]) for subject in subjects)
    verdicts = Counter(subject.verdict for subject in subjects)
    findings = [finding for subject in subjects for finding in subject.findings]
    return {
        "changed": len(subjects),
        **{effect.value: effects[effect.value] for effect in BranchEffect},
        **{verdict.value: verdicts[verdict] for verdict in (Verdict.SAFE, Verdict.BLOCKED, Verdict.UNKNOWN)},
        "conflicts": sum(reason.code == "conflict" for subject in subjects for reason in subject.reasons),
        **finding_counts(findings),
    }


def _answer(judged: JudgedBranch, verdict: Verdict, counts: Mapping[str, int], *, is_offline: bool) -> str:
    changed = counts["changed"]
    how = " (offline: files and lock only)" if is_offline else ""
    if not changed:
        return f"this branch changes no endpoint{how}"
    endpoints = f"{changed} endpoint{'s' if changed != 1 else ''}"
    blocked = f"{counts['blocked']} of {endpoints} blocked"
    if verdict is Verdict.BLOCKED:
        return f"{blocked}{how}"
    if verdict is Verdict.UNKNOWN:
        also = blocked if counts["blocked"] else f"{endpoints} changed"
        cause = "the server could not be asked" if judged.errors else "the merge base cannot be read"
        return f"{cause}; {also}{how}"
    return f"{endpoints} changed{how}"


def _report_details(judged: JudgedBranch) -> Iterator[Detail]:
    yield Detail("compared with", judged.base.what)
    server = judged.server
    if server is None:
        yield Detail("environment", judged.scope.environment.name)
        return
    project = server.project
    yield Detail("environment", f"{project.environment.name}: {project.host}, project {project.project_id}")
    plan = _without_withheld(judged, server)
    yield from _costs(server, plan)
    from endpoints_gitops.codecs.plan import to_json

    yield Detail("plan digest", str(to_json(plan)["digest"]))


def _without_withheld(judged: JudgedBranch, server: ReviewedServer) -> Plan:
    """The plan as `plan NAME…` shows it, without what its findings stop."""
    from endpoints_gitops.operations.push.preview import checked, consequences, stops, withhold

    scope, plan, local = judged.scope, server.plan, server.local
    findings: list[Finding] = []
    if any(revision.contract.refusal is not None for revision in local.values()):  # S109 needs one
        snapshot = Snapshot(endpoints=server.endpoints)
        findings += consequences(plan, snapshot, local, judged.callers, today=scope.today, policy=scope.deprecation)
    if any(stops(finding) for finding in judged.lint.findings):
        findings += checked(plan, local, local.keys(), scope.conventions)
    return withhold(plan, judged.apply_policy(findings, judged.ignores).judged)


def _costs(server: ReviewedServer, plan: Plan) -> Iterator[Detail]:
    """The requests of a push, and the budget that they are taken from."""
    from endpoints_gitops.api.rate_limiter import DIRECT
    from endpoints_gitops.operations.push.apply import requests_of

    writes = requests_of(plan)
    versions = sum(change.cuts_a_version for change in plan.changes)
    total = server.requests + writes
    lists = f"; {versions} more from a fresh clone, to list versions" if versions else ""
    yield Detail("requests of a push", f"{total} ({server.requests} to read, {writes} to write){lists}")
    minutes = -(-(total + versions) // DIRECT.minute)
    longer = f"; this takes {minutes} minutes" if minutes > 1 else ""
    yield Detail("budget of a key", f"{DIRECT.minute} requests a minute, {DIRECT.hour:,} an hour{longer}")
