"""Judge the findings of a command by the policy of its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Self

from endpoints_gitops.model.policy import Applied, Approval, Coverage, Ignore, Policy
from endpoints_gitops.workspace.policy import policy_of

if TYPE_CHECKING:
    from endpoints_gitops.model.finding import Finding
    from endpoints_gitops.workspace.configuration import Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A policy, and the date on which it is applied."""

    policy: Policy
    today: date

    @classmethod
    def of(cls, configuration: Configuration, today: date) -> Self:
        """The judge of a command. Raises InvalidInput for mistakes in the policy."""
        return cls(policy=policy_of(configuration), today=today)

    def approval_of(self, fingerprint: str) -> Approval | None:
        """The approval in effect for a finding, by its fingerprint or the first digits of it; None without one."""
        return next(
            (
                approval
                for approval in self.policy.approvals
                if fingerprint.startswith(approval.fingerprint)
                and not approval.lacking
                and not (approval.until and approval.until < self.today)
            ),
            None,
        )

    def apply(
        self, findings: Iterable[Finding], *, comments: Sequence[Ignore] = (), coverage: Coverage | None = None
    ) -> Applied:
        """See `contract.policy.apply`."""
        findings = tuple(findings)
        ignores = (*self.policy.ignores, *comments)
        if not (findings or ignores) or not (self.policy.changes_findings or comments):
            return Applied(judged=findings)
        from endpoints_gitops.contract.policy import apply

        return apply(self.policy, findings, self.today, comments=comments, coverage=coverage)
