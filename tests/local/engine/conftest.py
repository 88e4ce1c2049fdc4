"""An engine with a few rows (in the folder `tables`), so that answers can be checked by hand."""

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
