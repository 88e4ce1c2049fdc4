"""Rows by hand for one test: checked against the pin, in order, gone at the end, and no proof of anything."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_gitops.model.pin import PinnedColumn, PinnedVariable
from tests.plugin.conftest import KEY, PIN

ROW = "{'plan': 'pro', 'mrr': 7, 'month': '2026-07'}"
HEAD = """
import asyncio, json, os, urllib.error, urllib.request
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
import pytest
from endpoints_gitops import AsyncEndpoints, Endpoints
from pytest_endpoints_gitops import CallRefused, InactiveEndpoint, NoRecording, NotPinned, RateLimited, RowsCut
from pytest_endpoints_gitops import StubInvalid, VariableMistyped, VariableUndeclared

def row(mrr):
    return {"plan": "pro", "mrr": mrr, "month": "2026-07"}

def ask(**body):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
"""
EVERY_TYPE = tuple(
    PinnedColumn(name=name, type=kind, full=full)
    for name, kind, full in (
        ("i", "integer", None),
        ("f", "float", None),
        ("d", "decimal", None),
        ("s", "string", None),
        ("t", "datetime", None),
        ("day", "date", None),
        ("b", "boolean", None),
        ("a", "array", "Array(Nullable(integer))"),
        ("any_array", "array", None),
        ("pair", "json", "Tuple(string, decimal)"),
        ("map", "json", "Map(string, integer)"),
        ("any_json", "json", None),
        ("u", "unknown", None),
    )
)


def typed(*columns, **more):
    """A pin of these columns."""
    return replace(PIN, columns=columns, **more)


def test_stubs_answer_in_every_way_of_calling(app):
    """Without a recording: nothing but the stub can have answered."""
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
@dataclass
class Revenue:
    plan: str
    mrr: int
    month: str

def test_rows(endpoints):
    endpoints.stub("revenue", rows=[row(7), ["team", 8, "2026-08"], Revenue("x", 9, "2026-09")])
    rows = endpoints("revenue")
    assert rows.column("mrr") == [7, 8, 9]
    assert (rows.columns, rows.has_more, rows.version) == (("plan", "mrr", "month"), False, 1)
    assert endpoints(Revenue)[1] == Revenue("team", 8, "2026-08")

def test_no_rows(endpoints):
    endpoints.stub(Revenue, rows=[])
    assert len(endpoints("revenue")) == 0

def test_async(async_endpoints):
    async_endpoints.stub("revenue", rows=[row(7)])
    async def mrr():
        return (await async_endpoints("revenue")).column("mrr")
    assert asyncio.run(mrr()) == [7]

def test_server(endpoints_env, endpoints_server):
    stub = endpoints_server.answer("revenue", rows=[row(7)])
    status, body = ask(variables={"month": "2026-01"})
    assert (status, body["results"], body["hasMore"]) == (200, [["pro", 7, "2026-07"]], False)
    assert body["types"] == [["plan", "String"], ["mrr", "Int64"], ["month", "String"]]
    assert stub.calls == [{"month": "2026-01"}]

def test_one_stub_for_both(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[row(7)])
    assert ask()[1]["results"] == [["pro", 7, "2026-07"]]
    with Endpoints.from_lock() as client:
        assert client.run("revenue").column("mrr") == endpoints("revenue").column("mrr") == [7]

def test_async_client(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[row(7)])
    async def mrr():
        async with AsyncEndpoints.from_lock() as client:
            return (await client.run("revenue")).column("mrr")
    assert asyncio.run(mrr()) == [7]

def test_gone(endpoints, endpoints_env):
    with pytest.raises(NoRecording):
        endpoints("revenue")
"""
    )
    app.pytest().assert_outcomes(passed=7)
    assert not (app.folder / "recordings").exists()


@pytest.mark.parametrize("mode", ["replay", "record", "refresh", "live", "local"])
def test_in_every_mode_nothing_is_called_or_recorded(app_once, mode):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
def test_it(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[row(7)])
    assert endpoints("revenue").column("mrr") == [7]
    assert ask()[1]["results"] == [["pro", 7, "2026-07"]]
"""
    )
    before = app.runs()
    result = app.pytest(f"--endpoints={mode}", key=app.server.key)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["2 calls of 1 pinned version in 1 test, 2 stubbed, nothing asked of the server"])
    assert app.runs() == before
    assert not (app.folder / "recordings").exists()


def test_answers_in_sequence_and_the_last_one_repeats(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
def test_rows_and_errors(endpoints):
    stub = endpoints.stub("revenue", rows=[]).then(status=429, retry_after=3).then(rows=[row(7)])
    assert endpoints("revenue").column("mrr") == []
    with pytest.raises(RateLimited, match="the key has no requests left for now"):
        endpoints("revenue")
    assert [endpoints("revenue", month=month).column("mrr") for month in "ab"] == [[7], [7]]
    assert stub.calls == [{}, {}, {"month": "a"}, {"month": "b"}]

def test_errors_of_the_server(endpoints, endpoints_env):
    stub = endpoints.stub("revenue", status=429, retry_after=3)
    for status in (404, 400, 503, 401, 418):
        stub.then(status=status)
    answers = [ask() for _ in range(6)]
    assert [status for status, _ in answers] == [429, 404, 400, 503, 401, 418]
    assert [body["code"] for _, body in answers][:4] == ["throttled", "not_found", "invalid_input", "query_capacity"]

def test_errors_of_the_fixture(endpoints):
    endpoints.stub("revenue", status=404).then(status=401).then(status=503)
    with pytest.raises(InactiveEndpoint, match="no active endpoint of this name"):
        endpoints("revenue")
    for words in ("Personal API key found", "at capacity"):
        with pytest.raises(CallRefused, match=words):
            endpoints("revenue")

def test_a_client_tries_again(endpoints, endpoints_env):
    stub = endpoints.stub("revenue", status=429, retry_after=0).then(rows=[row(7)])
    with Endpoints.from_lock() as client:
        assert client.run("revenue").column("mrr") == [7]
    assert len(stub.calls) == 2

@pytest.mark.filterwarnings("ignore:revenue@1. the rows were read in several pages")
def test_pages_are_cut_from_one_answer(endpoints, endpoints_env):
    stub = endpoints.stub("revenue", rows=[row(n) for n in range(5)]).then(rows=[row(9)])
    page = endpoints("revenue", _limit=2)
    assert (page.column("mrr"), page.has_more) == ([0, 1], True)
    assert endpoints("revenue", _limit=2, _offset=4).column("mrr") == [4]
    assert endpoints("revenue", _limit=2).column("mrr") == [9]
    stub = endpoints.stub("revenue", rows=[row(n) for n in range(5)]).then(rows=[])
    with Endpoints.from_lock() as client:
        assert [each.mrr for each in client.iterate("revenue", page_size=2)] == [0, 1, 2, 3, 4]
        assert [each.mrr for each in client.iterate("revenue", page_size=2)] == []

def test_rows_of_a_test_are_its_own(endpoints):
    rows = [row(7)]
    endpoints.stub("revenue", rows=rows)
    rows[0]["mrr"] = 8
    endpoints("revenue").raw["results"][0][1] = 9
    assert endpoints("revenue").column("mrr") == [7]
"""
    )
    app.pytest().assert_outcomes(passed=6)


def test_a_stub_for_some_variables(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
def test_it(endpoints):
    all_others = endpoints.stub("revenue", rows=[row(0)])
    july = endpoints.stub("revenue", rows=[row(7)], variables={"month": "2026-07"})
    august = endpoints.stub("revenue", rows=[row(8)], variables={"month": "2026-08"})
    answers = [endpoints("revenue", month=f"2026-{month}").column("mrr") for month in ("07", "08", "09")]
    assert answers == [[7], [8], [0]]
    assert endpoints("revenue").column("mrr") == [7], "the default of month is 2026-07"
    assert (july.calls, august.calls) == ([{"month": "2026-07"}, {}], [{"month": "2026-08"}])

def test_other_calls_are_replayed(endpoints):
    endpoints.stub("revenue", rows=[row(8)], variables={"month": "2026-08"})
    assert endpoints("revenue", month="2026-07").column("mrr") == [120]
    assert endpoints("revenue", month="2026-08").column("mrr") == [8]

def test_a_later_stub_replaces_an_earlier_one(endpoints):
    endpoints.stub("revenue", rows=[row(1)])
    endpoints.stub("revenue", rows=[row(2)])
    assert endpoints("revenue").column("mrr") == [2]

def test_an_error_of_fail_goes_first(endpoints_server, endpoints_env):
    endpoints_server.answer("revenue", rows=[row(7)])
    endpoints_server.fail("revenue", times=1)
    assert [ask()[0] for _ in range(2)] == [503, 200]
"""
    )
    app.has_recorded(app.PIN, month="2026-07")
    app.pytest().assert_outcomes(passed=4)


def test_values_arrive_as_those_of_the_server(app_once):
    """Read through the fixture and through the app's client, which has the JSON."""
    app = app_once
    app.locks(typed(*EVERY_TYPE, variables=()))
    app.suite(
        HEAD
        + f"""
HUGE = 2**200
ROW = dict(
    i=HUGE, f=0.5, d=Decimal("12.30"), s="é\\0", t=datetime(2026, 7, 1, 12), day=date(2149, 6, 7), b=True,
    a=[1, None], any_array=["x", 1], pair=("x", Decimal("0.1")), map={{"x": 1}}, any_json={{"k": [None]}}, u="?",
)
NULLS = dict.fromkeys({[column.name for column in EVERY_TYPE if column.type != "array"]}) | {{"a": [], "any_array": []}}

def test_fixture(endpoints):
    endpoints.stub("revenue", rows=[ROW, NULLS])
    rows = endpoints("revenue")
    first, nulls = rows.as_dicts()
    assert first == ROW | {{"t": datetime(2026, 7, 1, 12, tzinfo=timezone.utc), "pair": ["x", Decimal("0.1")]}}
    assert nulls == NULLS
    assert rows.types == (
        "Nullable(Int256)", "Float64", "Nullable(Decimal(76, 2))", "Nullable(String)", "Nullable(DateTime64(6, 'UTC'))",
        "Nullable(Date32)", "Nullable(Bool)", "Array(Nullable(Int64))", "Array(Dynamic)",
        "Nullable(Tuple(String, Decimal(76, 2)))", "Nullable(Map(String, Int64))",
        "Nullable(Map(String, Dynamic))", "Dynamic",
    )

def test_client(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[ROW])
    with Endpoints.from_lock() as client:
        rows = client.run("revenue")
        assert rows[0].i == HUGE and rows[0].pair == ["x", Decimal("0.1")]
        assert rows.raw["results"][0][2:6] == ["12.30", "é\\0", "2026-07-01T12:00:00Z", "2149-06-07"]

def test_nan_is_null_as_in_the_json_of_the_server(endpoints):
    endpoints.stub("revenue", rows=[ROW | {{"f": float("nan")}}, ROW | {{"f": float("-inf")}}, ROW | {{"f": 1}}])
    assert endpoints("revenue").column("f") == [None, None, 1.0]
"""
    )
    result = app.pytest()
    result.assert_outcomes(passed=3)


STRICT = (
    PinnedColumn(name="plan", type="string", nullable=False),
    PinnedColumn(name="mrr", type="decimal", nullable=True),
    PinnedColumn(name="tags", type="array", full="Array(string)"),
)
GOOD = {"plan": "pro", "mrr": None, "tags": []}
MISTAKES = [
    ([{**GOOD, "plan": None}], 'column "plan" is null, and the lock says never'),
    ([{**GOOD, "plan": 7}], 'column "plan" is a string in the lock, and 7 in the stub'),
    ([{**GOOD, "mrr": "much"}], "column \"mrr\" is a decimal in the lock, and 'much' in the stub"),
    ([{**GOOD, "mrr": True}], 'column "mrr" is a decimal in the lock, and True in the stub'),
    ([{**GOOD, "mrr": "NaN"}], 'column "mrr" is NaN, which is no decimal'),
    (
        [{**GOOD, "mrr": "1" * 77}],
        'column "mrr" has decimals of 77 digits before and 0 after the point: ClickHouse has 76',
    ),
    (
        [{**GOOD, "mrr": "1" * 70}, {**GOOD, "mrr": "0." + "1" * 7}],
        'column "mrr" has decimals of 70 digits before and 7 after the point: ClickHouse has 76',
    ),
    ([{**GOOD, "tags": None}], 'column "tags" is null, which an array never is'),
    ([{**GOOD, "tags": "x"}], "column \"tags\" is a list in the lock, and 'x' in the stub"),
    ([{**GOOD, "tags": [1]}], 'column "tags" is a string in the lock, and 1 in the stub'),
    ([{"mrr": None, "tags": []}], 'the stub has no column "plan"'),
    ([{**GOOD, "mmr": 1}], "the pin has no column \"mmr\"; did you mean 'mrr'?"),
    ([["pro", None]], "row 0 has 2 values for 3 columns"),
    ([GOOD, "pro"], "row 1 is no row: a dictionary, or values in the order of the columns"),
    (GOOD, "rows is a list of rows"),
    ("pro", "rows is a list of rows"),
]


def test_integers_that_no_type_holds(app_once):
    app = app_once
    app.locks(typed(PinnedColumn(name="n", type="integer"), variables=()))
    app.suite(
        HEAD
        + """
def test_each(endpoints):
    for n in (-(2**255), 2**256 - 1):
        endpoints.stub("revenue", rows=[[n]])
        assert endpoints("revenue").column("n") == [n]
    with pytest.raises(StubInvalid, match="more than 256 bits"):
        endpoints.stub("revenue", rows=[[2**256]])

def test_both(endpoints):
    with pytest.raises(StubInvalid, match="no type of ClickHouse holds both"):
        endpoints.stub("revenue", rows=[[-1], [2**256 - 1]])
"""
    )
    app.pytest().assert_outcomes(passed=2)


@pytest.mark.parametrize(("rows", "problem"), MISTAKES, ids=[problem[:40] for _, problem in MISTAKES])
def test_rows_that_the_pin_does_not_allow_fail_the_test(app_once, rows, problem):
    app = app_once
    app.locks(typed(*STRICT))
    app.suite(f"def test_it(endpoints):\n    endpoints.stub('revenue', rows={rows!r})\n")
    result = app.pytest()
    result.assert_outcomes(failed=1)
    verdict = f"revenue@1: {problem}"
    assert app.failure(result).splitlines()[0] == (verdict if len(verdict) <= 80 else f"{verdict[:79]}…")
    assert verdict in app.output(result)


def test_the_message_says_what_the_pin_promises(app_once):
    app = app_once
    app.locks(typed(*STRICT))
    app.suite("def test_it(endpoints):\n    endpoints.stub('revenue', rows=[{'plan': None, 'mrr': 'x', 'tags': []}])\n")
    assert app.failure(app.pytest()) == (
        'revenue@1: column "plan" is null, and the lock says never\n'
        "  expected   plan: string, never null · mrr: decimal · tags: Array(string)     endpoints.lock\n"
        "  received   row 0: {'plan': None, 'mrr': 'x', 'tags': []}\n"
        "  also       column \"mrr\" is a decimal in the lock, and 'x' in the stub\n"
        "  by         test_app.py::test_it\n"
        "  defined    endpoints.lock:5\n"
        "  fix        change the stub, then\n"
        "  next       pytest test_app.py::test_it"
    )


def test_wrong_arguments(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
@pytest.mark.parametrize("how", [{}, {"rows": [], "status": 429}, {"status": 200}, {"rows": [], "retry_after": 1}])
def test_no_answer(endpoints, how):
    with pytest.raises(ValueError, match="status|retry_after"):
        endpoints.stub("revenue", **how)

def test_no_such_pin(endpoints):
    with pytest.raises(NotPinned, match="did you mean 'revenue'"):
        endpoints.stub("revenu", rows=[])

def test_variables(endpoints):
    with pytest.raises(VariableUndeclared, match="did you mean 'month'"):
        endpoints.stub("revenue", rows=[], variables={"moth": "2026-07"})
    with pytest.raises(VariableMistyped):
        endpoints.stub("revenue", rows=[], variables={"month": 7})

def test_the_variables_of_a_call_are_checked(endpoints):
    endpoints.stub("revenue", rows=[row(7)], optional=True)
    with pytest.raises(VariableUndeclared):
        endpoints("revenue", moth="2026-07")

def test_fail(endpoints_server):
    with pytest.raises(ValueError, match="from 400 to 599, not 200"):
        endpoints_server.fail("revenue", status=200)

@pytest.mark.parametrize("seconds", [-1, 0.5, "1", True])
def test_retry_after(endpoints, endpoints_server, seconds):
    for rehearse in (endpoints.stub, endpoints_server.answer, endpoints_server.fail):
        with pytest.raises(ValueError, match="retry_after is a whole number of seconds, at least 0, not "):
            rehearse("revenue", status=429, retry_after=seconds)
"""
    )
    app.pytest().assert_outcomes(passed=12)


def test_a_part_of_the_variables_is_enough(app_once):
    """A stub names the variables that tell calls apart, also where the version requires others."""
    app = app_once
    more = PinnedVariable(name="plan", type="String", required=True)
    app.locks(replace(app.PIN, variables=(*app.PIN.variables, more)))
    app.suite(
        HEAD
        + """
def test_it(endpoints):
    endpoints.stub("revenue", rows=[row(7)], variables={"month": "2026-07"})
    assert endpoints("revenue", plan="pro").column("mrr") == [7]
"""
    )
    app.pytest().assert_outcomes(passed=1)


def test_more_rows_than_the_server_sends_in_one_answer_are_cut_as_live(app_once):
    app = app_once
    query = {"kind": "HogQLQuery", "query": "SELECT plan, mrr, month FROM t ORDER BY plan"}
    app.locks(replace(app.PIN, query=query))
    app.suite(
        HEAD
        + """
def test_it(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[row(n) for n in range(101)])
    with pytest.raises(RowsCut, match="the answer is cut after 100 rows"):
        endpoints("revenue")
    assert len(endpoints("revenue", _limit=200)) == 101
"""
    )
    app.pytest().assert_outcomes(passed=1)
    app.locks(app.PIN)  # the query has a LIMIT
    app.suite(
        HEAD
        + """
def test_it(endpoints):
    endpoints.stub("revenue", rows=[row(n) for n in range(101)])
    assert len(endpoints("revenue")) == 101
"""
    )
    app.pytest().assert_outcomes(passed=1)


def test_insights(app_once):
    app = app_once
    app.locks(replace(app.PIN, query={"kind": "TrendsQuery"}, columns=None, variables=()))
    app.suite(
        HEAD
        + """
SERIES = {"label": "signup", "data": [1, 2], "days": ["2026-07-01", "2026-07-02"], "labels": ["1", "2"], "count": 3}

def test_it(endpoints, endpoints_env):
    endpoints.stub("revenue", rows=[SERIES])
    (series,) = endpoints("revenue")
    assert series.data == (1, 2)
    with Endpoints.from_lock() as client:
        assert client.run("revenue")[0].days == ("2026-07-01", "2026-07-02")

def test_wrong(endpoints):
    with pytest.raises(StubInvalid, match="data") as caught:
        endpoints.stub("revenue", rows=[{"label": "signup"}])
    assert ("expected", "the results of a TrendsQuery     endpoints.lock") in caught.value.details
"""
    )
    app.pytest().assert_outcomes(passed=2)


UNMET = """
def test_unmet(endpoints):
    endpoints.stub("revenue", rows=[row(7)])

def test_unmet_answer(endpoints):
    endpoints.stub("revenue", rows=[]).then(rows=[row(7)]).then(status=429)
    endpoints("revenue")
    endpoints("revenue")

def test_other_variables(endpoints):
    endpoints.stub("revenue", rows=[], variables={"month": "2026-08"})
    endpoints("revenue", month="2026-07")

def test_optional(endpoints):
    endpoints.stub("revenue", rows=[], optional=True)
"""


def test_a_stub_that_no_call_asks_for_fails_its_test(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(HEAD + UNMET)
    result = app.pytest()
    result.assert_outcomes(passed=4, errors=3)
    verdicts = {line for line in result.outlines if line.startswith("revenue: ")}
    assert verdicts == {"revenue: no call met the stub", "revenue: calls met 2 of the stub's 3 answers"}


def test_the_message_of_an_unmet_stub(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite("def test_it(endpoints):\n    endpoints.stub('revenue', rows=[], variables={'month': '2026-08'})\n")
    assert app.failure(app.pytest()) == (
        "revenue: no call met the stub\n"
        "  by         test_app.py::test_it\n"
        '  expected   a call of revenue with {"month":"2026-08"}; optional=True expects none\n'
        "  received   no such call\n"
        "  next       pytest test_app.py::test_it"
    )


PROOF = """
def test_real(endpoints):
    assert endpoints("revenue", month="2026-07")[0].plan == "pro"

def test_stubbed(endpoints):
    endpoints.stub("revenue", rows=[row(7)])
    assert endpoints("revenue", month="1999-01")[0].mrr == 7

def test_failed(endpoints):
    endpoints.stub("revenue", rows=[row(7)])
    assert endpoints("revenue")[0].mrr == 8
"""


def test_evidence_counts_no_stubbed_call(app):
    """The columns that the app reads of a stub count: a break in them would hit it."""
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(HEAD + PROOF)
    app.pytest("--endpoints-evidence=evidence.json", "--endpoints-report=report.json").assert_outcomes(
        passed=2, failed=1
    )
    (pin,) = json.loads((app.folder / "evidence.json").read_text())["pins"]
    assert pin["tests"] == [{"outcome": "passed", "test": "test_app.py::test_real"}]
    assert pin["variables"] == [{"month": "2026-07"}]
    assert pin["columns_read"] == ["mrr", "plan"]
    report = json.loads((app.folder / "report.json").read_text())
    assert (report["summary"]["calls"], report["summary"]["stubbed_calls"], report["summary"]["pins_called"]) == (
        3,
        2,
        1,
    )
    assert sorted(call["mode"] for call in report["calls"]) == ["replay", "stub", "stub"]


def test_a_suite_of_stubs_exercises_nothing(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(HEAD + "def test_it(endpoints):\n    endpoints.stub('revenue', rows=[])\n    endpoints('revenue')\n")
    app.pytest("--endpoints-evidence=evidence.json").assert_outcomes(passed=1)
    (pin,) = json.loads((app.folder / "evidence.json").read_text())["pins"]
    assert (pin["tests"], pin["variables"]) == ([], [])


def test_a_recording_that_only_a_stub_stands_in_for_is_unused(app_once):
    app = app_once
    app.locks(app.PIN)
    recording = app.has_recorded(app.PIN, month="2026-07")
    stub = "    endpoints.stub('revenue', rows=[])\n    endpoints('revenue', month='2026-07')\n"
    app.suite(f"def test_it(endpoints):\n{stub}def test_other(endpoints):\n    endpoints('revenue')\n")
    other = app.has_recorded(app.PIN)
    app.pytest("--endpoints-prune").assert_outcomes(passed=2)
    assert (recording.exists(), other.exists()) == (False, True)


def test_a_case_is_not_answered_by_a_stub(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(
        HEAD
        + """
def test_contract(endpoint_case, endpoints):
    endpoints.stub("revenue", rows=[row(7)], optional=True)
    with pytest.raises(NoRecording):
        endpoint_case.check()
"""
    )
    app.pytest().assert_outcomes(passed=1)


def test_the_canary_compares_no_stub(app_once):
    """And a canary that compared nothing fails the run, whatever the tests say."""
    app = app_once
    app.pinned()
    app.suite(HEAD + "def test_it(endpoints):\n    endpoints.stub('revenue', rows=[])\n    endpoints('revenue')\n")
    result = app.pytest("--endpoints-canary=latest", env={KEY: app.server.key})
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    assert any("nothing was compared, which proves nothing" in line for line in result.outlines)


def test_an_attempt_has_stubs_of_its_own(app_once):
    """A test that is run again begins without the stubs of the attempt before."""
    app = app_once
    app.locks(app.PIN)
    app.write(
        "conftest.py",
        """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem, log=False)
    item._initrequest()
    runtestprotocol(item, nextitem=nextitem)
    return True
""",
    )
    app.suite(
        HEAD
        + """
attempts = []

def test_it(endpoints):
    attempts.append(1)
    if len(attempts) == 1:
        endpoints.stub("revenue", rows=[row(7)])
    else:
        with pytest.raises(NoRecording):
            endpoints("revenue")
"""
    )
    app.pytest().assert_outcomes(passed=1)
