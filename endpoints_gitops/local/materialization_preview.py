"""The preview of materialization: the query that builds a table, and how it is read
(docs/server.md#materialization).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.syntax_tree import of_kind, offset
from endpoints_gitops.hogql.variables import chain_of
from endpoints_gitops.local.store import StoredVersion
from endpoints_gitops.model.json import Json

BUCKET_FUNCTIONS: Final = {
    "minute": "toStartOfMinute",
    "fifteen_minutes": "toStartOfFifteenMinutes",
    "hour": "toStartOfHour",
    "day": "toStartOfDay",
    "week": "toStartOfWeek",
    "month": "toStartOfMonth",
}
RANGES: Final = (">=", ">", "<", "<=")
_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}
_AGAIN: Final = {"count": "sum", "sum": "sum", "min": "min", "max": "max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A variable and what it is compared with; `column` is a dotted name, None for an expression."""

    code_name: str
    operator: str
    column: str | None
    written: str
    start: int
    end: int

    @property
    def is_range(self) -> bool:
        return self.operator in RANGES

    def bucket(self, overrides: Mapping[str, str]) -> str | None:
        """The function that buckets the column: by day by default; properties only with an override."""
        return bucket_of(self.operator, self.column, overrides)


def bucket_of(operator: str, column: str | None, overrides: Mapping[str, str]) -> str | None:
    """The function that buckets a compared column, which is a dotted name and None for an expression; or None."""
    if operator not in RANGES or column is None:
        return None
    override = overrides.get(column)
    if override is not None:
        return BUCKET_FUNCTIONS[override]
    return None if "properties" in column.split(".") else BUCKET_FUNCTIONS["day"]


def preview(name: str, version: StoredVersion, overrides: Mapping[str, str]) -> Json:
    """The answer of the preview."""
    if version.reason is not None or not version.sql:
        return _shown(version.reason)
    tree = parse(version.sql)
    compared = list(_comparisons(version.sql, tree))
    executed = _execution(f"{name}_v{version.number}", version, compared, overrides)
    return _shown(
        None,
        transformed_query=_transformed(version.sql, tree, compared, overrides),
        execution_query=executed,
        display_execution_query=executed,
        range_pairs=_range_pairs(compared, overrides),
        aggregates=_aggregates(version.sql, tree) if any(comparison.is_range for comparison in compared) else [],
    )


def _shown(reason: str | None, **shown: Json) -> Json:
    empty: dict[str, Json] = {
        "can_materialize": reason is None,
        "reason": reason,
        "transformed_query": None,
        "execution_query": None,
        "display_execution_query": None,
        "range_pairs": [],
        "aggregates": [],
    }
    return empty | shown


def _comparisons(sql: str, tree: Tree) -> Iterator[Compared]:
    for node in sorted(of_kind(tree, "CompareOperation"), key=offset):
        for mine, other, flip in (("left", "right", True), ("right", "left", False)):
            chain = chain_of(node[mine]) if node[mine].get("node") == "Placeholder" else ()
            if len(chain) > 1 and chain[0] == "variables":
                operator = str(node["op"])
                yield Compared(
                    code_name=chain[1],
                    operator=_FLIPPED.get(operator, operator) if flip else operator,
                    column=_column(node[other]),
                    written=_text(sql, node[other]),
                    start=offset(node),
                    end=int(node["end"]["offset"]),
                )


def _column(node: Tree) -> str | None:
    return ".".join(map(str, node["chain"])) if node.get("node") == "Field" else None


def _text(sql: str, node: Tree) -> str:
    return sql[offset(node) : int(node["end"]["offset"])]


def _range_pairs(compared: list[Compared], overrides: Mapping[str, str]) -> list[Json]:
    columns = dict.fromkeys(comparison.column for comparison in compared if comparison.bucket(overrides) is not None)
    return [
        {
            "column": column,
            "variables": [
                comparison.code_name for comparison in compared if comparison.column == column and comparison.is_range
            ],
            "bucket_fn": next(
                comparison.bucket(overrides)
                for comparison in compared
                if comparison.column == column and comparison.is_range
            ),
        }
        for column in columns
    ]


def _aggregates(sql: str, tree: Tree) -> list[Json]:
    selected: list[Any] = tree.get("select") or []
    calls = sorted((call for part in selected for call in of_kind(part, "Call")), key=offset)
    known = [(call, reaggregation(str(call["name"]))) for call in calls]
    return [{"expression": _text(sql, call), "reaggregate_fn": again} for call, again in known if again is not None]


def reaggregation(function: str) -> str | None:
    """The aggregation that computes the values of an aggregation from those of buckets, or None."""
    return next((again for name, again in _AGAIN.items() if function.lower() in {name, f"{name}if"}), None)


def _kept(comparison: Compared, overrides: Mapping[str, str]) -> str:
    bucket = comparison.bucket(overrides)
    return f"{bucket}({comparison.written})" if bucket else comparison.written


def _transformed(sql: str, tree: Tree, compared: list[Compared], overrides: Mapping[str, str]) -> str:
    """The query that builds the table: without variables, with their compared columns added."""
    if not compared:
        return sql
    edits = [(comparison.start, comparison.end, "true") for comparison in compared]
    added = dict.fromkeys(f"{_kept(comparison, overrides)} AS {comparison.code_name}" for comparison in compared)
    selected: list[Tree] = tree.get("select") or []
    if selected:
        end = int(selected[-1]["end"]["offset"])
        edits.append((end, end, "".join(f", {column}" for column in added)))
    grouped: list[Tree] = tree.get("group_by") or []
    if grouped:
        end = int(grouped[-1]["end"]["offset"])
        edits.append((end, end, "".join(f", {comparison.code_name}" for comparison in compared)))
    for start, end, text in sorted(edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


def _execution(view: str, version: StoredVersion, compared: list[Compared], overrides: Mapping[str, str]) -> str:
    columns = ", ".join(column["name"] for column in version.columns) if compared else "*"
    conditions = [
        f"{comparison.code_name} {comparison.operator} {_wrapped(comparison, overrides)}" for comparison in compared
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns or '*'} FROM {view}{where}"  # noqa: S608 - displayed, never run


def _wrapped(comparison: Compared, overrides: Mapping[str, str]) -> str:
    bucket = comparison.bucket(overrides)
    value = f"{{variables.{comparison.code_name}}}"
    return f"{bucket}({value})" if bucket else value
