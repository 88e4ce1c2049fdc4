"""Data of module- and session-scoped fixtures: called once, and counted for the tests that use it."""

from __future__ import annotations

import json

import pytest

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def july(endpoints_session):
    return endpoints_session("revenue", month="2026-07")

@pytest.fixture(scope="module")
def total(july):
    return sum(july.column("mrr"))

@pytest.fixture(scope="module")
def august(endpoints_session):
    return endpoints_session.run("revenue", month="2026-08")
"""
SUITE = """
import pytest
from pytest_endpoints_gitops import StubInvalid

def test_direct(july):
    assert july[0].plan == "pro"

def test_through_another(total):
    assert total == 120

def test_other(august):
    assert len(august) == 1

def test_none():
    assert True

def test_by_name(request):
    assert len(request.getfixturevalue("august")) == 1

def test_own(endpoints_session):
    assert len(endpoints_session("revenue", month="2026-09")) == 1
"""


@pytest.fixture
def recorded(app):
    app.locks(app.PIN)
    for month in ("2026-07", "2026-08", "2026-09"):
        app.has_recorded(app.PIN, month=month)
    app.write("conftest.py", CONFTEST)
    return app


@pytest.fixture
def recorded_once(app_once):
    app_once.locks(app_once.PIN)
    for month in ("2026-07", "2026-08", "2026-09"):
        app_once.has_recorded(app_once.PIN, month=month)
    app_once.write("conftest.py", CONFTEST)
    return app_once


def calls_of(app):
    """The months that the report has for each test, with the fixture that called."""
    report = json.loads((app.folder / "report.json").read_text())
    calls: dict[str, list[tuple[str, str | None]]] = {}
    for call in report["calls"]:
        name = call["test"].rpartition("::")[2]
        calls.setdefault(name, []).append((call["variables"]["month"], call["fixture"]))
    return calls


def test_a_call_counts_for_each_test_that_uses_the_fixture(recorded):
    recorded.suite(SUITE)
    result = recorded.pytest("--endpoints-report=report.json", "--endpoints-evidence=evidence.json")
    result.assert_outcomes(passed=6)
    assert calls_of(recorded) == {
        "test_direct": [("2026-07", "july")],
        "test_through_another": [("2026-07", "july")],
        "test_other": [("2026-08", "august")],
        "test_by_name": [("2026-08", "august")],
        "test_own": [("2026-09", None)],
    }
    result.stdout.fnmatch_lines(["3 calls of 1 pinned version in 5 tests, nothing asked of the server"])
    (pin,) = json.loads((recorded.folder / "evidence.json").read_text())["pins"]
    names = ["test_by_name", "test_direct", "test_other", "test_own", "test_through_another"]
    assert pin["tests"] == [{"outcome": "passed", "test": f"test_app.py::{name}"} for name in names]
    assert pin["columns_read"] == ["mrr", "plan"]


def test_a_live_call_is_made_once(app):
    app.pinned()
    app.write("conftest.py", CONFTEST)
    app.suite(SUITE)
    app.pytest("--endpoints=live", key=app.server.key).assert_outcomes(passed=6)
    assert app.runs() == 3


def test_a_missing_recording_fails_each_test(recorded):
    recorded.recording(recorded.PIN, month="2026-07").unlink()
    recorded.suite(SUITE)
    result = recorded.pytest()
    result.assert_outcomes(passed=4, errors=2)
    errors = [line for line in result.outlines if line.startswith("ERROR ")]
    assert len(errors) == 2
    assert all("revenue@1: no recording of this call" in line for line in errors)


def test_a_column_that_is_unknown_fails_the_test_that_reads_it(recorded_once):
    recorded_once.suite(
        "def test_first(july):\n    assert july[0].mrr == 120\n"
        "def test_second(july):\n    try:\n        july[0].arr\n    except AttributeError:\n        pass\n"
    )
    result = recorded_once.pytest()
    result.assert_outcomes(passed=2, errors=1)
    assert "read by    test_app.py::test_second" in recorded_once.failure(result)


def test_stubs_and_marks_of_a_test_do_not_reach_the_data_of_all(recorded_once):
    recorded_once.suite(
        """
import pytest
from pytest_endpoints_gitops import StubInvalid

@pytest.fixture
def stubbed(endpoints):
    endpoints.stub("revenue", rows=[], optional=True)

@pytest.mark.endpoints(mode="live")
def test_it(stubbed, request):
    assert request.getfixturevalue("july")[0].mrr == 120

def test_refused(endpoints_session):
    with pytest.raises(StubInvalid, match="a stub belongs to one test, and endpoints_session to all"):
        endpoints_session.stub("revenue", rows=[])
"""
    )
    recorded_once.pytest().assert_outcomes(passed=2)


def test_a_parametrized_fixture_counts_for_the_tests_of_its_value(recorded_once):
    recorded_once.suite(
        """
import pytest

@pytest.fixture(scope="module", params=["2026-07", "2026-08"])
def rows(request, endpoints_session):
    return endpoints_session("revenue", month=request.param)

def test_it(rows):
    assert len(rows) == 1
"""
    )
    recorded_once.pytest("--endpoints-report=report.json").assert_outcomes(passed=2)
    assert calls_of(recorded_once) == {
        "test_it[2026-07]": [("2026-07", "rows")],
        "test_it[2026-08]": [("2026-08", "rows")],
    }


def test_a_recording_is_not_replaced_where_a_test_that_uses_it_fails(app_once):
    app = app_once
    app.pinned()
    app.write("conftest.py", CONFTEST)
    path = app.has_recorded(app.locked.pins[0], ["old", 1, "2026-07"], month="2026-07")
    before = path.read_bytes()
    app.suite("def test_good(july):\n    assert july[0].mrr == 120\ndef test_bad(july):\n    assert not july\n")
    app.pytest("--endpoints=refresh", key=app.server.key).assert_outcomes(passed=1, failed=1)
    assert path.read_bytes() == before
    app.suite("def test_good(july):\n    assert july[0].mrr == 120\ndef test_other(july):\n    assert july\n")
    app.pytest("--endpoints=refresh", key=app.server.key).assert_outcomes(passed=2)
    assert b'"pro"' in path.read_bytes()


def test_outside_of_a_test_it_says_so(recorded_once):
    recorded_once.suite(
        """
kept = []

def test_it(endpoints_session):
    kept.append(endpoints_session)
"""
    )
    recorded_once.write(
        "conftest.py",
        """
import pytest

def pytest_sessionfinish(session):
    import test_app
    with pytest.raises(RuntimeError, match="endpoints_session belongs to a run of tests, and none runs"):
        test_app.kept[0]("revenue")
    print("REFUSED")
""",
    )
    recorded_once.pytester.syspathinsert()
    result = recorded_once.pytest("-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*REFUSED*"])
