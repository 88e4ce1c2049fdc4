"""Whether the variables of a query can become columns of a table: then callers' values filter its rows.

The rules, their order and their words are the server's (docs/server.md#materialisation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.hogql import cte_eligibility
from endpoints_gitops.hogql.functions import is_additive, is_aggregation
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.tree import nodes_within, of_kind
from endpoints_gitops.hogql.variables import chain_of, variables_in

_ALLOWED: Final = ("==", ">=", ">", "<", "<=", "like", "ilike", "not like", "not ilike")
_RANGES: Final = (">=", ">", "<", "<=")
_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}


@dataclass(frozen=True, slots=True)
class Use:
    """A variable in the WHERE of the outermost SELECT (`cte` is None) or of a CTE; without a comparison `other` is
    None. `around` are the nodes between the comparison and the variable, outermost first.
    """

    name: str
    cte: str | None
    operator: str
    other: Tree | None
    under_or: bool
    around: tuple[Tree, ...] = ()


def reason(tree: Tree, declared: set[str]) -> str | None:
    """Why not, without the words in front that the server puts there."""
    found = [
        node for node in of_kind(tree, "Placeholder") if variables_in(node) or chain_of(node)[:1] == ("variables",)
    ]
    if not found:
        return "No variables found"
    if any(len(chain_of(node)) < 2 for node in found):
        return "Invalid variable placeholder format"
    names = list(dict.fromkeys(chain_of(node)[1] for node in found))
    if not set(names) <= declared:
        return "Variable metadata not found"
    if _in_having(tree):
        return "Variable used in HAVING clause are not supported for materialization."
    uses = uses_of(tree)
    return next((why for check in _CHECKS if (why := check(tree, names, uses)) is not None), None)


def uses_of(tree: Tree) -> list[Use]:
    """Every variable in a WHERE that a table could filter by."""
    if tree["node"] != "SelectQuery":
        return []
    ctes = [(str(cte["name"]), cte["expr"]) for cte in tree.get("ctes") or () if cte["expr"]["node"] == "SelectQuery"]
    places: list[tuple[str | None, Tree]] = [(None, tree), *ctes]
    return [use for cte, select in places for use in _uses_in(cte, select.get("where"))]


def _uses_in(cte: str | None, where: Tree | None) -> Iterable[Use]:
    for node, around in nodes_within(where):
        if node["node"] == "Placeholder" and len(chain_of(node)) > 1:
            yield _use(chain_of(node)[1], cte, node, around)


def _use(name: str, cte: str | None, node: Tree, around: tuple[Tree, ...]) -> Use:
    at = next((place for place in reversed(range(len(around))) if around[place]["node"] == "CompareOperation"), None)
    is_or = any(_is_call(each, "Or", "or") for each in around)
    if at is None or any(_is_call(each, "Not", "not") for each in around[:at]):
        return Use(name, cte, "", None, is_or)
    comparison, side = around[at], (*around, node)[at + 1]
    operator, wrappers = str(comparison["op"]), around[at + 1 :]
    if comparison["right"] is side:
        return Use(name, cte, operator, comparison["left"], is_or, wrappers)
    return Use(name, cte, _FLIPPED.get(operator, operator), comparison["right"], is_or, wrappers)


def _is_call(node: Tree, kind: str, name: str) -> bool:
    return bool(node["node"] == kind or (node["node"] == "Call" and node["name"] == name))


def _in_having(tree: Tree) -> bool:
    return any(any(of_kind(select.get("having"), "Placeholder")) for select in of_kind(tree, "SelectQuery"))


def _compared_with_another(_tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    if any(any(of_kind(use.other, "Placeholder")) for use in uses):
        return (
            "Variable compared against an expression containing another variable is not supported for materialization"
        )
    return None


def _not_in_where(_tree: Tree, names: list[str], uses: list[Use]) -> str | None:
    if any(use.other is None for use in uses):
        return "Invalid variable usage in WHERE clause."
    return None if set(names) <= {use.name for use in uses} else "Variable not used in WHERE clause"


def _under_or(_tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    return "Variables in OR conditions are not supported for materialization" if any(u.under_or for u in uses) else None


def _several_columns(_tree: Tree, names: list[str], uses: list[Use]) -> str | None:
    for name in names:
        if len({readable(use.other) for use in uses if use.name == name and use.other is not None}) > 1:
            return "Variable compared against multiple columns is not supported for materialization"
    return None


def _several_places(_tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    places = {use.cte for use in uses}
    if None in places and len(places) > 1:
        return "Variable used in both CTE and top-level query is not yet supported"
    return "Variable used in multiple CTEs is not yet supported" if len(places) > 1 else None


def _operators(_tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    wrong = next((use.operator for use in uses if use.operator not in _ALLOWED), None)
    return None if wrong is None else f"Unsupported operator {wrong}, supported: =, >=, >, <, <="


def _aggregates(tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    """A range makes the table one of buckets, and their values must add up."""
    if not any(use.operator in _RANGES for use in uses):
        return None
    calls = [node for node, _ in nodes_within(tree["select"]) if node["node"] == "Call"]
    for call in calls:
        if not is_aggregation(str(call["name"])):
            continue
        name = f"{call['name']}Distinct" if call.get("distinct") else str(call["name"])
        if not is_additive(name):
            return f"Aggregate function '{name}' cannot be re-aggregated for range variable materialization"
    return None


def _downstream(tree: Tree, names: list[str], uses: list[Use]) -> str | None:
    cte = next((use.cte for use in uses if use.cte is not None), None)
    return None if cte is None else cte_eligibility.reason(tree, cte, names)


def _aliases(tree: Tree, _names: list[str], uses: list[Use]) -> str | None:
    aliases = {str(item["alias"]): readable(item["expr"]) for item in tree["select"] if item["node"] == "Alias"}
    for use in uses:
        if use.other is not None and aliases.get(use.name, readable(use.other)) != readable(use.other):
            return (
                f"Variable '{use.name}' conflicts with an existing SELECT alias for a different expression. "
                "Rename the variable or the conflicting column alias."
            )
    return None


type _Check = Callable[[Tree, list[str], list[Use]], str | None]

_CHECKS: Final[tuple[_Check, ...]] = (
    _compared_with_another,
    _not_in_where,
    _under_or,
    _several_columns,
    _several_places,
    _operators,
    _aggregates,
    _downstream,
    _aliases,
)
