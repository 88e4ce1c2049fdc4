"""The shape of an answer beyond its columns: kind, insights, labels, and columns that nobody named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by, subject
from endpoints_gitops.hogql.insight_changes import InsightShape, insight_shape
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json

_FLAGS: Final = {
    "is_total": ("there is a value for each interval now", "there is one value for the whole range of dates now"),
    "is_compared": ("the comparison with another period is gone", "each series is compared with another period now"),
}
"""By a flag of the shape: what is said when it goes off, and when it goes on."""

declare(
    Rule(
        code="C113",
        slug="select-star",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The query selects *.",
        why="Which columns come out follows the table: it can change with no edit here.",
        fix="name the columns",
        example=("SELECT event, timestamp FROM events", "SELECT * FROM events"),
    )
)


@judged_by(
    Rule(
        code="C114",
        slug="kind-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The query is of another kind.",
        why="Rows of columns become objects, or objects with other keys; `limit` and `offset` stop or start working.",
        fix="publish a new endpoint",
        example=("query: SELECT …", "query_definition: {kind: TrendsQuery, …}"),
        call=Severity.WARN,
    )
)
def kind_changed(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.kind, pair.after.kind
    if before != after:
        message = f"this was a {before} and is a {after}: its results have another shape"
        yield Hit(locus=Locus("kind").in_findings(), message=message, before=before, after=after)


@judged_by(
    Rule(
        code="C115",
        slug="insight-shape-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Series, interval, comparison, formulas or breakdowns of an insight changed.",
        why="The keys of the result objects and the order of the series are what callers read.",
        fix="publish a new endpoint, or keep the series as they are and add the new one at the end",
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


@judged_by(
    Rule(
        code="C116",
        slug="timezone-or-bucket-format-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Dates are cut, formatted or zoned in another way.",
        why="Labels move, though names and types are the same.",
        fix="say so to the callers, or add a column",
        example=("SELECT toStartOfDay(timestamp) AS t", "SELECT toStartOfHour(timestamp) AS t"),
        call=Severity.INFO,
    )
)
def bucket_changed(pair: ContractPair) -> Iterator[Hit]:
    for change in pair.changed(ChangeKind.BUCKET):
        message = f"{subject(change.locus)} cuts or formats dates otherwise: {change.after}; it was {change.before}"
        locus = change.locus
        yield Hit(
            locus=locus.in_findings(), message=message, before=change.before, after=change.after, column=locus.column
        )


@judged_by(
    Rule(
        code="C118",
        slug="column-order-by-serving",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A query without variables is materialised, or no longer is.",
        why="A table that is read without variables answers its columns in alphabetical order.",
        fix="read by name, or leave the serving as it is",
        example=("materialization: {enabled: false}", "materialization: {enabled: true}"),
    )
)
def order_by_serving(pair: ContractPair) -> Iterator[Hit]:
    if not pair.is_rows or not (pair.turned_on or pair.turned_off) or pair.before.inputs or pair.after.inputs:
        return
    names = [one.name for one in pair.after.columns or ()]
    if pair.after.columns is not None and names == sorted(names):
        return
    order = "alphabetical order" if pair.turned_on else "the order of the query"
    yield Hit(
        locus=Locus("columns"),
        message=f"without variables, the columns come in {order} from now on",
        before=pair.before.is_from_table,
        after=pair.after.is_from_table,
        key="materialization.enabled",
        scope=pair.setting_scope,
    )


def _shape_differences(before: InsightShape, after: InsightShape) -> Iterator[tuple[str, Json, Json, bool]]:
    """What differs, from what to what, and whether callers read other keys or other series then."""
    series = [_series(one) for one in before.series], [_series(one) for one in after.series]
    if series[0] != series[1]:
        yield "series", series[0], series[1], series[1][: len(series[0])] != series[0]
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
        come, gone = ([key for key in these if key not in those] for these, those in ((now, was), (was, now)))
        words = (f"new are {', '.join(come)}" if come else "", f"gone are {', '.join(gone)}" if gone else "")
        return f"the objects of the results have other keys: {'; '.join(filter(None, words))}"
    return f"the {name.replace('_', ' ')} of the insight changed from {_said(was)} to {_said(now)}"


def _series(one: object) -> Json:
    return str(getattr(one, "label", one))


def _said(value: Json) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
