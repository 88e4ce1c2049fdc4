"""Requests: what users run out of. `diff` and a push that changes nothing read one list and the shared variables."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator

from benchmarks.measure import Measure
from benchmarks.project import Project, definition, name, ours, project

ENDPOINTS = 1_000


def measures() -> Iterator[Measure]:
    least = math.ceil(ENDPOINTS / 100) + 1
    with project(ENDPOINTS) as at:
        requests, _ = at.requests(*ours("diff"))
        yield Measure(what=f"requests of `diff` over {ENDPOINTS:,} endpoints", value=requests, limit=least)
        requests, writes = at.requests(*ours("push", "--yes"))
        yield Measure(what="requests of a push that changes nothing", value=requests, limit=least)
        yield Measure(what="… of which write", value=writes, limit=0)
        _edit(at, 7)
        requests, _ = at.requests(*ours("push", "--yes"))
        yield Measure(what=f"requests of a push of one change of {ENDPOINTS:,}", value=requests, limit=least + 2)
        _edit(at, 8)
        _forget(at)
        requests, _ = at.requests(*ours("push", "--yes"))
        yield Measure(what="… from a fresh clone", value=requests, limit=least + 3)


def _edit(at: Project, number: int) -> None:
    path = at.top / "endpoints" / f"{name(number)}.yaml"
    path.write_text(definition(number, "\n  AND person_id IS NOT NULL"), encoding="utf-8")
    at.commit()


def _forget(at: Project) -> None:
    """What a fresh clone does not have: the record of earlier pushes."""
    shutil.rmtree(at.env["ENDPOINTS_GITOPS_STATE"], ignore_errors=True)
