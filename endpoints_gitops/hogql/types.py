"""What is known of the type of an expression without asking the server (docs/server.md#answers)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What ClickHouse makes of an expression, as far as it decides how values look in JSON."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    UUID = "uuid"
    JSON = "json"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    DATETIME64 = "datetime64"
    INTERVAL = "interval"
    ARRAY = "array"
    TUPLE = "tuple"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


_NESTED: Final = (Kind.ARRAY, Kind.TUPLE)
_WORDS: Final = {
    Kind.UUID: "string",
    Kind.JSON: "string",
    Kind.DATETIME64: "datetime",
    Kind.TUPLE: "json",
    Kind.INTERVAL: "unknown",
    Kind.NOTHING: "unknown",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """The type of a value. `nullable` is None where it cannot be told, `why` says what could not be told and because
    of what.

    `item` is the type of an array's items, `parts` are those of a tuple's. `keys` is set for a place inside a column of
    JSON: the keys that lead to it. `constant` is the value of a constant, and the unit of an interval.

    `is_timestamp` marks the timestamps of events and sessions: a comparison with one of them can be NULL, unlike any
    other (docs/server.md#hogql). `is_null_unseen` marks what is made of such a comparison: the server takes it for
    never NULL, and leaves comparisons with it as they are too.
    """

    kind: Kind
    nullable: bool | None = False
    why: str | None = None
    item: Typed | None = None
    keys: tuple[str, ...] | None = None
    constant: str | int | None = None
    is_timestamp: bool = False
    is_null_unseen: bool = False
    parts: tuple[Typed, ...] | None = None

    @property
    def word(self) -> str:
        """The server's word for the type."""
        return _WORDS.get(self.kind, str(self.kind))

    @property
    def full(self) -> str | None:
        """The type of an array or tuple with that of its items, such as `Array(Nullable(integer))`; None for any other
        kind and where an item is not known.
        """
        inside = (self.item,) if self.kind is Kind.ARRAY else self.parts if self.kind is Kind.TUPLE else None
        if inside is None or not all(each is not None and each.is_known for each in inside):
            return None
        written = [each.full or ("" if each.kind in _NESTED else each.word) for each in inside if each is not None]
        if not all(written):
            return None
        marked = (
            f"Nullable({text})" if each is not None and each.nullable else text
            for each, text in zip(inside, written, strict=True)
        )
        return f"{'Array' if self.kind is Kind.ARRAY else 'Tuple'}({', '.join(marked)})"

    @property
    def is_known(self) -> bool:
        return self.word != "unknown" and self.nullable is not None

    def as_nullable(self, nullable: bool | None) -> Typed:
        """What a function makes of it that keeps its kind."""
        return Typed(self.kind, nullable, self.why, self.item, parts=self.parts)

    def named(self) -> Typed:
        """The same under another name: only a whole column of JSON can still be entered."""
        return replace(self, keys=() if self.kind is Kind.JSON else None, constant=None)


def unknown(why: str, nullable: bool | None = None) -> Typed:
    return Typed(Kind.UNKNOWN, nullable, why)


def odd(value: Typed) -> Typed:
    """What a function gives for an argument that it is not for."""
    return unknown(value.why or f"the argument is of the kind {value.kind}")


def nothing_given(name: str) -> Typed:
    return unknown(f"{name} needs arguments")


NULL: Final = Typed(Kind.NOTHING, nullable=True)
INTEGER: Final = Typed(Kind.INTEGER)
FLOAT: Final = Typed(Kind.FLOAT)
STRING: Final = Typed(Kind.STRING)

NUMBERS: Final = (Kind.INTEGER, Kind.BOOLEAN, Kind.FLOAT, Kind.DECIMAL)
TIMES: Final = (Kind.DATE, Kind.DATETIME, Kind.DATETIME64)


def any_nullable(values: Iterable[Typed]) -> bool | None:
    """Whether a function that passes NULL on can give it: None where an argument leaves it open."""
    answers = [value.nullable for value in values]
    return True if True in answers else (None if None in answers else False)


def all_nullable(values: Iterable[Typed]) -> bool | None:
    answers = [value.nullable for value in values]
    return False if False in answers else (None if None in answers else True)


def first_reason(values: Iterable[Typed]) -> str | None:
    return next((value.why for value in values if value.why), None)


def common(values: list[Typed]) -> Typed:
    """The type that branches share; NULL fits every type. Nullable where a branch is."""
    nullable = any_nullable(values)
    given = [value for value in values if value.kind is not Kind.NOTHING]
    if not given:
        return Typed(Kind.NOTHING, nullable)
    kinds = {value.kind for value in given}
    if len(kinds) == 1:
        parts = given[0].parts if all(value.parts == given[0].parts for value in given) else None
        return Typed(given[0].kind, nullable, first_reason(given), _common_item(given), parts=parts)
    if kinds <= {Kind.UNKNOWN, Kind.STRING, Kind.JSON}:  # a text has a type in common with texts only
        return Typed(Kind.STRING, nullable, first_reason(value for value in given if value.kind is not Kind.UNKNOWN))
    if Kind.UNKNOWN in kinds:
        return Typed(Kind.UNKNOWN, nullable, first_reason(given))
    if kinds <= {Kind.INTEGER, Kind.FLOAT}:
        return Typed(Kind.FLOAT, nullable)
    if kinds <= {Kind.DATETIME, Kind.DATETIME64}:
        return Typed(Kind.DATETIME64, nullable)
    return Typed(Kind.UNKNOWN, nullable, f"its branches have different types: {', '.join(sorted(kinds))}")


def _common_item(values: list[Typed]) -> Typed | None:
    items = [value.item for value in values]
    return items[0] if all(item == items[0] for item in items) else None
