"""The shape of an answer beyond its columns: kind, insight series, date buckets, and `SELECT *`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check, subject
from endpoints_gitops.hogql.insight_changes import InsightShape, insight_shape
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json

_FLAGS: Final = {
    "is_total": (
        "the insight returns a value for each interval now",
        "the insight returns one total for the date range now",
    ),
    "is_compared": ("the comparison with another period was removed", "a comparison with another period was added"),
}
"""The messages of each flag of the shape: turned off, turned on."""

declare(
    Rule(
        code="C113",
        slug="select-star",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The query selects *.",
        why="The table decides the columns, so they can change without an edit of this query.",
        fix="name the columns",
        example=("SELECT event, timestamp FROM events", "SELECT * FROM events"),
    )
)


@rule_check(
    Rule(
        code="C114",
        slug="kind-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The kind of the query changed.",
        why="Rows become objects, or objects get different keys; `limit` and `offset` start or stop working.",
        fix="publish a new endpoint",
        example=("query: SELECT …", "query_definition: {kind: TrendsQuery, …}"),
        call=Severity.WARN,
    )
)
def kind_changed(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.kind, pair.after.kind
    if before != after:
        message = f"the kind of the query changed: {after}; it was {before}. Its results have a different shape"
        yield Hit(locus=Locus("kind").in_findings(), message=message, before=before, after=after)


@rule_check(
    Rule(
        code="C115",
        slug="insight-shape-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The series, interval, comparison, formulas or breakdowns of an insight changed.",
        why="Callers read the keys of the result objects and depend on the order of the series.",
        fix="publish a new endpoint, or keep the series and append the new one",
        example=("series: [pageview]", "series: [signup, pageview]"),
        call=Severity.INFO,
    )
)
def insight_shape_changed(pair: ContractPair) -> Iterator[Hit]:
    if not pair.is_insight:
        return
    before, after = insight_shape(pair.before.query), insight_shape(pair.after.query)
    for name, was, now, breaks in _shape_differences(before, after):
        severity = Severity.ERROR if breaks else Severity.WARN
        yield Hit(
            locus=f"insight.{name}",
            message=_message(name, was, now),
            before=was,
            after=now,
            severity=severity,
        )


@rule_check(
    Rule(
        code="C116",
        slug="timezone-or-bucket-format-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The truncation, format or time zone of a date changed.",
        why="Values change, though names and types stay the same.",
        fix="inform the callers, or add a column",
        example=("SELECT toStartOfDay(timestamp) AS t", "SELECT toStartOfHour(timestamp) AS t"),
        call=Severity.INFO,
    )
)
def bucket_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.BUCKET):
        message = f"the dates in {subject(change.locus)} changed: {change.after}; it was {change.before}"
        locus = change.locus
        yield Hit(
            locus=locus.in_findings(), message=message, before=change.before, after=change.after, column=locus.column
        )


@rule_check(
    Rule(
        code="C118",
        slug="column-order-by-serving",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="Materialization of a query without variables was turned on or off.",
        why="Without variables, the server returns the columns of a table in alphabetical order.",
        fix="read by name, or do not change the materialization",
        example=("materialization: {enabled: false}", "materialization: {enabled: true}"),
    )
)
def order_by_serving(pair: ContractPair) -> Iterator[Hit]:
    if not pair.is_rows or not (pair.turned_on or pair.turned_off) or pair.before.inputs or pair.after.inputs:
        return
    names = [column.name for column in pair.after.columns or ()]
    if pair.after.columns is not None and names == sorted(names):
        return
    order = "alphabetical order" if pair.turned_on else "the order of the query"
    yield Hit(
        locus=Locus("columns"),
        message=f"the columns come in {order} from now on, because the query has no variables",
        before=pair.before.is_from_table,
        after=pair.after.is_from_table,
        key="materialization.enabled",
        scope=pair.setting_scope,
    )


def _shape_differences(before: InsightShape, after: InsightShape) -> Iterator[tuple[str, Json, Json, bool]]:
    """The name of each difference, its value before and after, and whether it breaks callers."""
    old_series, new_series = ([_label(series) for series in side.series] for side in (before, after))
    if old_series != new_series:
        yield "series", old_series, new_series, new_series[: len(old_series)] != old_series
    for name in ("keys", "formulas", "breakdowns"):
        was, now = [*getattr(before, name)], [*getattr(after, name)]
        if was != now:
            yield name, was, now, True
    for name in ("is_total", "is_compared", "interval"):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            yield name, was, now, name.startswith("is_")


def _message(name: str, was: Json, now: Json) -> str:
    if name in _FLAGS:
        return _FLAGS[name][now is True]
    if name == "keys" and isinstance(was, list) and isinstance(now, list):
        added, removed = ([key for key in keys if key not in others] for keys, others in ((now, was), (was, now)))
        parts = (f"added {', '.join(added)}" if added else "", f"removed {', '.join(removed)}" if removed else "")
        return f"the keys of the result objects changed: {'; '.join(filter(None, parts))}"
    return f"the {name} of the insight changed from {_shown(was)} to {_shown(now)}"


def _label(series: object) -> Json:
    return str(getattr(series, "label", series))


def _shown(value: Json) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
