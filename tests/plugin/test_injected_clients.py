"""The library's own classes as fixtures, and the calls that they and the caller have in common."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.model.pin import PinnedColumn
from endpoints_gitops.model.sunset import SunsetNotice
from endpoints_gitops.model.target import GenerationTarget

HEAD = """
import asyncio
import pytest
from endpoints_gitops import AsyncEndpoints, Endpoints, EndpointsError, UsageError
from pytest_endpoints_gitops import EndpointsConfig, NoRecording

pytestmark = pytest.mark.filterwarnings("ignore:revenue@1. the rows were read in several pages")

def total(client):
    return sum(row.mrr for row in client.run("revenue", month="2026-07"))

async def async_total(client):
    return sum(row.mrr for row in await client.run("revenue", month="2026-07"))

async def async_months(client, **options):
    return [row.month async for row in client.iterate("revenue", month="2026-07", **options)]
"""
INJECTED = """
def test_sync(endpoints_client):
    assert type(endpoints_client) is Endpoints
    assert total(endpoints_client) == 120
    assert (endpoints_client.version("revenue"), [*endpoints_client.pins]) == (1, ["revenue"])

def test_async(async_endpoints_client):
    assert type(async_endpoints_client) is AsyncEndpoints
    assert asyncio.run(async_total(async_endpoints_client)) == 120
    assert asyncio.run(async_months(async_endpoints_client)) == ["2026-07"]
"""


@pytest.mark.parametrize("mode", ["replay", "live", "refresh", "local"])
def test_a_client_is_answered_as_the_fixtures_are(app_once, mode):
    """`record` made the recording."""
    app = app_once
    app.pinned()
    app.suite(HEAD + INJECTED)
    app.record()
    before = app.runs()
    app.pytest(f"--endpoints={mode}", "-W", "error", key=app.server.key).assert_outcomes(passed=2)
    assert (
        app.runs() - before == {"replay": 0, "live": 2, "refresh": 2, "local": 0}[mode]
    )  # all rows, and the first page


def test_clients_in_every_way(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(
        HEAD
        + INJECTED
        + """
def test_stub(endpoints_client, endpoints, endpoints_server):
    endpoints.stub("revenue", rows=[["x", 1, "2026-07"]])
    assert total(endpoints_client) == total(endpoints) == 1
    assert [request.name for request in endpoints_server.requests] == ["revenue"]

def test_missing(endpoints_client):
    with pytest.raises(EndpointsError):
        endpoints_client.run("revenue", month="1999-01")
"""
    )
    result = app.pytest()
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["ERROR *test_missing*revenue@1: no recording of this call*"])


def test_arguments_of_the_client_come_from_the_configuration(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(
        HEAD
        + """
@pytest.fixture(scope="session")
def endpoints_config():
    return EndpointsConfig(client={"cache": 60, "max_wait": 0.5})

@pytest.mark.parametrize("number", range(2))
def test_cached_in_one_test_only(endpoints_client, endpoints_server, number):
    assert total(endpoints_client) == total(endpoints_client) == 120
    assert len(endpoints_server.requests) == 1

def test_an_error_is_the_clients(endpoints_client, endpoints):
    endpoints.stub("revenue", status=429, retry_after=30)
    with pytest.raises(EndpointsError, match="throttled"):
        total(endpoints_client)
"""
    )
    app.pytest().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("name", "why"), [("max_wate", "no such argument; did you mean 'max_wait'?"), ("host", "the fixture sets it")]
)
def test_an_argument_that_the_suite_cannot_set_is_refused(app_once, name, why):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + f"""
@pytest.fixture(scope="session")
def endpoints_config():
    return EndpointsConfig(client={{{name!r}: 1}})

def test_it(endpoints_client):
    assert endpoints_client is None
"""
    )
    result = app.pytest()
    result.assert_outcomes(errors=1)
    assert any(f"UsageError: EndpointsConfig(client=…): {name!r}: {why}" in line for line in result.outlines)


def test_a_broken_contract_is_an_error_of_the_client_only_where_it_is_one_of_the_run(app_once):
    """The lock says more than the answer keeps."""
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    columns = (*(app.PIN.columns or ()), PinnedColumn(name="gone", type="string"))
    app.locks(replace(app.PIN, columns=columns))
    app.suite(HEAD + "\ndef test_it(endpoints_client):\n    assert total(endpoints_client) == 120\n")
    app.pytest("--endpoints-contract=off").assert_outcomes(passed=1)
    app.pytest("--endpoints-contract=warn", "-W", "default").assert_outcomes(passed=1, warnings=2)  # of both
    result = app.pytest()
    result.assert_outcomes(failed=1, errors=1)
    assert app.failure(result).startswith('revenue@1: column "gone" is gone')


def test_a_client_does_not_warn_of_a_sunset(app_once):
    """As `endpoints_env`: an author's announcement fails no test under `-W error`."""
    app = app_once
    notice = SunsetNotice(since=date(2026, 7, 1), sunset=date(2030, 1, 1), replaced_by=None, reason=None)
    app.locks(replace(app.PIN, deprecation=notice))
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(HEAD + INJECTED)
    app.pytest("-W", "error").assert_outcomes(passed=2)


BOTH = """
@pytest.fixture(params=["endpoints", "endpoints_client"])
def client(request):
    return request.getfixturevalue(request.param)

@pytest.fixture(params=["async_endpoints", "async_endpoints_client"])
def async_client(request):
    return request.getfixturevalue(request.param)

MONTHS = [["pro", n, f"2026-{n}"] for n in range(10, 15)]

def test_run(client, endpoints):
    endpoints.stub("revenue", rows=MONTHS)
    rows = client.run("revenue", variables={"month": "2026-07"}, _limit=2, _offset=1)
    assert (rows.column("mrr"), rows.has_more) == ([11, 12], True)
    assert client.environment == "test"

def test_iterate(client, endpoints):
    stub = endpoints.stub("revenue", rows=MONTHS)
    rows = client.iterate("revenue", month="2026-07", page_size=2)
    assert [row.mrr for row in rows] == [10, 11, 12, 13, 14]
    assert len(stub.calls) == 3

def test_async(async_client, endpoints):
    endpoints.stub("revenue", rows=MONTHS)
    assert asyncio.run(async_months(async_client, page_size=2)) == [row[2] for row in MONTHS]
    assert asyncio.run(async_total(async_client)) == 60

@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"_limit": 0}, "_limit must be"),
        ({"_offset": 1}, "_offset requires _limit"),
        ({"_limit": 1, "_offset": -1}, "_offset must be"),
    ],
)
def test_wrong_pages(client, options, message):
    with pytest.raises(UsageError, match=message):
        client.run("revenue", **options)

@pytest.mark.parametrize("options", [{"page_size": 0}, {"key": "plan"}])
def test_wrong_iteration(client, options):
    with pytest.raises(UsageError, match="page_size|cannot be paged by plan"):
        client.iterate("revenue", **options)

def test_twice(client):
    with pytest.raises(UsageError, match="variable 'month' is passed twice"):
        client.run("revenue", variables={"month": "2026-07"}, month="2026-07")
"""


def test_the_caller_and_the_client_have_the_same_calls(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(HEAD + BOTH)
    app.pytest().assert_outcomes(passed=18)


def test_pages_of_the_caller_are_recorded(app_once):
    app = app_once
    many = "name: many\nquery: |\n  SELECT number AS n FROM numbers(250) ORDER BY n\n"
    app.configure("many")
    app.push(many, "many")
    app.lock()
    app.suite(
        HEAD
        + """
def test_sync(endpoints):
    assert [row.n for row in endpoints.iterate("many", page_size=100)] == [*range(250)]

def test_async(async_endpoints):
    async def numbers():
        return [row.n async for row in async_endpoints.iterate("many", page_size=100)]
    assert asyncio.run(numbers()) == [*range(250)]

def test_missing(endpoints):
    rows = endpoints.iterate("many", page_size=101)
    with pytest.raises(NoRecording):
        next(rows)
"""
    )
    app.pytest("--endpoints=record", "-k", "not missing", key=app.server.key).assert_outcomes(passed=2, deselected=1)
    assert (len(app.recordings()), app.runs()) == (3, 3)
    app.pytest().assert_outcomes(passed=3)


def test_iteration_by_key(app_once):
    app = app_once
    by_key = "SELECT plan, mrr, month FROM t WHERE month > {variables.month} ORDER BY month"
    app.locks(replace(app.PIN, query={"kind": "HogQLQuery", "query": by_key}))
    app.suite(
        HEAD
        + """
def rows(*months):
    return [["pro", 1, f"2026-{month:02}"] for month in months]

def test_keys(endpoints):
    stub = endpoints.stub("revenue", rows=rows(1, 2, 3)).then(rows=rows(2, 3))
    months = [row.month for row in endpoints.iterate("revenue", key="month", page_size=2, month="2025-12")]
    assert months == ["2026-01", "2026-02", "2026-03"]
    assert stub.calls == [{"month": "2025-12"}, {"month": "2026-01"}]

def test_broken(endpoints):
    endpoints.stub("revenue", rows=rows(1, 2, 3)).then(rows=rows(3, 4))
    with pytest.raises(pytest.fail.Exception, match="the rows cannot be paged by month"):
        [*endpoints.iterate("revenue", key="month", page_size=2, month="2025-12")]
"""
    )
    app.pytest().assert_outcomes(passed=2)


def test_calls_of_generated_code(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    target = GenerationTarget(lang="python", generator="native", out="app")
    (file,) = generated_files([interface_of(app.PIN)], target)
    app.write("generated.py", file.text)
    app.pytester.syspathinsert()
    app.suite(
        HEAD
        + """
import generated
from generated import Revenue, revenue
from pytest_endpoints_gitops import GeneratedStale

EXPECTED = [Revenue(plan="pro", mrr=120, month="2026-07")]

def test_sync(endpoints, endpoints_client):
    for client in (endpoints, endpoints_client):
        assert [*client.run(revenue(month="2026-07"))] == [*client.iterate(revenue(month="2026-07"))] == EXPECTED
    assert [*endpoints(revenue(month="2026-07"), _limit=1)] == EXPECTED
    assert endpoints(Revenue, month="2026-07") == EXPECTED

def test_async(async_endpoints, async_endpoints_client):
    async def both():
        return [[*await client.run(revenue(month="2026-07"))] for client in (async_endpoints, async_endpoints_client)]
    assert asyncio.run(both()) == [EXPECTED, EXPECTED]

def test_stub(endpoints):
    stub = endpoints.stub(revenue(month="2026-08"), rows=[Revenue(plan="x", mrr=1, month="y")])
    assert endpoints(revenue(month="2026-08"))[0].mrr == 1
    assert stub.calls == [{"month": "2026-08"}]

def test_variables_twice(endpoints):
    with pytest.raises(UsageError, match="has its variables already"):
        endpoints(revenue(), variables={"month": "2026-07"})
"""
    )
    result = app.pytest("--endpoints-report=report.json")
    result.assert_outcomes(passed=4)
    app.locks(replace(app.PIN, version=2))
    app.suite("from generated import revenue\ndef test_it(endpoints):\n    endpoints(revenue())\n")
    result = app.pytest()
    result.assert_outcomes(failed=1)
    assert app.failure(result) == (
        "revenue@2: generated was generated for revenue@1, but the lock pins revenue@2\n"
        "  read by    test_app.py::test_it\n"
        "  next       endpoints-gitops generate"
    )
