"""Policy: mistakes in ignores and approvals, and what the configuration requires. Applied in `contract.policy` and
`contract.conventions`.
"""

from __future__ import annotations

from endpoints_gitops.contract.rules.rule import Rule, declare
from endpoints_gitops.model.finding import Scope, Severity

_NEITHER = Scope.NEITHER
_SINCE = "2026-12"

declare(
    Rule(
        code="G101",
        slug="ignore-expired",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        is_configured=True,
        summary="An ignore or an approval is past its end date and has no effect.",
        why="The decision was for a limited time, so it is due again.",
        fix="fix the cause and remove the entry, or agree on a later date",
        example=("until = 2027-01-31", "until = 2026-01-31"),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G102",
        slug="ignore-unused",
        severity=Severity.WARN,
        scope=_NEITHER,
        is_configured=True,
        summary="An ignore matches no finding.",
        why="It would hide the next finding of that rule before a reviewer sees it.",
        fix="remove the ignore",
        example=("ignore C113, with SELECT *", "ignore C113, with SELECT day, users"),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G103",
        slug="ignore-without-reason",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        is_configured=True,
        summary="An ignore lacks reason, owner or end date, or an approval lacks reason or name; it has no effect.",
        why="Later readers cannot tell whether it still holds, or whom to ask.",
        fix="add what the message names",
        example=('ignore C113 reason="frozen table" owner=@data until=2027-01-31', "ignore C113"),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G121",
        slug="required-key-missing",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_configured=True,
        summary="A definition lacks a key that the configuration requires.",
        why="The team agreed that every endpoint has it.",
        fix="add the key",
        example=("owner: '@data'", 'no owner, with require = ["owner"]'),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G122",
        slug="name-convention",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_configured=True,
        summary="The name of an endpoint or a variable does not follow the configured convention.",
        why="Callers guess names, and mixed conventions make them guess wrong.",
        fix="choose another name before the endpoint has callers; `rename` keeps the old one for them",
        example=("name: monthly_users", 'name: MonthlyUsers, with endpoints = "snake_case"'),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G123",
        slug="column-convention",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_configured=True,
        summary="The name of a column does not follow the configured convention.",
        why="Callers guess names, and mixed conventions make them guess wrong.",
        fix="give the column an alias that follows the convention",
        example=("SELECT count() AS user_count", 'SELECT count() AS userCount, with columns = "snake_case"'),
        since=_SINCE,
    )
)

declare(
    Rule(
        code="G124",
        slug="ignore-unreadable",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        is_configured=True,
        summary="An ignore comment in a definition cannot be read; it has no effect.",
        why="Its author relies on something that does not happen.",
        fix='# endpoints-gitops: ignore CODE reason="…" owner=… until=YYYY-MM-DD',
        example=("# endpoints-gitops: ignore C113 …", "# endpoints-gitops: ignore C1113 …"),
        since=_SINCE,
    )
)
