"""What the translator takes a column for, by ClickHouse's type."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.contract.clickhouse import parse_type, type_word
from endpoints_gitops.local.engine.kinds import Kind

_KINDS: Final = {"json": Kind.TUPLE}


def kind_of(written: str) -> Kind:
    """The kind of a column of this type."""
    name, word = parse_type(written).name, type_word(written)
    if name == "UUID":
        return Kind.UUID
    return _KINDS.get(word) or Kind(word)


def element_kind(written: str) -> Kind:
    """The kind of an array's items."""
    found = parse_type(written)
    return kind_of(found.arguments[0]) if found.name == "Array" else Kind.UNKNOWN
