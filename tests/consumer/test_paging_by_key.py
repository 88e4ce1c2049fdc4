"""`iterate(…, key=…)`: every row once, even if rows arrive while the pages are read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import httpx
import pytest

import endpoints_gitops as library
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.local.engine.embedded import EmbeddedSession
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.storage import insert, stored_tables
from endpoints_gitops.local.serve import running_server

BY_ID = "SELECT id, name FROM items WHERE id > {variables.after} ORDER BY id"
BY_NAME = "SELECT name FROM items WHERE name > {variables.after} ORDER BY name LIMIT 5"
BY_TIME = "SELECT at FROM items WHERE at > toDateTime({variables.after}) ORDER BY at LIMIT 1000"
LATEST = "SELECT id FROM items WHERE id < {variables.before} ORDER BY id DESC"
AFTER = {"after": ("Number", 0)}


class Items:
    """A table of the server that rows are added to: ids 10, 20, … 200 to begin with."""

    def __init__(self, session):
        self.session = session

    def add(self, *numbers):
        insert(self.session, "items", [item(number) for number in numbers])

    def delete(self, condition):
        self.session.execute(f"DELETE FROM items WHERE {condition}")


def item(number):
    return {"id": number, "name": f"item {number:04}", "at": f"2026-07-01T00:00:0{number // 100}.{number % 100:02}Z"}


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(f"{json.dumps(item(number))}\n" for number in range(10, 201, 10)))
    with EmbeddedSession() as session:
        tables = stored_tables(session, sample=False, files=[path], now=None)
        items = Items(session)
        items.engine = Engine(session, tables, None)
        yield items


@pytest.fixture
def server(items):
    with running_server(engine=items.engine) as running:
        yield running


def requests(server):
    return [entry for entry in server.requests.entries() if "/run/" in entry.path]


def arriving(items, *offsets):
    """Adds a row behind and one ahead of each that is read, as long as they are few."""

    def on_row(row):
        if row.id % 10 == 0 and row.id < 200:
            items.add(*(row.id + offset for offset in offsets))

    return on_row


@pytest.mark.parametrize("size", [2, 7, 100])
def test_rows_that_arrive_meanwhile_move_none(app, create, items, size):
    client = app(create("items", BY_ID, variables=AFTER))
    rows = client.iterate("items", key="id", page_size=size, on_row=arriving(items, -5, 101))
    count = Counter(row.id for row in rows)
    assert set(count.values()) == {1}
    assert set(range(10, 201, 10)) <= set(count)
    assert [row.id for row in rows] == sorted(count)
    ahead = {number + 101 for number in range(10, 200, 10)}
    assert set(count) - set(range(10, 201, 10)) <= ahead
    assert size == 100 or {111, 201} <= set(count)


def test_more_rows_than_a_page_may_arrive_between_two_keys(app, create, items):
    client = app(create("items", BY_ID, variables=AFTER))
    rows = client.iterate(
        "items", key="id", page_size=2, on_row=lambda row: row.id == 20 and items.add(11, 12, 13, 14, 15, 16, 17)
    )
    assert [row.id for row in rows] == list(range(10, 201, 10))


def test_pages_by_offset_repeat_rows_then(app, create, items):
    client = app(create("items", "SELECT id FROM items ORDER BY id"))
    with pytest.warns(library.PagingWarning, match="can leave ties"):
        rows = client.iterate("items", page_size=3, on_row=arriving(items, -5))
    assert max(Counter(row.id for row in rows).values()) > 1


@pytest.mark.parametrize(
    ("sql", "variables", "key", "first"),
    [
        (BY_ID, {"after": ("Number", 0)}, "id", 10),
        (BY_NAME, {"after": ("String", "")}, "name", "item 0010"),
        (LATEST, {"before": ("Number", 1_000)}, "id", 200),
        (BY_TIME, {"after": ("Date", "2026-01-01")}, "at", datetime.fromisoformat("2026-07-01T00:00:00.100")),
        (BY_ID.replace("{variables.after}", "{variables.after} - 15"), AFTER, "id", 10),
        (
            "SELECT name, count() AS n FROM items WHERE name > {variables.after} GROUP BY name ORDER BY name",
            {"after": ("String", "")}, "name", "item 0010",
        ),
    ],
)  # fmt: skip
def test_every_row_comes_once_in_order(app, create, sql, variables, key, first):
    client = app(create("items", sql, variables=variables))
    for size in (6, 19, 20, 21, None):
        keys = [row[key] for row in client.iterate("items", key=key, page_size=size)]
        assert (len(keys), keys[0]) == (20, first)
        assert keys == sorted(set(keys), reverse="DESC" in sql)


class Noting(httpx.HTTPTransport):
    """HTTP, with every body that was sent, without its id."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def handle_request(self, request):
        body = json.loads(request.content)
        assert body.pop("client_query_id")
        self.bodies.append(body)
        return super().handle_request(request)


def test_each_page_starts_after_the_last_key_but_one(create, lock, server):
    path, transport = lock(create("items", BY_ID, variables=AFTER)), Noting()
    with library.Endpoints.from_lock(
        path, host=server.url, project_id=1, key=server.key, transport=transport
    ) as endpoints:
        assert len(list(endpoints.iterate("items", key="id", page_size=8))) == 20
    assert transport.bodies == [
        {"limit": 8},
        {"limit": 8, "variables": {"after": 70}},
        {"limit": 8, "variables": {"after": 140}},
    ]


def test_reading_begins_where_the_caller_says(app, create):
    client = app(create("items", BY_ID, variables=AFTER))
    assert [row.id for row in client.iterate("items", key="id", page_size=3, after=170)] == [180, 190, 200]


UNPAGED = {
    "no condition": ("SELECT id FROM items ORDER BY id", {}, {}, "no condition id > {variables.…}"),
    "no order": (BY_ID.replace(" ORDER BY id", ""), AFTER, {}, "its ORDER BY is missing"),
    "no start": (BY_ID, {"after": ("Number", None)}, {"after": None}, "the start is unknown"),
    "other type": (BY_ID, {"after": ("Date", "2026-07-01")}, {}, "its type is integer, but the type of after is Date"),
    "number for text": (BY_ID, {"after": ("String", "0")}, {}, "its type is integer, but the type of after is String"),
    "page of one": (BY_ID, AFTER, {"page_size": 1}, "page_size must be an integer of at least 2"),
}


@pytest.mark.parametrize(("sql", "variables", "sent", "message"), UNPAGED.values(), ids=UNPAGED)
def test_a_query_that_does_not_allow_it_is_refused_before_any_request(
    app, create, server, sql, variables, sent, message
):
    pin = create("items", sql, variables=variables)
    with pytest.raises(library.UsageError) as raised:
        app(pin).iterate("items", key="id", **sent)
    assert message in str(raised.value)
    assert raised.value.fix or "page_size" in message
    assert requests(server) == []


def test_a_table_and_an_insight_are_refused_before_any_request(app, create, server):
    table = replace(create("items", BY_ID, variables=AFTER), materialized=True)
    insight = create("trends", query={"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]})
    client = app(table, insight)
    with pytest.raises(library.UsageError, match="a table has no order"):
        client.iterate("items", key="id", after=0)
    with pytest.raises(library.UsageError, match="a TrendsQuery has no pages"):
        client.iterate("trends", key="id")
    assert requests(server) == []


BROKEN = {
    "two in one page": (lambda items: items.add(20), 8, "two rows have the same key 20"),
    "two at the end of a page": (lambda items: items.add(80), 8, "two rows have the same key 80"),
    "two at the start of a page": (lambda items: items.add(90), 8, "two rows have the same key 90"),
}


@pytest.mark.parametrize(("prepare", "size", "message"), BROKEN.values(), ids=BROKEN)
def test_keys_that_are_not_unique_are_noticed(app, create, items, prepare, size, message):
    prepare(items)
    client = app(create("items", BY_ID, variables=AFTER))
    with pytest.raises(library.PagesBroken, match=message):
        client.iterate("items", key="id", page_size=size)


def test_a_key_that_is_null_is_noticed(app, create):
    page = {"results": [[1, "a"], [None, "b"]], "columns": ["id", "name"], "hasMore": False, "endpoint_version": 1}
    answer = Answer(status=200, headers={}, body=json.dumps(page).encode())
    client = app(create("items", BY_ID, variables=AFTER), answers=lambda _: answer)
    with pytest.raises(library.PagesBroken, match="the key of a row is null"):
        client.iterate("items", key="id")


def test_a_condition_that_skips_rows_is_noticed(app, create):
    """The variable may be computed with: what counts is that the page continues the one before."""
    sql = BY_ID.replace("{variables.after}", "{variables.after} + 25")
    client = app(create("items", sql, variables=AFTER))
    with pytest.raises(
        library.PagesBroken, match="the last row of the previous page, with the key 80, was not returned again"
    ):
        client.iterate("items", key="id", page_size=6)


def test_a_condition_that_cannot_tell_a_whole_page_apart_is_noticed(app, create):
    sql = BY_ID.replace("{variables.after}", "{variables.after} - 1000")
    client = app(create("items", sql, variables=AFTER))
    with pytest.raises(library.PagesBroken, match="more than 4 rows have keys that the query treats as equal"):
        client.iterate("items", key="id", page_size=4)


def test_a_row_that_was_deleted_meanwhile_is_not_skipped_silently(app, create, items):
    client = app(create("items", BY_ID, variables=AFTER))
    with pytest.raises(library.PagesBroken, match="the last row of the previous page, with the key 40"):
        client.iterate("items", key="id", page_size=4, on_row=lambda row: row.id == 40 and items.delete("id = 40"))
