"""From a SELECT, or a set of them, to its columns: through subqueries, CTEs, joins and `*`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from endpoints_gitops.hogql.binding import UnboundVariable
from endpoints_gitops.hogql.expression_types import expression_type
from endpoints_gitops.hogql.names import expression_name, field_name
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.scope import Scope, Source
from endpoints_gitops.hogql.tables import TABLES, Column
from endpoints_gitops.hogql.types import Kind, Typed, common, unknown

DEEPEST: Final = 40
"""Queries inside of each other that are looked into; deeper down nothing is known."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """`guessed` is set where the server may give it another name, `expression` is its tree, or text where `*` wrote
    it out."""

    name: str
    typed: Typed
    expression: Tree | str
    guessed: str | None = None


@dataclass(slots=True)
class Found:
    """`why` is set where there are columns that nobody here knows; `stars` are the `*` as written."""

    columns: list[FoundColumn] = field(default_factory=list)
    why: str | None = None
    stars: list[str] = field(default_factory=list)

    def as_source(self, names: list[str] | None = None) -> Source:
        """The rows of this query in a FROM. `names` rename its columns in order."""
        columns: dict[str, Column] = {}
        for place, column in enumerate(self.columns):
            name = names[place] if names and place < len(names) else column.name
            columns[name] = Column(name, replace(column.typed.named(), is_timestamp=False))
        return Source(columns, why=self.why)


def query_columns(node: Tree, scope: Scope) -> Found:
    """The columns of a query. Where it cannot be followed, `why` says so; nothing is raised."""
    if scope.depth > DEEPEST:
        return Found(why=f"it is nested more than {DEEPEST} queries deep")
    if node["node"] == "SelectSetQuery":
        return _set(node, scope)
    if node["node"] != "SelectQuery":
        return Found(why=f"what comes out of {node['node']} is not known here")
    return _select(node, scope)


def _set(node: Tree, scope: Scope) -> Found:
    """Names are those of the first arm, types what the arms share."""
    first = query_columns(node["initial_select_query"], scope)
    shared = _with_ctes(_leftmost(node), scope)
    arms = [first] + [query_columns(each["select_query"], shared) for each in node["subsequent_select_queries"]]
    columns = [replace(column, typed=_shared(arms, place)) for place, column in enumerate(first.columns)]
    why = next((arm.why for arm in arms if arm.why), None)
    return Found(columns, why, [star for arm in arms for star in arm.stars])


def _leftmost(node: Tree) -> Tree:
    while node["node"] == "SelectSetQuery":
        node = node["initial_select_query"]
    return node


def _shared(arms: list[Found], place: int) -> Typed:
    return common([arm.columns[place].typed for arm in arms if place < len(arm.columns)])


def _select(node: Tree, above: Scope) -> Found:
    scope = _with_ctes(node, above)
    _read(node.get("select_from"), scope)
    for each in node.get("array_join_list") or ():
        scope.aliases[str(each["alias"])] = _item_of(each["expr"], scope)
    found = Found()
    for item in node["select"]:
        _add(item, scope, found)
    return found


def _with_ctes(node: Tree, above: Scope) -> Scope:
    """The scope of a SELECT: the entries above it, then its own, each of which sees those before it."""
    scope = Scope(dict(above.ctes), dict(above.values), depth=above.depth)
    for each in node.get("ctes") or ():
        name = str(each["name"])
        if each.get("cte_type") == "column":
            scope.values = {**scope.values, name: _type(each["expr"], scope).named()}
        else:
            scope.ctes = {**scope.ctes, name: _cte(each, scope)}
    return scope


def _cte(node: Tree, scope: Scope) -> Source:
    if node.get("recursive"):
        return Source({}, why="recursive CTEs are not followed")
    return query_columns(node["expr"], scope.below()).as_source(node.get("columns"))


def _read(node: Tree | None, scope: Scope) -> None:
    """Every table, subquery and CTE of FROM, under the name by which the query knows it."""
    while node is not None:
        table = node["table"]
        if table["node"] in ("SelectQuery", "SelectSetQuery"):
            found = query_columns(table, scope.below())
            name = node.get("alias") or f"subquery {len(scope.sources)}"
            scope.sources[name] = found.as_source(node.get("column_aliases"))
        else:
            name = ".".join(map(str, table.get("chain") or [table["node"]]))
            scope.sources[node.get("alias") or name] = _named_source(name, scope)
        node = node.get("next_join")


def _named_source(name: str, scope: Scope) -> Source:
    if name in scope.ctes:
        return scope.ctes[name]
    table = TABLES.get(name)
    if table is not None:
        return Source(table.columns, table)
    return Source({}, why=f"the columns of {name} are known to the project only")


def _add(item: Tree, scope: Scope, found: Found) -> None:
    kind = item["node"]
    if kind == "ColumnsExpr" or (kind == "Field" and item["chain"][-1] == "*"):
        _add_star(item, scope, found)
        return
    typed = _type(item, scope)
    if kind == "Alias":
        found.columns.append(FoundColumn(str(item["alias"]), typed, item["expr"]))
    elif kind == "Field":
        found.columns.append(_field_column(item, typed, scope))
    else:
        found.columns.append(_unnamed_column(item, typed))


def _unnamed_column(item: Tree, typed: Typed) -> FoundColumn:
    try:
        name = expression_name(item)
    except UnboundVariable as unprintable:
        return FoundColumn("expression", typed, item, unprintable.message)
    return FoundColumn(name.text, typed, item, name.guessed)


def _field_column(item: Tree, typed: Typed, scope: Scope) -> FoundColumn:
    chain = [str(part) for part in item["chain"]]
    if typed.keys is None and "properties" in chain[:-1]:
        return FoundColumn("__".join(chain[chain.index("properties") + 1 :]), typed, item, typed.why)
    is_path = len(chain) > 2 or (len(chain) == 2 and chain[0] not in scope.sources)
    guessed = typed.why if is_path and typed.keys is None else None
    return FoundColumn(field_name(chain, typed.keys), typed, item, guessed)


def _add_star(item: Tree, scope: Scope, found: Found) -> None:
    found.stars.append(_written(item))
    chosen = _chosen(item, scope)
    if isinstance(chosen, str):
        found.why = found.why or chosen
        return
    excluded = set(item.get("exclude") or ())
    for name, source in chosen.items():
        found.why = found.why or source.why or _varying(name, source)
        found.columns.extend(column for column in _every(name, source) if column.name not in excluded)


def _chosen(item: Tree, scope: Scope) -> Mapping[str, Source] | str:
    """The sources that a `*` stands for, or why that cannot be told."""
    if item["node"] == "ColumnsExpr" and not item.get("all_columns"):
        return "COLUMNS(…) picks columns by a pattern"
    chain = [str(part) for part in item.get("chain") or ["*"]]
    if len(chain) == 1:
        return scope.sources if len(scope.sources) == 1 else "a `*` without a table stands for several tables or none"
    name = ".".join(chain[:-1])
    return {name: scope.sources[name]} if name in scope.sources else f"nothing in the query is called {name}"


def _every(name: str, source: Source) -> Iterator[FoundColumn]:
    for column in source.columns.values():
        if column.starred is not False:
            yield FoundColumn(column.name, column.typed, f"{name}.{column.name}")


def _varying(name: str, source: Source) -> str | None:
    differing = [column.name for column in source.columns.values() if column.starred is None]
    return f"whether `*` of {name} has {' and '.join(differing)} depends on the project" if differing else None


def _written(item: Tree) -> str:
    if item["node"] == "Field":
        return ".".join(map(str, item["chain"]))
    return "*" if item.get("all_columns") else "COLUMNS(…)"


def _item_of(node: Tree, scope: Scope) -> Typed:
    typed = _type(node, scope)
    if typed.kind is Kind.ARRAY and typed.item is not None:
        return typed.item
    return unknown(typed.why or "what the items of the array are is not known")


def _type(node: Tree, scope: Scope) -> Typed:
    return expression_type(node, scope, _value_of_query)


def _value_of_query(node: Tree, scope: Scope) -> Typed:
    """A subquery that stands as a value: without a row it is NULL."""
    found = query_columns(node, scope.below())
    if len(found.columns) != 1 or found.why:
        return Typed(Kind.TUPLE, None, found.why or "several columns make a tuple")
    typed = found.columns[0].typed
    return Typed(typed.kind, None, typed.why or "whether a subquery has a row is not known", typed.item)
