"""Enriched OpenAPI documents and combined ones, made from pins and from documents as PostHog serves them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, OAS31Validator
from openapi_spec_validator import validate

from endpoints_gitops.codegen.openapi import (
    MARK,
    DocumentForm,
    DocumentMark,
    OpenApiVersion,
    UnreadableDocument,
    as_served,
    combine,
    document_text,
    enrich,
    is_ours,
    mark_of,
)
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable

VERSIONS = list(OpenApiVersion)
ERROR = {"type": "object", "properties": {"detail": {"type": "string"}}}
ROWS = (PinnedColumn(name="plan", type="string", nullable=False), PinnedColumn(name="n", type="integer", nullable=True))


def pin(name: str = "sign-ups", version: int = 3, kind: str = "HogQLQuery", **settings: Any) -> Pin:
    node = settings.pop("node", {"query": "SELECT 1"} if kind == "HogQLQuery" else {})
    return Pin(
        environment="prod",
        name=name,
        endpoint_id=f"id of {name}",
        version=version,
        version_id="v",
        created_at=None,
        query={"kind": kind, **node},
        **settings,
    )


def served(name: str = "sign-ups", version: int = 3, **variables: Any) -> dict[str, Any]:
    """A document as PostHog serves it, reduced to what matters."""
    schemas: dict[str, Any] = {"Error": ERROR, "EndpointRunRequest": {"type": "object"}}
    if variables:
        schemas["Variables"] = {"type": "object", "properties": variables}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/EndpointRunRequest"}}}}
    operation = {
        "operationId": f"run_{name.replace('-', '_')}",
        "summary": f"Execute {name}",
        "description": "Counts.",
        "security": [{"PersonalAPIKey": []}],
        "requestBody": body,
        "responses": {"200": {"description": "ok"}},
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": name, "description": "Counts.", "version": str(version)},
        "servers": [{"url": "https://us.posthog.com"}],
        "paths": {f"/api/projects/42/endpoints/{name}/run": {"post": operation}},
        "components": {
            "securitySchemes": {"PersonalAPIKey": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def schema(document: Any, name: str) -> dict[str, Any]:
    return dict(document["components"]["schemas"][name])


def operation(document: Any) -> dict[str, Any]:
    ((_, item),) = document["paths"].items()
    return dict(item["post"])


def accepts(document: Any, name: str, value: Any) -> bool:
    """Whether a value is valid by a schema of the document."""
    kind = OAS30Validator if document["openapi"].startswith("3.0") else OAS31Validator
    plain = json.loads(document_text(document))
    return bool(kind({**plain, "$ref": f"#/components/schemas/{name}"}).is_valid(value))


def enriched(pinned: Pin, version: OpenApiVersion = OpenApiVersion.V3_0, **variables: Any) -> Any:
    return json.loads(document_text(enrich(served(pinned.name, pinned.version, **variables), pinned, version)))


PINS = {
    "rows": pin(columns=ROWS, variables=(PinnedVariable(name="plan", type="String", required=True),)),
    "a table": pin(columns=ROWS, materialized=True),
    "unknown columns": pin(columns=None),
    "no columns": pin(columns=()),
    "every type": pin(
        columns=tuple(
            PinnedColumn(name=f"c{index}", type=kind.partition("(")[0].lower(), full=kind if "(" in kind else None)
            for index, kind in enumerate(
                (
                    *("integer", "float", "decimal", "string", "datetime", "date", "boolean", "array"),
                    *("json", "unknown"),
                    *("Array(Nullable(integer))", "Tuple(integer,string)", "Map(string,Array(float))"),
                    "Array(Tuple(integer,Array(date)))",
                )
            )
        ),
        variables=tuple(
            PinnedVariable(name=name, type=name, required=False, has_default=True, default=default)
            for name, default in {"Number": 1, "List": ["a"], "Boolean": None, "Date": "2026-07-01", "Odd": {}}.items()
        ),
    ),
    "web analytics": pin(kind="WebOverviewQuery"),
    "funnel with breakdown": pin(kind="FunnelsQuery", node={"breakdownFilter": {"breakdown": "$browser"}}),
    **{
        view: pin(kind="FunnelsQuery", node={"funnelsFilter": {"funnelVizType": view}})
        for view in ("steps", "trends", "time_to_convert", "flow")
    },
    **{
        kind: pin(kind=kind)
        for kind in ("TrendsQuery", "LifecycleQuery", "RetentionQuery", "PathsQuery", "StickinessQuery")
    },
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pinned", PINS.values(), ids=PINS)
def test_an_enriched_document_is_valid(pinned: Pin, version: OpenApiVersion) -> None:
    document = enriched(pinned, version)
    validate(document)
    assert document["openapi"] == {"3.0": "3.0.3", "3.1": "3.1.0"}[version]


@pytest.mark.parametrize("pinned", PINS.values(), ids=PINS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("other", VERSIONS)
def test_enriching_again_changes_nothing(pinned: Pin, version: OpenApiVersion, other: OpenApiVersion) -> None:
    assert document_text(enrich(enriched(pinned, version), pinned, other)) == document_text(enriched(pinned, other))


def test_a_request_is_for_the_pinned_version() -> None:
    document = enriched(PINS["rows"])
    assert schema(document, "EndpointRunRequest")["required"] == ["version", "variables"]
    assert operation(document)["requestBody"]["required"] is True
    for value, is_right in {3: True, 2: False, "3": False, None: False}.items():
        body = {"variables": {"plan": "pro"}, "version": value}
        assert accepts(document, "EndpointRunRequest", body) is is_right, value
    assert not accepts(document, "EndpointRunRequest", {"variables": {"plan": "pro"}})
    assert not accepts(document, "EndpointRunRequest", {"version": 3})
    assert accepts(document, "EndpointRunRequest", {"version": 3, "variables": {"plan": "a"}, "limit": 1, "offset": 0})
    assert not accepts(document, "EndpointRunRequest", {"version": 3, "variables": {"plan": "a"}, "offset": -1})
    assert not accepts(document, "EndpointRunRequest", {"version": 3, "variables": {"plan": "a"}, "query_override": {}})


def test_a_request_of_an_insight_has_no_pages() -> None:
    properties = schema(enriched(PINS["TrendsQuery"]), "EndpointRunRequest")["properties"]
    assert {"limit", "offset", "variables"}.isdisjoint(properties)


@pytest.mark.parametrize(("materialized", "words"), [(False, ["cache", "force"]), (True, ["cache", "force", "direct"])])
def test_direct_is_for_tables(materialized: bool, words: list[str]) -> None:
    document = enriched(pin(columns=ROWS, materialized=materialized))
    assert schema(document, "EndpointRunRequest")["properties"]["refresh"]["enum"] == words


def test_variables_are_required_as_the_lock_knows() -> None:
    """PostHog's document says what a call needs at the time of the pull, the lock what the pinned contract needs."""
    plan, month = (PinnedVariable(name=name, type="String", required=name == "month") for name in ("plan", "month"))
    variables = schema(enriched(pin(columns=ROWS, variables=(plan, month))), "Variables")
    assert (variables["required"], set(variables["properties"])) == (["month"], {"plan", "month"})


def test_texts_come_from_the_served_document() -> None:
    variable = PinnedVariable(name="plan", type="String", required=False, has_default=True, default="pro")
    document = enriched(
        pin(columns=ROWS, variables=(variable,)), plan={"type": "number", "description": "The plan.", "example": "team"}
    )
    expected = {"type": "string", "description": "The plan.", "example": "team"}
    assert schema(document, "Variables")["properties"]["plan"] == expected
    assert (document["info"]["description"], operation(document)["description"]) == ("Counts.", "Counts.")
    assert (
        schema(enriched(pin(columns=ROWS, variables=(variable,))), "Variables")["properties"]["plan"]["example"]
        == "pro"
    )


def answer(*rows: list[Any], **more: Any) -> dict[str, Any]:
    return {"results": list(rows), "columns": ["plan", "n"], "endpoint_version": 3, **more}


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_with_rows(version: OpenApiVersion) -> None:
    document = enriched(PINS["rows"], version)
    right = [
        answer(),
        answer(["pro", 1], ["team", None]),
        answer(["pro", 2**64 - 1], hasMore=True, limit=1, offset=0, types=[["plan", "String"], ["n", "UInt64"]]),
        answer(["pro", 1], a_key_of_next_year={}),
    ]
    wrong = [
        answer(["pro"]),
        answer(["pro", 1, 1]),
        answer(["pro", {}]),
        answer({"plan": "pro", "n": 1}),
        answer(columns=["plan"]),
        answer(endpoint_version=4),
        {"results": []},
    ]
    assert [accepts(document, "RunAnswer", value) for value in right] == [True] * len(right)
    assert [accepts(document, "RunAnswer", value) for value in wrong] == [False] * len(wrong)


def test_only_3_1_types_the_values_of_a_row_by_position() -> None:
    for other in (answer([1, "pro"]), answer(columns=["plan", "other"]), answer(columns=["n", "plan"])):
        assert accepts(enriched(PINS["rows"]), "RunAnswer", other)
        assert not accepts(enriched(PINS["rows"], OpenApiVersion.V3_1), "RunAnswer", other)
    assert schema(enriched(PINS["rows"]), "Row")["x-columns"] == ["plan", "n"]


def test_the_columns_of_a_table_without_variables_come_in_one_of_two_orders() -> None:
    for columns, is_typed_by_position in ((ROWS, False), (ROWS[::-1], True)):
        row = schema(enriched(pin(columns=columns, materialized=True), OpenApiVersion.V3_1), "Row")
        assert ("prefixItems" in row) is is_typed_by_position
    document = enriched(pin(columns=ROWS, materialized=True), OpenApiVersion.V3_1)
    assert accepts(document, "Row", [1, "pro"])
    assert accepts(document, "Row", ["pro", 1])
    assert not accepts(document, "Row", ["pro", {}])


def test_errors_and_their_headers() -> None:
    responses = operation(enriched(PINS["rows"]))["responses"]
    bodies = {
        code: item["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for code, item in responses.items()
    }
    assert bodies == {
        "200": "RunAnswer", "400": "AnyError", "401": "Error", "403": "Error", "404": "AnyError", "429": "Error",
        "503": "Error",
    }  # fmt: skip
    headers = {code: list(item.get("headers", ())) for code, item in responses.items()}
    assert {code for code, names in headers.items() if names == ["Retry-After"]} == {"429", "503"}
    document = enriched(PINS["rows"])
    envelope = {"type": "validation_error", "code": "invalid_input", "detail": "Unknown variable(s): a", "attr": None}
    assert accepts(document, "Error", envelope)
    assert accepts(document, "AnyError", envelope)
    assert accepts(document, "AnyError", {"error": "Version 9 not found for endpoint 'e'", "current_version": 1})
    assert not accepts(document, "AnyError", {"detail": "Not found."})
    assert not accepts(document, "Error", {"error": "Invalid limit parameter: 0"})


PATH = [{"source": "1_/", "target": "2_/a", "value": 3, "average_conversion_time": 1500.5}]
INSIGHTS = {
    "PathsQuery": (PATH, [{"source": "1_/"}]),
    "flow": ([{"any": 1}], None),
    "web analytics": ([{"any": 1}, 2], None),
    "time_to_convert": ({"bins": [[0, 1], [60.5, 2]], "average_conversion_time": None}, {"bins": [[1]]}),
    "funnel with breakdown": ([[{"name": "a", "order": 0, "count": 1}]], [{"name": "a", "order": 0, "count": 1}]),
    "steps": ([{"name": "a", "order": 0, "count": 1}], [[{"name": "a", "order": 0, "count": 1}]]),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("kind", "right", "wrong"), [(kind, *pair) for kind, pair in INSIGHTS.items()], ids=INSIGHTS)
def test_results_of_insights(kind: str, right: Any, wrong: Any, version: OpenApiVersion) -> None:
    """Kinds that the local server computes are in tests/cli/test_openapi_answers.py."""
    document = enriched(PINS[kind], version)
    assert accepts(document, "RunAnswer", {"results": right, "endpoint_version": 3})
    assert wrong is None or not accepts(document, "RunAnswer", {"results": wrong, "endpoint_version": 3})


UNREADABLE = {
    "no name": (lambda document: document["info"].pop("title"), "info.title is not the name of an endpoint"),
    "no info": (lambda document: document.pop("info"), "info is not an object"),
    "another endpoint": (lambda document: document["info"].update(title="b"), "it describes the endpoint 'b'"),
    "no paths": (lambda document: document.pop("paths"), "paths is not an object"),
    "two paths": (lambda document: document["paths"].update({"/a/run": {}}), "exactly one path"),
    "another path": (lambda document: document.update(paths={"/a": {"post": {}}}), "exactly one path"),
    "no operation": (lambda document: document.update(paths={"/a/run": {"get": {}}}), "paths./a/run.post"),
    "no servers": (lambda document: document.update(servers=[]), "no list of servers"),
}


@pytest.mark.parametrize(("damage", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_document_of_the_pin_is_refused(damage: Any, says: str) -> None:
    document = served()
    damage(document)
    with pytest.raises(UnreadableDocument, match=says):
        enrich(document, PINS["rows"])


def test_the_served_document_of_another_version_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="it describes version '2' and not 3"):
        as_served(served(version=2), PINS["rows"])


def test_a_document_as_served_only_gets_a_mark() -> None:
    document: Any = as_served(served(), PINS["rows"])
    assert mark_of(document) == DocumentMark.of(PINS["rows"], DocumentForm.SERVED)
    del document["info"][MARK]
    assert document == served()
    assert (is_ours(document), mark_of(document)) == (False, None)


def test_a_mark_shows_every_change_of_the_pin() -> None:
    mark = mark_of(enriched(PINS["rows"]))
    assert mark == DocumentMark.of(PINS["rows"], DocumentForm.ENRICHED)
    assert mark != DocumentMark.of(replace(PINS["rows"], materialized=True), DocumentForm.ENRICHED)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_combined_document_is_valid_and_shares_what_is_equal(version: OpenApiVersion) -> None:
    pins = [pin(name=name, columns=ROWS) for name in ("sign-ups", "churn")]
    pins += [pin(name=kind.lower(), kind=kind) for kind in ("TrendsQuery", "RetentionQuery")]
    document = combine([enriched(each, version) for each in pins])
    validate(json.loads(document_text(document)))
    assert set(document["components"]["schemas"]) == {  # type: ignore[call-overload, index]  # JSON
        "AnyError", "BareError", "Error", "TrendSeries", "RetentionCohort", "RetentionValue",
        "SignUpsEndpointRunRequest", "SignUpsRow", "SignUpsRunAnswer",
        "ChurnEndpointRunRequest", "ChurnRow", "ChurnRunAnswer",
        "TrendsqueryEndpointRunRequest", "TrendsqueryRunAnswer",
        "RetentionqueryEndpointRunRequest", "RetentionqueryRunAnswer",
    }  # fmt: skip
    assert accepts(document, "SignUpsRunAnswer", answer(["pro", 1]))
    assert not accepts(document, "SignUpsRunAnswer", answer(["pro", {}]))


def test_the_order_of_documents_does_not_matter() -> None:
    documents = [enriched(pin(name=name, columns=ROWS)) for name in ("a", "b", "a-b")]
    assert document_text(combine(documents)) == document_text(combine(documents[::-1]))


def test_another_endpoint_renames_nothing() -> None:
    """Apps import these names."""
    before, after = (combine([enriched(pin(name=name, columns=ROWS)) for name in names]) for names in ("ab", "abc"))
    assert set(before["components"]["schemas"]) < set(after["components"]["schemas"])  # type: ignore[call-overload, index, arg-type]  # JSON


def test_equal_names_of_different_schemas_stay_apart() -> None:
    """Documents of two releases of PostHog, whose `Error` and what refers to it differ."""
    documents = []
    for name, kind in (("a", "string"), ("b", "integer"), ("c", "string")):
        document = served(name)
        reference = {"$ref": "#/components/schemas/Error"}
        document["components"]["schemas"] |= {"Error": {"type": kind}, "Wrapped": reference, "Same": {"type": "null"}}
        document["components"]["securitySchemes"]["PersonalAPIKey"]["description"] = kind
        documents.append(document)
    combined: Any = combine(documents)
    schemas = combined["components"]["schemas"]
    assert {name: value for name, value in schemas.items() if "Request" not in name} == {
        "AError": {"type": "string"},
        "BError": {"type": "integer"},
        "CError": {"type": "string"},
        "AWrapped": {"$ref": "#/components/schemas/AError"},
        "BWrapped": {"$ref": "#/components/schemas/BError"},
        "CWrapped": {"$ref": "#/components/schemas/CError"},
        "Same": {"type": "null"},
    }
    item = combined["paths"]["/api/projects/42/endpoints/b/run"]["post"]
    assert item["security"] == [{"BPersonalAPIKey": []}]
    assert sorted(combined["components"]["securitySchemes"]) == [
        "APersonalAPIKey",
        "BPersonalAPIKey",
        "CPersonalAPIKey",
    ]


def test_servers_that_differ_stand_at_their_paths() -> None:
    other = served("b") | {"servers": [{"url": "https://eu.posthog.com"}]}
    combined: Any = combine([served("a"), other])
    assert "servers" not in combined
    assert combined["paths"]["/api/projects/42/endpoints/b/run"]["servers"] == [{"url": "https://eu.posthog.com"}]
    validate(combined)


REFUSED = {
    "none": ([], "there are none"),
    "one endpoint twice": ([served("a"), served("a", version=4)], "two of them describe a"),
    "two versions of OpenAPI": ([served("a"), served("b") | {"openapi": "3.1.0"}], "3.0.3, 3.1.0"),
    "no components": ([{key: value for key, value in served("a").items() if key != "components"}], "components is not"),
}


@pytest.mark.parametrize(("documents", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_combined_is_refused(documents: Any, says: str) -> None:
    with pytest.raises(UnreadableDocument, match=says):
        combine(documents)


def test_a_reference_into_nowhere_is_refused() -> None:
    document = served("a")
    del document["components"]["schemas"]["EndpointRunRequest"]
    with pytest.raises(UnreadableDocument, match=r"the document of a lacks components\.schemas\.EndpointRunRequest"):
        combine([document])


NAMES = st.text("aAbB1-_", min_size=1, max_size=4).map(lambda text: f"e{text}")


@settings(max_examples=30)  # each validates a document
@given(st.sets(NAMES, min_size=1, max_size=6))
def test_combined_names_differ_where_case_and_separators_do_not_count(names: set[str]) -> None:
    """Generators write names in their own style, and into files."""
    combined: Any = combine([enriched(pin(name=name, columns=ROWS)) for name in names])
    operations = [item["post"]["operationId"] for item in combined["paths"].values()]
    for written in (list(combined["components"]["schemas"]), operations):
        assert len({name.replace("_", "").lower() for name in written}) == len(written)
    assert len(operations) == len(names)
    validate(json.loads(document_text(combined)))
