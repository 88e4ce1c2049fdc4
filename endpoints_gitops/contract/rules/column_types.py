"""The types of the columns of an answer: which one a reader can take for another, and what can be null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.clickhouse import bits, is_nullable, parse_type, unwrapped
from endpoints_gitops.contract.contract import UNKNOWN, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, judged_by
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind, QueryChange
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json

_WIDER: Final = (("integer", "float"),)
_NUMBERS: Final = ("integer", "float", "decimal")
_NESTED: Final = ("array", "json")
_GRAVEST_FIRST: Final = ("C103", "C117", "C106", "C104", "C105")
_FILTERS: Final = ("prewhere", "where", "having", "qualify")
_OF_ROWS: Final = (ChangeKind.FILTER, ChangeKind.LIMIT, ChangeKind.ORDERING, ChangeKind.DISTINCT)


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
def type_changed(pair: ContractPair) -> Iterator[Hit]:
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
def type_widened(pair: ContractPair) -> Iterator[Hit]:
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
def type_narrowed(pair: ContractPair) -> Iterator[Hit]:
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
def encoding_changed(pair: ContractPair) -> Iterator[Hit]:
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
def became_nullable(pair: ContractPair) -> Iterator[Hit]:
    for old, new in compared(pair):
        if old.nullable is False and new.nullable is True:
            yield column_hit(new.name, f"column {new.name!r} can be null now", False, True)
    yield from _retyped(pair, "C106", "holds nulls now: it is {after} and was {before}")


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
def became_non_null(pair: ContractPair) -> Iterator[Hit]:
    for old, new in compared(pair):
        if old.nullable is True and new.nullable is False:
            yield column_hit(new.name, f"column {new.name!r} is never null any more", True, False)


def column_hit(name: str, message: str, before: Json, after: Json) -> Hit:
    return Hit(
        locus=Locus("columns", name),
        message=message,
        before=before,
        after=after,
        column=name,
    )


def compared(pair: ContractPair) -> list[tuple[ContractColumn, ContractColumn]]:
    """The columns of both sides whose types can have changed."""
    return [both for both in pair.columns if not is_computed_alike(*both, pair)] if pair.knows_columns else []


def is_computed_alike(old: ContractColumn, new: ContractColumn, pair: ContractPair) -> bool:
    """Whether the same expression over the same source gives both. Then only two servers' words can tell of a change:
    where one side is read from the text, that the two disagree says nothing."""
    is_alike = pair.is_same_text or (
        old.expression is not None and old.expression == new.expression and not _moves_source(pair)
    )
    return is_alike and not (pair.is_served and UNKNOWN not in (old.type, new.type))


def _moves_source(pair: ContractPair) -> bool:
    return any(map(_changes_types, pair.changes))


def _changes_types(change: QueryChange) -> bool:
    """Whether an expression can have another type though it reads the same. Which rows come, how many and in which
    order changes no type; another table does, and whatever a query below computes in another way."""
    clause = change.locus.clause
    if clause in _FILTERS:
        return False
    if change.kind in (ChangeKind.SOURCE, ChangeKind.OPAQUE) or (change.kind is ChangeKind.JOIN and clause == "from"):
        return True
    return bool(change.locus.path) and change.kind not in _OF_ROWS


def _retyped(pair: ContractPair, code: str, words: str) -> Iterator[Hit]:
    for old, new in compared(pair):
        if UNKNOWN not in (old.type, new.type) and _rule_of(old, new) == code:
            before, after = _shown(old, new), _shown(new, old)
            message = f"column {new.name!r} {words.format(before=before, after=after)}"
            yield column_hit(new.name, message, before, after)


def _shown(one: ContractColumn, other: ContractColumn) -> str:
    """The word, or what says more where the words are the same."""
    if one.type != other.type:
        return one.type
    if one.full and other.full and one.full != other.full:
        return one.full
    return one.clickhouse or one.type


def _rule_of(old: ContractColumn, new: ContractColumn) -> str | None:
    if old.type == new.type:
        nested = _rule_of_nested(old.full, new.full) if old.full and new.full else None
        return nested or _rule_of_clickhouse(old.clickhouse or "", new.clickhouse or "")
    return _rule_of_words(old.type, new.type)


def _rule_of_nested(old: str, new: str) -> str | None:
    """The worst rule of what is inside: types, nullability, the number of parts. What is not known is no difference."""
    before, after = parse_type(old), parse_type(new)
    if not before.arguments and not after.arguments:
        is_known = UNKNOWN not in (old, new) and before.name != after.name
        return _rule_of_words(before.name, after.name) if is_known else None
    if before.name != after.name or len(before.inner) != len(after.inner):
        return None if UNKNOWN in (before.name, after.name) else "C117"
    found: set[str | None] = set()
    for one, other in zip(before.inner, after.inner, strict=True):
        found |= {"C106"} if is_nullable(other) and not is_nullable(one) else set()
        found.add(_rule_of_nested(one, other))
    return next((code for code in _GRAVEST_FIRST if code in found), None)


def _rule_of_words(*types: str) -> str:
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
    return None
