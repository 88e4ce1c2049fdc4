"""Levels of access control that a test sets. What each allows is in tests/facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from endpoints_gitops.local.access import AccessLevel
from endpoints_gitops.local.control import ACCESS
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}


@pytest.fixture
def controlled(engine: QueryEngine) -> Iterator[RunningServer]:
    with running_server(engine=engine, control=True) as running:
        yield running


def test_the_colleague_stays_an_administrator(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    server.set_access(AccessLevel.NONE)
    author, colleague = connect(server), connect(server, server.colleague_key)
    assert colleague.post("endpoints/", json={"name": "e", "query": QUERY}).status_code == 201
    assert author.get("endpoints/e/").status_code == 403
    server.set_access(AccessLevel.VIEWER, "e")
    assert author.get("endpoints/e/").status_code == 200
    assert author.get("endpoints/").status_code == 403
    assert author.get("insight_variables/").status_code == 200


def test_a_denial_ends_with_its_endpoint(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    author, colleague = connect(server), connect(server, server.colleague_key)
    author.post("endpoints/", json={"name": "e", "query": QUERY})
    server.set_access(AccessLevel.NONE, "e")
    assert author.delete("endpoints/e/").status_code == 403
    assert colleague.delete("endpoints/e/").status_code == 204
    assert author.get("endpoints/e/").status_code == 404
    assert author.post("endpoints/", json={"name": "e", "query": QUERY}).status_code == 201
    assert author.get("endpoints/e/").status_code == 200


def test_the_control_route_sets_and_clears(controlled: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    author = connect(controlled)
    author.post("endpoints/", json={"name": "e", "query": QUERY})
    route = f"{controlled.url}{ACCESS}"
    assert author.post(route, json={"level": "viewer"}).status_code == 204
    assert author.post(route, json={"level": "none", "endpoint": "e"}).status_code == 204
    assert author.post("endpoints/e/run").status_code == 403
    assert author.delete(route).status_code == 204
    assert author.post("endpoints/e/run").status_code == 200
    assert author.patch("endpoints/e/", json={"description": "d"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        *((body, "expected") for body in (b"", b"{}", b"[1]", b'"viewer"', b'{"level": "owner"}')),
        (b'{"level": "viewer", "endpoint": "nobody"}', "there is no endpoint 'nobody'"),
    ],
)
def test_the_control_route_refuses_nonsense(
    controlled: RunningServer, connect: Callable[..., httpx.Client], body: bytes, says: str
) -> None:
    answer = connect(controlled).post(f"{controlled.url}{ACCESS}", content=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
