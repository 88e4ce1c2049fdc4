"""From a node of the syntax tree to SQL: each kind of node has one translator, registered where it is written.

Constants, comparisons, logic and arithmetic stand here. Comparisons know two values only (docs/server.md#hogql).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from endpoints_gitops.hogql.function_types import call_type
from endpoints_gitops.hogql.functions import ARITHMETIC, CAST_KINDS, CASTS, COMPARISONS
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.refusals import UNSUPPORTED_NODES
from endpoints_gitops.hogql.types import Typed, common
from endpoints_gitops.local.engine.literals import literal, number
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import NULL, Constant, Kind, QueryScope, Sql, Translate, bounded

_TRANSLATORS: Final[dict[str, Translate]] = {}


def translates(*kinds: str) -> Callable[[Translate], Translate]:
    """Register the translator of these kinds of nodes."""

    def register(translate: Translate) -> Translate:
        _TRANSLATORS.update(dict.fromkeys(kinds, translate))
        return translate

    return register


def expression(node: Tree, scope: QueryScope) -> Sql:
    """The SQL of an expression. Raises QueryRefused if it cannot be translated."""
    kind = node["node"]
    translate = _TRANSLATORS.get(kind)
    if translate is None:
        raise QueryRefused(UNSUPPORTED_NODES.get(kind, f"{kind} is not supported by the local server"))
    found = translate(node, scope)
    bounded(found.text)
    return found


def expressions(nodes: list[Tree], scope: QueryScope) -> list[Sql]:
    return [expression(node, scope) for node in nodes]


def listed(values: list[Sql]) -> str:
    return ", ".join(value.text for value in values)


def any_nullable(values: list[Sql]) -> bool:
    return any(value.nullable for value in values)


_OPERATORS_OF_CALLS: Final = {call: sign for sign, call in COMPARISONS.items()}
_REGEXES: Final = ("=~", "!~", "=~*", "!~*")
_NEGATIVE: Final = ("!=", "not like", "not ilike", "!~", "!~*")
_ORDERINGS: Final = ("<", "<=", ">", ">=")
_FOLDED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@translates("Constant")
def constant(node: Tree, _scope: QueryScope) -> Sql:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        return Sql(number(value), Typed(Kind.FLOAT))
    if value is None:
        return NULL
    shown = None if isinstance(value, float) else value
    return Sql(literal(value), Typed(_kind_of(value), constant=shown), constant=Constant(value=value))


@translates("CompareOperation")
def compare(node: Tree, scope: QueryScope) -> Sql:
    sign = node["op"]
    if sign in ("in cohort", "not in cohort"):
        return _in_cohort(node, scope)
    left = expression(node["left"], scope)
    if sign in ("in", "not in"):
        return _membership(sign, left, node["right"], scope)
    return comparison(sign, left, expression(node["right"], scope), scope)


def compare_call(name: str, arguments: list[Tree], scope: QueryScope) -> Sql:
    """Translate `equals(a, b)` and similar functions like the operators."""
    if len(arguments) != 2:
        raise QueryRefused(f"Comparison '{name}' requires exactly two arguments")
    return compare(
        {"node": "CompareOperation", "op": _OPERATORS_OF_CALLS[name], "left": arguments[0], "right": arguments[1]},
        scope,
    )


def is_comparison(name: str) -> bool:
    return name in _OPERATORS_OF_CALLS


def comparison(sign: str, left: Sql, right: Sql, scope: QueryScope) -> Sql:
    """A comparison that is 0 or 1 even if a side is NULL: NULL equals only NULL."""
    if left.constant is not None and right.constant is not None:
        folded = _fold(sign, left.constant.value, right.constant.value)
        if folded is not None:
            return _truth(literal(folded))
    return _truth(_wrapped(sign, left, right, scope))


@translates("BetweenExpr")
def between(node: Tree, scope: QueryScope) -> Sql:
    parts = [expression(node[part], scope) for part in ("expr", "low", "high")]
    word = "NOT BETWEEN" if node.get("negated") else "BETWEEN"
    printed = f"({parts[0].text} {word} {parts[1].text} AND {parts[2].text})"
    bare = scope.bare or parts[0].typed.is_timestamp or not any_nullable(parts)
    return _truth(printed if bare else f"ifNull({printed}, 0)")


@translates("IsDistinctFrom")
def distinct_from(node: Tree, scope: QueryScope) -> Sql:
    left, right = expression(node["left"], scope), expression(node["right"], scope)
    word = "IS NOT DISTINCT FROM" if node.get("negated") else "IS DISTINCT FROM"
    return _truth(f"({left.text} {word} {right.text})")


@translates("And", "Or")
def logic(node: Tree, scope: QueryScope) -> Sql:
    parts = expressions(node["exprs"], scope)
    return _logical(f"{node['node'].lower()}({listed(parts)})", parts)


@translates("Not")
def negation(node: Tree, scope: QueryScope) -> Sql:
    part = expression(node["expr"], scope)
    return _logical(f"not({part.text})", [part])


@translates("ArithmeticOperation")
def arithmetic(node: Tree, scope: QueryScope) -> Sql:
    parts = [expression(node["left"], scope), expression(node["right"], scope)]
    function = ARITHMETIC[node["op"]]
    return Sql(f"{function}({listed(parts)})", call_type(function, [part.typed for part in parts]))


@translates("TypeCast")
def cast(node: Tree, scope: QueryScope) -> Sql:
    """A cast, which fails for invalid values, unlike `toInt` and similar functions."""
    name = str(node["type_name"])
    function = CASTS.get(name)
    if function is None:
        raise QueryRefused(f"Unsupported type cast to '{name}'")
    part = expression(node["expr"], scope)
    zone = f", {scope.context.zone}" if function == "toDateTime" else ""
    typed = Typed(CAST_KINDS.get(function, Kind.BOOLEAN), part.typed.nullable)
    return Sql(f"{function}({part.text}{zone})", typed)


@translates("Array")
def array(node: Tree, scope: QueryScope) -> Sql:
    items = expressions(node["exprs"], scope)
    return Sql(f"[{listed(items)}]", Typed(Kind.ARRAY, item=common([item.typed for item in items])))


@translates("Tuple")
def tuple_of(node: Tree, scope: QueryScope) -> Sql:
    items = expressions(node["exprs"], scope)
    return Sql(f"tuple({listed(items)})", Typed(Kind.TUPLE, parts=tuple(item.typed.named() for item in items)))


@translates("Dict")
def dictionary(node: Tree, scope: QueryScope) -> Sql:
    """A JSON object, which PostHog represents in ClickHouse as a tuple with a mark."""
    parts = [expression(part, scope) for pair in node["items"] for part in pair]
    return Sql(f"tuple('__hx_tag', '__hx_obj', {listed(parts)})".replace(", )", ")"), Typed(Kind.TUPLE))


@translates("ArraySlice")
def array_slice(node: Tree, scope: QueryScope) -> Sql:
    container = expression(node["array"], scope)
    typed = Typed(Kind.ARRAY, item=container.typed.item)
    start = expression(node["start_expr"], scope).text if node.get("start_expr") else "1"
    if not node.get("end_expr"):
        return Sql(f"arraySlice({container.text}, {start})", typed)
    end = expression(node["end_expr"], scope).text
    length = f"plus(minus({end}, {start}), 1)"
    return Sql(f"arraySlice({container.text}, {start}, {length})", typed)


def _truth(printed: str) -> Sql:
    return Sql(printed, Typed(Kind.BOOLEAN))


def _logical(printed: str, parts: list[Sql]) -> Sql:
    return Sql(printed, Typed(Kind.BOOLEAN, any_nullable(parts)))


def _kind_of(value: object) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.INTEGER
    return Kind.FLOAT if isinstance(value, float) else Kind.STRING


def _fold(sign: str, left: object, right: object) -> bool | None:
    """The result for two constants; None if ClickHouse has to compare them."""
    if left is None or right is None:
        return _fold_null(sign, left is None and right is None)
    same = isinstance(left, str) == isinstance(right, str)
    return _FOLDED[sign](left, right) if sign in ("==", "!=") or (sign in _FOLDED and same) else None


def _fold_null(sign: str, both: bool) -> bool:
    if sign in _ORDERINGS:
        return False
    return not both if sign in _NEGATIVE else both


def _wrapped(sign: str, left: Sql, right: Sql, scope: QueryScope) -> str:
    negative = sign in _NEGATIVE
    printed = _printed(sign, left, right)
    is_bare = scope.bare or left.typed.is_timestamp or right.typed.is_timestamp
    if is_bare or not (left.nullable or right.nullable):
        return printed
    if left.is_null or right.is_null:
        other = right if left.is_null else left
        return "0" if sign in _ORDERINGS else f"{'isNotNull' if negative else 'isNull'}({other.text})"
    if sign in _ORDERINGS:
        return f"ifNull({printed}, 0)"
    if not (left.nullable and right.nullable):
        return f"ifNull({printed}, {int(negative)})"
    if negative:
        return f"ifNull({printed}, or(isNotNull({left.text}), isNotNull({right.text})))"
    return f"ifNull({printed}, and(isNull({left.text}), isNull({right.text})))"


def _printed(sign: str, left: Sql, right: Sql) -> str:
    if sign not in _REGEXES:
        return f"{COMPARISONS[sign]}({left.text}, {right.text})"
    pattern = f"concat('(?i)', {right.text})" if sign.endswith("*") else right.text
    found = f"match({left.text}, {pattern})"
    return f"not({found})" if sign.startswith("!") else found


def _membership(sign: str, left: Sql, right: Tree, scope: QueryScope) -> Sql:
    """IN, which needs no wrapping, because ClickHouse is configured to treat NULL as a value in IN."""
    among = expression(right, scope)
    return _truth(f"{COMPARISONS[sign]}({left.text}, {among.text})")


def _in_cohort(node: Tree, scope: QueryScope) -> Sql:
    """Whether a person belongs to a cohort, which is a constant: its id or its name."""
    right = node["right"]
    cohort = scope.context.project.cohort(right.get("value")) if right["node"] == "Constant" else None
    if cohort is None:
        raise QueryRefused(_no_cohort(right))
    if cohort.table in scope.context.taken:
        raise QueryRefused(f"A query with IN COHORT cannot use the word {cohort.table} on the local server")
    left = expression(node["left"], scope)
    members = f"(SELECT person_id FROM {cohort.table} WHERE cohort_id = {cohort.id})"  # noqa: S608 - our own names
    return _truth(f"{'in' if node['op'] == 'in cohort' else 'notIn'}({left.text}, {members})")


def _no_cohort(node: Tree) -> str:
    value = node.get("value") if node["node"] == "Constant" else None
    if isinstance(value, str):
        return f"Could not find a cohort with the name '{value}'"
    if isinstance(value, int):
        return f"Could not find cohort with ID {value}"
    return "cohort() takes only constant arguments"
