"""Pushing 200 changed endpoints to a server that takes 50 ms a call, beside `posthog-cli exp endpoints push`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measure import Measure
from benchmarks.project import Project, ours, project
from endpoints_gitops.local.engine.interface import DescribedColumn, EngineRows
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.faults import Effect, Fault

CHANGED = 200
SEEN_BY_PEER = 100
"""posthog-cli reads one page of endpoints; the others it would try to create."""
SECONDS_A_CALL = 0.05
PEER = "posthog-cli"


def measures() -> Iterator[Measure]:
    own = _each(CHANGED, *ours("push", "--yes"))
    yield Measure(what=f"push of {CHANGED} changed endpoints at 50 ms a call, each", value=own * 1000, unit="ms")
    if shutil.which(PEER) is None:
        note = "not found on PATH: cargo install posthog-cli --version 0.19.0 --locked"
        yield Measure(what=f"{PEER} push, each", value=0, unit="ms", note=note)
        return
    theirs = _each(SEEN_BY_PEER, PEER, "exp", "endpoints", "push", "--yes", "endpoints")
    yield Measure(what=f"{PEER} push of {SEEN_BY_PEER}, each", value=theirs * 1000, unit="ms")
    yield Measure(what="times faster for each endpoint written", value=theirs / own, limit=5, at_least=True)


class _Undescribed:
    """No ClickHouse: the 50 ms stand for what a server does.

    Describing queries on the client's own two cores, one after the other, would be measured with it.
    """

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[DescribedColumn]:
        return ()

    def run(self, sql: str, values: Mapping[str, Any], *, limit: int | None, offset: int | None) -> EngineRows:
        raise QueryRefused("nothing is run here")

    def close(self) -> None:
        """Nothing is open."""


def _each(count: int, *command: str) -> float:
    """Seconds for each endpoint that was really written."""
    with project(count, _Undescribed()) as at:
        at.run(*ours("push", "--yes"))  # changes nothing, and leaves the record that a checkout in use has
        at.write(count, edit="\n  AND person_id IS NOT NULL")
        at.commit()
        at.server.faults.add(Fault(effect=Effect.DELAY, seconds=SECONDS_A_CALL))
        at.server.requests.clear()
        seconds = at.run(*command)
        return seconds / _landed(at)


def _landed(at: Project) -> int:
    landed = sum(entry.method in ("PATCH", "PUT") and entry.status == 200 for entry in at.server.requests.entries())
    if not landed:
        raise SystemExit("nothing was written, so there is nothing to compare")
    return landed
