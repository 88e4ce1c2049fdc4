"""Rate limits: how many requests are admitted, over all processes that share a log in a file or in Redis."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from endpoints_gitops.api import errors, rate_limiter
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import FileRateLimiter, RateLimit, RedisRateLimiter, Remaining
from endpoints_gitops.errors import MissingExtra, UsageError
from endpoints_gitops.extras import install_advice
from endpoints_gitops.local.deployment import Limits
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret
from tests.redis_server import free_port

SMALL = RateLimit(minute=30, hour=60)
FOUR_YEARS = 4 * 365 * 86_400_000


def to(key="phx_k", host="https://h.test", project=1):
    return Connection(host=host, project_id=project, key=Secret(key))


class Clock:
    """Milliseconds, moved by hand."""

    def __init__(self):
        self.now = 1_800_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "limits.sqlite"


@pytest.fixture
def in_file(path, clock):
    """Makes limiters on one file, whose clock is `clock`."""
    limiters = []

    def make(connection=None, **settings):
        settings = {"notice": pytest.fail, "direct": SMALL, "now": clock} | settings
        limiters.append(FileRateLimiter(path, connection or to(), **settings))
        return limiters[-1]

    yield make
    for limiter in limiters:
        limiter.close()


@pytest.fixture
def in_redis(redis_url):
    """Makes limiters in one Redis, as several machines would. Keys of other tests are not met: hosts differ."""
    host = f"https://{uuid.uuid4().hex}.test"
    limiters = []

    def make(connection=None, **settings):
        connection = connection or to()
        settings = {"notice": pytest.fail, "direct": SMALL} | settings
        suffix = connection.host.removeprefix("https://h.test")
        connection = Connection(host=host + suffix, project_id=connection.project_id, key=connection.key)
        limiters.append(RedisRateLimiter(redis_url, connection, **settings))
        return limiters[-1]

    yield make
    for limiter in limiters:
        limiter.close()


@pytest.fixture(params=["file", "redis"])
def make(request):
    """Makes limiters that share one log."""
    return request.getfixturevalue(f"in_{request.param}")


def spend(limiter, *, materialized=False):
    """How many requests are admitted before the first wait, and that wait."""
    number = 0
    while not (wait := limiter.acquire(materialized=materialized)):
        number += 1
    return number, wait


def test_the_limits_are_the_servers():
    assert RateLimit(minute=240, hour=2_400) == rate_limiter.DIRECT
    assert RateLimit(minute=1_200, hour=12_000) == rate_limiter.MATERIALIZED


def test_materialized_runs_have_limits_of_their_own(make):
    limiter = make(materialized=RateLimit(minute=40, hour=400))
    assert (spend(limiter)[0], spend(limiter, materialized=True)[0]) == (30, 40)


@pytest.mark.parametrize(
    ("other", "admitted"),
    [
        (to("phx_k"), 0),
        (to("phx_k", project=2), 0),
        (to("phx_other"), 30),
        (to("phx_k", host="https://h.test.eu"), 30),
    ],
)
def test_limits_belong_to_a_key_on_a_host(make, other, admitted):
    spend(make())
    assert spend(make(other))[0] == admitted


@pytest.mark.parametrize(("project", "admitted"), [(1, 0), (2, 30)])
def test_secret_keys_of_a_project_share_limits(make, project, admitted):
    spend(make(to("phs_one")))
    assert spend(make(to("phs_two", project=project)))[0] == admitted


def test_the_longest_pause_holds_for_every_limiter(make):
    first, second = make(), make()
    first.pause(30, materialized=False)
    second.pause(10, materialized=False)
    assert 25 < second.acquire(materialized=False) <= 30
    assert 25 < second.remaining()["direct"].paused_seconds <= 30
    assert second.acquire(materialized=True) == 0


@pytest.mark.parametrize("seconds", [3600, 3700, 1e300, float("inf"), -5, 0])
def test_no_pause_is_longer_than_the_longest_window(make, seconds):
    limiter = make()
    limiter.pause(seconds, materialized=False)
    assert limiter.acquire(materialized=False) <= rate_limiter.LONGEST_WAIT


def test_reset_forgets_requests_and_pauses_of_the_key(make):
    limiter, other = make(), make(to("phx_other"))
    spend(limiter)
    spend(other)
    limiter.pause(600, materialized=True)
    limiter.reset()
    assert (limiter.acquire(materialized=True), spend(limiter)[0], spend(other)[0]) == (0, 30, 0)


def test_threads_together_stay_within_the_limit(make):
    limiters = [make() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda number: limiters[number % 4].acquire(materialized=False), range(100)))
    assert waits.count(0) == 30


SPEND = """
import sys
from pathlib import Path
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import FileRateLimiter, RateLimit, RedisRateLimiter
from endpoints_gitops.model.secret import Secret

kind, target, host = sys.argv[1:]
connection = Connection(host=host, project_id=1, key=Secret("phx_k"))
settings = {"notice": sys.exit, "direct": RateLimit(minute=1000, hour=9000)}
sys.stdin.readline()
if kind == "file":
    limiter = FileRateLimiter(Path(target), connection, **settings)
else:
    limiter = RedisRateLimiter(target, connection, **settings)
number = 0
while not limiter.acquire(materialized=False):
    number += 1
print(number)
"""


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_busy_processes_together_admit_exactly_the_limit(request, tmp_path, kind):
    """Every process asks without a break, so that each of them has to wait for the others again and again."""
    target = tmp_path / "limits.sqlite" if kind == "file" else request.getfixturevalue("redis_url")
    command = [sys.executable, "-c", SPEND, kind, target, f"https://{uuid.uuid4().hex}.test"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [error for _, error in outputs] == [""] * 8
    assert sum(int(output) for output, _ in outputs) == 1000


# a file: with a clock that the test moves


def test_a_minute_and_an_hour(in_file, clock):
    limiter = in_file()
    assert spend(limiter)[0] == 30
    clock.now += 61_001
    assert spend(limiter)[0] == 30
    clock.now += 61_001
    number, wait = spend(limiter)
    assert (number, round(wait)) == (0, 3601 - 2 * 61)
    clock.now += int(wait * 1000)
    assert spend(limiter)[0] == 30


def test_the_window_slides_request_by_request(in_file, clock):
    limiter = in_file(direct=RateLimit(minute=2, hour=100))
    waits = []
    for _ in range(4):
        waits.append(limiter.acquire(materialized=False))
        clock.now += 20_000
    assert waits == [0, 0, 21.001, 1.001]
    clock.now += 1_001
    assert limiter.acquire(materialized=False) == 0


def test_remaining_counts_both_windows_and_the_pause(in_file, clock):
    limiter = in_file()
    for _ in range(4):
        limiter.acquire(materialized=False)
    clock.now += 100_000
    limiter.acquire(materialized=False)
    limiter.pause(7, materialized=False)
    assert limiter.remaining()["direct"] == Remaining(minute=29, hour=55, paused_seconds=7)


def test_a_pause_ends(in_file, clock):
    limiter = in_file()
    limiter.pause(1e300, materialized=False)
    clock.now += rate_limiter.HOUR
    assert limiter.acquire(materialized=False) == 0


def test_entries_of_a_clock_that_was_ahead_do_not_count(in_file, clock):
    """Requests and a pause of four years from now, as a suite that travels in time leaves them."""
    limiter = in_file()
    clock.now += FOUR_YEARS
    assert spend(limiter)[0] == 30
    limiter.pause(600, materialized=False)
    clock.now -= FOUR_YEARS
    assert limiter.remaining()["direct"] == Remaining(minute=30, hour=60)
    assert spend(limiter)[0] == 30
    number, wait = spend(limiter)
    assert (number, wait <= 61.001) == (0, True)
    limiter.pause(7, materialized=False)
    assert limiter.acquire(materialized=False) == 7, "a pause of now replaces the one of then"


def test_a_clock_that_is_behind_does_not_remove_what_others_sent(in_file, clock):
    limiter, behind = in_file(), in_file(now=lambda: clock.now - 3_000_000)
    for _ in range(5):
        limiter.acquire(materialized=False)
    assert behind.acquire(materialized=False) == 0
    assert limiter.remaining()["direct"] == Remaining(minute=25, hour=54)


def test_a_stored_wait_of_any_length_does_not_count(in_file, clock, path):
    limiter = in_file()
    limiter.pause(7, materialized=False)
    with sqlite3.connect(path) as file:
        file.execute("UPDATE pauses SET until = ?", (clock.now + 10**12,))
    file.close()
    assert limiter.acquire(materialized=False) == 0


def test_old_requests_are_removed(in_file, clock, path):
    spend(in_file(direct=RateLimit(minute=100, hour=100)))
    spend(in_file(to("phx_rotated")))
    clock.now += 4_000_000
    in_file().acquire(materialized=False)
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM requests").fetchone() == (1,)
    file.close()


def test_the_key_is_not_in_the_file(in_file, path):
    in_file(to("phx_sentinel")).acquire(materialized=False)
    assert all(b"sentinel" not in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("spoil", ["not a database", None])
def test_a_file_that_cannot_be_used_is_reported_once_and_stops_no_request(tmp_path, spoil):
    path = tmp_path / "b.sqlite"
    path.write_text(spoil * 100) if spoil else path.mkdir()
    notices = []
    limiter = FileRateLimiter(path, to(), notice=notices.append)
    assert [limiter.acquire(materialized=False) for _ in range(500)] == [0] * 500
    limiter.pause(5, materialized=False)
    assert limiter.remaining() == {}
    assert len(notices) == 1
    assert notices[0].startswith(f"requests are not counted: cannot use {path} (")
    if spoil:
        assert path.read_text() == spoil * 100


# Redis: its clock is real, so the test moves the entries


@pytest.fixture
def entries(in_redis, redis_url):
    """Replaces the log of `phx_k` in Redis by requests that were sent so many milliseconds ago."""
    from redis import Redis

    in_redis().acquire(materialized=False)
    with Redis.from_url(redis_url) as client:

        def put(*ages):
            (log,) = client.keys(f"endpoints-gitops:direct:{in_redis()._owner}")
            seconds, micros = client.time()
            now = seconds * 1000 + micros // 1000
            client.delete(log)
            if ages:
                client.zadd(log, {f"{number}": now - age for number, age in enumerate(ages)})

        yield put


MINUTE_AGO, HOUR_AGO = 61_000, 3_601_000


@pytest.mark.parametrize(
    ("ages", "wait", "remaining"),
    [
        ([], 0, (2, 4)),
        ([1], 0, (1, 3)),
        ([40_000, 1], 21, (0, 2)),
        ([MINUTE_AGO + 10, 1], 0, (1, 2)),
        ([600_000, 500_000, 400_000, 300_000], 3001, (2, 0)),
        ([HOUR_AGO + 10, 500_000, 400_000, 300_000], 0, (2, 1)),
        ([-FOUR_YEARS, -FOUR_YEARS, -FOUR_YEARS], 0, (2, 4)),
        ([-FOUR_YEARS, 40_000, 1], 21, (0, 2)),
    ],
    ids=["empty", "one", "full", "old", "hour", "past", "ahead", "mixed"],
)
def test_redis_counts_in_sliding_windows(in_redis, entries, ages, wait, remaining):
    limiter = in_redis(direct=RateLimit(minute=2, hour=4))
    entries(*ages)
    left = limiter.remaining()["direct"]
    assert (left.minute, left.hour) == remaining
    assert limiter.acquire(materialized=False) == pytest.approx(wait, abs=5)


def test_nothing_stays_in_redis_for_ever_and_no_key_is_sent_there(in_redis, redis_url):
    from redis import Redis

    limiter = in_redis(to("phx_sentinel"))
    limiter.acquire(materialized=False)
    limiter.pause(1, materialized=False)
    with Redis.from_url(redis_url) as client:
        names = [name.decode() for name in client.keys("*")]
        own = [name for name in names if limiter._owner in name]
        assert len(own) == 2
        assert all(client.pttl(name) > 0 for name in own)
        assert not [name for name in names if "sentinel" in name]


def test_a_redis_that_was_restarted_is_used_again(in_redis, redis_url):
    from redis import Redis

    limiter = in_redis()
    assert limiter.acquire(materialized=False) == 0
    with Redis.from_url(redis_url) as client:
        client.script_flush()
        client.flushall()
    assert limiter.acquire(materialized=False) == 0
    assert limiter.remaining()["direct"].minute == 29


def test_a_redis_that_cannot_be_reached_is_reported_and_stops_no_request():
    notices = []
    away = RedisRateLimiter(f"redis://:secret@127.0.0.1:{free_port()}/0", to(), notice=notices.append)
    assert [away.acquire(materialized=False) for _ in range(3)] == [0] * 3
    assert away.remaining() == {}
    assert notices == ["requests are not counted for 30 s: cannot use Redis (ConnectionError)"]
    away.close()


def test_a_wrong_url_and_a_missing_package_are_usage_errors(monkeypatch):
    with pytest.raises(UsageError, match="budget_url is not a Redis URL") as wrong:
        RedisRateLimiter("postgres://:secret@db", to(), notice=pytest.fail)
    assert "secret" not in str(wrong.value)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match="budget_url needs redis, which is not installed") as missing:
        RedisRateLimiter("redis://localhost", to(), notice=pytest.fail)
    assert missing.value.fix == install_advice("redis")


# clients


def test_every_attempt_counts(server, connect, endpoint, tmp_path):
    client = connect(rate_limiter=tmp_path / "b.sqlite")
    server.faults.add(Fault(effect=Effect.ERROR, status=500, nth=1))
    client.get_endpoint(endpoint)
    client.run(endpoint)
    client.run(endpoint, draws_materialized=True)
    left = client.rate_limiter.remaining()
    assert (left["direct"].minute, left["materialized"].minute) == (237, 1199)


def test_a_client_within_its_limits_never_meets_a_429(engine, tmp_path):
    limits = Limits(per_minute=10, per_hour=100)
    with running_server(engine=engine, limits=limits) as server:
        connection = Connection(host=server.url, project_id=1, key=Secret(server.key), max_wait=20)
        direct = RateLimit(minute=10, hour=100)
        limiter = FileRateLimiter(tmp_path / "b.sqlite", connection, notice=pytest.fail, direct=direct)
        with Client(connection, rate_limiter=limiter) as client:
            for _ in range(10):
                client.list_endpoints()
            with pytest.raises(errors.BudgetSpent, match="the next request is possible in") as caught:
                client.list_endpoints()
        assert 30 < caught.value.retry_after <= 61.001
        assert [entry.status for entry in server.requests.entries()] == [200] * 10


def test_a_429_of_the_server_stops_the_next_client_before_it_asks(engine, tmp_path):
    """Another machine used the key, which this one cannot know."""
    with running_server(engine=engine, limits=Limits(per_minute=1, per_hour=100)) as server:
        connection = Connection(host=server.url, project_id=1, key=Secret(server.key), max_wait=20)
        for kind in (None, errors.Throttled, errors.BudgetSpent):
            with Client(connection, rate_limiter=tmp_path / "b.sqlite") as client:
                if kind is None:
                    client.list_endpoints()
                else:
                    with pytest.raises(kind) as caught:
                        client.list_endpoints()
                    assert type(caught.value) is kind
                    assert 30 < caught.value.retry_after <= 60
        assert [entry.status for entry in server.requests.entries()] == [200, 429]
