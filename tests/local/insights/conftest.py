"""An engine with a few events (in the folder `tables`), so that answers can be computed by hand; it is Sunday noon."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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


def happened() -> list[dict[str, Any]]:
    """Events of 150 people within 30 days, many of them at the same time or just a window apart; always the same."""
    chance = random.Random(7)
    rows: list[dict[str, Any]] = []
    for person in range(150):
        unit, most = chance.choice([(1e-6, 3), (1, 4), (60, 5), (3_600, 30), (86_400, 9)])
        began = NOW - timedelta(days=chance.randrange(10, 30))
        for _ in range(chance.randrange(1, 14)):
            at = began + timedelta(seconds=unit * chance.randrange(most))
            properties = {"who": f"p{person}", "kind": chance.choice(["x", "y", "", None])}
            event = {"event": chance.choice("abcd"), "distinct_id": f"p{person}", "timestamp": at.isoformat()}
            rows.append(event | {"properties": properties})
    chance.shuffle(rows)
    return rows


@pytest.fixture(scope="session")
def random_events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the events of `happened`."""
    path = tmp_path_factory.mktemp("tables") / "events.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in happened()), encoding="utf-8")
    with Engine.open(data=[path], now=NOW) as engine:
        yield engine
