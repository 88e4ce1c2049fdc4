"""The rule for a change of a column's type: by the server's type name, the nested types, and ClickHouse's type."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.clickhouse import bits
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.contract import Contract, ContractColumn


def contract(sql: str, **column: str | None) -> Contract:
    loaded = read_definition("orders.yaml", json.dumps({"name": "orders", "query": sql}).encode(), lambda _: b"")
    built = from_definition(loaded)
    return replace(built, columns=(ContractColumn(name="x", nullable=False, **column),))


def broken(before: dict[str, str | None], after: dict[str, str | None]) -> list[tuple[str, object, object]]:
    sides = contract("SELECT a AS x FROM t", **before), contract("SELECT b AS x FROM t", **after)
    findings = compare(*sides)
    return [(one.code, one.before, one.after) for one in findings if one.locus == "columns.x" and one.code[0] == "C"]


WORDS = [
    ("integer", "float", "C104"),
    ("float", "integer", "C105"),
    ("integer", "decimal", "C117"),
    ("float", "decimal", "C117"),
    ("decimal", "integer", "C117"),
    ("array", "json", "C117"),
    ("decimal", "string", "C103"),
    ("array", "string", "C103"),
    ("integer", "string", "C103"),
    ("integer", "integer", None),
    ("integer", "unknown", "C112"),
    ("unknown", "integer", "C112"),
]


@pytest.mark.parametrize(("old", "new", "code"), WORDS)
def test_two_words(old: str, new: str, code: str | None) -> None:
    assert broken({"type": old}, {"type": new}) == ([(code, old, new)] if code else [])


INSIDE = [
    ("Array(integer)", "Array(float)", "C104"),
    ("Array(float)", "Array(integer)", "C105"),
    ("Array(integer)", "Array(string)", "C103"),
    ("Array(integer)", "Array(Nullable(integer))", "C106"),
    ("Array(Nullable(integer))", "Array(integer)", None),
    ("Array(Nullable(integer))", "Array(Nullable(float))", "C104"),
    ("Tuple(integer, integer)", "Tuple(integer, integer, integer)", "C117"),
    ("Tuple(integer, string)", "Tuple(float, Nullable(string))", "C106"),
    ("Tuple(integer, string)", "Tuple(string, Nullable(string))", "C103"),
    ("Array(Array(integer))", "Array(Array(string))", "C103"),
    ("Array(unknown)", "Array(integer)", None),
    ("Array(Array(integer))", "Array(unknown)", None),
    ("Array(Array(integer))", "Array(integer)", "C117"),
    ("Array(integer)", None, None),
]


@pytest.mark.parametrize(("old", "new", "code"), INSIDE)
def test_what_is_inside(old: str, new: str | None, code: str | None) -> None:
    assert broken({"type": "array", "full": old}, {"type": "array", "full": new}) == (
        [(code, old, new)] if code else []
    )


ANSWERED = [
    ("Int32", "Int64", "C104"),
    ("Int64", "Int32", "C105"),
    ("UInt8", "Int16", "C104"),
    ("Int64", "UInt64", None),
    ("Int64", "Nullable(Int64)", None),
    ("Int64", "", None),
    ("", "Int64", None),
]


@pytest.mark.parametrize(("old", "new", "code"), ANSWERED)
def test_the_width_of_whole_numbers(old: str, new: str, code: str | None) -> None:
    before, after = {"type": "integer", "clickhouse": old}, {"type": "integer", "clickhouse": new}
    assert broken(before, after) == ([(code, old, new)] if code else [])


@pytest.mark.parametrize(("old", "new", "code"), [("String", "UUID", "C105"), ("UUID", "String", None)])
def test_texts(old: str, new: str, code: str | None) -> None:
    before, after = {"type": "string", "clickhouse": old}, {"type": "string", "clickhouse": new}
    assert broken(before, after) == ([(code, old, new)] if code else [])


@pytest.mark.parametrize(
    ("written", "width"),
    [
        ("Int8", 8),
        ("UInt256", 256),
        ("Nullable(Int64)", 64),
        ("LowCardinality(UInt16)", 16),
        ("Float64", None),
        ("String", None),
        ("Int", None),
        ("Int12345", None),
        ("", None),
    ],
)
def test_the_width_of_a_type(written: str, width: int | None) -> None:
    assert bits(written) == width
