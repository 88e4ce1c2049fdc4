"""Calling what is pinned: what it costs beside the HTTP call that an app would make by itself, in one run, by turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.measure import Measure, by_turns
from benchmarks.project import served
from endpoints_gitops import Endpoints
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedVariable, without_nulls
from endpoints_gitops.model.secret import Secret

CALLS = 100
STARTS = 21
FIRST_CALLS = 9
_SQL = "SELECT number AS n, concat('plan ', toString(number)) AS plan FROM numbers(10) ORDER BY n"


def measures() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, served("--sample") as server:
        os.environ["ENDPOINTS_GITOPS_STATE"] = str(Path(folder) / "state")
        endpoints = pinned_client(server["url"], server["project_id"], server["key"], Path(folder))
        bare, pinned = by_turns(_bare(server), lambda: endpoints.run("plans", least=0)[0].n, CALLS)
        note = f"median of {CALLS} calls by turns; the bare call takes {bare:.2g} ms"
        yield Measure(
            what="a pinned call, beyond the bare HTTP call", value=pinned - bare, unit="ms", limit=0.3, note=note
        )
        cold, warm = (
            median(_first_call(server, Path(folder) / "endpoints.lock", before) for _ in range(FIRST_CALLS))
            for before in ("pass", "endpoints.warm_up()")
        )
        note = f"median of {FIRST_CALLS} processes each; {cold:.0f} ms and {warm:.0f} ms"
        yield Measure(
            what="the first call after `warm_up`, against one without it", value=warm / cold, limit=0.1, note=note
        )
    nothing, imported = by_turns(_start("pass"), _start("from endpoints_gitops import Endpoints"), STARTS)
    what = "`from endpoints_gitops import Endpoints`, beyond a bare start"
    yield Measure(what=what, value=imported - nothing, unit="ms", limit=30)


def _bare(server: dict[str, Any]) -> Callable[[], object]:
    url = f"{server['url']}/api/projects/{server['project_id']}/endpoints/plans/run/?version=1"
    client = httpx.Client(headers={"Authorization": f"Bearer {server['key']}"}, trust_env=False)
    return lambda: client.post(url, json={"variables": {"least": 0}}).raise_for_status().json()["results"][0]


def pinned_client(host: str, project_id: int, key: str, folder: Path) -> Endpoints:
    """Creates the endpoint `plans` with a variable `least`, and returns a client with a lock that pins it."""
    with Client(Connection(host=host, project_id=project_id, key=Secret(key))) as client:
        shared = client.create_variable({"name": "least", "type": "Number", "default_value": 0})
        declared = {shared.id: {"variableId": shared.id, "code_name": "least", "value": 0}}
        sql = _SQL.replace(" ORDER", " WHERE n >= {variables.least} ORDER")
        query: dict[str, Any] = {"kind": "HogQLQuery", "query": sql, "variables": declared}
        made = client.create_endpoint({"name": "plans", "query": query})
    pin = Pin(
        environment="default",
        name="plans",
        endpoint_id=made.id,
        version=1,
        version_id=made.current_version_id,
        created_at=made.created_at,
        query=without_nulls(made.query),
        variables=(PinnedVariable(name="least", type="Number", required=False, has_default=True, default=0),),
        columns=tuple(PinnedColumn(name=each.name, type=each.type) for each in made.columns or ()),
    )
    lock = folder / "endpoints.lock"
    lock.write_bytes(write_lock(Lock(pins=(pin,))))
    return Endpoints.from_lock(lock, host=host, project_id=project_id, key=key)


def _first_call(server: dict[str, Any], lock: Path, before: str) -> float:
    """Milliseconds of the first call of a new process, which does this before it."""
    reach = f"host={server['url']!r}, project_id={server['project_id']}, key={server['key']!r}"
    program = (
        "import time\nfrom endpoints_gitops import Endpoints\n"
        f"endpoints = Endpoints.from_lock({str(lock)!r}, {reach})\n{before}\nbegan = time.perf_counter()\n"
        "endpoints.run('plans')\nprint((time.perf_counter() - began) * 1000)"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(ran.stdout)


def _start(program: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", program], check=True)
