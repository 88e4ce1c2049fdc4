"""The checks before a write, in the server's order and words (docs/server.md#bodies, #errors)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from endpoints_gitops.hogql.insights import breakdown_properties
from endpoints_gitops.local import materialisation
from endpoints_gitops.local.bodies import EndpointRequest
from endpoints_gitops.local.errors import invalid
from endpoints_gitops.local.store.rows import StoredEndpoint, StoredVersion
from endpoints_gitops.model.freshness import SCHEDULES
from endpoints_gitops.model.name import is_endpoint_name

_FRESHNESS = (
    f"Data freshness must be one of: {list(SCHEDULES.values())} seconds "
    "(15 minutes, 30 minutes, 1 hour, 6 hours, 12 hours, 24 hours, 7 days)."
)
_BROKEN_DOWN = ("RetentionQuery", "TrendsQuery")
_INACTIVE = "Cannot enable materialization on inactive endpoint."


def check_required(body: EndpointRequest) -> tuple[str, dict[str, Any]]:
    """The name and the query of a new endpoint."""
    if body.query is None:
        raise invalid("This field is required.", "query")
    if not body.name:
        raise invalid("This field is required.", "name")
    if not is_endpoint_name(body.name):
        raise invalid(
            f"Invalid name '{body.name}'. Must start with a letter, contain only alphanumeric characters, hyphens, "
            "or underscores, and be between 1 and 128 characters long.",
            "name",
        )
    return body.name, body.query


def check_freshness(body: EndpointRequest) -> None:
    if body.data_freshness_seconds is not None and body.data_freshness_seconds not in SCHEDULES.values():
        raise invalid(_FRESHNESS, "data_freshness_seconds")


def check_breakdowns(names: Sequence[str] | None, query: Mapping[str, Any]) -> None:
    """Optional breakdowns must be breakdowns of the query."""
    if not names:
        return
    if query["kind"] not in _BROKEN_DOWN:
        told = f"Query kind '{query['kind']}' does not support breakdowns. Supported: {', '.join(_BROKEN_DOWN)}."
        raise invalid(told, "optional_breakdown_properties")
    known = list(breakdown_properties(query))
    unknown = [name for name in names if name not in known]
    if unknown:
        noun = "property" if len(unknown) == 1 else "properties"
        told = ", ".join(f"'{name}'" for name in unknown)
        raise invalid(f"Unknown breakdown {noun}: {told}. Known: {known or '(none)'}.", "optional_breakdown_properties")


def check_materialisable(body: EndpointRequest, endpoint: StoredEndpoint, current: StoredVersion) -> None:
    """Whether what an update switches on can be: the new query, else the current one, whatever version is meant."""
    if not body.is_materialized:
        return
    stays_active = endpoint.is_active if body.is_active is None else body.is_active
    if not stays_active:
        raise invalid(_INACTIVE, "is_materialized")
    reason = materialisation.reason_against(body.query) if body.query is not None else current.reason
    if reason is not None:
        raise materialisation.not_eligible(reason)
    materialisation.check_overrides(body.bucket_overrides)


def tagified(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({tag for tag in (re.sub(r"\s+", " ", each).strip().lower() for each in tags) if tag}))
