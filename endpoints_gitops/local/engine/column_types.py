"""The type of a column that ClickHouse describes, as the translator knows types."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.contract.clickhouse import is_nullable, parse_type, type_word
from endpoints_gitops.hogql.types import Kind, Typed

_KINDS: Final = {"json": Kind.TUPLE}


def typed_of(written: str) -> Typed:
    """The type of a column of this ClickHouse type, with that of an array's items."""
    parsed = parse_type(written)
    item = typed_of(parsed.arguments[0]) if parsed.name == "Array" else None
    return Typed(_kind_of(parsed.name, type_word(written)), is_nullable(written), item=item)


def _kind_of(name: str, word: str) -> Kind:
    if name == "UUID":
        return Kind.UUID
    if name == "DateTime64":
        return Kind.DATETIME64
    return _KINDS.get(word) or Kind(word)
