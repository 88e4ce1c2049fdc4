"""Apply a policy to findings: severities, the pinned ruleset, ignores and approvals. Pure: the date is passed in.

No finding disappears: one that does not count stays, with the waiver that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Final

from endpoints_gitops.contract.rules import RULES, Rule
from endpoints_gitops.model.finding import Finding, Severity, Waiver, WaiverKind
from endpoints_gitops.model.policy import Applied, Approval, Coverage, Ignore, Policy, RuleSetting, RuleSwitch

_STEPS: Final = (Severity.INFO, Severity.WARN, Severity.ERROR)


def apply(
    policy: Policy,
    findings: Sequence[Finding],
    today: date,
    *,
    comments: Sequence[Ignore] = (),
    coverage: Coverage | None = None,
) -> Applied:
    """The findings as the policy judges them, and the findings about its ignores and approvals.

    `comments` are the ignores in the definitions that were read. Ignores and approvals that expired or lack something
    have no effect; they are findings if they would match, and all of them with a `coverage` that is whole. Unused
    ignores are findings only within the `coverage`.
    """
    ignores = (*policy.ignores, *comments)
    matched: set[Ignore] = set()
    approvals: set[Approval] = set()

    def judged(finding: Finding) -> Finding:
        rule = RULES.get(finding.code)
        matching = [ignore for ignore in ignores if _matches(ignore, finding)]
        naming = [approval for approval in policy.approvals if finding.fingerprint.startswith(approval.fingerprint)]
        matched.update(matching)
        approvals.update(naming)
        finding = _with_severity(finding, rule, policy.rules.get(finding.code))
        waivers = _waivers(policy, finding, rule, matching, naming, today)
        return replace(finding, waiver=next(waivers, None)) if finding.waiver is None else finding

    result = tuple(judged(finding) for finding in findings)
    about_policy = [*_about_ignores(ignores, matched, today, coverage), *_about_approvals(approvals, today)]
    return Applied(judged=result, about_policy=tuple(map(judged, about_policy)))


def _severity(finding: Finding, rule: Rule | None, setting: RuleSetting | None) -> Severity:
    """The severity of a finding under the setting of its rule.

    Where the rule judges this finding as milder than usual (pins protect, the endpoint is a draft), it is as many steps
    milder than the setting too. An exposure rule is lowered only by a setting with an owner.
    """
    if setting is None or isinstance(setting.severity, RuleSwitch) or _is_fixed(finding, rule):
        return finding.severity
    usual = rule.severity if rule is not None else finding.severity
    steps = max(0, usual.rank - finding.severity.rank)
    rank = min(max(0, setting.severity.rank - steps), finding.ceiling.rank)
    if rule is not None and rule.is_exposure and not setting.owner:
        rank = max(rank, finding.severity.rank)
    return _STEPS[rank]


def _with_severity(finding: Finding, rule: Rule | None, setting: RuleSetting | None) -> Finding:
    severity = _severity(finding, rule, setting)
    return finding if severity is finding.severity else replace(finding, severity=severity)


def _waivers(
    policy: Policy,
    finding: Finding,
    rule: Rule | None,
    ignores: Iterable[Ignore],
    approvals: Iterable[Approval],
    today: date,
) -> Iterator[Waiver]:
    """The decisions by which a finding does not count, the weightiest first."""
    if _is_fixed(finding, rule):
        return
    if policy.ruleset is not None and rule is not None and not rule.is_configured and rule.since > policy.ruleset:
        reason = f"{rule.code} is a rule of {rule.since}, and the configuration pins {policy.ruleset}"
        yield Waiver(kind=WaiverKind.RULESET, reason=reason)
    setting = policy.rules.get(finding.code)
    may_switch_off = setting is not None and (setting.owner or rule is None or not rule.is_exposure)
    if setting is not None and setting.severity is RuleSwitch.OFF and may_switch_off:
        yield Waiver(kind=WaiverKind.OFF, reason=setting.reason, by=setting.owner, where=setting.where)
    for ignore in ignores:
        if not _is_over(ignore, today) and not ignore.lacking:
            yield Waiver(
                kind=WaiverKind.IGNORED, reason=ignore.reason, by=ignore.owner, until=ignore.until, where=ignore.where
            )
    for approval in approvals:
        if not _is_over(approval, today) and not approval.lacking:
            yield Waiver(
                kind=WaiverKind.APPROVED,
                reason=approval.reason,
                by=approval.by,
                until=approval.until,
                where=approval.where,
            )


def _is_fixed(finding: Finding, rule: Rule | None) -> bool:
    """Whether no policy changes the finding: of a fixed rule, or of a file that cannot be read (`definition.yaml`)."""
    return "." in finding.code if rule is None else rule.is_fixed


def _matches(ignore: Ignore, finding: Finding) -> bool:
    if ignore.mistake is not None or ignore.rule != finding.code:
        return False
    if ignore.covered is not None:
        return any(finding.location in lines for lines in ignore.covered)
    return fnmatchcase(finding.endpoint, ignore.endpoint) and ignore.locus in (None, str(finding.locus))


def _is_over(decision: Ignore | Approval, today: date) -> bool:
    """Whether the end date has passed; on that day itself the decision still holds."""
    return decision.until is not None and decision.until < today


def _about_ignores(
    ignores: Sequence[Ignore], matched: set[Ignore], today: date, coverage: Coverage | None
) -> Iterator[Finding]:
    is_whole = coverage is not None and coverage.is_whole
    for ignore in dict.fromkeys(ignores):
        is_read = is_whole or (coverage is not None and ignore.covered is not None)
        if ignore.mistake is not None:
            if is_read:
                yield _finding("G124", ignore, ignore.mistake)
        elif not (is_read or ignore in matched):
            continue
        elif ignore.lacking:
            yield _finding("G103", ignore, f"the ignore of {ignore.rule} lacks {_listed(ignore.lacking)}")
        elif _is_over(ignore, today):
            yield _finding("G101", ignore, f"the ignore of {ignore.rule} expired on {ignore.until}")
        elif ignore.is_misplaced and ignore not in matched:
            message = f"the ignore of {ignore.rule} is at a place where no finding of that rule can be"
            yield replace(_finding("G102", ignore, message), fix="write it at the key that causes the finding")
        elif coverage is not None and ignore.rule in coverage.codes and ignore not in matched:
            yield _finding("G102", ignore, f"the ignore of {ignore.rule} matches no finding")


def _about_approvals(approvals: Iterable[Approval], today: date) -> Iterator[Finding]:
    """The findings about approvals that name a finding of this run. The others are of changes that are merged."""
    for approval in sorted(approvals, key=lambda approval: approval.where):
        locus = f"approval {approval.fingerprint}"
        if approval.lacking:
            message = f"the approval of {approval.fingerprint} lacks {_listed(approval.lacking)}"
            yield RULES["G103"].finding("", message, locus=locus, where=approval.where)
        elif _is_over(approval, today):
            message = f"the approval of {approval.fingerprint} by {approval.by} expired on {approval.until}"
            yield RULES["G101"].finding("", message, locus=locus, where=approval.where)


def _finding(code: str, ignore: Ignore, message: str) -> Finding:
    """A finding about an ignore. The locus tells ignores apart, without the line, which moves."""
    endpoint = "" if any(character in ignore.endpoint for character in "*?[") else ignore.endpoint
    locus = "/".join(filter(None, (f"ignore {ignore.rule}".rstrip(), endpoint or ignore.endpoint, ignore.locus)))
    after = ignore.mistake or (ignore.until.isoformat() if ignore.until else None)
    return RULES[code].finding(endpoint, message, locus=locus, where=ignore.where, after=after)


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
