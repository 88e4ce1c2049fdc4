"""The budget of a key: what the server's windows allow, over all processes of this machine."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from endpoints_gitops.api import budget, errors
from endpoints_gitops.api.budget import Allowance, Budget
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.limits import Limits
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret

SMALL = Allowance(minute=30, hour=60)


def to(key="phx_k", host="https://h.test", project=1, max_wait=60.0):
    return Connection(host=host, project_id=project, key=Secret(key), max_wait=max_wait)


class Clock:
    """Milliseconds, moved by hand."""

    def __init__(self):
        self.now = 1_800_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(budget, "_now", made)
    return made


@pytest.fixture
def opened(tmp_path):
    """Makes budgets on one file."""
    made = []

    def make(connection=None, **allowances):
        counted = Budget(tmp_path / "state" / "b.sqlite", connection or to(), notice=pytest.fail, **allowances)
        made.append(counted)
        return counted

    yield make
    for each in made:
        each.close()


def spend(counted, *, materialized=False):
    """How many go through until one does not, and how long that would have to wait."""
    number = 0
    while not (wait := counted.take(materialized=materialized)):
        number += 1
    return number, wait


def test_a_minute_and_an_hour(opened, clock):
    ours = opened(direct=SMALL)
    assert spend(ours)[0] == 30
    clock.now += 61_001
    assert spend(ours)[0] == 30
    clock.now += 61_001
    number, wait = spend(ours)
    assert (number, round(wait)) == (0, 3601 - 2 * 61)
    clock.now += int(wait * 1000)
    assert spend(ours)[0] == 30


@pytest.mark.parametrize("seconds", [3600, 3700, 1e300, float("inf"), -5, 0])
def test_no_pause_blocks_for_longer_than_the_longest_window(opened, clock, seconds):
    ours = opened(direct=SMALL)
    ours.pause(seconds, materialized=False)
    assert ours.take(materialized=False) <= budget.LONGEST_WAIT
    clock.now += budget.HOUR
    assert ours.take(materialized=False) == 0


def test_what_a_clock_that_was_ahead_left_behind_does_not_count(opened, clock):
    """Requests and a pause of four years from now, as a suite that travels in time leaves them."""
    ours = opened(direct=SMALL)
    clock.now += 4 * 365 * 86_400_000
    assert spend(ours)[0] == 30
    ours.pause(600, materialized=False)
    clock.now -= 4 * 365 * 86_400_000
    assert ours.left()["direct"] == budget.Left(minute=30, hour=60)
    assert spend(ours)[0] == 30
    number, wait = spend(ours)
    assert (number, wait <= 61.001) == (0, True)
    ours.pause(7, materialized=False)
    assert ours.take(materialized=False) == 7, "a pause of now replaces the one of then"


def test_a_wait_that_an_older_release_stored_does_not_count(opened, clock):
    ours = opened(direct=SMALL)
    ours._sqlite.execute("INSERT INTO pauses VALUES (?, ?)", (ours._table("direct"), clock.now + 10**12))
    assert ours.take(materialized=False) == 0


def test_the_window_slides_request_by_request(opened, clock):
    ours = opened(direct=Allowance(minute=2, hour=100))
    waits = []
    for _ in range(4):
        waits.append(ours.take(materialized=False))
        clock.now += 20_000
    assert waits == [0, 0, 21.001, 1.001]
    clock.now += 1_001
    assert ours.take(materialized=False) == 0


def test_the_numbers_are_the_servers():
    assert (budget.DIRECT.minute, budget.DIRECT.hour) == (240, 2_400)
    assert (budget.MATERIALIZED.minute, budget.MATERIALIZED.hour) == (1_200, 12_000)


def test_materialised_runs_are_counted_apart(opened):
    ours = opened(direct=SMALL, materialized=Allowance(minute=40, hour=400))
    assert (spend(ours)[0], spend(ours, materialized=True)[0]) == (30, 40)


@pytest.mark.parametrize(
    ("other", "left"),
    [
        (to("phx_k"), 0),
        (to("phx_k", project=2), 0),
        (to("phx_other"), 30),
        (to("phx_k", host="https://eu.test"), 30),
    ],
)
def test_a_budget_belongs_to_a_key_on_a_host(opened, other, left):
    spend(opened(direct=SMALL))
    assert spend(opened(other, direct=SMALL))[0] == left


@pytest.mark.parametrize(("project", "left"), [(1, 0), (2, 30)])
def test_the_secret_keys_of_a_project_share_one(opened, project, left):
    spend(opened(to("phs_one"), direct=SMALL))
    assert spend(opened(to("phs_two", project=project), direct=SMALL))[0] == left


def test_what_is_left(opened, clock):
    ours = opened(direct=SMALL)
    for _ in range(4):
        ours.take(materialized=False)
    clock.now += 100_000
    ours.take(materialized=False)
    ours.pause(7, materialized=False)
    left = ours.left()["direct"]
    assert (left.minute, left.hour, left.paused_seconds) == (29, 55, 7)


def test_a_pause_holds_for_every_process_and_the_longest_counts(opened, clock):
    ours, theirs = opened(direct=SMALL), opened(direct=SMALL)
    ours.pause(30, materialized=False)
    theirs.pause(10, materialized=False)
    assert theirs.take(materialized=False) == 30
    assert theirs.take(materialized=True) == 0
    clock.now += 30_000
    assert theirs.take(materialized=False) == 0


def test_old_requests_are_forgotten(opened, clock, tmp_path):
    ours = opened()
    for _ in range(100):
        ours.take(materialized=False)
    clock.now += 4_000_000
    again = opened()
    again.take(materialized=False)
    import sqlite3

    with sqlite3.connect(tmp_path / "state" / "b.sqlite") as looking:
        (table,) = looking.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'direct%' AND type = 'table'"
        ).fetchone()
        assert looking.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    looking.close()


SPEND = """
import sys
from pathlib import Path
from endpoints_gitops.api.budget import Allowance, Budget
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.model.secret import Secret
connection = Connection(host="https://h.test", project_id=1, key=Secret("phx_k"))
counted = Budget(Path(sys.argv[1]), connection, notice=sys.exit, direct=Allowance(minute=300, hour=3000))
sys.stdin.readline()
number = 0
while not counted.take(materialized=False):
    number += 1
print(number)
"""


def test_processes_together_never_exceed_it(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SPEND, tmp_path / "b.sqlite"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    spent = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert sum(spent) == 300


def test_threads_together_never_exceed_it(opened):
    ours = opened(direct=SMALL)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: ours.take(materialized=False), range(100)))
    assert waits.count(0) == 30


def test_a_reset_forgets_what_was_counted_and_every_pause(opened):
    ours, others = opened(direct=SMALL), opened(to("phx_other"), direct=SMALL)
    spend(ours)
    spend(others)
    ours.pause(600, materialized=True)
    ours.reset()
    assert (ours.take(materialized=True), spend(ours)[0], spend(others)[0]) == (0, 30, 0)


def test_the_key_is_not_in_the_file(opened, tmp_path):
    opened(to("phx_sentinel")).take(materialized=False)
    assert all(b"sentinel" not in path.read_bytes() for path in (tmp_path / "state").iterdir())


@pytest.mark.parametrize("spoil", ["not a database", None])
def test_a_file_that_cannot_be_used_stops_nobody_and_is_said_once(tmp_path, spoil):
    path = tmp_path / "b.sqlite"
    path.write_text(spoil * 100) if spoil else path.mkdir()
    said = []
    ours = Budget(path, to(), notice=said.append)
    assert [ours.take(materialized=False) for _ in range(500)] == [0] * 500
    ours.pause(5, materialized=False)
    assert ours.left() == {}
    assert len(said) == 1
    assert str(path) in said[0]
    if spoil:
        assert path.read_text() == spoil * 100


def test_every_attempt_counts(server, connect, endpoint, tmp_path):
    client = connect(budget=tmp_path / "b.sqlite")
    server.faults.add(Fault(effect=Effect.ERROR, status=500, nth=1))
    client.get_endpoint(endpoint)
    client.run(endpoint)
    client.run(endpoint, draws_materialized=True)
    left = client.budget.left()
    assert (left["direct"].minute, left["materialized"].minute) == (237, 1199)


def test_a_client_within_its_budget_never_meets_a_429(engine, tmp_path):
    limits = Limits(per_minute=10, per_hour=100)
    with running_server(engine=engine, limits=limits) as server:
        connection = Connection(host=server.url, project_id=1, key=Secret(server.key), max_wait=20)
        ours = Budget(tmp_path / "b.sqlite", connection, notice=pytest.fail, direct=Allowance(minute=10, hour=100))
        with Client(connection, budget=ours) as client:
            for _ in range(10):
                client.list_endpoints()
            with pytest.raises(errors.BudgetSpent, match="at the earliest") as caught:
                client.list_endpoints()
        assert 30 < caught.value.retry_after <= 61.001
        assert [entry.status for entry in server.requests.entries()] == [200] * 10


def test_a_429_of_the_server_stops_the_next_client_before_it_asks(engine, tmp_path):
    """Another machine spent what this one knows nothing of."""
    with running_server(engine=engine, limits=Limits(per_minute=1, per_hour=100)) as server:
        connection = Connection(host=server.url, project_id=1, key=Secret(server.key), max_wait=20)
        for kind in (None, errors.Throttled, errors.BudgetSpent):
            with Client(connection, budget=tmp_path / "b.sqlite") as client:
                if kind is None:
                    client.list_endpoints()
                else:
                    with pytest.raises(kind) as caught:
                        client.list_endpoints()
                    assert type(caught.value) is kind
                    assert 30 < caught.value.retry_after <= 60
        assert [entry.status for entry in server.requests.entries()] == [200, 429]
