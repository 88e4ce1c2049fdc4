"""A query that cannot be parsed proves nothing: a tenant variable in it is an error."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.lint import lint
from endpoints_gitops.hogql import narrowing
from endpoints_gitops.hogql.parser import ParserTimeout
from endpoints_gitops.model.definition import LoadedDefinition

QUERY = "SELECT count() AS n FROM events WHERE properties.org = {variables.org}"
UNPARSED = f"{QUERY} -- slow"


@pytest.fixture(autouse=True)
def slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def scoped(sql: str, variable: str) -> bool:
        if "slow" in sql:
            raise ParserTimeout("the query could not be parsed within 10 seconds")
        return proof(sql, variable)

    proof = narrowing.is_scoped
    monkeypatch.setattr(narrowing, "is_scoped", scoped)


def definition(query: str) -> LoadedDefinition:
    variables = [{"name": "org", "type": "String", "scope": "tenant"}]
    content = json.dumps({"name": "orders", "query": query, "variables": variables})
    return read_definition("orders.yaml", content.encode(), lambda _: b"")


def test_check_says_that_an_unparsed_query_proves_nothing() -> None:
    (found,) = (finding for finding in lint(definition(UNPARSED)) if finding.code == "V111")
    assert "could not be parsed" in found.message


@pytest.mark.parametrize("before", [QUERY, UNPARSED])
def test_a_comparison_with_an_unparsed_query_is_an_error(before: str) -> None:
    sides = [from_definition(definition(query)) for query in (before, f"{UNPARSED} too")]
    assert "V111" in {finding.code for finding in compare(*sides)}
