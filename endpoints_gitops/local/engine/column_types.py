"""ClickHouse's types, read from their names (docs/server.md#answers)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.local.engine.kinds import Kind

_WRAPPERS: Final = ("Nullable", "LowCardinality")
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
_KINDS: Final = {"json": Kind.TUPLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseType:
    """A type and what stands in its brackets, in order: types, numbers and quoted texts, as they are written."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[ClickHouseType, ...]:
        """The types inside an array, a map or a tuple; names of a tuple's parts are left out."""
        return tuple(parse_type(_unnamed(each)) for each in self.arguments)


@lru_cache(maxsize=1024)
def parse_type(written: str) -> ClickHouseType:
    """The type without Nullable, LowCardinality and the aggregate functions around it."""
    name, _, rest = written.partition("(")
    arguments = tuple(_arguments(rest.removesuffix(")"))) if rest else ()
    if name in _WRAPPERS:
        return parse_type(arguments[0])
    if name in ("AggregateFunction", "SimpleAggregateFunction"):
        return parse_type(arguments[-1])
    return ClickHouseType(name=name.strip(), arguments=arguments)


def type_word(written: str) -> str:
    """The word that the API has for a type."""
    name = parse_type(written).name
    for prefixes, word in _WORDS:
        if name.startswith(prefixes):
            return word
    return "unknown"


def kind_of(written: str) -> Kind:
    """What the translator takes a column of this type for."""
    name, word = parse_type(written).name, type_word(written)
    if name == "UUID":
        return Kind.UUID
    return _KINDS.get(word) or Kind(word)


def is_nullable(written: str) -> bool:
    return written.removeprefix("LowCardinality(").startswith("Nullable(")


def element_kind(written: str) -> Kind:
    """The kind of an array's items."""
    found = parse_type(written)
    return kind_of(found.arguments[0]) if found.name == "Array" else Kind.UNKNOWN


def _unnamed(argument: str) -> str:
    """`a Int8` is a named part of a tuple; `DateTime64(6, 'UTC')` is not, though it holds a blank."""
    head, blank, rest = argument.partition(" ")
    return rest if blank and "(" not in head else argument


def _arguments(text: str) -> list[str]:
    found, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        if character == "'" and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not quoted and depth == 0:
            found.append(text[start:place].strip())
            start = place + 1
    found.append(text[start:].strip())
    return found
