"""FROM: tables, subqueries and CTEs, and how they are joined (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.tables import NUMBERS, Column, Table
from endpoints_gitops.local.engine.expressions import expression, expressions, listed
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Cte, Scope, Source, refuse_if, refuse_unknown

_JOIN_WORDS: Final = {"INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS", "ANY", "ALL", "SEMI", "ANTI", "ASOF", "JOIN"}
_PARTS: Final = """
node start end table alias table_args table_final sample join_type constraint next_join column_aliases
"""
_KNOWN: Final = frozenset(_PARTS.split())
_KNOWN_OF_CTE: Final = frozenset(
    {"node", "start", "end", "name", "expr", "cte_type", "columns", "recursive", "materialized"}
)
_FINAL: Final = "The FINAL keyword is not supported in HogQL as it causes slow queries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subquery:
    """The printed text of a query, and the columns that come out of it, in order."""

    text: str
    columns: Mapping[str, Column]


type TranslateQuery = Callable[[Tree, Scope, list[str] | None], Subquery]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    before: str
    source: Source
    constraint: str

    @property
    def text(self) -> str:
        return f"{self.before}{self.constraint}{self.source.joined_text()}"


class From:
    """The FROM clause of one SELECT. Its text is final only once all else is translated: fields reach more tables."""

    def __init__(self, node: Tree | None, scope: Scope, query: TranslateQuery) -> None:
        self._scope = scope
        self._query = query
        self._parts: list[_Part] = []
        while node is not None:
            self._parts.append(self._part(node))
            node = node.get("next_join")

    @property
    def text(self) -> str:
        return "".join(part.text for part in self._parts)

    def _part(self, node: Tree) -> _Part:
        refuse_unknown(node, _KNOWN)
        refuse_if(node.get("table_final"), _FINAL)
        _refuse_sample(node.get("sample"))
        read, source = self._read(node)
        if source.name in self._scope.sources:
            raise QueryRefused(f'Already have joined a table called "{source.name}". Can\'t redefine.')
        self._scope.sources[source.name] = source
        join = f" {_join(node)} " if self._parts else " FROM "
        constraint = self._constraint(node)
        if source.joins:
            reached = next(iter(source.joins))
            raise QueryRefused(
                f"The ON of a JOIN cannot reach {source.name}.{reached} yet; join a subquery that selects it"
            )
        return _Part(before=f"{join}{read} AS {identifier(source.printed)}", source=source, constraint=constraint)

    def _constraint(self, node: Tree) -> str:
        constraint = node.get("constraint")
        if constraint is None:
            return ""
        if constraint["constraint_type"] == "USING":
            return f" USING ({', '.join(_using(constraint['expr']))})"
        return f" ON {expression(constraint['expr'], self._scope.inside(bare=True)).text}"

    def _read(self, node: Tree) -> tuple[str, Source]:
        kind, table = node["table"]["node"], node["table"]
        if kind in ("SelectQuery", "SelectSetQuery"):
            found = self._query(table, self._scope.below(), node.get("column_aliases"))
            return f"({found.text})", self._named(node.get("alias") or f"subquery_{len(self._parts)}", found.columns)
        if kind in ("PivotExpr", "UnpivotExpr"):
            raise QueryRefused(f"{kind.removesuffix('Expr').upper()} is not allowed in clickhouse dialect")
        if kind == "ValuesQuery":
            raise QueryRefused("VALUES clause is not supported in ClickHouse dialect")
        if kind != "Field":
            raise QueryRefused(f"A {kind} cannot be used as a SELECT source")
        return self._by_name(node, ".".join(map(str, table["chain"])))

    def _by_name(self, node: Tree, name: str) -> tuple[str, Source]:
        alias, arguments = node.get("alias") or name, node.get("table_args")
        cte = self._scope.ctes.get(name)
        if cte is not None and not cte.is_column:
            names = node.get("column_aliases") or cte.node.get("columns")
            found = self._query(cte.node["expr"], self._scope.inside(ctes=cte.above).below(), names)
            return f"({found.text})", self._named(alias, found.columns)
        refuse_if(node.get("column_aliases"), f"Table '{name}' does not accept names for its columns")
        if name == NUMBERS.name:
            return self._numbers(arguments), self._named(alias, NUMBERS.columns)
        table = self._scope.context.tables.get(name)
        if table is None:
            raise QueryRefused(f"Unknown table `{name}`.")
        refuse_if(arguments is not None, f"Table '{name}' does not accept arguments")
        return identifier(table.stored_as), self._named(alias, table.columns, table)

    def _numbers(self, arguments: list[Tree] | None) -> str:
        refuse_if(arguments is None, "Table function 'numbers' requires arguments")
        given = expressions(arguments or [], self._scope.below())
        refuse_if(not given, "Table function 'numbers' requires at least 1 argument")
        refuse_if(len(given) > 2, "Table function 'numbers' requires at most 2 arguments")
        return f"numbers({listed(given)})"

    def _named(self, name: str, columns: Mapping[str, Column], table: Table | None = None) -> Source:
        printed = name
        while printed in self._scope.context.taken or printed in self._scope.context.tables:
            printed += "_"
        return Source(name=name, printed=printed, columns=columns, table=table)


def ctes_of(node: Tree, above: Mapping[str, Cte]) -> dict[str, Cte]:
    """What a SELECT sees: the entries above it, then its own, each of which sees those before it."""
    seen = dict(above)
    for each in node.get("ctes") or []:
        refuse_unknown(each, _KNOWN_OF_CTE)
        refuse_if(each.get("recursive"), "Recursive CTEs are not supported")
        refuse_if(each.get("materialized") is not None, "MATERIALIZED is not supported in clickhouse dialect")
        seen[each["name"]] = Cte(name=each["name"], node=each, above=dict(seen))
    return seen


def _join(node: Tree) -> str:
    kind = str(node["join_type"])
    if not set(kind.split()) <= _JOIN_WORDS:
        raise QueryRefused(f"{kind} is not supported")
    refuse_if(not node.get("constraint") and "CROSS" not in kind, f"A {kind} needs ON or USING")
    return kind


def _using(expr: Tree) -> list[str]:
    fields = expr["exprs"] if expr["node"] == "Tuple" else [expr]
    if any(field["node"] != "Field" or len(field["chain"]) != 1 for field in fields):
        raise QueryRefused("USING takes names of columns")
    return [identifier(str(field["chain"][0])) for field in fields]


def _refuse_sample(node: Tree | None) -> None:
    if node is None:
        return
    ratio = node["sample_value"]
    whole = ratio["left"].get("value") == 1 and not ratio.get("right")
    if not whole or node.get("offset_value"):
        raise QueryRefused("SAMPLE needs a table that can be sampled, and no local one can", "sampling_not_supported")
