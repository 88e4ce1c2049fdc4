"""Generated clients in a suite: rows of a generated class, and files that are not those of the lock."""

from __future__ import annotations

from dataclasses import replace

from endpoints_gitops.model.pin import PinnedColumn

TARGET = '[generate.app]\nlang = "python"\nnative = true\n'
CALLS = """
def test_revenue(endpoints):
    assert len(endpoints("revenue", month="2026-07")) == 1
"""


def configured(app):
    app.configure("revenue")
    toml = app.folder / "endpoints.toml"
    toml.write_text(toml.read_text() + TARGET)
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")


def test_rows_of_a_generated_class_with_other_names_than_the_columns(app_once):
    app = app_once
    columns = (PinnedColumn(name="from", type="string"), PinnedColumn(name="mrr", type="integer"))
    pin = replace(app.PIN, columns=(*columns, PinnedColumn(name="month", type="string")))
    configured(app)
    app.locks(pin)
    app.command("generate", "--quiet")
    app.has_recorded(pin, month="2026-07")
    app.pytester.syspathinsert(app.folder / "clients" / "python")
    app.suite("""
import asyncio
from endpoints_client import Revenue

EXPECTED = [Revenue(from_="pro", mrr=120, month="2026-07")]

def test_sync(endpoints):
    assert endpoints(Revenue, month="2026-07") == EXPECTED

def test_async(async_endpoints):
    async def rows():
        return await async_endpoints(Revenue, month="2026-07")
    assert asyncio.run(rows()) == EXPECTED
""")
    app.pytest().assert_outcomes(passed=2)


def test_a_client_of_another_lock_fails_the_run(app):
    configured(app)
    app.suite(CALLS)
    app.command("generate", "--quiet")
    assert app.pytest().ret == 0
    moved = replace(app.PIN, version=2)
    app.locks(moved)
    app.has_recorded(moved, month="2026-07")

    result = app.pytest()

    assert (result.ret, result.parseoutcomes()) == (1, {"passed": 1})
    assert app.failure(result, "clients/") == (
        "clients/python/endpoints_client.py: the generated client is stale\n"
        "  because    revenue moved from version 1 to 2\n"
        "  next       endpoints-gitops generate"
    )
    app.command("generate", "--quiet")
    assert app.pytest().ret == 0


def test_a_client_that_was_never_generated_fails_the_run(app_once):
    app = app_once
    configured(app)
    app.suite(CALLS)
    result = app.pytest()
    assert result.ret == 1
    assert "clients/python/endpoints_client.py: the generated client is missing" in app.output(result)


def test_a_run_without_calls_or_without_targets_does_not_look(app_once):
    app = app_once
    configured(app)
    app.suite("def test_nothing():\n    pass\n")
    assert app.pytest().ret == 0
    app.suite(CALLS)
    app.configure("revenue")
    assert app.pytest().ret == 0


def test_what_cannot_be_compared_fails_the_run(app_once):
    app = app_once
    configured(app)
    app.suite(CALLS)
    (app.folder / "clients/python/endpoints_client.py").mkdir(parents=True)
    result = app.pytest()
    assert result.ret == 1
    assert "generate: the generated clients cannot be compared with the lock" in app.output(result)
    assert "cannot be read: Is a directory" in app.output(result)
