"""A small soak of the local server; `python -m tests.soak` runs a large one."""

from __future__ import annotations

import pytest

from tests.soak.soak import soak


@pytest.mark.slow
def test_many_clients_lose_nothing() -> None:
    outcome = soak(clients=16, requests=1_500)
    assert outcome.failures == ()
    assert outcome.requests >= 1_500
    assert outcome.starts == 1
    assert set(outcome.statuses) == {200, 201, 204, 400, 404}
    assert outcome.versions > 100


@pytest.mark.slow
def test_a_killed_server_starts_with_every_acknowledged_write() -> None:
    outcome = soak(clients=16, requests=1_500, kills=2, seed="kills")
    assert outcome.failures == ()
    assert outcome.starts == 3
    assert outcome.operations["lost"] + outcome.unanswered > 0
    assert outcome.versions > 100
