"""The columns of an answer and their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.column_types import column_hit, has_same_source
from endpoints_gitops.contract.rules.rule import Hit, Rule, rule_check
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Scope, Severity


@rule_check(
    Rule(
        code="C101",
        slug="column-removed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column was removed.",
        why="Callers that read it by name fail, and callers that read by position read a different column.",
        fix="keep it, or publish a new endpoint and move the pins there",
        example=("SELECT day, users FROM …", "SELECT day FROM …"),
        call=Severity.INFO,
    )
)
def column_removed(pair: ContractPair) -> Iterator[Hit]:
    for column in pair.removed_columns if pair.knows_columns else ():
        if column.name not in pair.renamed_columns:
            message = f"column {column.name!r} was removed"
            yield replace(column_hit(column.name, message, column.type, None), at=Locus("columns"))


@rule_check(
    Rule(
        code="C102",
        slug="column-renamed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column was renamed: the same expression has a new name.",
        why="Callers that read it by its old name fail.",
        fix="add the new name next to the old one, and remove the old one once its callers have moved",
        example=("SELECT count() AS users", "SELECT count() AS active_users"),
        call=Severity.INFO,
    )
)
def column_renamed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.renamed_columns.items() if pair.knows_columns else ():
        hit = column_hit(old, f"column {old!r} was renamed to {new.name!r}", old, new.name)
        yield replace(hit, at=Locus("alias", new.name))


@rule_check(
    Rule(
        code="C108",
        slug="column-order-changed",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The order of the existing columns changed.",
        why="Rows are arrays: callers that read by position read a different column.",
        fix="restore the order, or have the callers declare `reads: name`",
        example=("SELECT day, users", "SELECT users, day"),
    )
)
def order_changed(pair: ContractPair) -> Iterator[Hit]:
    before = [old.name for old, _ in pair.columns]
    kept = set(before)
    after = list(dict.fromkeys(new.name for new in pair.after.columns or () if new.name in kept))
    if pair.knows_columns and before != after:
        message = f"the order of the columns changed: {', '.join(after)}; it was {', '.join(before)}"
        yield Hit(locus=Locus("columns"), message=message, before=[*before], after=[*after])


@rule_check(
    Rule(
        code="C109",
        slug="column-inserted",
        severity=Severity.INFO,
        position=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A new column was inserted before an existing one.",
        why="Rows are arrays: the position of every later column shifts.",
        fix="append it at the end",
        example=("SELECT day, users", "SELECT day, country, users"),
    )
)
def column_inserted(pair: ContractPair) -> Iterator[Hit]:
    for column in _new_columns(pair):
        if not _is_last(column, pair):
            message = f"column {column.name!r} was inserted before existing columns"
            yield column_hit(column.name, message, None, column.type)


@rule_check(
    Rule(
        code="C110",
        slug="column-appended",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="A new column was appended after all existing ones.",
        why="It has no readers yet, and no other column moves.",
        fix="nothing to do",
        example=("SELECT day, users", "SELECT day, users, country"),
    )
)
def column_appended(pair: ContractPair) -> Iterator[Hit]:
    for column in _new_columns(pair):
        if _is_last(column, pair):
            yield column_hit(column.name, f"column {column.name!r} was appended", None, column.type)


@rule_check(
    Rule(
        code="C111",
        slug="column-duplicated",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Two columns have the same name.",
        why="A caller that reads by name gets either of them.",
        fix="give one of them a different alias",
        example=("SELECT a.id AS a_id, b.id AS b_id", "SELECT a.id, b.id"),
        call=Severity.INFO,
    )
)
def column_duplicated(pair: ContractPair) -> Iterator[Hit]:
    old = duplicate_names(pair.before.columns)
    for name in duplicate_names(pair.after.columns):
        if name not in old and pair.is_rows:
            yield column_hit(name, f"two columns are named {name!r}", None, name)


@rule_check(
    Rule(
        code="C112",
        slug="columns-unknown",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The columns, or the type of one, are unknown before or after the change.",
        why="Unknown columns cannot be compared, so a breaking change can go unnoticed.",
        fix="name the columns instead of *, cast expressions of unknown type, or declare `columns` in the definition",
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
            message = f"the columns {word} the change are unknown: {why}"
            yield Hit(locus=f"columns ({word})", message=message, after=why, at=Locus("columns"))
    if pair.knows_columns:
        yield from _unknown_types(pair)


def duplicate_names(columns: tuple[ContractColumn, ...] | None) -> list[str]:
    """The names of more than one column, sorted."""
    names = [column.name for column in columns or ()]
    return sorted({name for name in names if names.count(name) > 1})


def _why_unknown(side: Contract) -> str | None:
    """Why the columns are unknown, or None. Columns read from a `*` are those of the tables as they are today."""
    if side.columns is None:
        return side.columns_why or "no reason is known"
    return f"{', '.join(side.stars)} depends on the table, not on the query" if side.stars else None


def _unknown_types(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.columns:
        if UNKNOWN in (old.type, new.type) and not has_same_source(old, new, pair):
            side = new if new.type == UNKNOWN else old
            why = f": {side.why}" if side.why else ""
            message = f"the type of column {new.name!r} is unknown{why}"
            yield column_hit(new.name, message, old.type, new.type)


def _new_columns(pair: ContractPair) -> list[ContractColumn]:
    if not pair.knows_columns:
        return []
    renamed = {column.name for column in pair.renamed_columns.values()}
    return [column for column in pair.added_columns if column.name not in renamed]


def _is_last(new_column: ContractColumn, pair: ContractPair) -> bool:
    """Whether it comes after every existing column, renamed ones included."""
    kept = {new.name for _, new in pair.columns} | {new.name for new in pair.renamed_columns.values()}
    indexes = [index for index, column in enumerate(pair.after.columns or ()) if column.name in kept]
    new_index = next(index for index, column in enumerate(pair.after.columns or ()) if column.name == new_column.name)
    return new_index > max(indexes, default=-1)
