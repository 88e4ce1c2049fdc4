"""The OpenAPI document of the server itself: valid, complete, and built from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from endpoints_gitops.hogql.insights import QUERIES
from endpoints_gitops.local.api_schemas import PARAMETERS, schemas
from endpoints_gitops.local.app import DOCUMENTED, application
from endpoints_gitops.local.bodies import EndpointRequest
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.fault_layer import Connections
from endpoints_gitops.local.request_threads import RequestThreads
from endpoints_gitops.local.serve import RunningServer, running_server

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(server: RunningServer) -> dict[str, Any]:
    """Nobody needs a key to read it."""
    answer = httpx.get(f"{server.url}/api/schema/", verify=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from references(inner)


def test_it_is_valid(document: dict[str, Any], server: RunningServer) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": server.url}]


def test_it_has_every_route_and_method_and_no_other(document: dict[str, Any], server: RunningServer) -> None:
    layer: Any = application(server.deployment, Connections(), RequestThreads(), colleague="")
    routes = [route for route in layer.app.app.app.routes if isinstance(route, Route)]
    served = {
        (route.path, method.lower())
        for route in routes
        if hasattr(route.app, "resource")
        for method in route.app.resource.actions
    }
    described = {(path.removesuffix("/"), method) for path, method, _ in operations(document)}
    assert described == served
    assert len(described) == sum(len(resource.actions) for resource in DOCUMENTED) >= 28


def test_both_parents_have_the_same_routes(document: dict[str, Any], server: RunningServer) -> None:
    """A method that no route has is refused by the resource of the path, and a path without a resource is not found."""
    paths = [path.replace("{project_id}", "1") for path, _, _ in operations(document) if "/projects/{" in path]
    assert len(paths) > 20
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.url, headers=headers, verify=False) as client:
        for path in paths:
            for parent in ("projects", "environments"):
                answer = client.request("TRACE", path.replace("projects", parent, 1))
                assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), path
        nowhere = client.request("TRACE", "/api/environments/1/nothing/")
        assert (nowhere.status_code, nowhere.json()["detail"]) == (404, "Endpoint not found.")


def test_every_name_is_used_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    used = set(references(document))
    defined = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters", "responses")
        for name in document["components"][kind]
    }
    assert used == defined


def test_operations_have_ids_and_permissions_of_their_own(document: dict[str, Any]) -> None:
    every = list(operations(document))
    assert len({operation["operationId"] for _, _, operation in every}) == len(every)
    for path, _, operation in every:
        assert operation["summary"]
        assert operation["description"].startswith(("Needs a key with ", "No key has "))
        assert {"401", "403", "429"} <= operation["responses"].keys()
        names = re.findall(r"\{(\w+)\}", path)
        listed = [parameter["$ref"].rpartition("/")[2] for parameter in document["paths"][path]["parameters"]]
        assert listed == names
        assert all(PARAMETERS[name]["in"] == "path" for name in names)


def test_the_500s_are_those_of_posthog(document: dict[str, Any]) -> None:
    assert {item["operationId"] for _, _, item in operations(document) if "500" in item["responses"]} == {
        "create_endpoint",
        "update_endpoint_put",
        "update_endpoint_patch",
        "last_execution_times",
    }


def test_bodies_are_those_of_the_models() -> None:
    known = schemas()
    assert known["EndpointRequest"]["properties"].keys() == EndpointRequest.model_fields.keys()
    assert known["EndpointRequest"]["additionalProperties"] is False
    for kind, shape in QUERIES.items():
        assert known[kind]["properties"].keys() == shape.keys | {"kind"}
        assert set(known[kind]["required"]) == {"kind", *shape.required}


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("OPTIONS", 405)])
def test_methods(server: RunningServer, method: str, status: int) -> None:
    assert httpx.request(method, f"{server.url}/api/schema", verify=False).status_code == status


def test_below_a_prefix(engine: QueryEngine) -> None:
    with running_server(engine=engine, prefix="/posthog") as server:
        document = httpx.get(f"{server.url}/api/schema/", verify=False).json()
        assert document["servers"] == [{"url": server.url}]
