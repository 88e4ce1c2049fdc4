"""What PostHog does, as the facts of `endpoints_gitops.conformance`: tried on the local server, or on a real project.

ENDPOINTS_GITOPS_CONFORMANCE_HOST, _PROJECT_ID and _KEY name a project that may be written to. Then the same cases run
there, one after another (`-n0`), everything that they make is removed, and a dated report is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.conformance.facts import all_facts
from endpoints_gitops.conformance.report import ConformanceReport
from endpoints_gitops.conformance.server import ConformanceProject
from endpoints_gitops.conformance.trial import Trial, TrialVerdict
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.fact import Fact
from endpoints_gitops.model.secret import Secret

SETTINGS = [os.environ.get(f"ENDPOINTS_GITOPS_CONFORMANCE_{name}", "") for name in ("HOST", "PROJECT_ID", "KEY")]
IS_REAL = all(SETTINGS)
FACTS = [fact for fact in all_facts() if not (IS_REAL and (fact.is_local or fact.needs))]


@pytest.fixture(scope="session")
def real_trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Trial, ConformanceReport] | None]:
    """One run against the project that the environment names; None where it names none."""
    if not IS_REAL:
        yield None
        return
    host, project, key = SETTINGS
    connection = Connection(host=host, project_id=int(project), key=Secret(key), allow_insecure=True)
    with Client(connection, rate_limiter=tmp_path_factory.mktemp("budget") / "budget.sqlite") as client:
        trial = Trial(server=ConformanceProject(client))
        report = ConformanceReport(host=host, project_id=int(project))
        yield trial, report
        report.left = trial.remove_all()
        report.requests = trial.server.requests
        path = Path(f"conformance-{report.date:%Y-%m-%dT%H%M%S}.json")
        path.write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        assert report.left == ()


@pytest.fixture
def trial(real_trial: tuple[Trial, ConformanceReport] | None, request: pytest.FixtureRequest) -> Iterator[Trial]:
    if real_trial is not None:
        yield real_trial[0]
        return
    server: RunningServer = request.getfixturevalue("server")
    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    with Client(connection) as client:
        yield Trial(server=ConformanceProject(client), everything=True, build_seconds=0)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.id)
def test_fact(fact: Fact, trial: Trial, real_trial: tuple[Trial, ConformanceReport] | None) -> None:
    result = trial.try_fact(fact)
    if real_trial is not None:
        real_trial[1].results.append(result)
        if result.verdict is TrialVerdict.NOT_TRIED:
            pytest.skip(str(result.reason))
    assert (result.verdict, result.differences, result.reason) == (TrialVerdict.HOLDS, (), None), result.received


def test_every_fact_belongs_to_a_heading_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    headings = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert {fact.about for fact in FACTS} <= headings
