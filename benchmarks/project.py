"""A project to measure on: a server with endpoints, and a git checkout of their definitions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """`env` is what a command runs with: this project, and a state folder of its own."""

    top: Path
    server: RunningServer
    env: dict[str, str]

    def run(self, *command: str, codes: Sequence[int] = (0,)) -> float:
        """The seconds that a command takes; ends the benchmark where it does not end as it should."""
        started = time.perf_counter()
        ended = subprocess.run(command, cwd=self.top, env=self.env, capture_output=True, check=False)
        seconds = time.perf_counter() - started
        if ended.returncode not in codes:
            raise SystemExit(f"{' '.join(command)} ended in {ended.returncode}:\n{ended.stderr.decode()[-2000:]}")
        return seconds

    def requests(self, *command: str, codes: Sequence[int] = (0,)) -> tuple[int, int]:
        """How many requests a command sends, and how many of them write."""
        self.server.requests.clear()
        self.run(*command, codes=codes)
        sent = self.server.requests.entries()
        return len(sent), sum(entry.is_write for entry in sent)

    def write(self, count: int, edit: str = "") -> None:
        """The definitions of the first `count` endpoints; `edit` goes into each query."""
        folder = self.top / "endpoints"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            (folder / f"{name(number)}.yaml").write_text(definition(number, edit), encoding="utf-8")

    def commit(self) -> None:
        for words in (("add", "--all"), ("commit", "--quiet", "--allow-empty", "--message", "Definitions")):
            subprocess.run(("git", *words), cwd=self.top, env=self.env, check=True)


def ours(*words: str) -> tuple[str, ...]:
    """The command line of this project's own tool."""
    return (str(Path(sys.executable).with_name("endpoints-gitops")), *words)


@contextmanager
def served(*words: str) -> Iterator[dict[str, Any]]:
    """`serve` in a process of its own, so that it takes no turns with the caller: what it says at its start, and its
    `pid`."""
    command = ours("serve", "--port", "0", *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline()) | {"pid": process.pid}
        finally:
            process.terminate()


def name(number: int) -> str:
    return f"endpoint_{number:05}"


def sql(number: int, edit: str = "") -> str:
    """A query of ordinary length."""
    return (
        f"SELECT\n  toStartOfDay(timestamp) AS day,\n  properties.plan AS plan,\n  count() AS events_{number}\n"
        f"FROM events\nWHERE event = 'note created'\n  AND timestamp >= now() - INTERVAL {number % 90 + 1} DAY{edit}\n"
        "GROUP BY day, plan\nORDER BY day, plan\nLIMIT 1000"
    )


def definition(number: int, edit: str = "") -> str:
    """The file of one endpoint, in what posthog-cli and this tool both read."""
    body = "\n".join(f"  {line}" for line in sql(number, edit).split("\n"))
    return f"name: {name(number)}\ndescription: Events of kind {number} by day and plan.\nquery: |-\n{body}\n"


@contextmanager
def project(endpoints: int, engine: QueryEngine | None = None) -> Iterator[Project]:
    """A server that has that many endpoints, and a committed checkout that defines them.

    Without an `engine` of its own it is ClickHouse over the sample product.
    """
    opened = running_server(sample=True, engine=engine)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, opened as server:
        top = Path(folder) / "checkout"
        top.mkdir()
        subprocess.run(("git", "init", "--quiet", "--initial-branch", "main"), cwd=top, check=True)
        made = Project(top=top, server=server, env=_environment(Path(folder), server))
        made.write(endpoints)
        made.commit()
        _create(server, endpoints)
        yield made


def _create(server: RunningServer, count: int) -> None:
    here = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    with Client(here) as client, ThreadPoolExecutor(4) as pool:
        bodies = (
            {
                "name": name(number),
                "description": f"Events of kind {number} by day and plan.",
                "query": {"kind": "HogQLQuery", "query": sql(number)},
            }
            for number in range(count)
        )
        list(pool.map(client.create_endpoint, bodies))


def _environment(folder: Path, server: RunningServer) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": "author@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENDPOINTS_", "POSTHOG_"))}
    return (
        kept
        | who
        | {
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "ENDPOINTS_GITOPS_STATE": str(folder / "state"),
            "ENDPOINTS_GITOPS_CACHE": str(folder / "cache"),
            "POSTHOG_CLI_HOST": server.url,
            "POSTHOG_CLI_API_KEY": server.key,
            "POSTHOG_CLI_PROJECT_ID": str(server.project_id),
        }
    )
