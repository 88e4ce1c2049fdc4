"""An engine with a few rows (in the folder `tables`), so that answers can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoints_gitops.local.engine.embedded import EmbeddedSession
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.remote import RemoteSession
from endpoints_gitops.local.engine.session import ClickHouseSession

TABLES = Path(__file__).parent / "tables"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session", params=["embedded", pytest.param("remote", marks=pytest.mark.slow)])
def small(request: pytest.FixtureRequest) -> Iterator[Engine]:
    clickhouse = request.getfixturevalue("clickhouse") if request.param == "remote" else None
    with Engine.open(data=sorted(TABLES.iterdir()), now=NOW, clickhouse=clickhouse) as engine:
        yield engine


@pytest.fixture(params=["embedded", pytest.param("remote", marks=pytest.mark.slow)])
def open_session(request: pytest.FixtureRequest) -> Callable[[int], ClickHouseSession]:
    """Opens a session whose queries may take some seconds."""
    if request.param == "embedded":
        return lambda seconds: EmbeddedSession(seconds=seconds)
    clickhouse = request.getfixturevalue("clickhouse")
    return lambda seconds: RemoteSession(clickhouse, seconds=seconds)
