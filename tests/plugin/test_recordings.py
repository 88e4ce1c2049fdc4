"""The states of recordings, and what a run reports about recordings that it did not use."""

from __future__ import annotations

import json
import os

import pytest

ONE = """
def test_total(endpoints):
    endpoints("revenue", month="2026-07")
"""
FILE = "revenue/v1/month-2026-07-bf70f6defb4f.json"
OTHER = "revenue/v1/month-2026-06-04ede9a23507.json"


def change(app, **keys):
    """Change a recording as an editor would, without a new digest."""
    path = app.folder / "recordings" / FILE
    known = json.loads(path.read_text())
    known.pop("digest", None)
    path.write_text(json.dumps({**known, **keys}))


def with_two_recordings(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.has_recorded(app.PIN, month="2026-06")
    app.suite(ONE)
    return app


@pytest.fixture
def recorded(app):
    return with_two_recordings(app), app.PIN


@pytest.fixture
def recorded_once(app_once):
    return with_two_recordings(app_once)


def test_a_recording_of_another_query_is_stale(recorded):
    app, pin = recorded
    change(app, query_hash="0" * 32)
    assert (
        app.failure(app.pytest())
        == f"""\
revenue@1: the recording belongs to another query
  expected   query {pin.query_hash[:12]}, version id {pin.version_id}     the lock
  received   query 000000000000, version id {pin.version_id}
  defined    recordings/{FILE}
  next       pytest --endpoints=refresh test_app.py::test_total"""
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    ],
    ids=["fifo", "folder", "device"],
)
def test_a_pipe_or_folder_in_place_of_a_recording_fails_at_once(recorded_once, make, said):
    path = recorded_once.folder / "recordings" / FILE
    path.unlink()
    make(path)
    assert (
        recorded_once.failure(recorded_once.pytest())
        == f"""\
revenue@1: the recording cannot be read
  received   {said}
  defined    recordings/{FILE}
  next       pytest --endpoints=refresh test_app.py::test_total"""
    )


def test_a_recording_of_a_recreated_endpoint_is_stale(recorded_once):
    app = recorded_once
    change(app, version_id="another")
    assert app.failure(app.pytest()).startswith("revenue@1: the recording belongs to another query")


def test_changed_rows_are_not_shared_between_tests(app_once):
    app = with_two_recordings(app_once)
    app.suite("""
from pytest_endpoints_gitops import recordings

def test_total(endpoints, monkeypatch):
    monkeypatch.setattr(recordings, "_SETTLED", -1)  # as if the file were not made just now
    first, second = (endpoints("revenue", month="2026-07") for _ in range(2))
    first._results[0][0] = first._results[-1][0] = "changed"
    third = endpoints("revenue", month="2026-07")
    assert "changed" not in second.column(second.columns[0]) + third.column(third.columns[0])
""")
    app.pytest().assert_outcomes(passed=1)


def test_an_old_recording_is_expired(recorded):
    app, _ = recorded
    change(app, recorded_on="2020-01-01")
    app.pytest().assert_outcomes(passed=1)
    output = app.failure(app.pytest(env={"ENDPOINTS_MAX_AGE": "30"})).splitlines()
    assert output[0].startswith("revenue@1: the recording is ")
    assert output[0].endswith(" days old; the maximum is 30")
    assert output[1:] == [
        "  received   recorded on 2020-01-01",
        f"  defined    recordings/{FILE}",
        "  next       pytest --endpoints=refresh test_app.py::test_total",
    ]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"headers": {}}, "unknown key 'headers'"),
        ({"rows": None}, "rows must be a list"),
        ({"types": ["String"]}, "types.0 must be a pair"),
        ({"recorded_on": "yesterday"}, "recorded_on must be a date such as 2026-07-31"),
        ({"version": True}, "version must be a whole number"),
        ({"limit": 5}, "limit, offset and has_more must be set together"),
    ],
)
def test_an_invalid_recording_is_refused_with_the_reason(app_once, keys, said):
    app_once.locks(app_once.PIN)
    app_once.has_recorded(app_once.PIN, month="2026-07")
    app_once.suite(ONE)
    change(app_once, **keys)
    assert (
        app_once.failure(app_once.pytest())
        == f"""\
revenue@1: the recording cannot be read
  received   {said}
  defined    recordings/{FILE}
  next       pytest --endpoints=refresh test_app.py::test_total"""
    )


def test_a_damaged_recording_fails_the_test_that_needs_it(recorded):
    """One changed digit in a row leaves valid JSON for the same call."""
    app, _ = recorded
    path = app.folder / "recordings" / FILE
    path.write_text(path.read_text().replace("120", "121"))
    result = app.pytest()
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    assert app.failure(result).splitlines() == [
        "revenue@1: the recording cannot be read",
        "  received   the digest does not match the content: the file is damaged or was edited",
        f"  defined    recordings/{FILE}",
        "  next       pytest --endpoints=refresh test_app.py::test_total",
    ]


def test_a_recording_under_another_name_is_not_used(recorded_once):
    app = recorded_once
    change(app, variables={"month": "2026-01"})
    assert (
        app.failure(app.pytest())
        == f"""\
revenue@1: the recording belongs to another call than its name says
  expected   revenue@1 {{"month":"2026-07"}}
  received   revenue@1 {{"month":"2026-01"}}
  defined    recordings/{FILE}
  next       pytest --endpoints=refresh test_app.py::test_total"""
    )


def test_a_missing_recording_names_the_nearest(recorded_once):
    app = recorded_once
    (app.folder / "recordings" / FILE).unlink()
    assert (
        app.failure(app.pytest())
        == f"""\
revenue@1: no recording of this call
  expected   {{"month":"2026-07"}}     recordings/{FILE}
  received   {{"month":"2026-06"}}     recordings/{OTHER}
  next       pytest --endpoints=record test_app.py::test_total"""
    )


def test_a_full_run_lists_unused_recordings_and_only_prune_deletes_them(recorded):
    app, _ = recorded
    output = app.output(app.pytest())
    assert "1 recording unused" in output
    assert f"  unused     {OTHER}\n  next       pytest --endpoints-prune" in output
    assert app.recordings() == sorted([FILE, OTHER])
    assert "1 recording deleted" in app.output(app.pytest("--endpoints-prune"))
    assert app.recordings() == [FILE]


def test_a_recording_of_an_unpinned_version_is_orphaned(recorded_once):
    app = recorded_once
    folder = app.folder / "recordings"
    (folder / "gone" / "v9").mkdir(parents=True)
    (folder / "gone" / "v9" / "x-000000000000.json").write_text("{}")
    (folder / "gone" / "v9" / "notes.json").write_text("{}")
    output = app.output(app.pytest("--endpoints-prune"))
    assert "2 recordings deleted" in output
    assert app.recordings() == ["gone/v9/notes.json", FILE]


PARTIAL = {
    "-k": ("-k", "not else"),
    "-m": ("-m", "endpoints"),
    "a path": ("test_app.py",),
    "a node": ("test_app.py::test_total",),
    "--lf": ("--lf",),
    "--ignore": ("--ignore=other",),
    "--deselect": ("--deselect=test_app.py::test_of_something_else",),
    "-k with everything": ("-k", "test"),
}
ONCE = ("-m", "a node", "--ignore", "--deselect", "-k with everything")


def prune_partially(app, words):
    app.suite(ONE + "\ndef test_of_something_else():\n    pass\n")
    result = app.pytest("--endpoints-prune", *words)
    assert result.ret == 0
    assert "no recording deleted: " in app.output(result)
    assert "unused" not in app.output(result)
    assert app.recordings() == sorted([FILE, OTHER])


@pytest.mark.parametrize("what", [what for what in PARTIAL if what not in ONCE])
def test_a_partial_run_reports_and_deletes_nothing(recorded, what):
    prune_partially(recorded[0], PARTIAL[what])


@pytest.mark.parametrize("what", ONCE)
def test_a_run_of_less_than_all_is_partial(recorded_once, what):
    prune_partially(recorded_once, PARTIAL[what])


@pytest.mark.parametrize("mode", ["live", "local"])
def test_a_mode_without_recordings_does_not_report_them(app_once, mode):
    """These modes do not use recordings, and replaying still needs them."""
    app = app_once
    pin = app.pinned()
    app.has_recorded(pin, month="2026-07")
    app.suite("def test_total(endpoints):\n    endpoints('revenue', month='2026-07')\n")
    result = app.pytest(f"--endpoints={mode}", "--endpoints-prune", key=app.server.key)
    result.assert_outcomes(passed=1)
    assert f"no recording deleted: mode {mode} asks for none" in app.output(result)
    assert app.recordings() == [FILE]


UNFINISHED = {
    "a failure": "def test_fails():\n    assert 0\n",
    "an error": "import pytest\n@pytest.fixture\ndef broken():\n    1 / 0\ndef test_errs(broken):\n    pass\n",
    "a skip": "import pytest\n@pytest.mark.skip\ndef test_skipped(endpoints):\n    pass\n",
    "a skip inside": "import pytest\ndef test_skipped(endpoints):\n    pytest.skip('not today')\n",
    "an expected failure": "import pytest\n@pytest.mark.xfail\ndef test_x(endpoints):\n    assert 0\n",
    "a skipped file": "import pytest\npytest.importorskip('no_such_module')\n",
    "a file that cannot be read": "1 /\n",
}


def prune_unfinished(app, content):
    app.suite(content, "test_more.py")
    assert "no recording deleted: " in app.output(app.pytest("--endpoints-prune"))
    assert app.recordings() == sorted([FILE, OTHER])


@pytest.mark.parametrize("what", ["a failure", "a skip", "a skipped file"])
def test_a_run_in_which_a_test_failed_or_was_skipped_deletes_nothing(recorded, what):
    prune_unfinished(recorded[0], UNFINISHED[what])


@pytest.mark.parametrize("what", ["an error", "a skip inside", "an expected failure", "a file that cannot be read"])
def test_a_run_that_may_be_partial_deletes_nothing(recorded_once, what):
    prune_unfinished(recorded_once, UNFINISHED[what])


def test_a_skipped_test_without_calls_leaves_the_run_full(recorded_once):
    app = recorded_once
    app.suite("import pytest\n@pytest.mark.skip\ndef test_skipped():\n    pass\n", "test_more.py")
    assert "1 recording unused" in app.output(app.pytest())


def test_a_killed_worker_loses_no_results_and_deletes_nothing(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.has_recorded(app.PIN, month="2026-06")
    app.suite(
        "import os, signal, pytest\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_calls(endpoints, number):\n"
        "    endpoints('revenue', month='2026-07')\n"
        "def test_dies():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    app.way = ("-n1", "--max-worker-restart=0")
    output = app.output(app.pytest("--endpoints-prune"))
    assert "6 calls of 1 pinned version in 6 tests" in output
    assert "no recording deleted: " in output
    assert app.recordings() == sorted([FILE, OTHER])
