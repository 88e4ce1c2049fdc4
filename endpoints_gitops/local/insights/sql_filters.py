"""`{filters}` in HogQL: replaced by the filters of the query node (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import Unprintable, print_hogql
from endpoints_gitops.hogql.refusals import filters_mistake
from endpoints_gitops.hogql.syntax_tree import fold, of_kind
from endpoints_gitops.hogql.variables import chain_of
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.dates import parsed_date
from endpoints_gitops.local.insights.filters import FilterContext
from endpoints_gitops.local.insights.questions import RunsHogQL, clock_of, test_accounts
from endpoints_gitops.local.insights.refused import NotComputed

_TIME_OF: Final = {"events": "timestamp", "sessions": "$start_timestamp", "groups": "created_at"}
_EDGES: Final = {"from": "date_from", "to": "date_to"}
_NESTED: Final = (
    "The `{{{name}}}` placeholder must be used directly in a comparison (e.g. `timestamp > {{{name}}}`), not nested "
    "inside a function call, when the date range is not set."
)
_MARK: Final = "unset date"


def sql_of(engine: RunsHogQL, node: Mapping[str, Any]) -> str:
    """The text of a HogQL node with its filters inserted; the text as it is without `filters`.

    Raises QueryRefused as the server does, and NotComputed for filters that are not computed locally.
    """
    sql, given = str(node.get("query") or ""), node.get("filters")
    if given is None or "{" not in sql:
        return sql
    try:
        return print_hogql(
            _Insertion(given, FilterContext(now=clock_of(engine), project=engine.project)).into(parse(sql))
        )
    except ParseFailure as failure:
        raise from_parser(failure) from None
    except Unprintable as error:
        raise QueryRefused(error.message) from None


class _Insertion:
    """The filters of one node, as conditions."""

    def __init__(self, given: Mapping[str, Any], context: FilterContext) -> None:
        self._properties = given.get("properties") or []
        self._date_range: Mapping[str, Any] = given.get("dateRange") or {}
        self._context = context
        self._is_tested = bool(given.get("filterTestAccounts"))

    def into(self, tree: Tree) -> Tree:
        """The tree with conditions in the place of its placeholders."""
        inserted: Tree = fold(tree, self._combined)
        for node in of_kind(inserted, _MARK):
            raise QueryRefused(_NESTED.format(name=node["name"]))
        for node in of_kind(inserted, "Placeholder"):
            _refuse_filters(node, ())
        return inserted

    def _combined(self, node: dict[str, Any]) -> Any:  # noqa: ANN401 - nodes of every kind, and positions
        kind = node.get("node")
        if kind == "Placeholder" and _name(node).startswith("filters.dateRange."):
            return self._date(node)
        if kind == "CompareOperation" and _MARK in (node["left"].get("node"), node["right"].get("node")):
            return _expression(filters.TRUE)
        return self._select(node) if kind == "SelectQuery" else node

    def _date(self, node: dict[str, Any]) -> dict[str, Any]:
        name = _name(node)
        edge = _EDGES.get(name.removeprefix("filters.dateRange."))
        if edge is None:
            return node
        text = self._date_range.get(edge)
        return {"node": _MARK, "name": name} if not text or text == "all" else _expression(self._timestamp(edge))

    def _select(self, node: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        source = node.get("select_from") or {}
        table = ".".join(map(str, (source.get("table") or {}).get("chain") or ()))
        if table not in _TIME_OF:
            for placeholder in of_kind(node, "Placeholder"):
                _refuse_filters(placeholder, {table})
            return node

        def combine(inner: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
            is_filters = inner.get("node") == "Placeholder" and _name(inner) == "filters"
            return _expression(self._condition(table)) if is_filters else inner

        return fold(node, combine)

    def _condition(self, table: str) -> str:
        for key, is_there in (("properties", self._properties), ("filterTestAccounts", self._is_tested)):
            if is_there and table != "events":
                raise NotComputed(f"filters.{key}", f"of the table {table}")
        conditions = [filters.properties(self._properties, self._context)]
        if self._is_tested:
            conditions += test_accounts("filters.filterTestAccounts", self._context)
        if self._date_range.get("date_to"):
            conditions.append(f"{_TIME_OF[table]} < {self._timestamp('date_to')}")
        if self._date_range.get("date_from") not in (None, "", "all"):
            conditions.append(f"{_TIME_OF[table]} >= {self._timestamp('date_from')}")
        return filters.all_of(conditions)

    def _timestamp(self, edge: str) -> str:
        week_start = self._context.project.week_start_day
        text = self._date_range.get(edge)
        return filters.timestamp(
            parsed_date(f"filters.dateRange.{edge}", text, self._context.now, week_start=week_start).timestamp
        )


def _expression(text: str) -> dict[str, Any]:
    node: dict[str, Any] = parse(f"SELECT {text}")["select"][0]
    return node


def _name(placeholder: Tree) -> str:
    return ".".join(chain_of(placeholder))


def _refuse_filters(placeholder: Tree, sources: Collection[str]) -> None:
    """Raise for a placeholder of filters that has no value here."""
    name = _name(placeholder)
    if name == "filters" or name.startswith("filters."):
        if message := filters_mistake(name, sources):
            raise QueryRefused(message)
        raise NotComputed(f"{{{name}}}", f"in a SELECT from {', '.join(sources)}")
