"""The new file of an endpoint: readable, with the same settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.pulled import definition_values
from endpoints_gitops.codecs.rewriting import new_file
from endpoints_gitops.hogql.insights import expand
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.freshness import SCHEDULES
from endpoints_gitops.plan.settings import definition_settings, endpoint_settings, same

IDS = {"days": "d", "what": "w", "when": "t", "flag": "f"}
SHARED = [
    {"id": "d", "name": "days", "code_name": "days", "type": "Number", "default_value": 7, "values": []},
    {"id": "w", "name": "What?", "code_name": "what", "type": "List", "values": ["a", "b"], "is_multi": True},
    {"id": "t", "name": "when", "code_name": "when", "type": "Date", "default_value": "2026-01-01"},
]
VARIABLES = {one["id"]: InsightVariable.model_validate(one) for one in SHARED}


def hogql(sql: str, variables: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = {
        IDS[name]: {"variableId": IDS[name], "code_name": name, "value": value, "isNull": value is None}
        for name, value in (variables or {}).items()
    }
    return expand({"kind": "HogQLQuery", "query": sql, "variables": given or None, **more})


def endpoint(query: dict[str, Any], **more: Any) -> Endpoint:
    common = {"id": "1", "name": "x", "description": "", "tags": [], "data_freshness_seconds": 86400, "is_active": True}
    return Endpoint.model_validate({**common, "materialization": {"enabled": False}, "query": query, **more})


ON = {"materialization": {"enabled": True}}
TRENDS = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "$pageview"}]}
CASES = {
    "plain": (endpoint(hogql("select 1")), {"query": "select 1"}),
    "what people say of it": (
        endpoint(hogql("select 1"), description="It counts.", tags=["a"], is_active=False),
        {"description": "It counts.", "tags": ["a"], "active": False, "query": "select 1"},
    ),
    "materialised": (
        endpoint(hogql("select 1"), **ON, data_freshness_seconds=3600, bucket_overrides={"timestamp": "hour"}),
        {
            "query": "select 1",
            "materialization": {"enabled": True, "schedule": "1hour"},
            "bucket_overrides": {"timestamp": "hour"},
        },
    ),
    "not materialised": (
        endpoint(hogql("select 1"), data_freshness_seconds=3600, bucket_overrides={"timestamp": "hour"}),
        {"query": "select 1", "data_freshness": "1hour"},
    ),
    "inactive": (endpoint(hogql("select 1"), **ON, is_active=False), {"active": False, "query": "select 1"}),
    "older server": (endpoint(hogql("select 1"), data_freshness_seconds=300), {"query": "select 1"}),
    "variables": (
        endpoint(hogql("select {variables.what}, {variables.days}", {"days": 30, "what": ["a"]})),
        {
            "query": "select {variables.what}, {variables.days}",
            "variables": [
                {
                    "name": "what",
                    "type": "List",
                    "default": ["a"],
                    "label": "What?",
                    "values": ["a", "b"],
                    "multi": True,
                },
                {"name": "days", "type": "Number", "default": 30},
            ],
        },
    ),
    "null where the shared variable has a value, and where not": (
        endpoint(hogql("select {variables.when}, {variables.what}", {"when": None, "what": None})),
        {
            "query": "select {variables.when}, {variables.what}",
            "variables": [
                {"name": "when", "type": "Date", "default": None},
                {"name": "what", "type": "List", "label": "What?", "values": ["a", "b"], "multi": True},
            ],
        },
    ),
    "a shared variable that is gone": (
        endpoint(hogql("select {variables.flag}", {"flag": True})),
        {"query": "select {variables.flag}", "variables": [{"name": "flag", "type": "Boolean", "default": True}]},
    ),
    "a variable that is only mentioned": (
        endpoint(hogql("select 1 -- {variables.days}", {"days": 3})),
        {"query": "select 1 -- {variables.days}"},
    ),
    "a node that is more than its text": (
        endpoint(
            hogql(
                "select {variables.days}, {limit} from events where {filters}",
                {"days": 3},
                filters={"dateRange": {"date_from": "-7d"}},
                values={"limit": 5, "nothing": None},
                modifiers={"personsOnEventsMode": "disabled"},
                tags={"scene": "x"},
                name="Mine",
            )
        ),
        {
            "query_definition": {
                "kind": "HogQLQuery",
                "filters": {"dateRange": {"date_from": "-7d"}},
                "modifiers": {"personsOnEventsMode": "disabled"},
                "name": "Mine",
                "query": "select {variables.days}, {limit} from events where {filters}",
                "tags": {"scene": "x"},
                "values": {"limit": 5, "nothing": None},
            },
            "variables": [{"name": "days", "type": "Number", "default": 3}],
        },
    ),
    "filters that are empty": (
        endpoint(hogql("select 1 where {filters}", filters={})),
        {"query_definition": {"kind": "HogQLQuery", "query": "select 1 where {filters}", "filters": {}}},
    ),
    "lines from a browser": (endpoint(hogql("select 1,\r\n  2\r\n")), {"query": "select 1,\n  2\n"}),
    "a line break that is meant": (endpoint(hogql("select 'a\r\nb'")), {"query": "select 'a\r\nb'"}),
    "an insight": (
        endpoint(
            expand({**TRENDS, "breakdownFilter": {"breakdown": "$os"}}), **ON, optional_breakdown_properties=["$os"]
        ),
        {
            "query_definition": {**TRENDS, "breakdownFilter": {"breakdown": "$os"}},
            "materialization": {"enabled": True, "schedule": "24hour"},
            "optional_breakdown_properties": ["$os"],
        },
    ),
    "a kind that we do not know": (
        endpoint({"kind": "NewQuery", "a": None, "b": {"kind": "c", "a": 1}, "version": 2}),
        {"query_definition": {"kind": "NewQuery", "b": {"kind": "c", "a": 1}}},
    ),
}


@pytest.mark.parametrize(("there", "values"), CASES.values(), ids=CASES)
def test_a_new_file(there, values):
    found = definition_values(there, VARIABLES)
    assert found == {"name": "x", **values}
    assert_same(there, found)


def test_the_kind_comes_first():
    (node,) = (one for key, one in definition_values(CASES["an insight"][0], {}).items() if key == "query_definition")
    assert (next(iter(node)), next(iter(node["series"][0]))) == ("kind", "kind")


TEXT = st.text("ab \n\t\r'é😀:#-|", max_size=12).map(lambda text: f"/*{text}*/")


@settings(deadline=None)
@given(
    st.builds(
        endpoint,
        st.builds(
            lambda text, days, more: hogql(f"select {{variables.days}} {text}", {"days": days}, **more),
            TEXT,
            st.none() | st.integers(-(2**63), 2**64 - 1) | TEXT,
            st.fixed_dictionaries({}, optional={"values": st.just({"a": None}), "name": TEXT, "filters": st.just({})}),
        )
        | st.just(expand(TRENDS)),
        description=TEXT,
        tags=st.lists(st.sampled_from(["a", "on", "1_000"]), unique=True),
        is_active=st.booleans(),
        data_freshness_seconds=st.sampled_from([*SCHEDULES.values()]),
        materialization=st.fixed_dictionaries({"enabled": st.booleans()}),
        bucket_overrides=st.none() | st.just({"timestamp": "week"}),
    )
)
def test_nothing_differs_after_a_pull(there):
    assert_same(there, definition_values(there, VARIABLES))


def assert_same(there: Endpoint, values: Any) -> None:
    loaded = read_definition("x.yaml", new_file(values), lambda _: b"")
    stated, server = definition_settings(loaded, None), endpoint_settings(there)
    assert {key: one for key, one in stated.items() if not same(key, one, server.get(key))} == {}
