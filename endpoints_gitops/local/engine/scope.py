"""What the translator knows of an expression, and what a SELECT can see while it is translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.hogql import types
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.tables import Table, TypedColumn
from endpoints_gitops.hogql.types import Kind, Typed
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import QueryRefused, too_large

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


LARGEST_TEXT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationContext:
    """What all parts of one translation share. `taken` are words that no table may be called in the printed SQL."""

    tables: Mapping[str, Table]
    now: datetime | None
    taken: frozenset[str]


@dataclass(slots=True, kw_only=True)
class QuerySource:
    """Something in FROM. `joins` are the tables reached through it so far, each with its printed JOIN."""

    name: str
    printed: str
    columns: Mapping[str, TypedColumn]
    table: Table | None = None
    joins: dict[str, Joined] = field(default_factory=dict)

    def column(self, column: TypedColumn) -> str:
        return f"{identifier(self.printed)}.{identifier(column.stored_as)}"

    def joined_text(self) -> str:
        return "".join(join.text + join.source.joined_text() for join in self.joins.values())


@dataclass(slots=True, kw_only=True)
class Joined:
    source: QuerySource
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cte:
    """A WITH entry: a column CTE has `expr`, a table CTE has `query`. `above` are the entries that it sees itself."""

    name: str
    node: Tree
    above: Mapping[str, Cte]

    @property
    def is_column(self) -> bool:
        return self.node.get("cte_type") == "column"


@dataclass(slots=True, kw_only=True)
class QueryScope:
    """`arguments` maps lambda arguments to what they print as. `bare` is set where comparisons are left as they are."""

    context: TranslationContext
    ctes: Mapping[str, Cte] = field(default_factory=dict)
    sources: dict[str, QuerySource] = field(default_factory=dict)
    aliases: dict[str, Sql] = field(default_factory=dict)
    arguments: Mapping[str, Sql] = field(default_factory=dict)
    aggregate: str | None = None
    bare: bool = False

    def inside(self, **changes: Any) -> QueryScope:  # noqa: ANN401 - the fields of this class, checked by replace
        """The same rows and aliases, seen from inside a lambda, an aggregate or an ON."""
        return replace(self, **changes)

    def below(self) -> QueryScope:
        """The scope of a subquery: it sees the CTEs and nothing else."""
        return QueryScope(context=self.context, ctes=self.ctes)


type Translate = Callable[[Tree, QueryScope], Sql]


def bounded(text: str) -> str:
    """The text itself, unless what it was made from has grown beyond what can be run."""
    if len(text) > LARGEST_TEXT:
        raise too_large()
    return text


def refuse_unknown(node: Tree, known: frozenset[str]) -> None:
    """Raise QueryRefused for a part of a node that nothing here translates: left out, it would change the answer."""
    unknown = sorted(key for key, value in node.items() if key not in known and value not in (None, False, []))
    if unknown:
        raise QueryRefused(f"{node['node']} with {', '.join(unknown)} is not supported by the local server")


def refuse_if(condition: object, message: str) -> None:
    if condition:
        raise QueryRefused(message)
