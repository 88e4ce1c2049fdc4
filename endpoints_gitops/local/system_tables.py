"""The rows of the system tables: what the users of a project made (docs/server.md#system-tables)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from endpoints_gitops.local.call import RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.interface import RowsOfSystemTable
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.store import Store

type Row = Mapping[str, Any]
type Rows = Callable[[Store, int, Sequence[str]], Iterator[Row]]
"""The rows of a table in a project, without those of endpoints with these ids."""


def rows_of(deployment: Deployment, call: RouteCall) -> RowsOfSystemTable:
    """The rows of a system table by its name, for the queries of a caller. It raises QueryRefused for a table that the
    caller must not read."""

    def rows(name: str) -> list[Row]:
        if name in _OF_ENDPOINTS and deployment.access.is_closed(call):
            raise QueryRefused(f"You don't have access to table `{name}`.", "table_access_denied")
        with deployment.store.lock:
            return list(_ROWS[name](deployment.store, call.project.id, deployment.access.hidden(call)))

    return rows


def _endpoints(store: Store, project_id: int, hidden: Sequence[str]) -> Iterator[Row]:
    """The endpoints that are not deleted."""
    for endpoint in store.endpoints.select("project_id = ? AND deleted_at IS NULL", (project_id,)):
        if endpoint.id in hidden:
            continue
        current = store.current_version(endpoint)
        assert current is not None, "an endpoint has a version"
        yield {
            "id": endpoint.id,
            "team_id": project_id,
            "name": endpoint.name,
            "is_active": int(endpoint.is_active),
            "current_version": current.number,
            "derived_from_insight": endpoint.derived_from_insight,
            "created_by_id": endpoint.created_by,
            "created_at": _written(endpoint.created_at),
            "updated_at": _written(endpoint.updated_at),
            "last_executed_at": _written(endpoint.last_executed_at),
            "deleted": 0,
        }


def _versions(store: Store, project_id: int, hidden: Sequence[str]) -> Iterator[Row]:
    """The versions, including those of deleted endpoints."""
    of_project = "endpoint_id IN (SELECT id FROM endpoints WHERE project_id = ?)"
    for version in store.versions.select(of_project, (project_id,)):
        if version.endpoint_id in hidden:
            continue
        yield {
            "id": version.id,
            "team_id": project_id,
            "endpoint_id": version.endpoint_id,
            "version": version.number,
            "description": version.description,
            "query": _json(version.query),
            "data_freshness_seconds": version.data_freshness_seconds,
            "created_at": _written(version.created_at),
            "is_active": int(version.is_active),
            "columns": _json(version.columns),
        }


def _variables(store: Store, project_id: int, _hidden: Sequence[str]) -> Iterator[Row]:
    for variable in store.variables.select("project_id = ?", (project_id,)):
        yield {
            "id": variable.id,
            "team_id": project_id,
            "name": variable.name,
            "type": variable.type,
            "code_name": variable.code_name,
            "values": None if variable.values is None else _json(variable.values),
            "default_value": None if variable.default_value is None else _json(variable.default_value),
        }


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    """JSON as Postgres writes `jsonb`: short keys first, with a blank after each `:` and `,`."""
    return json.dumps(_in_order(value), ensure_ascii=False)


def _in_order(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _in_order(value[key]) for key in keys}
    return list(map(_in_order, value)) if isinstance(value, list) else value


def _written(timestamp: datetime | None) -> str | None:
    """A time as ClickHouse reads it: in UTC, without an offset."""
    return None if timestamp is None else timestamp.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


_OF_ENDPOINTS: Final[Mapping[str, Rows]] = {
    "system.data_modeling_endpoints": _endpoints,
    "system.data_modeling_endpoint_versions": _versions,
}
_ROWS: Final[Mapping[str, Rows]] = {**_OF_ENDPOINTS, "system.insight_variables": _variables}
