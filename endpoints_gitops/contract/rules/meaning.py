"""The same shape and other numbers: what a query means, clause by clause. No difference goes without a finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.contract.pair import ContractPair, operators_of
from endpoints_gitops.contract.rules.column_types import compared
from endpoints_gitops.contract.rules.rule import Hit, Rule, judged_by, subject
from endpoints_gitops.hogql.insight_changes import NodeChange, insight_changes, insight_shape
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind, QueryChange
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json, canonical

_IN_SHAPE: Final = (ChangeKind.COLUMNS, ChangeKind.BUCKET, ChangeKind.LIMIT)
_LONGEST: Final = 240
_OF_INSIGHTS: Final = "say so in the changelog, or publish a new endpoint"
_LABELS: Final = ("name", "tags")  # of the node; no answer shows them
_ORDER_OF_ROWS: Final = ("offset", "limit by", "with ties")


@judged_by(
    Rule(
        code="M101",
        slug="aggregation-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A number is aggregated in another way.",
        why="The numbers are others, and nothing else shows it.",
        fix="give the column a new name",
        example=("SELECT count() AS users", "SELECT uniq(person_id) AS users"),
        call=Severity.INFO,
    )
)
def aggregation_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.AGGREGATION, ChangeKind.WINDOW):
        yield _hit(change, "is aggregated in another way")
    for node in _insight(pair, ChangeKind.AGGREGATION):
        if "formula" not in node.path:
            yield _insight_hit(node)


@judged_by(
    Rule(
        code="M102",
        slug="filter-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="WHERE or HAVING changed, in something that is no variable.",
        why="The numbers are of another population.",
        fix="say so in the changelog",
        example=("WHERE event = '$pageview'", "WHERE event IN ('$pageview', '$screen')"),
        call=Severity.INFO,
    )
)
def filter_changed(pair: ContractPair) -> Iterator[Hit]:
    told: set[str] = set()
    for change in sorted(pair.changed(ChangeKind.FILTER), key=lambda one: one.is_variable):
        if not change.is_variable or not (change.locus in told or _is_told_of_variables(pair)):
            yield _hit(change, "selects other rows")
        told.add(change.locus)
    for change in pair.changed(ChangeKind.LIMIT):
        if change.locus.path:
            yield _hit(change, "selects other rows")
    yield from map(_insight_hit, _insight(pair, ChangeKind.FILTER))
    yield from (_node_hit(pair, key) for key in _other_keys(pair) if key == "filters")


@judged_by(
    Rule(
        code="M103",
        slug="grouping-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Rows are grouped by other keys.",
        why="What one row stands for is part of the contract. It is an error where a key is gone.",
        fix="publish a new endpoint",
        example=("GROUP BY day, country", "GROUP BY day"),
        call=Severity.INFO,
    )
)
def grouping_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.GROUPING, ChangeKind.DISTINCT):
        severity = Severity.ERROR if change.kind is ChangeKind.GROUPING and _loses_key(change, pair) else None
        yield _hit(change, "groups rows in another way", severity)
    for node in _insight(pair, ChangeKind.GROUPING):
        if not _is_told_by_shape(node, pair):
            yield _insight_hit(node)


@judged_by(
    Rule(
        code="M104",
        slug="ordering-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Rows come in another order.",
        why="Pages hold other rows; with a LIMIT, which rows there are at all changes: then it is an error.",
        fix="restore the order",
        example=("ORDER BY users DESC LIMIT 10", "ORDER BY day LIMIT 10"),
        call=Severity.INFO,
    )
)
def ordering_changed(pair: ContractPair) -> Iterator[Hit]:
    severity = Severity.ERROR if _is_limited(pair.before) or _is_limited(pair.after) else None
    for change in pair.changed(ChangeKind.ORDERING):
        yield _hit(change, "orders rows in another way", None if change.locus.path else severity)
    for change in pair.changed(ChangeKind.LIMIT):
        if not change.locus.path and change.locus.clause in _ORDER_OF_ROWS:
            yield _hit(change, "leaves other rows in each page", severity)


@judged_by(
    Rule(
        code="M105",
        slug="source-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Rows come from another table, view, subquery or event.",
        why="The numbers come from somewhere else.",
        fix="say so in the changelog",
        example=("FROM events", "FROM clean_events"),
        call=Severity.INFO,
    )
)
def source_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.SOURCE, ChangeKind.COLUMNS):
        if change.kind is ChangeKind.SOURCE or change.locus.path:
            yield _hit(change, "reads from something else")
    yield from map(_insight_hit, _insight(pair, ChangeKind.SOURCE))


@judged_by(
    Rule(
        code="M106",
        slug="join-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Tables are joined in another way.",
        why="Rows are doubled or lost.",
        fix="compare some answers of both versions, and say so in the changelog",
        example=("LEFT JOIN persons ON …", "INNER JOIN persons ON …"),
        call=Severity.INFO,
    )
)
def join_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.JOIN):
        yield _hit(change, "joins in another way")


@judged_by(
    Rule(
        code="M107",
        slug="query-changed-opaque",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The text differs, and it cannot be told how.",
        why="What cannot be decided is not safe.",
        fix="compare some answers of both versions, then go on with --allow-unknown",
        example=("SELECT count() FROM events", "a query that the parser cannot follow"),
        call=Severity.INFO,
        is_undecidable=True,
    )
)
def changed_opaquely(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.OPAQUE):
        why = f": {change.why}" if change.why else ""
        message = f"the query differs, and it cannot be told how{why}"
        yield Hit(locus=change.locus, message=message, before=change.before, after=change.after)


@judged_by(
    Rule(
        code="M108",
        slug="cosmetic-only",
        severity=Severity.INFO,
        scope=Scope.NEITHER,
        summary="The query differs in form only: layout, comments, case of keywords, brackets.",
        why="It asks the same. The server would cut a version all the same, so `push` does not send it.",
        fix="nothing to do",
        example=("select count() from events", "SELECT count() FROM events -- all of them"),
    )
)
def cosmetic_only(pair: ContractPair) -> Iterator[Hit]:
    if pair.before.kind != pair.after.kind or pair.before.query == pair.after.query or pair.defaults_differ:
        return
    if pair.is_rows:
        if pair.before.sql != pair.after.sql and not pair.changes and not _other_keys(pair):
            in_other_words = "the query asks the same in other words: a push sends it, which cuts a version"
            message = "the query differs in form only" if pair.is_same_text else in_other_words
            yield Hit(locus="query", message=message)
        return
    found = insight_changes(pair.before.query, pair.after.query)
    if all(change.kind is None for change in found):
        what = "in how PostHog shows it only" if found else "in form only"
        yield Hit(locus="query", message=f"the query differs {what}")


@judged_by(
    Rule(
        code="M109",
        slug="expression-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A column is computed in another way, and its type does not show it.",
        why="The values are others.",
        fix="give the column a new name, or say so in the changelog",
        example=("SELECT sum(amount) / 100 AS total", "SELECT sum(amount) / 1000 AS total"),
        call=Severity.INFO,
    )
)
def expression_changed(pair: ContractPair) -> Iterator[Hit]:
    retyped = {f"columns.{new.name}" for old, new in compared(pair) if _differ(old, new)}
    for change in pair.changed(ChangeKind.EXPRESSION):
        if change.locus not in retyped and not (change.is_variable and _is_told_of_variables(pair)):
            yield _hit(change, "is computed in another way")
    for node in _insight(pair, ChangeKind.EXPRESSION, *_IN_SHAPE):
        if not _is_told_by_shape(node, pair):
            yield _insight_hit(node)
    yield from (_node_hit(pair, key) for key in _other_keys(pair) if key != "filters")


def _differ(old: ContractColumn, new: ContractColumn) -> bool:
    """Whether a rule on columns tells of it: type or nullability are known on both sides, and differ."""
    types, nullables = {old.type, new.type}, {old.nullable, new.nullable}
    is_nested = old.full is not None and new.full is not None and old.full != new.full
    return (len(types) == 2 and UNKNOWN not in types) or nullables == {True, False} or is_nested


def _hit(change: QueryChange, words: str, severity: Severity | None = None) -> Hit:
    return Hit(
        locus=change.locus.in_findings(),
        message=f"{subject(change.locus)} {words}: {_shown(change.after)}; it was {_shown(change.before)}",
        before=change.before,
        after=change.after,
        severity=severity,
        column=change.locus.column,
    )


def _loses_key(change: QueryChange, pair: ContractPair) -> bool:
    """Whether a key is gone that does not go on as a column of the same name, computed in another way."""
    gone_on = {one.before for one in pair.changes if one.locus.column and one.after in change.added}
    return not gone_on.issuperset(change.removed)


def _insight(pair: ContractPair, *kinds: ChangeKind) -> Iterator[NodeChange]:
    if pair.is_insight and pair.before.query != pair.after.query:
        yield from (one for one in insight_changes(pair.before.query, pair.after.query) if one.kind in kinds)


def _insight_hit(node: NodeChange) -> Hit:
    before, after = ("the default" if value is None else _shown(value) for value in (node.before, node.after))
    message = f"{node.what} changed: {after}; it was {before}"
    return Hit(
        locus=Locus(node.path).in_findings(), message=message, before=node.before, after=node.after, fix=_OF_INSIGHTS
    )


def _shown(value: Json) -> str:
    """Short values as they stand in the file, long ones cut: the finding itself holds them whole."""
    if value in (None, "", [], {}):
        return "nothing"
    shown = value if isinstance(value, str) else canonical(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _is_told_by_shape(node: NodeChange, pair: ContractPair) -> bool:
    """Whether rule C115 tells of it already."""
    if insight_shape(pair.before.query) == insight_shape(pair.after.query):
        return False
    return node.kind in _IN_SHAPE or node.path.startswith("breakdownFilter")


def _is_told_of_variables(pair: ContractPair) -> bool:
    """Whether the rules on variables tell already how the use of variables changed."""
    if pair.removed_variables or pair.added_variables:
        return True
    return any(operators_of(pair.before, old.name) != operators_of(pair.after, old.name) for old, _ in pair.variables)


def _is_limited(side: Contract) -> bool:
    return side.paging is not None and side.paging.has_limit


def _other_keys(pair: ContractPair) -> list[str]:
    """The keys of a HogQL node beside its text and variables that differ."""
    if not pair.is_rows:
        return []
    before, after = pair.before.query, pair.after.query
    keys = {key for key in (*before, *after) if _said(before.get(key)) != _said(after.get(key))}
    return sorted(keys - {"query", "variables", "version"})


def _said(value: Json) -> Json:
    """A flag that is off says what is said without it."""
    return None if value is False else value


def _node_hit(pair: ContractPair, key: str) -> Hit:
    before, after = pair.before.query.get(key), pair.after.query.get(key)
    severity = Severity.INFO if key in _LABELS else None
    message = f"{key} of the query changed: {_shown(after)}; it was {_shown(before)}"
    return Hit(locus=Locus(key).in_findings(), message=message, before=before, after=after, severity=severity)
