"""An app whose machines share the rate limits of a key in Redis."""

from __future__ import annotations

import pytest

import endpoints_gitops as library
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.rate_limiter import RedisRateLimiter
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.secret import Secret


def test_an_app_counts_in_redis_and_waits_there_after_a_429(app, create, server, redis_url):
    pin = create("one")
    app(pin, budget_url=redis_url).run("one")
    connection = Connection(host=server.url, project_id=server.project_id, key=Secret(server.key))
    limiter = RedisRateLimiter(redis_url, connection, notice=pytest.fail)
    assert limiter.remaining()["direct"].minute == 239
    limiter.close()
    server.faults.add(Fault(effect=Effect.ERROR, status=429, retry_after=50, nth=1))
    with pytest.raises(library.Throttled):
        app(pin, budget_url=redis_url, max_wait=5).run("one")
    server.requests.clear()
    with pytest.raises(library.BudgetSpent):
        app(pin, budget_url=redis_url, max_wait=5).run("one")
    assert server.requests.entries() == ()
