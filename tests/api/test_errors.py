"""The error tables, row by row: which class an answer becomes, what it carries, and that each can be explained."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.refusals import error_of
from endpoints_gitops.api.wire import Answer, Request

READ = Request(method="GET", path="/api/projects/1/endpoints/e/", names="e")
LIST = Request(method="GET", path="/api/projects/1/endpoints/")
RUN = Request(method="POST", path="/api/projects/1/endpoints/e/run/", names="e")


def said(detail, code="invalid_input", attr=None, kind="validation_error"):
    return {"type": kind, "code": code, "detail": detail, "attr": attr}


def become(status, body, request=READ, headers=None):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of(Answer(status=status, headers=headers or {}, body=sent), request, "GET /x", lambda text: text)


ROWS = [
    (400, said("Data freshness must be one of: [900]", attr="data_freshness_seconds"), "Refused", 2),
    (400, said("Invalid bucket override values: {}"), "Refused", 2),
    (400, {"error": "Invalid limit parameter: 0"}, "Refused", 2),
    (400, said("JSON parse error - 1 validation error", "parse_error", kind="invalid_request"), "BodyRefused", 2),
    (400, said("An endpoint with this name already exists for this team.", attr="name"), "NameTaken", 2),
    (400, said("Invalid name 'é'.", attr="name"), "Refused", 2),
    (400, said("Version 999 not found for this endpoint.", attr="version"), "VersionNotFound", 2),
    (400, said("Must be an integer, got: abc", attr="version"), "Refused", 2),
    (400, said("Cannot materialize endpoint. Reason: x"), "CannotMaterialize", 2),
    (400, said("Cannot enable it on an inactive endpoint.", attr="is_materialized"), "CannotMaterialize", 2),
    (400, said("Required variable(s) 'a' not provided", attr="variables"), "VariablesRefused", 2),
    (400, said("Query references undefined variable(s): a.", attr="query"), "InvalidQuery", 2),
    (400, said("near ')'", "hogql_syntax_error"), "InvalidQuery", 2),
    (400, said("Unable to resolve field: x", "hogql_query_error"), "InvalidQuery", 2),
    (400, said("Query resolution failed: unable to resolve table or field references."), "InvalidQuery", 2),
    (400, said("Query execution failed: HogQL virtual machine error"), "InvalidQuery", 2),
    (400, said("OFFSET is not supported on queries made with a key.", "hogql_query_error"), "OffsetRefused", 2),
    (400, said("no", "table_access_denied"), "TableDenied", 2),
    (400, said("no", "invalid_property_filter"), "InvalidQuery", 2),
    (400, said("too much", "too_many_bytes"), "ClickHouseRefused", 2),
    (400, said("This local server does not …", "not_supported_locally"), "Refused", 2),
    (400, said("x", "query_timeout", kind="server_error"), "QueryTimeout", 2),
    (400, said("x", "query_memory_limit", kind="server_error"), "QueryMemory", 2),
    (400, said("x", "query_too_large", kind="server_error"), "QueryTooLarge", 2),
    (400, said("x", "query_estimated_too_slow", kind="server_error"), "QueryTooSlow", 2),
    (401, said("Authentication credentials were not provided.", "not_authenticated"), "KeyNotSeen", 3),
    (401, said("Personal API key is invalid.", "authentication_failed"), "Unauthenticated", 3),
    (402, said("x", "api_queries_quota_exceeded"), "QuotaExceeded", 4),
    (403, said("API key missing required scope 'endpoint:write'", "permission_denied"), "MissingScope", 3),
    (403, said("API key does not have access to the requested project: ID 2."), "OtherProject", 3),
    (403, said("API key does not have access to the requested organization: ID 2."), "OtherProject", 3),
    (403, said("This action does not support project secret API key access"), "KeyKindRefused", 3),
    (403, said("This action does not support personal API key access"), "KeyKindRefused", 3),
    (403, said("You do not have editor access to this resource."), "AccessDenied", 3),
    (403, said("You don't have access to the project."), "AccessDenied", 3),
    (403, said("Organization 'x' does not allow using personal API keys."), "Forbidden", 3),
    (404, said("Not found.", "not_found"), "EndpointNotFound", 2),
    (404, said("Project not found.", "not_found"), "ProjectNotFound", 2),
    (404, {"error": "Version 9 not found for endpoint 'e'", "current_version": 1}, "VersionNotFound", 2),
    (404, {"error": "No version found for this endpoint"}, "VersionNotFound", 2),
    (405, {"detail": "Bulk tag updates are not supported for endpoints."}, "MethodRefused", 4),
    (415, said("x", "unsupported_media_type"), "MediaTypeRefused", 4),
    (418, said("x"), "ApiError", 4),
    (429, said("Too many concurrent requests.", "throttled"), "TooManyAtOnce", 4),
    (500, said("A server error occurred.", "error"), "ServerFault", 4),
    (502, b"", "GatewayFault", 4),
    (503, said("x", "query_capacity"), "AtCapacity", 4),
    (503, said("x", "database_unavailable"), "DatabaseUnavailable", 4),
    (504, said("x"), "GatewayFault", 4),
    (404, b"<html>", "BadAnswer", 4),
    (400, b'["x"]', "BadAnswer", 4),
    (400, b"\xff\x00", "BadAnswer", 4),
    (400, b"[" * 100_000, "BadAnswer", 4),
    (301, b"", "Redirected", 4),
]


@pytest.mark.parametrize(("status", "body", "name", "exit_code"), ROWS)
def test_each_row_is_a_class(status, body, name, exit_code):
    error = become(status, body)
    assert (type(error).__name__, int(error.exit_code), error.status) == (name, exit_code, status)
    assert error.fix
    if isinstance(body, dict):
        assert error.detail == body.get("detail", body.get("error"))
        assert (error.server_code, error.attr) == (body.get("code"), body.get("attr"))


def test_advice_names_the_endpoint_of_the_request():
    assert (
        "endpoints-gitops versions revenue lists the versions"
        in errors.VersionNotFound("x", request="GET /…/endpoints/revenue/", endpoint="revenue").fix
    )
    assert (
        "endpoints-gitops versions NAME lists the versions"
        in errors.VersionNotFound("x", request="GET /…/endpoints/").fix
    )


def test_a_404_without_a_name_is_about_no_endpoint():
    assert type(become(404, said("Invalid page.", "not_found"), LIST)) is errors.NotFound


def test_a_run_may_have_met_an_inactive_endpoint():
    assert str(become(404, said("Not found."), RUN)) == "GET /x: this project has no active endpoint 'e'"


def test_a_missing_scope_is_named():
    error = become(403, said("API key missing required scope 'query:read'"))
    assert isinstance(error, errors.MissingScope)
    assert error.scope == "query:read"
    assert "query:read" in (error.fix or "")


@pytest.mark.parametrize("detail", [["one", {"two": 3}], {"name": ["wrong"]}, 5])
def test_a_detail_of_another_shape_is_shown_as_it_is(detail):
    assert json.dumps(detail) in str(become(400, said(detail)))


def test_text_of_the_server_cannot_move_the_cursor():
    for body in (said("\x1b[2J"), b"<title>\x1b[2J\xe2\x80\xae</title>"):
        assert "\x1b" not in str(become(400, body))


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://evil.test/x?token=1", "https://evil.test/x;"),
        ("/login", "to /login;"),
        ("", "no URL"),
        ("http://[", "no URL"),
    ],
)
def test_a_redirect_says_where_to(location, told):
    assert told in str(become(302, b"", headers={"location": location}))


def classes(kind):
    return [kind, *(each for child in kind.__subclasses__() for each in classes(child))]


def test_every_class_has_a_code_of_its_own_and_explains_itself():
    all_of_them = classes(errors.ApiError)
    assert len({each.code for each in all_of_them}) == len(all_of_them) > 30
    for each in all_of_them:
        assert each.code.startswith("api")
        assert each.__doc__
        assert each.remedy
