"""The program of a parser process: reads queries from stdin, writes the parser's answers to stdout, until stdin ends.

It runs as a script with the folder of `hogql_parser_rs` as its argument, and imports nothing of this package.

A call of the parser holds the interpreter until it returns, so no Python code can end it. Signals whose default action
ends the process can: SIGALRM at the deadline, and SIGIO when the other end of stdin is closed because its owner died.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys

REQUEST = struct.Struct(">dQ")
"""Seconds that the query may take, and its length in bytes of UTF-8; the query follows."""

ANSWER = struct.Struct(">Q")
"""The length of the answer in bytes of UTF-8; the answer follows."""

_ENDING = (signal.SIGALRM, signal.SIGIO, signal.SIGINT, signal.SIGTERM)


def serve() -> None:
    """Answer requests until stdin ends."""
    from hogql_parser_rs import parse_select_json  # type: ignore[import-untyped]  # ships no types

    _restore_signals()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        seconds, length = REQUEST.unpack(header)
        text = requests.read(length).decode()
        _end_by_signals(seconds)
        answer = parse_select_json(text).encode()
        _end_by_signals(0)
        answers.write(ANSWER.pack(len(answer)) + answer)
        answers.flush()


def _restore_signals() -> None:
    """Restore signals that the parent ignores or blocks, which is inherited."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _end_by_signals(seconds: float) -> None:
    """End this process after these seconds and when stdin is closed; 0 disables both."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(0, fcntl.F_GETFL) & ~os.O_ASYNC
        fcntl.fcntl(0, fcntl.F_SETFL, flags | (os.O_ASYNC if seconds else 0))
    except OSError:
        pass  # not supported by this system: the deadline ends the process


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    serve()
