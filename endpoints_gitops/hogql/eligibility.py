"""Whether a query can be kept as a table, in the server's own words and in its order
(docs/server.md#materialisation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from endpoints_gitops.hogql import variable_eligibility
from endpoints_gitops.hogql.parser import ParseFailure, parse

SUPPORTED: Final = ("HogQLQuery", "LifecycleQuery", "RetentionQuery", "TrendsQuery")
COMPARED: Final = "Compare mode is not supported for materialized endpoints."
BY_COHORT: Final = "Cohort breakdowns are not supported for materialized endpoints."
EMPTY: Final = "Query is empty or invalid."
_OF_VARIABLES: Final = "Variables not supported: "


def reason(node: Mapping[str, Any]) -> str | None:
    """Why the server would refuse to materialise a query node; None when it would not.

    What cannot be decided without the parser is left to the server.
    """
    kind = node.get("kind")
    if kind not in SUPPORTED:
        return f"Query type '{kind}' cannot be materialized. Supported types: {', '.join(SUPPORTED)}"
    if _given(node, "compareFilter").get("compare") is True:
        return COMPARED
    if _is_by_cohort(_given(node, "breakdownFilter")):
        return BY_COHORT
    return _reason_of_sql(node) if kind == "HogQLQuery" else None


def _reason_of_sql(node: Mapping[str, Any]) -> str | None:
    sql = node.get("query")
    if node.get("variables"):
        why = _reason_of_variables(sql, node["variables"])
        if why is not None:
            return _OF_VARIABLES + why
    return None if isinstance(sql, str) and sql.strip() else EMPTY


def _reason_of_variables(sql: object, entries: Any) -> str | None:  # noqa: ANN401 - as the file or the server has it
    if not isinstance(sql, str) or not sql.strip():
        return "No query string found"
    try:
        tree = parse(sql)
    except ParseFailure as failure:
        return None if failure.is_undecided else "Failed to parse query."
    listed = entries.values() if isinstance(entries, Mapping) else ()
    declared = {str(entry.get("code_name")) for entry in listed if isinstance(entry, Mapping)}
    return variable_eligibility.reason(tree, declared)


def _given(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _is_by_cohort(breakdown: Mapping[str, Any]) -> bool:
    several = breakdown.get("breakdowns")
    each = several if isinstance(several, list) else []
    kinds = [one.get("type") for one in each if isinstance(one, Mapping)]
    return "cohort" in (breakdown.get("breakdown_type"), *kinds)
