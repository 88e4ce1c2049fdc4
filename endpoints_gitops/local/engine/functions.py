"""Calls: which are allowed, with how many arguments, and what ClickHouse is asked instead (docs/server.md#hogql)."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from endpoints_gitops.hogql.function_types import call_type
from endpoints_gitops.hogql.functions import (
    ABSENT,
    AGGREGATES,
    FUNCTIONS,
    PARAMETERS_OF,
    PARAMETRIC,
    Function,
    arity_mistake,
    catalogue_name,
    suggested_names,
)
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.local.engine.expressions import expression, expressions, listed, translates
from endpoints_gitops.local.engine.fields import untyped
from endpoints_gitops.local.engine.kinds import Sql
from endpoints_gitops.local.engine.literals import identifier
from endpoints_gitops.local.engine.operators import compare_call, is_comparison
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Scope, refuse_if, refuse_unknown
from endpoints_gitops.local.engine.special_calls import TRANSLATORS

_PARTS: Final = "node start end name args params distinct filter_expr order_by within_group"
_KNOWN: Final = frozenset(_PARTS.split())


@translates("Call")
def call(node: Tree, scope: Scope) -> Sql:
    """A function or an aggregation, plain or with parameters."""
    refuse_unknown(node, _KNOWN)
    name, arguments = allowed_name(str(node["name"])), node.get("args") or []
    if name in AGGREGATES or name in PARAMETRIC:
        return _aggregation(name, node, arguments, scope)
    refuse_if(node.get("distinct"), f"DISTINCT is only for aggregations, and '{name}' is none")
    refuse_if(node.get("filter_expr"), f"FILTER is only for aggregations, and '{name}' is none")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    refuse_if(node.get("within_group"), "WITHIN GROUP is not supported")
    if is_comparison(name):
        return compare_call(name, arguments, scope)
    refuse_if(node.get("params"), f"Function '{name}' does not accept parameters")
    return _function(FUNCTIONS[name], arguments, scope)


@translates("Lambda")
def anonymous(node: Tree, scope: Scope) -> Sql:
    """`x -> …`: its arguments hide columns and aliases of the same name."""
    names = [str(name) for name in node["args"]]
    arguments = {name: Sql(identifier(name)) for name in names}
    body = expression(node["expr"], scope.inside(arguments={**scope.arguments, **arguments}))
    written = ", ".join(value.text for value in arguments.values())
    return Sql(f"({written}) -> {body.text}", body.typed)


def allowed_name(name: str) -> str:
    """The name as the catalogue has it. Raises QueryRefused for a name that may not be called."""
    known = catalogue_name(name)
    if known is not None:
        return known
    if name in ABSENT:
        raise QueryRefused(f"Function '{name}' exists in PostHog but not in the local server")
    close = get_close_matches(name, suggested_names(), 1)
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


def _aggregation(name: str, node: Tree, arguments: list[Tree], scope: Scope) -> Sql:
    if scope.aggregate is not None:
        raise QueryRefused(f"Aggregation '{name}' cannot be nested inside another aggregation '{scope.aggregate}'.")
    refuse_if(node.get("within_group"), "WITHIN GROUP is not supported")
    refuse_if(node.get("order_by"), f"ORDER BY inside of '{name}' is not supported")
    refuse_arity(name, len(arguments))
    printed, values = aggregate_text(AGGREGATES.get(name) or PARAMETRIC[name], node, arguments, scope)
    return Sql(printed, call_type(name, [value.typed for value in values]))


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


def _function(function: Function, arguments: list[Tree], scope: Scope) -> Sql:
    refuse_arity(function.name, len(arguments))
    values = expressions(arguments, scope.inside(bare=True) if "bare" in function.marks else scope)
    if "of_text" in function.marks:
        values = [untyped(value) for value in values]
    return Sql(_written(function, values, scope), call_type(function.name, [value.typed for value in values]))


def _written(function: Function, values: list[Sql], scope: Scope) -> str:
    if function.translator is not None:
        return TRANSLATORS[function.translator](values, scope.context)
    if function.is_template:
        return function.clickhouse.format(*(value.text for value in values))
    return f"{function.clickhouse}({listed(values)})"


def _is_star(arguments: list[Tree]) -> bool:
    return len(arguments) == 1 and arguments[0].get("chain") == ["*"]
