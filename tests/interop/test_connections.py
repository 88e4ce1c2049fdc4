"""A client that thinks for longer than 5 seconds between two calls goes on over the same connection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from endpoints_gitops.local.serve import RunningServer
from tests.interop.programs import node_file, program

CLIENTS = Path(__file__).parent / "clients"
THINKING_SECONDS = 7
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Go compiles its library first


def _node_fetch() -> list[str]:
    return [program("node"), str(CLIENTS / "node_fetch.mjs")]


def _undici() -> list[str]:
    node_file("undici")
    return [program("node"), str(CLIENTS / "undici_pool.cjs")]


def _net_http() -> list[str]:
    return [program("go"), "run", str(CLIENTS / "net_http.go")]


def _requests() -> list[str]:
    return [sys.executable, str(CLIENTS / "with_requests.py")]


def _aiohttp() -> list[str]:
    return [sys.executable, str(CLIENTS / "with_aiohttp.py")]


@pytest.mark.parametrize("command", [_node_fetch, _undici, _net_http, _requests, _aiohttp])
def test_second_call_uses_the_connection_of_the_first(command, server: RunningServer) -> None:
    url = f"{server.url}/api/projects/1/endpoints/"
    words = [*command(), url, server.key, str(THINKING_SECONDS)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=380)
    assert (ran.returncode, ran.stdout.split()) == (0, ["200", "200"]), ran.stderr
    first, second = server.requests.entries()
    assert first.port == second.port
