"""The modes: where answers come from, what is called, and what is written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from endpoints_gitops.local.faults import Effect, Fault

SUITE = """
def test_total(endpoints):
    rows = endpoints("revenue", month="2026-07")
    assert rows.column("mrr") == [120]
    assert rows[0].plan == "pro"
    assert endpoints.version("revenue") == 1
"""
TWICE = """
import pytest

@pytest.mark.parametrize("month", ["2026-06", "2026-07"])
@pytest.mark.parametrize("again", range(4))
def test_total(endpoints, month, again):
    assert endpoints("revenue", month=month).column("month") == [month]
"""


def test_recordings_are_replayed_without_a_key(app):
    pin = app.pinned()
    app.suite(SUITE)
    app.record()
    assert app.recordings() == [app.recording(pin, month="2026-07").relative_to(app.folder / "recordings").as_posix()]
    before = app.runs()
    app.pytest().assert_outcomes(passed=1)
    assert app.runs() == before


def test_a_recording_has_only_the_allowed_keys_and_one_row_a_line(app_once):
    pin = app_once.pinned()
    app_once.suite(SUITE)
    app_once.record()
    written = app_once.recording(pin, month="2026-07").read_text()
    assert (
        said_date(written)
        == f"""\
{{
  "endpoint": "revenue",
  "version": 1,
  "version_id": "{pin.version_id}",
  "variables": {{"month": "2026-07"}},
  "recorded_on": "TODAY",
  "query_hash": "{pin.query_hash}",
  "columns": ["plan", "mrr", "month"],
  "types": [["plan", "String"], ["mrr", "UInt8"], ["month", "String"]],
  "rows": [
    ["pro", 120, "2026-07"]
  ],
  "digest": "{json.loads(written)["digest"]}"
}}
"""
    )


def said_date(text: str) -> str:
    recorded = json.loads(text)["recorded_on"]
    return text.replace(f'"recorded_on": "{recorded}"', '"recorded_on": "TODAY"')


@pytest.mark.parametrize("mode", ["record", "refresh", "live"])
def test_distinct_calls_are_made_once_by_all_workers_together(app, mode: str):
    app.pinned()
    app.suite(TWICE)
    result = app.pytest(f"--endpoints={mode}", key=app.server.key)
    result.assert_outcomes(passed=8)
    assert app.runs() == 2
    assert "8 calls of 1 pinned version in 8 tests, 2 live calls" in app.output(result)
    assert len(app.recordings()) == (0 if mode == "live" else 2)


def test_record_does_not_repeat_recorded_calls(app):
    app.pinned()
    app.suite(SUITE)
    app.record()
    app.record()
    assert app.runs() == 1


def test_refresh_replaces_recordings_only_for_tests_that_passed(app):
    pin = app.pinned()
    app.suite(TWICE)
    app.record()
    good, bad = (app.recording(pin, month=month) for month in ("2026-06", "2026-07"))
    old = {path: path.read_text().replace('"pro", 120', '"pro", 7') for path in (good, bad)}
    for path, content in old.items():
        path.write_text(content)
    app.suite(TWICE.replace("== [month]", '== [month] and not (again == 3 and month == "2026-07")'))
    result = app.pytest("--endpoints=refresh", key=app.server.key)
    result.assert_outcomes(passed=7, failed=1)
    assert '["pro", 120, ' in good.read_text()
    assert bad.read_text() == old[bad]
    assert "1 recording replaced; 1 recording not replaced: a test that asked did not pass" in app.output(result)


def test_a_failed_live_call_is_not_repeated(app):
    app.pinned()
    app.suite(TWICE)
    app.command("deactivate", "revenue", "--yes", "--quiet")
    result = app.pytest("--endpoints=live", key=app.server.key)
    result.assert_outcomes(failed=8)
    assert app.runs() == 2


def test_the_ceiling_holds_for_the_whole_run(app):
    app.pinned()
    app.suite(TWICE)
    result = app.pytest("--endpoints=live", "--endpoints-max-calls=1", key=app.server.key)
    result.assert_outcomes(passed=4, failed=4)
    assert app.runs() == 1
    assert "revenue@1: this run has made all of its 1 live calls" in app.output(result)
    assert "pytest --endpoints=live --endpoints-max-calls=2" in app.output(result)


@pytest.mark.parametrize("mode", ["record", "refresh"])
def test_writing_is_refused_in_ci_before_any_call(app, mode: str):
    app.pinned()
    app.suite(SUITE)
    result = app.pytest(f"--endpoints={mode}", key=app.server.key, env={"CI": "true"})
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--endpoints={mode} is refused where CI is set" in "\n".join(result.errlines)
    assert app.runs() == 0
    assert not app.recordings()


def test_live_is_redacted_like_a_recording(app):
    app.pinned()
    app.write(
        "conftest.py",
        "import pytest\n"
        "from pytest_endpoints_gitops import EndpointsConfig\n"
        "@pytest.fixture(scope='session')\n"
        "def endpoints_config():\n"
        "    return EndpointsConfig(redact={'plan': 'somebody', 'mrr': lambda value: value + 1})\n",
    )
    app.suite(SUITE.replace("[120]", "[121]").replace('"pro"', '"somebody"'))
    for words in (["--endpoints=live"], ["--endpoints=record"], []):
        app.pytest(*words, key=app.server.key).assert_outcomes(passed=1)
    assert '["somebody", 121, "2026-07"]' in (app.folder / "recordings" / app.recordings()[0]).read_text()


def test_the_closest_marker_sets_the_mode_of_a_test(app):
    app.pinned()
    app.suite(
        "import pytest\n"
        "pytestmark = pytest.mark.endpoints(mode='replay')\n"
        "@pytest.mark.endpoints(mode='live')\n"
        "def test_live(endpoints):\n"
        "    assert endpoints('revenue').column('mrr') == [120]\n"
        "def test_replayed(endpoints):\n"
        "    endpoints('revenue')\n"
    )
    result = app.pytest("--endpoints=live", key=app.server.key)
    result.assert_outcomes(passed=1, failed=1)
    assert app.failure(result).startswith("revenue@1: no recording of this call")


def test_a_moved_pin_has_no_recordings_until_it_is_recorded(app):
    old = app.pinned()
    app.suite(SUITE.replace(" == 1", " >= 1"))
    app.record()
    app.push(app.REVENUE.replace("120 AS mrr", "120 AS mrr, 'eur' AS currency"))
    app.command("upgrade", "revenue", "--yes", "--quiet")
    moved = app.locked.pins[0]
    result = app.pytest()
    result.assert_outcomes(failed=1)
    name = app.recording(moved, month="2026-07").name
    assert (
        app.failure(result)
        == f"""\
revenue@2: no recording since the pin moved
  expected   {{"month":"2026-07"}}     recordings/revenue/v2/{name}
  received   the same call of v1     recordings/revenue/v1/{name}
  next       pytest --endpoints=record test_app.py::test_total"""
    )
    app.record()
    result = app.pytest()
    result.assert_outcomes(passed=1)
    assert f"orphaned   recordings/revenue/v1/{name}".replace("recordings/", "") in app.output(result)
    assert old.version == 1


def test_the_key_is_nowhere_after_runs_that_fail_and_retry(app):
    app.pinned()
    app.suite(
        SUITE
        + """
def test_failing(endpoints):
    rows = endpoints("revenue", month="2026-01")
    assert rows == [], endpoints
def test_refused(endpoints):
    endpoints("revenue", month="2026-02")
"""
    )
    busy = Fault(effect=Effect.ERROR, path="*/run", status=503, retry_after=0, nth=1)
    app.server.faults.add(busy, Fault(effect=Effect.ERROR, path="*/run", status=500, nth=3))
    result = app.pytest("--endpoints=record", "-vv", "-l", "--junitxml=junit.xml", key=app.server.key)
    assert result.parseoutcomes()["failed"] >= 1
    assert app.runs() >= 4
    left = (*app.folder.rglob("*"), *Path(os.environ["ENDPOINTS_GITOPS_STATE"]).rglob("*"))
    assert all(app.server.key.encode() not in path.read_bytes() for path in left if path.is_file())
    assert app.server.key not in "\n".join((*result.outlines, *result.errlines))


def test_an_answer_that_holds_a_key_is_not_stored(app):
    app.pinned(app.REVENUE.replace("'pro'", "'phx_0123456789abcdef'"))
    app.suite(SUITE)
    result = app.pytest("--endpoints=record", key=app.server.key)
    output = app.failure(result)
    assert output.startswith("revenue@1: the answer of revenue@1 contains an API key")
    assert output.splitlines()[-1].startswith("  next       pytest --endpoints=record test_app.py::")
    assert not app.recordings()
    assert "phx_0123456789abcdef" not in app.output(result)


def test_the_configured_key_is_not_stored_whatever_its_shape(app_once, monkeypatch):
    app = app_once
    monkeypatch.setattr("endpoints_gitops.codecs.recording._KEY_SHAPED", re.compile(rb"(?!)"))
    app.pinned(app.REVENUE.replace("'pro'", f"'{app.server.key}'"))
    app.suite(SUITE)
    result = app.pytest("--endpoints=record", key=app.server.key)
    assert "contains an API key" in app.failure(result)
    assert not app.recordings()
