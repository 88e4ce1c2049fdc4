"""What a query loses when it is materialised and its table is read instead (docs/server.md#table-reads)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from endpoints_gitops.hogql import cte_eligibility
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.selects import arms
from endpoints_gitops.hogql.variable_eligibility import Use, uses_of

_OPEN_RANGES: Final = (">", "<")
_DEFAULT_BUCKET: Final = "day"


@dataclass(frozen=True, slots=True)
class LostWrapper:
    """A variable inside an expression that the read of a table leaves out: `text` is that expression."""

    variable: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenEdge:
    """A range variable whose comparison excludes the boundary, over a column that the table keeps in buckets."""

    variable: str
    operator: str
    column: str
    bucket: str


@lru_cache(maxsize=512)
def limits_before_variables(sql: str) -> tuple[str, ...]:
    """The literal LIMITs that cut the table before the values of variables filter it. Raises a ParseFailure.

    Without variables a LIMIT keeps the rows that it keeps inline. A LIMIT of a subquery or CTE counts only where the
    variable filters its rows or rows that it is made of.
    """
    tree = parse(sql)
    uses = uses_of(tree)
    carrier = next((use.cte for use in uses if use.cte is not None), None)
    selects = [tree] if uses else []
    if carrier is not None:
        for cte in cte_eligibility.carriers(tree, carrier):
            selects += arms(cte["expr"]) if cte["expr"]["node"] == "SelectSetQuery" else [cte["expr"]]
    limits = (select.get("limit") for select in selects)
    return tuple(dict.fromkeys(readable(limit) for limit in limits if limit and limit["node"] == "Constant"))


@lru_cache(maxsize=512)
def lost_wrappers(sql: str) -> tuple[LostWrapper, ...]:
    """The variables whose value is compared bare when the table is read. Raises a ParseFailure.

    The server applies a call of one argument and a cast again; it drops everything else around a variable.
    """
    found = (_lost(use) for use in uses_of(parse(sql)))
    return tuple(dict.fromkeys(lost for lost in found if lost is not None))


def open_edges(sql: str, overrides: Mapping[str, str]) -> tuple[OpenEdge, ...]:
    """The range variables that exclude the whole boundary bucket. Raises a ParseFailure."""
    return tuple(dict.fromkeys(_edges(parse(sql), overrides)))


def _lost(use: Use) -> LostWrapper | None:
    if all(_is_applied_again(node) for node in use.around):
        return None
    return LostWrapper(use.name, readable(use.around[0]))


def _is_applied_again(node: Tree) -> bool:
    if node["node"] == "Call":
        return len(node.get("args") or ()) == 1 and not node.get("params")
    return bool(node["node"] == "TypeCast")


def _edges(tree: Tree, overrides: Mapping[str, str]) -> Iterator[OpenEdge]:
    for use in uses_of(tree):
        column = _column(use.other)
        bucket = None if column is None else overrides.get(column, _default_bucket(column))
        if use.operator in _OPEN_RANGES and column is not None and bucket is not None:
            yield OpenEdge(use.name, use.operator, column, bucket)


def _column(node: Tree | None) -> str | None:
    """The dotted name; None for an expression, which the server never buckets."""
    return ".".join(map(str, node["chain"])) if node is not None and node["node"] == "Field" else None


def _default_bucket(column: str) -> str | None:
    return None if "properties" in column.split(".") else _DEFAULT_BUCKET
