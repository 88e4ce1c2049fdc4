"""Options, the order of their sources, and the cost of the plugin when it is not used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_endpoints_gitops.failures import KINDS
from pytest_endpoints_gitops.names import FIXTURES
from pytest_endpoints_gitops.options import OPTIONS

ASK = "def test_it(endpoints):\n    endpoints('revenue')\n"

SOURCES = {
    "default": ((), {}, "", "mode replay (default)"),
    "ini": ((), {}, "live", "mode live (ini endpoints_mode)"),
    "environment over ini": ((), {"ENDPOINTS_MODE": "record"}, "live", "mode record ($ENDPOINTS_MODE)"),
    "option over all": (("--endpoints=local",), {"ENDPOINTS_MODE": "record"}, "live", "mode local (--endpoints)"),
}


@pytest.mark.parametrize(("words", "env", "ini", "message"), SOURCES.values(), ids=SOURCES)
def test_the_closest_source_wins_and_the_header_says_which(app_once, words, env, ini, message):
    app_once.locks(app_once.PIN)
    app_once.suite("def test_it():\n    pass\n")
    if ini:
        app_once.pytester.makeini(f"[pytest]\nendpoints_mode = {ini}\n")
    result = app_once.pytest(*words, env=env)
    assert result.ret == 0
    assert message in app_once.output(result)


def test_workers_have_the_settings_of_the_controller(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN)
    app.suite(ASK)
    app.pytester.makeini("[pytest]\nendpoints_mode = live\nendpoints_recordings = recordings\n")
    app.pytest("--endpoints=replay", "--endpoints-max-age=1").assert_outcomes(passed=1)


WRONG = {
    "mode": ("--endpoints=refres", "--endpoints: mode is one of", "did you mean 'refresh'?"),
    "contract": ("--endpoints-contract=no", "contract is one of strict, warn, off, not 'no'", ""),
    "max age": ("--endpoints-max-age=week", "--endpoints-max-age is a whole number, not 'week'", ""),
    "canary": ("--endpoints-canary=newest", "--endpoints-canary is latest, worktree, off or a version's number", ""),
}


@pytest.mark.parametrize(("word", "message", "more"), WRONG.values(), ids=WRONG)
def test_an_invalid_value_is_a_usage_error(app_once, word, message, more):
    app_once.suite(ASK)
    result = app_once.pytest(word)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    output = "\n".join(result.errlines)
    assert message in output
    assert more in output


def test_help_works_with_a_broken_lock_and_shows_every_option(app_once):
    app_once.write("endpoints.lock", "<<<<<<< ours\n")
    result = app_once.pytest("--help", env={"CI": "1", "ENDPOINTS_MODE": "refresh"})
    assert result.ret == 0
    for word in ("--endpoints=MODE", "--endpoints-prune", "--endpoints-canary=WHAT", "endpoints_contract"):
        assert word in app_once.output(result)


def test_a_broken_lock_fails_the_test_that_needs_it(app):
    app.write("endpoints.lock", "<<<<<<< ours\n")
    app.suite(ASK + "def test_other():\n    pass\n")
    result = app.pytest()
    assert result.parseoutcomes() == {"failed": 1, "passed": 1}
    output = app.failure(result, "endpoints.lock").splitlines()
    assert output[0] == "endpoints.lock: the lock cannot be used"
    assert output[1].startswith("  received   endpoints.lock:1:1: the file has conflict markers of a merge")
    assert output[-1].startswith("  next       git checkout --ours endpoints.lock && ")


def test_without_a_lock_and_options_the_plugin_prints_nothing(app):
    app.suite("def test_it():\n    pass\n")
    lines = app.output(app.pytest()).splitlines()
    assert "1 passed" in lines[-1]
    assert not [line for line in lines if "endpoints" in line and not line.startswith("plugins: ")]


MARKS = {
    "unknown keyword": ("mod='live'", "unknown keyword 'mod'; did you mean 'mode'?"),
    "a mode that writes": ("mode='record'", "mode is one of replay, live, local, not 'record'"),
    "a name that is none": ("7", "its arguments are names of endpoints"),
    "tolerance": ("tolerance=-1", "tolerance is a number from 0, not -1"),
    "unordered": ("unordered='yes'", "unordered is True or False, not 'yes'"),
    "canary": ("canary='newest'", "canary is latest, worktree, off or a version's number, not 'newest'"),
}


def test_markers_are_checked_at_collection(app):
    for number, (words, _) in enumerate(MARKS.values()):
        app.suite(f"import pytest\n@pytest.mark.endpoints({words})\n{ASK}", f"test_{number}.py")
    result = app.pytest()
    assert result.parseoutcomes()["errors"] in (len(MARKS), 2 * len(MARKS)), "once for each worker"
    for number, (_, message) in enumerate(MARKS.values()):
        assert f"test_{number}.py::test_it: @pytest.mark.endpoints: {message}" in app.output(result)


def test_tests_that_use_a_fixture_have_the_marker(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN)
    app.suite(f"{ASK}def test_other():\n    pass\ndef test_lock(endpoints_lock):\n    assert endpoints_lock.pins\n")
    app.pytest("-m", "endpoints", "--strict-markers").assert_outcomes(passed=2)


def test_each_test_has_its_versions_as_properties(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN)
    app.suite(ASK)
    app.pytest("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    assert '<property name="endpoint" value="revenue@1"' in (app.folder / "junit.xml").read_text()


@pytest.mark.parametrize("with_lock", [False, True], ids=["no lock", "a lock"])
def test_an_unused_plugin_imports_nothing_expensive(app_once, with_lock):
    if with_lock:
        app_once.locks(app_once.PIN)
    app_once.suite("def test_it():\n    pass\n")
    app_once.write(
        "start.py",
        "import json, sys, pytest\n"
        "others = ('randomly', 'xdist', 'anyio', 'hypothesispytest')\n"
        "assert pytest.main(['-q', *(word for name in others for word in ('-p', f'no:{name}'))]) == 0\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n",
    )
    ran = subprocess.run([sys.executable, "start.py"], cwd=app_once.folder, capture_output=True, text=True, check=True)
    there = set(json.loads(ran.stdout.splitlines()[-1]))
    assert "pytest_endpoints_gitops" in there
    assert not there & {"endpoints_gitops", "pydantic", "httpx", "deepdiff", "ruamel", "chdb", "anyio", "filelock"}


README = (Path(__file__).parents[2] / "pytest_plugin" / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_every_option_with_its_twins_and_every_failure():
    for option in OPTIONS:
        assert f"| `{option.flag}={option.metavar}` | `{option.ini}` | `{option.variable}` |" in README
    for word in (*KINDS, *FIXTURES, "endpoints_config"):
        assert f"`{word}`" in README
