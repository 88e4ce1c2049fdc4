"""ClickHouse's types as the server's words (docs/server.md#answers). Types come from answers, which wrap them."""

from __future__ import annotations

from typing import Final

_WRAPPERS: Final = ("Nullable(", "LowCardinality(")
_AGGREGATES: Final = ("AggregateFunction(", "SimpleAggregateFunction(")
_WORDS: Final = (
    (("Int", "UInt"), "integer"),
    (("Float", "BFloat"), "float"),
    (("Decimal",), "decimal"),
    (("String", "FixedString", "UUID", "Enum"), "string"),
    (("DateTime",), "datetime"),
    (("Date",), "date"),
    (("Bool",), "boolean"),
    (("Array",), "array"),
    (("Tuple", "Map"), "json"),
)


def type_word(written: str) -> str:
    """The word that the server has for a type."""
    bare = unwrapped(written)
    return next((word for prefixes, word in _WORDS if bare.startswith(prefixes)), "unknown")


def is_nullable(written: str) -> bool:
    return written.removeprefix("LowCardinality(").startswith("Nullable(")


def unwrapped(written: str) -> str:
    """Without Nullable, LowCardinality and the aggregate function around it."""
    for wrapper in _WRAPPERS:
        if written.startswith(wrapper):
            return unwrapped(written.removeprefix(wrapper).removesuffix(")"))
    for aggregate in _AGGREGATES:
        if written.startswith(aggregate):
            return unwrapped(written.removeprefix(aggregate).removesuffix(")").partition(", ")[2])
    return written


def bits(written: str) -> int | None:
    """The width of a whole number, None for any other type."""
    digits = unwrapped(written).removeprefix("U").removeprefix("Int")
    return int(digits) if type_word(written) == "integer" and digits.isdigit() else None
