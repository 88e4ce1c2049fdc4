"""ClickHouse's types as answers write them, and the server's words for them (docs/server.md#answers)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_WRAPPERS: Final = {"Nullable": 0, "LowCardinality": 0, "SimpleAggregateFunction": -1, "AggregateFunction": -1}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseType:
    """A type and what stands in its brackets, in order: types, numbers and quoted texts, as they are written."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def inner(self) -> tuple[str, ...]:
        """The types inside an array, a map or a tuple; names of a tuple's parts are left out."""
        return tuple(map(_unnamed, self.arguments))


@lru_cache(maxsize=4096)
def parse_type(written: str) -> ClickHouseType:
    """The type without Nullable, LowCardinality and the aggregate functions around it."""
    bare = unwrapped(written)
    name, _, rest = bare.partition("(")
    return ClickHouseType(name=name.strip(), arguments=_arguments(rest))


def unwrapped(written: str) -> str:
    """The same, as it is written."""
    bare = written.strip()
    name, opened, rest = bare.partition("(")
    if not opened or name not in _WRAPPERS:
        return bare
    arguments = _arguments(rest)
    return unwrapped(arguments[_WRAPPERS[name]]) if arguments else ""


def type_word(written: str) -> str:
    """The word that the server has for a type."""
    name = parse_type(written).name
    return next((word for prefixes, word in _WORDS if name.startswith(prefixes)), "unknown")


def full_type(written: str) -> str | None:
    """An array, tuple or map with the server's words for what is inside, such as `Array(Nullable(integer))`; None for
    any other type.
    """
    of = parse_type(written)
    if of.name not in ("Array", "Tuple", "Map") or not of.arguments:
        return None
    inside = ((each, full_type(each) or type_word(each)) for each in of.inner)
    marked = (f"Nullable({text})" if is_nullable(each) else text for each, text in inside)
    return f"{of.name}({', '.join(marked)})"


def is_nullable(written: str) -> bool:
    return written.removeprefix("LowCardinality(").startswith("Nullable(")


def bits(written: str) -> int | None:
    """The width of a whole number, None for any other type."""
    digits = unwrapped(written).removeprefix("U").removeprefix("Int")
    return int(digits) if type_word(written) == "integer" and digits.isdigit() and len(digits) < 5 else None


def _unnamed(argument: str) -> str:
    """`a Int8` is a named part of a tuple; `DateTime64(6, 'UTC')` is not, though it holds a blank."""
    head, blank, rest = argument.partition(" ")
    return rest if blank and "(" not in head else argument


def _arguments(rest: str) -> tuple[str, ...]:
    """What stands behind an opening bracket, taken apart at the commas that are inside of nothing."""
    text = rest.rstrip().removesuffix(")")
    found, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        if character == "'" and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not quoted and depth == 0:
            found.append(text[start:place].strip())
            start = place + 1
    return (*found, last) if (last := text[start:].strip()) or found else ()
