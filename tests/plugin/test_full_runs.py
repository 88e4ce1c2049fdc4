"""A run counts as full only where that is proven; shards and plugins that drop tests make it partial."""

from __future__ import annotations

import subprocess

import pytest

from tests.plugin.ways import TWO_WORKERS

SUITE = """
def test_total(endpoints):
    endpoints("revenue", month="2026-07")

class TestOther:
    def test_other(self):
        pass
"""
OTHER = "def test_earlier(endpoints):\n    endpoints('revenue', month='2026-06')\n"
ASKED = "revenue/v1/month-2026-07-bf70f6defb4f.json"
DROPPED = "revenue/v1/month-2026-06-04ede9a23507.json"

LAST = "[item for item in items if 'test_earlier' in item.nodeid]"
DROPS = {
    "a conftest assigns items": (
        f"def pytest_collection_modifyitems(items):\n    items[:] = [one for one in items if one not in {LAST}]\n",
        "1 of 3 collected tests were dropped",
    ),
    "a plugin deletes items first of all": (
        (
            "import pytest\n"
            "@pytest.hookimpl(tryfirst=True)\n"
            f"def pytest_collection_modifyitems(items):\n    for one in {LAST}:\n        items.remove(one)\n"
        ),
        "1 of 3 collected tests were dropped",
    ),
    "a wrapper deletes items last of all": (
        (
            "import pytest\n"
            "@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
            f"def pytest_collection_modifyitems(items):\n    yield\n    for one in {LAST}:\n        items.remove(one)\n"
        ),
        "1 of 3 collected tests were dropped",
    ),
    "items are dropped after the collection": (
        (
            "import pytest\n"
            "@pytest.hookimpl(trylast=True)\n"
            "def pytest_collection_finish(session):\n    items = session.items\n"
            f"    for one in {LAST}:\n        items.remove(one)\n"
        ),
        "2 of 3 tests ran",
    ),
    "tests are deselected": (
        (
            "def pytest_collection_modifyitems(config, items):\n"
            f"    dropped = {LAST}\n    config.hook.pytest_deselected(items=dropped)\n    items.remove(dropped[0])\n"
        ),
        "1 tests were deselected",
    ),
    "the protocol of a test does nothing": (
        "def pytest_runtest_protocol(item):\n    return True if 'test_earlier' in item.nodeid else None\n",
        "2 of 3 tests ran",
    ),
    "a file is ignored": (
        "def pytest_ignore_collect(collection_path):\n    return collection_path.name == 'test_earlier.py' or None\n",
        "test_earlier.py was ignored",
    ),
    "collect_ignore": ("collect_ignore = ['test_earlier.py']\n", "test_earlier.py was ignored"),
    "a folder is ignored": (
        "def pytest_ignore_collect(collection_path):\n    return collection_path.name == 'more' or None\n",
        "more was ignored",
    ),
    "a function is not collected": (
        "def pytest_pycollect_makeitem(name):\n    return [] if name == 'test_earlier' else None\n",
        "a plugin dropped test_earlier.py::test_earlier",
    ),
    "a class is not collected": (
        "def pytest_pycollect_makeitem(name):\n    return [] if name == 'TestOther' else None\n",
        "a plugin dropped test_app.py::TestOther",
    ),
    "a report of the collection lacks tests": (
        (
            "import pytest\n"
            "@pytest.hookimpl(wrapper=True)\n"
            "def pytest_make_collect_report(collector):\n"
            "    report = yield\n"
            "    report.result = [node for node in report.result if 'test_earlier' not in node.nodeid]\n"
            "    return report\n"
        ),
        "a plugin dropped tests of ",
    ),
    "the run is ended early, and called a success": (
        (
            "import pytest\n"
            "def pytest_runtest_teardown(item):\n"
            "    if 'test_total' in item.nodeid:\n        pytest.exit('enough', returncode=0)\n"
        ),
        "0 of 3 tests ran",
    ),
}


@pytest.fixture
def two_files(app_once):
    """Two recordings; a full run needs both."""
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.has_recorded(app.PIN, month="2026-06")
    app.suite(SUITE)
    return app


def assert_refused(app, reason, *words):
    output = app.output(app.pytest("--endpoints-prune", *words))
    assert f"no recording deleted: {reason}" in output
    assert app.recordings() == sorted([ASKED, DROPPED])


@pytest.mark.parametrize(("plugin", "reason"), DROPS.values(), ids=DROPS)
def test_a_run_without_some_tests_deletes_nothing(two_files, plugin, reason):
    app = two_files
    app.suite(OTHER, "more/test_earlier.py" if "'more'" in plugin else "test_earlier.py")
    app.write("dropping.py", plugin)
    app.write("conftest.py", plugin if "collect_ignore =" in plugin else "")
    app.pytester.syspathinsert()
    assert_refused(app, reason, *(() if "collect_ignore =" in plugin else ("-p", "dropping")))


def test_an_interrupted_run_deletes_nothing(two_files, monkeypatch):
    app = two_files
    app.write("conftest.py", "def pytest_runtest_teardown(item):\n    item.session.shouldstop = 'enough'\n")
    monkeypatch.delenv("CI", raising=False)
    result = app.pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist", "--endpoints-prune")
    assert "no recording deleted: the run was interrupted" in app.output(result)
    assert app.recordings() == sorted([ASKED, DROPPED])


OPTIONS = {
    "-x": (("-x",), "--maxfail was given"),
    "--maxfail": (("--maxfail=3",), "--maxfail was given"),
    "--setup-only": (("--setup-only",), "--setup-only was given"),
    "another ini file": (("-c", "other.ini"), "-c was given"),
    "other files": (("-o", "python_files=test_app.py"), "-o python_files was given"),
}


@pytest.mark.parametrize(("words", "reason"), OPTIONS.values(), ids=OPTIONS)
def test_an_option_that_narrows_a_run_is_named(two_files, words, reason):
    two_files.suite(OTHER, "test_earlier.py")
    two_files.write("other.ini", "[pytest]\npython_files = test_app.py\n")
    assert_refused(two_files, reason, *words)


def test_a_suite_in_a_folder_below_the_lock_is_partial(two_files):
    app = two_files
    app.suite(SUITE, "below/test_below.py")
    app.write("below/pytest.ini", "[pytest]\n")
    subprocess.run(["git", "init", "--quiet", app.folder], check=True)  # a lock above is looked for in work trees only
    app.pytester.chdir()
    assert_refused(app, "paths were named", "below")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(app.folder / "below")
        assert_refused(app, "the lock is above the rootdir, and other suites may use its recordings")


@pytest.mark.parametrize(
    "way", [("-p", "no:xdist"), pytest.param((*TWO_WORKERS, "--dist=loadgroup"), marks=pytest.mark.slow)]
)
def test_a_run_that_only_orders_its_tests_is_full(two_files, way):
    app = two_files
    app.way = way
    app.write(
        "conftest.py",
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    items[:] = reversed(items)\n    items[0].add_marker(pytest.mark.xdist_group('a'))\n",
    )
    assert "1 recording deleted" in app.output(app.pytest("--endpoints-prune"))
    assert app.recordings() == [ASKED]


@pytest.mark.slow
def test_a_worker_that_drops_tests_makes_the_run_partial(two_files):
    app = two_files
    app.suite(OTHER, "test_earlier.py")
    app.write("conftest.py", DROPS["a conftest assigns items"][0])
    app.way = TWO_WORKERS
    assert_refused(app, "1 of 3 collected tests were dropped")
