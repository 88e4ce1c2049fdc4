"""Variables are read from the tree, not from the text."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.variables import Placeholder, placeholders, variables_used

USED = [
    ("select {variables.x}", ("x",)),
    ("select { variables.x }", ("x",)),
    ("select {variables.x.y}", ("x",)),
    ("select {variables['x y']}", ("x y",)),
    ("select {variables.x + 1}", ("x",)),
    ("select {concat(variables.b, variables.a)}", ("b", "a")),
    ("select {variables['x'].y}", ("x",)),
    ("select 1 where a = {variables.b} group by {variables.a}, {variables.b} limit {variables.c}", ("b", "a", "c")),
    ("with z as (select {variables.first}) select {variables.last} from z", ("first", "last")),
    ("select * from (select 1 where {variables.deep} = 1)", ("deep",)),
    ("select 1 where {variables.l} = 1 union all select {variables.r}", ("l", "r")),
    ("select 1 -- {variables.x}\n/* {variables.y} */", ()),
    ("select '{variables.x}'", ()),
    ("select f'{variables.x}'", ()),
    ("select variables.x from variables", ()),
    ("select {filters}, {variables}, {other.x}", ()),
    ("select {variables.Ab}, {variables.ab}", ("Ab", "ab")),
]


@pytest.mark.parametrize(("sql", "names"), USED)
def test_variables_used(sql: str, names: tuple[str, ...]) -> None:
    assert variables_used(parse(sql)) == names


def test_placeholders_have_names_and_places() -> None:
    sql = "select {filters}, '\U0001f600' where a = {variables.x.y} or {1 + variables.z}"
    found = placeholders(parse(sql))
    assert found == (
        Placeholder(chain=("filters",), variables=(), start=7, end=16),
        Placeholder(chain=("variables", "x", "y"), variables=("x",), start=32, end=47),
        Placeholder(chain=(), variables=("z",), start=51, end=68),
    )
    assert [sql[one.start : one.end] for one in found] == ["{filters}", "{variables.x.y}", "{1 + variables.z}"]
