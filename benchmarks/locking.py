"""The lock compared with the manifest: what a pre-commit hook of an app pays."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measure
from benchmarks.project import ours
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn

PINS = 100
STARTS = 11
_SQL = "SELECT plan, sum(amount) AS mrr, count() AS invoices\nFROM invoices\nGROUP BY plan\nORDER BY plan"


def measures() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        names = [f"endpoint_{number:03}" for number in range(PINS)]
        (Path(folder) / "endpoints.lock").write_bytes(write_lock(Lock(pins=tuple(map(pin, names)))))
        uses = "".join(f'{name} = "*"\n' for name in names)
        environment = '[environments.prod]\nhost = "https://us.posthog.com"\nproject_id = 1\nkey = "env:NOBODY"\n'
        (Path(folder) / "endpoints.toml").write_text(f"{environment}[environments.prod.uses]\n{uses}")
        seconds = statistics.median(_seconds(folder) for _ in range(STARTS))
    yield Measure(what=f"`lock --check` of {PINS} pins, whole process", value=seconds * 1000, unit="ms", limit=150)


def _seconds(folder: str) -> float:
    started = time.perf_counter()
    subprocess.run(ours("lock", "--check"), check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - started


def pin(name: str) -> Pin:
    """The pin of an endpoint that returns rows."""
    columns = (("plan", "string"), ("mrr", "decimal"), ("invoices", "integer"))
    return Pin(
        environment="prod",
        name=name,
        endpoint_id=f"0199a000-0000-7000-8000-{name[-3:]:0>12}",
        version=3,
        version_id=None,
        created_at=None,
        query={"kind": "HogQLQuery", "query": _SQL},
        columns=tuple(PinnedColumn(name=column, type=kind) for column, kind in columns),
    )
