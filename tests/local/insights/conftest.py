"""An engine with a few events (in the folder `tables`), so that answers can be computed by hand; it is Sunday noon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoints_gitops.local.engine.engine import Engine

NOW = datetime(2026, 7, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="session", params=["embedded", pytest.param("remote", marks=pytest.mark.slow)])
def few(request: pytest.FixtureRequest) -> Iterator[Engine]:
    clickhouse = request.getfixturevalue("clickhouse") if request.param == "remote" else None
    with Engine.open(
        data=sorted((Path(__file__).parent / "tables").iterdir()), now=NOW, clickhouse=clickhouse
    ) as engine:
        yield engine
