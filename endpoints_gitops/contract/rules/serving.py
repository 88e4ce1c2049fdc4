"""How answers are made: tables, freshness, breakdowns. Mostly in place, so that pins do not help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import DATES, HOGQL, Contract
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by
from endpoints_gitops.hogql.eligibility import limits_before_variables, lost_wrappers, open_edges
from endpoints_gitops.hogql.insight_changes import insight_shape
from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.parser import ParseFailure
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
def makes_required(pair: ContractPair) -> Iterator[Hit]:
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
def drops_dates(pair: ContractPair) -> Iterator[Hit]:
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
def materialisation_removed(pair: ContractPair) -> Iterator[Hit]:
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
def breakdown_revoked(pair: ContractPair) -> Iterator[Hit]:
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
def breakdown_granted(pair: ContractPair) -> Iterator[Hit]:
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
def freshness_relaxed(pair: ContractPair) -> Iterator[Hit]:
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
def freshness_tightened(pair: ContractPair) -> Iterator[Hit]:
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
def buckets_changed(pair: ContractPair) -> Iterator[Hit]:
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
def not_materialisable(pair: ContractPair) -> Iterator[Hit]:
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
def materialisation_pending(pair: ContractPair) -> Iterator[Hit]:
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


@judged_by(
    Rule(
        code="S112",
        slug="table-order-lost",
        severity=Severity.WARN,
        paging=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialised query has an ORDER BY; the server reads its table without one.",
        why="The order of the rows is chance, and with a LIMIT or pages so is which rows come back.",
        fix="sort and cut in the app, or do not materialise",
        example=("materialization: {enabled: false}, ORDER BY day", "materialization: {enabled: true}, ORDER BY day"),
        call=Severity.INFO,
    )
)
def table_order_lost(pair: ContractPair) -> Iterator[Hit]:
    yield from _new(_lost_order, pair)


@judged_by(
    Rule(
        code="S113",
        slug="table-limit-before-variables",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialised query has variables and a LIMIT.",
        why="The table keeps the first rows over all values, and the variables filter those: rows are missing.",
        fix="drop the LIMIT and have callers send `limit`, or do not materialise",
        example=("WHERE plan = {variables.plan}", "WHERE plan = {variables.plan} LIMIT 100"),
        call=Severity.INFO,
    )
)
def table_limit_before_variables(pair: ContractPair) -> Iterator[Hit]:
    yield from _new(_early_limits, pair)


@judged_by(
    Rule(
        code="S114",
        slug="table-wrapper-lost",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialised query has a variable inside an expression that is more than a call of one argument.",
        why="When the table is read, the server compares the bare value: rows are missing, or wrong.",
        fix="have callers send the whole value, or do not materialise",
        example=("WHERE url LIKE {variables.pattern}", "WHERE url LIKE concat({variables.prefix}, '%')"),
        call=Severity.INFO,
    )
)
def table_wrapper_lost(pair: ContractPair) -> Iterator[Hit]:
    yield from _new(_bare_values, pair)


declare(
    Rule(
        code="S115",
        slug="table-idles-out",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The server switches off the table of a version that no key has called for 30 days.",
        why="Without it, required variables become optional, `refresh: direct` gets a 400, and calls are slower.",
        fix="call NAME with a key, or switch materialisation off in the file",
        example=("the last call with a key was 10 days ago", "the last call with a key was 27 days ago"),
    )
)


@judged_by(
    Rule(
        code="S116",
        slug="range-bucket-edges",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="A materialised query compares a bucketed column with a range variable by `>` or `<`.",
        why="The value is cut to its bucket: the rows of the boundary's bucket are lost.",
        fix="use `>=` and `<=`, and have callers send the edges of buckets",
        example=("WHERE timestamp >= {variables.since}", "WHERE timestamp > {variables.since}"),
        call=Severity.INFO,
    )
)
def range_bucket_edges(pair: ContractPair) -> Iterator[Hit]:
    yield from _new(_lost_edges, pair)


@judged_by(
    Rule(
        code="S117",
        slug="breakdown-limit-without-effect",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="An insight of an endpoint says `breakdown_limit`.",
        why="Runs use 10,000, whatever it says; a change of it cuts a version for nothing, so `push` does not send it.",
        fix="remove it",
        example=("breakdownFilter: {breakdown: $os}", "breakdownFilter: {breakdown: $os, breakdown_limit: 10}"),
    )
)
def breakdown_limit_changed(pair: ContractPair) -> Iterator[Hit]:
    if pair.is_insight:
        before, after = breakdown_limit(pair.before), breakdown_limit(pair.after)
        if before != after:
            yield _without_effect(before, after)


def table_hits(side: Contract) -> Iterator[tuple[str, Hit]]:
    """What one query loses by its table (S112 to S114, S116), each with its rule; nothing where it has none."""
    for code, judge in _OF_A_TABLE.items():
        for hit in judge(side):
            yield code, hit


def breakdown_limit_hits(side: Contract) -> Iterator[Hit]:
    """That an insight says a `breakdown_limit` (S117)."""
    limit = breakdown_limit(side)
    if limit is not None:
        yield _without_effect(None, limit)


def breakdown_limit(side: Contract) -> int | None:
    return insight_shape(side.query).breakdown_limit if side.kind != HOGQL else None


def refused(refusal: str) -> str:
    return f"the query cannot be materialised: {refusal}"


def _new(judge: Callable[[Contract], Iterator[Hit]], pair: ContractPair) -> Iterator[Hit]:
    """What the table loses from now on and did not lose before."""
    known = {(hit.locus, hit.severity) for hit in judge(pair.before)}
    for hit in judge(pair.after):
        if (hit.locus, hit.severity) not in known:
            yield replace(hit, scope=pair.setting_scope, key="materialization.enabled" if pair.turned_on else "query")


def _lost_order(side: Contract) -> Iterator[Hit]:
    rows = side.shape if side.is_from_table else None
    if rows is None or not rows.order_by:
        return
    limit = f" and LIMIT {rows.paging.limit_text}" if rows.paging.limit_text else ""
    message = f"the table is read without ORDER BY {', '.join(rows.order_by)}: the order of rows{limit} is chance"
    severity = Severity.ERROR if rows.paging.limit_text else None
    yield Hit(locus=Locus("order").in_findings(), message=message, before=[*rows.order_by], severity=severity)


def _early_limits(side: Contract) -> Iterator[Hit]:
    try:
        limits = limits_before_variables(side.sql or "") if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    names = ", ".join(repr(one.name) for one in side.inputs)
    for limit in limits:
        message = f"the table keeps {limit} rows over all values of {names}: the rows behind them are never answered"
        yield Hit(locus=Locus("limit").in_findings(), message=message, after=limit)


def _bare_values(side: Contract) -> Iterator[Hit]:
    try:
        lost = lost_wrappers(side.sql) if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    for one in lost:
        message = f"the table is compared with the bare value of {one.variable!r}, not with {one.text}"
        yield Hit(locus=Locus("variables", one.variable), message=message, before=one.text)


def _lost_edges(side: Contract) -> Iterator[Hit]:
    overrides = side.serving.bucket_overrides or {}
    try:
        edges = open_edges(side.sql, overrides) if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    for edge in edges:
        message = (
            f"{edge.column} {edge.operator} {edge.variable!r} loses the whole {edge.bucket.replace('_', ' ')} "
            "of the boundary, because the table holds one row for each"
        )
        yield Hit(locus=Locus("variables", edge.variable), message=message, after=f"{edge.column} {edge.operator}")


def _without_effect(before: int | None, after: int | None) -> Hit:
    message = "breakdown_limit has no effect in an endpoint: every run uses 10,000"
    return Hit(locus="insight.breakdown_limit", message=message, before=before, after=after)


_OF_A_TABLE = {"S112": _lost_order, "S113": _early_limits, "S114": _bare_values, "S116": _lost_edges}


def _setting(locus: str, message: str, before: object, after: object, key: str, pair: ContractPair) -> Hit:
    return Hit(
        locus=locus,
        message=message,
        before=before,  # type: ignore[arg-type]  # flags, numbers, texts and lists of texts
        after=after,  # type: ignore[arg-type]  # likewise
        key=key,
        scope=pair.setting_scope,
    )


def _optional(pair: ContractPair) -> tuple[set[str], set[str]]:
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
