"""Rate limits, if they are turned on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from endpoints_gitops.local.deployment import Limiter, Limits
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.errors import RequestRefused
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.local.store import ApiKey

LIMITS = Limits(per_minute=2, per_hour=5, materialized_per_minute=3, materialized_per_hour=9)


@pytest.fixture
def limited(engine: QueryEngine) -> Iterator[RunningServer]:
    with running_server(engine=engine, limits=LIMITS) as running:
        yield running


def test_third_request_of_a_key(limited: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    client = connect(limited)
    assert [client.get("endpoints/").status_code for _ in range(3)] == [200, 200, 429]
    answer = client.get("endpoints/")
    seconds = answer.headers["retry-after"]
    assert answer.json() == {
        "type": "throttled_error",
        "code": "throttled",
        "detail": f"Request was throttled. Expected available in {seconds} seconds.",
        "attr": None,
    }
    assert connect(limited, limited.readonly_key).get("endpoints/").status_code == 200


def test_secret_keys_of_a_project_share(limited: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    keys = [limited.issue_key("endpoint:read", secret=True) for _ in range(3)]
    assert [connect(limited, key).post("endpoints/e/run").status_code for key in keys] == [404, 404, 429]


def test_materialised_runs_have_a_budget_of_their_own(
    limited: RunningServer, connect: Callable[..., httpx.Client]
) -> None:
    author = connect(limited)
    query = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
    author.post("endpoints/", json={"name": "e", "query": query, "is_materialized": True})
    runner = connect(limited, limited.readonly_key)
    runs = [runner.post("endpoints/e/run").status_code for _ in range(4)]
    direct = [runner.post("endpoints/e/run", json={"refresh": "direct"}).status_code for _ in range(3)]
    assert (runs, direct) == ([200, 200, 200, 429], [200, 200, 429])


def test_window_slides(server: RunningServer) -> None:
    clock = iter((0.0, 0.0, 30.0, 30.0, 30.5, 30.5, 60.0, 60.0, 89.5, 89.5, 90.0, 90.0, 150.0, 150.0, 210.0, 210.0))
    limiter = Limiter(limits=LIMITS, seconds=lambda: next(clock))
    key = server.store.keys.select()[0]
    waits = [_wait(limiter, key) for _ in range(8)]
    assert waits == [None, None, "30", None, "1", "3510", "3450", "3390"]


def _wait(limiter: Limiter, key: ApiKey) -> str | None:
    try:
        limiter.count(LIMITS, key, materialized=False)
    except RequestRefused as refusal:
        return refusal.headers["Retry-After"]
    return None
