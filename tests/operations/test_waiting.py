"""Waiting for materialisation: how often is asked, and when it is given up, on a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.operations.project import ProjectContext, Silence
from endpoints_gitops.operations.push.execute import wait_for
from endpoints_gitops.workspace.configuration import EnvironmentSettings

NODE = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("seconds", "questions"), [(0.1, 1), (2.0, 4), (100.0, 15)])
def test_it_asks_more_and_more_seldom_until_the_time_is_over(engine, tmp_path: Path, seconds, questions):
    with running_server(engine=engine, build_seconds=1_000_000) as server, _client(server) as client:
        building = client.create_endpoint({"name": "one", "query": NODE, "is_materialized": True})
        plain = client.create_endpoint({"name": "two", "query": NODE})
        clock = Clock()
        server.requests.clear()
        work = ProjectContext(
            environment=EnvironmentSettings(name="test"),
            folder=tmp_path,
            state=tmp_path,
            client=client,
            progress=Silence(),
            host=server.url,
            project_id=1,
        )
        (waited,) = wait_for(work, [building, plain], seconds, now=clock, sleep=clock.sleep)
        assert waited.error is not None
        assert f"not materialised after {seconds:g} s" in waited.error.message
        assert clock.now == pytest.approx(seconds)
        assert len(server.requests.entries()) == questions


def _client(server) -> Client:
    return Client(Connection(host=server.url, project_id=1, key=Secret(server.key)))
