"""Every bad request gets a 4xx, and the server keeps running."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_gitops.local.app import LARGEST_BODY
from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]
JSON = {"Content-Type": "application/json"}
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        "name",
        "query",
        "description",
        "data_freshness_seconds",
        "is_active",
        "is_materialized",
        "bucket_overrides",
        "tags",
        "version",
        "deleted",
        "optional_breakdown_properties",
        "derived_from_insight",
        "variables",
        "limit",
        "offset",
        "refresh",
        "names",
        "type",
        "values",
        "kind",
    ]
)
_BODIES = _VALUES | st.dictionaries(_FIELDS, _VALUES, max_size=5)
_PATHS = st.sampled_from(
    [
        ("POST", "endpoints/"),
        ("PATCH", "endpoints/e/"),
        ("POST", "endpoints/e/run"),
        ("POST", "endpoints/e/materialization_preview/"),
        ("POST", "insight_variables/"),
    ]
)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "parse_error"),
        (b'{"name": NaN}', 400, "parse_error"),
        (b"\xff\xfe", 400, "parse_error"),
        (b'{"name": "\\ud800"}', 400, "parse_error"),
        (b"[" * 100_000, 400, "parse_error"),
        (b"[1, 2]", 400, "parse_error"),
        (b"null", 400, "parse_error"),
        (b'"text"', 400, "parse_error"),
        (b"", 400, "invalid_input"),
        (b'{"query": {"kind": "HogQLQuery", "query": "SELECT 1", "variables": {"a": 5}}}', 400, "parse_error"),
        (b'{"query": {"kind": "HogQLQuery", "query": "", "variables": {"a": {"code_name": 5}}}}', 400, "parse_error"),
        (b'{"query": {"kind": ["HogQLQuery"]}}', 400, "parse_error"),
        (b'{"name": "e", "data_freshness_seconds": 1e400}', 400, "parse_error"),
    ],
)  # fmt: skip
def test_bodies_that_are_none(ask: Ask, content: bytes, status: int, code: str) -> None:
    answer = ask("POST", "endpoints/", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_another_content_type(ask: Ask) -> None:
    answer = ask("POST", "endpoints/", content=b"name=e", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert answer.json()["detail"] == 'Unsupported media type "text/plain" in request.'


def test_a_huge_body(ask: Ask) -> None:
    answer = ask("POST", "endpoints/", content=b" " * (LARGEST_BODY + 1), headers=JSON)
    assert answer.status_code == 413
    assert ask("GET", "endpoints/").status_code == 200


@pytest.mark.parametrize(
    "path", ["endpoints/%00/", "endpoints/%ff/", "endpoints/a%2Fb/", "endpoints/ü/", "endpoints//"]
)
def test_odd_paths(ask: Ask, path: str) -> None:
    assert ask("GET", path).status_code == 404


@pytest.mark.parametrize("query", ["version=%00", "version=٣", "version=1e3", f"version={'9' * 5000}", "version=%ff"])
def test_odd_versions(ask: Ask, query: str) -> None:
    ask("POST", "endpoints/", {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}})
    assert 400 <= ask("GET", f"endpoints/e/?{query}").status_code < 500
    assert 400 <= ask("POST", f"endpoints/e/run?{query}").status_code < 500


@given(path=_PATHS, body=_BODIES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_is_sent_breaks_it(ask: Ask, path: tuple[str, str], body: Any) -> None:
    answer = ask(*path, content=json.dumps(body).encode(), headers=JSON)
    assert answer.status_code < 500, answer.text


def test_no_http_at_all(server: RunningServer, ask: Ask) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as plain:
        plain.sendall(b"hello there\r\n\r\n")
        assert b"400" in plain.recv(200)
    assert ask("GET", "endpoints/").status_code == 200


def test_database_that_fails(server: RunningServer, ask: Ask) -> None:
    """Creation is all or nothing, and the name is free afterwards."""
    server.store.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON versions BEGIN SELECT RAISE(ABORT, 'no more versions'); END"
    )
    body = {"name": "e", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}}
    answer = ask("POST", "endpoints/", body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "Failed to create endpoint.")
    server.store.execute("DROP TRIGGER refuse")
    assert ask("POST", "endpoints/", body).status_code == 201
    server.store.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON versions BEGIN SELECT RAISE(ABORT, 'no more versions'); END"
    )
    changed = ask("PATCH", "endpoints/e/", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}})
    assert (changed.status_code, changed.json()["detail"]) == (400, "Failed to update endpoint.")


def test_unexpected_exception(server: RunningServer, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    server.store.execute("DROP TABLE variables")
    answer = ask("GET", "insight_variables/")
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "server_error",
        "code": "error",
        "detail": "A server error occurred.",
        "attr": None,
    }
    assert "no such table" in caplog.text
    assert ask("GET", "endpoints/").status_code == 200
