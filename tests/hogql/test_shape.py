"""Limits, the order of rows, functions of the current time, and functions that truncate times."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_gitops.hogql.paging import paging, shape
from endpoints_gitops.hogql.parser import HogQLSyntaxError

LIMITS = [
    ("select 1 from t limit 10 offset 5", (10, "10", 10, 10)),
    ("select 1 from t limit 5, 10", (5, "5", 5, 5)),
    ("select 1 from t limit 5 with ties", (5, "5", None, 5)),
    ("select 1 from t", (None, None, None, None)),
    ("select 1 from t limit {variables.n}", (None, "{variables.n}", None, "{variables.n}")),
    ("select 1 from t limit 5 + 5", (None, "5 + 5", None, "5 + 5")),
    ("select 1 from t limit true", (None, "true", None, "true")),
    ("(select 1) union all (select 2) limit 5", (5, "5", 5, 5)),
    ("select 1 union all select 2 limit 5", (None, None, None, None)),
]


@pytest.mark.parametrize(("sql", "expected"), LIMITS)
def test_limits(sql: str, expected: tuple[Any, ...]) -> None:
    limits = paging(sql)
    assert (limits.limit, limits.limit_text, limits.ceiling, limits.written_limit) == expected
    assert shape(sql).paging == limits


def test_a_union_is_not_paged() -> None:
    assert paging("select 1 union all select 2").is_union
    assert not paging("select * from (select 1 union all select 2)").is_union


GROUPED = "select event, properties.$os as os, count() as n from events e group by event, os"
ORDERS = [
    (f"{GROUPED} order by event, os", True, ()),
    (f"{GROUPED} order by os desc, n, event", True, ()),
    (f"{GROUPED} order by 1, 2", True, ()),
    (f"{GROUPED} order by e.event, properties.$os", True, ()),
    (f"{GROUPED} order by n desc", False, ("event", "os")),
    (f"{GROUPED} order by n desc, event", False, ("os",)),
    (f"{GROUPED} order by 3", False, ("event", "os")),
    (GROUPED, False, ("event", "os")),
    ("select count() from events", True, ()),
    ("select sumIf(1, 1), max(timestamp) from events", True, ()),
    ("select 1", True, ()),
    ("select event from events order by timestamp", False, ("uuid",)),
    ("select event from events as e order by timestamp, e.uuid", True, ()),
    ("select * from persons order by created_at", False, ("id",)),
    ("select * from groups order by key", False, ("index",)),
    ("select number from numbers(5) order by number", True, ()),
    ("select distinct event, person_id from events order by event", False, ("person_id",)),
    ("select distinct event from events order by event", True, ()),
    (
        "with q as (select event as e, count() as n from events group by event) select e from q order by n",
        False,
        ("e",),
    ),
    ("with q as (select event as e, count() as n from events group by event) select e from q order by e", True, ()),
    ("select n from (select event, count() as n from events group by event) order by n", False, ("event",)),
    ("select n from (select count() as n from events group by event) order by n", None, ()),
    ("select a from stripe_charges order by a", None, ()),
    ("select e.uuid from events e join persons p on e.person_id = p.id order by e.uuid", None, ()),
    ("select it from events array join elements_chain_texts as it order by uuid", None, ()),
    ("select event from events group by rollup(event) order by event", None, ()),
    ("select 1 union all select 2", None, ()),
]


@pytest.mark.parametrize(("sql", "is_total", "missing"), ORDERS)
def test_whether_rows_can_tie(sql: str, is_total: bool | None, missing: tuple[str, ...]) -> None:
    found = shape(sql)
    assert (found.order_is_total, found.order_missing) == (is_total, missing)


def test_the_missing_keys_make_the_order_total() -> None:
    for sql, is_total, missing in ORDERS:
        if is_total is False:
            ordered = f"{sql}, {', '.join(missing)}" if " order by " in sql else f"{sql} order by {', '.join(missing)}"
            assert shape(ordered).order_is_total, ordered


MOVING = [
    ("select 1 from t where timestamp > now() - interval 7 day and d < TODAY()", ("now()", "TODAY()")),
    ("select today(), today()", ("today()",)),
    ("with q as (select now() as t) select t from q", ("now()",)),
    ("select current_timestamp(), yesterday()", ("current_timestamp()", "yesterday()")),
    ("select timestamp as now from events", ()),
    ("select 'now()' -- now()", ()),
]


@pytest.mark.parametrize(("sql", "calls"), MOVING)
def test_calls_whose_value_moves(sql: str, calls: tuple[str, ...]) -> None:
    assert shape(sql).volatile == calls


def test_keys_and_stars_keep_their_text() -> None:
    found = shape("select *, e.* from events e group by a, b + 1 order by a desc, b")
    assert (found.order_by, found.stars) == (("a DESC", "b"), ("*", "e.*"))


def test_what_is_no_query_has_no_shape() -> None:
    with pytest.raises(HogQLSyntaxError):
        shape("selec 1")
