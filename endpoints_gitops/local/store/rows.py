"""The rows that the store keeps. Times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: int
    uuid: str
    distinct_id: str
    first_name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its text. `user_id` is None for a project secret key, `project_id` is where `@current` leads."""

    id: str
    hash: str
    label: str
    scopes: Sequence[str]
    project_id: int
    user_id: int | None
    scoped_projects: Sequence[int]
    created_at: datetime
    last_used_at: datetime | None = None

    @property
    def is_project_secret(self) -> bool:
        return self.user_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEndpoint:
    id: str
    project_id: int
    name: str
    is_active: bool
    derived_from_insight: str | None
    tags: Sequence[str]
    created_by: int
    created_at: datetime
    updated_at: datetime
    last_executed_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version. `reason` says why it cannot be materialised, None when it can.

    It is materialised or being so while `saved_query_id` is set; there is a table once `built_at` is set.
    `building_since` is set while a build runs. `materialized_since` is when it was first asked for.
    """

    id: str
    endpoint_id: str
    number: int
    query: Mapping[str, Any]
    description: str
    data_freshness_seconds: int
    is_active: bool
    optional_breakdown_properties: Sequence[str]
    columns: Sequence[Mapping[str, str]]
    reason: str | None
    created_by: int
    created_at: datetime
    updated_at: datetime | None = None
    last_executed_at: datetime | None = None
    bucket_overrides: Mapping[str, str] | None = None
    saved_query_id: str | None = None
    building_since: datetime | None = None
    built_at: datetime | None = None
    build_error: str | None = None
    materialized_since: datetime | None = None

    @property
    def kind(self) -> str:
        return str(self.query["kind"])

    @property
    def sql(self) -> str:
        """The HogQL text; empty for an insight."""
        return str(self.query.get("query") or "") if self.kind == "HogQLQuery" else ""

    @property
    def is_enabled(self) -> bool:
        return self.saved_query_id is not None

    @property
    def is_materialized(self) -> bool:
        return self.is_enabled and self.built_at is not None

    def refreshed_at(self, now: datetime) -> datetime | None:
        """When the table was built last: the schedule runs it again every `data_freshness_seconds`, unless it fails."""
        if self.built_at is None or self.build_error is not None:
            return self.built_at
        every = timedelta(seconds=self.data_freshness_seconds)
        return self.built_at + every * max(0, (now - self.built_at) // every)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVariable:
    id: str
    project_id: int
    name: str
    code_name: str
    type: str
    default_value: Any
    values: Any
    is_multi: bool
    values_query: str | None
    values_query_connection_id: str | None
    created_by: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    id: str
    endpoint_id: str
    instance_id: str
    timestamp: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved query that somebody made in PostHog by hand; its name is taken."""

    id: str
    project_id: int
    name: str
