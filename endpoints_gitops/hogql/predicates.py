"""The conditions that rows of `events` and `persons` must meet in a query, and the fields that they depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.functions import is_numeric
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import QUERIES, Clause, clauses, fold, joins, nodes_within, selects
from endpoints_gitops.hogql.tables import EVENT_PROPERTIES, TABLES
from endpoints_gitops.hogql.types import Kind

type FieldPath = tuple[str, ...]
"""`("event",)`, `("properties", "plan")`, `("person", "properties", "plan")`, `("person", "created_at")`."""

FILTERED: Final = ("events", "persons")
_OF_EVENTS: Final = tuple(
    column.name
    for column in TABLES["events"].columns.values()
    if column.is_in_data and column.typed.kind is not Kind.JSON and column.name not in TABLES["events"].key
)
_ABOUT_ROWS: Final = (Clause.PREWHERE, Clause.WHERE)
_ABOUT_OTHERS: Final = (Clause.JOIN, Clause.HAVING, Clause.QUALIFY)


class NotUnderstood(ValueError):
    """The expression depends on something that no row of a table can be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFields:
    """`constants` are the values that a comparison contains, `expressions` its calls without a field, such as
    `now() - INTERVAL 1 DAY`.
    """

    fields: tuple[FieldPath, ...]
    constants: tuple[Any, ...]
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicate:
    """A condition of a clause that must hold together with all others.

    `tree` is without aliases of the SELECT. `comparisons` are its parts between AND, OR and NOT, `alternatives` the
    sides of an OR.
    """

    clause: Clause
    text: str
    tree: Tree
    comparisons: tuple[ComparedFields, ...]
    alternatives: tuple[Tree, ...] = ()

    @property
    def fields(self) -> tuple[FieldPath, ...]:
        return tuple(dict.fromkeys(path for part in self.comparisons for path in part.fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A condition that is not understood, and why. `is_unmet`: no row meets it as far as is known."""

    clause: Clause
    text: str
    reason: str
    is_unmet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredSelect:
    """A SELECT of one table. `name` is that of the table in the query; `numbers` and `others` are the fields without a
    condition that it reads, by whether it computes with them.
    """

    node: Tree
    table: str
    name: str
    predicates: tuple[Predicate, ...]
    numbers: tuple[FieldPath, ...]
    others: tuple[FieldPath, ...]


def conditions(tree: Tree) -> tuple[tuple[FilteredSelect, ...], tuple[Unknown, ...]]:
    """The SELECTs of events and persons with their conditions, and every other condition of the query."""
    filtered: list[FilteredSelect] = []
    unknown: list[Unknown] = []
    for select in selects(tree):
        reason = _why_not(select.node)
        aliases = _aliases(select.node)
        predicates = []
        for clause, text, condition in _conjuncts(select.node, aliases):
            why = reason if clause in _ABOUT_ROWS else f"{clause.upper()} is about more than one row"
            try:
                if why:
                    raise NotUnderstood(why)
                predicates.append(_predicate(clause, text, condition, select.node))
            except NotUnderstood as error:
                unknown.append(Unknown(clause=clause, text=text, reason=str(error)))
        if reason is None:
            filtered.append(_filtered(select.node, predicates))
    return tuple(filtered), tuple(unknown)


def _why_not(select: Tree) -> str | None:
    """Why the rows of a SELECT are not those of one table; None if they are."""
    tables = [join["table"] for join in joins(select)]
    if len(tables) != 1:
        return "its SELECT joins tables" if tables else "its SELECT reads no table"
    if tables[0]["node"] != "Field":
        return "its SELECT reads a subquery"
    name = ".".join(map(str, tables[0]["chain"]))
    if select.get("array_join_list"):
        return "its SELECT has an ARRAY JOIN"
    return None if name in FILTERED else f"its SELECT reads {name}"


def _filtered(select: Tree, predicates: Sequence[Predicate]) -> FilteredSelect:
    (join,) = joins(select)
    table = str(join["table"]["chain"][0])
    used = {path for predicate in predicates for path in predicate.fields}
    numbers: list[FieldPath] = []
    others: list[FieldPath] = []
    for _, part in clauses(select):
        for node, around in nodes_within(part):
            path = _field(node, select)
            if path is not None and path not in used and not any(_field(outer, select) for outer in around):
                is_number = any(map(_computes, around))
                (numbers if is_number else others).append(path)
    return FilteredSelect(
        node=select,
        table=table,
        name=str(join.get("alias") or table),
        predicates=tuple(predicates),
        numbers=tuple(dict.fromkeys(numbers)),
        others=tuple(path for path in dict.fromkeys(others) if path not in numbers),
    )


def _computes(node: Tree) -> bool:
    if node["node"] == "ArithmeticOperation":
        return True
    return node["node"] == "Call" and is_numeric(str(node["name"]))


def _aliases(select: Tree) -> Mapping[str, Tree]:
    """The expressions of a SELECT by their alias; an alias with the name of a column is the column in a condition."""
    aliased = [item for item in select.get("select") or () if item["node"] == "Alias"]
    columns = (*_OF_EVENTS, "properties", "person")
    return {str(item["alias"]): item["expr"] for item in aliased if item["alias"] not in columns}


def _conjuncts(select: Tree, aliases: Mapping[str, Tree]) -> Iterator[tuple[Clause, str, Tree]]:
    """Each condition with its clause, as the query writes it, and without aliases."""
    for clause, part in clauses(select):
        if clause in (*_ABOUT_ROWS, *_ABOUT_OTHERS) and isinstance(part, dict):
            whole = part["expr"] if clause is Clause.JOIN and "expr" in part else part
            for condition in _flattened(whole):
                yield clause, readable(condition), without_aliases(condition, aliases)


def _flattened(condition: Tree) -> Iterator[Tree]:
    waiting = [condition]
    while waiting:
        node = waiting.pop()
        parts = node["exprs"] if node["node"] == "And" else node.get("args", ()) if _is_call(node, "and") else None
        if node["node"] == "BetweenExpr" and not node.get("negated"):  # both ends of a range are conditions
            parts = [_compared(node, ">=", "low"), _compared(node, "<=", "high")]
        if parts is None:
            yield node
        else:
            waiting += reversed(parts)


def _compared(between: Tree, operator: str, end: str) -> Tree:
    return {"node": "CompareOperation", "op": operator, "left": between["expr"], "right": between[end]}


def _is_call(node: Tree, name: str) -> bool:
    return node["node"] == "Call" and str(node["name"]).lower() == name


def without_aliases(condition: Tree, aliases: Mapping[str, Tree]) -> Tree:
    """The condition with the expression in place of each alias, and of aliases inside of that."""

    def combine(node: dict[str, Any]) -> Any:  # noqa: ANN401 - nodes of every kind, and positions
        chain: list[Any] = node.get("chain") or []
        named = node.get("node") == "Field" and len(chain) == 1 and str(chain[0]) in aliases
        return aliases[str(chain[0])] if named else node

    found = condition
    for _ in range(3):  # an alias can use another one
        found = fold(found, combine)
    return found


def _predicate(clause: Clause, text: str, condition: Tree, select: Tree) -> Predicate:
    """Raises NotUnderstood."""
    comparisons = tuple(_comparison(part, select) for part in _compared_parts(condition))
    if not any(part.fields for part in comparisons):
        raise NotUnderstood("it depends on no column")
    is_or = condition["node"] == "Or" or _is_call(condition, "or")
    return Predicate(
        clause=clause,
        text=text,
        tree=condition,
        comparisons=comparisons,
        alternatives=tuple(condition.get("exprs") or condition.get("args") or ()) if is_or else (),
    )


def _compared_parts(condition: Tree) -> Iterator[Tree]:
    """The parts of a condition between AND, OR and NOT."""
    waiting = [condition]
    while waiting:
        node = waiting.pop(0)
        if node["node"] in ("And", "Or"):
            waiting += node["exprs"]
        elif node["node"] == "Not":
            waiting.append(node["expr"])
        elif any(_is_call(node, name) for name in ("and", "or", "not")):
            waiting += node["args"]
        else:
            yield node


def _comparison(part: Tree, select: Tree) -> ComparedFields:
    """Raises NotUnderstood."""
    fields: list[FieldPath] = []
    for node, around in nodes_within(part):
        if node["node"] in QUERIES:
            raise NotUnderstood("it contains a subquery")
        if (node["node"] == "Field" and _is_of_lambda(node, around)) or any(_field(outer, select) for outer in around):
            continue  # a part of a field is none
        path = _field(node, select)
        if path is not None:
            fields.append(path)
        elif node["node"] == "Field":
            raise NotUnderstood(f"{readable(node)} cannot be given a value")
    constants, expressions = _constants(part)
    return ComparedFields(fields=tuple(dict.fromkeys(fields)), constants=constants, expressions=expressions)


def _is_of_lambda(field: Tree, around: Sequence[Tree]) -> bool:
    names = {str(name) for node in around if node["node"] == "Lambda" for name in node["args"]}
    return str(field["chain"][0]) in names


def _field(node: Tree, select: Tree) -> FieldPath | None:
    """The field that a node reads; None for other nodes."""
    if node["node"] == "Field":
        return _canonical(tuple(map(str, node["chain"])), select)
    if node["node"] == "ArrayAccess":
        return _inner(node["array"], node["property"], select)
    if node["node"] == "Call" and str(node["name"]).startswith("JSON") and len(node["args"]) > 1:
        return _inner(node["args"][0], node["args"][1], select)
    return None


def _inner(outer: Tree, key: Tree, select: Tree) -> FieldPath | None:
    """The property that is read by a key of a field."""
    if outer["node"] not in ("Field", "ArrayAccess") or key["node"] != "Constant" or not isinstance(key["value"], str):
        return None
    chain = [*outer["chain"], key["value"]] if outer["node"] == "Field" else None
    if chain is None:
        above = _field(outer, select)
        return None if above is None else (*above, key["value"])
    return _canonical(tuple(map(str, chain)), select)


def _canonical(chain: Sequence[str], select: Tree) -> FieldPath | None:
    """The path of a chain in the rows of the table of a SELECT; None for one that cannot be given a value."""
    (join,) = joins(select)
    table = str(join["table"]["chain"][0])
    own = list(chain[1:] if len(chain) > 1 and chain[0] in (join.get("alias"), table) else chain)
    first, rest = own[0], own[1:]
    if table == "persons":
        return _of_person(own)
    if first in ("person", "poe") and rest:
        return ("person_id",) if rest == ["id"] else _of_person(rest)
    if first == "properties" and rest:
        return "properties", *rest
    if rest:
        return None
    if first in EVENT_PROPERTIES:
        return "properties", first
    return (first,) if first in _OF_EVENTS else None


def _of_person(chain: Sequence[str]) -> FieldPath | None:
    is_property = chain[0] == "properties" and len(chain) > 1
    return ("person", *chain) if is_property or list(chain) == ["created_at"] else None


def _constants(comparison: Tree) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """The values that a comparison contains, and its largest calls without a field."""
    constants: list[Any] = []
    expressions: list[str] = []
    waiting: list[object] = [comparison]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict) and node.get("node") == "Constant":
            if node.get("value") is not None:
                constants.append(node["value"])
        elif isinstance(node, dict) and isinstance(node.get("node"), str):
            is_free = not any(inner["node"] in ("Field", "Lambda") for inner, _ in nodes_within(node))
            if is_free and node["node"] not in ("Tuple", "Array"):
                expressions.append(readable(node))
            elif node["node"] == "ArrayAccess":
                waiting.append(node["array"])  # its key is a name
            elif node["node"] == "Call" and str(node["name"]).startswith("JSON"):
                waiting.append(node["args"][0])
            else:
                waiting += [below for key, below in node.items() if key not in ("start", "end")]
    return tuple(constants), tuple(dict.fromkeys(expressions))
