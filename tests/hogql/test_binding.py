"""Binding values into a query: the parser reads the bound value back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.printer import UnboundVariable, literal
from endpoints_gitops.hogql.variables import bind

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def _read_back(node):
    match node["node"]:
        case "Constant":
            return node.get("value")
        case "Array":
            return [_read_back(item) for item in node["exprs"]]


@given(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | st.lists(TEXTS, min_size=1, max_size=3))
def test_the_parser_reads_back_the_value(value):
    tree = parse(bind("select {variables.v} as it, 'x'", {"v": value}))
    assert _read_back(tree["select"][0]["expr"]) == value
    assert len(tree["select"]) == 2


def test_every_use_is_bound_and_strings_and_comments_are_left_alone():
    sql = "select {variables.a}, '{variables.a}' -- {variables.a}\nfrom numbers(3) where number < { variables.b }"
    assert bind(sql, {"a": "😀", "b": 2}) == (
        "select '😀', '{variables.a}' -- {variables.a}\nfrom numbers(3) where number < 2"
    )


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select {variables.a}", "variable a has neither a value nor a default"),
        ("select {filters}", "the placeholder at character 7 is not a variable"),
        ("select {variables.v || 'x'}", "the placeholder of v is an expression; only {variables.v} can be bound"),
    ],
)
def test_what_cannot_be_bound_is_named(sql, message):
    with pytest.raises(UnboundVariable) as caught:
        bind(sql, {"v": 1})
    assert caught.value.message == message


@pytest.mark.parametrize("value", [{"a": 1}, "a\0b"])
def test_what_has_no_literal_is_refused(value):
    with pytest.raises(UnboundVariable):
        literal(value)
