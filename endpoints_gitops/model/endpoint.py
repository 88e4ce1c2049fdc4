"""Answers of the server: endpoints, their versions, shared variables (docs/server.md#answers).

Unknown keys are ignored, and keys that older servers lack have a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.freshness import IDLE_AFTER


class _ServerObject(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class User(_ServerObject):
    id: int | None = None
    first_name: str = ""
    email: str = ""

    @property
    def label(self) -> str:
        return self.email or self.first_name or "an unknown user"


class Column(_ServerObject):
    """A column of a version; `type` is one of the names in docs/server.md#answers."""

    name: str
    type: str


class MaterializationState(_ServerObject):
    """The state of a table. Older servers lack `enabled` and `ready`; `status` is set only while a table exists or is
    built."""

    enabled: bool | None = None
    ready: bool | None = None
    status: str | None = None
    can_materialize: bool | None = None
    reason: str | None = None
    error: str | None = None
    last_materialized_at: datetime | None = None
    saved_query_id: str | None = None
    hibernated: bool | None = None

    @property
    def is_on(self) -> bool:
        """Whether materialization is on for this version, even if the table is not built yet."""
        return self.enabled if self.enabled is not None else self.saved_query_id is not None or self.status is not None


class Endpoint(_ServerObject):
    """The endpoint, with the settings of its current version."""

    id: str
    name: str
    description: str = ""
    query: Mapping[str, Any]
    is_active: bool = True
    data_freshness_seconds: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by: User | None = None
    is_materialized: bool = False
    current_version: int = 1
    current_version_id: str | None = None
    versions_count: int | None = None
    derived_from_insight: str | None = None
    last_executed_at: datetime | None = None
    materialization: MaterializationState = MaterializationState()
    bucket_overrides: Mapping[str, str] | None = None
    columns: tuple[Column, ...] | None = None
    tags: tuple[str, ...] = ()
    optional_breakdown_properties: tuple[str, ...] = ()
    materialization_error: str | None = None

    @property
    def kind(self) -> str:
        """The kind of the query node, such as `HogQLQuery`."""
        return str(self.query.get("kind", ""))

    @property
    def number(self) -> int:
        """The number of the version that this answer describes."""
        return self.current_version

    @property
    def is_callable(self) -> bool:
        """Whether the server runs this version, as far as the answer shows."""
        return self.is_active

    @property
    def idles_at(self) -> datetime | None:
        """When the server can turn off the table for lack of calls, as far as the answer shows; None if it does not."""
        return _idle_date(self.last_executed_at)

    def has_idled(self, now: datetime) -> bool:
        """Whether the server turned off the table for lack of calls, if there was one."""
        if self.materialization.hibernated is True:
            return True
        idles_at, is_eligible = self.idles_at, self.materialization.can_materialize is not False
        return not self.materialization.is_on and is_eligible and idles_at is not None and idles_at <= now

    @property
    def sql(self) -> str | None:
        """The HogQL text, None for an insight."""
        return str(self.query.get("query") or "") if self.kind == "HogQLQuery" else None


class EndpointVersion(Endpoint):
    """One version: here `is_active` is the flag of the version, and `current_version_id` is the id of this version."""

    version: int
    version_id: str | None = None
    endpoint_is_active: bool = True
    version_created_at: datetime | None = None
    version_updated_at: datetime | None = None
    version_created_by: User | None = None

    @property
    def number(self) -> int:
        return self.version

    @property
    def is_callable(self) -> bool:
        return self.endpoint_is_active and self.is_active

    @property
    def idles_at(self) -> datetime | None:
        """As for the endpoint, by the calls of this version; a superseded version without calls is turned off too."""
        if self.last_executed_at is None and self.version < self.current_version:
            return _idle_date(self.version_created_at)
        return _idle_date(self.last_executed_at)


class InsightVariable(_ServerObject):
    """A shared variable of the project. `name` is the label; queries refer to `code_name`."""

    id: str
    name: str
    type: VariableType
    code_name: str
    default_value: Any = None
    values: Any = None
    is_multi: bool = False


def _idle_date(start: datetime | None) -> datetime | None:
    if start is None:
        return None
    return (start if start.tzinfo else start.replace(tzinfo=UTC)) + IDLE_AFTER
