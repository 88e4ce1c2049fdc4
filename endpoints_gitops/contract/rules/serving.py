"""How the server answers: tables, freshness, breakdowns. Most of these settings change in place, so pins do not
help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import DATES, HOGQL, Contract
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check
from endpoints_gitops.hogql.eligibility import limits_before_variables, lost_wrappers, open_edges
from endpoints_gitops.hogql.insight_changes import insight_shape
from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.freshness import age


@rule_check(
    Rule(
        code="S101",
        slug="materialisation-makes-required",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="Materialization is turned on, which makes optional variables required.",
        why="Callers that omit one get a 400, even if they pin this version.",
        fix="publish a new endpoint, mark breakdowns optional, or make sure that all callers send the variables",
        example=("materialization: {enabled: false}, default: 30", "materialization: {enabled: true}"),
    )
)
def makes_required(pair: ContractPair) -> Iterator[Hit]:
    if pair.turned_on:
        for old, new in pair.variables:
            if new.required and not old.required:
                message = f"variable {new.name!r} becomes required, because the endpoint is materialized"
                yield _setting(f"variables.{new.name}", message, False, True, "materialization.enabled", pair)


@rule_check(
    Rule(
        code="S102",
        slug="materialisation-drops-date-overrides",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An insight is materialized and no longer accepts `date_from` and `date_to`.",
        why="Callers that send one of them get a 400: unknown variable.",
        fix="move the range into the query and inform the callers, or do not materialize",
        example=("materialization: {enabled: false}", "materialization: {enabled: true}, with a TrendsQuery"),
    )
)
def drops_dates(pair: ContractPair) -> Iterator[Hit]:
    if pair.turned_on and pair.before.kind != HOGQL and pair.after.kind != HOGQL:
        message = f"{' and '.join(DATES)} are no longer accepted, because the endpoint is materialized"
        yield _setting("variables.dates", message, [*DATES], [], "materialization.enabled", pair)


@rule_check(
    Rule(
        code="S103",
        slug="materialisation-removed",
        severity=Severity.WARN,
        direct=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="Materialization is turned off.",
        why="The server computes every answer: slower, with lower rate limits; `refresh: direct` gets a 400.",
        fix="reduce the traffic first, or keep the materialization",
        example=("materialization: {enabled: true}", "materialization: {enabled: false}"),
    )
)
def materialisation_removed(pair: ContractPair) -> Iterator[Hit]:
    if pair.turned_off:
        message = "answers no longer come from a table: slower, with lower rate limits"
        yield _setting("serving.materialized", message, True, False, "materialization.enabled", pair)


@rule_check(
    Rule(
        code="S104",
        slug="optional-breakdown-revoked",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An optional breakdown of a materialized insight became required.",
        why="Callers that omit it get a 400.",
        fix="restore the breakdown under `optional_breakdown_properties`",
        example=("optional_breakdown_properties: [$browser]", "optional_breakdown_properties: []"),
    )
)
def breakdown_revoked(pair: ContractPair) -> Iterator[Hit]:
    before, after = _optional(pair)
    for name in sorted(before - after):
        yield _setting(
            f"variables.{name}", f"{name!r} is required again", True, False, "optional_breakdown_properties", pair
        )


@rule_check(
    Rule(
        code="S105",
        slug="optional-breakdown-granted",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="A breakdown of a materialized insight became optional.",
        why="A caller that omits it gets the data of all its values, which can be more than it may see.",
        fix="confirm that every caller may see all values",
        example=("optional_breakdown_properties: []", "optional_breakdown_properties: [$browser]"),
        is_exposure=True,
    )
)
def breakdown_granted(pair: ContractPair) -> Iterator[Hit]:
    before, after = _optional(pair)
    for name in sorted(after - before):
        message = f"{name!r} became optional; a call without it returns the data of all its values"
        yield _setting(f"variables.{name}", message, False, True, "optional_breakdown_properties", pair)


@rule_check(
    Rule(
        code="S106",
        slug="freshness-relaxed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The data freshness was relaxed: answers can be older.",
        why="Callers can depend on the freshness.",
        fix="agree on the freshness with the callers",
        example=("data_freshness: 1hour", "data_freshness: 24hour"),
        call=Severity.INFO,
    )
)
def freshness_relaxed(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.serving.freshness_seconds, pair.after.serving.freshness_seconds
    if before is not None and after is not None and after > before:
        message = f"answers can be up to {age(after)} old; it was {age(before)}"
        yield _setting("serving.freshness", message, before, after, "data_freshness", pair)


@rule_check(
    Rule(
        code="S107",
        slug="freshness-tightened",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="The data freshness was tightened.",
        why="Callers keep working; the server computes more often, which costs more.",
        fix="nothing to do",
        example=("data_freshness: 24hour", "data_freshness: 1hour"),
    )
)
def freshness_tightened(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.serving.freshness_seconds, pair.after.serving.freshness_seconds
    if before is not None and after is not None and after < before:
        message = f"answers are at most {age(after)} old now; it was {age(before)}"
        yield _setting("serving.freshness", message, before, after, "data_freshness", pair)


@rule_check(
    Rule(
        code="S108",
        slug="bucket-override-changed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The bucket size of a range variable changed.",
        why="The boundaries of ranges move, and totals with them.",
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
            message = f"the bucket size of {column!r} changed: {now or 'the default'}; it was {was or 'the default'}"
            yield _setting(f"serving.buckets.{column}", message, was, now, "bucket_overrides", pair)


@rule_check(
    Rule(
        code="S109",
        slug="not-materialisable",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The definition asks for materialization, but the query cannot be materialized.",
        why="The server accepts the query with a materialization_error and computes every answer.",
        fix="rewrite the query, or do not materialize it",
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


@rule_check(
    Rule(
        code="S110",
        slug="materialisation-pending",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A new version is live before its table exists.",
        why="Until then the server computes its answers: slower, with lower rate limits.",
        fix="push, wait until the table is ready (`push --wait`), then move the pins",
        example=("version 3 has its table", "version 4 is materialized too, but its table is not built yet"),
    )
)
def materialisation_pending(pair: ContractPair) -> Iterator[Hit]:
    after = pair.after
    is_built = after.serving.ready if after.identity is not None else False
    if pair.cuts_version and after.is_from_table and pair.before.is_from_table and is_built is False:
        message = "the new version is live before its table is built; until then the server computes its answers"
        yield Hit(locus="serving.ready", message=message, before=True, after=False)


declare(
    Rule(
        code="S111",
        slug="pinned-version-loses-table",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="A pinned older version lost its table to the current version.",
        why="Older servers keep a table for the current version only. Answers are slower, with lower rate limits.",
        fix="keep the old version materialized until the pins have moved",
        example=("version 2 is read from its table", "version 3 took the table over"),
    )
)


@rule_check(
    Rule(
        code="S112",
        slug="table-order-lost",
        severity=Severity.WARN,
        paging=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialized query has an ORDER BY, which the server ignores when it reads the table.",
        why="The order of the rows is arbitrary; with a LIMIT or pages, so are the rows themselves.",
        fix="sort and limit in the app, or do not materialize",
        example=("materialization: {enabled: false}, ORDER BY day", "materialization: {enabled: true}, ORDER BY day"),
        call=Severity.INFO,
    )
)
def table_order_lost(pair: ContractPair) -> Iterator[Hit]:
    yield from _new_hits(_lost_order, pair)


@rule_check(
    Rule(
        code="S113",
        slug="table-limit-before-variables",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialized query has variables and a LIMIT.",
        why="The LIMIT applies to the table, before the variables filter it, so rows are missing.",
        fix="remove the LIMIT and have callers send `limit`, or do not materialize",
        example=("WHERE plan = {variables.plan}", "WHERE plan = {variables.plan} LIMIT 100"),
        call=Severity.INFO,
    )
)
def table_limit_before_variables(pair: ContractPair) -> Iterator[Hit]:
    yield from _new_hits(_early_limits, pair)


@rule_check(
    Rule(
        code="S114",
        slug="table-wrapper-lost",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A materialized query has a variable inside an expression that is not a call with one argument.",
        why="When it reads the table, the server compares with the bare value: rows are missing or wrong.",
        fix="have callers send the complete value, or do not materialize",
        example=("WHERE url LIKE {variables.pattern}", "WHERE url LIKE concat({variables.prefix}, '%')"),
        call=Severity.INFO,
    )
)
def table_wrapper_lost(pair: ContractPair) -> Iterator[Hit]:
    yield from _new_hits(_bare_values, pair)


declare(
    Rule(
        code="S115",
        slug="table-idles-out",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="The server turns off the table of a version after 30 days without a call by an API key.",
        why="Without a table, required variables become optional, `refresh: direct` gets a 400, and calls are slower.",
        fix="call NAME with an API key, or turn off materialization in the file",
        example=("the last call by a key was 10 days ago", "the last call by a key was 27 days ago"),
    )
)


@rule_check(
    Rule(
        code="S116",
        slug="range-bucket-edges",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        summary="A materialized query compares a bucketed column with a range variable by `>` or `<`.",
        why="The value is truncated to its bucket, so the rows of the boundary bucket are lost.",
        fix="use `>=` and `<=`, and have callers send bucket boundaries",
        example=("WHERE timestamp >= {variables.since}", "WHERE timestamp > {variables.since}"),
        call=Severity.INFO,
    )
)
def range_bucket_edges(pair: ContractPair) -> Iterator[Hit]:
    yield from _new_hits(_lost_edges, pair)


@rule_check(
    Rule(
        code="S117",
        slug="breakdown-limit-without-effect",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="The insight of an endpoint sets `breakdown_limit`.",
        why="Runs always use 10,000. A change of the key would create a useless version, so `push` does not send it.",
        fix="remove the key",
        example=("breakdownFilter: {breakdown: $os}", "breakdownFilter: {breakdown: $os, breakdown_limit: 10}"),
    )
)
def breakdown_limit_changed(pair: ContractPair) -> Iterator[Hit]:
    if pair.is_insight:
        before, after = breakdown_limit(pair.before), breakdown_limit(pair.after)
        if before != after:
            yield _without_effect(before, after)


def table_hits(side: Contract) -> Iterator[tuple[str, Hit]]:
    """The violations of the rules about tables (S112 to S114, S116), each with its code; none for a query without a
    table."""
    for code, check in _TABLE_CHECKS.items():
        for hit in check(side):
            yield code, hit


def breakdown_limit_hits(side: Contract) -> Iterator[Hit]:
    """The violation of S117, if an insight sets `breakdown_limit`."""
    limit = breakdown_limit(side)
    if limit is not None:
        yield _without_effect(None, limit)


def breakdown_limit(side: Contract) -> int | None:
    return insight_shape(side.query).breakdown_limit if side.kind != HOGQL else None


def refused(refusal: str) -> str:
    return f"the query cannot be materialized: {refusal}"


def _new_hits(check: Callable[[Contract], Iterator[Hit]], pair: ContractPair) -> Iterator[Hit]:
    """The violations of `after` that `before` does not have."""
    known = {(hit.locus, hit.severity) for hit in check(pair.before)}
    for hit in check(pair.after):
        if (hit.locus, hit.severity) not in known:
            yield replace(hit, scope=pair.setting_scope, key="materialization.enabled" if pair.turned_on else "query")


def _lost_order(side: Contract) -> Iterator[Hit]:
    rows = side.shape if side.is_from_table else None
    if rows is None or not rows.order_by:
        return
    limit = f" and LIMIT {rows.paging.limit_text}" if rows.paging.limit_text else ""
    message = (
        f"the server reads the table without ORDER BY {', '.join(rows.order_by)}: the order of rows{limit} is arbitrary"
    )
    severity = Severity.ERROR if rows.paging.limit_text else None
    yield Hit(locus=Locus("order").in_findings(), message=message, before=[*rows.order_by], severity=severity)


def _early_limits(side: Contract) -> Iterator[Hit]:
    try:
        limits = limits_before_variables(side.sql or "") if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    names = ", ".join(repr(variable.name) for variable in side.inputs)
    for limit in limits:
        message = f"the table keeps {limit} rows for all values of {names} together: calls never return further rows"
        yield Hit(locus=Locus("limit").in_findings(), message=message, after=limit)


def _bare_values(side: Contract) -> Iterator[Hit]:
    try:
        lost = lost_wrappers(side.sql) if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    for wrapper in lost:
        message = f"the server compares the table with the bare value of {wrapper.variable!r}, not with {wrapper.text}"
        yield Hit(locus=Locus("variables", wrapper.variable), message=message, before=wrapper.text)


def _lost_edges(side: Contract) -> Iterator[Hit]:
    overrides = side.serving.bucket_overrides or {}
    try:
        edges = open_edges(side.sql, overrides) if side.is_from_table and side.inputs and side.sql else ()
    except ParseFailure:
        return
    for edge in edges:
        message = (
            f"{edge.column} {edge.operator} {edge.variable!r} loses the whole {edge.bucket.replace('_', ' ')} "
            "of the boundary, because the table has one row per bucket"
        )
        yield Hit(locus=Locus("variables", edge.variable), message=message, after=f"{edge.column} {edge.operator}")


def _without_effect(before: int | None, after: int | None) -> Hit:
    message = "breakdown_limit has no effect in an endpoint: every run uses 10,000"
    return Hit(locus="insight.breakdown_limit", message=message, before=before, after=after)


_TABLE_CHECKS = {"S112": _lost_order, "S113": _early_limits, "S114": _bare_values, "S116": _lost_edges}


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
    """The optional breakdowns before and after, of those that both sides have; empty unless both read a table."""
    if not (pair.before.is_from_table and pair.after.is_from_table and pair.is_insight):
        return set(), set()
    both = set(breakdown_properties(pair.before.query)) & set(breakdown_properties(pair.after.query))
    return (
        both & set(pair.before.serving.optional_breakdowns or ()),
        both & set(pair.after.serving.optional_breakdowns or ()),
    )
