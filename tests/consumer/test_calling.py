"""Only pinned versions are called; variables and answers are checked."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

import endpoints_gitops as library
from endpoints_gitops import Cache, Row
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import FileRateLimiter
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.secret import Secret

TEN = "SELECT number AS n FROM numbers(10) ORDER BY n"


def paths(server):
    return [entry.path for entry in server.requests.entries()]


def test_the_pinned_version_answers_after_an_edit(app, create, client, server):
    pin = create("plans", "SELECT 'old' AS plan")
    client.update_endpoint("plans", {"query": {"kind": "HogQLQuery", "query": "SELECT 'new' AS plan, 1 AS more"}})
    server.requests.clear()
    rows = app(pin).run("plans")
    assert [row.plan for row in rows] == ["old"]
    assert rows.version == 1
    assert paths(server) == ["/api/projects/1/endpoints/plans/run/?version=1"]


def test_variables_by_keyword_and_by_name(app, create):
    pin = create(
        "both", "SELECT {variables.days} AS days, {variables.limit} AS most",
        variables={"days": ("Number", 7), "limit": ("Number", 5)},
    )  # fmt: skip
    called = app(pin)
    assert tuple(called.run("both")[0]) == (7, 5)
    assert tuple(called.run("both", days=30, limit=2)[0]) == (30, 2)
    assert tuple(called.run("both", variables={"limit": 3}, days=1)[0]) == (1, 3)
    with pytest.raises(library.UsageError, match="'days' is passed twice"):
        called.run("both", variables={"days": 3}, days=1)
    with pytest.raises(
        library.UsageError, match=r"both@1: variables must be a mapping of names to values, not \['a'\]"
    ):
        called.run("both", variables=["a"])


@pytest.mark.parametrize("name", [print, 3, None, ["both"]])
def test_what_is_no_name_is_refused(app, create, name):
    called = app(create("both"))
    for call in (called.run, called.iterate):
        with pytest.raises(
            library.UsageError, match=r"the first argument is the name of an endpoint, or a call such as "
        ):
            call(name)


@pytest.mark.parametrize(
    ("name", "sent", "error", "message"),
    [
        ("revenu", {}, library.PinMissing, "has no pin of 'revenu' in environment default; did you mean 'revenue'?"),
        ("revenue", {"dayz": 1}, library.UnknownVariable, "unknown variable 'dayz'; did you mean 'days'?"),
        ("revenue", {"limit": 1}, library.UnknownVariable, "unknown variable 'limit'; the option is named _limit"),
        ("revenue", {"max_wait": 1}, library.UnknownVariable, "'max_wait'; the option is named _max_wait"),
        ("revenue", {"days": "7"}, library.WrongVariableType, "'days' must be a number (Number), not '7'"),
        ("revenue", {"_limit": 0}, library.UsageError, "_limit must be an integer of at least 1"),
        ("revenue", {"_offset": 1}, library.UsageError, "_offset requires _limit"),
        ("revenue", {"_refresh": "FORCE"}, library.UsageError, "_refresh must be one of cache, force, direct"),
        ("revenue", {"_refresh": "direct"}, library.UsageError, "this version has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_not_sent(app, create, server, name, sent, error, message):
    pin = create("revenue", "SELECT {variables.days} AS days", variables={"days": ("Number", 7)})
    with pytest.raises(error) as raised:
        app(pin).run(name, **sent)
    assert message in str(raised.value)
    assert paths(server) == []


def test_an_inactive_endpoint_differs_from_a_deleted_one(app, create, client):
    pins = create("off"), create("gone"), create("version")
    client.update_endpoint("off", {"is_active": False})
    client.delete_endpoint("gone")
    client.update_endpoint("version", {"is_active": False}, version=1)
    called = app(*pins)
    with pytest.raises(library.EndpointInactive, match="'off' is inactive") as raised:
        called.run("off")
    assert raised.value.fix == "endpoints-gitops activate off --env default"
    with pytest.raises(library.EndpointNotFound, match="no active endpoint 'gone'"):
        called.run("gone")
    with pytest.raises(library.VersionInactive, match="Version 1 is inactive"):
        called.run("version")


def test_a_recreated_endpoint_is_a_different_one(app, create):
    pin = create("again")
    old = replace(pin, created_at=datetime.now(UTC) - timedelta(days=3))
    with pytest.raises(library.EndpointRecreated, match="again@1: the version that answered was created at"):
        app(old).run("again")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(effect=Effect.ERROR, status=401), library.Unauthenticated),
        (Fault(effect=Effect.ERROR, status=403), library.Forbidden),
        (Fault(effect=Effect.ERROR, status=404), library.EndpointNotFound),
        (Fault(effect=Effect.ERROR, status=429, retry_after=9), library.Throttled),
        (Fault(effect=Effect.ERROR, status=500), library.ServerFault),
        (Fault(effect=Effect.ERROR, status=503), library.ServerFault),
        (Fault(effect=Effect.HTML, status=502), library.GatewayFault),
        (Fault(effect=Effect.WRONG_JSON), library.BadAnswer),
        (Fault(effect=Effect.DROP), library.Unreachable),
    ],
    ids=str,
)
def test_each_failure_is_a_class_that_says_what_to_do(app, create, server, fault, error):
    pin = create("one")
    server.faults.add(fault)
    with pytest.raises(error) as raised:
        app(pin, max_wait=0.2).run("one")
    assert raised.value.fix
    assert server.key not in repr(raised.value) + str(raised.value) + str(raised.value.__dict__)


def test_errors_of_an_app_have_a_fix(app, create, client, server):
    pin = create("days", "SELECT {variables.days} AS days", variables={"days": ("Number", 7)})
    called = app(pin, max_wait=0.2)
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=9))
    with pytest.raises(library.Throttled) as throttled:
        called.run("days")
    assert throttled.value.fix == "call it again later, or wait longer with max_wait=SECONDS"
    server.faults.clear()
    client.create_endpoint({"name": "other", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})
    drifted = replace(pin, name="other")
    with pytest.raises(library.VariablesRefused) as refused:
        app(drifted).run("other", days=1)
    assert refused.value.fix == "other@1 differs from the lock: endpoints-gitops lock --verify --env default"


def test_retry_after_is_waited_for(app, create, server):
    pin = create("one")
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=0, nth=1))
    assert [row.one for row in app(pin).run("one")] == [1]
    assert len(paths(server)) == 2


def test_a_key_that_may_only_run_will_do(app, create, client, server):
    pin = create("one")
    assert len(app(pin, key=server.project_secret_key).run("one")) == 1
    client.update_endpoint("one", {"is_active": False})
    with pytest.raises(library.EndpointNotFound, match="no active endpoint"):
        app(pin, key=server.project_secret_key).run("one")


def test_all_rows_page_by_page(app, create, server):
    pin = create("ten", TEN)
    assert [row.n for row in app(pin).iterate("ten", page_size=4)] == list(range(10))
    assert len(paths(server)) == 3
    assert all("version=1" in path for path in paths(server))


@pytest.mark.parametrize("size", [1, 3, 6, 7, 8, 100])
def test_a_limit_is_a_ceiling_whatever_the_page(app, create, size):
    pin = create("ten", f"{TEN} LIMIT 7")
    assert [row.n for row in app(pin).iterate("ten", page_size=size)] == list(range(7))


def test_an_order_with_ties_is_warned_about_once(app, create):
    called = app(create("open", "SELECT number AS n FROM numbers(6)"))
    with pytest.warns(library.PagingWarning, match=r"open@1: the rows were read in several pages.*no ORDER BY") as told:
        assert len(called.iterate("open", page_size=2)) == 6
    assert [each.filename for each in told] == [__file__.replace("test_calling", "conftest")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(called.iterate("open", page_size=2)) == 6


TIES = "SELECT number % 2 AS n FROM numbers(6) ORDER BY n"
ARRIVING = "SELECT uuid FROM events ORDER BY uuid LIMIT 6"


@pytest.mark.parametrize(("sql", "why"), [(TIES, "can leave ties"), (ARRIVING, "rows can arrive or change")])
def test_pages_that_can_overlap_are_warned_about(app, create, sql, why):
    called = app(create("pages", sql))
    with pytest.warns(library.PagingWarning, match=f"pages@1: the rows were read in several pages.*{why}"):
        assert len(called.iterate("pages", page_size=4)) > 4


def test_rows_that_may_not_fit_together_come_in_one_request(app, create, server):
    called = app(create("pages", TIES))
    assert sorted(row.n for row in called.iterate("pages")) == [0, 0, 0, 1, 1, 1]
    assert len(paths(server)) == 1


def test_pages_of_a_union_are_refused_before_anything_is_sent(app, create, server):
    pin = create("union", "SELECT 1 AS n UNION ALL SELECT 2 AS n")
    with pytest.raises(library.UsageError, match="the server cannot page a UNION"):
        app(pin).iterate("union")
    assert paths(server) == []


def test_rows_where_the_server_may_have_stopped(app, create):
    called = app(
        create("many", "SELECT number AS n FROM numbers(200) ORDER BY n"),
        create("hundred", "SELECT number AS n FROM numbers(200) ORDER BY n LIMIT 100"),
    )
    with pytest.warns(library.PagingWarning, match="many@1: the answer has 100 rows"):
        assert called.run("many").has_more is None
    assert called.run("many", _limit=150).has_more is True
    assert called.run("many", _limit=100, _offset=100).has_more is False
    assert called.run("hundred").has_more is False


def refuses_offset(request):
    """A deployment that does not let personal keys page."""
    if request.body.get("offset"):
        detail = "OFFSET is not supported on queries made with a personal API key. For pagination, use keyset …"
        body = {"type": "validation_error", "code": "hogql_query_error", "detail": detail, "attr": None}
        return Answer(status=400, headers={}, body=json.dumps(body).encode())
    body = {"results": [[0]], "columns": ["n"], "types": [["n", "UInt64"]], "hasMore": True, "endpoint_version": 1}
    return Answer(status=200, headers={}, body=json.dumps(body).encode())


def test_an_offset_that_is_refused_says_what_else_there_is(app, create):
    with pytest.raises(library.OffsetRefused) as raised:
        app(create("ten", TEN), answers=refuses_offset).iterate("ten", page_size=1)
    assert raised.value.fix.startswith("use a project secret key (phs_…), which can page; or one page with all rows")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_cache_says_how_old_its_answers_are(app, create, server):
    clock = Clock()
    pin = create("ten", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)})
    called = app(pin, cache=Cache(seconds=30, now=clock))
    assert called.run("ten").age == 0
    clock.now = 20
    assert called.run("ten").age == 20
    assert called.run("ten", n=2).age == 0
    assert called.run("ten", _refresh="force").age == 0
    assert called.run("ten").age == 0
    clock.now = 51
    assert called.run("ten").age == 0
    assert len(paths(server)) == 4


def test_a_cache_that_is_shared_tells_projects_apart(create, server, lock):
    path, cache, other = lock(create("one")), Cache(seconds=60), server.add_project("other")
    for project, raised in ((1, nullcontext()), (1, nullcontext()), (other, pytest.raises(library.EndpointNotFound))):
        with (
            library.Endpoints.from_lock(
                path, host=server.url, project_id=project, key=server.key, cache=cache
            ) as endpoints,
            raised,
        ):
            endpoints.run("one")
    assert [each for each in paths(server) if "projects/1/" in each] == ["/api/projects/1/endpoints/one/run/?version=1"]


def test_no_cache_by_default(app, create, server):
    called = app(create("one"))
    called.run("one")
    called.run("one")
    assert len(paths(server)) == 2


def test_a_full_cache_drops_the_least_recently_used(app, create, server):
    called = app(
        create("ten", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)}), cache=Cache(seconds=30, most=2)
    )
    for number in (1, 2, 1, 3, 1, 2):
        called.run("ten", n=number)
    assert len(paths(server)) == 4


def test_strict_warn_and_off(app, create):
    pin = create("one", "SELECT 1 AS one")
    wider = replace(pin, columns=(*pin.columns, replace(pin.columns[0], name="two")))
    with pytest.raises(library.ColumnsBroken, match="one@1: column 'two' is missing; the answer has one"):
        app(wider).run("one")
    with pytest.raises(library.ColumnsBroken, match="column 'two' is missing"):
        app(wider).iterate("one")
    with pytest.warns(library.ContractWarning, match="column 'two' is missing"):
        assert app(wider, contract="warn").run("one")[0].one == 1
    assert app(wider, contract="off").run("one")[0].one == 1
    with pytest.raises(library.UsageError, match='contract must be "strict", "warn" or "off"'):
        app(wider, contract="lax")


READING = {
    "nothing said": ('"*"', "'two' is missing"),
    "only what is there": ('{ version = "*", columns = ["one"] }', None),
    "what is gone": ('{ version = "*", columns = ["two"] }', "'two' is missing"),
    "by position": ('{ version = "*", reads = "position", columns = ["one"] }', "'two' is missing"),
    "only that it succeeds": ('{ version = "*", reads = "call" }', None),
}


@pytest.mark.parametrize(("said", "mistake"), READING.values(), ids=READING)
def test_the_manifest_beside_the_lock_says_how_the_app_reads(create, server, lock, said, mistake):
    pin = create("one", "SELECT 1 AS one")
    path = lock(replace(pin, columns=(*pin.columns, replace(pin.columns[0], name="two"))))
    path.with_name("endpoints.toml").write_text(f"[uses]\none = {said}\n")
    with library.Endpoints.from_lock(path, host=server.url, project_id=1, key=server.key) as endpoints:
        if mistake is None:
            assert endpoints.run("one")[0].one == 1
            return
        with pytest.raises(library.ColumnsBroken, match=mistake):
            endpoints.run("one")


def test_the_key_is_nowhere_to_be_seen(app, create, server, caplog):
    called = app(create("one"))
    with caplog.at_level(logging.DEBUG):
        rows = called.run("one")
    assert "POST /api/projects/1/endpoints/one/run/?version=1 -> 200" in caplog.text
    seen = caplog.text + repr(called.endpoints) + str(called.endpoints.__dict__) + repr(rows) + str(rows.__dict__)
    assert server.key not in seen


def test_what_is_pinned_can_be_looked_at(app, create):
    called = app(create("one"), create("ten", TEN)).endpoints
    assert sorted(called.pins) == ["one", "ten"]
    assert called.version("ten") == 1
    assert called.environment == "default"
    assert repr(called).endswith("endpoints.lock: 2 pins, environment default>")


def test_a_call_after_close_opens_a_new_client(app, create):
    called = app(create("one"))
    called.run("one")
    called.close()
    assert called.run("one").of(Row)[0].one == 1


def test_rate_limits_are_shared_with_the_command_line(app, create, server, tmp_path):
    app(create("one")).run("one")
    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    limiter = FileRateLimiter(tmp_path / "state" / "budgets.sqlite", connection, notice=pytest.fail)
    assert limiter.remaining()["direct"].minute == 239
    limiter.pause(50, materialized=False)
    limiter.close()
    server.requests.clear()
    with pytest.raises(library.BudgetSpent):
        app(create("two"), max_wait=5).run("two")
    assert paths(server) == []


def test_a_materialised_version_requires_its_variables(app, create, server):
    pin = create("days", "SELECT {variables.days} AS days", variables={"days": ("Number", 7)})
    table = replace(pin, materialized=True, variables=(replace(pin.variables[0], required=True),))
    called = app(table)
    for sent in ({}, {"days": None}):
        with pytest.raises(library.MissingVariable, match="version 1 is materialized, which makes its variables requ"):
            called.run("days", **sent)
    assert paths(server) == []
    assert called.run("days", days=3)[0].days == 3


def test_a_table_answers_with_its_columns_in_another_order(app, create):
    """By name that is no difference; its types may be null where the query's are not."""
    pin = create(
        "table", "SELECT 'pro' AS plan, count() AS n, toDate('2026-07-01') AS day FROM events", is_materialized=True
    )
    assert pin.materialized
    called = app(pin)
    rows = called.run("table")
    assert rows.is_from_table
    assert (rows[0].plan, rows[0].day) == ("pro", date(2026, 7, 1))
    assert isinstance(rows[0].n, int)
    computed = called.run("table", _refresh="direct")
    assert (computed.is_from_table, computed.columns) == (False, ("plan", "n", "day"))
    assert list(computed.as_dicts()[0].items() - rows.as_dicts()[0].items()) == []


def test_one_for_all_threads(create, server, lock):
    pin = create("ten", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)})
    endpoints = library.Endpoints.from_lock(lock(pin), host=server.url, project_id=1, key=server.key)
    with endpoints, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: endpoints.run("ten", n=number)[0].n, range(40)))
    assert found == list(range(40))


def test_many_at_once_in_one_loop(create, server, lock):
    pin = create("ten", "SELECT {variables.n} AS n", variables={"n": ("Number", 1)})

    async def called():
        reach = {"host": server.url, "project_id": 1, "key": server.key}
        async with library.AsyncEndpoints.from_lock(lock(pin), **reach) as endpoints:
            return await asyncio.gather(*(endpoints.run("ten", n=number) for number in range(40)))

    assert [rows[0].n for rows in asyncio.run(called())] == list(range(40))
