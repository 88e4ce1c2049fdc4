"""The type of an expression where it stands. Nothing here recurses into expressions, so none is too deep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from endpoints_gitops.hogql.function_types import call_type, comparison_type, logic_type, window_type
from endpoints_gitops.hogql.functions import ARITHMETIC, CAST_KINDS, CASTS
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.scope import Scope, property_of, resolve
from endpoints_gitops.hogql.tree import fold
from endpoints_gitops.hogql.types import (
    FLOAT,
    INTEGER,
    NULL,
    Kind,
    Typed,
    any_nullable,
    common,
    unknown,
)

type TypeOfQuery = Callable[[Tree, Scope], Typed]
type _Give = Callable[[dict[str, Any], Scope], Typed]

_WHOLE: Final = ("SelectQuery", "SelectSetQuery", "Lambda", "Placeholder")


def expression_type(node: Tree, scope: Scope, of_query: TypeOfQuery) -> Typed:
    """`of_query` gives the type of a subquery that stands as a value."""

    def combine(part: dict[str, Any]) -> Any:  # noqa: ANN401 - a Typed; dicts that are no node stay what they are
        kind = part.get("node")
        if not isinstance(kind, str):
            return part
        if kind in ("SelectQuery", "SelectSetQuery"):
            return of_query(part, scope)
        give = _GIVES.get(kind)
        found = give(part, scope) if give else unknown(f"what {kind} gives is not known here")
        return replace(found, is_null_unseen=True) if found.nullable is not False and _hides_null(part) else found

    found: Typed = fold(node, combine, whole=_WHOLE)
    return found


def _hides_null(part: dict[str, Any]) -> bool:
    """Whether something that it is made of can be NULL without the server knowing."""
    values = (each for value in part.values() for each in (value if isinstance(value, list) else (value,)))
    return any(isinstance(each, Typed) and each.is_null_unseen for each in values)


def _constant(node: dict[str, Any], _scope: Scope) -> Typed:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        return INTEGER if value.lstrip("-").isdigit() else FLOAT
    if value is None:
        return NULL
    if isinstance(value, bool | int):
        return Typed(Kind.INTEGER, constant=value)
    return FLOAT if isinstance(value, float) else Typed(Kind.STRING, constant=value)


def _field(node: dict[str, Any], scope: Scope) -> Typed:
    return resolve([str(part) for part in node["chain"]], scope)


def _placeholder(node: dict[str, Any], _scope: Scope) -> Typed:
    """The server finds types with '' in place of every variable."""
    chain = [str(part) for part in (node["expr"].get("chain") or [])]
    of = f"the variable {chain[1]}" if len(chain) > 1 and chain[0] == "variables" else "a placeholder"
    return Typed(Kind.STRING, None, f"it is what {of} is given")


def _alias(node: dict[str, Any], scope: Scope) -> Typed:
    value: Typed = node["expr"]
    scope.aliases[str(node["alias"])] = value.named()
    return value


def _call(node: dict[str, Any], _scope: Scope) -> Typed:
    arguments = [each for each in node.get("args") or () if isinstance(each, Typed)]
    return call_type(str(node["name"]), arguments)


def _window(node: dict[str, Any], _scope: Scope) -> Typed:
    arguments = node["args"] if node.get("args") else node.get("exprs") or []
    return window_type(str(node["name"]), arguments)


def _comparison(node: dict[str, Any], _scope: Scope) -> Typed:
    if node["op"] in ("in", "not in", "in cohort", "not in cohort"):
        return INTEGER
    return comparison_type([node["left"], node["right"]])


def _between(node: dict[str, Any], _scope: Scope) -> Typed:
    """Of a timestamp as it is; anything else knows two values only."""
    parts = [node["expr"], node["low"], node["high"]]
    return comparison_type(parts) if parts[0].is_timestamp or _hides_null(node) else INTEGER


def _logic(node: dict[str, Any], _scope: Scope) -> Typed:
    return logic_type(node["exprs"] if "exprs" in node else [node["expr"]])


def _arithmetic(node: dict[str, Any], _scope: Scope) -> Typed:
    return call_type(ARITHMETIC[node["op"]], [node["left"], node["right"]])


def _cast(node: dict[str, Any], _scope: Scope) -> Typed:
    value, kind = node["expr"], CAST_KINDS.get(CASTS.get(node["type_name"], ""))
    if kind is None:
        return unknown(f"the server has no cast to {node['type_name']}")
    if value.kind is Kind.NOTHING:
        return NULL
    return Typed(kind, value.nullable)


def _array(node: dict[str, Any], _scope: Scope) -> Typed:
    return Typed(Kind.ARRAY, item=common(node["exprs"]))


def _tuple(node: dict[str, Any], _scope: Scope) -> Typed:
    return Typed(Kind.TUPLE, parts=tuple(each.named() for each in node["exprs"]))


def _dictionary(_node: dict[str, Any], _scope: Scope) -> Typed:
    return Typed(Kind.TUPLE)


def _array_access(node: dict[str, Any], _scope: Scope) -> Typed:
    container, key = node["array"], node["property"]
    if container.keys is not None and key.constant is not None:
        return property_of((*container.keys, str(key.constant)))
    if container.kind is Kind.ARRAY and container.item is not None:
        item: Typed = container.item
        is_nested = item.kind in (Kind.ARRAY, Kind.TUPLE)
        return item.as_nullable(False if is_nested else any_nullable([item, key]))
    return unknown(container.why or "what stands under a key is not known")


def _tuple_access(node: dict[str, Any], _scope: Scope) -> Typed:
    container = node["tuple"]
    if container.keys is not None:
        return property_of((*container.keys, str(node["index"])))
    if container.parts is not None and 0 < int(node["index"]) <= len(container.parts):
        part: Typed = container.parts[int(node["index"]) - 1]
        return part.named()
    return unknown(container.why or "what the parts of a tuple are is not known")


def _slice(node: dict[str, Any], _scope: Scope) -> Typed:
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
    "Lambda": lambda _node, _scope: unknown("a function is no value"),
    "Not": _logic,
    "Or": _logic,
    "Placeholder": _placeholder,
    "Tuple": _tuple,
    "TupleAccess": _tuple_access,
    "TypeCast": _cast,
    "WindowFunction": _window,
}
