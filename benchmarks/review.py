"""Reviewing: a branch that changes 20 of 1,000 definitions, from a fresh clone and again, and the requests of it."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measure import Measure
from benchmarks.project import Project, ours, project
from endpoints_gitops.local.engine.interface import DescribedColumn, EngineRows
from endpoints_gitops.local.engine.refusals import QueryRefused

ENDPOINTS = 1_000
CHANGED = 20
RUNS = 5


class _NoEngine:
    """No ClickHouse: a review asks for lists alone."""

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]:
        return ()

    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> EngineRows:
        raise QueryRefused("nothing is run here")

    def close(self) -> None:
        """Nothing is open."""


def measures() -> Iterator[Measure]:
    command = ours("review", "--against", "main", "--format", "json")
    with project(ENDPOINTS, _NoEngine()) as at:
        subprocess.run(("git", "checkout", "--quiet", "-b", "branch"), cwd=at.top, env=at.env, check=True)
        at.write(CHANGED, edit="\n  AND person_id IS NOT NULL")
        at.commit()
        requests, _ = at.requests(*command)
        what = f"requests of `review` of {CHANGED} changes among {ENDPOINTS:,} definitions"
        yield Measure(what=what, value=requests, limit=12)
        cold = statistics.median(_cold(at, command) for _ in range(RUNS))
        yield Measure(what="… from a fresh clone", value=cold, unit="s", limit=2)
        warm = statistics.median(at.run(*command) for _ in range(RUNS))
        yield Measure(what="… again", value=warm, unit="s", limit=0.7)
        offline = statistics.median(at.run(*command, "--offline") for _ in range(RUNS))
        yield Measure(what="… again, offline", value=offline, unit="s")


def _cold(at: Project, command: tuple[str, ...]) -> float:
    """The seconds without a cache and without a record."""
    shutil.rmtree(at.env["ENDPOINTS_GITOPS_STATE"], ignore_errors=True)
    shutil.rmtree(at.env["ENDPOINTS_GITOPS_CACHE"], ignore_errors=True)
    return at.run(*command)
