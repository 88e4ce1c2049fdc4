"""Request bodies, parsed as the server does: unknown keys refused, types coerced laxly (docs/server.md#bodies)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from endpoints_gitops.hogql import insights
from endpoints_gitops.local.errors import RequestRefused, invalid, unreadable

_MOST_MISTAKES = 100
_MOST_KEYS = 1_000


def _query_node(node: dict[str, Any] | None) -> dict[str, Any] | None:
    mistakes = [] if node is None else _mistakes(node)[:_MOST_MISTAKES]
    if mistakes:
        told = "; ".join(f"{path}: {message}" if path else message for path, message in mistakes)
        raise PydanticCustomError("query_node", "{told}", {"told": told})
    return node


class EndpointRequest(BaseModel):
    """The body of a create or update. Sent keys, including those with null, are in `model_fields_set`."""

    model_config = ConfigDict(extra="forbid")

    bucket_overrides: dict[str, str] | None = None
    data_freshness_seconds: int | None = None
    deleted: bool | None = None
    derived_from_insight: str | None = None
    description: str | None = None
    is_active: bool | None = None
    is_materialized: bool | None = None
    name: str | None = None
    optional_breakdown_properties: list[str] | None = None
    query: dict[str, Any] | None = None
    tags: list[str] | None = None
    version: int | None = None

    _is_a_query_node = field_validator("query")(_query_node)


class RunRequest(BaseModel):
    """The body of a run. The fields are in the order in which the server reports mistakes."""

    model_config = ConfigDict(extra="forbid")

    client_query_id: str | None = None
    debug: bool | None = None
    filters_override: DashboardFilter | None = None
    limit: int | None = None
    offset: int | None = None
    refresh: Literal["cache", "force", "direct"] | None = None
    variables: dict[str, Any] | None = None
    version: int | None = None


class DashboardFilter(BaseModel):
    """The deprecated filters of an insight."""

    model_config = ConfigDict(extra="forbid")

    breakdown_filter: dict[str, Any] | None = None
    date_from: str | None = None
    date_to: str | None = None
    explicitDate: bool | None = None  # noqa: N815 - the name on the wire
    filterTestAccounts: bool | None = None  # noqa: N815 - the name on the wire
    interval: str | None = None
    properties: list[dict[str, Any]] | None = None


class QueryRequest(BaseModel):
    """A query without an endpoint. Of the other keys of the body, only overrides would change the rows."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    asynchronous: bool | None = Field(default=None, alias="async")
    client_query_id: str | None = None
    filters_override: dict[str, Any] | None = None
    name: str | None = None
    query: dict[str, Any]
    refresh: bool | str | None = None
    variables_override: dict[str, Any] | None = None

    _is_a_query_node = field_validator("query")(_query_node)


class ExecuteSql(BaseModel):
    """The arguments of the tool `execute_sql`; unknown ones are ignored."""

    query: str
    truncate: bool = True
    connectionId: str | None = None  # noqa: N815 - the name on the wire
    sendRawQuery: bool = False  # noqa: N815 - the name on the wire


class PreviewRequest(BaseModel):
    """Unknown keys are ignored here."""

    version: int | None = None
    bucket_overrides: dict[str, str] | None = None


def _first_keys(sent: object) -> object:
    """A body without the keys beyond the first 1,000. No body has as many, and to name all of them takes seconds."""
    return dict(islice(sent.items(), _MOST_KEYS)) if isinstance(sent, dict) and len(sent) > _MOST_KEYS else sent


def endpoint_request(sent: object) -> EndpointRequest:
    """The body of a create or update. Raises a 400 `parse_error`."""
    try:
        return EndpointRequest.model_validate(_first_keys(sent))
    except ValidationError as error:
        raise unreadable(str(error)) from None


def run_request(sent: object) -> RunRequest:
    """The body of a run. Raises a 400 about the first invalid field."""
    try:
        return RunRequest.model_validate(_first_keys(sent))
    except ValidationError as error:
        raise _about_a_field(error, "RunRequest", "EndpointRunRequest") from None


def query_request(sent: object) -> QueryRequest:
    """The body of a query. Raises a 400 `parse_error`."""
    try:
        return QueryRequest.model_validate(_first_keys(sent))
    except ValidationError as error:
        raise unreadable(str(error)) from None


def preview_request(sent: object) -> PreviewRequest:
    try:
        return PreviewRequest.model_validate(_first_keys(sent))
    except ValidationError as error:
        raise _about_a_field(error, "PreviewRequest", "MaterializationPreviewRequest") from None


def _about_a_field(error: ValidationError, model: str, wire_name: str) -> RequestRefused:
    first = error.errors(include_url=False)[0]
    attr = ".".join(str(part) for part in first["loc"]) or "body"
    return invalid(first["msg"].replace(model, wire_name), attr)


def _mistakes(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    mistakes = insights.validate(node)
    if not mistakes and node["kind"] == "HogQLQuery":
        mistakes = [("query", "Input should be a valid string")] if not isinstance(node["query"], str) else []
        mistakes += _variable_mistakes(node.get("variables") or {})
    return mistakes


def _variable_mistakes(variables: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key, entry in variables.items():
        path = f"variables.{key}"
        if not isinstance(entry, Mapping):
            found.append((path, "Input should be a valid dictionary"))
            continue
        found += [(f"{path}.{extra}", "Extra inputs are not permitted") for extra in entry if extra not in _ENTRY]
        strings = ("variableId", "code_name")
        found += [
            (f"{path}.{name}", "Input should be a valid string")
            for name in strings
            if not isinstance(entry.get(name), str)
        ]
        if not isinstance(entry.get("isNull"), bool | None):
            found.append((f"{path}.isNull", "Input should be a valid boolean"))
    return found


_ENTRY = {"variableId", "code_name", "value", "isNull"}
