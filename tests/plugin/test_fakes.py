"""In tests that stop the clock or fake the file system, the plugin uses the real ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

CLOCKS = {
    "freezegun": "@freezegun.freeze_time('2099-01-01')\n",
    "freezegun, the past": "@freezegun.freeze_time('1999-01-01')\n",
    "time-machine": "@time_machine.travel('2099-01-01', tick=False)\n",
    "time-machine, the past": "@time_machine.travel('1999-01-01', tick=False)\n",
}
HEAD = """
import os, urllib.request
import freezegun, pytest, time_machine
from pytest_endpoints_gitops import NoRecording

def ask():
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    body = b'{"variables": {"month": "2026-07"}}'
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return answer.status
"""


@pytest.fixture
def recorded(app_once):
    app_once.locks(app_once.PIN)
    app_once.has_recorded(app_once.PIN, month="2026-07")
    return app_once


@pytest.mark.parametrize("way", [("-p", "no:xdist"), pytest.param(("-n2",), marks=pytest.mark.slow)])
def test_a_stopped_clock_changes_no_answer_and_no_age(recorded, way):
    """In a new process, so that modules would be imported during the first call."""
    tests = "".join(
        f"\n{clock}def test_{number}(endpoints):\n    assert endpoints('revenue', month='2026-07')[0].mrr == 120\n"
        f"\n{clock}def test_{number}_server(endpoints_env):\n    assert ask() == 200\n"
        for number, clock in enumerate(CLOCKS.values())
    )
    recorded.suite(HEAD + tests)
    recorded.pytester.makeini("[pytest]\nendpoints_max_age = 30\n")
    result = recorded.pytester.runpytest_subprocess("-p", "no:randomly", *way)
    result.assert_outcomes(passed=2 * len(CLOCKS))


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_a_recording_has_the_real_date(app_once, clock, monkeypatch):
    """In a new process, so that the clock of the server is not stopped."""
    app = app_once
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("APP_KEY", app.server.key)
    pin = app.pinned()
    app.suite(HEAD + f"\n{clock}def test_it(endpoints):\n    endpoints('revenue', month='2026-07')\n")
    result = app.pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist", "--endpoints=record")
    result.assert_outcomes(passed=1)
    path = app.recording(pin, month="2026-07")
    assert json.loads(path.read_text())["recorded_on"] == datetime.now(UTC).date().isoformat()


def test_a_fake_file_system_hides_neither_lock_nor_recordings(recorded):
    recorded.suite(
        HEAD
        + """
def test_first(fs, endpoints):
    assert endpoints("revenue", month="2026-07")[0].mrr == 120
    assert not os.path.exists("endpoints.lock")
    with open("/made.txt", "w") as file:
        file.write("fake")
    assert endpoints("revenue", month="2026-07").column("mrr") == [120]
    assert os.path.exists("/made.txt")

def test_fixture_before_files(endpoints, fs):
    assert endpoints("revenue", month="2026-07")[0].mrr == 120

def test_paused_stays_paused(fs, endpoints):
    fs.pause()
    endpoints("revenue", month="2026-07")
    assert os.path.exists("endpoints.lock")
    fs.resume()

def test_missing(fs, endpoints):
    with pytest.raises(NoRecording, match="no recording of this call"):
        endpoints("revenue", month="1900-01")

def test_server(fs, endpoints_env):
    assert ask() == 200

def test_case(fs, endpoint_case):
    with pytest.raises(NoRecording):
        endpoint_case.check()
"""
    )
    result = recorded.pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist")
    result.assert_outcomes(passed=6)


def test_modules_are_imported_before_the_first_test_only_where_one_needs_them(recorded):
    recorded.suite(
        "import sys\n"
        "def test_it():\n"
        "    assert 'pytest_endpoints_gitops.recordings' not in sys.modules and 'httpx' not in sys.modules\n"
    )
    recorded.pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist").assert_outcomes(passed=1)


def test_a_replayed_call_imports_neither_models_nor_yaml_nor_the_parser(recorded):
    """These imports take most of a second, and a replayed call needs none of them."""
    recorded.suite(
        "import sys\n"
        "def test_it(endpoints):\n"
        "    assert endpoints('revenue', month='2026-07')[0].mrr == 120\n"
        "    assert not {'pydantic', 'ruamel.yaml', 'httpx', 'hogql_parser_rs'} & set(sys.modules)\n"
    )
    recorded.pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist").assert_outcomes(passed=1)
