"""Shared variables: what is missing, what differs, who uses it, and definitions that disagree."""

from __future__ import annotations

import pytest

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.plan.variables import VariableAction, create_body, needed, update_body

SQL = "SELECT {variables.plan}"


def declaring(make, name="a", **keys):
    return make.loaded(name=name, query=SQL, variables=[{"name": "plan", "type": "List", **keys}])


def test_a_missing_one_is_created_under_its_code_name_and_named_afterwards(make):
    (change,) = needed([declaring(make, label="The plan", default="pro", values=["pro", 1], multi=False)], [], [])
    assert change.action is VariableAction.CREATE
    assert create_body(change) == {
        "name": "plan",
        "type": "List",
        "default_value": "pro",
        "values": ["pro", "1"],
        "is_multi": False,
    }
    assert update_body(change) == {"name": "The plan"}


@pytest.mark.parametrize("label", [None, "plan"])
def test_one_without_a_label_of_its_own_needs_no_second_request(make, label):
    (change,) = needed([declaring(make, **({"label": label} if label else {}))], [], [])
    assert create_body(change) == {"name": "plan", "type": "List", "default_value": None}
    assert update_body(change) is None


def test_its_default_is_that_of_the_definition_that_states_one(make):
    (change,) = needed([declaring(make, "a"), declaring(make, "b", default="pro")], [], [])
    assert (change.default, change.declared_by) == ("pro", ("a", "b"))


SERVER = {"type": "List", "name": "The plan", "values": ["pro", "2.5"], "is_multi": True, "default_value": ["x"]}
UPDATES = [
    ({}, {}, None),
    ({"default": "other"}, {}, None),
    ({"label": "The plan", "values": ["pro", 2.5], "multi": True}, {}, None),
    ({"label": "Plan"}, {"label": "The plan"}, {"name": "Plan"}),
    ({"values": ["pro"]}, {"values": ["pro", "2.5"]}, {"values": ["pro"]}),
    ({"multi": False}, {"multi": True}, {"is_multi": False}),
    ({"type": "Date"}, {"type": "List"}, {"type": "Date"}),
    ({"type": "Date", "multi": True}, {"type": "List"}, {"type": "Date"}),
]


@pytest.mark.parametrize(("stated", "before", "sent"), UPDATES)
def test_only_what_is_stated_and_differs_is_updated(make, stated, before, sent):
    changes = needed([declaring(make, **stated)], [make.variable("plan", **SERVER)], [])
    if sent is None:
        assert changes == ()
        return
    (change,) = changes
    assert (change.action, change.id, change.before) == (VariableAction.UPDATE, "id-plan", before)
    assert update_body(change) == sent


def test_the_place_is_where_the_difference_is_said(make):
    silent, saying = declaring(make, "a"), declaring(make, "b", label="Plan")
    (change,) = needed([silent, saying], [make.variable("plan", **SERVER)], [])
    assert (change.before, change.where) == ({"label": "The plan"}, "endpoints/b.yaml:3")


def test_every_endpoint_that_uses_it_is_named(make):
    endpoints = [make.endpoint(name=name, query=SQL, variables={"plan": "pro"}) for name in ("z", "a")]
    (change,) = needed([declaring(make, "m")], [make.variable("plan")], [*endpoints, make.endpoint(name="other")])
    assert (change.declared_by, change.used_by) == (("m",), ("a", "m", "z"))


def test_the_variables_of_an_insight_are_no_shared_ones(make):
    node = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]}
    listed = [{"name": "plan", "type": "String"}]
    assert needed([make.loaded(query_definition=node, variables=listed)], [], []) == ()


def test_definitions_that_disagree_are_told_at_each_place(make):
    one, other = declaring(make, "a", label="Plan"), declaring(make, "b", label="Tier")
    one.lines["variables.0.label"], other.lines["variables.0"] = 7, 4
    with pytest.raises(InvalidInput) as caught:
        needed([one, other, declaring(make, "c")], [], [])
    assert [str(problem) for problem in caught.value.problems] == [
        "endpoints/a.yaml:7:1: the label of the shared variable 'plan' is Plan here and another in endpoints/b.yaml:4",
        "endpoints/b.yaml:4:1: the label of the shared variable 'plan' is Tier here and another in endpoints/a.yaml:3",
    ]


@pytest.mark.parametrize("key", ["type", "values", "multi"])
def test_everything_that_is_shared_has_to_agree(make, key):
    said = {"type": ("List", "Date"), "values": (["a"], ["b"]), "multi": (True, False)}[key]
    with pytest.raises(InvalidInput, match=r"\(and 1 more mistake\)"):
        needed([declaring(make, name, **{key: value}) for name, value in zip("ab", said, strict=True)], [], [])


def test_spellings_of_the_same_choices_agree(make):
    assert len(needed([declaring(make, "a", values=[1]), declaring(make, "b", values=["1"])], [], [])) == 1
