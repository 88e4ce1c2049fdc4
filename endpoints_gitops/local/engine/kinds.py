"""What the translator knows of an expression: its SQL and its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.hogql import types
from endpoints_gitops.hogql.types import Kind, Typed

__all__ = ["NULL", "Constant", "Kind", "Path", "Sql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value known while translating."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A key inside a column of JSON. `properties` are the keys at its top to which the project gives a type."""

    column: str
    keys: tuple[str | int, ...] = ()
    properties: Mapping[str, Kind] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of ClickHouse SQL that stands alone as an operand: no brackets are needed around it.

    `typed` is what the catalogue says of it. `json` is set for a column of JSON and for what lies inside one: the
    column's SQL and the keys so far.
    """

    text: str
    typed: Typed = Typed(Kind.UNKNOWN, None)  # noqa: RUF009 - frozen
    constant: Constant | None = None
    json: Path | None = None

    @property
    def kind(self) -> Kind:
        return self.typed.kind

    @property
    def nullable(self) -> bool:
        """True wherever NULL cannot be ruled out."""
        return self.typed.nullable is not False

    @property
    def is_null(self) -> bool:
        return self.constant is not None and self.constant.value is None


NULL: Final = Sql("NULL", types.NULL, constant=Constant(value=None))
