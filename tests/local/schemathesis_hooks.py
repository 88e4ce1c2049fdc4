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

_SCALARS = st.sampled_from(
    ["1", "NULL", "'a'", "event", "timestamp", "distinct_id", "properties.plan", "person.properties.email", "nowhere"]
    + ["{variables.day}", "{variables.nothing}", "[1, 2]", "(1, 'a')", "now()", "toFloat('x')", "1 / 0", "-1", "*"]
)
_CALLS = st.sampled_from(
    ["count()", "count(DISTINCT {})", "sum({})", "toDate({})", "concat({}, {})", "{} = {}", "{} AND {}", "not({})"]
    + ["if({}, {}, 1)", "{} IN ({})", "{} LIKE {}", "max({})", "quantile(0.5)({})", "arrayJoin({})", "{} AS a", "f({})"]
    + ["toStartOfDay({})", "JSONExtractString({}, 'a')", "row_number() OVER (ORDER BY {})", "{}[1]", "{} + {}"]
)


@st.composite
def _expressions(draw: st.DrawFn) -> str:
    expression = draw(_SCALARS)
    for _ in range(draw(st.integers(0, 2))):
        call = draw(_CALLS)
        while "{}" in call:
            call = call.replace("{}", expression if draw(st.booleans()) else draw(_SCALARS), 1)
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
