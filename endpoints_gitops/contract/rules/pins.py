"""Pins and locks: what a consumer finds when it looks at the server again. Judged in `contract.pins`."""

from __future__ import annotations

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.rules.rule import Rule, declare
from endpoints_gitops.model.finding import Scope, Severity

_NEITHER = Scope.NEITHER

declare(
    Rule(
        code="P102",
        slug="pin-not-found",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The locked version is not on the server.",
        why="Every call of it is a 404.",
        fix=Advice("`", Command("upgrade", "NAME"), "` to a version that is there, or have the endpoint restored"),
        example=("the lock says monthly_users@3", "the server has versions 1 and 2"),
    )
)

declare(
    Rule(
        code="P103",
        slug="pin-identity-mismatch",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The server has something else under the locked number: another id, or another query.",
        why="The number was chosen for what it meant; it means something else now.",
        fix=Advice(
            "find out who created the endpoint again (A105), then `", Command("upgrade", "NAME"), "` on purpose"
        ),
        example=("the lock says version id 5c1e…", "version 3 has the id 77aa…"),
    )
)

declare(
    Rule(
        code="P104",
        slug="pin-inactive",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The locked version is not active.",
        why="Every call of it is refused (400).",
        fix=Advice("`", Command("upgrade", "NAME"), "`, or have the version activated again"),
        example=("the lock says monthly_users@3", "version 3 was deactivated"),
    )
)

declare(
    Rule(
        code="P106",
        slug="pin-behind",
        severity=Severity.INFO,
        scope=_NEITHER,
        summary="There are newer versions, and nothing in them breaks this caller.",
        why="Moving now is easy.",
        fix=Advice("`", Command("upgrade", "NAME", "--compatible-only"), "`"),
        example=("the lock says version 3", "version 5 appends a column"),
    )
)

declare(
    Rule(
        code="P107",
        slug="pin-behind-breaking",
        severity=Severity.INFO,
        scope=_NEITHER,
        summary="There are newer versions, and moving to the newest breaks something.",
        why="The longer it waits, the more there is to change at once.",
        fix=Advice("plan the move: `", Command("upgrade", "NAME"), "` shows what it breaks"),
        example=("the lock says version 3", "version 4 dropped a column"),
    )
)

declare(
    Rule(
        code="P108",
        slug="lock-out-of-date",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The manifest and the lock disagree.",
        why="What runs is what is locked, and not what the manifest says.",
        fix="`lock`, or `upgrade` where a version was changed by hand",
        example=("uses: orders = 4", "endpoints.lock: orders at version 3"),
    )
)

declare(
    Rule(
        code="P109",
        slug="env-skew",
        severity=Severity.WARN,
        scope=_NEITHER,
        summary="The locks of two environments hold different contracts of one endpoint.",
        why="What works in one environment may not in the other.",
        fix="`promote` the endpoint, then `upgrade` in that environment",
        example=("staging: users is never null", "prod: users can be null"),
    )
)

declare(
    Rule(
        code="P111",
        slug="in-place-drift",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="The contract of the locked version is another one, with no new version.",
        why="Settings change in place, and no pin protects from them. It is as grave as the worst change behind it.",
        fix=Advice(
            "look at the findings beside this one, agree with the author, then `", Command("upgrade", "NAME@N"), "`"
        ),
        example=("locked: lookback can be left out", "the version was materialised: lookback must be sent"),
    )
)
