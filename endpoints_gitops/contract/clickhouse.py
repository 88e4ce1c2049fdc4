"""ClickHouse types as answers write them, and the server's names for them (docs/server.md#answers)."""

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
    """A type and its arguments in order: types, numbers and quoted strings, as they are written."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def inner(self) -> tuple[str, ...]:
        """The item types of an array, a map or a tuple, without the names of a tuple's items."""
        return tuple(map(_unnamed, self.arguments))


@lru_cache(maxsize=4096)
def parse_type(text: str) -> ClickHouseType:
    """Parse a type. Nullable, LowCardinality and aggregate functions around it are removed."""
    bare = unwrapped(text)
    name, _, rest = bare.partition("(")
    return ClickHouseType(name=name.strip(), arguments=_arguments(rest))


def unwrapped(text: str) -> str:
    """The text of a type without Nullable, LowCardinality and aggregate functions around it."""
    bare = text.strip()
    name, opened, rest = bare.partition("(")
    if not opened or name not in _WRAPPERS:
        return bare
    arguments = _arguments(rest)
    return unwrapped(arguments[_WRAPPERS[name]]) if arguments else ""


def type_word(text: str) -> str:
    """The server's name for a type, such as `integer`; `unknown` for a type it has no name for."""
    name = parse_type(text).name
    return next((word for prefixes, word in _WORDS if name.startswith(prefixes)), "unknown")


def full_type(text: str) -> str | None:
    """An array, tuple or map with the server's names for its item types, such as `Array(Nullable(integer))`; None for
    any other type.
    """
    parsed = parse_type(text)
    if parsed.name not in ("Array", "Tuple", "Map") or not parsed.arguments:
        return None
    items = ((item, full_type(item) or type_word(item)) for item in parsed.inner)
    marked = (f"Nullable({word})" if is_nullable(item) else word for item, word in items)
    return f"{parsed.name}({', '.join(marked)})"


def is_nullable(text: str) -> bool:
    return text.removeprefix("LowCardinality(").startswith("Nullable(")


def bits(text: str) -> int | None:
    """The width of an integer type in bits, None for any other type."""
    digits = unwrapped(text).removeprefix("U").removeprefix("Int")
    return int(digits) if type_word(text) == "integer" and digits.isdigit() and len(digits) < 5 else None


def _unnamed(argument: str) -> str:
    """The type without a name: `a Int8` is a named item of a tuple; `DateTime64(6, 'UTC')` has a space but no name."""
    head, blank, rest = argument.partition(" ")
    return rest if blank and "(" not in head else argument


def _arguments(rest: str) -> tuple[str, ...]:
    """The arguments after an opening parenthesis, split at top-level commas."""
    text = rest.rstrip().removesuffix(")")
    arguments, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        if character == "'" and text[index - 1 : index] != "\\":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not quoted and depth == 0:
            arguments.append(text[start:index].strip())
            start = index + 1
    return (*arguments, last) if (last := text[start:].strip()) or arguments else ()
