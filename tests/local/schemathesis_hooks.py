"""What schemathesis sends besides what the OpenAPI document says: HogQL, and names and ids that exist.

Run by schemathesis in an environment of its own, which tests/local/test_schemathesis.py starts.
"""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st

KNOWN: dict[str, list[str]] = json.loads(os.environ["KNOWN_PATH_PARAMETERS"])

_SCALARS = """1|NULL|'a'|event|timestamp|distinct_id|properties.plan|person.properties.email|nowhere|[1, 2]|(1, 'a')
now()|toFloat('x')|1 / 0|-1|*|{variables.day}|{variables.nothing}"""
_CALLS = """count()|count(DISTINCT {})|sum({})|max({})|quantile(0.5)({})|toDate({})|toStartOfDay({})|concat({}, {})
{} = {}|{} AND {}|not({})|if({}, {}, 1)|{} IN ({})|{} LIKE {}|{} + {}|{}[1]|{} AS a|f({})|arrayJoin({})
JSONExtractString({}, 'a')|row_number() OVER (ORDER BY {})"""
_SCALAR = st.sampled_from(_SCALARS.replace("\n", "|").split("|"))
_CALL = st.sampled_from(_CALLS.replace("\n", "|").split("|"))


@st.composite
def _expressions(draw: st.DrawFn) -> str:
    expression = draw(_SCALAR)
    for _ in range(draw(st.integers(0, 2))):
        call = draw(_CALL)
        while "{}" in call:
            call = call.replace("{}", expression if draw(st.booleans()) else draw(_SCALAR), 1)
        expression = call
    return expression


@st.composite
def _hogql(draw: st.DrawFn) -> str:
    columns = ", ".join(draw(st.lists(_expressions(), min_size=1, max_size=3)))
    table = draw(st.sampled_from(["events", "persons", "sessions", "numbers(3)", "(SELECT 1 AS a)", "nowhere", ""]))
    sql = f"SELECT {columns}" + (f" FROM {table}" if table else "")
    for clause in ("WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "UNION ALL SELECT"):
        if draw(st.integers(0, 3)) == 0:
            sql += f" {clause} {draw(_expressions())}"
    return sql


schemathesis.openapi.format("hogql", _hogql())


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Replace three of four values by one that exists."""
    if not path_parameters:
        return path_parameters
    changed = dict(path_parameters)
    for name, values in KNOWN.items():
        sent = str(changed.get(name, ""))
        if name in changed and len(sent) % 4:
            changed[name] = values[len(sent) % len(values)]
    return changed
