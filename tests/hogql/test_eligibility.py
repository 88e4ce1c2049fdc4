"""Every reason of docs/server.md#materialization, in the server's words, and what just passes."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_gitops.hogql import parser
from endpoints_gitops.hogql.eligibility import reason

EVENTS = "select count() from events"
METADATA = {"x": 1, "y": 2, "from": 3, "to": 4}


def hogql(sql: Any, *names: str) -> dict[str, Any]:
    entries = {str(n): {"variableId": str(n), "code_name": name, "value": None} for n, name in enumerate(names)}
    return {"kind": "HogQLQuery", "query": sql, "variables": entries or None}


NODES = [
    (
        {"kind": "FunnelsQuery", "series": []},
        (
            "Query type 'FunnelsQuery' cannot be materialized. Supported types: HogQLQuery, LifecycleQuery, "
            "RetentionQuery, TrendsQuery"
        ),
    ),
    (
        {"kind": "WebOverviewQuery"},
        (
            "Query type 'WebOverviewQuery' cannot be materialized. Supported types: HogQLQuery, LifecycleQuery, "
            "RetentionQuery, TrendsQuery"
        ),
    ),
    (
        {},
        (
            "Query type 'None' cannot be materialized. Supported types: HogQLQuery, LifecycleQuery, RetentionQuery, "
            "TrendsQuery"
        ),
    ),
    (
        {"kind": "TrendsQuery", "compareFilter": {"compare": True}},
        "Compare mode is not supported for materialized endpoints.",
    ),
    ({"kind": "TrendsQuery", "compareFilter": {"compare": False}}, None),
    (
        {"kind": "TrendsQuery", "compareFilter": {"compare": True}, "breakdownFilter": {"breakdown_type": "cohort"}},
        "Compare mode is not supported for materialized endpoints.",
    ),
    (
        {"kind": "TrendsQuery", "breakdownFilter": {"breakdown_type": "cohort", "breakdown": [1]}},
        "Cohort breakdowns are not supported for materialized endpoints.",
    ),
    (
        {"kind": "RetentionQuery", "breakdownFilter": {"breakdowns": [{"type": "event"}, {"type": "cohort"}]}},
        "Cohort breakdowns are not supported for materialized endpoints.",
    ),
    ({"kind": "TrendsQuery", "breakdownFilter": {"breakdowns": [{"type": "event", "property": "$os"}]}}, None),
    ({"kind": "LifecycleQuery"}, None),
    ({"kind": "RetentionQuery", "breakdownFilter": None, "compareFilter": None}, None),
    (hogql("select 1"), None),
    (hogql("selec 1"), None),
    (hogql(""), "Query is empty or invalid."),
    (hogql("  \n"), "Query is empty or invalid."),
    (hogql(None), "Query is empty or invalid."),
]


@pytest.mark.parametrize(("node", "why"), NODES)
def test_nodes(node: dict[str, Any], why: str | None) -> None:
    assert reason(node) == why


COLLIDES = "Variable code_name 'x' collides with existing column in downstream CTE b"
IN_SCALAR = (
    "Scalar subquery in top-level query references a CTE downstream of the variable-carrying CTE; the "
    "transformer cannot rewrite it to carry the variable column. Move the reference to the top-level FROM."
)
RANGE = "cannot be re-aggregated for range variable materialization"
OPERATOR = "supported: =, >=, >, <, <="
WITH_A = "with a as (select event, timestamp from events where event = {variables.x})"

VARIABLES = [
    ("", "No query string found"),
    ("selec {variables.x}", "Failed to parse query."),
    (EVENTS, "No variables found"),
    (f"{EVENTS} where {{filters}}", "No variables found"),
    (f"{EVENTS} where event = {{variables['x']}}", "Invalid variable placeholder format"),
    (f"{EVENTS} where event = {{variables}}", "Invalid variable placeholder format"),
    (f"{EVENTS} where event = {{variables.other}}", "Variable metadata not found"),
    (
        f"{EVENTS} group by event having count() > {{variables.x}}",
        "Variable used in HAVING clause are not supported for materialization.",
    ),
    (f"{EVENTS} where event = concat({{variables.y}}, 'a') || {{variables.x}}", None),
    (
        f"{EVENTS} where {{variables.y}} = {{variables.x}}",
        "Variable compared against an expression containing another variable is not supported for materialization",
    ),
    ("select {variables.x} from events", "Variable not used in WHERE clause"),
    (f"{EVENTS} limit {{variables.x}}", "Variable not used in WHERE clause"),
    (f"{EVENTS} prewhere event = {{variables.x}}", "Variable not used in WHERE clause"),
    ("select * from (select * from events where event = {variables.x})", "Variable not used in WHERE clause"),
    (f"{EVENTS} where event = {{variables.x}} union all {EVENTS}", "Variable not used in WHERE clause"),
    (f"{EVENTS} where has([event], {{variables.x}})", "Invalid variable usage in WHERE clause."),
    (f"{EVENTS} where event between {{variables.x}} and 'b'", "Invalid variable usage in WHERE clause."),
    (f"{EVENTS} where not event = {{variables.x}}", "Invalid variable usage in WHERE clause."),
    (
        f"{EVENTS} where event = {{variables.x}} or 1",
        "Variables in OR conditions are not supported for materialization",
    ),
    (
        f"{EVENTS} where or(event = {{variables.x}}, 1)",
        "Variables in OR conditions are not supported for materialization",
    ),
    (
        f"{EVENTS} where event = {{variables.x}} and distinct_id = {{variables.x}}",
        "Variable compared against multiple columns is not supported for materialization",
    ),
    (f"{EVENTS} where event = {{variables.x}} and (1 or 0)", None),
    (
        f"{WITH_A} select count() from a where event = {{variables.x}}",
        "Variable used in both CTE and top-level query is not yet supported",
    ),
    (
        f"{WITH_A}, b as (select event from events where event = {{variables.x}}) select count() from b",
        "Variable used in multiple CTEs is not yet supported",
    ),
    (f"{EVENTS} where event != {{variables.x}}", f"Unsupported operator !=, {OPERATOR}"),
    (f"{EVENTS} where event in {{variables.x}}", f"Unsupported operator in, {OPERATOR}"),
    (f"{EVENTS} where event not in {{variables.x}}", f"Unsupported operator not in, {OPERATOR}"),
    (f"{EVENTS} where event =~ {{variables.x}}", f"Unsupported operator =~, {OPERATOR}"),
    (f"{EVENTS} where event like {{variables.x}} and distinct_id not ilike {{variables.y}}", None),
    ("select avg(1) from events where timestamp >= {variables.from}", f"Aggregate function 'avg' {RANGE}"),
    ("select uniq(event) from events where {variables.from} <= timestamp", f"Aggregate function 'uniq' {RANGE}"),
    (
        "select count(distinct event) from events where timestamp > {variables.from}",
        f"Aggregate function 'countDistinct' {RANGE}",
    ),
    (
        "select countDistinct(event) from events where timestamp < {variables.to}",
        f"Aggregate function 'countDistinct' {RANGE}",
    ),
    (
        (
            "select sumIf(1, event = 'a'), min(timestamp), max(timestamp), count(), countIf(1) from events where "
            "timestamp <= {variables.to}"
        ),
        None,
    ),
    ("select avg(1) from events where event = {variables.x}", None),
    (f"{EVENTS} where timestamp >= {{variables.from}} and timestamp < {{variables.to}}", None),
    (f"{EVENTS} where toDate(timestamp) = toDate({{variables.from}})", None),
    (f"{EVENTS} where {{variables.x}} = event", None),
    (f"{WITH_A} select count() from a", None),
    (
        f"{WITH_A} select count() from a join persons p on 1 = 1",
        "CTE variables with JOINs in the top-level query are not supported for materialization",
    ),
    (f"{WITH_A} select (select count() from a) from events", IN_SCALAR),
    (f"{WITH_A}, b as (select event from a) select (select count() from b) from events", IN_SCALAR),
    (f"{WITH_A}, b as (select event from a) select count() from b", None),
    (f"{WITH_A}, b as (select event from events) select count() from b", None),
    (
        f"{WITH_A}, b as (select count() over () from a) select * from b",
        "Window functions in downstream CTEs of a variable CTE are not yet supported for materialization",
    ),
    (
        f"{WITH_A}, b as (select a.event from a left join a as c on 1 = 1) select * from b",
        "CTE variable propagation requires CROSS/INNER joins between propagating CTEs; LEFT JOIN not supported",
    ),
    (f"{WITH_A}, b as (select a.event from a cross join a as c) select * from b", None),
    (
        f"{WITH_A}, b as (select event from (select event from a)) select * from b",
        "CTE variable propagation requires top-level FROM references; nested subquery reference not supported",
    ),
    (
        f"{WITH_A}, b as (select event from events where event in (select event from a)) select * from b",
        (
            "CTE variable propagation requires top-level FROM references; scalar subquery reading from a propagating "
            "CTE not supported"
        ),
    ),
    (f"{WITH_A}, b as (select event as x from a) select * from b", COLLIDES),
    (f"{WITH_A}, b as (select event from a union all select event from a) select * from b", None),
    (
        f"{WITH_A}, b as (select event from a union distinct select event from a) select * from b",
        "Only UNION ALL is supported for propagation across set operations",
    ),
    (
        f"{WITH_A}, b as (select event from a union all select event from events) select * from b",
        "Variable propagation failed on UNION leg: Downstream CTE does not read from any propagating CTE",
    ),
    (
        f"{WITH_A}, b as (select event from a union all select event as x from a) select * from b",
        f"Variable propagation failed on UNION leg: {COLLIDES}",
    ),
    (
        "select count() as x from events where event = {variables.x}",
        (
            "Variable 'x' conflicts with an existing SELECT alias for a different expression. Rename the variable or "
            "the conflicting column alias."
        ),
    ),
    ("select event as x, count() from events where event = {variables.x} group by event", None),
]


@pytest.mark.parametrize(("sql", "why"), VARIABLES)
def test_variables(sql: str, why: str | None) -> None:
    assert reason(hogql(sql, *METADATA)) == (None if why is None else f"Variables not supported: {why}")


def test_a_body_of_a_cte_that_is_no_query_is_named() -> None:
    sql = f"{WITH_A}, b as (select event from a) select * from b"
    tree = parser.parse(sql)
    odd = {**tree, "ctes": [tree["ctes"][0], {**tree["ctes"][1], "expr": {**tree["ctes"][1]["expr"], "node": "Odd"}}]}
    from endpoints_gitops.hogql.eligibility import reason_of_cte as of_ctes

    assert of_ctes(odd, "a", ["x"]) == "Unsupported CTE body type: Odd"


def test_without_variables_the_text_does_not_matter() -> None:
    assert reason(hogql("select avg(1) from events where {variables.x} or 1")) is None


@pytest.mark.parametrize("variables", [[], "x", [1], {"a": None}, {"a": {"code_name": None}}])
def test_odd_variables_are_no_crash(variables: Any) -> None:
    node = {"kind": "HogQLQuery", "query": f"{EVENTS} where event = {{variables.x}}", "variables": variables}
    assert reason(node) == ("Variables not supported: Variable metadata not found" if variables else None)


def test_what_cannot_be_parsed_in_time_is_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from endpoints_gitops.hogql import eligibility

    def too_slow(_sql: str) -> None:
        raise parser.ParserTimeout("too slow")

    monkeypatch.setattr(eligibility, "parse", too_slow)
    assert reason(hogql("select 1", "x")) is None
