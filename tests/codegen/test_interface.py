"""What a pin takes and returns, before a language gets it."""

from __future__ import annotations

import keyword
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codegen.interface import (
    ValueKind,
    ValueType,
    camel_case,
    identifiers,
    interface_of,
    pascal_case,
    snake_case,
    value_type,
)
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable

INTEGER = ValueType(ValueKind.INTEGER)
TEXT = ValueType(ValueKind.STRING)
ANYTHING = ValueType(ValueKind.ANY, nullable=True)


def pin(kind: str = "HogQLQuery", **settings: Any) -> Pin:
    return Pin(
        environment="prod",
        name="signups",
        endpoint_id="e",
        version=1,
        version_id="v",
        created_at=None,
        query={"kind": kind, "query": "SELECT 1"},
        **settings,
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("integer", INTEGER),
        ("float", ValueType(ValueKind.FLOAT, nullable=True)),
        ("decimal", ValueType(ValueKind.DECIMAL)),
        ("string", TEXT),
        ("boolean", ValueType(ValueKind.BOOLEAN)),
        ("date", ValueType(ValueKind.DATE)),
        ("datetime", ValueType(ValueKind.DATETIME)),
        ("json", ANYTHING),
        ("unknown", ANYTHING),
        ("a type of next year", ANYTHING),
        ("array", ValueType(ValueKind.ARRAY, items=(ANYTHING,))),
        ("Array(integer)", ValueType(ValueKind.ARRAY, items=(INTEGER,))),
        (
            "Array(Nullable(integer))",
            ValueType(ValueKind.ARRAY, items=(ValueType(ValueKind.INTEGER, nullable=True),)),
        ),
        ("Tuple(string, integer)", ValueType(ValueKind.TUPLE, items=(TEXT, INTEGER))),
        ("Tuple()", ANYTHING),
        (
            "Map(string, Array(integer))",
            ValueType(ValueKind.MAP, items=(TEXT, ValueType(ValueKind.ARRAY, items=(INTEGER,)))),
        ),
    ],
)
def test_a_type_of_the_lock_becomes_a_type_of_every_language(written: str, expected: ValueType) -> None:
    assert value_type(written) == expected


@pytest.mark.parametrize(("known", "expected"), [(False, False), (True, True), (None, True)])
def test_a_column_may_be_null_unless_the_lock_excludes_it(known: bool | None, expected: bool) -> None:
    fields = interface_of(pin(columns=(PinnedColumn(name="n", type="integer", nullable=known),))).fields

    assert fields is not None
    assert fields[0].type == ValueType(ValueKind.INTEGER, nullable=expected)


def test_the_item_types_of_a_column_are_preferred_to_its_bare_type() -> None:
    column = PinnedColumn(name="plans", type="array", nullable=False, full="Array(string)")

    fields = interface_of(pin(columns=(column,))).fields

    assert fields is not None
    assert fields[0].type == ValueType(ValueKind.ARRAY, items=(TEXT,))


def test_a_column_whose_type_depends_on_a_variable_can_have_any_value() -> None:
    fields = interface_of(pin(columns=(PinnedColumn(name="n", type="string", varies=True),))).fields

    assert fields is not None
    assert fields[0].type == ANYTHING


def test_required_parameters_come_first() -> None:
    variables = (
        PinnedVariable(name="plan", type="String", required=False, has_default=True, default="pro"),
        PinnedVariable(name="month", type="Date", required=True),
        PinnedVariable(name="days", type="Number", required=True),
    )

    interface = interface_of(pin(variables=variables))

    assert [parameter.variable for parameter in interface.parameters] == ["month", "days", "plan"]
    assert interface.requires_variables
    assert interface.parameters[2].default == "pro"


@pytest.mark.parametrize(
    ("kind", "has_default", "default", "nullable", "takes_lists"),
    [
        ("HogQLQuery", False, None, False, False),
        ("HogQLQuery", True, "pro", False, False),
        ("HogQLQuery", True, None, True, False),
        ("HogQLQuery", True, ["pro"], False, True),
        ("TrendsQuery", False, None, False, True),
    ],
)
def test_what_a_variable_accepts(kind: str, has_default: bool, default: Any, nullable: bool, takes_lists: bool) -> None:
    variable = PinnedVariable(name="plan", type="String", required=False, has_default=has_default, default=default)

    (parameter,) = interface_of(pin(kind, variables=(variable,))).parameters

    assert (parameter.type, parameter.takes_lists) == (ValueType(ValueKind.STRING, nullable=nullable), takes_lists)


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ({"kind": "FunnelsQuery"}, "steps"),
        ({"kind": "FunnelsQuery", "funnelsFilter": {"funnelVizType": "trends"}}, "trends"),
        ({"kind": "TrendsQuery"}, None),
    ],
)
def test_the_view_of_a_funnel_is_in_its_query(query: dict[str, Any], view: str | None) -> None:
    assert interface_of(replace(pin(), query=query)).funnel_view == view


def test_interfaces_are_alike_if_code_for_one_is_right_for_the_other() -> None:
    columns = (PinnedColumn(name="n", type="integer", nullable=False),)
    mine = interface_of(pin(columns=columns))

    assert mine.is_like(interface_of(replace(pin(columns=columns), version=7, environment="staging")))
    assert not mine.is_like(interface_of(pin(columns=(replace(columns[0], nullable=True),))))


@pytest.mark.parametrize(
    ("settings", "is_insight"),
    [({"kind": "TrendsQuery", "columns": None}, True), ({"columns": ()}, False), ({"columns": None}, False)],
)
def test_rows_without_known_columns_have_no_fields(settings: dict[str, Any], is_insight: bool) -> None:
    interface = interface_of(pin(**settings))

    assert interface.fields is None
    assert interface.is_insight is is_insight


def test_repeated_columns_are_named_once() -> None:
    columns = tuple(PinnedColumn(name=name, type="integer") for name in ("b", "a", "b", "a", "c"))

    assert interface_of(pin(columns=columns)).repeated_columns == ("a", "b")


@pytest.mark.parametrize(
    ("name", "snake", "pascal", "camel"),
    [
        ("revenue_by_plan", "revenue_by_plan", "RevenueByPlan", "revenueByPlan"),
        ("Sign-ups", "sign_ups", "SignUps", "signUps"),
        ("mrrByPlan", "mrrbyplan", "MrrByPlan", "mrrByPlan"),
        ("$browser", "browser", "Browser", "browser"),
        ("7days", "x7days", "X7days", "x7days"),
        ("größe", "gr_e", "GrE", "grE"),
        ("日本", "x", "X", "x"),
    ],
)
def test_a_name_in_the_style_of_a_language(name: str, snake: str, pascal: str, camel: str) -> None:
    assert (snake_case(name), pascal_case(name), camel_case(name)) == (snake, pascal, camel)


def test_names_that_differ_by_other_characters_stay_apart() -> None:
    assert identifiers(["a_b", "a-b", "a_b_2"], snake_case) == {"a-b": "a_b", "a_b": "a_b_2", "a_b_2": "a_b_2_2"}


@given(st.lists(st.text(max_size=6)), st.sampled_from([snake_case, pascal_case, camel_case]), st.randoms())
def test_identifiers_are_valid_distinct_and_independent_of_the_order(names: list[str], style: Any, random: Any) -> None:
    reserved = frozenset(keyword.kwlist)
    shuffled = random.sample(names, len(names))

    chosen = identifiers(names, style, reserved)

    assert chosen == identifiers(shuffled, style, reserved)
    assert chosen.keys() == set(names)
    assert len(set(chosen.values())) == len(chosen)
    assert all(word.isidentifier() and word.isascii() and word not in reserved for word in chosen.values())
