"""Whole lists: every item once, in the fewest requests, all to the host of the first page."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.calls import Calls
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import ClientContext
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.secret import Secret

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (100, 1), (101, 1), (250, 1), (501, 2)])
def test_endpoints(server, connect, ask, count, requests):
    writer = connect()
    for number in range(count):
        writer.create_endpoint({"name": f"e{number}", "query": QUERY})
    server.requests.clear()
    assert [each.name for each in ask("list_endpoints")] == [f"e{number}" for number in range(count)]
    assert len(server.requests.entries()) == requests


def test_versions_come_newest_first(connect, ask, endpoint):
    for number in range(2, 5):
        connect().update_endpoint(endpoint, {"query": {"kind": "HogQLQuery", "query": f"SELECT {number}"}})
    connect().update_endpoint(endpoint, {"is_active": False}, version=2)
    versions = ask("list_versions", endpoint)
    assert [each.version for each in versions] == [4, 3, 2, 1]
    assert [each.version for each in versions if not each.is_active] == [2]


def test_variables_behind_a_prefix(engine):
    with running_server(engine=engine, prefix="/posthog") as server:
        connection = Connection(host=f"{server.url}/", project_id=1, key=Secret(server.key))
        with Client(connection) as client:
            names = [
                client.create_variable({"name": f"v{number}", "type": "String"}).code_name for number in range(501)
            ]
            server.requests.clear()
            assert [each.code_name for each in client.list_variables()] == names
            assert [entry.path.partition("?")[2] for entry in server.requests.entries()] == ["", "page=2"]


class Server:
    """Gives one page after the other, the last one for ever; a text is the detail of a 404."""

    def __init__(self, *pages):
        self.pages, self.asked = list(pages), []

    def send(self, request):
        self.asked.append(request.url)
        page = self.pages[min(len(self.asked), len(self.pages)) - 1]
        status, body = (404, {"detail": page}) if isinstance(page, str) else (200, page)
        return Answer(status=status, headers={}, body=json.dumps(body).encode())

    def close(self):
        """Nothing to close."""


def variable(number):
    return {"id": str(number), "name": f"v{number}", "code_name": f"v{number}", "type": "String"}


def page(*numbers, count=None, following=None):
    return {"count": count, "next": following, "previous": None, "results": [variable(each) for each in numbers]}


def listed(*pages, host="https://h.test/ph"):
    server = Server(*pages)
    client = Client(Connection(host=host, project_id=1, key=Secret("phx_k")), transport=server)
    return server, client


HERE = "https://h.test/ph/api/projects/1/insight_variables/"


@pytest.mark.parametrize(
    "address",
    [f"{HERE}?page=2&x=%C3%BC", HERE.replace("https", "http") + "?page=2&x=%C3%BC", "?page=2&x=%C3%BC"],
)
def test_the_next_page_is_asked_where_the_first_was(address):
    following = address if address.startswith("http") else f"/ph/api/projects/1/insight_variables/{address}"
    server, client = listed(page(1, following=following), page(2))
    assert [each.id for each in client.list_variables()] == ["1", "2"]
    assert server.asked == [HERE, f"{HERE}?page=2&x=%C3%BC"]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/ph/api/projects/1/insight_variables/?page=2",
        "https://h.test.evil.test/ph/api/projects/1/insight_variables/?page=2",
        "https://h.test/other/api/projects/1/insight_variables/?page=2",
        "https://h.test/ph/api/projects/2/insight_variables/?page=2",
        "https://h.test/ph/api/projects/1/insight_variables/../../x?page=2",
        "https://[/",
        HERE,
    ],
)
def test_a_next_page_on_another_host_is_not_requested(address):
    server, client = listed(page(1, following=address))
    with pytest.raises(errors.BadAnswer, match="the link to the next page"):
        client.list_variables()
    assert server.asked == [HERE]


def test_a_list_that_changes_while_it_is_read_is_read_again():
    """An item deleted from the first page moves another over the edge between two pages."""
    second = f"{HERE}?page=2"
    server, client = listed(page(1, 2, count=4, following=second), page(2, 4, count=4), page(1, 2, 3, 4, count=4))
    assert [each.id for each in client.list_variables()] == ["1", "2", "3", "4"]
    assert len(server.asked) == 3


def test_pages_that_differ_in_their_count_are_read_again():
    """One item went and another one is hidden: what came is as many as the last page counts."""
    second = f"{HERE}?page=2"
    server, client = listed(page(1, 2, count=4, following=second), page(4, count=3), page(2, 3, 4, count=3))
    assert [each.id for each in client.list_variables()] == ["2", "3", "4"]
    assert len(server.asked) == 3


def test_a_page_that_disappears_before_its_request():
    server, client = listed(page(1, count=2, following=f"{HERE}?page=2"), "Invalid page.", page(1, count=1))
    assert [each.id for each in client.list_variables()] == ["1"]
    assert len(server.asked) == 3


def test_a_list_that_is_not_there():
    _, client = listed("Not found.")
    with pytest.raises(errors.NotFound):
        client.list_variables()


def test_a_list_that_never_holds_still_is_an_error_and_not_a_shorter_list():
    server, client = listed(page(1, 1, count=2))
    with pytest.raises(errors.BadAnswer, match="received 1 of 2 items"):
        client.list_variables()
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "x"},
        {"results": None},
        {"results": [1]},
        {"results": [], "next": 5},
        {"results": [{"id": "1"}]},
        {"results": [{**variable(1), "type": "Colour"}]},
    ],
)
def test_a_page_of_another_shape(body):
    _, client = listed(body)
    with pytest.raises(errors.BadAnswer, match="expected a page of shared variables"):
        client.list_variables()


def test_endpoints_are_listed_in_pages_of_at_least_a_hundred():
    flow = Calls(
        ClientContext(connection=Connection(host="https://h.test", project_id=1, key=Secret("phx_k")))
    ).list_endpoints()
    assert int(next(flow).url.partition("limit=")[2]) >= 100
