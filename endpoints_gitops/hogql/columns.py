"""Infer the columns of a query from its text, in order (docs/server.md#hogql).

An unknown type or name is marked as such, with the reason. `*` over a table that every project has is expanded and
still reported, because the table decides its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.hogql.column_names import expression_name, field_name
from endpoints_gitops.hogql.function_types import call_type, comparison_type, logic_type, window_type
from endpoints_gitops.hogql.functions import ARITHMETIC, CAST_KINDS, CASTS
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import UnboundVariable, readable
from endpoints_gitops.hogql.syntax_tree import fold
from endpoints_gitops.hogql.tables import TABLES, Table, TypedColumn
from endpoints_gitops.hogql.types import (
    FLOAT,
    INTEGER,
    NULL,
    STRING,
    Kind,
    Typed,
    any_nullable,
    common,
    unknown,
)

_AI_IDS: Final = ("$ai_", "_id")


@dataclass(frozen=True, slots=True)
class _NamedSource:
    """A relation in FROM. `why` is set if not all of its columns are known."""

    columns: Mapping[str, TypedColumn]
    table: Table | None = None
    why: str | None = None


@dataclass(slots=True)
class _NameScope:
    """The names that are visible in a query. `ctes` are the tables of WITH, `values` its single values. `depth` is the
    number of enclosing queries."""

    ctes: Mapping[str, _NamedSource] = field(default_factory=dict)
    values: Mapping[str, Typed] = field(default_factory=dict)
    sources: dict[str, _NamedSource] = field(default_factory=dict)
    aliases: dict[str, Typed] = field(default_factory=dict)
    depth: int = 0

    def below(self) -> _NameScope:
        """The scope of a subquery, which sees only the CTEs."""
        return _NameScope(self.ctes, self.values, depth=self.depth + 1)


class UntypedProperty(str):
    """The reason of an unknown type: it is computed from a property whose type only the project knows.

    It is a subclass of str, so that it is preserved when an expression takes over the reason of a part.
    """

    __slots__ = ()


def resolve(chain: list[str], scope: _NameScope) -> Typed:
    """The type of a field, resolved in the same order as on the server."""
    head, *rest = chain
    if rest and head in scope.sources:
        return _walk(scope.sources[head], rest)
    if head in scope.aliases:
        return _inside(scope.aliases[head], rest)
    holders = [source for source in scope.sources.values() if _has(source, head)]
    if len(holders) == 1:
        return _walk(holders[0], chain)
    if holders:
        return unknown(f"{head} is a column of several tables")
    if head in scope.values:
        return _inside(scope.values[head], rest)
    open_end = next((source.why for source in scope.sources.values() if source.why), None)
    return unknown(open_end or f"the query has no name {head}")


def property_of(keys: tuple[str, ...]) -> Typed:
    """The type of the value under the keys: text, unless the project defines a type for the property."""
    if len(keys) > 1 or (keys[0].startswith(_AI_IDS[0]) and keys[0].endswith(_AI_IDS[1])):
        return Typed(STRING.kind, nullable=True, keys=keys)
    why = UntypedProperty(f"the project defines the type of the property {keys[0]}")
    return Typed(Kind.UNKNOWN, nullable=True, why=why, keys=keys)


def _has(source: _NamedSource, name: str) -> bool:
    return name in source.columns or (source.table is not None and name in source.table.relations)


def _walk(source: _NamedSource, names: list[str]) -> Typed:
    """Follow relations from a row to a column."""
    name, *rest = names
    if name in source.columns:
        return _inside(source.columns[name].typed, rest)
    relation = source.table.relations.get(name) if source.table else None
    if relation and rest:
        related = TABLES[relation.table]
        return _walk(_NamedSource(related.columns_by(relation), related), rest)
    return unknown(source.why or f"the query has no name {'.'.join(names)}")


def _inside(value: Typed, keys: list[str]) -> Typed:
    if not keys:
        return value
    if value.keys is None:
        return unknown(value.why or f"the type of {'.'.join(keys)} is unknown")
    return property_of((*value.keys, *keys))


type TypeOfQuery = Callable[[Tree, _NameScope], Typed]
type _Give = Callable[[dict[str, Any], _NameScope], Typed]

_WHOLE: Final = ("SelectQuery", "SelectSetQuery", "Lambda", "Placeholder")


def expression_type(node: Tree, scope: _NameScope, of_query: TypeOfQuery) -> Typed:
    """The type of an expression. `of_query` returns the type of a scalar subquery."""

    def combine(part: dict[str, Any]) -> Any:  # noqa: ANN401 - a Typed; dicts that are not nodes stay unchanged
        kind = part.get("node")
        if not isinstance(kind, str):
            return part
        if kind in ("SelectQuery", "SelectSetQuery"):
            return of_query(part, scope)
        give = _GIVES.get(kind)
        typed = give(part, scope) if give else unknown(f"the type of {kind} is unknown")
        return replace(typed, is_null_unseen=True) if typed.nullable is not False and _hides_null(part) else typed

    typed: Typed = fold(node, combine, whole=_WHOLE)
    return typed


def _hides_null(part: dict[str, Any]) -> bool:
    """Whether a part of the expression can be NULL without the server knowing."""
    values = (item for value in part.values() for item in (value if isinstance(value, list) else (value,)))
    return any(isinstance(item, Typed) and item.is_null_unseen for item in values)


def _constant(node: dict[str, Any], _scope: _NameScope) -> Typed:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        return INTEGER if value.lstrip("-").isdigit() else FLOAT
    if value is None:
        return NULL
    if isinstance(value, bool | int):
        return Typed(Kind.INTEGER, constant=value)
    return FLOAT if isinstance(value, float) else Typed(Kind.STRING, constant=value)


def _field(node: dict[str, Any], scope: _NameScope) -> Typed:
    return resolve([str(part) for part in node["chain"]], scope)


def _placeholder(node: dict[str, Any], _scope: _NameScope) -> Typed:
    """The server infers types with '' instead of every variable."""
    chain = [str(part) for part in (node["expr"].get("chain") or [])]
    of = f"the variable {chain[1]}" if len(chain) > 1 and chain[0] == "variables" else "a placeholder"
    return Typed(Kind.STRING, None, f"it depends on the value of {of}")


def _alias(node: dict[str, Any], scope: _NameScope) -> Typed:
    value: Typed = node["expr"]
    scope.aliases[str(node["alias"])] = value.named()
    return value


def _call(node: dict[str, Any], _scope: _NameScope) -> Typed:
    arguments = [argument for argument in node.get("args") or () if isinstance(argument, Typed)]
    return call_type(str(node["name"]), arguments)


def _window(node: dict[str, Any], _scope: _NameScope) -> Typed:
    arguments = node["args"] if node.get("args") else node.get("exprs") or []
    return window_type(str(node["name"]), arguments)


def _comparison(node: dict[str, Any], _scope: _NameScope) -> Typed:
    if node["op"] in ("in", "not in", "in cohort", "not in cohort"):
        return INTEGER
    return comparison_type([node["left"], node["right"]])


def _between(node: dict[str, Any], _scope: _NameScope) -> Typed:
    """The type of BETWEEN: a comparison with a timestamp can be NULL, any other cannot."""
    parts = [node["expr"], node["low"], node["high"]]
    return comparison_type(parts) if parts[0].is_timestamp or _hides_null(node) else INTEGER


def _logic(node: dict[str, Any], _scope: _NameScope) -> Typed:
    return logic_type(node["exprs"] if "exprs" in node else [node["expr"]])


def _arithmetic(node: dict[str, Any], _scope: _NameScope) -> Typed:
    return call_type(ARITHMETIC[node["op"]], [node["left"], node["right"]])


def _cast(node: dict[str, Any], _scope: _NameScope) -> Typed:
    value, kind = node["expr"], CAST_KINDS.get(CASTS.get(node["type_name"], ""))
    if kind is None:
        return unknown(f"the server does not support a cast to {node['type_name']}")
    if value.kind is Kind.NOTHING:
        return NULL
    return Typed(kind, value.nullable)


def _array(node: dict[str, Any], _scope: _NameScope) -> Typed:
    return Typed(Kind.ARRAY, item=common(node["exprs"]))


def _tuple(node: dict[str, Any], _scope: _NameScope) -> Typed:
    return Typed(Kind.TUPLE, parts=tuple(part.named() for part in node["exprs"]))


def _dictionary(_node: dict[str, Any], _scope: _NameScope) -> Typed:
    return Typed(Kind.TUPLE)


def _array_access(node: dict[str, Any], _scope: _NameScope) -> Typed:
    container, key = node["array"], node["property"]
    if container.keys is not None and key.constant is not None:
        return property_of((*container.keys, str(key.constant)))
    if container.kind is Kind.ARRAY and container.item is not None:
        item: Typed = container.item
        is_nested = item.kind in (Kind.ARRAY, Kind.TUPLE)
        return item.as_nullable(False if is_nested else any_nullable([item, key]))
    return unknown(container.why or "the type of a key is unknown")


def _tuple_access(node: dict[str, Any], _scope: _NameScope) -> Typed:
    container = node["tuple"]
    if container.keys is not None:
        return property_of((*container.keys, str(node["index"])))
    if container.parts is not None and 0 < int(node["index"]) <= len(container.parts):
        part: Typed = container.parts[int(node["index"]) - 1]
        return part.named()
    return unknown(container.why or "the types of the items of the tuple are unknown")


def _slice(node: dict[str, Any], _scope: _NameScope) -> Typed:
    container: Typed = node["array"]
    if container.kind is Kind.ARRAY:
        return Typed(Kind.ARRAY, item=container.item)
    return unknown(container.why or "only an array has slices")


_GIVES: Final[dict[str, _Give]] = {
    "Alias": _alias,
    "And": _logic,
    "ArithmeticOperation": _arithmetic,
    "Array": _array,
    "ArrayAccess": _array_access,
    "ArraySlice": _slice,
    "BetweenExpr": _between,
    "Call": _call,
    "CompareOperation": _comparison,
    "Constant": _constant,
    "Dict": _dictionary,
    "Field": _field,
    "IsDistinctFrom": lambda _node, _scope: INTEGER,
    "Lambda": lambda _node, _scope: unknown("a lambda is not a value"),
    "Not": _logic,
    "Or": _logic,
    "Placeholder": _placeholder,
    "Tuple": _tuple,
    "TupleAccess": _tuple_access,
    "TypeCast": _cast,
    "WindowFunction": _window,
}


DEEPEST: Final = 40
"""The number of nested queries that are analyzed; deeper ones are unknown."""


@dataclass(frozen=True, slots=True)
class _QueryColumn:
    """A column of a query. `guessed` is set if the server may use a different name; `expression` is its tree, or text
    if it comes from `*`."""

    name: str
    typed: Typed
    expression: Tree | str
    guessed: str | None = None


@dataclass(slots=True)
class _QueryColumns:
    """The columns of a query. `why` is set if some columns are unknown; `stars` are the `*` as written."""

    columns: list[_QueryColumn] = field(default_factory=list)
    why: str | None = None
    stars: list[str] = field(default_factory=list)

    def as_source(self, names: list[str] | None = None) -> _NamedSource:
        """The query as a relation in FROM. `names` rename its columns in order."""
        columns: dict[str, TypedColumn] = {}
        for index, column in enumerate(self.columns):
            name = names[index] if names and index < len(names) else column.name
            columns[name] = TypedColumn(name, replace(column.typed.named(), is_timestamp=False))
        return _NamedSource(columns, why=self.why)


def query_columns(node: Tree, scope: _NameScope) -> _QueryColumns:
    """The columns of a query. If it cannot be analyzed, `why` has the reason; nothing is raised."""
    if scope.depth > DEEPEST:
        return _QueryColumns(why=f"the query is nested more than {DEEPEST} levels deep")
    if node["node"] == "SelectSetQuery":
        return _set(node, scope)
    if node["node"] != "SelectQuery":
        return _QueryColumns(why=f"the columns of {node['node']} are unknown")
    return _select(node, scope)


def _set(node: Tree, scope: _NameScope) -> _QueryColumns:
    """The columns of a set: the names are those of the first arm, the types those that all arms share."""
    first = query_columns(node["initial_select_query"], scope)
    shared = _with_ctes(_leftmost(node), scope)
    arms = [first] + [query_columns(arm["select_query"], shared) for arm in node["subsequent_select_queries"]]
    columns = [replace(column, typed=_shared(arms, index)) for index, column in enumerate(first.columns)]
    why = next((arm.why for arm in arms if arm.why), None)
    return _QueryColumns(columns, why, [star for arm in arms for star in arm.stars])


def _leftmost(node: Tree) -> Tree:
    while node["node"] == "SelectSetQuery":
        node = node["initial_select_query"]
    return node


def _shared(arms: list[_QueryColumns], index: int) -> Typed:
    return common([arm.columns[index].typed for arm in arms if index < len(arm.columns)])


def _select(node: Tree, above: _NameScope) -> _QueryColumns:
    scope = _with_ctes(node, above)
    _read(node.get("select_from"), scope)
    for join in node.get("array_join_list") or ():
        scope.aliases[str(join["alias"])] = _item_of(join["expr"], scope)
    result = _QueryColumns()
    for item in node["select"]:
        _add(item, scope, result)
    return result


def _with_ctes(node: Tree, above: _NameScope) -> _NameScope:
    """The scope of a SELECT: the CTEs of enclosing queries and its own, each of which sees the previous ones."""
    scope = _NameScope(dict(above.ctes), dict(above.values), depth=above.depth)
    for cte in node.get("ctes") or ():
        name = str(cte["name"])
        if cte.get("cte_type") == "column":
            scope.values = {**scope.values, name: _type(cte["expr"], scope).named()}
        else:
            scope.ctes = {**scope.ctes, name: _cte(cte, scope)}
    return scope


def _cte(node: Tree, scope: _NameScope) -> _NamedSource:
    if node.get("recursive"):
        return _NamedSource({}, why="recursive CTEs are not analyzed")
    return query_columns(node["expr"], scope.below()).as_source(node.get("columns"))


def _read(node: Tree | None, scope: _NameScope) -> None:
    """Add every table, subquery and CTE of FROM to the scope, under its name in the query."""
    while node is not None:
        table = node["table"]
        if table["node"] in ("SelectQuery", "SelectSetQuery"):
            result = query_columns(table, scope.below())
            name = node.get("alias") or f"subquery {len(scope.sources)}"
            scope.sources[name] = result.as_source(node.get("column_aliases"))
        else:
            name = ".".join(map(str, table.get("chain") or [table["node"]]))
            scope.sources[node.get("alias") or name.replace(".", "__")] = _named_source(name, scope)
        node = node.get("next_join")


def _named_source(name: str, scope: _NameScope) -> _NamedSource:
    if name in scope.ctes:
        return scope.ctes[name]
    table = TABLES.get(name)
    if table is not None:
        return _NamedSource(table.columns, table)
    return _NamedSource({}, why=f"only the project knows the columns of {name}")


def _add(item: Tree, scope: _NameScope, result: _QueryColumns) -> None:
    kind = item["node"]
    if kind == "ColumnsExpr" or (kind == "Field" and item["chain"][-1] == "*"):
        _add_star(item, scope, result)
        return
    typed = _type(item, scope)
    if kind == "Alias":
        result.columns.append(_QueryColumn(str(item["alias"]), typed, item["expr"]))
    elif kind == "Field":
        result.columns.append(_field_column(item, typed, scope))
    else:
        result.columns.append(_unnamed_column(item, typed))


def _unnamed_column(item: Tree, typed: Typed) -> _QueryColumn:
    try:
        name = expression_name(item)
    except UnboundVariable as unprintable:
        return _QueryColumn("expression", typed, item, unprintable.message)
    return _QueryColumn(name.text, typed, item, name.guessed)


def _field_column(item: Tree, typed: Typed, scope: _NameScope) -> _QueryColumn:
    chain = [str(part) for part in item["chain"]]
    if typed.keys is None and "properties" in chain[:-1]:
        return _QueryColumn("__".join(chain[chain.index("properties") + 1 :]), typed, item, typed.why)
    is_path = len(chain) > 2 or (len(chain) == 2 and chain[0] not in scope.sources)
    guessed = typed.why if is_path and typed.keys is None else None
    return _QueryColumn(field_name(chain, typed.keys), typed, item, guessed)


def _add_star(item: Tree, scope: _NameScope, result: _QueryColumns) -> None:
    result.stars.append(_written(item))
    chosen = _chosen(item, scope)
    if isinstance(chosen, str):
        result.why = result.why or chosen
        return
    excluded = set(item.get("exclude") or ())
    for name, source in chosen.items():
        result.why = result.why or source.why or _varying(name, source)
        result.columns.extend(column for column in _every(name, source) if column.name not in excluded)


def _chosen(item: Tree, scope: _NameScope) -> Mapping[str, _NamedSource] | str:
    """The sources that a `*` expands to, or why they are unknown."""
    if item["node"] == "ColumnsExpr" and not item.get("all_columns"):
        return "COLUMNS(…) selects columns by a pattern"
    chain = [str(part) for part in item.get("chain") or ["*"]]
    if len(chain) == 1:
        return scope.sources if len(scope.sources) == 1 else "a `*` without a table expands to several tables or none"
    name = ".".join(chain[:-1])
    return {name: scope.sources[name]} if name in scope.sources else f"the query has no name {name}"


def _every(name: str, source: _NamedSource) -> Iterator[_QueryColumn]:
    for column in source.columns.values():
        if column.starred is not False:
            yield _QueryColumn(column.name, column.typed, f"{name}.{column.name}")


def _varying(name: str, source: _NamedSource) -> str | None:
    differing = [column.name for column in source.columns.values() if column.starred is None]
    return f"the project decides whether `*` of {name} includes {' and '.join(differing)}" if differing else None


def _written(item: Tree) -> str:
    if item["node"] == "Field":
        return ".".join(map(str, item["chain"]))
    return "*" if item.get("all_columns") else "COLUMNS(…)"


def _item_of(node: Tree, scope: _NameScope) -> Typed:
    typed = _type(node, scope)
    if typed.kind is Kind.ARRAY and typed.item is not None:
        return typed.item
    return unknown(typed.why or "the type of the items of the array is unknown")


def _type(node: Tree, scope: _NameScope) -> Typed:
    return expression_type(node, scope, _value_of_query)


def _value_of_query(node: Tree, scope: _NameScope) -> Typed:
    """The type of a scalar subquery, which is NULL if it returns no row."""
    result = query_columns(node, scope.below())
    if len(result.columns) != 1 or result.why:
        return Typed(Kind.TUPLE, None, result.why or "a subquery with several columns is a tuple")
    typed = result.columns[0].typed
    return Typed(typed.kind, None, typed.why or "it is unknown whether the subquery returns a row", typed.item)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputColumn:
    """A column of a query. `type` is the server's name; `nullable` is None if unknown.

    `known`: name, type and nullability are certain; otherwise `why` has the reason. `is_named`: the name is certain.
    `full` is the type of an array or tuple including its item types, if known. `expression` is the expression of the
    column without its alias, equal for columns that are computed in the same way.
    """

    name: str
    type: str
    nullable: bool | None
    expression: str
    known: bool
    full: str | None = None
    is_named: bool = True
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The columns of a query. `complete` is False if the list is unknown: then `why` has the reason.

    `stars` are the `*` in the list, as written, including expanded ones.
    """

    columns: tuple[OutputColumn, ...]
    complete: bool
    why: str | None = None
    stars: tuple[str, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the list and the names are the same on any server: without `*` and without guessed names."""
        return self.complete and not self.stars and all(column.is_named for column in self.columns)


@lru_cache(maxsize=4096)
def output(sql: str) -> Output:
    """The columns of a HogQL text. The first SELECT of a set names them."""
    try:
        columns = query_columns(parse(sql), _NameScope())
    except ParseFailure as failure:
        return Output(columns=(), complete=False, why=failure.message)
    return _output(columns)


def _output(query: _QueryColumns) -> Output:
    return Output(
        columns=tuple(map(_column, query.columns)),
        complete=query.why is None,
        why=query.why,
        stars=tuple(query.stars),
    )


def _column(column: _QueryColumn) -> OutputColumn:
    typed = column.typed
    known = typed.is_known and column.guessed is None and typed.why is None
    why = column.guessed or typed.why or (None if known else "its nullability is unknown")
    return OutputColumn(
        name=column.name,
        type=typed.word,
        nullable=typed.nullable,
        full=typed.full,
        expression=column.expression if isinstance(column.expression, str) else readable(column.expression),
        known=known,
        is_named=column.guessed is None,
        why=None if known else why,
    )
