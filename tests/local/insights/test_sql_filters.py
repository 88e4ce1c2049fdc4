"""`{filters}` in HogQL is replaced by the filters of the node; the events are those of `tables`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.sql_filters import sql_of

COUNT = "SELECT count() FROM events WHERE {filters}"
CHROME = [{"type": "event", "key": "browser", "operator": "exact", "value": "Chrome"}]
FROM = "{filters.dateRange.from}"
TO = "{filters.dateRange.to}"


def ran(engine: Engine, sql: str, filters: object) -> list[list[Any]]:
    answer = engine.run(sql_of(engine, {"kind": "HogQLQuery", "query": sql, "filters": filters}), {"event": "view"})
    return [list(row) for row in answer.results]


@pytest.mark.parametrize(
    ("sql", "filters", "rows"),
    [
        (COUNT, {}, [[11]]),
        (COUNT, {"properties": CHROME}, [[4]]),
        (COUNT, {"properties": {"type": "AND", "values": CHROME}}, [[4]]),
        (COUNT, {"dateRange": {"date_from": "2026-07-03"}}, [[5]]),
        (COUNT, {"dateRange": {"date_from": "2026-07-03", "date_to": "2026-07-05"}}, [[2]]),
        (COUNT, {"dateRange": {"date_from": "-1d"}}, [[3]]),
        (COUNT, {"dateRange": {"date_from": "all"}}, [[11]]),
        (f"{COUNT} AND event = {{variables.event}}", {"dateRange": {"date_from": "2026-07-03"}}, [[2]]),
        (f"SELECT count() FROM events WHERE timestamp >= {FROM}", {"dateRange": {"date_from": "2026-07-03"}}, [[5]]),
        (f"SELECT count() FROM events WHERE timestamp < {TO}", {"dateRange": {"date_from": "2026-07-03"}}, [[11]]),
        (f"SELECT count() FROM ({COUNT.replace('count()', 'event')})", {"properties": CHROME}, [[4]]),
        ("SELECT count() FROM sessions WHERE {filters}", {"dateRange": {"date_from": "2026-07-01"}}, [[1]]),
        ("SELECT event, count() FROM events WHERE {filters} GROUP BY event", {"properties": CHROME}, [["view", 4]]),
    ],
)
def test_filters(few: Engine, sql: str, filters: object, rows: list[list[Any]]) -> None:
    assert ran(few, sql, filters) == rows


@pytest.mark.parametrize(
    ("sql", "filters", "message"),
    [
        (COUNT, None, "Unresolved placeholder: {filters}"),
        ("SELECT count() FROM persons WHERE {filters}", {}, "Cannot use 'filters' placeholder in a SELECT clause"),
        ("SELECT {filters}", {}, "Cannot use 'filters' placeholder in a SELECT clause"),
        (
            "SELECT count() FROM events WHERE event IN (SELECT id FROM persons WHERE {filters})",
            {},
            "Cannot use 'filters'",
        ),
        ("SELECT {filters.other} FROM events", {}, "Unsupported filters placeholder `{filters.other}`"),
        (f"SELECT toDate({FROM}) FROM events", {}, "must be used directly in a comparison"),
        (COUNT, {"filterTestAccounts": True}, "does not compute filters.filterTestAccounts"),
        ("SELECT count() FROM sessions WHERE {filters}", {"properties": CHROME}, "does not compute filters.properties"),
        (COUNT, {"properties": [{"type": "cohort", "value": 1}]}, "does not compute cohort filters"),
        (COUNT, {"dateRange": {"date_from": "someday"}}, "does not compute filters.dateRange.date_from"),
    ],
)
def test_refusals(few: Engine, sql: str, filters: object, message: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        ran(few, sql, filters)
    assert message in caught.value.message


def test_a_query_without_filters_stays_as_it_is(few: Engine) -> None:
    sql = "SELECT  1 -- as written"
    assert sql_of(few, {"query": sql, "filters": {"properties": CHROME}}) == sql


def test_an_endpoint_with_filters(ask: Callable[..., httpx.Response]) -> None:
    filters = {"properties": [{"type": "event", "key": "$browser", "operator": "exact", "value": "Chrome"}]}
    node = {"kind": "HogQLQuery", "filters": filters}
    select = "SELECT properties.$browser AS browser, count() > 0 AS some FROM events WHERE {filters} GROUP BY browser"
    made = ask("POST", "endpoints/", {"name": "filtered", "query": {**node, "query": select}})
    assert made.status_code == 201, made.text
    assert [column["name"] for column in made.json()["columns"]] == ["browser", "some"]
    assert ask("POST", "endpoints/filtered/run").json()["results"] == [["Chrome", 1]]
    asked = ask("POST", "query/", {"query": {**node, "query": select}})
    assert asked.json()["results"] == [["Chrome", 1]]
