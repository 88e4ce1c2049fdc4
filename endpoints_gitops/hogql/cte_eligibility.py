"""Whether the column of a variable can be carried from its CTE through those that read it
(docs/server.md#materialisation).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.selects import arms, clauses, joins
from endpoints_gitops.hogql.tree import QUERIES, nodes, nodes_within

_CARRYING: Final = ("JOIN", "INNER JOIN", "CROSS JOIN")
_IN_SCALAR: Final = (
    "Scalar subquery in top-level query references a CTE downstream of the variable-carrying CTE; the transformer "
    "cannot rewrite it to carry the variable column. Move the reference to the top-level FROM."
)
_REQUIRES: Final = "CTE variable propagation requires"
_UNREAD: Final = "Downstream CTE does not read from any propagating CTE"
_WINDOWS: Final = "Window functions in downstream CTEs of a variable CTE are not yet supported for materialization"


def reason(tree: Tree, carrier: str, names: list[str]) -> str | None:
    """Why not; `carrier` is the CTE that holds the variables `names`."""
    if len(list(joins(tree))) > 1:
        return "CTE variables with JOINs in the top-level query are not supported for materialization"
    carrying, why = {carrier}, None
    for cte in _after(tree, carrier):
        if why is None and _reads(cte["expr"], carrying):
            why = _of_body(str(cte["name"]), cte["expr"], carrying, names)
            carrying.add(str(cte["name"]))
    if any(_reads(query, carrying) for query in _scalars(tree)):
        return _IN_SCALAR
    return why


def carriers(tree: Tree, carrier: str) -> list[Tree]:
    """The CTE that holds the variables, and those that read its rows directly or through others."""
    ctes: list[Tree] = tree.get("ctes") or []
    found, names = [next(cte for cte in ctes if cte["name"] == carrier)], {carrier}
    for cte in _after(tree, carrier):
        if _reads(cte["expr"], names):
            found.append(cte)
            names.add(str(cte["name"]))
    return found


def _after(tree: Tree, carrier: str) -> list[Tree]:
    ctes: list[Tree] = tree.get("ctes") or []
    place = next(place for place, cte in enumerate(ctes) if cte["name"] == carrier)
    return ctes[place + 1 :]


def _of_body(name: str, body: Tree, carrying: set[str], names: list[str]) -> str | None:
    if body["node"] == "SelectQuery":
        return _of_select(name, body, carrying, names)
    if body["node"] != "SelectSetQuery":
        return f"Unsupported CTE body type: {body['node']}"
    if any(each["set_operator"] != "UNION ALL" for each in body["subsequent_select_queries"]):
        return "Only UNION ALL is supported for propagation across set operations"
    legs = (_of_body(name, arm, carrying, names) for arm in arms(body))
    why = next(filter(None, legs), None)
    return None if why is None else f"Variable propagation failed on UNION leg: {why}"


def _of_select(name: str, body: Tree, carrying: set[str], names: list[str]) -> str | None:
    if any(node["node"] == "WindowFunction" for node, _ in nodes_within(body["select"])):
        return _WINDOWS
    tables = [join["table"] for join in joins(body)]
    if any(table["node"] in QUERIES and _reads(table, carrying) for table in tables):
        return f"{_REQUIRES} top-level FROM references; nested subquery reference not supported"
    if any(_reads(query, carrying) for query in _scalars(body)):
        return f"{_REQUIRES} top-level FROM references; scalar subquery reading from a propagating CTE not supported"
    read = [join for join in joins(body) if _named(join["table"]) in carrying]
    if not read:
        return _UNREAD
    odd = next((join["join_type"] for join in read if join.get("join_type") not in (None, *_CARRYING)), None)
    if odd is not None:
        return f"{_REQUIRES} CROSS/INNER joins between propagating CTEs; {odd} not supported"
    taken = next((each for each in names if each in _columns(body)), None)
    return (
        None
        if taken is None
        else f"Variable code_name '{taken}' collides with existing column in downstream CTE {name}"
    )


def _columns(select: Tree) -> set[str]:
    return {
        str(item["alias"]) if item["node"] == "Alias" else str((item.get("chain") or [readable(item)])[-1])
        for item in select["select"]
    }


def _scalars(select: Tree) -> Iterable[Tree]:
    """The subqueries that stand in expressions."""
    return (node for _, part in clauses(select) for node, _ in nodes_within(part) if node["node"] in QUERIES)


def _reads(query: Tree, names: set[str]) -> bool:
    return any(_named(node["table"]) in names for node in nodes(query) if node["node"] == "JoinExpr")


def _named(table: Tree) -> str:
    return ".".join(map(str, table.get("chain") or ()))
