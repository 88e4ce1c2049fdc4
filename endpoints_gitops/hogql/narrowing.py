"""Prove that a query returns only rows that match a variable (rule V111). Anything that is not proven is refused.

A variable filters a relation (a table, a subquery or a CTE in FROM) if a condition that every returned row of the
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
"""Columns of a query's result, by name or position, that the enclosing query compares."""
type _WithEntries = Mapping[str, _WithEntry]


@dataclass(frozen=True, slots=True)
class _WithEntry:
    """A CTE and the CTEs that it can read. `query` is None for a single value."""

    query: Tree | None
    columns: tuple[str, ...] | None
    above: _WithEntries


@dataclass(frozen=True, slots=True)
class _FromItem:
    """A relation in FROM. `query` is None for a table; `has_rows` is false for relations without project data."""

    name: str
    join: Tree
    query: Tree | None = None
    ctes: _WithEntries | None = None
    columns: tuple[str, ...] | None = None
    is_table: bool = False
    has_rows: bool = True


def is_scoped(sql: str, variable: str) -> bool:
    """Whether every row that the query reads provably matches the variable. Raises ParseFailure."""
    return _Proof(variable).holds(parse(sql), {}, frozenset(), 0)


class _Proof:
    """The proof for one variable. Queries that are read several times are proven once."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self._known: dict[tuple[int, _Output], bool] = {}

    def holds(self, query: Tree, ctes: _WithEntries, compared: _Output, depth: int) -> bool:
        """Whether the proof holds for a query. `compared` are its result columns that the enclosing query compares
        with the variable."""
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
    """A SELECT with its aliases, and the equalities that hold for its rows."""

    def __init__(self, node: Tree, ctes: _WithEntries, variable: str) -> None:
        self.node = node
        self.ctes = ctes
        self.variable = variable
        self.relations = [_relation(join, ctes) for join in joins(node)]
        self._index = {relation.name: index for index, relation in enumerate(self.relations)}

    @cached_property
    def aliases(self) -> Mapping[str, Tree | None]:
        """The expression of each alias; None if it is ambiguous, or an item of an array."""
        aliases: dict[str, Tree | None] = {}
        for _, part in clauses(self.node):
            for node, _ in nodes_within(part):
                if node["node"] == "Alias":
                    name, of = str(node["alias"]), node["expr"]
                    known = aliases.get(name, of)
                    aliases[name] = of if known is not None and readable(known) == readable(of) else None
        for item in self.node.get("array_join_list") or ():
            aliases[str(item.get("alias"))] = None
        return aliases

    def equal_to_variable(self, index: int, compared: _Output) -> set[_Column]:
        """The columns that equal the variable in every row with a row of the relation."""
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
        """The equalities of all rows: those of WHERE; of the ON of inner joins, if no join adds default rows on its
        left; and of PREWHERE, if there is one table."""
        conditions = [self.node.get("where")]
        if len(self.relations) == 1:
            conditions.append(self.node.get("prewhere"))
        if self._are_joins_plain:
            conditions += [
                _on(relation.join) for relation in self.relations if relation.join.get("join_type") in _INNER
            ]
        return [pair for condition in conditions for pair in self._equalities(condition)]

    def _of_joined_rows(self, index: int) -> Iterator[_Equality]:
        """The equalities of the ON of a LEFT JOIN, which hold for its right side only."""
        join = self.relations[index].join
        if self._are_joins_plain and join.get("join_type") in _LEFT:
            yield from self._equalities(_on(join))

    @property
    def _are_joins_plain(self) -> bool:
        return all(relation.join.get("join_type") in (None, *_INNER, *_LEFT) for relation in self.relations)

    def _from_around(self, compared: _Output) -> Iterator[_Equality]:
        """The equalities of the enclosing query, for columns that come from a single row or from the grouping."""
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
        """The column that a result column is taken from."""
        items, stars = self.node["select"], [item for item in self.node["select"] if _is_star(item)]
        if isinstance(name, int):
            item = items[name] if name < len(items) and not stars else None
        else:
            named = [item for item in items if not _is_star(item) and _name_of(item) == name]
            if not named and len(stars) == len(self.relations) == 1 and _is_whole(stars[0]):
                return 0, (name, *rest)
            item = named[0] if len(named) == 1 and not (stars and named[0]["node"] == "Alias") else None
        column = self.column(item) if item is not None else None
        return (column[0], (*column[1], *rest)) if column else None

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
        """Whether a node is `{variables.x}`, or a list with only that."""
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
        """The column of an expression; None for computed expressions. The text of a column counts as the column."""
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
            column = self.column(of, seen | {head}) if of is not None else None
            return (column[0], (*column[1], *rest)) if column else None
        if head in self.ctes and self.ctes[head].query is None:
            return None
        index = self._owner(head)
        return None if index is None else (index, chain)

    def _owner(self, name: str) -> int | None:
        """The relation with this column; the server refuses ambiguous names."""
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
    """The CTEs of a query. A CTE can read the previous ones; a recursive one is not analyzed."""
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
    """The compared columns by position, because the first arm of a set names the columns."""
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
    """Whether a relation has a column; None if only the project knows its columns."""
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
    """The operator and both sides of a comparison, including `equals(a, b)` and `in(a, b)`; an empty operator
    otherwise."""
    if node["node"] == "CompareOperation":
        return str(node["op"]), node["left"], node["right"]
    if node["node"] == "Call" and len(node.get("args") or ()) == 2:
        return {"equals": "==", "in": "in"}.get(node["name"], ""), node["args"][0], node["args"][1]
    return "", node, node


def _as_text(node: Tree) -> Tree | None:
    """The operand of `toString(x)` or `x::text`, conversions that keep different values different."""
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
