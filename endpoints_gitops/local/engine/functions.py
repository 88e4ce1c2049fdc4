"""Calls: which are allowed, with how many arguments, and what ClickHouse is asked instead (docs/server.md#hogql)."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from endpoints_gitops.hogql import functions as catalogue
from endpoints_gitops.hogql.functions import (
    AGGREGATES,
    CONVERTED,
    FUNCTIONS,
    NOT_HERE,
    PARAMETERS_OF,
    PARAMETRIC,
    Function,
    arity_mistake,
)
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.local.engine.expressions import any_nullable, expression, expressions, listed, translates
from endpoints_gitops.local.engine.fields import untyped
from endpoints_gitops.local.engine.kinds import Kind, Sql
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.operators import compare_call, is_comparison
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Scope, refuse_if, refuse_unknown
from endpoints_gitops.local.engine.special_calls import SPECIAL

_NULLABLE: Final = """
nullIf toNullable toModifiedJulianDay arrayElement arrayJoin arrayFirst arrayLast arrayFold arrayMin arrayMax
tupleElement transform JSONExtract JSON_VALUE _caseWithExpression arrayProduct arraySum arrayAvg hasTokenOrNull
hasTokenCaseInsensitiveOrNull
"""
_ALWAYS_NULLABLE: Final = frozenset(_NULLABLE.split())
"""NULL whatever the arguments are, or where something inside of an array, a tuple or JSON is."""
_NEVER_NULL: Final = frozenset({"isNull", "isNotNull", "assumeNotNull", "array", "tuple", "toTypeName"})
_OF_TEXT: Final = ("toFloatOrZero", "toIntOrZero", "toFloatOrDefault")
_PARTS: Final = "node start end name args params distinct filter_expr order_by within_group"
_KNOWN: Final = frozenset(_PARTS.split())
_BRANCHES: Final = {"if": 1, "multiIf": 1, "coalesce": 0, "ifNull": 0}


@translates("Call")
def call(node: Tree, scope: Scope) -> Sql:
    """A function or an aggregation, plain or with parameters."""
    refuse_unknown(node, _KNOWN)
    name, arguments = found_name(str(node["name"])), node.get("args") or []
    if name in AGGREGATES or name in PARAMETRIC:
        return _aggregation(name, node, arguments, scope)
    refuse_if(node.get("distinct"), f"DISTINCT is only for aggregations, and '{name}' is none")
    refuse_if(node.get("filter_expr"), f"FILTER is only for aggregations, and '{name}' is none")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    refuse_if(node.get("within_group"), "WITHIN GROUP is not supported")
    if is_comparison(name):
        return compare_call(name, arguments, scope)
    if name in SPECIAL:
        refuse_arity(name, len(arguments))
        return SPECIAL[name](expressions(arguments, scope), scope.world)
    refuse_if(node.get("params"), f"Function '{name}' does not accept parameters")
    return _plain(FUNCTIONS[name], arguments, scope)


@translates("Lambda")
def anonymous(node: Tree, scope: Scope) -> Sql:
    """`x -> …`: its arguments hide columns and aliases of the same name."""
    names = [str(name) for name in node["args"]]
    arguments = {name: Sql(text=identifier(name)) for name in names}
    body = expression(node["expr"], scope.inside(arguments={**scope.arguments, **arguments}))
    written = ", ".join(value.text for value in arguments.values())
    return Sql(text=f"({written}) -> {body.text}", kind=body.kind)


def found_name(name: str) -> str:
    """The name as the tables of functions have it. Raises QueryRefused for a name that may not be called."""
    found = catalogue.found_name(name)
    if found is not None:
        return found
    if name in NOT_HERE:
        raise QueryRefused(f"Function '{name}' exists in PostHog but not in the local server")
    known = [each for each in (*AGGREGATES, *PARAMETRIC, *FUNCTIONS, *CONVERTED) if not each.startswith("_")]
    close = get_close_matches(name, known, 1)
    hint = f" Perhaps you meant '{close[0]}(...)'?" if close else ""
    raise QueryRefused(f"Unsupported function call '{name}(...)'.{hint}")


def refuse_arity(name: str, given: int) -> None:
    """Raise QueryRefused, in PostHog's words, for too few or too many arguments."""
    refuse_if(mistake := arity_mistake(name, given), mistake or "")


def aggregate_text(function: Function, node: Tree, arguments: list[Tree], scope: Scope) -> tuple[str, list[Sql]]:
    """An aggregation with its parameters, DISTINCT and FILTER, and its arguments."""
    inside = scope.inside(aggregate=function.name)
    values = [] if _is_star(arguments) else expressions(arguments, inside)
    distinct = "DISTINCT " if node.get("distinct") else ""
    condition = node.get("filter_expr")
    filtered = f" FILTER (WHERE {expression(condition, inside).text})" if condition else ""
    return f"{function.clickhouse}{_parameters(function, node, scope)}({distinct}{listed(values)}){filtered}", values


def aggregate_kind(function: Function, values: list[Sql]) -> Kind:
    if function.kind is not None:
        return function.kind
    return values[0].kind if values else Kind.UNKNOWN


def aggregate_nullable(function: Function, values: list[Sql]) -> bool:
    if function.clickhouse.endswith("OrNull"):
        return True
    counts = function.name.startswith(("count", "uniq", "groupArray", "groupUniqArray"))
    return not counts and any_nullable(values)


def _aggregation(name: str, node: Tree, arguments: list[Tree], scope: Scope) -> Sql:
    if scope.aggregate is not None:
        raise QueryRefused(f"Aggregation '{name}' cannot be nested inside another aggregation '{scope.aggregate}'.")
    refuse_if(node.get("within_group"), "WITHIN GROUP is not supported")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    function = AGGREGATES.get(name) or PARAMETRIC[name]
    refuse_arity(name, len(arguments))
    printed, values = aggregate_text(function, node, arguments, scope)
    element = values[0].kind if values and name in ("groupArray", "groupUniqArray", "array_agg") else Kind.UNKNOWN
    return Sql(
        text=printed,
        kind=aggregate_kind(function, values),
        nullable=aggregate_nullable(function, values),
        element=element,
    )


def _parameters(function: Function, node: Tree, scope: Scope) -> str:
    given = node.get("params")
    least, most = PARAMETERS_OF.get(function.name, (0, 0))
    if not given:
        refuse_if(least, f"Aggregation '{function.name}' requires parameters in addition to arguments")
        return ""
    refuse_if(function.name not in PARAMETERS_OF, f"Aggregation '{function.name}' does not accept parameters")
    count = len(given)
    if count < least or (most is not None and count > most):
        wanted = f"{least} parameter{'' if least == 1 else 's'}" if least == most else f"{least} to {most} parameters"
        raise QueryRefused(f"Aggregation '{function.name}' expects {wanted}, found {count}")
    return f"({listed(expressions(given, scope))})"


def _plain(function: Function, arguments: list[Tree], scope: Scope) -> Sql:
    refuse_arity(function.name, len(arguments))
    inside = scope.inside(bare=True) if function.name == "indexHint" else scope
    values = expressions(arguments, inside)
    if function.name in _OF_TEXT:
        values = [untyped(value) for value in values]
    printed = f"{function.clickhouse}({listed(values)})"
    element = values[0].kind if function.name == "array" and values else Kind.UNKNOWN
    return Sql(text=printed, kind=_kind(function, values), nullable=_nullable(function.name, values), element=element)


def _kind(function: Function, values: list[Sql]) -> Kind:
    if function.name in _BRANCHES:
        return _common_kind(_branches(function.name, values))
    if function.kind is not None:
        return function.kind
    return values[0].kind if values else Kind.UNKNOWN


def _branches(name: str, values: list[Sql]) -> list[Sql]:
    """The arguments that may become the result."""
    if name == "multiIf":
        return [*values[1:-1:2], values[-1]]
    return values[_BRANCHES[name] :]


def _common_kind(values: list[Sql]) -> Kind:
    kinds = {value.kind for value in values if not value.is_null}
    return kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN


def _nullable(name: str, values: list[Sql]) -> bool:
    if name in _NEVER_NULL:
        return False
    if name in _ALWAYS_NULLABLE:
        return True
    if name in ("coalesce", "ifNull"):
        return all(value.nullable for value in values)
    return any_nullable(values)


def _is_star(arguments: list[Tree]) -> bool:
    return len(arguments) == 1 and arguments[0].get("chain") == ["*"]
