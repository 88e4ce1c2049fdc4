"""The server switches off the tables of versions that no key calls (docs/server.md#tables-that-idle)."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from endpoints_gitops.local.control import AGE
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.serve import running_server

SQL = "SELECT event, count() AS n FROM events WHERE event = {variables.event} GROUP BY event"


@pytest.fixture
def table(ask):
    ask("POST", "/insight_variables/", {"name": "event", "type": "String", "default_value": "a"})
    ask("POST", "/endpoints/", {"name": "e", "query": {"kind": "HogQLQuery", "query": SQL}})
    ask("PATCH", "/endpoints/e/", {"is_materialized": True, "data_freshness_seconds": 3600})
    return lambda number=None: ask("GET", "/endpoints/e/", params={} if number is None else {"version": number}).json()


def test_a_table_without_calls_for_thirty_days_is_removed(server, ask, table):
    assert ask("POST", "/endpoints/e/run", {"variables": {"event": "a"}}).status_code == 200
    server.age(timedelta(days=29))
    assert table()["materialization"]["enabled"] is True
    before = table()["updated_at"]
    server.age(timedelta(days=2))
    after = table()
    assert (after["materialization"]["enabled"], after["is_materialized"], after["data_freshness_seconds"]) == (
        False,
        False,
        3600,
    )
    assert before[:10] > after["updated_at"][:10], "nothing but the age moved it"
    assert ask("POST", "/endpoints/e/run", {}).status_code == 200, "variables are optional again"
    assert ask("POST", "/endpoints/e/run", {"refresh": "direct"}).status_code == 400


def test_a_call_keeps_it_and_a_current_version_that_was_never_called_is_spared(server, ask, table):
    server.age(timedelta(days=90))
    assert table()["materialization"]["enabled"] is True
    ask("POST", "/endpoints/e/run", {"variables": {"event": "a"}})
    server.age(timedelta(days=29))
    ask("POST", "/endpoints/e/run", {"variables": {"event": "a"}})
    server.age(timedelta(days=29))
    assert table()["materialization"]["enabled"] is True


def test_a_superseded_version_that_was_never_called_is_not_spared(server, ask, table):
    ask("PATCH", "/endpoints/e/", {"query": {"kind": "HogQLQuery", "query": SQL + " LIMIT 9"}})
    assert [table(number)["materialization"]["enabled"] for number in (1, 2)] == [True, True]
    server.age(timedelta(days=31))
    assert [table(number)["materialization"]["enabled"] for number in (1, 2)] == [False, True]


def test_a_table_that_is_younger_stays_though_the_last_call_is_old(server, ask, table):
    ask("POST", "/endpoints/e/run", {"variables": {"event": "a"}})
    ask("PATCH", "/endpoints/e/", {"is_materialized": False})
    server.age(timedelta(days=31))
    ask("PATCH", "/endpoints/e/", {"is_materialized": True})
    assert table()["materialization"]["enabled"] is True


def test_a_server_in_another_process_can_be_aged(engine):
    with running_server(engine=engine, control=True) as server:
        assert isinstance(server.deployment, Deployment)
        headers = {"Authorization": f"Bearer {server.key}"}
        url = f"{server.url}/api/projects/1/endpoints"
        httpx.post(f"{url}/", json={"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}}, headers=headers)
        created = httpx.get(f"{url}/e/", headers=headers).json()["created_at"]
        assert httpx.post(f"{server.url}{AGE}", json={"days": 40}).status_code == 204
        assert httpx.get(f"{url}/e/", headers=headers).json()["created_at"][:10] < created[:10]
        for wrong in ({}, {"days": "x"}, {"days": 1e300}, [1]):
            assert httpx.post(f"{server.url}{AGE}", json=wrong).status_code == 400


def test_the_state_of_an_older_release_is_opened(tmp_path, engine):
    import sqlite3

    with running_server(engine=engine, state=tmp_path):
        pass
    with sqlite3.connect(tmp_path / "local-server.sqlite3") as database:
        database.execute("DROP INDEX tables")  # both came with a later release
        database.execute("ALTER TABLE versions DROP COLUMN materialized_since")
    with running_server(engine=engine, state=tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        sent = {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}, "is_materialized": True}
        answer = httpx.post(f"{server.url}/api/projects/1/endpoints/", json=sent, headers=headers)
        assert answer.status_code == 201
