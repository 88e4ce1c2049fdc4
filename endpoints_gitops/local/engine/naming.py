"""Names of columns that the query does not name (docs/server.md#hogql)."""

from __future__ import annotations

from endpoints_gitops.hogql import column_names
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import UnboundVariable, readable
from endpoints_gitops.hogql.syntax_tree import of_kind
from endpoints_gitops.local.engine.kinds import Sql
from endpoints_gitops.local.engine.refusals import QueryRefused


def column_name(node: Tree, found: Sql) -> str:
    """The last part of a field, the keys that lead into JSON, or the expression as the server prints it.

    How it prints a subquery is not known; HogQL's own print is as good as any.
    """
    if node["node"] == "Field":
        keys = found.json.keys if found.json else ()
        return column_names.field_name(list(map(str, node["chain"])), tuple(map(str, keys)) or None)
    if node["node"] in _QUERIES:
        return f"({readable(node)})"
    if any(of_kind(node, *_QUERIES)):
        return readable(node)
    try:
        return column_names.expression_name(node).text
    except UnboundVariable as error:
        raise QueryRefused(f"A column made of this value needs a name: {error.message}") from None


_QUERIES = ("SelectQuery", "SelectSetQuery")
