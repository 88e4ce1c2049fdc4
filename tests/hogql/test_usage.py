"""The positions of variables, and their comparisons."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.parser import HogQLSyntaxError
from endpoints_gitops.hogql.variables import operators, usages

USES = [
    ("select {variables.x}", "x select '' None {variables.x}"),
    ("select 1 from t where a = {variables.x}", "x where '' = a"),
    ("select 1 from t where {variables.x} <= a", "x where '' >= a"),
    ("select 1 from t where {variables.x} = a", "x where '' = a"),
    ("select 1 from t where a >= toDateTime({variables.x})", "x where '' >= a"),
    ("select 1 from t where toDate(a) < {variables.x} - 1", "x where '' < toDate(a)"),
    ("select 1 from t where a like {variables.x}", "x where '' like a"),
    ("select 1 from t where a not in {variables.x}", "x where '' not in a"),
    ("select 1 from t where a between {variables.x} and 5", "x where '' between a"),
    ("select 1 from t where a = {variables.x} or b", "x where '' = a"),
    ("select 1 from t where not (a = {variables.x})", "x where '' = a"),
    ("select 1 from t where b and (c and a = {variables.x})", "x where '' = a"),
    ("select 1 from t where and(b, a = {variables.x})", "x where '' = a"),
    ("select 1 from t where if({variables.x}, a, b)", "x where '' None if({variables.x}, a, b)"),
    ("select 1 from t prewhere a = {variables.x}", "x prewhere '' = a"),
    ("select 1 from t group by a having count() > {variables.x}", "x having '' > count()"),
    ("select 1 from t limit {variables.x}", "x limit '' None {variables.x}"),
    ("select 1 from t limit 1 offset {variables.x}", "x offset '' None {variables.x}"),
    ("select 1 from t order by a = {variables.x}", "x order by '' = a"),
    ("select 1 from t group by {variables.x}", "x group by '' None {variables.x}"),
    ("select 1 from {variables.x}", "x from '' None {variables.x}"),
    ("select 1 from a join b on a.i = {variables.x}", "x join '' = a.i"),
    ("select 1 from a left join b on a.i = {variables.x}", "x join '' = a.i"),
    ("with {variables.x} as v select v", "x with '' None {variables.x}"),
    ("with q as (select 1 from t where a = {variables.x}) select 1 from q", "x where 'cte q' = a"),
    ("select 1 from (select 1 from t where a = {variables.x}) as s", "x where 'subquery s' = a"),
    ("select 1 from t where a in (select b from u where c = {variables.x})", "x where 'subquery in where' = c"),
    ("select 1 union all select 2 from t where a = {variables.x}", "x where 'union 2' = a"),
    (
        "select {variables.x + variables.y}",
        "x select '' None {variables.x + variables.y}, y select '' None {variables.x + variables.y}",
    ),
]


@pytest.mark.parametrize(("sql", "expected"), USES)
def test_uses(sql: str, expected: str) -> None:
    found = [f"{u.variable} {u.clause} {'/'.join(u.query)!r} {u.operator} {u.other}" for u in usages(sql)]
    assert ", ".join(found) == expected


def test_uses_have_the_order_of_the_text_and_their_positions() -> None:
    sql = "with q as (select {variables.a}) select {variables.b} from q where c = {variables.a}"
    assert [(use.variable, sql[use.start :][:12]) for use in usages(sql)] == [
        ("a", "{variables.a"),
        ("b", "{variables.b"),
        ("a", "{variables.a"),
    ]


def test_operators_are_sorted_and_unique() -> None:
    sql = "select 1 from t where a >= {variables.x} and {variables.x} <= a and b = {variables.x} and c = {variables.y}"
    assert operators(sql, "x") == ("a >=", "b =")
    assert operators(sql, "z") == ()


def test_what_is_no_query_has_no_uses() -> None:
    with pytest.raises(HogQLSyntaxError):
        usages("selec {variables.x}")
