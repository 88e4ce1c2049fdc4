"""What is remembered of runs: log entries and when something ran last (docs/server.md#running)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from endpoints_gitops.local.errors import Refused
from endpoints_gitops.local.runs import Run
from endpoints_gitops.local.store.database import Store, new_id
from endpoints_gitops.local.store.rows import LogEntry, StoredEndpoint
from endpoints_gitops.model.json import Json

_COARSE: Final = timedelta(minutes=30)
_BETWEEN: Final = " · "


def log_answer(store: Store, run: Run, answer: dict[str, Json], milliseconds: int) -> None:
    results = answer["results"]
    rows = len(results) if isinstance(results, Sequence) else 0
    tokens = f"path={run.path} cache=miss duration_ms={milliseconds} rows={rows} version={run.version.number}"
    _log(store, run.endpoint, run.execution_id, run.now, "INFO", f"Endpoint executed{_BETWEEN}{tokens}")
    _stamp(store, run)


def log_failure(store: Store, run: Run, refusal: Refused) -> None:
    tokens = f"path={run.path} version={run.version.number} error={refusal.body.get('code')}"
    _log(store, run.endpoint, run.execution_id, run.now, "ERROR", f"Endpoint execution failed{_BETWEEN}{tokens}")
    _stamp(store, run)


def log_rejection(store: Store, endpoint: StoredEndpoint, refusal: Refused, now: datetime) -> None:
    reason = f"{refusal.attr}: {refusal.detail}" if refusal.attr else refusal.detail
    message = _BETWEEN.join(("Endpoint execution failed", "invalid request", reason))
    _log(store, endpoint, str(uuid.uuid4()), now, "ERROR", message)


def _log(store: Store, endpoint: StoredEndpoint, instance_id: str, now: datetime, level: str, message: str) -> None:
    entry = LogEntry(
        id=new_id(), endpoint_id=endpoint.id, instance_id=instance_id, timestamp=now, level=level, message=message
    )
    store.logs.insert(entry)


def _stamp(store: Store, run: Run) -> None:
    """Coarse, as on the server; read again, because a query takes its time and somebody may have written meanwhile."""
    endpoint = store.endpoints.first("id = ?", (run.endpoint.id,))
    version = store.version(run.endpoint, run.version.number)
    if endpoint is not None and _is_old(endpoint.last_executed_at, run.now):
        store.endpoints.update(replace(endpoint, last_executed_at=run.now))
    if version is not None and _is_old(version.last_executed_at, run.now):
        store.versions.update(replace(version, last_executed_at=run.now))


def _is_old(moment: datetime | None, now: datetime) -> bool:
    return moment is None or now - moment >= _COARSE
