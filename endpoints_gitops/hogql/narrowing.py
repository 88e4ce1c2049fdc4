"""Proof that a query returns only rows that match a variable (rule V111). Whatever is not proven here is refused.

A variable narrows a relation (a table, a subquery or a CTE in FROM) if a condition that every returned row of that
relation must meet compares one of its columns with the bare placeholder. `docs/rules.md` lists what is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from endpoints_gitops.hogql.functions import CASTS, is_aggregation
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import QUERIES, arms, clauses, joins, nodes_within
from endpoints_gitops.hogql.tables import TABLES

_DEEPEST: Final = 40
_INNER: Final = ("JOIN", "INNER JOIN", "CROSS JOIN")
_LEFT: Final = ("LEFT JOIN", "LEFT OUTER JOIN")
_VARIABLE: Final = (-1, ())

type _Chain = tuple[str, ...]
type _Column = tuple[int, _Chain]
"""The index of a relation in FROM and the path of one of its columns."""
type _Equality = tuple[_Column, _Column]
type _Output = frozenset[tuple[str | int, _Chain]]
"""Columns of a query's result, by name or position, that the query around it has already compared."""
type _WithEntries = Mapping[str, _WithEntry]


@dataclass(frozen=True, slots=True)
class _WithEntry:
    """An entry of WITH and the entries that it can read. `query` is None for a single value."""

    query: Tree | None
    columns: tuple[str, ...] | None
    above: _WithEntries


@dataclass(frozen=True, slots=True)
class _FromItem:
    """One item of FROM. `query` is None for a table; `has_rows` is false for what holds no project data."""

    name: str
    join: Tree
    query: Tree | None = None
    ctes: _WithEntries | None = None
    columns: tuple[str, ...] | None = None
    is_table: bool = False
    has_rows: bool = True


def is_scoped(sql: str, variable: str) -> bool:
    """Whether every row that the query reads or returns is proven to match the variable. Raises a ParseFailure."""
    return _Proof(variable).holds(parse(sql), {}, frozenset(), 0)


class _Proof:
    """The search for one variable. Queries that are read several times are proven once."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self._known: dict[tuple[int, _Output], bool] = {}

    def holds(self, query: Tree, ctes: _WithEntries, compared: _Output, depth: int) -> bool:
        """`compared` are columns of the result that the query around this one compares with the variable."""
        key = (id(query), compared)
        if key not in self._known:
            self._known[key] = depth <= _DEEPEST and self._holds(query, ctes, compared, depth)
        return self._known[key]

    def _holds(self, query: Tree, ctes: _WithEntries, compared: _Output, depth: int) -> bool:
        if query["node"] == "SelectSetQuery":
            first = _leftmost(query)
            shared, by_position = _with_ctes(first, ctes), _by_position(first, compared)
            return all(self.holds(arm, shared, by_position, depth + 1) for arm in arms(query))
        if query["node"] != "SelectQuery":
            return False
        select = _NarrowedSelect(query, _with_ctes(query, ctes), self.variable)
        values = [node for _, part in clauses(query) for node, _ in nodes_within(part) if node["node"] in QUERIES]
        if not all(self.holds(value, select.ctes, frozenset(), depth + 1) for value in values):
            return False
        return all(self._narrows(select, index, compared, depth) for index in range(len(select.relations)))

    def _narrows(self, select: _NarrowedSelect, index: int, compared: _Output, depth: int) -> bool:
        relation = select.relations[index]
        if not relation.has_rows:
            return True
        columns = [chain for of, chain in select.equal_to_variable(index, compared) if of == index]
        if relation.is_table:
            return bool(columns)
        if relation.query is None:
            return False
        below = frozenset(_renamed(chain, relation.columns) for chain in columns)
        return self.holds(relation.query, relation.ctes or {}, below, depth + 1)


class _NarrowedSelect:
    """One SELECT: what its names stand for, and which equalities hold for its rows."""

    def __init__(self, node: Tree, ctes: _WithEntries, variable: str) -> None:
        self.node = node
        self.ctes = ctes
        self.variable = variable
        self.relations = [_relation(join, ctes) for join in joins(node)]
        self._index = {relation.name: index for index, relation in enumerate(self.relations)}

    @cached_property
    def aliases(self) -> Mapping[str, Tree | None]:
        """What an alias stands for; None where it stands for several things, or for the items of an array."""
        found: dict[str, Tree | None] = {}
        for _, part in clauses(self.node):
            for node, _ in nodes_within(part):
                if node["node"] == "Alias":
                    name, of = str(node["alias"]), node["expr"]
                    known = found.get(name, of)
                    found[name] = of if known is not None and readable(known) == readable(of) else None
        for item in self.node.get("array_join_list") or ():
            found[str(item.get("alias"))] = None
        return found

    def equal_to_variable(self, index: int, compared: _Output) -> set[_Column]:
        """The columns that equal the variable in every row that the relation contributes to."""
        pairs = [*self._of_all_rows, *self._of_joined_rows(index), *self._from_around(compared)]
        equal: set[_Column] = {_VARIABLE}
        grows = True
        while grows:
            added = {side for pair in pairs if not equal.isdisjoint(pair) for side in pair} - equal
            equal |= added
            grows = bool(added)
        return equal

    @cached_property
    def _of_all_rows(self) -> list[_Equality]:
        """WHERE holds for every row. So does the ON of inner joins where no join invents rows of defaults on its left,
        and PREWHERE where there is one table."""
        conditions = [self.node.get("where")]
        if len(self.relations) == 1:
            conditions.append(self.node.get("prewhere"))
        if self._are_joins_plain:
            conditions += [_on(each.join) for each in self.relations if each.join.get("join_type") in _INNER]
        return [pair for condition in conditions for pair in self._equalities(condition)]

    def _of_joined_rows(self, index: int) -> Iterator[_Equality]:
        """The ON of a LEFT JOIN holds for what it joins, not for the rows on its left."""
        join = self.relations[index].join
        if self._are_joins_plain and join.get("join_type") in _LEFT:
            yield from self._equalities(_on(join))

    @property
    def _are_joins_plain(self) -> bool:
        return all(each.join.get("join_type") in (None, *_INNER, *_LEFT) for each in self.relations)

    def _from_around(self, compared: _Output) -> Iterator[_Equality]:
        """What the query around this one compares counts for columns that come from one row, or from the grouping."""
        if not compared or self.node.get("group_by_mode") or self._has("WindowFunction"):
            return
        keys = None
        if self.node.get("group_by") is not None or self._aggregates:
            keys = {self.column(key) for key in self.node.get("group_by") or ()} - {None}
        for name, rest in compared:
            column = self._output(name, rest)
            if column is not None and (keys is None or column in keys):
                yield column, _VARIABLE

    @property
    def _aggregates(self) -> bool:
        parts = (self.node["select"], self.node.get("having"), self.node.get("order_by"))
        return any(node["node"] == "Call" and is_aggregation(str(node["name"])) for node, _ in nodes_within(*parts))

    def _has(self, kind: str) -> bool:
        return any(node["node"] == kind for _, part in clauses(self.node) for node, _ in nodes_within(part))

    def _output(self, name: str | int, rest: _Chain) -> _Column | None:
        """The column behind a column of the result."""
        items, stars = self.node["select"], [item for item in self.node["select"] if _is_star(item)]
        if isinstance(name, int):
            item = items[name] if name < len(items) and not stars else None
        else:
            named = [each for each in items if not _is_star(each) and _name_of(each) == name]
            if not named and len(stars) == len(self.relations) == 1 and _is_whole(stars[0]):
                return 0, (name, *rest)
            item = named[0] if len(named) == 1 and not (stars and named[0]["node"] == "Alias") else None
        found = self.column(item) if item is not None else None
        return (found[0], (*found[1], *rest)) if found else None

    def _equalities(self, condition: Tree | None) -> Iterator[_Equality]:
        for node in _conjuncts(condition):
            operator, left, right = _comparison(node)
            if operator == "in":
                if self._is_variable(right) and (column := self.column(left)):
                    yield column, _VARIABLE
            elif operator == "==":
                sides = [_VARIABLE if self._is_variable(side) else self.column(side) for side in (left, right)]
                if sides[0] is not None and sides[1] is not None:
                    yield sides[0], sides[1]

    def _is_variable(self, node: Tree) -> bool:
        """`{variables.x}` and nothing else; in lists nothing but it."""
        if node["node"] in ("Tuple", "Array"):
            return bool(node["exprs"]) and all(map(self._is_variable, node["exprs"]))
        if node["node"] != "Placeholder":
            return False
        inside = node.get("expr") or {}
        if inside.get("node") == "ArrayAccess":
            is_of_variables = inside["array"].get("chain") == ["variables"]
            return is_of_variables and bool(inside["property"].get("value") == self.variable)
        return inside.get("node") == "Field" and list(inside["chain"]) == ["variables", self.variable]

    def column(self, node: Tree, seen: frozenset[str] = frozenset()) -> _Column | None:
        """The column that an expression is; None for whatever is computed. Its text counts as the column itself."""
        keys: _Chain = ()
        while node["node"] != "Field":
            if node["node"] == "Alias":
                seen |= {str(node["alias"])}
                node = node["expr"]
            elif not keys and (inner := _as_text(node)) is not None:
                node = inner
            elif node["node"] == "ArrayAccess" and isinstance(node["property"].get("value"), str):
                keys = (node["property"]["value"], *keys)
                node = node["array"]
            else:
                return None
        return self._field((*map(str, node["chain"]), *keys), seen) if len(seen) <= _DEEPEST else None

    def _field(self, chain: _Chain, seen: frozenset[str]) -> _Column | None:
        head, rest = chain[0], chain[1:]
        is_alias = head in self.aliases and head not in seen
        if "*" in chain or (is_alias and head in self._index and rest):
            return None
        if rest and head in self._index:
            return self._index[head], rest
        if is_alias:
            of = self.aliases[head]
            found = self.column(of, seen | {head}) if of is not None else None
            return (found[0], (*found[1], *rest)) if found else None
        if head in self.ctes and self.ctes[head].query is None:
            return None
        index = self._owner(head)
        return None if index is None else (index, chain)

    def _owner(self, name: str) -> int | None:
        """The relation that has the column; the server refuses a name that several have."""
        if len(self.relations) == 1:
            return 0
        answers = [_has_column(relation, name) for relation in self.relations]
        for answer in (True, None):
            if answers.count(answer) == 1:
                return answers.index(answer)
            if answers.count(answer):
                return None
        return None


def _relation(join: Tree, ctes: _WithEntries) -> _FromItem:
    table, alias = join["table"], join.get("alias")
    name = ".".join(map(str, table.get("chain") or ()))
    renamed = tuple(join["column_aliases"]) if join.get("column_aliases") else None
    if table["node"] in QUERIES:
        return _FromItem(str(alias or ""), join, table, ctes, renamed)
    if name in ctes:
        cte = ctes[name]
        return _FromItem(str(alias or name), join, cte.query, cte.above, renamed or cte.columns)
    if join.get("table_args") is not None:
        return _FromItem(str(alias or name), join, has_rows=name not in TABLES or not TABLES[name].is_generated)
    return _FromItem(str(alias or name), join, is_table=table["node"] == "Field")


def _with_ctes(query: Tree, above: _WithEntries) -> _WithEntries:
    """An entry reads those before it; one that reads itself is followed no further."""
    seen = dict(above)
    for cte in query.get("ctes") or ():
        is_value = cte.get("cte_type") == "column" or bool(cte.get("recursive"))
        columns = tuple(map(str, cte["columns"])) if cte.get("columns") else None
        seen[str(cte["name"])] = _WithEntry(None if is_value else cte["expr"], columns, dict(seen))
    return seen


def _leftmost(query: Tree) -> Tree:
    while query["node"] == "SelectSetQuery":
        query = query["initial_select_query"]
    return query


def _by_position(first: Tree, compared: _Output) -> _Output:
    """The first arm of a set names the columns of all."""
    items = first.get("select") or ()
    names = [None if _is_star(item) else _name_of(item) for item in items]
    if None in names:
        return frozenset()
    positions = (
        (names.index(name) if isinstance(name, str) and names.count(name) == 1 else name, rest)
        for name, rest in compared
    )
    return frozenset((name, rest) for name, rest in positions if isinstance(name, int))


def _renamed(chain: _Chain, columns: tuple[str, ...] | None) -> tuple[str | int, _Chain]:
    head, rest = chain[0], chain[1:]
    if columns is None:
        return head, rest
    return columns.index(head) if head in columns else len(columns), rest


def _has_column(relation: _FromItem, name: str) -> bool | None:
    """None where only the project knows the columns."""
    if not relation.has_rows:
        return name == "number"
    if relation.columns is not None:
        return name in relation.columns
    if relation.query is not None:
        items = _leftmost(relation.query).get("select") or ()
        return None if any(map(_is_star, items)) else name in [_name_of(item) for item in items]
    table = TABLES.get(".".join(map(str, relation.join["table"].get("chain") or ())))
    return (name in table.columns or name in table.relations) if table else None


def _on(join: Tree) -> Tree | None:
    constraint = join.get("constraint") or {}
    return constraint.get("expr") if constraint.get("constraint_type") == "ON" else None


def _conjuncts(condition: Tree | None) -> Iterator[Tree]:
    waiting: list[Tree] = [condition] if condition else []
    while waiting:
        node = waiting.pop()
        if node["node"] == "And" or (node["node"] == "Call" and node["name"] == "and"):
            waiting += node["exprs"] if node["node"] == "And" else node.get("args") or ()
        else:
            yield node


def _comparison(node: Tree) -> tuple[str, Tree, Tree]:
    """Operator and sides; `equals(a, b)` and `in(a, b)` are the operators. No operator for anything else."""
    if node["node"] == "CompareOperation":
        return str(node["op"]), node["left"], node["right"]
    if node["node"] == "Call" and len(node.get("args") or ()) == 2:
        return {"equals": "==", "in": "in"}.get(node["name"], ""), node["args"][0], node["args"][1]
    return "", node, node


def _as_text(node: Tree) -> Tree | None:
    """What `toString(x)` and `x::text` convert, which keeps different values apart."""
    if node["node"] == "Call" and node["name"] == "toString" and len(node.get("args") or ()) == 1:
        return dict(node["args"][0])
    is_cast = node["node"] == "TypeCast" and CASTS.get(node["type_name"]) == "toString"
    return dict(node["expr"]) if is_cast else None


def _is_whole(star: Tree) -> bool:
    return star["node"] == "Field" and not star.get("exclude")


def _is_star(item: Tree) -> bool:
    return bool(item["node"] == "ColumnsExpr" or (item["node"] == "Field" and item["chain"][-1] == "*"))


def _name_of(item: Tree) -> str | None:
    if item["node"] == "Alias":
        return str(item["alias"])
    return str(item["chain"][-1]) if item["node"] == "Field" else ""
