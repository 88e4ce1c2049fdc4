"""Every reader of ClickHouse's types gets the same result."""

from __future__ import annotations

import pytest

from endpoints_gitops.contract.clickhouse import is_nullable, parse_type, type_word, unwrapped

TYPES = [
    ("LowCardinality(Nullable(String))", "String", "string", True),
    ("SimpleAggregateFunction(sum, Nullable(Int64))", "Int64", "integer", False),
    ("AggregateFunction(quantiles(0.5, 0.9), Float64)", "Float64", "float", False),
    ("Nullable(DateTime64(6, 'Europe/Berlin'))", "DateTime64(6, 'Europe/Berlin')", "datetime", True),
    ("Array(Nullable(Date))", "Array(Nullable(Date))", "array", False),
    ("Enum8('a,b' = 1, 'it\\'s (' = 2)", "Enum8('a,b' = 1, 'it\\'s (' = 2)", "string", False),
    ("Dynamic", "Dynamic", "unknown", False),
    ("Nullable()", "", "unknown", True),
    ("", "", "unknown", False),
]


@pytest.mark.parametrize(("written", "bare", "word", "nullable"), TYPES)
def test_a_type_without_what_is_around_it(written: str, bare: str, word: str, nullable: bool) -> None:
    assert (unwrapped(written), type_word(written), is_nullable(written)) == (bare, word, nullable)


@pytest.mark.parametrize(
    ("written", "inner"),
    [
        ("Tuple(a Int8, DateTime64(6, 'UTC'))", ("Int8", "DateTime64(6, 'UTC')")),
        ("Map(String, Array(Tuple(x Date, y Date)))", ("String", "Array(Tuple(x Date, y Date))")),
        ("Nullable(Array(Enum8('a,(' = 1)))", ("Enum8('a,(' = 1)",)),
        ("Tuple(Int8,Date)", ("Int8", "Date")),
        ("Tuple()", ()),
    ],
)
def test_the_types_inside_of_a_type(written: str, inner: tuple[str, ...]) -> None:
    assert parse_type(written).inner == inner
