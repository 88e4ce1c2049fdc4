"""Definitions and endpoints in one vocabulary: only what is stated, only what can be compared, by meaning."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql.insights import expand
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.plan.settings import (
    SERVER_DEFAULTS,
    Key,
    completed,
    contains,
    definition_settings,
    endpoint_settings,
    is_cosmetic,
    line_of,
    line_of_variable,
    normalized_query,
    same,
    variables_of,
)

SQL = "SELECT count() AS c FROM events WHERE event = {variables.event}"
TRENDS = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "signup"}]}


def hogql(sql=SQL, **variables):
    return {"kind": "HogQLQuery", "query": sql} | ({"variables": variables} if variables else {})


def test_a_file_states_what_it_says_and_nothing_else(make):
    assert definition_settings(make.loaded(query=SQL), None) == {Key.QUERY: hogql()}
    assert definition_settings(make.loaded(query=SQL, description=None, tags=None), None).keys() == {Key.QUERY}


def test_every_key_of_a_file(make):
    loaded = make.loaded(
        query=SQL,
        description="",
        tags=[" Web ", "web", "A  b"],
        active=False,
        materialization={"enabled": True, "schedule": "1hour"},
        optional_breakdown_properties=["$os"],
        bucket_overrides={"timestamp": "hour"},
        variables=[{"name": "event", "type": "String", "default": "signup"}],
    )
    assert definition_settings(loaded, None) == {
        Key.QUERY: hogql(event={"value": "signup"}),
        Key.DESCRIPTION: "",
        Key.TAGS: ["a b", "web"],
        Key.ACTIVE: False,
        Key.MATERIALIZATION: True,
        Key.FRESHNESS: 3600,
        Key.OPTIONAL_BREAKDOWNS: ["$os"],
        Key.BUCKET_OVERRIDES: {"timestamp": "hour"},
    }


@pytest.mark.parametrize(
    ("variable", "stated"),
    [
        ({}, {}),
        ({"default": 30}, {"event": {"value": 30}}),
        ({"default": 30.0}, {"event": {"value": 30}}),
        ({"default": None}, {"event": {"value": None, "isNull": True}}),
    ],
)
def test_a_variable_says_what_its_default_says(make, variable, stated):
    loaded = make.loaded(query=SQL, variables=[{"name": "event", "type": "String", **variable}])
    assert variables_of(definition_settings(loaded, None)[Key.QUERY]) == stated


def test_a_null_that_is_meant_goes_over_a_value():
    entry = {"variableId": "id-event", "code_name": "event", "value": "old", "isNull": True}
    node = {"kind": "HogQLQuery", "query": SQL, "variables": {"id-event": entry}}
    assert variables_of(normalized_query(node)) == {"event": {"value": None, "isNull": True}}


def test_variables_of_a_node_go_by_code_name_and_the_list_goes_over_them(make):
    entries = {
        "id-event": {"variableId": "id-event", "code_name": "event", "value": "old"},
        "id-os": {"variableId": "id-os", "code_name": "os", "value": "mac"},
        "id-plan": {"variableId": "id-plan", "code_name": "plan", "value": None},
    }
    node = {"kind": "HogQLQuery", "query": SQL, "variables": entries, "filters": {"filterTestAccounts": True}}
    loaded = make.loaded(query_definition=node, variables=[{"name": "event", "type": "String", "default": "new"}])
    assert definition_settings(loaded, None)[Key.QUERY] == {
        "kind": "HogQLQuery",
        "query": SQL,
        "filters": {"filterTestAccounts": True},
        "variables": {"event": {"value": "new"}, "os": {"value": "mac"}},
    }


def test_an_environment_lays_its_settings_over(make):
    overlay = {"prod": {"data_freshness": "15min", "tags": ["live"], "materialization": {"enabled": True}}}
    loaded = make.loaded(tags=["a"], data_freshness="7day", environments=overlay)
    prod = definition_settings(loaded, "prod")
    assert (prod[Key.FRESHNESS], prod[Key.TAGS], prod[Key.MATERIALIZATION]) == (900, ["live"], True)
    other = definition_settings(loaded, "staging")
    assert (other[Key.FRESHNESS], other[Key.TAGS]) == (604800, ["a"])
    assert Key.MATERIALIZATION not in other


def test_a_new_endpoint_has_the_defaults(make):
    server = endpoint_settings(make.endpoint())
    assert server | {Key.BUCKET_OVERRIDES: {}} == {Key.QUERY: server[Key.QUERY], **SERVER_DEFAULTS}


def test_what_an_older_server_does_not_say_is_not_compared():
    older = Endpoint.model_validate({"id": "1", "name": "a", "query": TRENDS, "is_materialized": True})
    assert endpoint_settings(older) == {Key.QUERY: normalized_query(TRENDS), Key.MATERIALIZATION: True}


def test_materialisation_counts_from_the_moment_it_is_asked_for(make):
    endpoint = make.endpoint(materialized=True, is_materialized=False, bucket_overrides={"timestamp": "hour"})
    server = endpoint_settings(endpoint)
    assert (server[Key.MATERIALIZATION], server[Key.BUCKET_OVERRIDES]) == (True, {"timestamp": "hour"})


def test_nothing_of_a_table_is_compared_where_there_is_none(make):
    left_over = {"bucket_overrides": {"timestamp": "hour"}}
    assert Key.BUCKET_OVERRIDES not in endpoint_settings(make.endpoint(**left_over))
    inactive = endpoint_settings(make.endpoint(is_active=False, materialized=True, **left_over))
    assert not inactive.keys() & {Key.MATERIALIZATION, Key.BUCKET_OVERRIDES}


SAME = [
    (hogql(), hogql(SQL.replace(" FROM", "\r\n  from"))),
    (hogql(), hogql(event={"value": "anything"})),
    (hogql(event={"value": 30}), hogql(event={"value": 30}, other={"value": 1})),
    (hogql(event={"value": 1}, unused={"value": 2}), hogql(event={"value": 1})),
    (normalized_query(TRENDS), normalized_query(expand(TRENDS))),
]
DIFFERENT = [
    (hogql(), hogql(SQL.replace("=", "!="))),
    (hogql(event={"value": "a"}), hogql(event={"value": "b"})),
    (hogql(event={"value": "a"}), hogql()),
    (hogql(event={"value": 1}), hogql(event={"value": True})),
    (hogql(event={"value": None, "isNull": True}), hogql(event={"value": ""})),
    (hogql(), {**hogql(), "filters": {}}),
    (normalized_query(TRENDS), hogql()),
    ({**normalized_query(TRENDS), "interval": "week"}, normalized_query(TRENDS)),
]


@pytest.mark.parametrize(("stated", "other"), SAME)
def test_the_same_query(stated, other):
    assert same(Key.QUERY, stated, other)


@pytest.mark.parametrize(("stated", "other"), DIFFERENT)
def test_another_query(stated, other):
    assert not same(Key.QUERY, stated, other)


def test_settings_are_the_same_whatever_typed_them():
    assert same(Key.DESCRIPTION, "a\nb", "a\r\nb")
    assert not same(Key.DESCRIPTION, "a\nb", "a b")
    assert same(Key.OPTIONAL_BREAKDOWNS, ["$os", "$browser"], ["$browser", "$os"])
    assert same(Key.OPTIONAL_BREAKDOWNS, ["$os", None], [None, "$os"])
    assert not same(Key.TAGS, ["a", "b"], ["b", "a"])
    assert not same(Key.ACTIVE, False, 0)


CONTAINED = {
    "as pulled": ("a b", "a c", "a c", True),
    "edited elsewhere": ("a m b", "a m c", "x m c", True),
    "edited after the same place": ("a b", "a c", "a c d", True),
    "edited over": ("a b", "a c", "a d", False),
    "put back": ("a b", "a c", "a b", False),
    "removed, as pulled": ("a b c", "a c", "a c d", True),
    "removed, and something in its place": ("a b c", "a c", "a x c", False),
    "another kind of value": ("a", "b", 1, False),
    "nothing at the base": (None, "a", "a b", True),
    "keys as pulled, and another": ({"a": 1}, {"a": 2}, {"a": 2, "b": 1}, True),
    "a key that was removed": ({"a": 1, "b": 1}, {"a": 1}, {"a": 2}, True),
    "a key that was removed, and is back": ({"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 2}, False),
    "a key that was added, and is gone": ({}, {"a": 1}, {"b": 1}, False),
    "no map at the base": (None, {"a": 1}, {"a": 1, "b": 1}, True),
    "a word beyond the most that are compared": ("a", "b", "b " * 4_001, False),
}


@pytest.mark.parametrize(("base", "pulled", "edited", "expected"), CONTAINED.values(), ids=CONTAINED)
def test_whether_an_edit_still_has_what_was_pulled(base, pulled, edited, expected):
    assert contains(base, pulled, edited) is expected


@pytest.mark.parametrize(
    ("stated", "other", "expected"),
    [
        (hogql(), hogql(), False),
        (hogql(), hogql(event={"value": 1}), False),
        (hogql(), hogql(SQL + "\n"), True),
        (hogql(), {**hogql(), "explain": False}, True),
        (hogql(), hogql("SELECT 1"), False),
        (normalized_query(TRENDS), normalized_query(expand(TRENDS)), False),
    ],
)
def test_cosmetic_is_what_would_cut_a_version_for_nothing(stated, other, expected):
    assert is_cosmetic(stated, other) is expected


def test_what_the_file_leaves_open_is_sent_as_the_server_has_it():
    both = "SELECT {variables.event}, {variables.os}"
    present = hogql(both, event={"value": 1}, os={"value": 2}, gone={"value": 3})
    assert variables_of(completed(hogql(both, event={"value": 9}), present)) == {
        "event": {"value": 9},
        "os": {"value": 2},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(Key), JSON)
@settings(deadline=None)
def test_everything_is_the_same_as_itself(key, value):
    assert same(key, value, json.loads(json.dumps(value)))


@given(JSON)
@settings(deadline=None)
def test_variables_that_are_none_make_no_trouble(junk):
    node = {"kind": "HogQLQuery", "query": SQL, "variables": junk}
    assert same(Key.QUERY, normalized_query(node), normalized_query(node))


def test_a_thousand_equal_endpoints_are_compared_in_no_time(make):
    sqls = [f"SELECT count() FROM events WHERE event = {{variables.event}} AND n = {n}" for n in range(1_000)]
    variables = [{"name": "event", "type": "String", "default": "x"}]
    files = [make.loaded(query=sql, variables=variables) for sql in sqls]
    endpoints = [make.endpoint(query=sql, variables={"event": "x"}) for sql in sqls]
    started = time.process_time()
    pairs = [
        (definition_settings(one, None), endpoint_settings(other)) for one, other in zip(files, endpoints, strict=True)
    ]
    assert all(same(key, file[key], server[key]) for file, server in pairs for key in file)
    assert time.process_time() - started < 1


def test_the_line_of_a_key_is_that_of_the_environment_where_it_says_one(make):
    overlay = {"prod": {"tags": ["b"]}}
    loaded = make.loaded(tags=["a"], environments=overlay)
    loaded.lines["environments.prod.tags"] = 9
    assert line_of(Key.TAGS, loaded, "prod") == 9
    assert line_of(Key.TAGS, loaded, "staging") == loaded.lines["tags"]
    assert line_of(Key.ACTIVE, loaded, None) is None


def test_the_line_of_a_variable_is_that_of_its_default(make):
    loaded = make.loaded(query=SQL, variables=[{"name": name, "type": "String"} for name in ("os", "event")])
    loaded.lines["variables.1.default"] = 7
    assert [line_of_variable(name, loaded) for name in ("event", "os", "plan")] == [7, None, None]
