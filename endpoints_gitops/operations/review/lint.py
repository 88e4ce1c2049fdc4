"""The findings of `check` in the files of a branch, and those that its merge base has already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.contract.announcements import announcement_findings
from endpoints_gitops.contract.lint import duplicates
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.sunset import Announcement
from endpoints_gitops.operations.check.definition import finding_of, findings_of
from endpoints_gitops.operations.review.changes import BranchChanges
from endpoints_gitops.operations.review.scope import ApplyPolicy, ReviewScope
from endpoints_gitops.plan.variables import disagreements
from endpoints_gitops.workspace.base import Base
from endpoints_gitops.workspace.branch import definitions_before

_ACROSS_FILES: Final = ("G107", "G117")
"""The codes of lint findings that depend on other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchLint:
    """The findings of `check` in the changed files, and those that the merge base has, by fingerprint."""

    findings: tuple[Finding, ...] = ()
    before: Mapping[str, Finding] = field(default_factory=dict)

    def is_introduced(self, finding: Finding) -> bool:
        """Whether the merge base does not have a finding, has it as a milder one (of a draft), or does not count it."""
        before = self.before.get(finding.fingerprint)
        if before is None or not finding.counts:
            return before is None
        return not before.counts or finding.severity.rank > before.severity.rank


def lint_branch(scope: ReviewScope, base: Base, changes: BranchChanges, apply_policy: ApplyPolicy) -> BranchLint:
    """Check the changed files, and the same files at the merge base.

    Findings of the merge base that depend on several files cost more, so they are computed only where the changed files
    have such findings.
    """
    found = _lint_now(scope, changes)
    definitions = changes.files.before.values()
    before = [finding for loaded in definitions for finding in findings_of(loaded, scope.check_settings)]
    announced = [Announcement.of(loaded, scope.checked_environment) for loaded in definitions]
    if notices := [announcement for announcement in announced if announcement is not None]:
        names = base.names() if any(item.notice.replaced_by for item in notices) else frozenset[str]()
        for announcement in notices:
            before += announcement_findings(announcement, scope.today, scope.deprecation, names)
    if any(finding.code in _ACROSS_FILES for finding in found):
        all_before = definitions_before(base, scope.folder)
        before += [*duplicates(all_before), *map(finding_of, disagreements(all_before))]
    ignores = tuple(ignore for loaded in definitions for ignore in loaded.ignores)
    judged = apply_policy(before, ignores).judged
    return BranchLint(findings=found, before={finding.fingerprint: finding for finding in judged})


def _lint_now(scope: ReviewScope, changes: BranchChanges) -> tuple[Finding, ...]:
    from endpoints_gitops.operations.check.folder import check

    words = [str(path) for path in changes.files.checked]
    if not words:
        return ()
    checked = check(
        scope.folder,
        words,
        scope.check_settings,
        configuration=scope.configuration,
        cache=scope.cache,
        today=scope.today,
        policy=scope.deprecation,
    )
    return tuple(
        finding
        for finding in checked.findings
        if finding.endpoint in changes.diffs or finding.location.path in changes.by_path
    )
