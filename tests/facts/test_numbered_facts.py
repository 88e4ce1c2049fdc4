"""Every numbered fact holds on the local server, or is a listed exception with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import httpx
import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.conformance.facts import all_facts
from endpoints_gitops.conformance.server import ConformanceProject
from endpoints_gitops.conformance.trial import Trial, TrialVerdict
from endpoints_gitops.local.deployment import Limits
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.project_data import ProjectData
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.secret import Secret
from tests.facts.walk import FOLDER, Row, Walk, rows

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
TABLES = sorted((FOLDER / "tables").iterdir())
COUNTS = {"management": 90, "running": 69, "checks": 30, "effects": 7, "tables": 8, "details": 19}
ROWS = [row for document in COUNTS for row in rows(document)]
FACTS = {fact.id: fact for fact in all_facts()}


@pytest.fixture(scope="session")
def ten_days() -> Iterator[Engine]:
    """An engine with the events of the folder `tables`; it is noon of the tenth day."""
    with Engine.open(data=TABLES, now=NOON) as engine:
        yield engine


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.id, marks=[pytest.mark.slow] if row.is_slow else []) for row in ROWS]
)
def test_fact(row: Row, ten_days: Engine, connect: Callable[..., httpx.Client]) -> None:
    options = dict(row.server)
    if "limits" in options:
        options["limits"] = Limits(**options["limits"])
    with ExitStack() as stack:
        engine = ten_days
        if zone := options.pop("timezone", None):
            project = ProjectData(timezone=zone, is_given=True)
            engine = stack.enter_context(Engine.open(data=TABLES, now=NOON, project=project))
        server = stack.enter_context(running_server(engine=engine, control=True, **options))
        if row.facts:
            _try_facts(row, server)
        walk = Walk(server=server, connect=connect)
        assert walk.differences(row.steps) == []
        if row.because is not None:
            assert walk.differences(row.exception[:-1]) == []
            assert walk.differences(row.exception[-1:]), f"{row.id} holds here: it is no exception any longer"


def _try_facts(row: Row, server: RunningServer) -> None:
    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    with Client(connection) as client:
        trial = Trial(server=ConformanceProject(client), everything=True, build_seconds=0)
        for name in row.facts:
            result = trial.try_fact(FACTS[name])
            assert (result.verdict, result.differences) == (TrialVerdict.HOLDS, ()), result.received
        assert trial.remove_all() == ()


@pytest.mark.parametrize("document", COUNTS)
def test_every_number_is_there_once(document: str) -> None:
    assert [row.id for row in rows(document)] == [f"{document} {number + 1}" for number in range(COUNTS[document])]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_is_shown_or_excepted(row: Row) -> None:
    assert row.says
    assert set(row.known) <= set("TSIA")
    assert set(row.facts) <= FACTS.keys()
    assert row.facts or row.steps or row.because
    assert bool(row.because) == bool(row.exception)


def test_the_exceptions_are_few() -> None:
    """A new exception is added here too, so that none comes by accident."""
    assert [row.id for row in ROWS if row.because is not None] == EXCEPTIONS


EXCEPTIONS = [
    "management 1",
    "management 13",
    "management 14",
    "running 22",
    "running 47",
    "running 69",
    "effects 7",
]
