"""The query of a run that is answered from a table: the table as PostHog builds it, and read as PostHog reads it
(docs/server.md#materialization).

The table is a subquery here, so that its rows are those of the tables that the engine has. The rows come in an order
that has nothing to do with the ORDER BY of the query, as PostHog promises none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.eligibility import VariableUse, uses_of
from endpoints_gitops.hogql.functions import is_aggregation
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import print_hogql
from endpoints_gitops.hogql.syntax_tree import nodes_within, of_kind
from endpoints_gitops.local.materialization_preview import RANGES, bucket_of, reaggregation
from endpoints_gitops.local.store import StoredVersion

_TABLE: Final = "materialized_table"


def read_query(version: StoredVersion) -> str | None:
    """The HogQL that reads the table of a version, with its variables still in it.

    None for what this server answers from the query itself: variables in CTEs, columns with one name, and aggregations
    inside of expressions that would have to be aggregated again.
    """
    tree = parse(version.sql)
    names = _names(version)
    if not names or len(set(names)) != len(names) or any("%" in name for name in names):
        return None
    if not any(of_kind(tree, "Placeholder")):
        return print_hogql(_read(tree, [_field(name) for name in names], names, None, tree.get("limit")))
    if tree["node"] != "SelectQuery":
        return None
    reading = _Reading.of(tree, names, version.bucket_overrides or {})
    return None if reading is None else print_hogql(reading.query())


def _names(version: StoredVersion) -> list[str]:
    """The names of the columns. The server has none where it cannot describe the query with '' for its variables."""
    if version.columns:
        return [str(column["name"]) for column in version.columns]
    found = output(version.sql)
    return [column.name for column in found.columns] if found.complete else []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A query with variables. `items` are its columns by name, `uses` the comparisons with its variables."""

    tree: Tree
    items: Mapping[str, Tree]
    uses: Sequence[VariableUse]
    overrides: Mapping[str, str]

    @classmethod
    def of(cls, tree: Tree, names: list[str], overrides: Mapping[str, str]) -> _Reading | None:
        selected: list[Tree] = tree["select"]
        uses = uses_of(tree)
        is_simple = len(selected) == len(names) and all(use.cte is None and use.other is not None for use in uses)
        if not is_simple or any(_is_star(item) for item in selected):
            return None
        reading = cls(tree=tree, items=dict(zip(names, selected, strict=True)), uses=uses, overrides=overrides)
        hides = any(use.name in reading.items and not reading._is_kept(use) for use in uses)
        hidden = reading._is_again and any(_is_inside(item) for item in selected)
        return None if hides or hidden else reading

    def query(self) -> Tree:
        names = list(self.items)
        if not self._is_again:
            return _read(self._built(), [_field(name) for name in names], names, self._filter(), self.tree.get("limit"))
        columns = [self._again(name, item) for name, item in self.items.items()]
        grouped = [_field(name) for name, item in self.items.items() if _call_of(item) is None]
        return _read(self._built(), columns, names, self._filter(), self.tree.get("limit"), grouped)

    @property
    def _is_again(self) -> bool:
        """Whether the read aggregates again: the rows of a range are in several buckets."""
        calls = [_call_of(item) for item in self.items.values()]
        if any(use.operator in RANGES for use in self.uses):
            return any(_has_aggregation(item) for item in self.items.values())
        return not self.tree.get("group_by") and all(
            call is not None and reaggregation(str(call["name"])) is not None for call in calls
        )

    def _again(self, name: str, item: Tree) -> Tree:
        call = _call_of(item)
        if call is None:
            return _field(name)
        again = {"node": "Call", "name": reaggregation(str(call["name"])), "args": [_field(name)]}
        return {"node": "Alias", "alias": name, "expr": again}

    def _built(self) -> Tree:
        """The query that builds the table: each variable's column instead of the comparison with the variable."""
        kept = {use.name: self._column(use) for use in self.uses if use.name not in self.items}
        added = [{"node": "Alias", "alias": name, "expr": column} for name, column in kept.items()]
        named = [_named(name, item) for name, item in self.items.items()]
        built = {**self.tree, "select": [*named, *added], "where": _without_variables(self.tree.get("where"))}
        if self.tree.get("group_by") or any(_has_aggregation(item) for item in self.items.values()):
            grouped = self.tree.get("group_by") or []
            built["group_by"] = [*grouped, *({"node": "Field", "chain": [name]} for name in kept)]
        return built

    def _column(self, use: VariableUse) -> Tree:
        assert use.other is not None
        bucket = self._bucket(use)
        return use.other if bucket is None else {"node": "Call", "name": bucket, "args": [use.other]}

    def _bucket(self, use: VariableUse) -> str | None:
        column = ".".join(map(str, use.other["chain"])) if use.other and use.other["node"] == "Field" else None
        return bucket_of(use.operator, column, self.overrides)

    def _is_kept(self, use: VariableUse) -> bool:
        """Whether the column of the variable's name is the compared one, without a bucket."""
        item = self.items[use.name]
        expression = item["expr"] if item["node"] == "Alias" else item
        is_same = use.other is not None and print_hogql(expression) == print_hogql(use.other)
        return is_same and self._bucket(use) is None

    def _filter(self) -> Tree:
        comparisons = [
            {"node": "CompareOperation", "op": use.operator, "left": _field(use.name), "right": self._value(use)}
            for use in self.uses
        ]
        return comparisons[0] if len(comparisons) == 1 else {"node": "And", "exprs": comparisons}

    def _value(self, use: VariableUse) -> Tree:
        """The value in its wrappers, of which PostHog loses those with more than one argument."""
        value: Tree = {"node": "Placeholder", "expr": {"node": "Field", "chain": ["variables", use.name]}}
        for wrapper in reversed(use.around):
            if wrapper["node"] == "Call" and len(wrapper.get("args") or ()) == 1:
                value = {"node": "Call", "name": wrapper["name"], "args": [value]}
        bucket = self._bucket(use)
        if bucket is None:
            return value
        time: Tree = {"node": "Call", "name": "toDateTime", "args": [value]}
        return {"node": "Call", "name": bucket, "args": [time]}


def _read(
    built: Tree,
    columns: list[Tree],
    names: list[str],
    condition: Tree | None,
    limit: Tree | None,
    grouped: list[Tree] | None = None,
) -> Tree:
    rows: dict[str, Any] = {"node": "SelectQuery", "select": columns, "select_from": _from(built)}
    if condition is not None:
        rows["where"] = condition
    if grouped:
        rows["group_by"] = grouped
    fields = [_field(name) for name in names]
    by_chance: Tree = {"node": "Call", "name": "tuple", "args": fields}
    for function in ("toJSONString", "cityHash64"):
        by_chance = {"node": "Call", "name": function, "args": [by_chance]}
    order = {"node": "OrderExpr", "expr": by_chance, "order": "ASC"}
    query = {"node": "SelectQuery", "select": fields, "select_from": _from(rows), "order_by": [order]}
    return query if limit is None else {**query, "limit": limit}


def _from(query: Tree) -> Tree:
    return {"node": "JoinExpr", "table": query, "alias": _TABLE}


def _field(name: str) -> Tree:
    return {"node": "Field", "chain": [_TABLE, name]}


def _named(name: str, item: Tree) -> Tree:
    return item if item["node"] in ("Alias", "Field") else {"node": "Alias", "alias": name, "expr": item}


def _without_variables(where: Tree | None) -> Tree | None:
    parts = where["exprs"] if where is not None and where["node"] == "And" else [where]
    kept = [part for part in parts if part is not None and not any(of_kind(part, "Placeholder"))]
    if len(kept) > 1:
        return {"node": "And", "exprs": kept}
    return kept[0] if kept else None


def _is_star(item: Tree) -> bool:
    return bool(item["node"] == "ColumnsExpr" or (item["node"] == "Field" and item["chain"][-1] == "*"))


def _call_of(item: Tree) -> Tree | None:
    """The aggregation that a column is, or None."""
    expression: Tree = item["expr"] if item["node"] == "Alias" else item
    return expression if expression["node"] == "Call" and is_aggregation(str(expression["name"])) else None


def _calls(item: Tree) -> Iterator[Tree]:
    return (node for node, _ in nodes_within(item) if node["node"] == "Call" and is_aggregation(str(node["name"])))


def _has_aggregation(item: Tree) -> bool:
    return any(_calls(item))


def _is_inside(item: Tree) -> bool:
    """Whether a column is an expression around an aggregation, or an aggregation that cannot be aggregated again."""
    call = _call_of(item)
    if call is None:
        return _has_aggregation(item)
    return reaggregation(str(call["name"])) is None
