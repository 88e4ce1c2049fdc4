"""The evidence of a run for the release gate, and its JSON report."""

from __future__ import annotations

import json
import subprocess

import pytest
from pytest_endpoints_gitops.call_log import LoggedCall, TestRecord
from pytest_endpoints_gitops.evidence import _exercised as exercised

from endpoints_gitops.codecs.evidence import ExercisedTest, read_evidence
from endpoints_gitops.model.pin import Pin
from tests.plugin.test_swallowed import RERUN
from tests.plugin.ways import TWO_WORKERS

SUITE = """
import pytest

def test_total(endpoints):
    assert endpoints("revenue", month="2026-07").column("mrr") == [120]

def test_plan(endpoints):
    assert endpoints("revenue", month="2026-08")[0].plan == "pro"

@pytest.mark.xfail(strict=True)
def test_expected(endpoints):
    assert endpoints("revenue").column("mrr") == [7]

def test_nothing():
    pass
"""


@pytest.fixture
def proven(app):
    app.pinned()
    app.suite(SUITE)
    app.record()
    return app


def git(app, *words: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    done = subprocess.run(["git", "-C", app.folder, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def committed(app) -> None:
    git(app, "init", "--quiet")
    git(app, "add", "--all")
    git(app, "commit", "--quiet", "--message", "the app")


def evidence(app, *words):
    result = app.pytest("--endpoints-evidence=out/evidence.json", *words)
    path = app.folder / "out" / "evidence.json"
    return result, read_evidence(path.read_bytes(), str(path))


def test_evidence_has_pins_tests_variables_and_columns(proven):
    committed(proven)
    result, written = evidence(proven)
    pin = proven.locked.pins[0]
    assert result.ret == 0
    assert (written.commit, written.tree) == (git(proven, "rev-parse", "HEAD"), git(proven, "rev-parse", "HEAD^{tree}"))
    assert (written.is_dirty, written.mode, written.contract, written.outcome) == (False, "replay", "strict", "passed")
    assert written.partial is None
    assert written.counts == {"passed": 3, "xfailed": 1}
    (one,) = written.pins
    assert (one.name, one.version, one.contract_hash, one.query_hash) == (
        "revenue",
        1,
        pin.contract_hash,
        pin.query_hash,
    )
    assert one.variables == ({"month": "2026-07"}, {"month": "2026-08"}, {})
    assert one.columns_read == ("mrr", "plan")
    assert one.tests == tuple(
        ExercisedTest(test=f"test_app.py::{name}", outcome=outcome)
        for name, outcome in (("test_expected", "xfailed"), ("test_plan", "passed"), ("test_total", "passed"))
    )


APP_ALONE = """
import os, urllib.request

def test_app(endpoints_env):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    headers = {"Authorization": f"Bearer {os.environ['APP_KEY']}"}
    urllib.request.urlopen(urllib.request.Request(url, headers=headers)).close()
    assert True
"""


def test_calls_of_the_apps_own_client_are_evidence(proven):
    """In a run in which no test uses another fixture than `endpoints_env`; pruning keeps what the app's calls used."""
    proven.suite(APP_ALONE)
    result, written = evidence(proven)
    assert written.pins[0].tests == (ExercisedTest(test="test_app.py::test_app", outcome="passed"),)
    assert "1 call of 1 pinned version in 1 test" in "\n".join(result.outlines)

    proven.suite(APP_ALONE.replace("assert True", "assert False"))
    _, written = evidence(proven)
    assert written.pins[0].tests == (ExercisedTest(test="test_app.py::test_app", outcome="failed"),)

    proven.suite(APP_ALONE)
    assert proven.pytest("--endpoints-prune").ret == 0
    assert proven.pytest().ret == 0


def test_a_failing_run_writes_evidence_too(proven):
    proven.suite(SUITE.replace("[120]", "[121]"))
    result, written = evidence(proven)
    assert (result.ret, written.outcome, written.counts["failed"]) == (1, "failed", 1)
    assert {test.outcome for test in written.pins[0].tests} == {"failed", "passed", "xfailed"}


def test_evidence_of_a_partial_run_says_so(proven):
    _, written = evidence(proven, "-k", "total")
    assert written.partial is not None
    assert [test.test for test in written.pins[0].tests] == ["test_app.py::test_total"]


def test_only_changed_tracked_files_make_it_dirty(app_once):
    app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    app_once.write(".gitignore", "__pycache__\n")
    committed(app_once)
    app_once.write("untracked.txt", "nobody asked")
    assert not evidence(app_once)[1].is_dirty
    git(app_once, "add", "--force", "out")
    git(app_once, "commit", "--quiet", "--message", "the evidence itself")
    assert not evidence(app_once)[1].is_dirty
    app_once.suite(SUITE + "\n")
    result, written = evidence(app_once)
    assert written.is_dirty
    assert "evidence: the checkout is dirty, 1 changed: test_app.py" in result.outlines


MOVING = """
import subprocess
from pathlib import Path

def test_total(endpoints):
    assert endpoints("revenue").column("mrr") == [120]

def test_meanwhile():
    {action}
"""
MEANWHILE = {
    "a commit": (
        "subprocess.run('git -c user.name=n -c user.email=e commit -q --allow-empty -m x'.split())",
        "HEAD",
    ),
    "another lock": (
        "Path('endpoints.lock').write_text(Path('endpoints.lock').read_text() + '# moved\\n')",
        "endpoints.lock",
    ),
}


@pytest.mark.parametrize(("action", "changed"), MEANWHILE.values(), ids=MEANWHILE)
def test_what_moves_during_the_run_makes_it_dirty(app_once, action, changed):
    app_once.pinned()
    app_once.suite(MOVING.format(action="pass"))
    app_once.record()
    app_once.suite(MOVING.format(action=action))
    app_once.write(".gitignore", "endpoints.lock\nout\n__pycache__\n.pytest_cache\n")
    committed(app_once)
    result, written = evidence(app_once)
    assert (result.ret, written.outcome, written.is_dirty) == (0, "passed", True)
    assert f"evidence: the checkout is dirty, 1 changed: {changed}" in result.outlines


OTHER = {
    "lock": ("other/endpoints.lock", "test", "orders", 1),
    "environment": ("endpoints.lock", "prod", "orders", 1),
    "endpoint": ("endpoints.lock", "test", "invoices", 1),
    "version": ("endpoints.lock", "test", "orders", 2),
}


@pytest.mark.parametrize("called", OTHER.values(), ids=OTHER)
def test_a_call_of_another_pin_is_no_evidence(called):
    query = {"kind": "HogQLQuery", "query": "SELECT 1 AS n"}
    pin = Pin(
        environment="test", name="orders", endpoint_id="a", version=1, version_id="b", created_at=None, query=query
    )
    calls = [
        LoggedCall(
            lock=lock, environment=place, endpoint=name, version=number, variables={}, mode="live", is_answered=True
        )
        for lock, place, name, number in (("endpoints.lock", "test", "orders", 1), called)
    ]
    records = {f"test_{index}": TestRecord(outcome="passed", calls=[call]) for index, call in enumerate(calls)}
    assert [test.test for test in exercised("endpoints.lock", pin, records).tests] == ["test_0"]


EXPECTED_FAILURES = """
import pytest
from pytest_endpoints_gitops import Failure

def test_unanswered(endpoints):
    with pytest.raises(Failure):
        endpoints("revenue", month="1900-01")

{more}
"""


@pytest.mark.parametrize(
    ("more", "tests"),
    [
        ("", ()),
        ("def test_answered(endpoints):\n    assert endpoints('revenue')", ("test_app.py::test_answered",)),
    ],
    ids=["alone", "beside a test that is answered"],
)
def test_a_test_that_passes_without_an_answer_proves_nothing(proven, more, tests):
    proven.suite(EXPECTED_FAILURES.format(more=more))
    result, written = evidence(proven)
    assert (result.ret, written.outcome) == (0, "passed")
    assert tuple(test.test for test in written.pins[0].tests) == tests


AGAIN = """
attempts = []

def test_flaky(endpoints):
    attempts.append(1)
    if len(attempts) == 1:
        assert endpoints("revenue")
        raise RuntimeError
"""


def test_an_answer_of_an_attempt_that_failed_proves_nothing(proven):
    proven.write("conftest.py", RERUN)
    proven.suite(AGAIN)
    result, written = evidence(proven)
    assert (result.ret, written.outcome, written.pins[0].tests) == (0, "passed", ())
    proven.suite(AGAIN.replace("if len", 'assert endpoints("revenue")\n    if len'))
    assert [test.outcome for test in evidence(proven)[1].pins[0].tests] == ["passed"]


CRASH = """
import os
import pytest

@pytest.fixture
def crashing():
    yield
    os._exit(1)

def test_total(endpoints, crashing):
    assert endpoints("revenue").column("mrr") == [120]
"""


def test_a_test_whose_worker_crashes_after_it_passed_has_failed(app_once):
    app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    app_once.way = TWO_WORKERS  # without workers the whole run ends
    app_once.suite(CRASH)
    result, written = evidence(app_once)
    assert (result.ret, written.outcome) == (1, "failed")
    assert [test.outcome for test in written.pins[0].tests] == ["failed"]


def test_without_git_there_is_no_commit(app_once):
    app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    _, written = evidence(app_once)
    assert (written.commit, written.tree, written.is_dirty) == (None, None, False)


def test_evidence_that_cannot_be_written_fails_the_run(app_once):
    app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    app_once.write("out", "a file where a folder should be")
    result = app_once.pytest("--endpoints-evidence=out/evidence.json")
    assert result.ret == 1
    assert any("was not written" in line for line in result.outlines)


def test_the_report_holds_calls_failures_and_counts(proven):
    proven.suite(SUITE.replace('month="2026-08"', 'moth="2026-08"'))
    result = proven.pytest("--endpoints-report=report.json")
    report = json.loads((proven.folder / "report.json").read_text(encoding="utf-8"))
    assert (report["exit_code"], report["ok"]) == (result.ret, False) == (1, False)
    assert report["summary"]["tests"] == {"failed": 1, "passed": 2, "xfailed": 1}
    assert [call["test"] for call in report["calls"]] == ["test_app.py::test_expected", "test_app.py::test_total"]
    assert [(one["code"], one["where"]) for one in report["errors"]] == [
        ("VariableUndeclared", "test_app.py::test_plan")
    ]


def test_the_gate_releases_what_a_run_proved(app_once):
    app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    app_once.write(".gitignore", "__pycache__\nout\nendpoints.lock\n")
    committed(app_once)
    git(app_once, "tag", "v1")
    app_once.write(".gitignore", "__pycache__\nout\n")
    git(app_once, "add", "--all")
    git(app_once, "commit", "--quiet", "--message", "pin it")
    gate = ("gate", "--against", "v1", "--evidence", "out/evidence.json")
    assert evidence(app_once)[0].ret == 0
    app_once.command(*gate)
    app_once.suite(SUITE.replace("[120]", "[121]"))
    git(app_once, "commit", "--quiet", "--all", "--message", "break a test")
    assert evidence(app_once)[0].ret == 1
    with pytest.raises(AssertionError, match="gate"):
        app_once.command(*gate)
    evidence(app_once, "-k", "plan")
    app_once.command(*gate)
