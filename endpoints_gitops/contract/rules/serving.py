"""How answers are made: tables, freshness, breakdowns. Mostly in place, so that pins do not help."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.contract.contract import DATES, HOGQL
from endpoints_gitops.contract.pair import Pair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by
from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.model.finding import Scope, Severity


@judged_by(
    Rule(
        code="S101",
        slug="materialisation-makes-required",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="Materialisation is turned on, and variables that could be left out must be sent.",
        why="Callers that leave one out get a 400, those pinned to this version too.",
        fix="publish it as a new endpoint, mark breakdowns optional, or prove that all callers send them",
        example=("materialization: {enabled: false}, default: 30", "materialization: {enabled: true}"),
    )
)
def makes_required(pair: Pair) -> Iterator[Hit]:
    if pair.turned_on:
        for old, new in pair.variables:
            if new.required and not old.required:
                message = f"variable {new.name!r} must be sent once this is materialised"
                yield _setting(f"variables.{new.name}", message, False, True, "materialization.enabled", pair)


@judged_by(
    Rule(
        code="S102",
        slug="materialisation-drops-date-overrides",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An insight is materialised, and no longer takes `date_from` and `date_to`.",
        why="Callers that send one of them get a 400: unknown variable.",
        fix="move the range into the query and tell the callers, or do not materialise",
        example=("materialization: {enabled: false}", "materialization: {enabled: true}, with a TrendsQuery"),
    )
)
def drops_dates(pair: Pair) -> Iterator[Hit]:
    if pair.turned_on and pair.before.kind != HOGQL and pair.after.kind != HOGQL:
        message = f"{' and '.join(DATES)} are no longer accepted once this is materialised"
        yield _setting("variables.dates", message, [*DATES], [], "materialization.enabled", pair)


@judged_by(
    Rule(
        code="S103",
        slug="materialisation-removed",
        severity=Severity.WARN,
        direct=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="Materialisation is turned off.",
        why="Answers are computed: slower, and with lower limits of calls; `refresh: direct` gets a 400.",
        fix="lower the traffic first, or keep it",
        example=("materialization: {enabled: true}", "materialization: {enabled: false}"),
    )
)
def materialisation_removed(pair: Pair) -> Iterator[Hit]:
    if pair.turned_off:
        message = "answers are no longer kept as a table: slower, and with lower limits of calls"
        yield _setting("serving.materialized", message, True, False, "materialization.enabled", pair)


@judged_by(
    Rule(
        code="S104",
        slug="optional-breakdown-revoked",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A breakdown of a materialised insight can no longer be left out.",
        why="Callers that leave it out get a 400.",
        fix="restore it under `optional_breakdown_properties`",
        example=("optional_breakdown_properties: [$browser]", "optional_breakdown_properties: []"),
    )
)
def breakdown_revoked(pair: Pair) -> Iterator[Hit]:
    before, after = _optional(pair)
    for name in sorted(before - after):
        yield _setting(
            f"variables.{name}", f"{name!r} must be sent again", True, False, "optional_breakdown_properties", pair
        )


@judged_by(
    Rule(
        code="S105",
        slug="optional-breakdown-granted",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="A breakdown of a materialised insight can be left out.",
        why="Whoever leaves it out gets the data of all its values, perhaps more than it should see.",
        fix="confirm that no caller must be kept to one value",
        example=("optional_breakdown_properties: []", "optional_breakdown_properties: [$browser]"),
        is_exposure=True,
    )
)
def breakdown_granted(pair: Pair) -> Iterator[Hit]:
    before, after = _optional(pair)
    for name in sorted(after - before):
        message = f"{name!r} can be left out now, and then all its values are answered"
        yield _setting(f"variables.{name}", message, False, True, "optional_breakdown_properties", pair)


@judged_by(
    Rule(
        code="S106",
        slug="freshness-relaxed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="Answers may be older.",
        why="Readers may count on how fresh they are.",
        fix="agree on it with the consumers",
        example=("data_freshness: 1hour", "data_freshness: 24hour"),
        call=Severity.INFO,
    )
)
def freshness_relaxed(pair: Pair) -> Iterator[Hit]:
    before, after = pair.before.serving.freshness_seconds, pair.after.serving.freshness_seconds
    if before is not None and after is not None and after > before:
        message = f"answers may be {_age(after)} old; it was {_age(before)}"
        yield _setting("serving.freshness", message, before, after, "data_freshness", pair)


@judged_by(
    Rule(
        code="S107",
        slug="freshness-tightened",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="Answers are fresher.",
        why="It only costs more.",
        fix="nothing to do",
        example=("data_freshness: 24hour", "data_freshness: 1hour"),
    )
)
def freshness_tightened(pair: Pair) -> Iterator[Hit]:
    before, after = pair.before.serving.freshness_seconds, pair.after.serving.freshness_seconds
    if before is not None and after is not None and after < before:
        message = f"answers are at most {_age(after)} old; it was {_age(before)}"
        yield _setting("serving.freshness", message, before, after, "data_freshness", pair)


@judged_by(
    Rule(
        code="S108",
        slug="bucket-override-changed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The steps in which a range can be asked for are others.",
        why="The edges of ranges move, and totals with them.",
        fix="publish a new endpoint",
        example=("bucket_overrides: {timestamp: day}", "bucket_overrides: {timestamp: hour}"),
        call=Severity.INFO,
    )
)
def buckets_changed(pair: Pair) -> Iterator[Hit]:
    if not (pair.before.is_from_table and pair.after.is_from_table):
        return
    before, after = (dict(side.serving.bucket_overrides or {}) for side in (pair.before, pair.after))
    for column in sorted(before.keys() | after.keys()):
        was, now = before.get(column), after.get(column)
        if was != now:
            message = f"ranges of {column!r} go by {now or 'the default step'} now; it was {was or 'the default step'}"
            yield _setting(f"serving.buckets.{column}", message, was, now, "bucket_overrides", pair)


@judged_by(
    Rule(
        code="S109",
        slug="not-materialisable",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The query cannot be materialised, though it is asked for.",
        why="The server takes the query, answers with materialization_error, and computes every answer.",
        fix="rewrite the query, or do not materialise it",
        example=("WHERE plan = {variables.plan}", "WHERE plan IN {variables.plan}"),
    )
)
def not_materialisable(pair: Pair) -> Iterator[Hit]:
    if not (pair.after.serving.materialized and pair.after.serving.endpoint_active):
        return
    refusal = pair.after.refusal
    is_old = pair.before.serving.materialized and pair.before.refusal == refusal
    if refusal is not None and not is_old:
        yield Hit(locus="serving.materialized", message=refused(refusal), after=refusal)


@judged_by(
    Rule(
        code="S110",
        slug="materialisation-pending",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A new version is live before its table exists.",
        why="Until then its answers are computed: slower, and with lower limits of calls.",
        fix="push, wait until it is ready (`push --wait`), then move the pins",
        example=("version 3 has its table", "version 4 is materialised as well, and not yet built"),
    )
)
def materialisation_pending(pair: Pair) -> Iterator[Hit]:
    after = pair.after
    is_built = after.serving.ready if after.identity is not None else False
    if pair.cuts_version and after.is_from_table and pair.before.is_from_table and is_built is False:
        message = "the new version is live before its table is built; answers are computed until then"
        yield Hit(locus="serving.ready", message=message, before=True, after=False)


declare(
    Rule(
        code="S111",
        slug="pinned-version-loses-table",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="An older version that is pinned has no table any more, while the current one has.",
        why="Each version keeps its own table today; older servers drop it. Answers are slower, with lower limits.",
        fix="keep that version materialised until the pins have moved",
        example=("version 2 is read from its table", "version 3 took the table over"),
    )
)


def refused(refusal: str) -> str:
    return f"the query cannot be materialised: {refusal}"


def _setting(locus: str, message: str, before: object, after: object, key: str, pair: Pair) -> Hit:
    return Hit(
        locus=locus,
        message=message,
        before=before,  # type: ignore[arg-type]  # flags, numbers, texts and lists of texts
        after=after,  # type: ignore[arg-type]  # likewise
        key=key,
        scope=pair.setting_scope,
    )


def _optional(pair: Pair) -> tuple[set[str], set[str]]:
    """The breakdowns that may be left out, of those that both sides have; only a table ever asks for them."""
    if not (pair.before.is_from_table and pair.after.is_from_table and pair.is_insight):
        return set(), set()
    both = set(breakdown_properties(pair.before.query)) & set(breakdown_properties(pair.after.query))
    return (
        both & set(pair.before.serving.optional_breakdowns or ()),
        both & set(pair.after.serving.optional_breakdowns or ()),
    )


def _age(seconds: int) -> str:
    if seconds % 3600:
        return f"{seconds // 60} minutes"
    hours = seconds // 3600
    return "1 hour" if hours == 1 else f"{hours} hours"
