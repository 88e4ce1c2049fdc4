"""Every fault that can be set, from the client's side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

import httpx
import pytest

from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.faults import Edit, Effect, Fault, When
from endpoints_gitops.local.serve import RunningServer, running_server

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
OTHER = {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}


@pytest.fixture
def client(server: RunningServer, connect: Callable[..., httpx.Client]) -> httpx.Client:
    made = connect(server)
    assert made.post("endpoints/", json={"name": "e", "query": QUERY}).status_code == 201
    server.requests.clear()
    return made


def versions(client: httpx.Client) -> int:
    return int(client.get("endpoints/e/").json()["current_version"])


@pytest.mark.parametrize(("when", "landed"), [(When.BEFORE, 1), (When.AFTER, 2)])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_error_instead_of_the_answer(
    server: RunningServer, client: httpx.Client, status: int, when: When, landed: int
) -> None:
    server.faults.add(Fault(effect=Effect.ERROR, method="PATCH", status=status, retry_after=7, nth=1, when=when))
    answer = client.patch("endpoints/e/", json={"query": OTHER})
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    assert answer.json()["type"] == ("throttled_error" if status == 429 else "server_error")
    assert versions(client) == landed


@pytest.mark.parametrize(("when", "landed"), [(When.BEFORE, 1), (When.AFTER, 2)])
def test_dropped_connection(server: RunningServer, client: httpx.Client, when: When, landed: int) -> None:
    server.faults.add(Fault(effect=Effect.DROP, method="PATCH", nth=1, when=when))
    with pytest.raises(httpx.TransportError):
        client.patch("endpoints/e/", json={"query": OTHER})
    assert versions(client) == landed
    assert [(each.method, each.status) for each in server.requests.entries()] == [("PATCH", None), ("GET", 200)]


@pytest.mark.parametrize(("when", "landed"), [(When.BEFORE, 1), (When.AFTER, 2)])
def test_hang_until_the_client_gives_up(server: RunningServer, client: httpx.Client, when: When, landed: int) -> None:
    server.faults.add(Fault(effect=Effect.HANG, method="PATCH", nth=1, when=when))
    with pytest.raises(httpx.ReadTimeout):
        client.patch("endpoints/e/", json={"query": OTHER}, timeout=0.15)
    assert versions(client) == landed


def test_hang_ends_in_a_dropped_connection(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.HANG, seconds=0.05))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("endpoints/")


def test_half_a_body_of_a_write_that_landed(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.HALF, method="PATCH", nth=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.patch("endpoints/e/", json={"query": OTHER})
    assert versions(client) == 2


def test_page_of_a_proxy(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.HTML, status=502, nth=1))
    answer = client.get("endpoints/")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert client.get("endpoints/").status_code == 200


def test_json_of_something_else(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.WRONG_JSON, nth=1), Fault(effect=Effect.BROKEN_JSON, nth=2))
    assert isinstance(client.get("endpoints/").json(), list)
    with pytest.raises(ValueError, match="Expecting value"):
        client.get("endpoints/").json()


def test_delay(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.DELAY, seconds=0.08))
    started = time.monotonic()
    assert client.get("endpoints/").status_code == 200
    assert time.monotonic() - started >= 0.08


@pytest.mark.parametrize(("when", "ours"), [(When.BEFORE, 3), (When.AFTER, 2)])
def test_edit_by_another_user(server: RunningServer, client: httpx.Client, when: When, ours: int) -> None:
    edit = Edit(path="endpoints/e/", body={"query": {"kind": "HogQLQuery", "query": "SELECT 'theirs' AS t"}})
    server.faults.add(Fault(effect=Effect.EDIT, method="PATCH", nth=1, when=when, edit=edit))
    assert client.patch("endpoints/e/", json={"query": OTHER}).json()["current_version"] == ours
    written = {each["version"]: each for each in client.get("endpoints/e/versions/").json()["results"]}
    assert len(written) == 3
    assert written[ours]["version_created_by"]["first_name"] == "Author"
    assert written[5 - ours]["version_created_by"]["first_name"] == "Colleague"
    assert len(server.requests.writes()) == 1


def test_refused_edit_is_reported(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.EDIT, edit=Edit(path="endpoints/nobody/", body={"description": "x"})))
    answer = client.get("endpoints/")
    assert answer.status_code == 500
    assert "refused with 404" in answer.json()["detail"]


def test_only_the_nth_of_those_that_match(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.ERROR, method="GET", path="*/endpoints/e", nth=2))
    asked = ["endpoints/e/", "endpoints/", "endpoints/e", "endpoints/e"]
    assert [client.get(path).status_code for path in asked] == [200, 200, 500, 200]
    server.faults.clear()


def test_materialisation_fails_after_a_new_version(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH"))
    told = client.patch("endpoints/e/", json={"query": OTHER, "is_materialized": True})
    assert told.status_code == 200
    assert told.json()["current_version"] == 2
    assert told.json()["materialization_error"] == "Failed to enable materialization."
    assert not told.json()["materialization"]["enabled"]


def test_materialisation_fails_without_a_new_version(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH"))
    told = client.patch("endpoints/e/", json={"is_materialized": True, "description": "this much landed"})
    assert (told.status_code, told.json()["detail"]) == (500, "Failed to enable materialization.")
    assert client.get("endpoints/e/").json()["description"] == "this much landed"


def test_materialisation_fails_at_creation(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="POST"))
    told = client.post("endpoints/", json={"name": "new", "query": QUERY, "is_materialized": True})
    assert told.status_code == 500
    assert client.get("endpoints/new/").status_code == 404


def test_build_fails(server: RunningServer, client: httpx.Client) -> None:
    server.faults.add(Fault(effect=Effect.FAIL_BUILD, method="PATCH"))
    assert client.patch("endpoints/e/", json={"is_materialized": True}).json()["materialization"]["enabled"]
    state = client.get("endpoints/e/materialization_status/").json()
    assert (state["status"], state["ready"], state["enabled"]) == ("Failed", False, True)
    assert "could not be built" in state["error"]
    assert not client.get("endpoints/e/").json()["is_materialized"]


@pytest.fixture
def controlled(engine: QueryEngine) -> Iterator[RunningServer]:
    with running_server(engine=engine, control=True) as running:
        yield running


def test_control_route(controlled: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    client = connect(controlled)
    fault = asdict(Fault(effect=Effect.ERROR, method="GET", status=503, retry_after=1))
    assert client.post(f"{controlled.url}/__faults__", json=fault).json() == {"added": 1}
    assert client.get("endpoints/").status_code == 503
    assert client.delete(f"{controlled.url}/__faults__").status_code == 204
    assert client.get("endpoints/").status_code == 200
    logged = client.get(f"{controlled.url}/__requests__").json()
    assert [each["status"] for each in logged] == [503, 200]


@pytest.mark.parametrize(
    ("body", "mistakes"),
    [
        ("{", ["body:1:2: not valid JSON: Expecting property name enclosed in double quotes"]),
        ("5", ["body:1:1: expected a fault, as an object, or a list of faults"]),
        ("{}", ["body:1:1: missing key 'effect'"]),
        ('{"effect": 5}', ["body:1:2: effect must be one of error, hang"]),
        ('{"effect": "delai"}', ["body:1:2: effect must be one of error, hang", "did you mean 'delay'?"]),
        ('[{"effect": "hang"},\n {"effect": "hang", "nht": 1}]', ["body:2:21: unknown key 'nht'; did you mean 'nth'?"]),
        ('{"effect": "hang", "seconds": "5"}', ["body:1:20: seconds must be a number"]),
        ('{"effect": "hang", "seconds": -1}', ["body:1:20: seconds must be at least 0"]),
        ('{"effect": "hang", "seconds": Infinity}', ["body:1:20: seconds must be at least 0"]),
        ('{"effect": "hang", "nth": 0}', ["body:1:20: nth must be at least 1"]),
        (
            '{"effect": "html", "retry_after": 1}',
            ['body:1:20: retry_after must be at least 0, and is for the effect "error"'],
        ),
        ('{"effect": "error", "status": 99}', ["body:1:21: status must be from 200 to 599"]),
        ('{"effect": "edit"}', ['body:1:2: the effect "edit" needs the request of the other user in edit']),
        ('{"effect": "edit", "edit": {"path": "endpoints/e/", "body": 5}}', ["body:1:53: body must be an object"]),
        ('{"effect": "drop", "edit": {"path": "endpoints/e/"}}', ['edit is for the effect "edit", not for "drop"']),
        ('{"effect": "drop",\n "when": "later", "nth": true}', ["body:2:2: when must be", "; body:2:19: nth must be"]),
    ],
)
def test_control_route_names_every_mistake_with_its_place(
    controlled: RunningServer, connect: Callable[..., httpx.Client], body: str, mistakes: list[str]
) -> None:
    client = connect(controlled)
    answer = client.post(f"{controlled.url}/__faults__", content=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert [mistake for mistake in mistakes if mistake not in answer.json()["error"]] == []
    assert "pydantic" not in answer.text
    assert client.get("endpoints/").status_code == 200


def test_control_route_refuses_bytes_that_are_no_text(
    controlled: RunningServer, connect: Callable[..., httpx.Client]
) -> None:
    answer = connect(controlled).post(f"{controlled.url}/__faults__", content=b"\xff")
    assert (answer.status_code, answer.json()) == (400, {"error": "body:1:1: not valid JSON: the text is not UTF-8"})


def test_control_route_takes_a_list_of_faults(controlled: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    client = connect(controlled)
    edit = {"path": "endpoints/e/", "body": {"description": "theirs"}}
    client.post("endpoints/", json={"name": "e", "query": QUERY})
    faults = [{"effect": "edit", "method": "PATCH", "edit": edit, "when": "after"}, {"effect": "drop", "path": "x"}]
    assert client.post(f"{controlled.url}/__faults__", json=faults).json() == {"added": 2}
    client.patch("endpoints/e/", json={"tags": ["ours"]})
    assert client.get("endpoints/e/").json()["description"] == "theirs"


def test_no_control_route_by_default(server: RunningServer, client: httpx.Client) -> None:
    assert client.post(f"{server.url}/__faults__", json={"effect": "hang"}).status_code == 404


def test_no_key_is_logged(server: RunningServer) -> None:
    httpx.get(f"{server.url}/api/projects/1/endpoints/?personal_api_key={server.key}&limit=1", verify=False)
    (entry,) = server.requests.entries()
    assert (entry.path, entry.status) == ("/api/projects/1/endpoints/?limit=1", 200)
