"""The plugin beside the plugins and libraries that suites have. Run by `.ci/compatibility`, and not by default.

Each row of MATRIX is a row of the table in pytest_plugin/README.md, which says in which versions it was run last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

HEAD = """
import asyncio, json, os, threading, urllib.request
from contextlib import suppress
import pytest
from pytest_endpoints_gitops import NoRecording

def ask(month="2026-01"):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    body = json.dumps({"variables": {"month": month}}).encode()
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    with suppress(Exception), urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return json.load(answer)["results"]
"""
SUITE = """
@pytest.mark.parametrize("month", [f"2026-0{number}" for number in range(1, 7)])
def test_rows(endpoints, month):
    assert endpoints("revenue", month=month)[0].mrr == 120

def test_server(endpoints_env):
    assert ask() == [["pro", 120]]

def test_expected(endpoints):
    with pytest.raises(NoRecording):
        endpoints("revenue", month="1900-01")
"""
SWALLOWED = """
def test_swallowed(endpoints_env):
    ask("1900-01")

def test_thread(endpoints):
    def call():
        with suppress(BaseException):
            endpoints("revenue", month="1900-01")
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

def test_network():
    with suppress(BaseException):
        urllib.request.urlopen("https://posthog.quill.example/")
"""
ASYNC = """
{mark}
async def test_async(async_endpoints):
    assert (await async_endpoints("revenue", month="2026-01"))[0].mrr == 120

{mark}
async def test_async_swallowed(async_endpoints):
    await asyncio.gather(async_endpoints("revenue", month="1900-01"), return_exceptions=True)
"""
DJANGO = """
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`words` are given to pytest. `passed` and `errors` are those of the run; `files` are beside the suite."""

    distribution: str
    plugins: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    suite: str = SUITE + SWALLOWED
    passed: int = 11
    errors: int = 3
    other: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def clock(mark: str) -> str:
    return f"""
{mark}
def test_clock(endpoints):
    assert endpoints("revenue", month="2026-02")[0].mrr == 120

{mark}
def test_clock_server(endpoints_env):
    assert ask() == [["pro", 120]]
"""


XDIST = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
MATRIX = {
    "alone": Row(distribution="pytest"),
    "randomly": Row(distribution="pytest-randomly", plugins=("randomly",)),
    **{
        f"xdist {how}": Row(distribution="pytest-xdist", plugins=("xdist",), words=("-n2", f"--dist={how}"))
        for how in XDIST
    },
    "xdist no": Row(distribution="pytest-xdist", plugins=("xdist",), words=("--dist=no",)),
    "xdist each": Row(
        distribution="pytest-xdist", plugins=("xdist",), words=("--dist=each", "--tx", "2*popen"), passed=22, errors=6
    ),
    "rerunfailures": Row(
        distribution="pytest-rerunfailures",
        plugins=("rerunfailures",),
        words=("--reruns=1",),
        passed=14,
        other={"rerun": 3},
    ),
    "rerunfailures and xdist": Row(
        distribution="pytest-rerunfailures",
        plugins=("rerunfailures", "xdist"),
        words=("--reruns=1", "-n2"),
        passed=14,
        other={"rerun": 3},
    ),
    "timeout": Row(distribution="pytest-timeout", plugins=("timeout",), words=("--timeout=60",)),
    "timeout in threads": Row(
        distribution="pytest-timeout", plugins=("timeout",), words=("--timeout=60", "--timeout-method=thread")
    ),
    "freezegun": Row(
        distribution="freezegun",
        suite="import freezegun\n" + HEAD + clock("@freezegun.freeze_time('2099-01-01')") + SUITE + SWALLOWED,
        passed=13,
    ),
    "time-machine": Row(
        distribution="time-machine",
        suite="import time_machine\n"
        + HEAD
        + clock("@time_machine.travel('2099-01-01', tick=False)")
        + SUITE
        + SWALLOWED,
        passed=13,
    ),
    "pyfakefs": Row(
        distribution="pyfakefs",
        plugins=("pyfakefs",),
        suite="""
def test_files(fs, endpoints):
    assert endpoints("revenue", month="2026-02")[0].mrr == 120
    assert not os.path.exists("endpoints.lock")

def test_files_server(fs, endpoints_env):
    assert ask() == [["pro", 120]]
"""
        + SUITE
        + SWALLOWED,
        passed=13,
    ),
    "socket": Row(
        distribution="pytest-socket", plugins=("socket",), words=("--disable-socket", "--allow-hosts=127.0.0.1")
    ),
    "asyncio": Row(
        distribution="pytest-asyncio",
        plugins=("asyncio",),
        suite=ASYNC.format(mark="@pytest.mark.asyncio") + SUITE + SWALLOWED,
        passed=13,
        errors=4,
    ),
    "asyncio, one loop for the session": Row(
        distribution="pytest-asyncio",
        plugins=("asyncio",),
        suite=ASYNC.format(mark="@pytest.mark.asyncio(loop_scope='session')") + SUITE + SWALLOWED,
        passed=13,
        errors=4,
    ),
    "anyio": Row(
        distribution="anyio",
        plugins=("anyio",),
        suite=ASYNC.format(mark="@pytest.mark.anyio")
        + "\n@pytest.fixture(scope='session')\ndef anyio_backend():\n    return 'asyncio'\n"
        + SUITE
        + SWALLOWED,
        passed=13,
        errors=4,
    ),
    "django": Row(
        distribution="pytest-django",
        plugins=("django",),
        files={"conftest.py": DJANGO},
        suite="""
@pytest.mark.django_db
def test_database(endpoints_env):
    assert ask() == [["pro", 120]]
"""
        + SUITE
        + SWALLOWED,
        passed=12,
    ),
    "responses": Row(
        distribution="responses",
        suite="""
import requests, responses

@responses.activate
def test_mocked(endpoints_env):
    responses.add(responses.GET, "https://other.example/", json=[1])
    responses.add_passthru(os.environ["POSTHOG_HOST"])
    assert requests.get("https://other.example/").json() == [1]
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"]}
    answer = requests.post(url, json={"variables": {"month": "2026-01"}}, headers=headers)
    assert answer.json()["results"] == [["pro", 120]]
"""
        + SUITE
        + SWALLOWED,
        passed=12,
    ),
    "respx": Row(
        distribution="respx",
        suite="""
import httpx, respx

def test_mocked(endpoints_env):
    with respx.mock(assert_all_called=True) as router:
        router.get("https://other.example/").respond(json=[1])
        router.route(host="127.0.0.1").pass_through()
        assert httpx.get("https://other.example/").json() == [1]
        url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/revenue/run?version=1"
        headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"]}
        answer = httpx.post(url, json={"variables": {"month": "2026-01"}}, headers=headers)
        assert answer.json()["results"] == [["pro", 120]]
"""
        + SUITE
        + SWALLOWED,
        passed=12,
    ),
    "httpx": Row(
        distribution="httpx",
        suite="""
import httpx
from endpoints_gitops import AsyncEndpoints, Endpoints

client = Endpoints.from_lock()
async_client = AsyncEndpoints.from_lock()

def test_client(endpoints_env):
    assert client.run("revenue", month="2026-01")[0].mrr == 120

def test_async_client(endpoints_env):
    async def run():
        async with async_client:
            return (await async_client.run("revenue", month="2026-01"))[0].mrr
    assert asyncio.run(run()) == 120

def test_httpx_network():
    with suppress(BaseException):
        httpx.get("https://posthog.quill.example/")
"""
        + SUITE
        + SWALLOWED,
        passed=14,
        errors=4,
    ),
}


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX)
def test_beside(app, require, row):
    """What passes alone passes, what the app swallows fails its own test, and nothing else changes."""
    require(row.distribution)
    for name, content in row.files.items():
        app.write(name, content)
    app.write("test_app.py", row.suite if "def ask" in row.suite else HEAD + row.suite)
    outcome = app.pytest(*row.words, plugins=row.plugins)
    assert outcome.counts == {"passed": row.passed, "error": row.errors, **row.other}, outcome.text
    assert outcome.code == 1


SHARDS = {
    "split": ("pytest-split", "split", ("--splits=2", "--group={}")),
    "shard": ("pytest-shard", "shard", ("--num-shards=2", "--shard-id={}")),
    "test-groups": ("pytest-test-groups", "test-groups", ("--test-group-count=2", "--test-group={}")),
}


@pytest.mark.parametrize(("distribution", "plugin", "words"), SHARDS.values(), ids=SHARDS)
def test_shards_are_partial_and_prune_nothing(app, require, distribution, plugin, words):
    require(distribution)
    app.write("test_app.py", HEAD + SUITE)
    first = 0 if plugin == "shard" else 1
    passed = 0
    for number in (first, first + 1):
        outcome = app.pytest("--endpoints-prune", *(word.format(number) for word in words), plugins=(plugin,))
        assert outcome.code == 0, outcome.text
        assert "no recording deleted: " in outcome.text
        passed += outcome.counts["passed"]
    assert passed == 8
    assert app.recordings() == 6


@pytest.mark.parametrize("words", [(), ("-n2",), ("-n2", "--dist=loadgroup")], ids=["alone", "xdist", "loadgroup"])
def test_a_whole_run_is_full(app, words):
    app.write("test_app.py", HEAD + SUITE.replace("range(1, 7)", "range(1, 4)"))
    outcome = app.pytest("--endpoints-prune", *words, plugins=("xdist",))
    assert "3 recordings deleted" in outcome.text, outcome.text
    assert app.recordings() == 3


def test_the_table_names_what_is_run():
    readme = (Path(__file__).parents[1] / "pytest_plugin" / "README.md").read_text(encoding="utf-8")
    table = readme.partition("### Other plugins")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")][2:]
    named = {name.strip() for row in rows for name in row.split(",")}
    run = {row.distribution for row in MATRIX.values()} | {row[0] for row in SHARDS.values()}
    assert named == run - {"pytest"}
