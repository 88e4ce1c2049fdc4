"""An engine with a few events (in the folder `tables`), so that answers can be computed by hand; it is Sunday noon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoints_gitops.local.engine.engine import Engine

NOW = datetime(2026, 7, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def few() -> Iterator[Engine]:
    with Engine.open(data=sorted((Path(__file__).parent / "tables").iterdir()), now=NOW) as engine:
        yield engine
