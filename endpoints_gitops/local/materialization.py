"""Materialization as flags: what the table has, when it is built, what callers see of it, and its preview
(docs/server.md#materialization).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.syntax_tree import of_kind, offset
from endpoints_gitops.hogql.variables import chain_of
from endpoints_gitops.local.errors import RequestRefused, invalid
from endpoints_gitops.local.faults import eligibility_breaks
from endpoints_gitops.local.store import Project, Store, StoredEndpoint, StoredVersion, new_id
from endpoints_gitops.model.endpoint import IDLE_AFTER
from endpoints_gitops.model.json import Json

BUCKETS: Final = ("minute", "fifteen_minutes", "hour", "day", "week", "month")
_ONE_DAY: Final = timedelta(days=1)
_ONE_MINUTE: Final = timedelta(minutes=1)
FAILED: Final = "Failed to enable materialization."
UNCHECKED: Final = (
    "Couldn't check whether this query can be materialized. Try again, and if it keeps happening contact support."
)
BUILD_FAILED: Final = "The table could not be built: a fault that a test asked for."


class Failed(Exception):
    """An internal error while materialization was being enabled."""


def reason_against(node: Mapping[str, Any]) -> str | None:
    """Why a query cannot be materialized; None if it can."""
    from endpoints_gitops.hogql.eligibility import reason

    return reason(node)


def not_eligible(reason: str) -> RequestRefused:
    return invalid(f"Cannot materialize endpoint. Reason: {reason}")


def check_overrides(overrides: Mapping[str, str] | None) -> None:
    """Refuse unknown bucket names."""
    wrong = {column: name for column, name in (overrides or {}).items() if name not in BUCKETS}
    if wrong:
        raise invalid(f"Invalid bucket override values: {wrong}. Valid options: {list(BUCKETS)}")


def enabled(
    store: Store,
    project: Project,
    endpoint: StoredEndpoint,
    version: StoredVersion,
    overrides: Mapping[str, str] | None,
    now: datetime,
) -> StoredVersion:
    """The version with materialization asked for; its table comes with the next build.

    Where it was on already only the overrides change, and a build starts when they changed to something.
    """
    if version.reason is not None:
        raise not_eligible(version.reason)
    view = f"{endpoint.name}_v{version.number}"
    if store.views.first("project_id = ? AND name = ?", (project.id, view)) is not None:
        raise invalid(
            f"A saved query named '{view}' already exists and is not managed by this endpoint. "
            "Rename or delete it before enabling materialization."
        )
    starts = not version.is_enabled or (overrides is not None and overrides != version.bucket_overrides)
    return replace(
        version,
        bucket_overrides=overrides,
        saved_query_id=version.saved_query_id or new_id(),
        materialized_since=version.materialized_since or now,
        building_since=now if starts else version.building_since,
        build_error=None if starts else version.build_error,
    )


def disabled(version: StoredVersion) -> StoredVersion:
    """The version without its table. The overrides are kept, as on the server."""
    return replace(
        version, saved_query_id=None, building_since=None, built_at=None, build_error=None, materialized_since=None
    )


def finish_builds(store: Store, now: datetime, build_seconds: float) -> None:
    """Finish the builds that have run long enough; a build with a known error fails."""
    started = now - timedelta(seconds=build_seconds)
    where, tail = "building_since IS NOT NULL AND building_since <= ?", "ORDER BY building_since"
    finished = store.versions.select(where, (started.isoformat(),), tail=tail)
    if not finished:
        return
    with store.transaction():
        for version in finished:
            built = now if version.build_error is None else version.built_at
            store.versions.update(replace(version, building_since=None, built_at=built))


def switch_off_idle(store: Store, now: datetime) -> None:
    """Take the tables of versions that no key has called for 30 days, as PostHog does once a day
    (docs/server.md#tables-that-idle). Neither activity nor `updated_at` tells of it.

    Looks at most once a minute, and again after the times were moved: it reads each table that is 30 days old.
    """
    if store.idle_checked_at is not None and store.idle_checked_at <= now < store.idle_checked_at + _ONE_MINUTE:
        return
    store.idle_checked_at = now
    where, tail = "saved_query_id IS NOT NULL AND materialized_since <= ?", "ORDER BY materialized_since"
    for version in store.versions.select(where, ((now - IDLE_AFTER).isoformat(),), tail=tail):
        refreshed = version.refreshed_at(now)
        is_built = refreshed is not None and now - refreshed <= _ONE_DAY
        if is_built and _is_idle(store, version, now):
            store.versions.update(disabled(version))


def _is_idle(store: Store, version: StoredVersion, now: datetime) -> bool:
    """Whether a version has idled, by its last call or else that of the endpoint; a superseded version always has."""
    if version.last_executed_at is not None:
        return now - version.last_executed_at > IDLE_AFTER
    endpoint = store.endpoints.first("id = ?", (version.endpoint_id,))
    current = store.current_version(endpoint) if endpoint is not None else None
    if current is not None and current.number > version.number:
        return True
    called = endpoint.last_executed_at if endpoint is not None else None
    return called is not None and now - called > IDLE_AFTER


def state(version: StoredVersion, now: datetime) -> dict[str, Json]:
    """The `materialization` object of an answer."""
    if not version.is_enabled and eligibility_breaks():
        return {"enabled": False, "ready": False, "can_materialize": False, "reason": UNCHECKED}
    if not version.is_enabled:
        return {"enabled": False, "ready": False, "can_materialize": version.reason is None, "reason": version.reason}
    refreshed = version.refreshed_at(now)
    return {
        "enabled": True,
        "ready": is_ready(version, now),
        "status": _status(version),
        "can_materialize": True,
        "last_materialized_at": refreshed.isoformat() if refreshed else None,
        "error": version.build_error or "",
        "saved_query_id": version.saved_query_id,
    }


def is_ready(version: StoredVersion, now: datetime) -> bool:
    """Whether the version has a table that was built within its freshness."""
    refreshed = version.refreshed_at(now) if version.is_materialized else None
    return refreshed is not None and now - refreshed <= timedelta(seconds=version.data_freshness_seconds)


def _status(version: StoredVersion) -> str:
    if version.building_since is not None:
        return "Running"
    return "Failed" if version.build_error is not None else "Completed"


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
