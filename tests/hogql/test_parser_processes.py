"""The parser processes: reused, shared by threads, ended with their owner, and no obstacle to Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hogql_parser_rs  # type: ignore[import-untyped]
import pytest

from endpoints_gitops.hogql import parser
from endpoints_gitops.hogql.parser import ParserStopped, ParserTimeout, parse
from endpoints_gitops.hogql.parser_processes import MOST_PROCESSES, POOL, ParserDied, ParserPool

FOLDER = Path(hogql_parser_rs.__file__).parent.parent
ENDLESS = "SELECT " + "CAST(" * 37

PROGRAM = f"""
import sys
from endpoints_gitops.hogql.parser import parse
print("begun", flush=True)
parse({ENDLESS!r})
"""


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    made = ParserPool()
    yield made
    made.stop()


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def ask(pool: ParserPool, sql: str = "select 1", seconds: float = 20) -> str:
    return pool.parse(sql, seconds, FOLDER)


def pid_of(pool: ParserPool) -> int:
    (process,) = pool._processes
    return process._popen.pid


def test_a_process_is_kept_for_the_next_query(pool: ParserPool) -> None:
    first = ask(pool)
    pid = pid_of(pool)
    assert ask(pool) == first == hogql_parser_rs.parse_select_json("select 1")
    assert pid_of(pool) == pid


def test_texts_larger_than_a_pipe_go_both_ways(pool: ParserPool) -> None:
    sql = "select " + ",".join(["'ä'"] * 40_000)
    assert ask(pool, sql) == hogql_parser_rs.parse_select_json(sql)


def test_a_query_without_end_is_given_up_and_the_next_one_answered(pool: ParserPool) -> None:
    with pytest.raises(ParserDied) as caught:
        ask(pool, ENDLESS, 0.2)
    assert caught.value.is_timeout
    assert pool._processes == set()
    assert '"node":"SelectQuery"' in ask(pool)


def test_the_deadline_is_of_one_query_alone(pool: ParserPool) -> None:
    ask(pool, seconds=0.3)
    pid = pid_of(pool)
    threading.Event().wait(0.5)
    ask(pool)
    assert pid_of(pool) == pid


def test_an_idle_process_that_ctrl_c_ended_is_replaced(pool: ParserPool) -> None:
    ask(pool)
    process = next(iter(pool._processes))
    os.kill(process._popen.pid, signal.SIGINT)
    process._popen.wait()
    assert '"node":"SelectQuery"' in ask(pool)
    assert pid_of(pool) != process._popen.pid


def test_signals_that_the_owner_ignores_and_blocks_end_the_process(pool: ParserPool) -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        with pytest.raises(ParserDied):
            ask(pool, ENDLESS, 0.2)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGALRM, before)


def test_threads_are_answered_at_the_same_time(pool: ParserPool, processes: Any) -> None:
    """A query without end in each process but one, and the others get through."""
    with ThreadPoolExecutor(MOST_PROCESSES) as threads:
        slow = [threads.submit(ask, pool, ENDLESS) for _ in range(2)]
        processes.until(lambda: len(pool._processes) == 2)
        assert '"node":"SelectQuery"' in ask(pool)
        assert not any(each.done() for each in slow)
        pool.stop()
        for each in slow:
            with pytest.raises(ParserDied):
                each.result(20)


def test_no_more_than_so_many_processes(pool: ParserPool) -> None:
    with ThreadPoolExecutor(MOST_PROCESSES + 4) as threads:
        answers = list(threads.map(lambda number: ask(pool, f"select {number}"), range(40)))
    assert len(pool._processes) <= MOST_PROCESSES
    assert [f'"value":{number}' in answer for number, answer in enumerate(answers)] == [True] * 40


def test_a_closed_pool_starts_nothing(pool: ParserPool) -> None:
    ask(pool)
    pool.close()
    with pytest.raises(ParserDied) as caught:
        ask(pool)
    assert caught.value.is_stopped
    assert pool._processes == set()


@pytest.mark.usefixtures("processes")
def test_nothing_stays_open_after_a_stop() -> None:
    before = open_files()
    pool = ParserPool()
    ask(pool)
    with pytest.raises(ParserDied):
        ask(pool, ENDLESS, 0.1)
    pool.stop()
    assert open_files() == before


def test_an_interrupted_query_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "select " + "(" * 8 + "1" + ")" * 8 + " as looked_at_again"
    monkeypatch.setattr(POOL, "parse", lambda *_: (_ for _ in ()).throw(ParserDied(-signal.SIGINT)))
    with pytest.raises(ParserStopped, match=r"^the process that parsed the query was stopped$"):
        parse(sql)
    monkeypatch.undo()
    assert parse(sql)["node"] == "SelectQuery"


def test_a_query_that_ends_the_parser_is_not_known_to_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POOL, "parse", lambda *_: (_ for _ in ()).throw(ParserDied(-signal.SIGSEGV)))
    with pytest.raises(ParserTimeout, match=r"^the parser ended with status -11 on this query$"):
        parse("select " + "((" * 8 + "1" + "))" * 8 + " as crashes")


def test_a_process_that_cannot_be_started_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(POOL, "parse", refuse)
    with pytest.raises(ParserStopped, match=r"^the parser could not be started: Resource temporarily unavailable$"):
        parse("select " + "((" * 8 + "1" + "))" * 8 + " as not_started")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_ends_a_program_that_parses_and_its_process(
    processes: Any, number: signal.Signals, status: int
) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert program.stdout is not None
        program.stdout.readline()
        (child,) = processes.until(lambda: processes.descendants(program.pid))
        threading.Event().wait(0.3)  # the query is being parsed by then
        begun = time.monotonic()
        program.send_signal(number)
        assert program.wait(20) == status
        processes.until(lambda: not processes.is_running(child))
        assert time.monotonic() - begun < parser.SECONDS / 2
    finally:
        program.kill()
        program.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", "import os; os._exit(0)", "import os, signal; os.kill(os.getpid(), 9)"])
def test_an_idle_process_ends_with_its_owner(processes: Any, ending: str) -> None:
    program = (
        "from endpoints_gitops.hogql.parser import parse; from endpoints_gitops.hogql.parser_processes import POOL\n"
        f"parse('select ((((((((((1))))))))))'); print(next(iter(POOL._processes))._popen.pid, flush=True)\n{ending}"
    )
    told = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert told.stderr == ""
    processes.until(lambda: not processes.is_running(int(told.stdout)))


@pytest.mark.slow
@pytest.mark.parametrize("closed", [(0,), (0, 1), (0, 1, 2)])
def test_standard_streams_may_be_closed(tmp_path: Path, closed: tuple[int, ...]) -> None:
    program = (
        f"import os\nfor number in {closed}: os.close(number)\n"
        "from endpoints_gitops.hogql.parser import parse\n"
        f"node = parse('select ((((((((((1))))))))))')['node']\n"
        f"open({str(tmp_path / 'told')!r}, 'w').write(node)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "told").read_text() == "SelectQuery"


@pytest.mark.slow
@pytest.mark.usefixtures("processes")
def test_a_forked_child_starts_a_process_of_its_own_and_leaves_the_parents_alone() -> None:
    program = """
import os, threading
from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.parser_processes import POOL

def pid():
    return next(iter(POOL._processes))._popen.pid

parse("select ((((((((((1))))))))))")
mine, files = pid(), len(os.listdir("/proc/self/fd"))
if os.fork() == 0:
    assert len(os.listdir("/proc/self/fd")) == files - 2, "copies of the parent's pipes are open"
    parse("select ((((((((((2))))))))))")
    assert pid() != mine
    os._exit(0)
assert os.wait()[1] == 0
parse("select ((((((((((3))))))))))")
assert pid() == mine
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_closed_pool_answers_again_once_it_is_open(pool: ParserPool) -> None:
    pool.close()
    with pytest.raises(ParserDied):
        ask(pool)
    pool.open()
    assert '"node":"SelectQuery"' in ask(pool)
