"""The types of expressions, inferred without the server (docs/server.md#answers)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The kinds of ClickHouse types, as far as they determine the JSON encoding of values."""

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
    """The type of a value. `nullable` is None if unknown; `why` is the reason of an unknown.

    `item` is the type of an array's items, `parts` are those of a tuple's, and `entries` the key and the value of a
    map, whose kind is tuple too. `keys` is set for a value inside a JSON column: the keys that lead to it. `constant`
    is the value of a constant, and the unit of an interval.

    `is_timestamp` marks the timestamps of events and sessions: a comparison with one of them can be NULL, unlike any
    other comparison (docs/server.md#hogql). `is_null_unseen` marks expressions that contain such a comparison: the
    server regards them as never NULL, and does not change comparisons with them either.
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
    entries: tuple[Typed, Typed] | None = None

    @property
    def word(self) -> str:
        """The server's name of the type."""
        return _WORDS.get(self.kind, str(self.kind))

    @property
    def full(self) -> str | None:
        """The type of an array, tuple or map including its item types, such as `Array(Nullable(integer))`; None for any
        other kind and if an item type is unknown.
        """
        inside = (self.item,) if self.kind is Kind.ARRAY else self.parts or self.entries
        if inside is None or not all(item is not None and item.is_known for item in inside):
            return None
        words = [item.full or ("" if item.kind in _NESTED else item.word) for item in inside if item is not None]
        if not all(words):
            return None
        marked = (
            f"Nullable({text})" if item is not None and item.nullable else text
            for item, text in zip(inside, words, strict=True)
        )
        name = "Array" if self.kind is Kind.ARRAY else "Map" if self.entries else "Tuple"
        return f"{name}({', '.join(marked)})"

    @property
    def is_known(self) -> bool:
        return self.word != "unknown" and self.nullable is not None

    def as_nullable(self, nullable: bool | None) -> Typed:
        """The type of a function's result that keeps the kind, with this nullability."""
        return Typed(self.kind, nullable, self.why, self.item, parts=self.parts, entries=self.entries)

    def named(self) -> Typed:
        """The type under an alias: only complete JSON columns keep their keys."""
        return replace(self, keys=() if self.kind is Kind.JSON else None, constant=None)


def unknown(why: str, nullable: bool | None = None) -> Typed:
    return Typed(Kind.UNKNOWN, nullable, why)


def odd(value: Typed) -> Typed:
    """Result type when the argument type is unsupported."""
    return unknown(value.why or f"the argument has the unsupported type {value.kind}")


def missing_arguments(name: str) -> Typed:
    return unknown(f"{name} requires arguments")


NULL: Final = Typed(Kind.NOTHING, nullable=True)
INTEGER: Final = Typed(Kind.INTEGER)
FLOAT: Final = Typed(Kind.FLOAT)
STRING: Final = Typed(Kind.STRING)

NUMBERS: Final = (Kind.INTEGER, Kind.BOOLEAN, Kind.FLOAT, Kind.DECIMAL)
TIMES: Final = (Kind.DATE, Kind.DATETIME, Kind.DATETIME64)


def any_nullable(values: Iterable[Typed]) -> bool | None:
    """The nullability of a function that returns NULL for NULL; None if that of an argument is unknown."""
    answers = [value.nullable for value in values]
    return True if True in answers else (None if None in answers else False)


def all_nullable(values: Iterable[Typed]) -> bool | None:
    answers = [value.nullable for value in values]
    return False if False in answers else (None if None in answers else True)


def first_reason(values: Iterable[Typed]) -> str | None:
    return next((value.why for value in values if value.why), None)


def common(values: list[Typed]) -> Typed:
    """The common type of branches; NULL fits every type. It is nullable if a branch is."""
    nullable = any_nullable(values)
    known = [value for value in values if value.kind is not Kind.NOTHING]
    if not known:
        return Typed(Kind.NOTHING, nullable)
    kinds = {value.kind for value in known}
    if len(kinds) == 1:
        first = known[0]
        parts = first.parts if all(value.parts == first.parts for value in known) else None
        entries = first.entries if all(value.entries == first.entries for value in known) else None
        return Typed(first.kind, nullable, first_reason(known), _common_item(known), parts=parts, entries=entries)
    if kinds <= {Kind.UNKNOWN, Kind.STRING, Kind.JSON}:  # text has a common type only with text
        return Typed(Kind.STRING, nullable, first_reason(value for value in known if value.kind is not Kind.UNKNOWN))
    if Kind.UNKNOWN in kinds:
        return Typed(Kind.UNKNOWN, nullable, first_reason(known))
    if kinds <= {Kind.INTEGER, Kind.FLOAT}:
        return Typed(Kind.FLOAT, nullable)
    if kinds <= {Kind.DATETIME, Kind.DATETIME64}:
        return Typed(Kind.DATETIME64, nullable)
    return Typed(Kind.UNKNOWN, nullable, f"its branches have different types: {', '.join(sorted(kinds))}")


def _common_item(values: list[Typed]) -> Typed | None:
    items = [value.item for value in values]
    return items[0] if all(item == items[0] for item in items) else None
