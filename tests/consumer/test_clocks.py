"""The library works when a test stops or moves the clock with freezegun or time-machine.

Each subject is run under each clock; the plugin has the same in `tests/plugin/test_fakes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import freezegun
import pytest
import time_machine

import endpoints_gitops as library
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import FileRateLimiter, RateLimit
from endpoints_gitops.cli.entry import main
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.codecs.recording import Recording, read_recording, write_recording
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.manifest import read_lock_file

PAST, FUTURE = datetime(1999, 12, 31, 23, 59, 58, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
type Clock = Callable[[], AbstractContextManager[object]]


def freezing(day: datetime, *, tick: bool) -> Clock:
    return lambda: freezegun.freeze_time(day, tick=tick)


def travelling(day: datetime, *, tick: bool) -> Clock:
    return lambda: time_machine.travel(day, tick=tick)


CLOCKS = {
    f"{library_name}, {day.year}, {'ticking' if tick else 'stopped'}": (kind(day, tick=tick), day)
    for library_name, kind in (("freezegun", freezing), ("time-machine", travelling))
    for day in (PAST, FUTURE)
    for tick in (False, True)
}


@pytest.fixture(params=CLOCKS.values(), ids=CLOCKS)
def clock(request):
    return request.param


@pytest.fixture
def moved(clock):
    """The moment that the clock was moved to; it is moved for the length of the test."""
    start, day = clock
    with start():
        yield day


@pytest.fixture
def pinned_days(create):
    """Made under the real clock."""
    return create(
        "days",
        "SELECT toDateTime({variables.day}) AS moment, toDate(moment) AS day, {variables.day} AS text",
        variables={"day": ("Date", "2026-07-01")},
    )


def test_a_lock_is_written_read_and_checked(pin, lock, clock, monkeypatch, capsys):
    start, day = clock
    path = lock(pin())
    path.with_name("endpoints.toml").write_text(
        '[environments.default]\nhost = "https://h.test"\nproject_id = 1\n[uses]\nrevenue = { version = 3 }\n'
    )
    monkeypatch.chdir(path.parent)
    with start():
        now = datetime.now(UTC)
        made = replace(pin(), created_at=now)
        path.write_bytes(write_lock(Lock(pins=(made,))))
        (read,) = read_lock_file(path).pins
        code = main(["lock", "--check"])
    assert code == 0, capsys.readouterr().err
    assert read == made
    assert read.contract_hash == made.contract_hash
    assert abs(read.created_at - day) < timedelta(minutes=1)
    assert read_lock_file(path).pins == (made,)


@pytest.mark.usefixtures("moved")
def test_days_and_moments_of_that_clock_are_sent_and_read(app, pinned_days):
    client = app(pinned_days, contract="strict")
    today, now = date.today(), datetime.now(UTC)  # noqa: DTZ011 - the classes of the libraries are what is sent
    for value, text in ((today, today.isoformat()), (now, now.isoformat()), ("2026-07-01", "2026-07-01")):
        (row,) = client.run("days", day=value)
        assert row.text == text
        assert isinstance(row.day, date)
        assert row.day.isoformat() == text[:10]
        assert isinstance(row.moment, datetime)
        assert row.moment.isoformat()[:10] == text[:10]
    with pytest.raises(library.WrongVariableType, match="'day' must be a date"):
        client.run("days", day="soon")


@pytest.mark.usefixtures("moved")
def test_an_answer_in_the_cache_has_an_age(app, pinned_days):
    client = app(pinned_days, cache=60)
    assert client.run("days").age == 0
    assert 0 <= client.run("days").age < 60


@pytest.mark.usefixtures("moved")
def test_a_call_is_tried_again_and_given_up(app, pinned_days, server):
    client = app(pinned_days, max_wait=1.0)
    server.faults.add(Fault(effect=Effect.ERROR, status=503, nth=1))
    assert len(client.run("days")) == 1
    server.faults.clear()
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=0))
    with pytest.raises(library.Throttled):
        client.run("days")


@pytest.mark.usefixtures("moved")
def test_a_pause_that_the_server_asks_for_ends(app, pinned_days, server, request):
    """It ends in the answer, or in `Throttled` where a clock that stands still never reaches the end of the pause."""
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=1, nth=1))
    names = request.node.name
    if "stopped" in names and not ("freezegun" in names and "async" in names):
        with pytest.raises(library.Throttled):
            app(pinned_days, max_wait=1.5).run("days")
    else:
        assert len(app(pinned_days, max_wait=60).run("days")) == 1
    assert server.requests.entries()[0].status == 429


CONNECTION = Connection(host="https://h.test", project_id=1, key=Secret("phx_k"))


def test_requests_that_were_counted_under_another_clock_do_not_count(tmp_path, clock):
    start, _ = clock
    few = RateLimit(minute=2, hour=2)

    def acquired(times):
        limiter = FileRateLimiter(tmp_path / "budgets.sqlite", CONNECTION, notice=pytest.fail, direct=few)
        try:
            return [limiter.acquire(materialized=False) for _ in range(times)]
        finally:
            limiter.close()

    with start():
        first = acquired(3)
        limiter = FileRateLimiter(tmp_path / "budgets.sqlite", CONNECTION, notice=pytest.fail, direct=few)
        limiter.pause(50, materialized=False)
        limiter.close()
    assert first[:2] == [0, 0]
    assert 0 < first[2] <= 3601
    assert acquired(1) == [0]


def test_a_recording_of_that_clock_is_written_and_read(clock):
    start, day = clock
    with start():
        recording = Recording(
            endpoint="days", version=1, version_id=None, variables={"day": "2026-07-01"},
            recorded_on=datetime.now(UTC).date(), query_hash="q", columns=("n",), types=(("n", "Int64"),), rows=([1],),
        )  # fmt: skip
        content = write_recording(recording)
        assert read_recording(content, "days.json") == recording
    assert read_recording(content, "days.json") == recording
    assert recording.recorded_on.year == day.year


@pytest.mark.usefixtures("moved")
def test_an_event_loop_gathers_calls(pinned_days, lock, server):
    reach = {"host": server.url, "project_id": 1, "key": server.key}

    async def play():
        async with library.AsyncEndpoints.from_lock(lock(pinned_days), **reach) as endpoints:
            return [len(rows) for rows in await asyncio.gather(*(endpoints.run("days") for _ in range(3)))]

    assert asyncio.run(play()) == [1, 1, 1]
