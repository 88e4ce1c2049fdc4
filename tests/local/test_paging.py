"""Pages: by limit and offset, and by number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.local.store import new_id

type Ask = Callable[..., httpx.Response]
QUERY = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]}


@pytest.fixture
def five(ask: Ask) -> Ask:
    for number in range(5):
        assert ask("POST", "endpoints/", {"name": f"e{number}", "query": QUERY}).status_code == 201
    return ask


def page(answer: httpx.Response) -> tuple[list[str], str | None, str | None]:
    told = answer.json()
    assert list(told) == ["count", "next", "previous", "results"]
    assert told["count"] == 5
    links = [link and link.partition("?")[2] for link in (told["next"], told["previous"])]
    return [each["name"][1:] for each in told["results"]], *links


@pytest.mark.parametrize(
    ("asked", "shown", "following", "before"),
    [
        ("", "01234", None, None),
        ("?limit=2", "01", "limit=2&offset=2", None),
        ("?limit=2&offset=2", "23", "limit=2&offset=4", "limit=2"),
        ("?offset=4&limit=2", "4", None, "limit=2&offset=2"),
        ("?limit=2&offset=1", "12", "limit=2&offset=3", "limit=2"),
        ("?limit=2&offset=9", "", None, "limit=2&offset=7"),
        ("?limit=0", "01234", None, None),
        ("?limit=-1", "01234", None, None),
        ("?limit=abc", "01234", None, None),
        ("?limit=1000000000000000000000000", "01234", None, None),
        ("?offset=-3", "01234", None, None),
        ("?offset=abc&limit=3", "012", "limit=3&offset=3", None),
        ("?is_active=true&limit=4", "0123", "is_active=true&limit=4&offset=4", None),
        ("?limit=4&x=a%20b%26c", "0123", "limit=4&offset=4&x=a+b%26c", None),
    ],
)
def test_limit_and_offset(five: Ask, asked: str, shown: str, following: str | None, before: str | None) -> None:
    assert page(five("GET", f"endpoints/{asked}")) == (list(shown), following, before)


def test_links_are_absolute_and_work(five: Ask, server: RunningServer) -> None:
    names: list[str] = []
    address: str | None = "endpoints/?limit=2"
    while address:
        told = five("GET", address).json()
        names += [each["name"] for each in told["results"]]
        address = told["next"]
        assert address is None or address.startswith(f"{server.url}/api/projects/1/endpoints/?")
    assert names == ["e0", "e1", "e2", "e3", "e4"]


def test_a_hundred_by_default(ask: Ask, server: RunningServer) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": QUERY})
    endpoint, version = server.store.endpoints.select()[0], server.store.versions.select()[0]
    for number in range(100):
        copy = server.store.endpoints.insert(replace(endpoint, id=new_id(), name=f"e{number}"))
        server.store.versions.insert(replace(version, id=new_id(), endpoint_id=copy.id))
    told = ask("GET", "endpoints/").json()
    assert (told["count"], len(told["results"])) == (101, 100)
    assert told["next"].endswith("?limit=100&offset=100")


def test_variables_come_five_hundred_at_a_time(ask: Ask, server: RunningServer) -> None:
    ask("POST", "insight_variables/", {"name": "v", "type": "String"})
    variable = server.store.variables.select()[0]
    with server.store.transaction():
        for number in range(500):
            server.store.variables.insert(replace(variable, id=new_id(), code_name=f"v{number}"))
    first: dict[str, Any] = ask("GET", "insight_variables/?limit=3&offset=2").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (501, 500, None)
    second = ask("GET", first["next"]).json()
    assert (len(second["results"]), second["next"]) == (1, None)
    assert "page" not in second["previous"]
    assert ask("GET", "insight_variables/?page=last").json()["results"] == second["results"]
    for nowhere in ("3", "0", "-1", "x"):
        answer = ask("GET", f"insight_variables/?page={nowhere}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "Invalid page.")
