"""The columns of an answer: which there are, in which order, of which types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.clickhouse import bits, unwrapped
from endpoints_gitops.contract.contract import UNKNOWN, ContractColumn
from endpoints_gitops.contract.pair import Pair
from endpoints_gitops.contract.rules.rule import Hit, Rule, judged_by
from endpoints_gitops.hogql.change import ChangeKind
from endpoints_gitops.model.finding import Scope, Severity

_WIDER: Final = (("integer", "float"), ("date", "datetime"))
_NUMBERS: Final = ("integer", "float", "decimal")
_NESTED: Final = ("array", "json")


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
def column_removed(pair: Pair) -> Iterator[Hit]:
    for one in pair.removed_columns if pair.knows_columns else ():
        if one.name not in pair.renamed_columns:
            yield _column(one.name, f"column {one.name!r} is gone", one.type, None)


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
def column_renamed(pair: Pair) -> Iterator[Hit]:
    for old, new in pair.renamed_columns.items() if pair.knows_columns else ():
        yield _column(old, f"column {old!r} is now called {new.name!r}", old, new.name)


@judged_by(
    Rule(
        code="C103",
        slug="column-type-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column has a type that its readers cannot take for the old one.",
        why="Parsing and comparing the values breaks.",
        fix="add a second column with the new type, under a name of its own",
        example=("SELECT toDate(timestamp) AS day", "SELECT formatDateTime(timestamp, '%d.%m.') AS day"),
        call=Severity.INFO,
    )
)
def type_changed(pair: Pair) -> Iterator[Hit]:
    return _retyped(pair, "C103", "is {after} now; it was {before}")


@judged_by(
    Rule(
        code="C104",
        slug="column-type-widened",
        severity=Severity.WARN,
        typed=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column has a type that holds more than the old one.",
        why="Values get another format or outgrow the reader: JSON numbers are exact up to 2^53 only.",
        fix="cast in the SQL to keep the old type",
        example=("SELECT count() AS n", "SELECT avg(amount) AS n"),
        call=Severity.INFO,
    )
)
def type_widened(pair: Pair) -> Iterator[Hit]:
    return _retyped(pair, "C104", "is widened from {before} to {after}")


@judged_by(
    Rule(
        code="C105",
        slug="column-type-narrowed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A column has a type that holds less than the old one.",
        why="It usually still parses, but precision or meaning shifts.",
        fix="confirm that readers can do without what is cut off",
        example=("SELECT avg(amount) AS n", "SELECT count() AS n"),
        call=Severity.INFO,
    )
)
def type_narrowed(pair: Pair) -> Iterator[Hit]:
    return _retyped(pair, "C105", "is narrowed from {before} to {after}")


@judged_by(
    Rule(
        code="C117",
        slug="json-encoding-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Values of a column stand in JSON in another way.",
        why="Decimals are texts, arrays and tuples are lists, maps are objects: clients parse each differently.",
        fix="cast explicitly, so that the old encoding stays",
        example=("SELECT sum(toFloat(amount)) AS total", "SELECT toDecimal(sum(amount), 2) AS total"),
        call=Severity.INFO,
    )
)
def encoding_changed(pair: Pair) -> Iterator[Hit]:
    return _retyped(pair, "C117", "is {after} now and was {before}, which look different in JSON")


@judged_by(
    Rule(
        code="C106",
        slug="column-became-nullable",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column can be null now.",
        why="Readers that never had to check for null do not.",
        fix="wrap it in coalesce(…) with a value that readers can take",
        example=("SELECT event AS name", "SELECT properties.name AS name"),
        call=Severity.INFO,
    )
)
def became_nullable(pair: Pair) -> Iterator[Hit]:
    for old, new in compared(pair):
        if old.nullable is False and new.nullable is True:
            yield _column(new.name, f"column {new.name!r} can be null now", False, True)


@judged_by(
    Rule(
        code="C107",
        slug="column-became-non-null",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="A column is never null any more.",
        why="Safe for readers.",
        fix="nothing to do",
        example=("SELECT properties.plan AS plan", "SELECT coalesce(properties.plan, 'none') AS plan"),
    )
)
def became_non_null(pair: Pair) -> Iterator[Hit]:
    for old, new in compared(pair):
        if old.nullable is True and new.nullable is False:
            yield _column(new.name, f"column {new.name!r} is never null any more", True, False)


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
def order_changed(pair: Pair) -> Iterator[Hit]:
    before = [old.name for old, _ in pair.columns]
    kept = set(before)
    after = list(dict.fromkeys(one.name for one in pair.after.columns or () if one.name in kept))
    if pair.knows_columns and before != after:
        message = f"the columns stand in another order: {', '.join(after)}; it was {', '.join(before)}"
        yield Hit(locus="columns", message=message, before=[*before], after=[*after])


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
def column_inserted(pair: Pair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if not _is_last(one, pair):
            yield _column(one.name, f"column {one.name!r} is new and stands before others", None, one.type)


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
def column_appended(pair: Pair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if _is_last(one, pair):
            yield _column(one.name, f"column {one.name!r} is new, at the end", None, one.type)


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
def column_duplicated(pair: Pair) -> Iterator[Hit]:
    old = doubled(pair.before.columns)
    for name in doubled(pair.after.columns):
        if name not in old and pair.is_rows:
            yield _column(name, f"two columns are called {name!r}", None, name)


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
def columns_unknown(pair: Pair) -> Iterator[Hit]:
    if not pair.is_rows or pair.is_same_text:
        return
    for side, word in ((pair.before, "before"), (pair.after, "after")):
        if side.columns is None:
            why = side.columns_why or "nothing is known of them"
            yield Hit(
                locus=f"columns ({word})", message=f"the columns {word} the change are not known: {why}", after=why
            )
    if pair.knows_columns:
        yield from _unknown_types(pair)


def doubled(columns: tuple[ContractColumn, ...] | None) -> list[str]:
    """Names that stand more than once."""
    names = [one.name for one in columns or ()]
    return sorted({name for name in names if names.count(name) > 1})


def _unknown_types(pair: Pair) -> Iterator[Hit]:
    for old, new in pair.columns:
        if UNKNOWN in (old.type, new.type) and not _is_computed_alike(old, new, pair):
            side = new if new.type == UNKNOWN else old
            why = f": {side.why}" if side.why else ""
            message = f"the type of column {new.name!r} cannot be told{why}"
            yield _column(new.name, message, old.type, new.type)


def _column(name: str, message: str, before: object, after: object) -> Hit:
    return Hit(
        locus=f"columns.{name}",
        message=message,
        before=before,  # type: ignore[arg-type]  # texts, flags or None
        after=after,  # type: ignore[arg-type]  # likewise
        column=name,
    )


def _really_added(pair: Pair) -> list[ContractColumn]:
    if not pair.knows_columns:
        return []
    renamed = {one.name for one in pair.renamed_columns.values()}
    return [one for one in pair.added_columns if one.name not in renamed]


def _is_last(one: ContractColumn, pair: Pair) -> bool:
    """Behind every column that was there, under its old name or a new one."""
    kept = {new.name for _, new in pair.columns} | {new.name for new in pair.renamed_columns.values()}
    places = [place for place, column in enumerate(pair.after.columns or ()) if column.name in kept]
    mine = next(place for place, column in enumerate(pair.after.columns or ()) if column.name == one.name)
    return mine > max(places, default=-1)


def compared(pair: Pair) -> list[tuple[ContractColumn, ContractColumn]]:
    """The columns of both sides whose types can have changed."""
    return [both for both in pair.columns if not _is_computed_alike(*both, pair)] if pair.knows_columns else []


def _is_computed_alike(old: ContractColumn, new: ContractColumn, pair: Pair) -> bool:
    """Whether the same expression over the same source gives both: then a type that one side cannot tell is no
    difference. Two types that are both certain are compared all the same."""
    if pair.is_same_text and not (old.clickhouse and new.clickhouse):
        return old.type == new.type or UNKNOWN in (old.type, new.type) or bool(old.why or new.why)
    if old.expression is None or old.expression != new.expression or _moves_source(pair):
        return False
    return UNKNOWN in (old.type, new.type) or bool(old.why or new.why)


def _moves_source(pair: Pair) -> bool:
    return any(change.kind is ChangeKind.SOURCE or "/" in change.locus for change in pair.changes)


def _retyped(pair: Pair, code: str, words: str) -> Iterator[Hit]:
    for old, new in compared(pair):
        if UNKNOWN not in (old.type, new.type) and _rule_of(old, new) == code:
            before, after = _shown(old, new), _shown(new, old)
            message = f"column {new.name!r} {words.format(before=before, after=after)}"
            yield _column(new.name, message, before, after)


def _shown(one: ContractColumn, other: ContractColumn) -> str:
    """The word, or ClickHouse's own type where the words are the same."""
    return one.clickhouse if one.clickhouse and one.type == other.type else one.type


def _rule_of(old: ContractColumn, new: ContractColumn) -> str | None:
    types = (old.type, new.type)
    if old.type == new.type:
        return _rule_of_clickhouse(old.clickhouse or "", new.clickhouse or "")
    if types in _WIDER:
        return "C104"
    if types[::-1] in _WIDER:
        return "C105"
    if ("decimal" in types and set(types) <= set(_NUMBERS)) or set(types) <= set(_NESTED):
        return "C117"
    return "C103"


def _rule_of_clickhouse(old: str, new: str) -> str | None:
    """Of two types with one word, where answers said which."""
    before, after = unwrapped(old), unwrapped(new)
    if not old or not new or before == after:
        return None
    widths = bits(old), bits(new)
    if widths[0] and widths[1]:
        return "C104" if widths[1] > widths[0] else "C105" if widths[1] < widths[0] else None
    if after == "UUID":
        return "C105"
    return "C117" if before.startswith(("Array", "Tuple", "Map")) else None
