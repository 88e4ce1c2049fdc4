"""Translate SELECT and sets of SELECTs (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from endpoints_gitops.hogql import column_names
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import UnboundVariable, readable
from endpoints_gitops.hogql.refusals import UNSUPPORTED_NODES
from endpoints_gitops.hogql.syntax_tree import of_kind
from endpoints_gitops.hogql.tables import NUMBERS, Table, TypedColumn
from endpoints_gitops.hogql.types import Typed, common
from endpoints_gitops.local.engine.calls import order, window
from endpoints_gitops.local.engine.expressions import expression, expressions, listed, translates
from endpoints_gitops.local.engine.fields import as_alias, column_sql
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import (
    Cte,
    Kind,
    QueryScope,
    QuerySource,
    Sql,
    bounded,
    refuse_if,
    refuse_unknown,
)

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
    """The printed text of a query and its columns in order."""

    text: str
    columns: Mapping[str, TypedColumn]


type TranslateQuery = Callable[[Tree, QueryScope, list[str] | None], Subquery]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    before: str
    source: QuerySource
    constraint: str

    @property
    def text(self) -> str:
        return f"{self.before}{self.constraint}{self.source.joined_text()}"


class From:
    """The FROM clause of a SELECT. Its text is final only after all else is translated, because fields add joins."""

    def __init__(self, node: Tree | None, scope: QueryScope, query: TranslateQuery) -> None:
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

    def _read(self, node: Tree) -> tuple[str, QuerySource]:
        kind, table = node["table"]["node"], node["table"]
        if kind in ("SelectQuery", "SelectSetQuery"):
            found = self._query(table, self._scope.below(), node.get("column_aliases"))
            return f"({found.text})", self._named(node.get("alias") or f"subquery_{len(self._parts)}", found.columns)
        if kind != "Field":
            raise QueryRefused(UNSUPPORTED_NODES.get(kind, f"A {kind} cannot be used as a SELECT source"))
        return self._by_name(node, ".".join(map(str, table["chain"])))

    def _by_name(self, node: Tree, name: str) -> tuple[str, QuerySource]:
        alias, arguments = node.get("alias") or name.replace(".", "__"), node.get("table_args")
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

    def _named(self, name: str, columns: Mapping[str, TypedColumn], table: Table | None = None) -> QuerySource:
        printed = name
        while printed in self._scope.context.taken or printed in self._scope.context.tables:
            printed += "_"
        return QuerySource(name=name, printed=printed, columns=columns, table=table, zone=self._scope.context.zone)


def ctes_of(node: Tree, above: Mapping[str, Cte]) -> dict[str, Cte]:
    """The CTEs that a SELECT can use: those of enclosing queries and its own, each of which sees the previous ones."""
    seen = dict(above)
    for cte in node.get("ctes") or []:
        refuse_unknown(cte, _KNOWN_OF_CTE)
        refuse_if(cte.get("recursive"), "Recursive CTEs are not supported")
        refuse_if(cte.get("materialized") is not None, "MATERIALIZED is not supported in clickhouse dialect")
        seen[cte["name"]] = Cte(name=cte["name"], node=cte, above=dict(seen))
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


def column_name(node: Tree, found: Sql) -> str:
    """The last part of a field, the keys that lead into JSON, or the expression as the server prints it.

    How it prints a subquery is not known; HogQL's own print is as good as any.
    """
    if node["node"] == "Field":
        keys = found.json.keys if found.json else ()
        return column_names.field_name(list(map(str, node["chain"])), tuple(map(str, keys)) or None)
    if node["node"] in _QUERIES:
        return f"({readable(node)})"
    if any(of_kind(node, *_QUERIES)):
        return readable(node)
    try:
        return column_names.expression_name(node).text
    except UnboundVariable as error:
        raise QueryRefused(f"A column made of this value needs a name: {error.message}") from None


_QUERIES = ("SelectQuery", "SelectSetQuery")


DEFAULT_LIMIT: Final = 100
_SETS: Final = ("UNION ALL", "UNION DISTINCT", "INTERSECT", "EXCEPT", "INTERSECT DISTINCT", "EXCEPT DISTINCT")
_PARTS_OF_SELECT: Final = """
node start end ctes select distinct select_from array_join_op array_join_list prewhere where group_by group_by_mode
having window_exprs order_by limit_by limit limit_with_ties offset
"""
_KNOWN_OF_SELECT: Final = frozenset(_PARTS_OF_SELECT.split())
_GROUPINGS: Final = {"rollup": "ROLLUP", "cube": "CUBE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A column of a SELECT. `visible`: the query names it."""

    name: str
    sql: Sql
    visible: bool = False

    @property
    def column(self) -> TypedColumn:
        return TypedColumn(self.name, replace(self.sql.typed.named(), is_timestamp=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A translated query: its text and its columns in order, including duplicates."""

    text: str
    items: tuple[Item, ...]


def top_query(tree: Tree, scope: QueryScope) -> Printed:
    """Translate a complete query, with the limits of the outermost SELECT."""
    return _query(tree, scope, names=None, top=True)


@translates("SelectQuery", "SelectSetQuery")
def scalar(node: Tree, scope: QueryScope) -> Sql:
    """Translate a subquery as a value, or as the right side of IN."""
    found = _query(node, scope.below(), names=None, top=False)
    first = found.items[0].sql.typed
    return Sql(f"({found.text})", first.as_nullable(None) if len(found.items) == 1 else Typed(Kind.TUPLE, None))


@translates("Alias")
def alias(node: Tree, scope: QueryScope) -> Sql:
    """Translate `x AS name`, and register the alias."""
    found = expression(node["expr"], scope)
    name = str(node["alias"])
    _name(name, found, scope)
    return replace(found, text=f"({found.text} AS {identifier(name)})", json=as_alias(name, found).json)


def subquery(node: Tree, scope: QueryScope, names: list[str] | None) -> Subquery:
    """Translate a query in FROM. `names` rename its columns."""
    found = _query(node, scope, names=names, top=False)
    return Subquery(text=found.text, columns={item.name: item.column for item in found.items})


def _query(node: Tree, scope: QueryScope, *, names: list[str] | None, top: bool) -> Printed:
    if node["node"] == "SelectQuery":
        return _select(node, scope, names=names, top=top)
    if node["node"] != "SelectSetQuery":
        raise QueryRefused(f"A {node['node']} cannot be used as a SELECT source")
    return _set(node, scope, names=names, top=top)


def _set(node: Tree, scope: QueryScope, *, names: list[str] | None, top: bool) -> Printed:
    first = node["initial_select_query"]
    arms = [_query(first, scope, names=names, top=top)]
    shared = scope.inside(ctes=_shared_ctes(first, scope.ctes))
    parts = [f"({arms[0].text})"]
    for arm in node["subsequent_select_queries"]:
        refuse_if(arm["set_operator"] not in _SETS, f"{arm['set_operator']} is not supported in clickhouse dialect")
        arms.append(_query(arm["select_query"], shared.below(), names=None, top=top))
        parts.append(f"{arm['set_operator']} ({arms[-1].text})")
    items = tuple(_either(arms, place) for place in range(len(arms[0].items)))
    cut = _limit(node, scope, top=False)
    together = " ".join(parts)
    text = f"SELECT * FROM ({together}){cut}" if cut else together  # noqa: S608 - translated parts
    return Printed(text=bounded(text), items=items)


def _shared_ctes(node: Tree, above: Mapping[str, Cte]) -> Mapping[str, Cte]:
    """The scope of a set, in which later arms see the CTEs of the first one."""
    while node["node"] == "SelectSetQuery":
        node = node["initial_select_query"]
    return ctes_of(node, above)


def _either(arms: list[Printed], place: int) -> Item:
    """A column of a set, with the common type of the arms; nullable if that of an arm is."""
    item = arms[0].items[place]
    typed = common([arm.items[place].sql.typed for arm in arms if place < len(arm.items)])
    return replace(item, sql=replace(item.sql, typed=typed))


def _select(node: Tree, above: QueryScope, *, names: list[str] | None, top: bool) -> Printed:
    refuse_if(node.get("qualify"), "QUALIFY is not supported in the 'clickhouse' dialect")
    refuse_unknown(node, _KNOWN_OF_SELECT)
    scope = QueryScope(context=above.context, ctes=ctes_of(node, above.ctes))
    source = From(node.get("select_from"), scope, subquery)
    array_join = _array_join(node, scope)
    items = _renamed([item for column in node["select"] for item in _items(column, scope)], names)
    tail = _tail(node, scope, top=top)
    written = [_written(item, items, top=top) for item in items]
    distinct = "DISTINCT " if node.get("distinct") else ""
    columns = ", ".join(text for text in written if text)
    text = f"SELECT {distinct}{columns}{source.text}{array_join}{tail}"
    return Printed(text=bounded(text), items=tuple(items))


def _items(node: Tree, scope: QueryScope) -> list[Item]:
    if node["node"] == "Alias":
        name, found = str(node["alias"]), expression(node["expr"], scope)
        _name(name, found, scope)
        return [Item(name=name, sql=found, visible=True)]
    starred = _starred(node, scope)
    if starred is not None:
        return [Item(name=column.name, sql=column_sql(source, column)) for source, column in starred]
    found = expression(node, scope)
    return [Item(name=column_name(node, found), sql=found)]


def _starred(node: Tree, scope: QueryScope) -> list[tuple[QuerySource, TypedColumn]] | None:
    if node["node"] == "ColumnsExpr":
        return _chosen(node, scope)
    chain = node.get("chain") if node["node"] == "Field" else None
    if not chain or chain[-1] != "*":
        return None
    if len(chain) == 1:
        return _every(_only_source(scope))
    if len(chain) == 2 and chain[0] in scope.sources:
        return _every(scope.sources[chain[0]])
    raise QueryRefused(f"Cannot use '*' on '{'.'.join(map(str, chain[:-1]))}': it is no table of the query")


def _chosen(node: Tree, scope: QueryScope) -> list[tuple[QuerySource, TypedColumn]]:
    if not node.get("all_columns"):
        raise QueryRefused("COLUMNS(…) is not supported by the local server; name the columns")
    excluded = set(node.get("exclude") or ())
    return [pair for pair in _every(_only_source(scope)) if pair[1].name not in excluded]


def _every(source: QuerySource) -> list[tuple[QuerySource, TypedColumn]]:
    columns = [column for column in source.columns.values() if column.starred is not False]
    absent = [column.name for column in columns if not column.is_local]
    if absent:
        raise QueryRefused(
            f"'*' of {source.name} has fields that exist in PostHog but not in the local server: {', '.join(absent)}. "
            "Name the ones you need"
        )
    return [(source, column) for column in columns]


def _only_source(scope: QueryScope) -> QuerySource:
    if not scope.sources:
        raise QueryRefused("Cannot use '*' when there are no tables in the query")
    if len(scope.sources) > 1:
        raise QueryRefused("Cannot use '*' without table name when there are multiple tables in the query")
    return next(iter(scope.sources.values()))


def _name(name: str, found: Sql, scope: QueryScope) -> None:
    if name in scope.aliases:
        raise QueryRefused(f"Cannot redefine an alias with the name: {name}")
    scope.aliases[name] = as_alias(name, found)


def _renamed(items: list[Item], names: list[str] | None) -> list[Item]:
    if names is None:
        return items
    refuse_if(len(names) != len(items), f"{len(names)} names were given for {len(items)} columns")
    return [replace(item, name=str(name)) for item, name in zip(items, names, strict=True)]


def _written(item: Item, items: list[Item], *, top: bool) -> str:
    """The column as printed; nothing for one that another of its name hides from the query outside.

    At the top only what the query named itself is named: two expressions under one name are an error of ClickHouse.
    """
    if top:
        return f"{item.sql.text} AS {identifier(item.name)}" if item.visible else item.sql.text
    same = [other for other in items if other.name == item.name]
    shown = next((other for other in same if other.visible), same[-1])
    return f"{item.sql.text} AS {identifier(item.name)}" if item is shown else ""


def _array_join(node: Tree, scope: QueryScope) -> str:
    if not node.get("array_join_list"):
        return ""
    parts = []
    for join in node["array_join_list"]:
        found, name = expression(join["expr"], scope), str(join["alias"])
        item = found.typed.item or Typed(Kind.UNKNOWN, None)
        _name(name, Sql(found.text, item), scope)
        parts.append(f"{found.text} AS {identifier(name)}")
    word = "LEFT ARRAY JOIN" if node["array_join_op"].startswith("LEFT") else "ARRAY JOIN"
    return f" {word} {', '.join(parts)}"


def _tail(node: Tree, scope: QueryScope, *, top: bool) -> str:
    parts = [f" {word} {expression(node[key], scope).text}" for key, word in _CONDITIONS_BEFORE if node.get(key)]
    parts.append(_group_by(node, scope))
    if node.get("having"):
        parts.append(f" HAVING {expression(node['having'], scope).text}")
    windows = node.get("window_exprs") or {}
    if windows:
        named = (f"{identifier(name)} AS ({window(node_of_window, scope)})" for name, node_of_window in windows.items())
        parts.append(f" WINDOW {', '.join(named)}")
    if node.get("order_by"):
        parts.append(f" ORDER BY {', '.join(order(key, scope) for key in node['order_by'])}")
    return "".join([*parts, _limit_by(node, scope), _limit(node, scope, top=top)])


_CONDITIONS_BEFORE: Final = (("prewhere", "PREWHERE"), ("where", "WHERE"))


def _group_by(node: Tree, scope: QueryScope) -> str:
    mode = node.get("group_by_mode")
    if mode == "all":
        return " GROUP BY ALL"
    if not node.get("group_by"):
        return ""
    if mode == "grouping_sets":
        sets = (f"({listed(expressions(key['exprs'], scope))})" for key in node["group_by"])
        return f" GROUP BY GROUPING SETS ({', '.join(sets)})"
    keys = listed(expressions(node["group_by"], scope))
    return f" GROUP BY {_GROUPINGS[mode]}({keys})" if mode in _GROUPINGS else f" GROUP BY {keys}"


def _limit_by(node: Tree, scope: QueryScope) -> str:
    found = node.get("limit_by")
    if not found:
        return ""
    offset = f" OFFSET {expression(found['offset_value'], scope).text}" if found.get("offset_value") else ""
    return f" LIMIT {expression(found['n'], scope).text}{offset} BY {listed(expressions(found['exprs'], scope))}"


def _limit(node: Tree, scope: QueryScope, *, top: bool) -> str:
    limit, offset = node.get("limit"), node.get("offset")
    _refuse_odd("LIMIT", limit)
    _refuse_odd("OFFSET", offset)
    parts = []
    if limit:
        number = expression(limit, scope)
        parts.append(f" LIMIT {_at_most(number, scope.context.maximum) if top else number.text}")
        if node.get("limit_with_ties"):
            parts.append(" WITH TIES")
    elif top:
        parts.append(f" LIMIT {DEFAULT_LIMIT}")
    if offset:
        parts.append(f" OFFSET {expression(offset, scope).text}")
    return "".join(parts)


def _refuse_odd(word: str, node: Tree | None) -> None:
    """Check a limit. ClickHouse 26 supports negative and fractional limits; PostHog's version does not."""
    value = (node or {}).get("value")
    if isinstance(value, (int, float)) and (value < 0 or value != int(value)):
        raise QueryRefused(f"{word} takes a whole number from 0 on, not {value}")


def _at_most(limit: Sql, maximum: int) -> str:
    if limit.constant is None:
        return f"min2({maximum}, {limit.text})"
    value = limit.constant.value
    return str(min(maximum, value)) if isinstance(value, int) else limit.text
