"""From a node of the syntax tree to SQL: each kind of node has one translator, registered where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.local.engine.kinds import Sql
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.scope import Scope, Translate, bounded

_TRANSLATORS: Final[dict[str, Translate]] = {}
_REFUSED: Final = {
    "ExprCall": "You can only call simple functions in HogQL, not expressions",
    "Block": "You can not use blocks in HogQL",
    "TryCast": "TRY_CAST is not allowed in clickhouse dialect",
    "PositionalRef": "Positional references are not allowed in clickhouse dialect",
    "ValuesQuery": "VALUES clause is not supported in ClickHouse dialect",
}


def translates(*kinds: str) -> Callable[[Translate], Translate]:
    """Registers the translator of these kinds of nodes."""

    def register(translate: Translate) -> Translate:
        _TRANSLATORS.update(dict.fromkeys(kinds, translate))
        return translate

    return register


def expression(node: Tree, scope: Scope) -> Sql:
    """The SQL of one expression. Raises QueryRefused for what cannot be translated."""
    kind = node["node"]
    translate = _TRANSLATORS.get(kind)
    if translate is None:
        raise QueryRefused(_REFUSED.get(kind, f"{kind} is not supported by the local server"))
    found = translate(node, scope)
    bounded(found.text)
    return found


def expressions(nodes: list[Tree], scope: Scope) -> list[Sql]:
    return [expression(node, scope) for node in nodes]


def listed(values: list[Sql]) -> str:
    return ", ".join(value.text for value in values)


def any_nullable(values: list[Sql]) -> bool:
    return any(value.nullable for value in values)
