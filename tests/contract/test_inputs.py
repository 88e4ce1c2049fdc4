"""The variables of a query: the file's list goes over the node's map, and that over the shared variable."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from endpoints_gitops.contract.contract import Input
from endpoints_gitops.contract.inputs import declared_inputs, stored_inputs, types_by_name, with_values
from endpoints_gitops.model.definition import Definition
from endpoints_gitops.model.endpoint import InsightVariable

SQL = "SELECT {variables.x} AS a"
SHARED = InsightVariable.model_validate(
    {"id": "id-x", "name": "X", "type": "Number", "code_name": "x", "default_value": 7.0}
)
TRENDS = {
    "kind": "TrendsQuery",
    "series": [{"kind": "EventsNode"}],
    "breakdownFilter": {"breakdown": "$os", "breakdown_type": "event"},
}


def node(sql: str = SQL, **entries: Any) -> dict[str, Any]:
    variables = {
        f"id-{name}": {"code_name": name, "variableId": f"id-{name}", **entry} for name, entry in entries.items()
    }
    return {"kind": "HogQLQuery", "query": sql, **({"variables": variables} if variables else {})}


def declared(query: dict[str, Any], *, shared: bool = False, **variable: Any) -> tuple[Input, ...]:
    listed = [{"name": "x", **variable}] if variable else []
    keys = {"name": "orders", "query_definition": query, "variables": listed}
    definition = Definition.model_validate(json.loads(json.dumps(keys)))
    return declared_inputs(definition, query, {"x": SHARED} if shared else {})


DECLARED = {
    "nowhere": (partial(declared, node()), Input(name="x", type="unknown", is_open=True)),
    "in the list": (partial(declared, node(), type="Date"), Input(name="x", type="Date", is_open=True)),
    "in the list with a default": (
        partial(declared, node(x={"value": 1}), type="Number", default=30.0, shared=True),
        Input(name="x", type="Number", has_default=True, default=30),
    ),
    "in the list with null": (partial(declared, node(), type="Number", default=None), Input(name="x", type="Number")),
    "in the node": (
        partial(declared, node(x={"value": "a"})),
        Input(name="x", type="unknown", has_default=True, default="a"),
    ),
    "in the node and the project": (
        partial(declared, node(x={"value": 3}), shared=True),
        Input(name="x", type="Number", has_default=True, default=3),
    ),
    "in the node, null on purpose": (
        partial(declared, node(x={"value": 3, "isNull": True}), shared=True),
        Input(name="x", type="Number"),
    ),
    "in the project": (
        partial(declared, node(), shared=True),
        Input(name="x", type="Number", has_default=True, default=7),
    ),
}


@pytest.mark.parametrize(("found", "expected"), DECLARED.values(), ids=DECLARED)
def test_where_a_variable_is_declared(found: Callable[[], tuple[Input, ...]], expected: Input) -> None:
    assert found() == (expected,)


def test_only_what_the_text_uses_in_its_order() -> None:
    used = node("SELECT {variables.b}, {variables.a}", a={"value": 1}, b={"value": 2}, c={"value": 3})
    assert [one.name for one in stored_inputs(used, {})] == ["b", "a"]
    assert stored_inputs(node("SELECT 1", a={"value": 1}), {}) == ()
    assert stored_inputs({"kind": "HogQLQuery", "variables": node(a={"value": 1})["variables"]}, {}) == ()
    unread = node("SELEKT {variables.b}", a={"value": 1}, b={"value": 2})
    assert [one.name for one in stored_inputs(unread, {"a": "Date"})] == ["a", "b"], "all, where it cannot be parsed"
    assert [one.type for one in stored_inputs(unread, {"a": "Date"})] == ["Date", "unknown"]


def test_an_insight_takes_its_breakdowns_and_dates_as_text() -> None:
    expected = tuple(Input(name=name, type="String", has_default=True) for name in ("$os", "date_from", "date_to"))
    assert stored_inputs(TRENDS, {}) == expected
    assert declared(TRENDS, type="Number") == expected


def test_the_node_as_it_will_be_stored() -> None:
    inputs = (Input(name="a", type="Number", has_default=True, default=1), Input(name="b", type="Date"))
    assert with_values(node(old={"value": 1}), inputs) == {
        "kind": "HogQLQuery",
        "query": SQL,
        "variables": {
            "a": {"code_name": "a", "variableId": "a", "value": 1},
            "b": {"code_name": "b", "variableId": "b", "isNull": True},
        },
    }
    assert with_values(node(old={"value": 1}), ()) == {"kind": "HogQLQuery", "query": SQL}
    assert with_values(TRENDS, inputs) is TRENDS


def test_the_types_that_the_project_says() -> None:
    both = node("SELECT {variables.x}, {variables.y}", x={"value": 1}, y={"value": 2})
    assert types_by_name(both, {"id-x": SHARED}) == {"x": "Number"}
    assert types_by_name(both, None) == {}
