"""Wait until what is to be materialised is, or cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import EndpointsError, PartlyApplied
from endpoints_gitops.model.endpoint import Endpoint, MaterializationState
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import ProjectContext

DEFAULT_SECONDS: Final = 600.0
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 10.0  # a table takes minutes to build; every question counts in the key's budget
_BROKEN: Final = frozenset({"Failed", "Cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """How the materialisation of one endpoint ended; `error` where it did not end well, or not in time."""

    name: str
    error: EndpointsError | None = None


def wait_for(
    project: ProjectContext,
    endpoints: Iterable[Endpoint],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Waited, ...]:
    """Ask for the state of each endpoint that is being materialised until all are done, or the time is over."""
    states = {endpoint.name: endpoint.materialization for endpoint in endpoints if endpoint.materialization.is_on}
    deadline, pause = now() + seconds, _FIRST_PAUSE
    project.progress.started("waiting for materialisation", len(states))
    told: set[str] = set()
    while True:
        for name in sorted(states.keys() - told):
            if _is_over(states[name]):
                told.add(name)
                project.progress.advanced(name, "materialised" if _is_done(states[name]) else "not materialised")
        pending = sorted(states.keys() - told)
        if not pending or now() >= deadline:
            break
        sleep(min(pause, max(0.0, deadline - now())))
        pause = min(2 * pause, _LONGEST_PAUSE)
        states |= dict(zip(pending, concurrent_map(project.client.materialization_status, pending), strict=True))
    project.progress.finished()
    return tuple(Waited(name=name, error=_error(name, state, seconds)) for name, state in sorted(states.items()))


def _is_done(state: MaterializationState) -> bool:
    return state.ready is True or state.status == "Completed"


def _is_over(state: MaterializationState) -> bool:
    return _is_done(state) or state.status in _BROKEN or not state.is_on


def _error(name: str, state: MaterializationState, seconds: float) -> EndpointsError | None:
    if _is_done(state):
        return None
    if not state.is_on:
        fix = Advice(Command("diff", name))
        return PartlyApplied(
            f"{name}: materialisation was switched off on the server", fix=fix, code="push.not_materialised"
        )
    if state.status in _BROKEN:
        message = f"{name}: materialisation ended as {state.status}: {state.error or 'the server does not say why'}"
        fix = Advice(Command("open", name), " shows more; the endpoint answers from the query until then")
        return PartlyApplied(message, fix=fix, code="push.not_materialised")
    message = f"{name} is not materialised after {seconds:g} s (status {state.status or 'unknown'})"
    fix = Advice(Command("push", name, "--wait=SECONDS"), " waits again; nothing is written for that")
    return PartlyApplied(message, fix=fix, code="push.not_materialised")
