"""Translated expressions, and the names that are visible in a SELECT."""

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
from endpoints_gitops.local.engine.literals import identifier, text
from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT, ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused, too_large

__all__ = ["NULL", "Constant", "Kind", "Path", "Sql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value that is known during translation."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A key inside a JSON column. `properties` are the top-level keys for which the project defines a type; `zone` is
    that of times, quoted."""

    column: str
    keys: tuple[str | int, ...] = ()
    properties: Mapping[str, Kind] = MappingProxyType({})
    zone: str = "'UTC'"


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of ClickHouse SQL that stands alone as an operand: no brackets are needed around it.

    `typed` is what the catalog says of it. `json` is set for a column of JSON and for what lies inside one: the
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
        """Whether NULL is possible."""
        return self.typed.nullable is not False

    @property
    def is_null(self) -> bool:
        return self.constant is not None and self.constant.value is None


NULL: Final = Sql("NULL", types.NULL, constant=Constant(value=None))


LARGEST_TEXT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationContext:
    """The state of one translation. `taken` are words that must not be table names in the printed SQL; `maximum` is the
    largest LIMIT of the outermost SELECT."""

    tables: Mapping[str, Table]
    now: datetime | None
    taken: frozenset[str]
    maximum: int
    project: ProjectData = UNKNOWN_PROJECT

    @property
    def zone(self) -> str:
        """The time zone of the project, quoted."""
        return text(self.project.timezone)


@dataclass(slots=True, kw_only=True)
class QuerySource:
    """A relation in FROM. `joins` are the tables that were joined through it, each with its printed JOIN."""

    name: str
    printed: str
    columns: Mapping[str, TypedColumn]
    table: Table | None = None
    zone: str = "'UTC'"
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
    """A CTE: a column CTE has `expr`, a table CTE has `query`. `above` are the CTEs that it can use."""

    name: str
    node: Tree
    above: Mapping[str, Cte]

    @property
    def is_column(self) -> bool:
        return self.node.get("cte_type") == "column"


@dataclass(slots=True, kw_only=True)
class QueryScope:
    """The names that are visible in an expression. `arguments` maps lambda arguments to their text; `bare`:
    comparisons are not changed."""

    context: TranslationContext
    ctes: Mapping[str, Cte] = field(default_factory=dict)
    sources: dict[str, QuerySource] = field(default_factory=dict)
    aliases: dict[str, Sql] = field(default_factory=dict)
    arguments: Mapping[str, Sql] = field(default_factory=dict)
    aggregate: str | None = None
    bare: bool = False

    def inside(self, **changes: Any) -> QueryScope:  # noqa: ANN401 - the fields of this class, checked by replace
        """The scope inside a lambda, an aggregate or an ON, with the same rows and aliases."""
        return replace(self, **changes)

    def below(self) -> QueryScope:
        """The scope of a subquery, which sees only the CTEs."""
        return QueryScope(context=self.context, ctes=self.ctes)


type Translate = Callable[[Tree, QueryScope], Sql]


def bounded(text: str) -> str:
    """The text. Raises QueryRefused if it is too large to run."""
    if len(text) > LARGEST_TEXT:
        raise too_large()
    return text


def refuse_unknown(node: Tree, known: frozenset[str]) -> None:
    """Raise QueryRefused for a part of a node that is not translated, because dropping it would change the answer."""
    unknown = sorted(key for key, value in node.items() if key not in known and value not in (None, False, []))
    if unknown:
        raise QueryRefused(f"{node['node']} with {', '.join(unknown)} is not supported by the local server")


def refuse_if(condition: object, message: str) -> None:
    if condition:
        raise QueryRefused(message)
