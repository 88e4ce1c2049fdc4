"""The types of the columns of an answer: which type changes break a caller, and which columns can be null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from endpoints_gitops.contract.clickhouse import bits, is_nullable, parse_type, unwrapped
from endpoints_gitops.contract.contract import UNKNOWN, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, rule_check
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.query_changes import ChangeKind, QueryChange
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json

_WIDER: Final = (("integer", "float"),)
_NUMBERS: Final = ("integer", "float", "decimal")
_NESTED: Final = ("array", "json")
_WORST_FIRST: Final = ("C103", "C117", "C106", "C104", "C105")
_FILTERS: Final = ("prewhere", "where", "having", "qualify")
_ROW_CHANGES: Final = (ChangeKind.FILTER, ChangeKind.LIMIT, ChangeKind.ORDERING, ChangeKind.DISTINCT)


@rule_check(
    Rule(
        code="C103",
        slug="column-type-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The type of a column changed incompatibly.",
        why="Callers fail to parse or compare the values.",
        fix="add a second column with the new type, under a new name",
        example=("SELECT toDate(timestamp) AS day", "SELECT formatDateTime(timestamp, '%d.%m.') AS day"),
        call=Severity.INFO,
    )
)
def type_changed(pair: ContractPair) -> Iterator[Hit]:
    return _retyped(pair, "C103", "changed its type to {after}; it was {before}")


@rule_check(
    Rule(
        code="C104",
        slug="column-type-widened",
        severity=Severity.WARN,
        typed=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The type of a column was widened.",
        why="Values get another format or exceed what the caller can hold: JSON numbers are exact only up to 2^53.",
        fix="cast in the SQL to keep the old type",
        example=("SELECT count() AS n", "SELECT avg(amount) AS n"),
        call=Severity.INFO,
    )
)
def type_widened(pair: ContractPair) -> Iterator[Hit]:
    return _retyped(pair, "C104", "was widened from {before} to {after}")


@rule_check(
    Rule(
        code="C105",
        slug="column-type-narrowed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The type of a column was narrowed.",
        why="Values usually still parse, but lose precision or change meaning.",
        fix="confirm that callers do not need the lost precision",
        example=("SELECT avg(amount) AS n", "SELECT count() AS n"),
        call=Severity.INFO,
    )
)
def type_narrowed(pair: ContractPair) -> Iterator[Hit]:
    return _retyped(pair, "C105", "was narrowed from {before} to {after}")


@rule_check(
    Rule(
        code="C117",
        slug="json-encoding-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The JSON encoding of a column changed.",
        why="Decimals are strings, arrays and tuples are lists, maps are objects: clients parse each differently.",
        fix="cast explicitly to keep the old encoding",
        example=("SELECT sum(toFloat(amount)) AS total", "SELECT toDecimal(sum(amount), 2) AS total"),
        call=Severity.INFO,
    )
)
def encoding_changed(pair: ContractPair) -> Iterator[Hit]:
    return _retyped(pair, "C117", "is {after} now; it was {before}, which is encoded differently in JSON")


@rule_check(
    Rule(
        code="C106",
        slug="column-became-nullable",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A column became nullable.",
        why="Callers that never had to check for null fail on it.",
        fix="wrap it in coalesce(…) with a default that callers accept",
        example=("SELECT event AS name", "SELECT properties.name AS name"),
        call=Severity.INFO,
    )
)
def became_nullable(pair: ContractPair) -> Iterator[Hit]:
    for old, new in comparable_columns(pair):
        if old.nullable is False and new.nullable is True:
            yield column_hit(new.name, f"column {new.name!r} can be null now", False, True)
    yield from _retyped(pair, "C106", "can contain nulls now: it is {after}; it was {before}")


@rule_check(
    Rule(
        code="C107",
        slug="column-became-non-null",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="A column is no longer nullable.",
        why="Callers that check for null keep working.",
        fix="nothing to do",
        example=("SELECT properties.plan AS plan", "SELECT coalesce(properties.plan, 'none') AS plan"),
    )
)
def became_non_null(pair: ContractPair) -> Iterator[Hit]:
    for old, new in comparable_columns(pair):
        if old.nullable is True and new.nullable is False:
            yield column_hit(new.name, f"column {new.name!r} is no longer nullable", True, False)


def column_hit(name: str, message: str, before: Json, after: Json) -> Hit:
    return Hit(
        locus=Locus("columns", name),
        message=message,
        before=before,
        after=after,
        column=name,
    )


def comparable_columns(pair: ContractPair) -> list[tuple[ContractColumn, ContractColumn]]:
    """Before and after of each column whose type can have changed; empty if the columns of a side are unknown."""
    return [both for both in pair.columns if not has_same_source(*both, pair)] if pair.knows_columns else []


def has_same_source(old: ContractColumn, new: ContractColumn, pair: ContractPair) -> bool:
    """Whether both are the same expression over the same source. Their types are then compared only if a server
    reported both: a type that was inferred from the text can differ from the server's without a change."""
    is_same = pair.is_same_text or (
        old.expression is not None and old.expression == new.expression and not _changes_source(pair)
    )
    return is_same and not (pair.is_served and UNKNOWN not in (old.type, new.type))


def _changes_source(pair: ContractPair) -> bool:
    return any(map(_changes_types, pair.changes))


def _changes_types(change: QueryChange) -> bool:
    """Whether the change can change the type of an unchanged expression. Filters, limits and order do not; a different
    table or a changed expression in a subquery does."""
    clause = change.locus.clause
    if clause in _FILTERS:
        return False
    if change.kind in (ChangeKind.SOURCE, ChangeKind.OPAQUE) or (change.kind is ChangeKind.JOIN and clause == "from"):
        return True
    return bool(change.locus.path) and change.kind not in _ROW_CHANGES


def _retyped(pair: ContractPair, code: str, text: str) -> Iterator[Hit]:
    for old, new in comparable_columns(pair):
        if UNKNOWN not in (old.type, new.type) and _rule_of(old, new) == code:
            before, after = _shown(old, new), _shown(new, old)
            message = f"column {new.name!r} {text.format(before=before, after=after)}"
            yield column_hit(new.name, message, before, after)


def _shown(column: ContractColumn, other: ContractColumn) -> str:
    """The type of a column, as detailed as it takes to differ from the other column's."""
    if column.type != other.type:
        return column.type
    if column.full and other.full and column.full != other.full:
        return column.full
    return column.clickhouse or column.type


def _rule_of(old: ContractColumn, new: ContractColumn) -> str | None:
    if old.type == new.type:
        nested = _rule_of_nested(old.full, new.full) if old.full and new.full else None
        return nested or _rule_of_clickhouse(old.clickhouse or "", new.clickhouse or "")
    return _rule_of_types(old.type, new.type)


def _rule_of_nested(old: str, new: str) -> str | None:
    """The worst rule that the item types break: type, nullability, number of items. Unknown types count as equal."""
    before, after = parse_type(old), parse_type(new)
    if not before.arguments and not after.arguments:
        is_known = UNKNOWN not in (old, new) and before.name != after.name
        return _rule_of_types(before.name, after.name) if is_known else None
    if before.name != after.name or len(before.inner) != len(after.inner):
        return None if UNKNOWN in (before.name, after.name) else "C117"
    codes: set[str | None] = set()
    for old_item, new_item in zip(before.inner, after.inner, strict=True):
        codes |= {"C106"} if is_nullable(new_item) and not is_nullable(old_item) else set()
        codes.add(_rule_of_nested(old_item, new_item))
    return next((code for code in _WORST_FIRST if code in codes), None)


def _rule_of_types(*types: str) -> str:
    if types in _WIDER:
        return "C104"
    if types[::-1] in _WIDER:
        return "C105"
    if ("decimal" in types and set(types) <= set(_NUMBERS)) or set(types) <= set(_NESTED):
        return "C117"
    return "C103"


def _rule_of_clickhouse(old: str, new: str) -> str | None:
    """The rule that two ClickHouse types of the same word break, or None."""
    before, after = unwrapped(old), unwrapped(new)
    if not old or not new or before == after:
        return None
    widths = bits(old), bits(new)
    if widths[0] and widths[1]:
        return "C104" if widths[1] > widths[0] else "C105" if widths[1] < widths[0] else None
    if after == "UUID":
        return "C105"
    return None
