"""After a sunset: the date is that of UTC, wherever the clock is, and so is the time of the last call."""

from __future__ import annotations

from datetime import datetime

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.announcements import is_idle, last_call, traffic_finding
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.sunset import DEFAULT_POLICY, Announcement

TEXT = b"name: orders\nquery: SELECT 1 AS n\ndeprecation: {since: 2026-01-01, sunset: 2026-06-01}\n"
ANNOUNCED = Announcement.of(read_definition("orders.yaml", TEXT, lambda _: b""))
# the clock, and the finding about an endpoint that was never called
CLOCKS = {
    "the evening before": ("2026-05-31T23:59:59+00:00", None),
    "midnight": ("2026-06-01T00:00:00+00:00", "A111"),
    "the day, not yet in UTC": ("2026-06-01T01:00:00+02:00", None),
    "the day in UTC alone": ("2026-05-31T22:00:00-04:00", "A111"),
}


@pytest.mark.parametrize(("now", "code"), CLOCKS.values(), ids=CLOCKS)
def test_the_date_is_that_of_utc(now: str, code: str | None) -> None:
    assert ANNOUNCED is not None
    endpoint = Endpoint(id="e", name="orders", query={})
    finding = traffic_finding(ANNOUNCED, endpoint, datetime.fromisoformat(now), DEFAULT_POLICY)
    assert (finding and finding.code) == code


# the last call as the server has it, in UTC, and whether the endpoint is idle on 2026-07-01 at noon
CALLS = {
    "never": (None, None, True),
    "30 days before": ("2026-06-01T12:00:00+00:00", "2026-06-01T12:00:00+00:00", True),
    "a second less": ("2026-06-01T12:00:01+00:00", "2026-06-01T12:00:01+00:00", False),
    "elsewhere": ("2026-06-01T14:00:00+02:00", "2026-06-01T12:00:00+00:00", True),
    "without a zone": ("2026-06-01T12:00:00", "2026-06-01T12:00:00+00:00", True),
    "without a zone, a second less": ("2026-06-01T12:00:01", "2026-06-01T12:00:01+00:00", False),
}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
@pytest.mark.parametrize(("called", "shown", "idle"), CALLS.values(), ids=CALLS)
def test_the_last_call_is_in_utc(
    called: str | None, shown: str | None, idle: bool, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        when = datetime.fromisoformat(called) if called else None
        endpoint = Endpoint(id="e", name="orders", query={}, last_executed_at=when)
        last = last_call(endpoint)
        assert (last.isoformat() if last else None) == shown
        assert is_idle(endpoint, datetime.fromisoformat("2026-07-01T12:00:00+00:00"), DEFAULT_POLICY) is idle
    finally:
        monkeypatch.undo()
        time.tzset()
