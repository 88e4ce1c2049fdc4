"""Runs of endpoints: checked, answered and logged (docs/server.md#running)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.local import insight_examples
from endpoints_gitops.local.answers import iso, zulu
from endpoints_gitops.local.bodies import DashboardFilter, RunRequest, run_request
from endpoints_gitops.local.call import Incoming, RouteCall, integer
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.interface import RowsOfSystemTable
from endpoints_gitops.local.engine.refusals import ClickHouseUnavailable, QueryRefused
from endpoints_gitops.local.errors import RequestRefused, bare, envelope, invalid, unavailable
from endpoints_gitops.local.insights.computed import computed, with_filters
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.local.insights.sql_filters import sql_of
from endpoints_gitops.local.materialization import is_ready
from endpoints_gitops.local.store import LogEntry, Project, Store, StoredEndpoint, StoredVersion, new_id
from endpoints_gitops.local.system_tables import rows_of
from endpoints_gitops.local.table_reads import read_query
from endpoints_gitops.model.json import Json, fingerprint

_DATES: Final = ("date_from", "date_to")
_DIRECT: Final = (
    "'direct' refresh mode is only valid for materialized endpoints. Use 'cache' or 'force' instead, "
    "or enable materialization on this endpoint."
)
_UNPAGED_LIMIT: Final = 100
_EXACT: Final = (None, "exact")
_SOON: Final = timedelta(minutes=1)
_FROM_CACHE: Final = (None, "cache")
_AT_LEAST: Final = timedelta(seconds=1)
"""How long a result that was read from a table is cached at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRun:
    """A checked run. `values` are the variables of a HogQL query, including defaults.

    `is_fallback`: its table could not be read, so the query itself is run.
    """

    execution_id: str
    endpoint: StoredEndpoint
    version: StoredVersion
    body: RunRequest
    limit: int | None
    offset: int | None
    values: Mapping[str, Json]
    from_table: bool
    now: datetime
    rows_of: RowsOfSystemTable
    is_fallback: bool = False

    @property
    def path(self) -> str:
        return "materialized" if self.from_table else "materialized_fallback" if self.is_fallback else "inline"

    @property
    def sent(self) -> Mapping[str, Json]:
        return self.body.variables or {}


def checked(deployment: Deployment, call: RouteCall, endpoint: StoredEndpoint) -> EndpointRun:
    """The checked run of a request. Raises a refusal."""
    body = run_request(call.incoming.sent())
    number = _number(body.version, call.incoming, "version")
    limit = _number(body.limit, call.incoming, "limit", least=1)
    offset = _number(body.offset, call.incoming, "offset", least=0)
    if offset is not None and limit is None:
        raise bare(400, "offset requires limit to be set")
    version = _version(deployment, endpoint, number)
    _check(version, body, offset)
    _check_variables(version, body)
    return EndpointRun(
        execution_id=str(uuid.uuid4()),
        endpoint=endpoint,
        version=version,
        body=body,
        limit=limit,
        offset=offset,
        values=_values(deployment, call, version, body.variables or {}),
        from_table=is_ready(version, call.now) and body.refresh != "direct",
        now=call.now,
        rows_of=rows_of(deployment, call),
    )


def answered(deployment: Deployment, run: EndpointRun) -> tuple[EndpointRun, dict[str, Json]]:
    """The run as it was answered, and the body. If a table cannot be read, the query itself is run, as PostHog does.

    Raises a refusal if the query cannot be run.
    """
    try:
        if run.from_table:
            with suppress(QueryRefused):
                return run, _answer(deployment, run)
            run = replace(run, from_table=False, is_fallback=True)
        return run, _answer(deployment, run)
    except QueryRefused as refusal:
        raise RequestRefused(400, envelope(refusal.type, refusal.code, refusal.message)) from None
    except ClickHouseUnavailable as error:
        raise unavailable(error.message) from None


def _answer(deployment: Deployment, run: EndpointRun) -> dict[str, Json]:
    """The body: of the cached result if it is fresh, or else of a new one, which is kept. Refusals are not kept.

    Raises QueryRefused, and a refusal.
    """
    if run.version.kind != "HogQLQuery" and run.limit is not None and not run.from_table:
        told = f"Limit/offset parameters are only supported for HogQLQuery, not {run.version.kind}"
        raise invalid(told, "limit")
    key = _cache_key(run)
    cached = deployment.result_cache.get(key) if run.body.refresh in _FROM_CACHE else None
    if cached is not None and _is_fresh(run, cached.computed_at):
        return _body(deployment, run, cached.content, cached.computed_at, is_cached=True)
    system_tables: list[str] = []

    def noted(name: str) -> Iterable[Mapping[str, Any]]:
        system_tables.append(name)
        return run.rows_of(name)

    try:
        content = _rows(deployment, run, noted) if run.version.kind == "HogQLQuery" else _insight(deployment, run)
    except NotComputed as refusal:
        content = {"hasMore": False, "results": _example(deployment, run, refusal)}  # a file that can change: not kept
    else:
        if not system_tables:  # their rows are those that this caller may see, and change with every write
            deployment.result_cache.put(key, content, run.now)
    return _body(deployment, run, content, run.now, is_cached=False)


def _cache_key(run: EndpointRun) -> str:
    """A hash of everything that decides the result, besides the tables of the engine.

    Of a table those are the columns and buckets that it was built with. The limit of an insight is ignored.
    """
    version, override = run.version, run.body.filters_override
    return fingerprint(
        {
            "version": version.id,
            "query": version.query,
            "table": [list(version.columns), version.bucket_overrides] if run.from_table else None,
            "variables": {**run.sent, **run.values},
            "filters_override": override.model_dump(exclude_unset=True) if override is not None else None,
            "page": [run.limit, run.offset] if version.kind == "HogQLQuery" else None,
        }
    )


def _is_fresh(run: EndpointRun, computed_at: datetime) -> bool:
    """Whether a result can answer a run. One that was read from a table ends with the build that it was read from."""
    built = run.version.refreshed_at(run.now) if run.from_table else None
    is_of_build = built is None or computed_at >= built
    return is_of_build and computed_at <= run.now < _fresh_until(run, computed_at)


def _fresh_until(run: EndpointRun, computed_at: datetime) -> datetime:
    """When a result expires: with the freshness of the version, which for a table counts from its build."""
    freshness = timedelta(seconds=run.version.data_freshness_seconds)
    built = run.version.refreshed_at(run.now) if run.from_table else None
    return computed_at + freshness if built is None else max(built + freshness, computed_at + _AT_LEAST)


def counts_as_materialized(deployment: Deployment, call: RouteCall, endpoint: StoredEndpoint) -> bool:
    """Whether the rate limits count a run as one from a table (docs/server.md#budgets). Raises a refusal.

    Less is looked at than for the run itself: a version that is no number is the current one, and no variable is
    missed.
    """
    body = run_request(call.incoming.sent())
    number = body.version if body.version is not None else integer(call.incoming.asked("version") or "")
    version = _version(deployment, endpoint, number)
    is_servable = set(body.variables or {}) <= set(allowed_variables(version))
    return is_ready(version, call.now) and body.refresh != "direct" and is_servable


def _number(body: int | None, incoming: Incoming, name: str, least: int | None = None) -> int | None:
    """A parameter from the body, or else from the query string."""
    text = incoming.asked(name)
    number = body if body is not None or not text else integer(text)
    wrong = number is None and body is None and bool(text)
    if wrong or (least is not None and number is not None and number < least):
        raise bare(400, f"Invalid {name} parameter: {text if body is None else body}")
    return number


def _version(deployment: Deployment, endpoint: StoredEndpoint, number: int | None) -> StoredVersion:
    current = deployment.store.current_version(endpoint)
    if current is None:
        raise bare(404, "No version found for this endpoint")
    version = current if number is None else deployment.store.version(endpoint, number)
    if version is None:
        raise bare(404, f"Version {number} not found for endpoint '{endpoint.name}'", current_version=current.number)
    return version


def _check(version: StoredVersion, body: RunRequest, offset: int | None) -> None:
    is_hogql = version.kind == "HogQLQuery"
    if not version.is_active:
        raise invalid(f"Version {version.number} is inactive and cannot be executed.")
    if body.filters_override is not None and is_hogql:
        raise invalid("Not allowed for HogQL endpoints. Use variables instead.", "filters_override")
    if offset is not None and not is_hogql:
        raise invalid("offset is only supported for HogQL endpoints", "offset")
    if body.refresh == "direct" and not version.is_materialized:
        raise invalid(_DIRECT, "refresh")


def _check_variables(version: StoredVersion, body: RunRequest) -> None:
    sent = body.variables or {}
    unknown = sorted(set(sent) - set(allowed_variables(version)))
    if unknown:
        raise invalid(f"Unknown variable(s): {', '.join(unknown)}", "variables")
    given = {**sent, **(_breakdown_value(version, body.filters_override) or {})}
    missing = sorted(name for name in required_variables(version) if given.get(name) is None)
    if missing:
        raise invalid(f"Required variable(s) {', '.join(map(repr, missing))} not provided", "variables")


def allowed_variables(version: StoredVersion) -> tuple[str, ...]:
    """The variables that a caller can send, in the order of their declaration."""
    if version.kind == "HogQLQuery":
        return tuple(entry["code_name"] for entry in (version.query.get("variables") or {}).values())
    return breakdown_properties(version.query) + (() if version.is_materialized else _DATES)


def required_variables(version: StoredVersion) -> tuple[str, ...]:
    """The required variables: none without a table."""
    if not version.is_materialized:
        return ()
    optional = version.optional_breakdown_properties
    return tuple(name for name in allowed_variables(version) if name not in optional)


def _values(
    deployment: Deployment, call: RouteCall, version: StoredVersion, sent: Mapping[str, Json]
) -> dict[str, Json]:
    if version.kind != "HogQLQuery" or not version.query.get("variables"):
        return {}
    return declared_values(deployment.store, call.project, version.query["variables"], sent)


def declared_values(
    store: Store, project: Project, declared: Mapping[str, Mapping[str, Json]], sent: Mapping[str, Json]
) -> dict[str, Json]:
    """A value for each variable of a node: the sent one, or else that of the node, or else that of the project."""
    known = {variable.id: variable for variable in store.variables_of(project)}
    values: dict[str, Json] = {}
    for entry in declared.values():
        name, value = str(entry["code_name"]), entry.get("value")
        variable = known.get(str(entry["variableId"]))
        if variable is None:
            raise invalid(f"Variable {name} does not exist", code="hogql_query_error")
        if value is None and not entry.get("isNull"):
            value = variable.default_value
        values[name] = sent.get(name, value)
    return values


def _rows(deployment: Deployment, run: EndpointRun, rows_of: RowsOfSystemTable) -> dict[str, Json]:
    """The result of HogQL. Raises QueryRefused."""
    read = read_query(run.version) if run.from_table else None
    sql = sql_of(deployment.engine, run.version.query if read is None else {**run.version.query, "query": read})
    rows = deployment.engine.run(sql, run.values, limit=run.limit, offset=run.offset, rows_of=rows_of)
    order = list(range(len(rows.columns)))
    if run.from_table and not run.values:
        order.sort(key=lambda index: rows.columns[index])  # a table without variables is read with `*`
    limited = parse(run.version.sql).get("limit") is not None
    return {
        "clickhouse": rows.clickhouse,
        "columns": [rows.columns[index] for index in order],
        "hasMore": rows.has_more,
        "limit": run.limit if run.limit is not None else None if limited else _UNPAGED_LIMIT,
        "offset": (run.offset or 0) if run.limit is not None else None if limited else 0,
        "results": [[row[index] for index in order] for row in rows.results],
        "types": [list(rows.types[index]) for index in order],
    }


def _insight(deployment: Deployment, run: EndpointRun) -> dict[str, Json]:
    """The result of an insight that is computed from events. Raises NotComputed, QueryRefused, and a refusal."""
    override = run.body.filters_override
    if override is None:
        insight = computed(deployment.engine, run.version.query, run.sent)
    elif run.from_table:
        insight = computed(deployment.engine, run.version.query, _override_of_table(run.version, override))
    else:
        insight = computed(deployment.engine, _overridden(run, override))
    period = insight.period
    dates = None if period is None else {"date_from": zulu(period.start), "date_to": zulu(period.end)}
    return {"hasMore": False, "resolved_date_range": dates, "results": insight.results}


def _example(deployment: Deployment, run: EndpointRun, refusal: NotComputed) -> Json:
    """The rows of an example of an insight that is not computed. Raises a refusal that names what is missing."""
    if run.body.filters_override is not None:
        raise insight_examples.not_computed(refusal.message) from None
    return insight_examples.rows_of(
        deployment.definitions, run.endpoint.name, run.version.query, run.sent, because=refusal.message
    )


def _breakdown_value(version: StoredVersion, override: DashboardFilter | None) -> dict[str, Json] | None:
    """The value that `filters_override` gives the only breakdown of an insight; None if it gives none.

    PostHog takes the first property with a value; with several breakdowns it takes none (docs/server.md#variables).
    """
    names = breakdown_properties(version.query)
    valued = (item for item in (override.properties if override else None) or () if item.get("value"))
    first = next(valued, None)
    return {names[0]: first["value"]} if len(names) == 1 and first is not None else None


def _override_of_table(version: StoredVersion, override: DashboardFilter) -> dict[str, Json]:
    """The breakdown value of a `filters_override` of an insight that is read from a table. Raises NotComputed for
    everything else, of which it is not known what PostHog does."""
    value = _breakdown_value(version, override)
    sent = {key for key in override.model_fields_set if getattr(override, key) is not None}
    properties = override.properties or []
    is_breakdown = [item.get("key") for item in properties] == list(value or ())
    if value is None or sent != {"properties"} or not is_breakdown or properties[0].get("operator") not in _EXACT:
        raise NotComputed("filters_override", "other than the breakdown, of an insight that is read from a table")
    return value


def _overridden(run: EndpointRun, override: DashboardFilter) -> dict[str, Any]:
    """The node with the dates and filters of `filters_override`, which win over variables. Raises NotComputed."""
    unknown = sorted(override.model_fields_set - {"date_from", "date_to", "properties"})
    if unknown:
        raise NotComputed(f"filters_override.{unknown[0]}")
    dates = {key: value for key in _DATES if (value := getattr(override, key)) is not None}
    return with_filters(run.version.query, dates, override.properties or [])


def _body(
    deployment: Deployment, run: EndpointRun, content: dict[str, Json], computed_at: datetime, *, is_cached: bool
) -> dict[str, Json]:
    """The answer with its keys in the server's order: the results, the rest by name, and which version answered."""
    body = {
        **content,
        "cache_target_age": zulu(_fresh_until(run, computed_at)),
        "is_cached": is_cached,
        "last_refresh": zulu(computed_at),
        "next_allowed_client_refresh": zulu(computed_at + _SOON),
        "query_metadata": None,
        "query_status": None,
        "timezone": deployment.engine.project.timezone,
    }
    is_hogql = run.version.kind == "HogQLQuery"
    if is_hogql:
        body |= {"error": None, "metadata": None, "query": run.version.sql}
    results, dates = body.pop("results"), body.pop("resolved_date_range", None)
    if run.body.debug:
        body |= {"calculation_trigger": None, "cache_key": None, "resolved_date_range": dates, "timings": []}
        body |= {"hogql": run.version.sql, "explain": None, "modifiers": None} if is_hogql else {}
    return {"results": results, **dict(sorted(body.items(), key=lambda item: item[0].lower())), **_identity(run)}


def _identity(run: EndpointRun) -> dict[str, Json]:
    said: dict[str, Json] = {
        "name": run.endpoint.name,
        "execution_id": run.execution_id,
        "endpoint_version": run.version.number,
        "endpoint_version_created_at": iso(run.version.created_at),
    }
    if run.from_table:
        said |= {
            "endpoint_materialized": True,
            "endpoint_materialized_at": iso(run.version.refreshed_at(run.now)),
        }
    return said


_COARSE: Final = timedelta(minutes=30)
_BETWEEN: Final = " · "


def log_answer(store: Store, run: EndpointRun, answer: dict[str, Json], milliseconds: int) -> None:
    results = answer["results"]
    rows = len(results) if isinstance(results, Sequence) else 0
    cache = "hit" if answer["is_cached"] else "miss"
    tokens = f"path={run.path} cache={cache} duration_ms={milliseconds} rows={rows} version={run.version.number}"
    _log(store, run.endpoint, run.execution_id, run.now, "INFO", f"Endpoint executed{_BETWEEN}{tokens}")
    _stamp(store, run)


def log_failure(store: Store, run: EndpointRun, refusal: RequestRefused) -> None:
    path = "materialized_fallback" if run.from_table else run.path  # a table that cannot be read is no failure
    tokens = f"path={path} version={run.version.number} error={refusal.body.get('code')}"
    _log(store, run.endpoint, run.execution_id, run.now, "ERROR", f"Endpoint execution failed{_BETWEEN}{tokens}")
    _stamp(store, run)


def log_rejection(store: Store, endpoint: StoredEndpoint, refusal: RequestRefused, now: datetime) -> None:
    reason = f"{refusal.attr}: {refusal.detail}" if refusal.attr else refusal.detail
    message = _BETWEEN.join(("Endpoint execution failed", "invalid request", reason))
    _log(store, endpoint, str(uuid.uuid4()), now, "ERROR", message)


def _log(store: Store, endpoint: StoredEndpoint, instance_id: str, now: datetime, level: str, message: str) -> None:
    entry = LogEntry(
        id=new_id(), endpoint_id=endpoint.id, instance_id=instance_id, timestamp=now, level=level, message=message
    )
    store.logs.insert(entry)


def _stamp(store: Store, run: EndpointRun) -> None:
    """Record the call time at the server's resolution. The rows are read again, because they can have changed
    meanwhile."""
    if not (_is_old(run.endpoint.last_executed_at, run.now) or _is_old(run.version.last_executed_at, run.now)):
        return
    endpoint = store.endpoints.first("id = ?", (run.endpoint.id,))
    version = store.version(run.endpoint, run.version.number)
    if endpoint is not None and _is_old(endpoint.last_executed_at, run.now):
        store.endpoints.update(replace(endpoint, last_executed_at=run.now))
    if version is not None and _is_old(version.last_executed_at, run.now):
        store.versions.update(replace(version, last_executed_at=run.now))


def _is_old(timestamp: datetime | None, now: datetime) -> bool:
    return timestamp is None or now - timestamp >= _COARSE
