"""Name and lifecycle: whether an endpoint can be called at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.context import RuleContext
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.sunset import DeprecationPolicy, SunsetNotice

declare(
    Rule(
        code="A101",
        slug="endpoint-removed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An endpoint is deleted, or its file is removed and `push` runs with `--prune`.",
        why="From then on every call returns 404, pinned or not.",
        fix="tell its callers, deactivate the endpoint once they have moved, and delete it last",
        example=("monthly_users.yaml exists", "the file is deleted, and push runs with --prune"),
    )
)

declare(
    Rule(
        code="A102",
        slug="endpoint-renamed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An endpoint was renamed: the same query has a new name, and the old name is gone.",
        why="The name is part of the URL, and the versions of the new endpoint start at 1. It is a warning if the "
        "file sets `renamed_from`, which keeps the old name until the rename is finished.",
        fix=Advice(
            "undo the change and run `",
            Command("rename", "OLD", "NEW"),
            "`, which keeps the old name while its callers move",
        ),
        example=("name: monthly_users", "name: active_users"),
    )
)

declare(
    Rule(
        code="A112",
        slug="endpoint-added",
        severity=Severity.INFO,
        scope=Scope.NEITHER,
        summary="An endpoint is new.",
        why="It has no callers yet.",
        fix="nothing to do",
        example=("no endpoint monthly_users", "name: monthly_users"),
    )
)


_LATER = "2026-12"
"""The ruleset that introduced the rules about deprecation."""

declare(
    Rule(
        code="A110",
        slug="sunset-passed-with-traffic",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="The sunset of an endpoint has passed, and it is still called.",
        why="Some callers have not moved: deactivating the endpoint breaks them.",
        fix="ask the owners of its callers to move, or choose a later sunset",
        example=("sunset: 2026-06-01, no calls since April", "it is June, and the last call was yesterday"),
        since=_LATER,
    )
)

declare(
    Rule(
        code="A111",
        slug="sunset-passed-idle",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="The sunset of an endpoint has passed, and nothing calls it.",
        why="It can be deactivated. It is a warning where the server was not asked whether it is called.",
        fix=Advice(Command("retire", "NAME")),
        example=("it is May, and the sunset is in June", "it is June, and the last call was in April"),
        since=_LATER,
    )
)

declare(
    Rule(
        code="A114",
        slug="sunset-near",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The sunset of an endpoint is near.",
        why="Its callers have only these days left to move.",
        fix="remind the owners of its callers, or choose a later sunset",
        example=("the sunset is in three months", "the sunset is in three days"),
        since=_LATER,
    )
)

declare(
    Rule(
        code="A115",
        slug="replacement-unknown",
        severity=Severity.WARN,
        scope=Scope.NEITHER,
        summary="`replaced_by` names no other endpoint that is defined here.",
        why="Callers are sent to an endpoint that does not exist.",
        fix="correct `replaced_by`, or describe the replacement in `reason`",
        example=("replaced_by: active_users, which a file here defines", "replaced_by: activ_users"),
        since=_LATER,
    )
)


@rule_check(
    Rule(
        code="A103",
        slug="endpoint-deactivated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="An endpoint is deactivated.",
        why="Every run returns 404, whichever version it names, and the tables are deleted.",
        fix="deactivate the endpoint only after its sunset, when it has no more calls",
        example=("active: true", "active: false"),
    )
)
def endpoint_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if is_deactivated(pair) and not is_too_early(pair.notice, pair.context):
        message = f"{pair.after.name} is deactivated: every call of it returns 404, pinned or not"
        severity = severity_of_removal(pair.notice, pair.context)
        yield Hit(locus="active", message=message, before=True, after=False, key="active", severity=severity)


def is_deactivated(pair: ContractPair) -> bool:
    """Whether the change switches the whole endpoint off."""
    return bool(pair.before.serving.endpoint_active) and not pair.after.serving.endpoint_active


def is_too_early(notice: SunsetNotice | None, context: RuleContext) -> bool:
    """Whether a removal now breaks the announcement. Without a clock nothing is too early, so A101 or A103 remains."""
    return notice is not None and context.today is not None and not notice.is_over(context.today)


def severity_of_removal(notice: SunsetNotice | None, context: RuleContext) -> Severity | None:
    """A warning for a removal after its sunset that affects no known caller; None for the severity of the rule."""
    is_announced = notice is not None and context.today is not None and notice.is_over(context.today)
    return Severity.WARN if is_announced and not context.callers else None


@rule_check(
    Rule(
        code="A106",
        slug="removed-before-sunset",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="An endpoint is removed or deactivated before the sunset that was announced.",
        why="Callers plan with the announced date. It takes the place of A101 or A103.",
        fix="restore the endpoint, and remove it on the day of its sunset or later",
        example=("deprecation: {since: 2026-01-01, sunset: 2026-06-01}", "the file is deleted in May"),
        since=_LATER,
    )
)
def deactivated_before_sunset(pair: ContractPair) -> Iterator[Hit]:
    """A106 for a deactivation; `contract.compare` applies it to removed files."""
    notice = pair.notice
    if notice is not None and is_deactivated(pair) and is_too_early(notice, pair.context):
        message = f"{pair.after.name} is deactivated before its announced sunset of {notice.sunset}"
        yield Hit(locus="active", message=message, before=notice.sunset.isoformat(), after=False, key="active")


@rule_check(
    Rule(
        code="A109",
        slug="removed-without-deprecation",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="An endpoint is removed or deactivated, and its definition never announced that.",
        why="Its callers had no time to move. A101 or A103 beside it is the error; this says what would avoid it.",
        fix="restore the endpoint, announce the removal with `deprecation: {since, sunset}`, and wait for the sunset",
        example=("no deprecation", "the file is deleted"),
        since=_LATER,
    )
)
def deactivated_without_notice(pair: ContractPair) -> Iterator[Hit]:
    """A109 for a deactivation by a definition."""
    if pair.notice is None and pair.after.knows_notice and is_deactivated(pair):
        message = f"{pair.after.name} is deactivated without a deprecation: its callers had no notice"
        yield Hit(locus="deprecation", message=message, key="active")


@rule_check(
    Rule(
        code="A107",
        slug="sunset-moved-earlier",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The sunset of an endpoint is earlier than announced before.",
        why="Callers plan with the date that was announced first.",
        fix="keep the date, or choose a later one",
        example=("sunset: 2026-12-31", "sunset: 2026-10-31"),
        since=_LATER,
    )
)
def sunset_moved_earlier(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.deprecation, pair.after.deprecation
    if before is not None and after is not None and after.sunset < before.sunset:
        old, new = before.sunset.isoformat(), after.sunset.isoformat()
        message = f"the sunset of {pair.after.name} is now {new}; it was announced as {old}"
        yield Hit(locus="deprecation.sunset", message=message, before=old, after=new, key="deprecation.sunset")


@rule_check(
    Rule(
        code="A108",
        slug="sunset-too-short",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The time from the announcement to the sunset is shorter than the policy's `minimum_days`.",
        why="Callers do not have enough time to move. An announcement that is new counts from today, whatever `since` "
        "says.",
        fix="choose a later sunset",
        example=("sunset 90 days after since", "sunset 7 days after since"),
        since=_LATER,
    )
)
def sunset_too_short(pair: ContractPair) -> Iterator[Hit]:
    """An announcement that the other side does not have. The server knows none, so there `since` counts."""
    notice = pair.after.deprecation
    if notice is None or pair.before.deprecation is not None:
        return
    is_new = pair.before.knows_notice and pair.context.today is not None
    start = max(notice.since, pair.context.today) if is_new and pair.context.today else notice.since
    if (hit := short_window(pair.after.name, notice, start, pair.context.policy)) is not None:
        yield hit


def short_window(name: str, notice: SunsetNotice, start: date, policy: DeprecationPolicy) -> Hit | None:
    """The hit of A108 for an announcement that counts from `start`; None if the time is long enough."""
    days = (notice.sunset - start).days
    if max(days, 0) >= policy.minimum_days:
        return None
    count = f"{abs(days):,} day{'' if abs(days) == 1 else 's'} {'before' if days < 0 else 'after'}"
    message = f"the sunset of {name} on {notice.sunset} is {count} {start}; the policy requires {policy.minimum_days}"
    return Hit(
        locus="deprecation.sunset",
        message=message,
        before=policy.minimum_days,
        after=notice.sunset.isoformat(),
        key="deprecation.sunset",
    )


@rule_check(
    Rule(
        code="A104",
        slug="version-deactivated",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="One version is deactivated.",
        why="Callers of that version get a 400. It is an error if a caller pins the version or gets it without a pin.",
        fix="move the pins first",
        example=("version 3 is active", "version 3 is inactive, and an app pins it"),
    )
)
def version_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if pair.cuts_version or not pair.before.serving.version_active or pair.after.serving.version_active:
        return
    pins = [caller.version for caller in pair.context.effective_callers]
    is_used = pair.version in pins or (None in pins and pair.is_current)
    yield Hit(
        locus="version.active",
        message=f"version {pair.version} of {pair.after.name} is deactivated: the server refuses its calls (400)",
        before=True,
        after=False,
        severity=Severity.ERROR if is_used else None,
    )


@rule_check(
    Rule(
        code="A105",
        slug="endpoint-recreated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The endpoint was deleted and recreated under the same name.",
        why="Its versions start at 1 again, so a pinned version number now refers to a different query.",
        fix=Advice(
            "use a new name, or move every lock to the new endpoint deliberately (`", Command("upgrade", "NAME"), "`)"
        ),
        example=("orders is endpoint 0199-a", "orders is endpoint 019a-b, and its versions start at 1 again"),
    )
)
def endpoint_recreated(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.identity, pair.after.identity
    if before is not None and after is not None and before.endpoint_id != after.endpoint_id:
        message = f"{pair.after.name} was deleted and recreated: its version numbers refer to different queries now"
        yield Hit(locus="endpoint", message=message, before=before.endpoint_id, after=after.endpoint_id, key="name")


@rule_check(
    Rule(
        code="A113",
        slug="tags-changed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The tags of an endpoint changed.",
        why="Selectors, `manage` and `protect` select by tag: the endpoint can become managed or unmanaged.",
        fix="check the tags that `manage` and `protect` in the configuration name",
        example=("tags: [billing]", "tags: [finance]"),
        call=Severity.INFO,
    )
)
def tags_changed(pair: ContractPair) -> Iterator[Hit]:
    before, after = sorted(pair.before.tags or ()), sorted(pair.after.tags or ())
    if before != after and pair.after.tags is not None and pair.before.tags is not None:
        tags = ", ".join(after) or "none"
        message = f"the tags of {pair.after.name} are now {tags}; they were {', '.join(before) or 'none'}"
        yield Hit(locus="tags", message=message, before=[*before], after=[*after], key="tags")
