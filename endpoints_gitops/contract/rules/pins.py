"""Pins and locks: differences between a lock and the server. Applied in `contract.pins`."""

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
        summary="The server does not have the locked version.",
        why="Every call of the version returns 404.",
        fix=Advice("`", Command("upgrade", "NAME"), "` to an existing version, or have the endpoint restored"),
        example=("the lock says monthly_users@3", "the server has versions 1 and 2"),
    )
)

declare(
    Rule(
        code="P103",
        slug="pin-identity-mismatch",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The locked version number has a different id or query on the server.",
        why="The app was built for the locked query, and the number now refers to a different one.",
        fix=Advice(
            "find out why the endpoint was recreated (A105), then review and run `", Command("upgrade", "NAME"), "`"
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
        summary="The locked version is inactive.",
        why="The server refuses every call of the version (400).",
        fix=Advice("`", Command("upgrade", "NAME"), "`, or have the version reactivated"),
        example=("the lock says monthly_users@3", "version 3 was deactivated"),
    )
)

declare(
    Rule(
        code="P105",
        slug="pin-deprecated",
        severity=Severity.WARN,
        scope=_NEITHER,
        summary="The pinned endpoint will be removed: its definition announced a sunset when the pin was written.",
        why="From the sunset on, its calls can fail. It is an error within the last `warn_days` before, and after it.",
        fix="use the replacement that the notice names, or ask the owner of the endpoint",
        example=("no deprecation", "deprecation: {since: 2026-01-01, sunset: 2026-06-01}"),
        since="2026-12",
    )
)

declare(
    Rule(
        code="P106",
        slug="pin-behind",
        severity=Severity.INFO,
        scope=_NEITHER,
        summary="A newer version exists, and upgrading to it does not break this caller.",
        why="Small upgrades are easier than large ones.",
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
        summary="A newer version exists, and upgrading to it breaks this caller.",
        why="The later the upgrade, the more changes it brings at once.",
        fix=Advice("plan the upgrade: `", Command("upgrade", "NAME"), "` shows what it breaks"),
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
        why="Calls use the version of the lock, not that of the manifest.",
        fix="run `lock`, or `upgrade` if a version was changed by hand",
        example=("uses: orders = 4", "endpoints.lock: orders at version 3"),
    )
)

declare(
    Rule(
        code="P109",
        slug="env-skew",
        severity=Severity.WARN,
        scope=_NEITHER,
        summary="An endpoint has different contracts in the locks of two environments.",
        why="A call that works in one environment can fail in the other.",
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
        summary="The contract of the locked version changed in place, without a new version.",
        why="Settings change in place, and a pin does not protect from them. Its severity is that of the worst change.",
        fix=Advice(
            "review the findings listed with this one, agree with the author, then run `",
            Command("upgrade", "NAME@N"),
            "`",
        ),
        example=("locked: lookback is optional", "the version was materialized: lookback is required"),
    )
)
