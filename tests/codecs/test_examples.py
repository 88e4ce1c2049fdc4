"""The example definitions: a server accepts each of them, returns the same, and answers their examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.pulled import definition_values
from endpoints_gitops.codecs.rewriting import new_file
from endpoints_gitops.hogql.insights import validate
from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.plan.settings import definition_settings, endpoint_settings, same
from endpoints_gitops.workspace.definitions import read_all

FOLDER = Path(__file__).parents[2] / "endpoints"
EXAMPLES = read_all(FOLDER)


@pytest.fixture
def client(engine: QueryEngine) -> Iterator[httpx.Client]:
    with (
        running_server(engine=engine, definitions=FOLDER) as server,
        httpx.Client(
            base_url=f"{server.url}/api/projects/1/", headers={"Authorization": f"Bearer {server.key}"}, verify=False
        ) as client,
    ):
        yield client


def test_what_they_show():
    kinds = {(loaded.definition.query_definition or {"kind": "HogQLQuery"})["kind"] for loaded in EXAMPLES}
    assert kinds == {"HogQLQuery", "TrendsQuery", "RetentionQuery", "LifecycleQuery", "FunnelsQuery"}
    text = (FOLDER / "growth" / "signups_by_source.yaml").read_text(encoding="utf-8")
    assert text.count("ORDER BY source") == 1
    assert "LIMIT" not in text


@pytest.mark.parametrize("loaded", EXAMPLES, ids=lambda loaded: loaded.name)
def test_each_is_owned_described_and_whole(loaded):
    definition = loaded.definition
    assert definition.owner
    assert len(definition.description or "") > 80
    assert loaded.unchecked is None
    assert validate(definition.query_definition or {"kind": "HogQLQuery", "query": loaded.sql}) == []


@pytest.mark.parametrize("loaded", EXAMPLES, ids=lambda loaded: loaded.name)
def test_a_server_takes_it_and_answers(client, loaded):
    there = created(client, loaded)
    stated, server = definition_settings(loaded, None), endpoint_settings(there)
    assert [key for key, value in stated.items() if not same(key, value, server.get(key))] == []
    variables = client.get("insight_variables/").json()["results"]
    values = definition_values(there, {one["id"]: InsightVariable.model_validate(one) for one in variables})
    again = definition_settings(read_definition("x.yaml", new_file(values), lambda _: b""), None)
    assert [key for key, value in again.items() if not same(key, value, server.get(key))] == []
    for example in loaded.definition.examples or ():
        told = client.post(f"endpoints/{loaded.name}/run", json={"variables": dict(example.variables)})
        assert told.status_code == 200, told.text
        assert told.json()["results"]


def created(client: httpx.Client, loaded: LoadedDefinition) -> Endpoint:
    definition = loaded.definition
    for variable in definition.variables or ():
        body = {
            "name": variable.name,
            "type": variable.type,
            "default_value": variable.default,
            "values": variable.values,
        }
        made = client.post("insight_variables/", json=body).json()
        client.patch(f"insight_variables/{made['id']}/", json={"name": variable.label or variable.name})
    query: Any = definition.query_definition or {"kind": "HogQLQuery", "query": loaded.sql}
    body = {
        "name": loaded.name,
        "query": query,
        "description": definition.description,
        "tags": definition.tags,
        "data_freshness_seconds": definition.freshness_seconds,
        "is_materialized": definition.materialization and definition.materialization.enabled,
        "optional_breakdown_properties": definition.optional_breakdown_properties,
        "bucket_overrides": definition.bucket_overrides,
    }
    answer = client.post("endpoints/", json=body)
    assert answer.status_code == 201, answer.text
    return Endpoint.model_validate(client.get(f"endpoints/{loaded.name}/").json())
