"""Each call against the local server, by both drivers; and answers of newer, older and other servers."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.client import AsyncClient, Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.wire import Answer
from endpoints_gitops.model.secret import Secret

SQL = {"kind": "HogQLQuery", "query": "SELECT {variables.plan} AS plan"}


def test_the_life_of_an_endpoint(server, ask):
    variable = ask("create_variable", {"name": "plan", "type": "String", "default_value": "free"})
    assert ask("update_variable", variable.id, {"default_value": "pro"}).default_value == "pro"
    assert ask("get_variable", variable.id).default_value == "pro"
    assert [each.code_name for each in ask("list_variables")] == ["plan"]
    made = ask("create_endpoint", {"name": "e", "query": SQL, "tags": ["Web"]})
    assert (made.name, made.current_version, made.tags) == ("e", 1, ("web",))
    second = {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}
    assert ask("update_endpoint", "e", {"query": second}).current_version == 2
    assert ask("update_endpoint", "e", {"description": "old"}, version=1).version == 1
    assert ask("get_version", "e", 1).description == "old"
    assert ask("get_endpoint", "e").sql == "SELECT 2 AS two"
    assert ask("openapi", "e", version=1)["info"]["version"] == "1"
    assert ask("materialization_status", "e").is_on is False
    assert "can_materialize" in ask("materialization_preview", "e", {})
    assert ask("run", "e", version=1, variables={"plan": "max"}).results == [["max"]]
    assert "e" in ask("last_execution_times", ["e", "never"])
    assert "version=1" in ask("logs", "e", limit=1)[0]["message"]
    assert ask("delete_endpoint", "e") is None
    with pytest.raises(errors.EndpointNotFound):
        ask("delete_endpoint", "e")
    assert {entry.status for entry in server.requests.entries()} == {200, 201, 204, 404}


def test_who_is_asking(server, ask):
    assert ask("current_key")["scopes"] == ["*"]
    assert ask("me")["email"] == "author@example.com"
    assert ask("projects")[0]["id"] == server.project_id
    assert ask("organization")["projects"]
    assert ask("check_access") is None


def test_a_page_of_a_run(ask, connect):
    connect().create_endpoint({"name": "n", "query": {"kind": "HogQLQuery", "query": "SELECT number FROM numbers(5)"}})
    first = ask("run", "n", limit=2, offset=1)
    assert (first.results, first.has_more, first.columns) == ([[1], [2]], True, ("number",))
    assert (first.version, first.materialized) == (1, False)
    assert first.types == (("number", "UInt64"),)


def test_both_clients_offer_every_call():
    calls, of_async = (
        {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}
        for kind in (Client, AsyncClient)
    )
    assert "list_endpoints" in calls
    assert calls == of_async


class Says:
    """Answers everything with one body."""

    def __init__(self, body):
        self.body, self.sent = json.dumps(body).encode(), []

    def send(self, request):
        self.sent.append(request)
        return Answer(status=200, headers={}, body=self.body)

    def close(self):
        """Nothing to close."""


def client_of(body):
    return Client(Connection(host="https://h.test", project_id=1, key=Secret("phx_k")), transport=Says(body))


@pytest.mark.parametrize(
    ("types", "read"),
    [
        ([["a", "String"], ["b", "UInt64"]], (("a", "String"), ("b", "UInt64"))),
        (["String", "UInt64"], (("a", "String"), ("b", "UInt64"))),
        (["String", ["b", "UInt64"], "Date"], (("a", "String"), ("b", "UInt64"), ("", "Date"))),
        (None, ()),
        ({}, ()),
    ],
)
def test_types_as_pairs_and_as_bare_words(types, read):
    answer = client_of({"results": [["x", 1]], "columns": ["a", "b"], "types": types}).run("e")
    assert answer.types == read


def test_a_run_of_an_older_server():
    answer = client_of({"results": []}).run("e")
    assert (answer.columns, answer.types, answer.version, answer.execution_id) == (None, (), None, None)
    assert (answer.has_more, answer.materialized) == (False, False)


def test_an_endpoint_of_an_older_and_of_a_newer_server():
    body = {"id": "1", "name": "e", "query": {"kind": "HogQLQuery", "query": ""}, "brand_new": {"x": 1}}
    assert client_of(body).get_endpoint("e").materialization.is_on is False


@pytest.mark.parametrize("results", [None, 5, "x"])
def test_a_run_without_results(results):
    with pytest.raises(errors.BadAnswer, match="expected the results of a run"):
        client_of({"results": results, "columns": []}).run("e")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [({"id": "1", "name": "e"}, "query: Field required"), ([], "a list"), (None, "null"), ("x" * 999, "a string")],
)
def test_an_answer_of_another_shape_says_in_which_way(body, wrong):
    with pytest.raises(errors.BadAnswer, match=f"expected an endpoint, got .*{wrong}") as caught:
        client_of(body).get_endpoint("e")
    assert len(str(caught.value)) < 500


def test_omitted_arguments_are_not_sent():
    client = client_of({"results": []})
    client.run("e")
    client.run("e", variables={"a": None}, version=3, limit=10, offset=0, refresh="force", debug=False)
    first, second = client._transport.sent
    assert (first.url.rpartition("/run/")[2], first.body) == ("", {})
    assert second.url.endswith("/run/?version=3")
    assert second.body == {"variables": {"a": None}, "limit": 10, "offset": 0, "refresh": "force", "debug": False}


def test_errors_are_known_without_loading_httpx():
    import subprocess
    import sys

    look = "import sys, endpoints_gitops.api.errors as e, endpoints_gitops.api.client; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
