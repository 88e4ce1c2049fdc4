"""The JSON Schema, checked by a third-party validator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from endpoints_gitops.codecs.schema import SCHEMA_URL, SHIPPED, json_schema, text
from endpoints_gitops.codecs.yaml.composer import compose
from endpoints_gitops.codecs.yaml.loader import ValueReader
from endpoints_gitops.model.definition import GUESSED_TYPES, Definition, VariableType
from endpoints_gitops.model.freshness import SCHEDULES

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLES = sorted((Path(__file__).parents[2] / "endpoints").rglob("*.yaml"))
GOOD = {"name": "x", "query": "select 1"}


def test_the_shipped_file_is_this_one():
    """If not: `python -m endpoints_gitops.codecs.schema`."""
    assert SHIPPED.read_text(encoding="utf-8") == text()


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == SCHEMA_URL


def test_each_key_of_a_definition_says_what_it_is_for():
    assert [key for key, one in SCHEMA["properties"].items() if "description" not in one] == []
    assert list(SCHEMA["properties"]) == list(Definition.model_fields)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_definitions_are_valid(path):
    value = ValueReader(path=path.name).value(compose(path.name, path.read_text(encoding="utf-8")))
    assert [error.message for error in VALIDATOR.iter_errors(value)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"name": "x"},
        {"query": "select 1"},
        {"name": "x", "query": None},
        {**GOOD, "query_file": "x.sql"},
        {**GOOD, "query_definition": {"kind": "TrendsQuery"}},
        {**GOOD, "name": "1x"},
        {**GOOD, "name": "x" * 129},
        {**GOOD, "name": 5},
        {**GOOD, "nmae": "x"},
        {**GOOD, "active": "yes"},
        {**GOOD, "tags": "a"},
        {**GOOD, "tags": [1]},
        {**GOOD, "materialization": True},
        {**GOOD, "materialization": {"schedule": "1h"}},
        {**GOOD, "materialization": {"shedule": "1hour"}},
        {**GOOD, "data_freshness": 60},
        {**GOOD, "variables": [{"name": "v"}]},
        {**GOOD, "variables": [{"name": "V", "type": "Date"}]},
        {**GOOD, "variables": [{"name": "a-b", "type": "Date"}]},
        {**GOOD, "variables": [{"name": "v", "type": "Text"}]},
        {**GOOD, "variables": {"v": "Date"}},
        {**GOOD, "bucket_overrides": {"timestamp": "days"}},
        {**GOOD, "environments": {"p": {"query": "select 2"}}},
        {**GOOD, "supersedes": 0},
        {**GOOD, "deprecation": {"since": "2026-01-01"}},
        {**GOOD, "deprecation": {"since": "2026-1-1", "sunset": "2026-02-01"}},
        {**GOOD, "stability": "stabel"},
        {**GOOD, "columns": [{"name": "a", "type": "int"}]},
        {"name": "x", "query_definition": {"series": []}},
        {"name": "x", "query_definition": "TrendsQuery"},
    ],
    ids=repr,
)
def test_wrong_documents_are_refused(wrong):
    assert not VALIDATOR.is_valid(wrong)


WORDS = st.text("ab_é1", min_size=1, max_size=5)
JSON = st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=2)
QUERIES = st.one_of(
    st.fixed_dictionaries({"query": WORDS}, optional={"query_file": st.none()}),
    st.fixed_dictionaries({"query_file": WORDS}),
    st.fixed_dictionaries({"query_definition": st.fixed_dictionaries({"kind": WORDS, "more": JSON})}),
)
FRESH = st.sampled_from([*SCHEDULES, *SCHEDULES.values()])
ON = st.fixed_dictionaries({}, optional={"enabled": st.none() | st.booleans()})
VARIABLE = st.fixed_dictionaries(
    {"name": WORDS, "type": st.sampled_from([*map(str, VariableType), *GUESSED_TYPES])},
    optional={
        "default": JSON,
        "label": WORDS,
        "values": st.lists(JSON),
        "multi": st.booleans(),
        "scope": st.just("tenant"),
    },
)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "materialization": ON,
    "data_freshness": FRESH,
    "active": st.none() | st.booleans(),
    "tags": st.none() | st.lists(WORDS),
}
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "description": st.none() | WORDS,
    "variables": st.none() | st.lists(VARIABLE, max_size=2),
    "optional_breakdown_properties": st.lists(WORDS),
    "bucket_overrides": st.dictionaries(WORDS, st.sampled_from(["minute", "week"]), max_size=2),
    "environments": st.dictionaries(WORDS, st.fixed_dictionaries({}, optional=SETTINGS), max_size=2),
    "supersedes": st.none() | st.integers(1),
    "deprecation": st.just({"since": "2026-01-01", "sunset": "2026-02-01"}),
    "examples": st.lists(
        st.fixed_dictionaries({}, optional={"variables": st.dictionaries(WORDS, JSON), "rows": st.lists(JSON)})
    ),
}
DEFINITIONS = st.builds(
    lambda name, query, more: {"name": f"e{name}", **query, **more},
    st.text("aZ0_-", max_size=9),
    QUERIES,
    st.fixed_dictionaries({}, optional=SETTINGS | OTHERS),
)


@settings(deadline=None)
@given(DEFINITIONS)
def test_what_the_model_takes_is_valid(document):
    Definition.model_validate(document)
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
