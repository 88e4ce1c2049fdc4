"""One text for all spellings of a query: what differs only in form is no difference (rule M108)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from endpoints_gitops.hogql import insights
from endpoints_gitops.hogql.parser import ParseFailure, parse, parse_without_positions
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.json import Json, canonical

_UNPARSED: Final = "text:"
_OFF_BY_DEFAULT: Final = ("explain", "sendRawQuery")


def canonical_sql(sql: str) -> str:
    """Equal for two texts exactly when the parser reads the same query in both.

    Layout, comments, keyword case, redundant parentheses and quotes do not count; whatever names a column does. A text
    that cannot be parsed equals only itself, line endings and outer blanks aside.
    """
    try:
        return canonical(parse_without_positions(sql))
    except (ParseFailure, RecursionError):
        return _UNPARSED + sql.replace("\r\n", "\n").strip()


def canonical_query(node: Mapping[str, Any]) -> Json:
    """The meaning of a query node: equal for all nodes that ask the same.

    Variables go by their code name, as their ids differ from project to project. Keys that hold nothing, or what the
    server fills in by itself (docs/server.md#insights), do not count.
    """
    meaning = insights.strip(node)
    meaning.pop("version", None)  # the server's own mark of which shape of the node it stored
    if node.get("kind") != "HogQLQuery":
        return _without_breakdown_limit(meaning)
    sql = str(meaning.get("query") or "")
    meaning = {key: value for key, value in meaning.items() if not (key in _OFF_BY_DEFAULT and value is False)}
    meaning |= {"query": canonical_sql(sql), "variables": _variables(node.get("variables"), sql)}
    return {key: value for key, value in meaning.items() if key != "variables" or value}


def _without_breakdown_limit(meaning: dict[str, Any]) -> Json:
    """Runs of an endpoint use 10,000, whatever the query says (rule S117)."""
    breakdown = meaning.get("breakdownFilter")
    if not isinstance(breakdown, Mapping) or "breakdown_limit" not in breakdown:
        return meaning
    kept = {key: value for key, value in breakdown.items() if key != "breakdown_limit"}
    return {key: value for key, value in {**meaning, "breakdownFilter": kept}.items() if value != {}}


def _variables(given: Json, sql: str) -> Json:
    """By code name, without those that the query does not use: the server drops them."""
    entries = list(given.values()) if isinstance(given, Mapping) else [given] * bool(given)
    if not all(isinstance(entry, Mapping) and "code_name" in entry for entry in entries):
        return given  # the server would refuse this, so there is nothing to give a meaning to
    values = {str(entry["code_name"]): _value(entry) for entry in entries if isinstance(entry, Mapping)}
    return {name: value for name, value in values.items() if _may_use(sql, name)}


def _value(entry: Mapping[str, Json]) -> Json:
    is_null = entry.get("isNull") is True
    return {"value": None if is_null else entry.get("value"), "isNull": is_null}


def _may_use(sql: str, name: str) -> bool:
    try:
        return name in variables_used(parse(sql))
    except ParseFailure:
        return True
