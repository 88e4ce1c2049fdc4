"""A failure always fails the attempt that caused it, unless the test raised or expected it."""

from __future__ import annotations

import os

import pytest

HEAD = """
import asyncio, os, threading, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import pytest
from pytest_endpoints_gitops import NoRecording

def ask(month):
    # The app's own code, which lives with every error.
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    body = b'{"variables": {"month": "%s"}}' % month.encode()
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    with suppress(Exception):
        return urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()

def call_home():
    with suppress(BaseException):
        urllib.request.urlopen("https://posthog.quill.example/")

def rows(endpoints):
    return endpoints("revenue", month="2026-07")

def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
SWALLOWED = {
    "a thread": "def test_it(endpoints):\n    in_a_thread(lambda: endpoints('revenue', month='1900-01'))\n",
    "a future": (
        "def test_it(endpoints):\n"
        "    with ThreadPoolExecutor() as pool:\n        pool.submit(endpoints, 'revenue', month='1900-01')\n"
    ),
    "gather": (
        "def test_it(async_endpoints):\n"
        "    async def board():\n"
        "        call = async_endpoints('revenue', month='1900-01')\n"
        "        return await asyncio.gather(call, return_exceptions=True)\n"
        "    asyncio.run(board())\n"
    ),
    "a task that nobody awaits": (
        "def test_it(async_endpoints):\n"
        "    async def board():\n"
        "        task = asyncio.ensure_future(async_endpoints('revenue', month='1900-01'))\n"
        "        await asyncio.wait([task])\n        task.exception()\n"
        "    asyncio.run(board())\n"
    ),
    "except BaseException": (
        "def test_it(endpoints):\n    with suppress(BaseException):\n        endpoints('revenue', month='1900-01')\n"
    ),
    "another name": "def test_it(endpoints):\n    in_a_thread(lambda: endpoints('revenu', month='1900-01'))\n",
    "a wrong variable": "def test_it(endpoints):\n    in_a_thread(lambda: endpoints('revenue', moth='1900-01'))\n",
    "a case": "def test_it(endpoint_case):\n    in_a_thread(endpoint_case.check)\n",
    "the app's client": "def test_it(endpoints_env):\n    ask('1900-01')\n",
    "the app's client in a thread": "def test_it(endpoints_env):\n    in_a_thread(lambda: ask('1900-01'))\n",
    "the network": "def test_it():\n    call_home()\n",
    "the network in a future": (
        "def test_it():\n    with ThreadPoolExecutor() as pool:\n        pool.submit(call_home)\n"
    ),
    "expected once, and then swallowed": (
        "def test_it(endpoints):\n"
        "    with pytest.raises(NoRecording):\n        endpoints('revenue', month='1900-01')\n"
        "    in_a_thread(lambda: endpoints('revenue', month='1900-01'))\n"
    ),
    "a column": "def test_it(endpoints):\n    in_a_thread(lambda: rows(endpoints).column('mr'))\n",
    "a key of a row": "def test_it(endpoints):\n    with suppress(KeyError):\n        rows(endpoints)[0]['mr']\n",
    "an attribute of a row": (
        "def test_it(endpoints):\n    with suppress(AttributeError):\n        rows(endpoints)[0].mr\n"
    ),
}
QUIET = ("-W", "ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def recorded(app_once):
    app = app_once
    path = app.folder / "endpoints.toml"
    path.write_text(path.read_text().replace(app.server.url, "https://posthog.quill.example"))
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    return app


def named(suite, number):
    return suite.replace("test_it", f"test_{number}")


def test_a_swallowed_failure_fails_its_test_at_the_end(recorded):
    recorded.suite(HEAD + "\n".join(named(test, number) for number, test in enumerate(SWALLOWED.values())))
    result = recorded.pytest(*QUIET)
    result.assert_outcomes(passed=len(SWALLOWED), errors=len(SWALLOWED))


def test_an_expected_or_raised_failure_is_reported_once(recorded):
    recorded.suite(
        HEAD
        + """
def test_expected(endpoints):
    with pytest.raises(NoRecording):
        endpoints("revenue", month="1900-01")
    pytest.raises(NoRecording, endpoints, "revenue", month="1900-01")

def test_expected_in_a_group(endpoints):
    with pytest.RaisesGroup(NoRecording):
        try:
            endpoints("revenue", month="1900-01")
        except NoRecording as failure:
            raise BaseExceptionGroup("several", [failure])

def test_raised(endpoints):
    endpoints("revenue", month="1900-01")

def test_another_error_is_expected(endpoints):
    with pytest.raises(ValueError):
        try:
            endpoints("revenue", month="1900-01")
        except NoRecording:
            raise ValueError("the app's own")
"""
    )
    recorded.pytest().assert_outcomes(passed=3, failed=1, errors=1)


RERUN = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # As plugins do that run a failed test again.
    for attempt in range(2):
        if attempt:
            item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if attempt or not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_each_attempt_has_its_own_failures(recorded):
    recorded.write("conftest.py", RERUN)
    recorded.suite(
        HEAD
        + """
attempts = []

def test_always(endpoints_env):
    ask("1900-01")

def test_network():
    call_home()

def test_the_first_time(endpoints_env):
    attempts.append(1)
    ask("1900-01" if len(attempts) == 1 else "2026-07")
"""
    )
    recorded.pytest().assert_outcomes(passed=3, errors=2)


LATE = """
gate = threading.Event()
done = threading.Event()

def job(work):
    gate.wait()
    try:
        work()
    finally:
        done.set()
"""


QUEUES = {
    "queue": "queue.Queue()",
    "priority queue": "queue.PriorityQueue()",
    "stack": "queue.LifoQueue()",
}


@pytest.mark.parametrize("made", QUEUES.values(), ids=QUEUES)
def test_a_failure_of_a_worker_thread_belongs_to_the_test_that_queued_the_item(recorded, made):
    recorded.suite(
        HEAD
        + f"""
import queue

JOBS = {made}

def worker():
    while (month := JOBS.get()) != "":
        try:
            call_home() if month == "home" else ask(month)
        finally:
            JOBS.task_done()

@pytest.fixture(scope="module")
def jobs():
    thread = threading.Thread(target=worker)
    yield JOBS, thread
    JOBS.put("")
    thread.join()

def test_1_starts_the_worker(endpoints_env, jobs):
    jobs[1].start()
    JOBS.put("2026-07")
    JOBS.join()

def test_2_calls_what_is_not_recorded(endpoints_env, jobs):
    JOBS.put("1900-01")
    JOBS.join()

def test_3_uses_the_network(endpoints_env, jobs):
    JOBS.put("home")
    JOBS.join()

def test_4_is_innocent(endpoints_env, jobs):
    JOBS.put("2026-07")
    JOBS.join()
"""
    )
    result = recorded.pytest(*QUIET)
    result.assert_outcomes(passed=4, errors=2)
    failed = [line for line in result.outlines if line.startswith("ERROR test_app.py")]
    assert ["test_2" in failed[0], "test_3" in failed[1]] == [True, True]


def test_a_swallowed_failure_keeps_no_object_of_its_test_alive(recorded):
    recorded.suite(
        HEAD
        + """
import gc, weakref

class Held:
    pass

refs = []

def test_1(endpoints):
    held = Held()
    refs.append(weakref.ref(held))
    with suppress(BaseException):
        endpoints("revenue", month="1900-01")

def test_2():
    gc.collect()
    assert refs[0]() is None
"""
    )
    recorded.pytest().assert_outcomes(passed=2, errors=1)


@pytest.mark.parametrize(
    "work",
    ["call_home", "lambda: asking('1900-01')", "lambda: endpoints('revenue', month='1900-01')"],
    ids=["network", "the app's client", "fixture"],
)
@pytest.mark.parametrize("start", ["threading.Thread(target=job, args=(work,)).start()", "POOL.submit(job, work)"])
def test_a_job_that_outlives_its_test_fails_that_test(recorded, work, start):
    recorded.suite(
        HEAD
        + LATE
        + f"""
POOL = ThreadPoolExecutor()

def test_1_starts_a_job(endpoints, endpoints_env):
    variables = dict(os.environ)
    def asking(month):
        os.environ.update(variables)
        ask(month)
    work = {work}
    {start}

def test_2_innocent(endpoints_server):
    gate.set()
    done.wait()
    POOL.shutdown()
    assert endpoints_server.requests == ()
"""
    )
    result = recorded.pytest(*QUIET)
    result.assert_outcomes(passed=2, errors=1)
    assert any(line.startswith("ERROR test_app.py::test_1_starts_a_job") for line in result.outlines)
    assert "test_2_innocent" not in recorded.failure(result, "")


def test_the_run_waits_for_a_job_that_outlives_the_last_test(recorded):
    recorded.suite(
        HEAD
        + """
def job():
    ended.wait()
    call_home()

ended = threading.Event()

def test_it():
    threading.Thread(target=job).start()
"""
    )
    recorded.write(
        "conftest.py",
        "import pytest, test_app\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtestloop():\n    yield\n    test_app.ended.set()\n    return True\n",
    )
    result = recorded.pytest()
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1


def test_code_outside_of_the_tests_fails_the_run(recorded):
    recorded.suite(HEAD + "\ncall_home()\n\ndef test_it():\n    pass\n")
    result = recorded.pytest()
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    assert "  by         code outside of the tests" in result.outlines


def test_failures_without_a_lock_are_noted(recorded):
    (recorded.folder / "endpoints.lock").unlink()
    recorded.suite(HEAD + SWALLOWED["a thread"])
    recorded.pytest(*QUIET).assert_outcomes(passed=1, errors=1)


def test_a_rehearsal_is_for_its_own_test(recorded):
    """A job of the previous test neither uses up the rehearsal nor appears in the log of requests."""
    recorded.suite(
        HEAD
        + LATE
        + """
def test_1(endpoints_env):
    variables = dict(os.environ)
    def work():
        os.environ.update(variables)
        assert ask("2026-07")
    threading.Thread(target=job, args=(work,)).start()

def test_2(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", times=1)
    gate.set()
    done.wait()
    assert endpoints_server.requests == ()
    assert ask("2026-07") is None
    assert [asked.status for asked in endpoints_server.requests] == [503]
"""
    )
    recorded.pytest().assert_outcomes(passed=2)


def test_a_suite_leaves_nothing_in_the_environment_of_the_next(recorded):
    recorded.suite(HEAD + "\ndef test_it():\n    os.environ.update(LEFT='1', HOME='/nowhere')\n")
    before = dict(os.environ)
    recorded.pytest().assert_outcomes(passed=1)
    assert dict(os.environ) == before
