"""Changes that keep the shape of an answer but change its values, clause by clause. Every difference has a finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.contract.pair import ContractPair, operators_of
from endpoints_gitops.contract.rules.column_types import comparable_columns
from endpoints_gitops.contract.rules.rule import Hit, Rule, rule_check, subject
from endpoints_gitops.hogql.insight_changes import NodeChange, insight_changes, insight_shape
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind, QueryChange
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json, canonical

_IN_SHAPE: Final = (ChangeKind.COLUMNS, ChangeKind.BUCKET, ChangeKind.LIMIT)
_EMPTY: Final[tuple[Json, ...]] = (None, "", [], {})
_LONGEST: Final = 240
_INSIGHT_FIX: Final = "announce the change in the changelog, or publish a new endpoint"
_LABELS: Final = ("name", "tags")  # keys of the node that no answer shows
_ROW_ORDER: Final = ("offset", "limit by", "with ties")


@rule_check(
    Rule(
        code="M101",
        slug="aggregation-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The aggregation of a column changed.",
        why="The numbers change, and nothing else in the answer shows it.",
        fix="give the column a new name",
        example=("SELECT count() AS users", "SELECT uniq(person_id) AS users"),
        call=Severity.INFO,
    )
)
def aggregation_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.AGGREGATION, ChangeKind.WINDOW):
        yield _hit(change, "the aggregation of {subject} changed")
    for node in _insight(pair, ChangeKind.AGGREGATION):
        if "formula" not in node.path:
            yield _insight_hit(node)


@rule_check(
    Rule(
        code="M102",
        slug="filter-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="WHERE or HAVING changed, beyond its variables.",
        why="The numbers describe a different set of rows.",
        fix="announce the change in the changelog",
        example=("WHERE event = '$pageview'", "WHERE event IN ('$pageview', '$screen')"),
        call=Severity.INFO,
    )
)
def filter_changed(pair: ContractPair) -> Iterator[Hit]:
    reported: set[str] = set()
    for change in sorted(pair.changed(ChangeKind.FILTER), key=lambda change: change.is_variable):
        if not change.is_variable or not (change.locus in reported or _is_reported_by_variables(pair)):
            yield _hit(change, "{subject} changed")
        reported.add(change.locus)
    for change in pair.changed(ChangeKind.LIMIT):
        if change.locus.path:
            yield _hit(change, "{subject} changed")
    yield from map(_insight_hit, _insight(pair, ChangeKind.FILTER))
    yield from (_node_hit(pair, key) for key in _other_keys(pair) if key == "filters")


@rule_check(
    Rule(
        code="M103",
        slug="grouping-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="GROUP BY or DISTINCT changed.",
        why="What one row represents is part of the contract. A removed key is an error.",
        fix="publish a new endpoint",
        example=("GROUP BY day, country", "GROUP BY day"),
        call=Severity.INFO,
    )
)
def grouping_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.GROUPING, ChangeKind.DISTINCT):
        severity = Severity.ERROR if change.kind is ChangeKind.GROUPING and _loses_key(change, pair) else None
        yield _hit(change, "{subject} changed", severity)
    for node in _insight(pair, ChangeKind.GROUPING):
        if not _is_reported_by_shape(node, pair):
            yield _insight_hit(node)


@rule_check(
    Rule(
        code="M104",
        slug="ordering-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="ORDER BY changed.",
        why="Pages hold different rows. With a LIMIT, the answer as a whole holds different rows, which is an error.",
        fix="restore the order",
        example=("ORDER BY users DESC LIMIT 10", "ORDER BY day LIMIT 10"),
        call=Severity.INFO,
    )
)
def ordering_changed(pair: ContractPair) -> Iterator[Hit]:
    severity = Severity.ERROR if _is_limited(pair.before) or _is_limited(pair.after) else None
    for change in pair.changed(ChangeKind.ORDERING):
        yield _hit(change, "{subject} changed", None if change.locus.path else severity)
    for change in pair.changed(ChangeKind.LIMIT):
        if not change.locus.path and change.locus.clause in _ROW_ORDER:
            yield _hit(change, "{subject} changed", severity)


@rule_check(
    Rule(
        code="M105",
        slug="source-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The query reads a different table, view, subquery or event.",
        why="The numbers come from a different source.",
        fix="announce the change in the changelog",
        example=("FROM events", "FROM clean_events"),
        call=Severity.INFO,
    )
)
def source_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.SOURCE, ChangeKind.COLUMNS):
        if change.kind is ChangeKind.SOURCE or change.locus.path:
            yield _hit(change, "{subject} changed")
    yield from map(_insight_hit, _insight(pair, ChangeKind.SOURCE))


@rule_check(
    Rule(
        code="M106",
        slug="join-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A join changed.",
        why="Rows can be duplicated or lost.",
        fix="compare some answers of both versions, and announce the change in the changelog",
        example=("LEFT JOIN persons ON …", "INNER JOIN persons ON …"),
        call=Severity.INFO,
    )
)
def join_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.JOIN):
        yield _hit(change, "{subject} changed")


@rule_check(
    Rule(
        code="M107",
        slug="query-changed-opaque",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The query changed, and the change cannot be analyzed.",
        why="A change that cannot be analyzed can break callers.",
        fix="compare some answers of both versions, then run again with --allow-unknown",
        example=("SELECT count() FROM events", "a query that cannot be parsed"),
        call=Severity.INFO,
        is_undecidable=True,
    )
)
def query_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.OPAQUE):
        why = f": {change.why}" if change.why else ""
        message = f"the query changed, and the change cannot be analyzed{why}"
        yield Hit(locus=change.locus, message=message, before=change.before, after=change.after)


@rule_check(
    Rule(
        code="M108",
        slug="cosmetic-only",
        severity=Severity.INFO,
        scope=Scope.NEITHER,
        summary="Only the formatting of the query changed: layout, comments, case of keywords, parentheses.",
        why="The query asks for the same. The server would still create a version, so `push` does not send it.",
        fix="nothing to do",
        example=("select count() from events", "SELECT count() FROM events -- all of them"),
    )
)
def cosmetic_only(pair: ContractPair) -> Iterator[Hit]:
    if pair.before.kind != pair.after.kind or pair.before.query == pair.after.query or pair.defaults_differ:
        return
    if pair.is_rows:
        if pair.before.sql != pair.after.sql and not pair.changes and not _other_keys(pair):
            reworded = "the query is reworded but equivalent; a push sends it, which creates a version"
            message = "only the formatting of the query changed" if pair.is_same_text else reworded
            yield Hit(locus="query", message=message)
        return
    changes = insight_changes(pair.before.query, pair.after.query)
    if all(change.kind is None for change in changes):
        what = "how PostHog displays the query" if changes else "the formatting of the query"
        yield Hit(locus="query", message=f"only {what} changed")


@rule_check(
    Rule(
        code="M109",
        slug="expression-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The expression of a column changed, and its type did not.",
        why="The values change.",
        fix="give the column a new name, or announce the change in the changelog",
        example=("SELECT sum(amount) / 100 AS total", "SELECT sum(amount) / 1000 AS total"),
        call=Severity.INFO,
    )
)
def expression_changed(pair: ContractPair) -> Iterator[Hit]:
    retyped = {f"columns.{new.name}" for old, new in comparable_columns(pair) if _differ(old, new)}
    for change in pair.changed(ChangeKind.EXPRESSION):
        if change.locus not in retyped and not (change.is_variable and _is_reported_by_variables(pair)):
            yield _hit(change, "the expression of {subject} changed")
    for node in _insight(pair, ChangeKind.EXPRESSION, *_IN_SHAPE):
        if not _is_reported_by_shape(node, pair):
            yield _insight_hit(node)
    yield from (_node_hit(pair, key) for key in _other_keys(pair) if key != "filters")


def _differ(old: ContractColumn, new: ContractColumn) -> bool:
    """Whether a rule on column types reports it: type or nullability are known on both sides, and differ."""
    types, nullables = {old.type, new.type}, {old.nullable, new.nullable}
    is_nested = old.full is not None and new.full is not None and old.full != new.full
    return (len(types) == 2 and UNKNOWN not in types) or nullables == {True, False} or is_nested


def _hit(change: QueryChange, text: str, severity: Severity | None = None) -> Hit:
    text = text.format(subject=subject(change.locus))
    return Hit(
        locus=change.locus.in_findings(),
        message=f"{text}: {_change(change.before, change.after)}",
        before=change.before,
        after=change.after,
        severity=severity,
        column=change.locus.column,
    )


def _loses_key(change: QueryChange, pair: ContractPair) -> bool:
    """Whether a removed key is not replaced by a new expression of the column that it was."""
    replaced = {other.before for other in pair.changes if other.locus.column and other.after in change.added}
    return not replaced.issuperset(change.removed)


def _insight(pair: ContractPair, *kinds: ChangeKind) -> Iterator[NodeChange]:
    if pair.is_insight and pair.before.query != pair.after.query:
        changes = insight_changes(pair.before.query, pair.after.query)
        yield from (change for change in changes if change.kind in kinds)


def _insight_hit(node: NodeChange) -> Hit:
    before, after = ("the default" if value is None else value for value in (node.before, node.after))
    message = f"{node.what} changed: {_change(before, after)}"
    return Hit(
        locus=Locus(node.path).in_findings(), message=message, before=node.before, after=node.after, fix=_INSIGHT_FIX
    )


def _change(before: Json, after: Json) -> str:
    """Both values in words; an empty one is none."""
    if before in _EMPTY:
        return f"added {_shown(after)}"
    if after in _EMPTY:
        return f"removed {_shown(before)}"
    return f"{_shown(after)}; it was {_shown(before)}"


def _shown(value: Json) -> str:
    """A short value as it is, a long one truncated: the finding itself holds the whole value."""
    shown = value if isinstance(value, str) else canonical(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _is_reported_by_shape(node: NodeChange, pair: ContractPair) -> bool:
    """Whether rule C115 reports it."""
    if insight_shape(pair.before.query) == insight_shape(pair.after.query):
        return False
    return node.kind in _IN_SHAPE or node.path.startswith("breakdownFilter")


def _is_reported_by_variables(pair: ContractPair) -> bool:
    """Whether the rules on variables report how their use changed."""
    if pair.removed_variables or pair.added_variables:
        return True
    return any(operators_of(pair.before, old.name) != operators_of(pair.after, old.name) for old, _ in pair.variables)


def _is_limited(side: Contract) -> bool:
    return side.paging is not None and side.paging.has_limit


def _other_keys(pair: ContractPair) -> list[str]:
    """The keys of a HogQL node that differ, except its text and variables."""
    if not pair.is_rows:
        return []
    before, after = pair.before.query, pair.after.query
    keys = {key for key in (*before, *after) if _without_false(before.get(key)) != _without_false(after.get(key))}
    return sorted(keys - {"query", "variables", "version"})


def _without_false(value: Json) -> Json:
    """A flag that is false equals a missing one."""
    return None if value is False else value


def _node_hit(pair: ContractPair, key: str) -> Hit:
    before, after = pair.before.query.get(key), pair.after.query.get(key)
    severity = Severity.INFO if key in _LABELS else None
    message = f"{key} of the query changed: {_change(before, after)}"
    return Hit(locus=Locus(key).in_findings(), message=message, before=before, after=after, severity=severity)
