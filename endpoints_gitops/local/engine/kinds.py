"""What the translator knows of an expression: its SQL, its kind, and whether it may be NULL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.hogql.types import Kind

__all__ = ["NULL", "Constant", "Kind", "Path", "Sql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value known while translating."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A place inside a column of JSON. `typed` are the keys at its top that have a type of their own."""

    column: str
    keys: tuple[str | int, ...] = ()
    typed: Mapping[str, Kind] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """A piece of ClickHouse SQL that stands alone as an operand: no brackets are needed around it.

    `nullable` is true wherever NULL cannot be ruled out. `moment` marks the timestamps of events and sessions, whose
    comparisons are never wrapped. `element` is what is known of an array's items. `json` is set for a column of JSON
    and for what lies inside one: the column's SQL and the keys so far.
    """

    text: str
    kind: Kind = Kind.UNKNOWN
    nullable: bool = True
    constant: Constant | None = None
    moment: bool = False
    element: Kind = Kind.UNKNOWN
    json: Path | None = None

    @property
    def is_null(self) -> bool:
        return self.constant is not None and self.constant.value is None


NULL: Final = Sql(text="NULL", constant=Constant(value=None))
