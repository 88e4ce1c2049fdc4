"""A real Redis on loopback (`apt-get install redis-server` has it, as .ci/run does)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """The URL of a Redis server that is stopped at the end."""
    executable = shutil.which("redis-server")
    if executable is None:
        pytest.fail("these tests need redis-server: apt-get install redis-server")
    port = free_port()
    arguments = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*arguments, "--loglevel", "notice"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if not any("Ready to accept connections" in line for line in process.stdout):
            pytest.fail("redis-server did not start")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
