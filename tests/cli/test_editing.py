"""Two commands that rewrite files of one checkout at once: real processes, and nothing of either is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from endpoints_gitops.codecs.lock import read_lock
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.workspace.state import editing

PROGRAM = (
    sys.executable,
    "-c",
    "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main(sys.argv[1:]))",
)
SLOW_SECONDS = 2.0


@pytest.fixture
def two(checkout, server, create, cli):  # noqa: ARG001 - `cli` writes a configuration, which this one replaces
    """Two environments of one server, each with a use of its own."""
    create("signups")
    create("revenue")
    place = f'host = "{server.url}"\nproject_id = {server.project_id}\nkey = "env:ENDPOINTS_TEST_KEY"\n'
    (checkout.top / "endpoints.toml").write_text(
        f'default_environment = "a"\n[environments.a]\n{place}[environments.a.uses]\nsignups = "*"\n'
        f'[environments.b]\n{place}[environments.b.uses]\nrevenue = "*"\n'
    )
    return checkout.top


@pytest.fixture
def start(server, checkout):
    """Starts a command in the checkout; every process is waited for at the end."""
    running = []

    def started(*words, cwd=None):
        env = {**os.environ, "ENDPOINTS_TEST_KEY": server.key}
        process = subprocess.Popen(
            [*PROGRAM, *words],
            cwd=cwd or checkout.top,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate()


def asked(server, process):
    """Return when the process has asked the server for something: it has read its files by then."""
    while not server.requests.entries():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.stdout.read())


def ends(process):
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def pins(top):
    lock = read_lock((top / "endpoints.lock").read_bytes(), "endpoints.lock")
    return {(pin.environment, pin.name): pin.version for pin in lock.pins}


@pytest.mark.parametrize("below", ["", "endpoints"])
def test_two_locks_at_once_lose_no_pin(two, server, start, below):
    (two / below).mkdir(exist_ok=True)
    server.requests.clear()
    server.faults.add(Fault(effect=Effect.DELAY, nth=1, seconds=SLOW_SECONDS))
    first = start("lock", "--env", "a")
    asked(server, first)
    second = start("lock", "--env", "b", cwd=two / below)
    assert [ends(first)[0], ends(second)[0]] == [0, 0]
    assert pins(two) == {("a", "signups"): 1, ("b", "revenue"): 1}


def test_two_upgrades_at_once_move_both_pins(two, server, start, edit, cli):
    assert cli("lock").code == 0
    edit("signups", "SELECT 1 AS one, 2 AS two")
    edit("revenue", "SELECT 1 AS one, 2 AS two")
    server.requests.clear()
    server.faults.add(Fault(effect=Effect.DELAY, nth=1, seconds=SLOW_SECONDS))
    first = start("upgrade", "--env", "a", "--yes")
    asked(server, first)
    second = start("upgrade", "--env", "b", "--yes")
    assert [ends(first)[0], ends(second)[0]] == [0, 0]
    assert pins(two) == {("a", "signups"): 2, ("b", "revenue"): 2}


WRITING = {
    "lock": ("lock",),
    "upgrade": ("upgrade",),
    "pull": ("pull", "--yes"),
    "adopt": ("adopt", "signups"),
    "rename": ("rename", "signups", "others"),
    "rollback": ("rollback", "signups@1"),
    "init": ("init", "--yes"),
}


@pytest.mark.parametrize("words", WRITING.values(), ids=WRITING)
def test_a_command_that_cannot_lock_the_checkout_fails_without_writing(cli, checkout, create, server, words):
    create("signups")
    checkout.commit({"signups.yaml": "name: signups\nquery: SELECT 1 AS one\n"})
    before = {path: path.read_bytes() for path in checkout.top.rglob("*") if path.is_file()}
    with editing(os.environ, checkout.folder, wait_seconds=0):
        ran = cli(*words, "--max-wait", "0.01")
    assert ran.code == 6, ran.err
    assert "waiting for another command that is rewriting files of this checkout" in ran.err
    assert "another command of this checkout is still running (files)" in ran.err
    assert "fix: run the command again when that one has ended" in ran.err
    after = {path: path.read_bytes() for path in checkout.top.rglob("*") if path.is_file()}
    assert after == before, "the lock lies elsewhere"
    assert server.requests.writes() == ()


READING = {
    "lock --check": ("lock", "--check"),
    "lock --verify": ("lock", "--verify"),
    "pull --dry-run": ("pull", "--dry-run"),
}


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_reading_commands_do_not_wait(cli, checkout, words):
    with editing(os.environ, checkout.folder, wait_seconds=0):
        ran = cli(*words)
    assert ran.code in (0, 2), ran.err
    assert "another command" not in ran.err


@pytest.mark.parametrize("words", [("lock",), ("upgrade", "--yes")], ids=lambda words: words[0])
def test_temporary_files_of_a_killed_command_are_removed(cli, checkout, create, uses, words):
    create("signups")
    uses(signups='"*"')
    assert cli("lock").code == 0
    before = (checkout.top / "endpoints.lock").stat()
    scratch = checkout.top / ".endpoints.lock.0123456789ab.tmp"
    scratch.mkdir()
    (scratch / ".gitignore").write_bytes(b"*\n")
    assert cli(*words).code == 0
    assert not scratch.exists()
    assert (checkout.top / "endpoints.lock").stat().st_mtime_ns == before.st_mtime_ns
