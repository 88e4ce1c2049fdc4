"""Deprecated pins are named in the summary of a run; no test fails by them, also where warnings are errors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from pytest_endpoints_gitops.summary import deprecated_pins

from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.sunset import SunsetNotice

SUITE = """
def test_it(endpoints):
    assert endpoints("revenue", month="2026-07").column("mrr") == [120]
"""
CLIENT = """
from endpoints_gitops import Endpoints

client = Endpoints.from_lock(max_wait=2)

def test_the_client_of_the_app(endpoints_env, endpoints_server):
    assert [row.mrr for row in client.run("revenue", month="2026-07")] == [120]
"""


def notice(sunset: date, **more: str) -> SunsetNotice:
    return SunsetNotice(since=date(2026, 1, 1), sunset=sunset, **more)


def test_the_summary_names_deprecated_pins_and_no_test_fails(app):
    sunset = datetime.now(UTC).date() + timedelta(days=400)
    pin = replace(app.PIN, deprecation=notice(sunset, replaced_by="mrr"))
    app.locks(pin)
    app.has_recorded(pin, month="2026-07")
    app.suite(SUITE + CLIENT)
    result = app.pytest("-W", "error::DeprecationWarning")
    assert result.ret == 0, result.outlines
    lines = [line for line in result.outlines if line.startswith("  deprecated ")]
    assert [line.partition(", in ")[0] for line in lines] == [f"  deprecated revenue@1 (test): sunset {sunset}"]
    assert lines[0].endswith(" days; use mrr instead")


def test_a_run_without_deprecated_pins_says_nothing_of_them(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(SUITE)
    assert not [line for line in app.pytest().outlines if line.startswith("  deprecated ")]


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (date(2026, 6, 29), "sunset 2026-06-30, in 1 day"),
        (date(2026, 6, 30), "sunset 2026-06-30, today"),
        (date(2026, 7, 2), "sunset 2026-06-30, 2 days ago"),
    ],
)
def test_the_days_left(app, day, words):
    pin = replace(app.PIN, deprecation=notice(date(2026, 6, 30)))
    lock = Lock(pins=(pin, replace(pin, environment="prod")))
    assert [*deprecated_pins(lock, ["test"], day)] == [f"  deprecated revenue@1 (test): {words}"]
