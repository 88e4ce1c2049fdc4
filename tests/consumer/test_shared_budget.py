"""The budget that several machines share, in a real Redis on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest

import endpoints_gitops as library
from endpoints_gitops.api.budget import Allowance
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.shared_budget import SharedBudget
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.secret import Secret

SERVER = shutil.which("redis-server")


def start(port):
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*command, "--loglevel", "notice"], stdout=subprocess.PIPE, text=True)
    if not any("Ready to accept connections" in line for line in process.stdout):
        raise AssertionError("redis-server did not start")
    return process


def stop(process):
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def redis():
    """Its port. `apt-get install redis-server` has it, as .ci/run does."""
    if SERVER is None:
        pytest.fail("these tests need redis-server: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(port)
    yield port
    stop(process)


@pytest.fixture
def budget(redis):
    """Makes budgets of one key over that Redis, as many machines would: `budget(minute=3)`."""
    made = []
    key = Secret(f"phx_{time.monotonic_ns()}")

    def make(*, minute=3, notices=None, port=None, key=key):
        connection = Connection(host="https://us.posthog.com", project_id=1, key=key)
        few = Allowance(minute=minute, hour=20 * minute)
        url = f"redis://127.0.0.1:{port or redis}/0"
        notice = pytest.fail if notices is None else notices.append
        made.append(SharedBudget(url, connection, notice=notice, direct=few, materialized=Allowance(minute=9, hour=99)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_machines_count_together(budget):
    first, second = budget(), budget()
    assert [first.take(materialized=False), second.take(materialized=False), first.take(materialized=False)] == [0] * 3
    assert 0 < second.take(materialized=False) <= 61
    assert second.take(materialized=True) == 0
    assert (first.left()["direct"].minute, first.left()["materialized"].minute) == (0, 8)


def test_no_more_than_allowed_however_many_ask_at_once(budget):
    budgets = [budget(minute=20) for _ in range(4)]
    taken = Counter()

    def work(one):
        for _ in range(10):
            taken[one.take(materialized=False) == 0] += 1

    threads = [threading.Thread(target=work, args=(one,)) for one in budgets for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == {True: 20, False: 60}


def test_a_pause_of_the_server_holds_for_everybody_and_the_longest_counts(budget):
    first, second = budget(), budget()
    first.pause(30, materialized=False)
    second.pause(5, materialized=False)
    assert 25 < second.take(materialized=False) <= 30
    assert second.left()["direct"].paused_seconds > 25
    assert second.take(materialized=True) == 0


def test_keys_have_budgets_of_their_own_and_are_not_told(budget, redis):
    from redis import Redis

    one, other = budget(minute=1), budget(minute=1, key=Secret("phx_somebody_else"))
    assert (one.take(materialized=False), other.take(materialized=False)) == (0, 0)
    one.pause(1, materialized=False)
    with Redis(port=redis) as client:
        keys = [key.decode() for key in client.keys("*")]
        assert all(client.pttl(key) > 0 for key in keys)
    assert not [key for key in keys if "phx_" in key]


def test_a_redis_that_is_away_stops_nobody():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notices = []
    connection = Connection(host="https://us.posthog.com", project_id=1, key=Secret("phx_a"))
    away = SharedBudget(f"redis://:secret@127.0.0.1:{port}/0", connection, notice=notices.append)
    assert [away.take(materialized=False) for _ in range(3)] == [0] * 3
    assert away.left() == {}
    assert notices == ["going on without counting requests for 30 s: no Redis (ConnectionError)"]
    away.close()


def test_a_redis_that_was_started_anew(budget, redis):
    from redis import Redis

    one = budget()
    assert one.take(materialized=False) == 0
    with Redis(port=redis) as client:
        client.script_flush()
        client.flushall()
    assert one.take(materialized=False) == 0


def test_an_address_that_is_none_and_a_package_that_is_not_there(monkeypatch):
    connection = Connection(host="https://us.posthog.com", project_id=1, key=Secret("phx_a"))
    with pytest.raises(library.UsageError, match="budget_url is no address of a Redis") as wrong:
        SharedBudget("postgres://:secret@db", connection, notice=pytest.fail)
    assert "secret" not in str(wrong.value)
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(library.UsageError, match="needs the package redis") as lacking:
        SharedBudget("redis://localhost", connection, notice=pytest.fail)
    assert lacking.value.fix == "pip install 'endpoints-gitops[redis]'"


def test_an_app_counts_in_redis_and_everybody_waits_after_a_429(app, create, server, redis):
    pin = create("one")
    url = f"redis://127.0.0.1:{redis}/0"
    app(pin, budget_url=url).run("one")
    counted = SharedBudget(
        url,
        Connection(host=server.url, project_id=server.project_id, key=Secret(server.key)),
        notice=pytest.fail,
    )
    assert counted.left()["direct"].minute == 239
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=50, nth=1))
    with pytest.raises(library.Throttled):
        app(pin, budget_url=url, max_wait=5).run("one")
    server.requests.clear()
    with pytest.raises(library.BudgetSpent):
        app(pin, budget_url=url, max_wait=5).run("one")
    assert server.requests.entries() == ()
    counted.close()
