"""`async_endpoints` in every event loop."""

from __future__ import annotations

import pytest

IN_ASYNCIO = """
import asyncio
def test_it(async_endpoints):
    async def ask():
        return await asyncio.gather(*(async_endpoints("revenue", month="2026-07") for _ in range(3)))
    assert [rows.column("mrr") for rows in asyncio.run(ask())] == [[120]] * 3
"""
IN_ANYIO = """
import anyio, pytest
pytestmark = pytest.mark.anyio
@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
async def test_it(async_endpoints):
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask, async_endpoints)
async def ask(async_endpoints):
    assert (await async_endpoints("revenue", month="2026-07")).column("mrr") == [120]
    assert async_endpoints.version("revenue") == 1
"""
IN_TRIO = """
import trio
def test_it(async_endpoints):
    async def ask():
        return await async_endpoints("revenue", month="2026-07")
    assert trio.run(ask).column("mrr") == [120]
"""


@pytest.mark.parametrize("mode", ["replay", "live"])
@pytest.mark.parametrize(
    ("suite", "tests"), [(IN_ASYNCIO, 1), (IN_ANYIO, 2), (IN_TRIO, 1)], ids=["asyncio", "anyio", "trio"]
)
def test_async_endpoints_works_in_every_event_loop(app_once, suite, tests, mode):
    app_once.pinned()
    app_once.suite("def test_first(endpoints):\n    endpoints('revenue', month='2026-07')\n")
    app_once.record()
    app_once.suite(suite)
    app_once.pytest(f"--endpoints={mode}", "-W", "error", key=app_once.server.key).assert_outcomes(passed=tests)
    assert app_once.runs() == (2 if mode == "live" else 1)


def test_a_failure_in_a_task_group_is_reported_unchanged(app):
    app.locks(app.PIN)
    app.suite(IN_ANYIO.replace("range(3)", "range(1)"))
    result = app.pytest()
    result.assert_outcomes(failed=2)
    assert app.failure(result).startswith("revenue@1: no recording of this call")
    assert "ExceptionGroup" not in app.output(result)
    assert "never retrieved" not in "\n".join(result.errlines)
