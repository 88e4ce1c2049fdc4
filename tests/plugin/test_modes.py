"""Where answers come from, and what is written when."""

from __future__ import annotations

import pytest

SUITE = """
def test_total(endpoints):
    rows = endpoints("revenue", month="2026-07")
    assert rows.column("mrr") == [120]
    assert rows[0].plan == "pro"
    assert endpoints.version("revenue") == 1
"""


def test_what_was_recorded_is_replayed_without_a_key(app):
    pin = app.pinned()
    app.suite(SUITE)
    app.record()
    assert app.recording(pin, month="2026-07").is_file()
    before = app.runs()
    assert app.pytest().ret == 0
    assert app.runs() == before
