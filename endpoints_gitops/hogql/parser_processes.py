"""Parser processes: a call of the parser cannot be interrupted, but a process can be killed.

A process is started for the first query that needs one, and reused. It ends when this process exits or is killed; a
forked child closes its copies of the pipes.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from endpoints_gitops.hogql import parser_child
from endpoints_gitops.hogql.parser_child import ANSWER, REQUEST

MOST_PROCESSES: Final = 8
"""The maximum number of queries that are parsed at the same time."""

SLOW_SECONDS: Final = 1.0
"""Seconds after which a slow query is reported to the user."""


class ParserDied(Exception):
    """The parser process ended without an answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def is_timeout(self) -> bool:
        return self.status == -signal.SIGALRM

    @property
    def is_stopped(self) -> bool:
        """Whether it was ended from outside, not because of the query."""
        return -self.status in {signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGIO}


class ParserProcess:
    """One process, used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", parser_child.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",  # so that the process does not keep the user's folder in use
            bufsize=0,
        )

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def parse(self, query: bytes, seconds: float, on_slow: Callable[[], None] | None = None) -> bytes:
        """The parser's answer. Raises ParserDied; after any exception the process cannot be used any more."""
        request = memoryview(REQUEST.pack(seconds, len(query)) + query)
        try:
            while request:
                request = request[os.write(_descriptor(self._popen.stdin), request) :]
        except BrokenPipeError:
            raise ParserDied(self._popen.wait()) from None
        if on_slow is not None and not select.select([_descriptor(self._popen.stdout)], [], [], SLOW_SECONDS)[0]:
            on_slow()
        (length,) = ANSWER.unpack(self._read(ANSWER.size))
        return self._read(length)

    def interrupt(self) -> None:
        """End the process while another thread waits for its answer: that thread cleans up."""
        self._popen.kill()

    def kill(self) -> None:
        """Kill the process."""
        self._popen.kill()
        self._popen.wait()
        self._close_pipes()

    def forget(self) -> None:
        """In a forked child: the process belongs to the parent; only the copies of its pipes are closed."""
        self._popen.returncode = 0
        self._close_pipes()

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(_descriptor(self._popen.stdout), min(size - len(parts), 1 << 20))
            if not part:
                raise ParserDied(self._popen.wait())
            parts += part
        return bytes(parts)

    def _close_pipes(self) -> None:
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()


class ParserPool:
    """The parser processes of this process. Threads may share it."""

    def __init__(self) -> None:
        self._reset()

    def parse(self, query: str, seconds: float, folder: Path, on_slow: Callable[[], None] | None = None) -> str:
        """The parser's answer to a query, given up after `seconds`. Raises ParserDied.

        `on_slow` is called once if the answer takes longer than SLOW_SECONDS. `folder` is where `hogql_parser_rs` is
        installed. An exception in the meantime, such as KeyboardInterrupt, kills the process and is raised at once.
        """
        with self._slots:
            if self._is_closed:
                raise ParserDied(-signal.SIGTERM)
            process = self._idle_process() or self._start(folder)
            try:
                answer = process.parse(query.encode(), seconds, on_slow)
            except BaseException:
                self._discard(process)
                raise
            self._idle.append(process)
        return answer.decode()

    def stop(self) -> None:
        """End every process; a thread that waits for one gets a ParserDied. The next query starts a new one."""
        while (process := self._idle_process()) is not None:
            self._discard(process)
        for busy in tuple(self._processes):
            busy.interrupt()

    def close(self) -> None:
        """End every process and start no new one: each query gets a ParserDied until `open`."""
        self._is_closed = True
        self.stop()

    def open(self) -> None:
        """Undo `close`."""
        self._is_closed = False

    def after_fork(self) -> None:
        """In a forked child: start with no processes."""
        for process in self._processes:
            process.forget()
        self._reset()

    def _reset(self) -> None:
        self._is_closed = False
        self._slots = threading.BoundedSemaphore(MOST_PROCESSES)
        self._idle: deque[ParserProcess] = deque()
        self._processes: set[ParserProcess] = set()

    def _start(self, folder: Path) -> ParserProcess:
        process = ParserProcess(folder)
        self._processes.add(process)
        if self._is_closed:  # while it was started
            process.interrupt()
        return process

    def _idle_process(self) -> ParserProcess | None:
        """An idle process that is still alive: Ctrl-C in a terminal also kills idle ones."""
        while self._idle:
            try:
                process = self._idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if process.is_alive:
                return process
            self._discard(process)
        return None

    def _discard(self, process: ParserProcess) -> None:
        self._processes.discard(process)
        process.kill()


def _descriptor(pipe: IO[bytes] | None) -> int:
    assert pipe is not None
    return pipe.fileno()


POOL: Final = ParserPool()
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.after_fork)
