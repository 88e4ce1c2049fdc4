"""Pushes that are killed, each write being the last one, and what `resume` and a new push make of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from endpoints_gitops.local.faults import Effect, Fault, When

SQL = "SELECT event, count() AS c FROM events GROUP BY event"
NAMES = ("one", "two", "three")


def yaml(name: str, sql: str) -> str:
    return f"name: {name}\nquery: {json.dumps(sql)}\n"


def files(number: int) -> dict[str, str]:
    return {f"{name}.yaml": yaml(name, f"{SQL} LIMIT {number}") for name in NAMES}


@pytest.fixture
def stopped(checkout, server) -> Callable[..., int]:
    """Runs a push in a process of its own, and sends it a signal when all it could do is done; the exit code."""

    def stop(*faults: Fault, sent: int, by: signal.Signals = signal.SIGKILL) -> int:
        server.requests.clear()
        server.faults.add(*faults)
        program = "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main(sys.argv[1:]))"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "push", "--yes"],
            cwd=checkout.top,
            env=os.environ | {"ENDPOINTS_TEST_KEY": server.key},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        hanging = sum(fault.when is When.BEFORE for fault in faults)
        while time.monotonic() < deadline and not _all_sent(server, sent, hanging):
            with pytest.raises(subprocess.TimeoutExpired):  # else it ended by itself
                process.wait(timeout=0.02)
        process.send_signal(by)
        code = process.wait(timeout=60)
        server.faults.clear()
        return code

    return stop


@pytest.fixture
def killed(cli, checkout, stopped) -> Callable[..., None]:
    """A push of three new queries over three old ones, killed."""
    checkout.commit(files(1))
    assert cli("push", "--yes").code == 0
    checkout.write(files(2))

    def kill(*faults: Fault) -> None:
        assert stopped(*faults, sent=3) == -signal.SIGKILL

    return kill


def _all_sent(server, sent: int, hanging: int) -> bool:
    writes = server.requests.writes()
    return len(writes) == sent and sum(write.status is not None for write in writes) >= sent - max(hanging, 1)


def hang(name: str, when: When) -> Fault:
    return Fault(effect=Effect.HANG, seconds=60, method="PATCH", path=f"*/endpoints/{name}", when=when)


def versions(client) -> dict[str, list[str]]:
    return {name: [one.sql.removeprefix(SQL) for one in reversed(client.list_versions(name))] for name in NAMES}


DONE_ONCE = {name: [" LIMIT 1", " LIMIT 2"] for name in NAMES}


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("last", NAMES)
def test_resume_finishes_a_killed_push_and_writes_nothing_twice(cli, client, server, killed, last, when):
    killed(hang(last, when))
    server.requests.clear()
    ran = cli("resume", "--yes", "--format", "json")
    assert ran.code == 0, ran.err
    assert versions(client) == DONE_ONCE
    assert len(server.requests.writes()) == (1 if when is When.BEFORE else 0)
    assert cli("resume", "--yes").out.startswith("nothing to resume")
    assert cli("push").code == 0


def test_resume_after_nothing_landed(cli, client, killed):
    killed(*(hang(name, When.BEFORE) for name in NAMES))
    assert set(versions(client)["one"]) == {" LIMIT 1"}
    assert cli("resume", "--yes").code == 0
    assert versions(client) == DONE_ONCE


def test_resume_skips_endpoints_changed_meanwhile(cli, client, killed):
    killed(hang("one", When.BEFORE))
    client.update_endpoint("one", {"query": {"kind": "HogQLQuery", "query": SQL}})
    ran = cli("resume", "--yes")
    assert ran.code == 6
    assert "the plan for one is stale" in ran.err
    assert client.get_endpoint("one").sql == SQL


def test_a_new_push_replaces_a_killed_one(cli, checkout, client, killed):
    """What the killed one wrote was never committed and is in no record: its journal knows that it was ours."""
    killed(hang("one", When.BEFORE))
    checkout.write(files(3))
    ran = cli("push", "--yes")
    assert ran.code == 0, ran.err
    # an answer that the server gave and the killed push had not heard yet is left, too
    assert re.search(r"an earlier push left [1-3] to do", ran.err)
    assert versions(client) == DONE_ONCE | {
        "one": [" LIMIT 1", " LIMIT 3"],
        "two": [" LIMIT 1", " LIMIT 2", " LIMIT 3"],
        "three": [" LIMIT 1", " LIMIT 2", " LIMIT 3"],
    }
    assert cli("resume").out.startswith("nothing to resume")


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_new_push_recognizes_writes_without_answer(cli, checkout, client, killed, is_committed):
    """The kill came between the server's write and its answer: the journal knows what was sent, the server has it."""
    killed(hang("two", When.AFTER))
    checkout.hours = 24 * 365 * 20  # after the server's clock, which nothing stops here
    if is_committed:
        checkout.commit()
    checkout.write(files(3))
    if is_committed:
        checkout.commit()
    ran = cli("push", "--yes")
    assert ran.code == 0, ran.err
    assert versions(client) == {name: [" LIMIT 1", " LIMIT 2", " LIMIT 3"] for name in NAMES}


def test_a_new_push_does_not_mistake_other_edits_for_its_own(cli, checkout, client, killed):
    killed(hang("two", When.BEFORE))
    client.update_endpoint("two", {"query": {"kind": "HogQLQuery", "query": f"{SQL} LIMIT 9"}})
    checkout.write(files(3))
    ran = cli("push", "--yes")
    assert ran.code == 6
    assert versions(client)["two"] == [" LIMIT 1", " LIMIT 9"]


def test_a_fresh_clone_finishes_a_push_of_a_lost_machine(make_cli, checkout, client, server, killed):
    killed(hang("one", When.BEFORE))
    checkout.commit()
    checkout.git("clone", "--quiet", str(checkout.top), str(checkout.top.parent / "clone"))
    fresh = make_cli(checkout.top.parent / "clone")
    server.requests.clear()
    assert fresh("push", "--yes").code == 0
    assert len(server.requests.writes()) == 1
    assert versions(client) == DONE_ONCE


@pytest.mark.parametrize("when", When)
def test_resume_writes_endpoints_after_a_kill_before_them(cli, checkout, client, server, stopped, when):
    """The shared variables come first; of two, one is made or not when the push dies, and no endpoint is."""
    variables = json.dumps([{"name": name, "type": "String", "default": "x"} for name in ("a", "b")])
    sql = json.dumps("SELECT {variables.a} AS a, {variables.b} AS b")
    checkout.commit({"one.yaml": f"name: one\nquery: {sql}\nvariables: {variables}\n"})
    stopped(Fault(effect=Effect.HANG, seconds=60, method="POST", path="*/insight_variables", nth=1, when=when), sent=2)
    assert client.list_endpoints() == ()
    server.requests.clear()
    assert cli("resume", "--yes").code == 0
    assert {one.code_name for one in client.list_variables()} == {"a", "b"}
    assert client.get_endpoint("one").current_version == 1
    assert len(server.requests.writes()) == (2 if when is When.BEFORE else 1)
    assert cli("push").code == 0


def test_an_interrupted_push_exits_with_130_after_finishing_running_writes(cli, checkout, client, stopped):
    checkout.commit(files(1))
    slow = Fault(effect=Effect.DELAY, seconds=12, method="POST", path="*/endpoints", nth=1)
    assert stopped(slow, sent=3, by=signal.SIGINT) == 130
    assert len(client.list_endpoints()) == 3
    assert cli("resume").out.startswith("nothing to resume")


def test_an_interruption_reports_how_many_changes_were_written(cli, checkout, monkeypatch):
    """The two that are under way come to their end, and the count is of then."""
    from endpoints_gitops.api.client import Client

    checkout.commit(files(1))
    written, all_begun = Client.create_endpoint, threading.Barrier(3, timeout=60)

    def interrupted(self, body):
        all_begun.wait()
        if body["name"] == "one":
            raise KeyboardInterrupt
        return written(self, body)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "create_endpoint", interrupted)
        ran = cli("push", "--yes")
    assert ran.code == 130
    assert "error: interrupted: 2 of 3 written\n  fix: endpoints-gitops resume does what is left" in ran.err
    assert ran.err.count("interrupted") == 1
    again = cli("resume", "--yes")
    assert again.code == 0
    assert "left to do by the earlier push:" in again.err


@pytest.mark.parametrize("status", [401, 403])
def test_the_same_refusal_is_printed_once(cli, checkout, server, status):
    checkout.commit(files(1))
    server.faults.add(Fault(effect=Effect.ERROR, status=status, method="POST", path="*/endpoints"))
    ran = cli("push", "--yes")
    assert ran.code == 3
    assert ran.err.count(f": {status} ") == 1
    server.faults.clear()
    again = cli("push", "--yes")
    assert again.code == 0
    assert "an earlier push left 3 to do; this push replaces it" in again.err
    assert "interrupted" not in again.err


def test_activate_prints_a_refusal_of_the_key_once(cli, create, server):
    create("one")
    create("two")
    server.faults.add(Fault(effect=Effect.ERROR, status=403, method="PATCH"))
    ran = cli("deactivate", "one", "two", "--format", "json")
    assert ran.code == 3
    (error,) = ran.json["errors"]
    assert error["message"].startswith("one: 403 ")
    assert error["message"].endswith(" (the same for two)")


def test_an_interrupted_push_can_be_resumed(cli, checkout, client, server, monkeypatch):
    from endpoints_gitops.api.client import Client

    checkout.commit(files(1))
    written = Client.create_endpoint

    def interrupted(self, body):
        written(self, body)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Client, "create_endpoint", interrupted)
        ran = cli("push", "--yes", "--format", "json", "one")
    (error,) = ran.json["errors"]
    assert (ran.code, error["code"]) == (130, "interrupted")
    assert error["message"] == "interrupted: 0 of 1 written", "the answer of the one that was sent never came"
    assert "endpoints-gitops resume" in ran.err
    server.requests.clear()
    assert cli("resume", "--yes").code == 0
    assert server.requests.writes() == ()
    assert [one.name for one in client.list_endpoints()] == ["one"]
