"""Limit and offset belong to the call, in every mode and in recordings."""

from __future__ import annotations

import json
from dataclasses import replace

from endpoints_gitops.model.pin import PinnedColumn

MANY = """\
name: many
query: |
  SELECT number AS n FROM numbers(250) ORDER BY n
"""
HEAD = """
import json, os, urllib.request
import pytest
from endpoints_gitops import Endpoints
from pytest_endpoints_gitops import NoRecording, RowsCut

def ask(**page):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/many/run?version=1"
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(page).encode(), headers)) as answer:
        return json.load(answer)
"""
PAGES = """
def test_fixture(endpoints):
    assert endpoints("many", _limit=10).column("n") == list(range(10))
    assert endpoints("many", _limit=10, _offset=245).column("n") == list(range(245, 250))

async def awaited(async_endpoints):
    return (await async_endpoints("many", _limit=10)).column("n")

def test_async(async_endpoints):
    import asyncio
    assert asyncio.run(awaited(async_endpoints)) == list(range(10))

def test_server(endpoints_env):
    page = ask(limit=150)
    assert (len(page["results"]), page["hasMore"], page["limit"], page["offset"]) == (150, True, 150, 0)
    page = ask(limit=150, offset=150)
    assert (len(page["results"]), page["hasMore"], page["offset"]) == (100, False, 150)

def test_client(endpoints_env):
    client = Endpoints.from_lock(max_wait=60)
    assert len(client.run("many", _limit=10)) == 10
    assert [row.n for row in client.iterate("many", page_size=100)] == list(range(250))
    client.close()
"""


def test_pages_are_recorded_and_replayed(app_once):
    app = app_once
    app.configure("many")
    app.push(MANY, "many")
    app.lock()
    app.suite(HEAD + PAGES)
    app.record()
    made, runs = app.recordings(), app.runs()
    assert [name.rpartition("-")[0] for name in made] == [
        f"many/v1/no-variables-limit-{limit}-offset-{offset}"
        for limit, offset in ((10, 0), (10, 245), (100, 0), (100, 100), (100, 200), (150, 0), (150, 150))
    ]
    page = json.loads((app.folder / "recordings" / made[0]).read_text())
    assert (page["limit"], page["offset"], page["has_more"], len(page["rows"])) == (10, None, True, 10)
    app.pytest().assert_outcomes(passed=4)
    app.record()
    assert app.runs() == runs
    app.pytest("--endpoints=live", key=app.server.key).assert_outcomes(passed=4)
    assert app.runs() == 2 * runs - 0


def test_pages_come_from_the_query_in_mode_local(app_once):
    app = app_once
    sql = "SELECT number AS n FROM numbers(250) ORDER BY n"
    column = PinnedColumn(name="n", type="integer")
    app.locks(
        replace(app.PIN, name="many", query={"kind": "HogQLQuery", "query": sql}, variables=(), columns=(column,))
    )
    app.suite(
        HEAD
        + PAGES
        + """
def test_a_call_without_a_limit_gets_all_rows(endpoints):
    with pytest.raises(RowsCut, match="cut after 100 rows"):
        endpoints("many")
"""
    )
    app.pytest("--endpoints=local").assert_outcomes(passed=5)


def test_a_page_is_cut_out_of_a_recording_of_all_rows(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, *(["pro", n, "2026-07"] for n in range(3)), month="2026-07")
    app.suite(
        HEAD
        + """
def test_it(endpoints):
    page = endpoints("revenue", month="2026-07", _limit=2, _offset=1)
    assert (page.column("mrr"), page.has_more) == ([1, 2], False)
    assert endpoints("revenue", month="2026-07", _limit=2).has_more

def test_missing(endpoints):
    with pytest.raises(NoRecording):
        endpoints("revenue", month="1900-01", _limit=2)

def test_half_a_page(endpoints):
    with pytest.raises(Exception, match="_offset requires _limit"):
        endpoints("revenue", month="2026-07", _offset=2)
"""
    )
    result = app.pytest()
    result.assert_outcomes(passed=3)
    assert "unused" not in app.output(result)
