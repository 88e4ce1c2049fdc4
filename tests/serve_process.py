"""`serve` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx

PROGRAM: Final = "import sys; from endpoints_gitops.cli.main import run; sys.exit(run(sys.argv[1:]))"
SERVE: Final = (sys.executable, "-c", PROGRAM, "serve")


@contextmanager
def serve_process(
    *words: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """What the server says at its start, and its process, which is killed at the end of the block."""
    variables = {**os.environ, **(env or {})}
    command = [*SERVE, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield json.loads(line), process
    finally:
        process.kill()
        process.communicate()


def query(start: Mapping[str, Any], sql: str) -> httpx.Response:
    """The answer to SQL of a server that said this at its start."""
    return httpx.post(
        f"{start['url']}/api/projects/{start['project_id']}/query/",
        json={"query": {"kind": "HogQLQuery", "query": sql}},
        headers={"Authorization": f"Bearer {start['readonly_key']}"},
        verify=False,  # plain http, and reading the certificates takes longer than a test
        timeout=60,
    )
