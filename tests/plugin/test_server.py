"""The HTTP code of an app against `endpoints_server`, in several libraries."""

from __future__ import annotations

import pytest

APP = '''
import http.client
import json
import os
import urllib.error
import urllib.request
from urllib.parse import urlsplit

def address(name="revenue", rest="/run?version=1"):
    return f"{os.environ['POSTHOG_HOST']}/api/projects/{os.environ['POSTHOG_PROJECT_ID']}/endpoints/{name}{rest}"

def headers(key=None):
    return {"Authorization": f"Bearer {key or os.environ['APP_KEY']}", "Content-Type": "application/json"}

def ask(url, body=None, key=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers(key)), timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or "null")

def chunked(url, body):
    """Send a body in chunks, as a client does that does not know its length."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=5)
    try:
        connection.request("POST", f"{place.path}?{place.query}", iter([json.dumps(body).encode()]), headers())
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()
'''
RECORDED = """
def test_recorded(endpoints):
    endpoints("revenue")
    endpoints("revenue", month="2026-08")
"""
WAYS_TO_ASK = {
    "GET": "ask(address())",
    "trailing slash": "ask(address(rest='/run/?version=1'))",
    "version in the body": "ask(address(rest='/run'), {'version': 1})",
    "older path": "ask(address().replace('/projects/', '/environments/'))",
    "@current": "ask(re.sub('/projects/[0-9]+/', '/projects/@current/', address()))",
    "chunked": "chunked(address(), {})",
    "httpx": "httpx.post(address(), json={}, headers=headers())",
    "httpx, async": "asyncio.run(in_a_loop())",
}
IN_A_LOOP = """
async def in_a_loop():
    async with httpx.AsyncClient() as client:
        return await client.get(address(), headers=headers())
"""


def suite(*tests: str) -> str:
    return "\n".join(("import asyncio, re, time", "import httpx, pytest", "from my_app import *", IN_A_LOOP, *tests))


@pytest.fixture
def recorded(app):
    """Recordings of two calls of version 1, and the app's code."""
    app.pinned()
    app.write("my_app.py", APP)
    app.suite(RECORDED)
    app.record()
    return app


@pytest.fixture
def recorded_once(app_once):
    app_once.pinned()
    app_once.write("my_app.py", APP)
    app_once.suite(RECORDED)
    app_once.record()
    return app_once


def test_every_form_of_request_gets_the_recorded_rows(recorded):
    asked = "\n".join(
        f"""
def test_{number}(endpoints_env):
    said = {code}
    status, body = said if isinstance(said, tuple) else (said.status_code, said.json())
    assert status == 200, body
    assert body["results"] == [["pro", 120, "2026-07"]]
    assert body["columns"] == ["plan", "mrr", "month"]
    assert (body["name"], body["endpoint_version"], body["hasMore"]) == ("revenue", 1, False)
    assert [name for name, kind in body["types"]] == ["plan", "mrr", "month"]
"""
        for number, code in enumerate(WAYS_TO_ASK.values())
    )
    recorded.suite(suite(asked))
    before = recorded.runs()
    recorded.pytest("-W", "error").assert_outcomes(passed=len(WAYS_TO_ASK))
    assert recorded.runs() == before


def test_an_answer_has_the_keys_of_the_servers_answer(recorded_once):
    """Compared with the local server, which other tests compare with PostHog."""
    server = recorded_once.server
    url = f"{server.url}/api/projects/1/endpoints/revenue/run?version=1"
    recorded_once.suite(
        suite(f"""
def test_shape(endpoints_env):
    real = ask({url!r}, key={server.key!r})
    ours = ask(address())
    assert ours[1].keys() == real[1].keys()
    same = {{"results", "columns", "types", "hasMore", "name", "endpoint_version", "timezone", "query"}}
    assert {{key: ours[1][key] for key in same}} == {{key: real[1][key] for key in same}}
""")
    )
    recorded_once.pytest().assert_outcomes(passed=1)


REFUSALS = [
    ("ask(address(), key='phx_other')", 401, "Personal API key found in request Authorization header is invalid."),
    ("ask(address().replace('/projects/1/', '/projects/7/'))", 404, "Project not found."),
    ("ask(address(rest='/logs'))", 404, "Not found."),
    ("ask(address(rest='/run?version=1&limit=0'))", 400, "Invalid limit parameter: 0"),
    ("ask(address(rest='/run?version=abc'))", 400, "Invalid version parameter: abc"),
    ("ask(address(), {'offset': 1})", 400, "offset requires limit to be set"),
    ("ask(address(), {'refresh': 'direct'})", 400, "'direct' refresh mode is only valid for materialized endpoints."),
    ("ask(address(), {'query_override': {}})", 400, "Extra inputs are not permitted"),
    ("ask(address(), {'filters_override': {}})", 400, "Not allowed for HogQL endpoints. Use variables instead."),
]


def test_requests_that_the_server_refuses_are_refused(recorded_once):
    """The app gets the error of PostHog, and its test does not fail for it."""
    tests = "\n".join(
        f"""
def test_{number}(endpoints_env):
    status, body = {code}
    assert (status, (body.get("detail") or body["error"])[:{len(detail)}]) == ({status}, {detail!r})
"""
        for number, (code, status, detail) in enumerate(REFUSALS)
    )
    recorded_once.suite(suite(tests))
    recorded_once.pytest().assert_outcomes(passed=len(REFUSALS))


def test_pages_are_cut_from_recordings(recorded_once):
    recorded_once.suite(
        suite("""
def test_pages(endpoints_env):
    first, second = (ask(address(), {"limit": 1, "offset": at})[1] for at in (0, 1))
    assert (first["results"], first["hasMore"]) == ([["pro", 120, "2026-07"]], False)
    assert (first["limit"], first["offset"]) == (1, 0)
    assert (second["results"], second["hasMore"]) == ([], False)
""")
    )
    recorded_once.pytest().assert_outcomes(passed=1)


MISTAKES = {
    "NotPinned": ("ask(address('revenues'))", 404, "revenues: not pinned in environment test; did you mean 'revenue'?"),
    "another version": ("ask(address(rest='/run?version=4'))", 404, "revenue@4: the lock pins another version"),
    "VariableUndeclared": ("ask(address(), {'variables': {'moth': 1}})", 400, "revenue@1: unknown variable 'moth'"),
    "NoRecording": ("ask(address(), {'variables': {'month': '2020-01'}})", 400, "revenue@1: "),
}


@pytest.mark.parametrize(("code", "status", "verdict"), MISTAKES.values(), ids=MISTAKES)
def test_a_failure_that_the_app_swallows_fails_its_test(recorded, code, status, verdict):
    recorded.suite(
        suite(f"""
def test_it(endpoints_env):
    assert {code}[0] == {status}

def test_another(endpoints_env):
    assert ask(address())[0] == 200
""")
    )
    result = recorded.pytest()
    result.assert_outcomes(passed=2, errors=1)
    assert "ERROR at teardown of test_it" in result.stdout.str()
    assert any(line.startswith(verdict) for line in result.outlines)


def test_a_call_without_a_version_is_one_warning_and_can_be_an_error(recorded):
    recorded.suite(
        suite("""
def test_it(endpoints_env):
    assert ask(address(rest="/run"))[0] == ask(address(rest="/run"), {})[0] == 200
""")
    )
    result = recorded.pytest("-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    message = "revenue was called without a version: the app gets whatever is newest; the lock pins revenue@1"
    result.stdout.fnmatch_lines([f"*EndpointsWarning: test_app.py::test_it: P110 {message}: send ?version=1"])
    recorded.pytest("-W", "error::pytest_endpoints_gitops.EndpointsWarning").assert_outcomes(passed=1, errors=1)


REHEARSALS = [
    ("status=429, retry_after=2", 429, "Request was throttled. Expected available in 2 seconds.", "2"),
    ("status=503, retry_after=7", 503, "Queries are at capacity. Try again later.", "7"),
    ("status=500", 500, "A server error occurred.", None),
    ("status=404", 404, "Not found.", None),
    ("status=418", 418, "Rehearsed by a test.", None),
]


def test_errors_are_rehearsed_for_one_test_only(recorded):
    tests = "\n".join(
        f"""
def test_{number}(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", {how})
    answer = httpx.get(address(), headers=headers())
    assert (answer.status_code, answer.json()["detail"]) == ({status}, {detail!r})
    assert answer.headers.get("retry-after") == {after!r}

def test_{number}_is_over(endpoints_env):
    assert ask(address())[0] == 200
"""
        for number, (how, status, detail, after) in enumerate(REHEARSALS)
    )
    recorded.suite(suite(tests))
    recorded.pytest().assert_outcomes(passed=2 * len(REHEARSALS))


def test_a_rehearsal_ends_after_the_given_number_of_calls(recorded_once):
    recorded_once.suite(
        suite("""
def test_it(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", status=503, times=2)
    assert [ask(address())[0] for _ in range(3)] == [503, 503, 200]
    assert [asked.status for asked in endpoints_server.requests] == [503, 503, 200]
    assert {asked.test for asked in endpoints_server.requests} == {"test_app.py::test_it"}
""")
    )
    recorded_once.pytest().assert_outcomes(passed=1)


def test_a_rehearsed_timeout_does_not_delay_the_end_of_the_run(recorded):
    recorded.suite(
        suite("""
def test_it(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue", timeout=True)
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(urllib.request.Request(address(), headers=headers()), timeout=0.1)
    assert [asked.status for asked in endpoints_server.requests] == [None]
""")
    )
    result = recorded.pytest()
    result.assert_outcomes(passed=1)
    assert result.duration < 60


def test_the_request_log_has_what_the_app_sent(recorded_once):
    recorded_once.suite(
        suite("""
def test_it(endpoints_env, endpoints_server):
    assert endpoints_server.requests == ()
    ask(address(), {"variables": {"month": "2026-08"}})
    ask(address("nobody", "/nothing"))
    one, other = endpoints_server.requests
    assert (one.method, one.name, one.version, one.status) == ("POST", "revenue", 1, 200)
    assert one.variables == {"month": "2026-08"}
    assert (other.method, other.name, other.status) == ("GET", None, 404)
""")
    )
    recorded_once.pytest().assert_outcomes(passed=1)


def test_the_apps_own_names_for_its_settings_are_set_too(recorded_once):
    recorded_once.pytester.makeini(
        "[pytest]\nendpoints_env =\n  QUILL_URL = {url}/api/projects/{project_id}\n  QUILL_KEY={key}\n"
    )
    recorded_once.suite(
        suite("""
def test_it(endpoints_env, endpoints_server):
    assert os.environ["QUILL_URL"] == endpoints_server.url + "/api/projects/1"
    assert os.environ["QUILL_KEY"] == os.environ["APP_KEY"] == endpoints_server.key

def test_it_is_over():
    assert "QUILL_URL" not in os.environ
""")
    )
    recorded_once.pytest().assert_outcomes(passed=2)


def test_the_client_of_the_library_uses_the_server(recorded):
    recorded.suite(
        suite("""
from endpoints_gitops import Endpoints

def test_it(endpoints_env, endpoints_server):
    with Endpoints.from_lock("endpoints.lock") as client:
        assert client.run("revenue", month="2026-08").column("month") == ["2026-08"]
    assert [asked.name for asked in endpoints_server.requests] == ["revenue"]
""")
    )
    recorded.pytest().assert_outcomes(passed=1)


def test_requests_of_the_app_are_recorded(app):
    """The code of the app makes the recording, and only the recorded call reaches PostHog."""
    app.pinned()
    app.write("my_app.py", APP)
    app.suite(
        suite("""
def test_it(endpoints_env):
    assert ask(address(), {"variables": {"month": "2026-09"}})[1]["results"] == [["pro", 120, "2026-09"]]
""")
    )
    app.record()
    assert app.runs() == 1
    assert len(app.recordings()) == 1
    app.pytest().assert_outcomes(passed=1)
    assert app.runs() == 1


def test_requests_of_all_processes_are_counted_once(app_once):
    """40 tests on 10 calls, in four processes."""
    app_once.pinned()
    app_once.write("my_app.py", APP)
    app_once.suite(
        suite("""
@pytest.mark.parametrize("number", range(40))
def test_it(endpoints_env, number):
    assert ask(address(), {"variables": {"month": f"2026-{number % 10}"}})[0] == 200
""")
    )
    app_once.way = ("-n4",)
    before = app_once.runs()
    app_once.pytest("--endpoints=live", key=app_once.server.key).assert_outcomes(passed=40)
    assert app_once.runs() - before == 10
