"""An app in an environment without extras: everything that it calls works, or is one error that names the extra."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import endpoints_gitops
from endpoints_gitops.extras import EXTRAS

PACKAGES = {
    "anyio",
    "certifi",
    "endpoints-gitops",
    "filelock",
    "h11",
    "httpcore",
    "httpx",
    "idna",
    "platformdirs",
    "python-dotenv",
}
COMPATIBLE = {"typing-extensions"}  # what a package requires on an older Python


def test_nothing_else_is_installed(bare):
    assert bare.names() - COMPATIBLE == PACKAGES
    assert not any(bare.has_all_of(extra) for extra in EXTRAS)


PUBLIC = """
import json
import endpoints_gitops
print(json.dumps(sorted(name for name in endpoints_gitops.__all__ if getattr(endpoints_gitops, name))))
"""


def test_every_public_name_is_there(bare, tmp_path):
    assert bare.python(PUBLIC, cwd=tmp_path) == sorted(endpoints_gitops.__all__)


APP = """
import asyncio, json, os, sys, warnings
from endpoints_gitops import *
import endpoints_gitops

lock, settings = sys.argv[1], json.loads(sys.argv[2])
results = {}

def attempt(name, call):
    with warnings.catch_warnings(record=True, action="always") as caught:
        try:
            value = call()
        except EndpointsError as error:
            value = [type(error).__name__, str(error), error.fix]
            if isinstance(error, endpoints_gitops.MissingExtra):
                value += [error.extra, list(error.packages)]
    results[name] = {"value": value, "warnings": [f"{one.category.__name__}: {one.message}" for one in caught]}

def asynchronous(call):
    async def main():
        async with AsyncEndpoints.from_lock(lock, **settings) as endpoints:
            return await call(endpoints)
    return asyncio.run(main())

async def all_rows(rows):
    return [row.n async for row in rows]

endpoints = Endpoints.from_lock(lock, **settings, cache=60)
attempt("run", lambda: endpoints.run("ten", least=7).column("n"))
attempt("again", lambda: endpoints.run("ten", least=7).age > 0)
attempt("records", lambda: endpoints.run("ten", least=9).as_dicts())
attempt("async", lambda: asynchronous(lambda it: it.run("ten", least=8)).column("n"))
attempt("iterate", lambda: [row.n for row in endpoints.iterate("ten", page_size=6)])
attempt("iterate async", lambda: asynchronous(lambda it: all_rows(it.iterate("ten"))))
attempt("iterate key", lambda: list(endpoints.iterate("ten", key="n")))
attempt("iterate key async", lambda: asynchronous(lambda it: all_rows(it.iterate("ten", key="n"))))
attempt("insight", lambda: [series.data for series in endpoints.iterate("trend")] != [])
attempt("hundred", lambda: endpoints.run("hundred").has_more)
attempt("inactive", lambda: endpoints.run("inactive"))
attempt("unknown", lambda: endpoints.run("unknown"))
attempt("variable", lambda: endpoints.run("ten", most=1))
attempt("contract", lambda: endpoints.run("broken"))
attempt("pandas", lambda: endpoints.run("ten").to_pandas())
attempt("polars", lambda: endpoints.run("ten").to_polars())
attempt("arrow", lambda: endpoints.run("ten").to_arrow())
attempt("cache in redis", lambda: Endpoints.from_lock(lock, **settings, cache=Cache(5, url="redis://localhost")))
attempt("redis", lambda: Endpoints.from_lock(lock, **settings, budget_url="redis://localhost").run("ten"))
os.environ["ALL_PROXY"] = "socks5://localhost"
away = settings | {"host": "https://us.posthog.com"}
attempt("socks", lambda: Endpoints.from_lock(lock, **away).run("ten"))
attempt("no lock", lambda: Endpoints.from_lock("none.lock"))
print(json.dumps(results))
"""

PIP = "uv pip install"


def unavailable(purpose: str, extra: str, *packages: str) -> list[object]:
    verb = "is" if len(packages) == 1 else "are"
    message = f"{purpose} needs {' and '.join(packages)}, which {verb} not installed"
    return ["MissingExtra", message, f"{PIP} 'endpoints-gitops[{extra}]'", extra, list(packages)]


@pytest.fixture
def results(bare, create, lock, server, client, tmp_path):
    """What the app's calls gave, by name."""
    sql = "SELECT number AS n FROM numbers(10) WHERE number >= {variables.least} ORDER BY n LIMIT 20"
    ten = create("ten", sql, variables={"least": ("Number", 0)})
    series = [{"kind": "EventsNode", "event": "$pageview"}]
    trend = create("trend", query={"kind": "TrendsQuery", "series": series})
    hundred = create("hundred", "SELECT number AS n FROM numbers(1000) ORDER BY n")
    inactive, broken = create("inactive"), create("broken", "SELECT 'x' AS one")
    client.update_endpoint("inactive", {"is_active": False})
    path = lock(ten, trend, hundred, inactive, broken_pin(broken))
    reach = {"host": server.url, "project_id": server.project_id, "key": server.key}
    return bare.python(APP, str(path), json.dumps(reach), cwd=tmp_path)


def broken_pin(pin):
    (column,) = pin.columns
    return replace(pin, columns=(replace(column, type="integer"),))


def test_an_app_calls_what_it_pins(results):
    values = {name: result["value"] for name, result in results.items()}
    assert (values["run"], values["again"], values["records"], values["async"]) == (
        [7, 8, 9],
        True,
        [{"n": 9}],
        [8, 9],
    )
    assert (values["insight"], values["hundred"]) == (True, None)
    assert values["iterate"] == values["iterate async"] == list(range(10))
    for name in ("iterate key", "iterate key async"):
        assert values[name] == unavailable("iterate(key=…)", "hogql", "hogql-parser-rs")
    assert values["pandas"] == unavailable("to_pandas()", "pandas", "pandas")
    assert values["polars"] == unavailable("to_polars()", "polars", "polars")
    assert values["arrow"] == unavailable("to_arrow()", "arrow", "pyarrow")
    assert values["cache in redis"] == unavailable("the url of a Cache", "redis", "redis")
    assert values["redis"] == unavailable("budget_url", "redis", "redis")
    assert values["socks"] == unavailable("the SOCKS proxy in ALL_PROXY", "socks", "socksio")
    errors = {name: values[name][0] for name in ("inactive", "unknown", "variable", "contract", "no lock")}
    assert errors == {
        "inactive": "EndpointInactive",
        "unknown": "PinMissing",
        "variable": "UnknownVariable",
        "contract": "ColumnsBroken",
        "no lock": "UsageError",
    }


def test_what_is_unknown_without_the_parser_is_a_warning(results):
    warned = {name: result["warnings"] for name, result in results.items() if result["warnings"]}
    (pages,), (cut,) = warned.pop("iterate"), warned.pop("hundred")
    assert warned == {}
    absent = "hogql-parser-rs is not installed, so"
    advice = f"{PIP} 'endpoints-gitops[hogql]'"
    assert f"({absent} the last page can have one row more than the LIMIT of the query: {advice})" in pages
    assert f"({absent} the LIMIT of this query is unknown: {advice})" in cut


EXTENSION = """
import json
from endpoints_gitops import MissingExtra
try:
    import endpoints_gitops.extension
except MissingExtra as error:
    print(json.dumps(str(error)))
"""


def test_a_plugin_of_the_command_line_names_the_extra(bare, tmp_path):
    assert bare.python(EXTENSION, cwd=tmp_path).startswith("endpoints_gitops.extension needs deepdiff, ")
