"""SQL that tries to leave its tables, to run for ever or to eat memory is refused or limited, in PostHog's words."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from ruamel.yaml import YAML

from tests.soak.process import ServerProcess, Wire

CASES: Final = YAML(typ="safe").load(Path(__file__).with_name("sandbox.yaml"))
REFUSED: Final = [(sql, case["code"], case["words"]) for case in CASES for sql in case["sql"]]
ENDLESS: Final = (
    "SELECT count() FROM numbers(1000000000000)",
    "SELECT count() FROM numbers(1e12)",
    "SELECT count() FROM numbers(1000000) a CROSS JOIN numbers(1000000) b",
    "SELECT (SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1)",
)
HUNGRY: Final = (
    "SELECT length(groupArray(number)) FROM numbers(1000000000)",
    "SELECT length(arrayFold((a, x) -> arrayConcat(a, a), range(40), [1]))",
    "SELECT arrayMap(x -> arrayMap(y -> arrayMap(z -> z, range(1000)), range(1000)), range(1000))",
)


def hogql(sql: str) -> dict[str, Any]:
    return {"query": {"kind": "HogQLQuery", "query": sql}}


def first_name(sql: str) -> str:
    """The function of a query, or its first word."""
    called = re.search(r"(?:FROM|^SELECT) (\w+)\(", sql)
    return called[1] if called else sql.split()[0]


@pytest.mark.parametrize(("sql", "code", "words"), REFUSED, ids=[sql for sql, *_ in REFUSED])
def test_refused(ask: Callable[..., httpx.Response], sql: str, code: str, words: str) -> None:
    answer = ask("POST", "query/", hogql(sql))
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert words.replace("%s", first_name(sql)) in answer.json()["detail"]


def test_refused_as_an_endpoint_too(ask: Callable[..., httpx.Response]) -> None:
    body = {"name": "e", **hogql("SELECT * FROM file('/etc/passwd')")}
    answer = ask("POST", "endpoints/", body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "Invalid HogQL query: Unknown table `file`.")
    assert ask("GET", "endpoints/").json()["count"] == 0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path)
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.slow
def test_heavy_queries_end_while_others_are_answered_and_give_their_memory_back(process: ServerProcess) -> None:
    """All of them at once, each from a client of its own, with a client that does ordinary things meanwhile."""
    with closing(Wire(process)) as wire:
        assert wire.ask("POST", "endpoints/", {"name": "small", **hogql("SELECT 1 AS one")})[0] == 201
        assert wire.ask("POST", "endpoints/small/run/", {})[1]["results"] == [[1]]
        before = process.memory()

        def refusal(sql: str) -> tuple[int, str]:
            with closing(Wire(process)) as own:
                status, answer = own.ask("POST", "query/", hogql(sql))
                return status, answer["code"]

        with ThreadPoolExecutor(len(ENDLESS + HUNGRY)) as threads:
            waiting = {sql: threads.submit(refusal, sql) for sql in ENDLESS + HUNGRY}
            meanwhile = 0
            while not all(one.done() for one in waiting.values()):
                assert wire.ask("GET", "endpoints/")[1]["count"] == 1
                assert wire.ask("PATCH", "endpoints/small/", hogql(f"SELECT {meanwhile} AS one"))[0] == 200
                assert wire.ask("POST", "endpoints/small/run/", {"version": 1})[1]["results"] == [[1]]
                meanwhile += not any(waiting[sql].done() for sql in ENDLESS)
            answers = {sql: one.result() for sql, one in waiting.items()}
        assert meanwhile, "ordinary requests waited for the heavy ones"
        assert {answers[sql] for sql in ENDLESS + HUNGRY} <= {(400, "query_memory_limit"), (400, "query_timeout")}
        assert (400, "query_timeout") in {answers[sql] for sql in ENDLESS}, "the memory that all share ended some"
        _wait_for(lambda: process.memory() < before + 300, 60)
        assert wire.ask("POST", "endpoints/small/run/", {"version": 1})[1]["results"] == [[1]]
    assert process.errors == ""


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, "the memory was not given back"
        pause.wait(0.1)
