"""An engine over a handful of rows, small enough to check answers by hand: they stand in the folder `tables`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoints_gitops.local.engine.engine import Engine

TABLES = Path(__file__).parent / "tables"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def small() -> Iterator[Engine]:
    with Engine.open(data=sorted(TABLES.iterdir()), now=NOW) as engine:
        yield engine
