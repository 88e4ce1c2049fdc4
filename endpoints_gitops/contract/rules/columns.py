"""The columns of an answer: which there are, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.column_types import column_hit, is_computed_alike
from endpoints_gitops.contract.rules.rule import Hit, Rule, judged_by
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Scope, Severity


@judged_by(
    Rule(
        code="C101",
        slug="column-removed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column is gone.",
        why="Whoever reads it by its name fails, and whoever reads by position reads another one.",
        fix="keep it, or publish a new endpoint and move the pins there",
        example=("SELECT day, users FROM …", "SELECT day FROM …"),
        call=Severity.INFO,
    )
)
def column_removed(pair: ContractPair) -> Iterator[Hit]:
    for one in pair.removed_columns if pair.knows_columns else ():
        if one.name not in pair.renamed_columns:
            yield replace(column_hit(one.name, f"column {one.name!r} is gone", one.type, None), at=Locus("columns"))


@judged_by(
    Rule(
        code="C102",
        slug="column-renamed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column is gone, and the same expression stands under a new name.",
        why="Whoever reads it by its old name fails.",
        fix="add the new name beside the old one, and drop the old one when its callers have moved",
        example=("SELECT count() AS users", "SELECT count() AS active_users"),
        call=Severity.INFO,
    )
)
def column_renamed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.renamed_columns.items() if pair.knows_columns else ():
        hit = column_hit(old, f"column {old!r} is now called {new.name!r}", old, new.name)
        yield replace(hit, at=Locus("alias", new.name))


@judged_by(
    Rule(
        code="C108",
        slug="column-order-changed",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The columns that were there stand in another order.",
        why="Rows are arrays: whoever reads by position reads another column.",
        fix="restore the order, or have the readers declare `reads: name`",
        example=("SELECT day, users", "SELECT users, day"),
    )
)
def order_changed(pair: ContractPair) -> Iterator[Hit]:
    before = [old.name for old, _ in pair.columns]
    kept = set(before)
    after = list(dict.fromkeys(one.name for one in pair.after.columns or () if one.name in kept))
    if pair.knows_columns and before != after:
        message = f"the columns stand in another order: {', '.join(after)}; it was {', '.join(before)}"
        yield Hit(locus=Locus("columns"), message=message, before=[*before], after=[*after])


@judged_by(
    Rule(
        code="C109",
        slug="column-inserted",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A new column stands before one that was there.",
        why="Rows are arrays: the positions of all columns after it shift.",
        fix="append it at the end",
        example=("SELECT day, users", "SELECT day, country, users"),
    )
)
def column_inserted(pair: ContractPair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if not _is_last(one, pair):
            yield column_hit(one.name, f"column {one.name!r} is new and stands before others", None, one.type)


@judged_by(
    Rule(
        code="C110",
        slug="column-appended",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="A new column stands after all that were there.",
        why="Nobody reads it yet, and nothing else moves.",
        fix="nothing to do",
        example=("SELECT day, users", "SELECT day, users, country"),
    )
)
def column_appended(pair: ContractPair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if _is_last(one, pair):
            yield column_hit(one.name, f"column {one.name!r} is new, at the end", None, one.type)


@judged_by(
    Rule(
        code="C111",
        slug="column-duplicated",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Two columns have one name.",
        why="Which of the two a reader by name gets is chance.",
        fix="give one of them an alias of its own",
        example=("SELECT a.id AS a_id, b.id AS b_id", "SELECT a.id, b.id"),
        call=Severity.INFO,
    )
)
def column_duplicated(pair: ContractPair) -> Iterator[Hit]:
    old = doubled(pair.before.columns)
    for name in doubled(pair.after.columns):
        if name not in old and pair.is_rows:
            yield column_hit(name, f"two columns are called {name!r}", None, name)


@judged_by(
    Rule(
        code="C112",
        slug="columns-unknown",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="Columns, or the type of one, cannot be told on one of the sides.",
        why="What is not known cannot be compared, and not comparing is not the same as no change.",
        fix="name the columns instead of *, cast what has no clear type, or declare `columns` in the definition",
        example=("SELECT day, users FROM daily", "SELECT * FROM daily"),
        call=Severity.INFO,
        is_undecidable=True,
    )
)
def columns_unknown(pair: ContractPair) -> Iterator[Hit]:
    if not pair.is_rows or pair.is_same_text:
        return
    for side, word in ((pair.before, "before"), (pair.after, "after")):
        why = _why_unknown(side)
        if why is not None:
            message = f"the columns {word} the change are not known: {why}"
            yield Hit(locus=f"columns ({word})", message=message, after=why, at=Locus("columns"))
    if pair.knows_columns:
        yield from _unknown_types(pair)


def doubled(columns: tuple[ContractColumn, ...] | None) -> list[str]:
    """Names that stand more than once."""
    names = [one.name for one in columns or ()]
    return sorted({name for name in names if names.count(name) > 1})


def _why_unknown(side: Contract) -> str | None:
    """Columns that were read from a `*` are those of the tables as they are today."""
    if side.columns is None:
        return side.columns_why or "nothing is known of them"
    return f"{', '.join(side.stars)} follows the table and not the query" if side.stars else None


def _unknown_types(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.columns:
        if UNKNOWN in (old.type, new.type) and not is_computed_alike(old, new, pair):
            side = new if new.type == UNKNOWN else old
            why = f": {side.why}" if side.why else ""
            message = f"the type of column {new.name!r} cannot be told{why}"
            yield column_hit(new.name, message, old.type, new.type)


def _really_added(pair: ContractPair) -> list[ContractColumn]:
    if not pair.knows_columns:
        return []
    renamed = {one.name for one in pair.renamed_columns.values()}
    return [one for one in pair.added_columns if one.name not in renamed]


def _is_last(one: ContractColumn, pair: ContractPair) -> bool:
    """Behind every column that was there, under its old name or a new one."""
    kept = {new.name for _, new in pair.columns} | {new.name for new in pair.renamed_columns.values()}
    places = [place for place, column in enumerate(pair.after.columns or ()) if column.name in kept]
    mine = next(place for place, column in enumerate(pair.after.columns or ()) if column.name == one.name)
    return mine > max(places, default=-1)
