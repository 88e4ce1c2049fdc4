"""How a query would be kept as a table: for showing, not for running (docs/server.md#materialisation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.syntax_tree import of_kind, offset
from endpoints_gitops.hogql.variables import chain_of
from endpoints_gitops.local.store.rows import StoredVersion
from endpoints_gitops.model.json import Json

BUCKET_FUNCTIONS: Final = {
    "minute": "toStartOfMinute",
    "fifteen_minutes": "toStartOfFifteenMinutes",
    "hour": "toStartOfHour",
    "day": "toStartOfDay",
    "week": "toStartOfWeek",
    "month": "toStartOfMonth",
}
_RANGES: Final = (">=", ">", "<", "<=")
_FLIPPED: Final = {">=": "<=", ">": "<", "<": ">", "<=": ">="}
_AGAIN: Final = {"count": "sum", "sum": "sum", "min": "min", "max": "max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A variable compared with something; `column` is its dotted name, None where it is an expression."""

    code_name: str
    operator: str
    column: str | None
    written: str
    start: int
    end: int

    @property
    def is_range(self) -> bool:
        return self.operator in _RANGES

    def bucket(self, overrides: Mapping[str, str]) -> str | None:
        """The function that buckets the column: by day unless told otherwise; properties only when told."""
        if not self.is_range or self.column is None:
            return None
        override = overrides.get(self.column)
        if override is not None:
            return BUCKET_FUNCTIONS[override]
        return None if "properties" in self.column.split(".") else BUCKET_FUNCTIONS["day"]


def of(name: str, version: StoredVersion, overrides: Mapping[str, str]) -> Json:
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
        aggregates=_aggregates(version.sql, tree) if any(each.is_range for each in compared) else [],
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
    columns = dict.fromkeys(each.column for each in compared if each.bucket(overrides) is not None)
    return [
        {
            "column": column,
            "variables": [each.code_name for each in compared if each.column == column and each.is_range],
            "bucket_fn": next(each.bucket(overrides) for each in compared if each.column == column and each.is_range),
        }
        for column in columns
    ]


def _aggregates(sql: str, tree: Tree) -> list[Json]:
    selected: list[Any] = tree.get("select") or []
    calls = sorted((call for each in selected for call in of_kind(each, "Call")), key=offset)
    known = [(call, _again(str(call["name"]))) for call in calls]
    return [{"expression": _text(sql, call), "reaggregate_fn": again} for call, again in known if again is not None]


def _again(function: str) -> str | None:
    return next((again for name, again in _AGAIN.items() if function.lower() in {name, f"{name}if"}), None)


def _kept(each: Compared, overrides: Mapping[str, str]) -> str:
    bucket = each.bucket(overrides)
    return f"{bucket}({each.written})" if bucket else each.written


def _transformed(sql: str, tree: Tree, compared: list[Compared], overrides: Mapping[str, str]) -> str:
    """The text whose answer is the table: no variables in it, what they are compared with beside the columns."""
    if not compared:
        return sql
    edits = [(each.start, each.end, "true") for each in compared]
    added = dict.fromkeys(f"{_kept(each, overrides)} AS {each.code_name}" for each in compared)
    selected: list[Tree] = tree.get("select") or []
    if selected:
        end = int(selected[-1]["end"]["offset"])
        edits.append((end, end, "".join(f", {each}" for each in added)))
    grouped: list[Tree] = tree.get("group_by") or []
    if grouped:
        end = int(grouped[-1]["end"]["offset"])
        edits.append((end, end, "".join(f", {each.code_name}" for each in compared)))
    for start, end, text in sorted(edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


def _execution(view: str, version: StoredVersion, compared: list[Compared], overrides: Mapping[str, str]) -> str:
    columns = ", ".join(column["name"] for column in version.columns) if compared else "*"
    conditions = [f"{each.code_name} {each.operator} {_wrapped(each, overrides)}" for each in compared]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns or '*'} FROM {view}{where}"  # noqa: S608 - shown, never run


def _wrapped(each: Compared, overrides: Mapping[str, str]) -> str:
    bucket = each.bucket(overrides)
    value = f"{{variables.{each.code_name}}}"
    return f"{bucket}({value})" if bucket else value
