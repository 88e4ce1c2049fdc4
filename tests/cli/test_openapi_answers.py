"""Real answers of the local server against the enriched documents of pins, and damaged ones, which must not fit."""

from __future__ import annotations

import json

import pytest
from openapi_schema_validator import OAS30Validator, OAS31Validator

from endpoints_gitops.codegen.openapi import OpenApiVersion, document_text, enrich
from endpoints_gitops.local.faults import Effect, Fault

EVENTS = [{"kind": "EventsNode", "event": event, "name": event} for event in ("$pageview", "signed up")]
BROWSER = {"breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"}}
BROWSERS = {
    "breakdownFilter": {"breakdowns": [{"property": "$browser", "type": "event"}, {"property": "$os", "type": "event"}]}
}
RANGE = {"dateRange": {"date_from": "2026-06-01", "date_to": "2026-07-01"}}


def insight(kind, **settings):
    return {"kind": kind, **RANGE, **settings}


def trends(**settings):
    return insight("TrendsQuery", series=EVENTS[:1], **settings)


def funnel(view="steps", **settings):
    return insight("FunnelsQuery", series=EVENTS, funnelsFilter={"funnelVizType": view}, **settings)


ROWS = """SELECT {variables.plan} AS plan, toDate('2026-07-01') AS day, toDateTime('2026-07-01 12:00:00') AS moment,
3 AS n, 1.5 AS share, toDecimal('1.25', 2) AS price, [1, 2] AS list, (1, 'a') AS pair, map('a', 1) AS counts,
nullIf(1, 1) AS missing, 1 = 1 AS compared, true AS yes, 0 / 0 AS not_a_number, [toNullable('a'), null] AS gaps,
18446744073709551615 AS giant, toUUID('5c1e0000-0000-4000-8000-000000000003') AS id FROM numbers(2)"""
QUERIES = {
    "rows": ROWS,
    "no rows": "SELECT 1 AS one WHERE 1 = 2",
    "trends": trends(),
    "trends, a breakdown": trends(**BROWSER),
    "trends, several breakdowns": trends(**BROWSERS),
    "trends, a total": trends(trendsFilter={"display": "BoldNumber"}),
    "trends, a formula": trends(trendsFilter={"formula": "A / 2"}),
    "trends, a comparison": trends(compareFilter={"compare": True}),
    "lifecycle": insight("LifecycleQuery", series=EVENTS[:1]),
    "retention": insight("RetentionQuery", retentionFilter={"totalIntervals": 3}),
    "retention, a breakdown": insight("RetentionQuery", retentionFilter={"totalIntervals": 3}, **BROWSER),
    "stickiness": insight("StickinessQuery", series=EVENTS[:1]),
    "funnel": funnel(),
    "funnel, a breakdown": funnel(**BROWSER),
    "funnel, times": funnel("time_to_convert"),
    "funnel, trends": funnel("trends"),
}
DAMAGES = {
    "rows": lambda answer: answer["results"][0].pop(),
    "trends": lambda answer: answer["results"][0].pop("data"),
    "trends, a breakdown": lambda answer: answer["results"][0].update(breakdown_value=1),
    "trends, a total": lambda answer: answer["results"][0].update(aggregated_value="3"),
    "lifecycle": lambda answer: answer["results"][0].update(status="gone"),
    "retention": lambda answer: answer["results"][0]["values"][0].update(count="3"),
    "stickiness": lambda answer: answer["results"][0].update(days=["2026-07-01"]),
    "funnel": lambda answer: answer["results"][0].update(order="first"),
    "funnel, a breakdown": lambda answer: answer.update(results=answer["results"][0]),
    "funnel, times": lambda answer: answer["results"].update(bins=[[1]]),
    "funnel, trends": lambda answer: answer["results"][0].update(data={}),
}


@pytest.fixture
def answered(cli, client, create, uses, pins):
    """Creates, pins and runs an endpoint: its pin, its document as served, and its answer with null and all."""

    def answer(query):
        if isinstance(query, str):
            variables = {"plan": ("String", "pro")} if "variables" in query else None
            create("e", query, variables=variables)
        else:
            client.create_endpoint({"name": "e", "query": query})
        uses(e='"*"')
        assert cli("lock").code == 0
        run = client.run("e", version=1)
        return pins()["e"], client.openapi("e", version=1), dict(run.raw)

    return answer


def validator(served, pin, version):
    document = json.loads(document_text(enrich(served, pin, version)))
    kind = OAS30Validator if version is OpenApiVersion.V3_0 else OAS31Validator
    return kind({**document, "$ref": "#/components/schemas/RunAnswer"})


@pytest.mark.parametrize("kind", QUERIES)
def test_answers_fit_their_document_and_damaged_ones_do_not(answered, kind):
    pin, served, answer = answered(QUERIES[kind])
    assert answer["results"] or kind == "no rows", "an empty answer would fit anything"
    for version in OpenApiVersion:
        errors = [
            f"{error.json_path}: {error.message}" for error in validator(served, pin, version).iter_errors(answer)
        ]
        assert errors == [], version
        assert not validator(served, pin, version).is_valid({**answer, "endpoint_version": 2})
        if (damage := DAMAGES.get(kind)) is not None:
            damaged = json.loads(json.dumps(answer))
            damage(damaged)
            assert not validator(served, pin, version).is_valid(damaged), version


def test_a_table_answers_in_its_own_order(answered, client, cli, pins):
    answered("SELECT 'pro' AS plan, 1 AS n")
    client.update_endpoint("e", {"is_materialized": True})
    assert cli("upgrade", "e@1", "--allow-breaking", "a test").code == 0
    pin = pins()["e"]
    run = client.run("e", version=1)
    assert (pin.materialized, run.raw["columns"]) == (True, ["n", "plan"])
    for version in OpenApiVersion:
        checked = validator(client.openapi("e", version=1), pin, version)
        assert checked.is_valid(dict(run.raw)), version
        assert not checked.is_valid({**run.raw, "results": [[1, {}]]})


REFUSALS = {
    "an unknown variable": ({"version": 1, "variables": {"other": 1}}, "400", None),
    "a wrong limit": ({"version": 1, "limit": 0}, "400", None),
    "a wrong key": ({"version": 1}, "401", "phx_wrong"),
    "a key without the scope": ({"version": 1}, "403", "without scope"),
    "no such version": ({"version": 9}, "404", None),
    "too many requests": ({"version": 1}, "429", None),
    "no capacity": ({"version": 1}, "503", None),
}


@pytest.mark.parametrize(("body", "status", "key"), REFUSALS.values(), ids=REFUSALS)
def test_errors_fit_their_document(answered, server, connect, body, status, key):
    pin, served, _ = answered(QUERIES["rows"])
    document = json.loads(document_text(enrich(served, pin)))
    ((path, item),) = document["paths"].items()
    if status in ("429", "503"):
        server.faults.add(Fault(effect=Effect.ERROR, path="*/e/run", status=int(status), retry_after=3))
    key = server.issue_key("insight_variable:read") if key == "without scope" else key
    answer = connect(server, key).post("endpoints/e/run", json=body)
    assert (str(answer.status_code), path) == (status, "/api/projects/1/endpoints/e/run")
    response = item["post"]["responses"][status]
    assert {name.lower() for name in response.get("headers", ())} <= {name.lower() for name in answer.headers}
    schema = response["content"]["application/json"]["schema"]
    checked = OAS30Validator({**document, **schema})
    assert checked.is_valid(answer.json()), answer.text
    assert not checked.is_valid({"message": "another form"})
