"""Values of every type, in the server's JSON and in the app."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.consumer.values import nullable, reader

BERLIN = ZoneInfo("Europe/Berlin")


def read(written, value):
    found = nullable(reader(written))
    return value if found is None else found(value)


@pytest.mark.parametrize(
    ("written", "value", "expected"),
    [
        ("UInt64", 18446744073709551615, 18446744073709551615),
        ("UInt64", "18446744073709551615", 18446744073709551615),
        ("Nullable(Int256)", "-1" + "0" * 70, -(10**70)),
        ("Int64", 3.0, 3),
        ("Float64", 3, 3.0),
        ("Nullable(Float64)", None, None),
        ("Decimal(18, 6)", "1.500000", Decimal("1.500000")),
        ("Nullable(Decimal(76, 0))", "1" * 70, Decimal("1" * 70)),
        ("Date", "2026-07-01", date(2026, 7, 1)),
        ("Nullable(Date32)", "1900-01-01", date(1900, 1, 1)),
        ("DateTime64(6, 'UTC')", "2026-07-01T12:00:00.500000Z", datetime(2026, 7, 1, 12, 0, 0, 500000, tzinfo=UTC)),
        ("DateTime('UTC')", "2026-07-01T12:00:00", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        (
            "DateTime64(9, 'UTC')",
            "2026-07-01T12:00:00.123456789Z",
            datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=UTC),
        ),
        ("DateTime('Europe/Berlin')", "2026-07-01T12:00:00+02:00", datetime(2026, 7, 1, 12, tzinfo=BERLIN)),
        ("DateTime('Europe/Berlin')", "2026-01-01T12:00:00", datetime(2026, 1, 1, 12, tzinfo=BERLIN)),
        (
            "DateTime('Mars/Olympus')",
            "2026-07-01T12:00:00+02:00",
            datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("DateTime", "2026-07-01T12:00:00", datetime(2026, 7, 1, 12)),  # noqa: DTZ001 - it has none
        ("DateTime", "2026-07-01 12:00:00", datetime(2026, 7, 1, 12)),  # noqa: DTZ001 - it has none
        ("Bool", True, True),
        ("Bool", 0, False),
        ("UInt8", 1, 1),
        ("String", "2026-07-01", "2026-07-01"),
        ("UUID", "0190", "0190"),
        ("Enum8('a, b' = 1, 'Date' = 2)", "Date", "Date"),
        ("LowCardinality(Nullable(String))", None, None),
        ("Array(Nullable(Date))", ["2026-07-01", None], [date(2026, 7, 1), None]),
        ("Array(Array(Decimal(9, 1)))", [["1.5"], []], [[Decimal("1.5")], []]),
        ("Tuple(Date, String)", ["2026-07-01", "x"], [date(2026, 7, 1), "x"]),
        ("Tuple(day Date, n DateTime64(6, 'UTC'))", {"day": "2026-07-01", "n": "2026-07-01T00:00:00Z"},
            {"day": date(2026, 7, 1), "n": datetime(2026, 7, 1, tzinfo=UTC)}),
        ("Map(String, Date)", {"a": "2026-07-01"}, {"a": date(2026, 7, 1)}),
        ("Map(UInt8, Array(Date))", {"1": ["2026-07-01"]}, {1: [date(2026, 7, 1)]}),
        ("SimpleAggregateFunction(sum, Decimal(9, 1))", "1.5", Decimal("1.5")),
        ("Nullable(Nothing)", None, None),
        ("Array(Nothing)", [], []),
        ("IntervalDay", 1, 1),
        ("Dynamic", {"a": 1}, {"a": 1}),
        ("", "x", "x"),
        ("decimal", "1.5", Decimal("1.5")),
        ("datetime", "2026-07-01T12:00:00Z", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("date", "2026-07-01", date(2026, 7, 1)),
        ("integer", "7", 7),
        ("boolean", 1, True),
        ("json", [1], [1]),
        ("unknown", "1", "1"),
    ],
)  # fmt: skip
def test_values_by_type(written, value, expected):
    found = read(written, value)
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(found, datetime):
        assert found.utcoffset() == expected.utcoffset()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("UInt64", "x"), ("UInt64", 1.5), ("UInt64", [1]), ("Date", "July"), ("Date", 20260701), ("DateTime", 1),
        ("DateTime", "now"), ("Decimal(9, 1)", "x"), ("Decimal(9, 1)", True), ("Bool", 2), ("Bool", "true"),
        ("Float64", "x"), ("Float64", True), ("Array(Date)", "2026-07-01"), ("Map(String, Date)", ["2026-07-01"]),
        ("Tuple(Date, Date)", ["2026-07-01"]),
    ],
)  # fmt: skip
def test_values_that_are_none_of_their_type(written, value):
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        read(written, value)


ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]


@given(
    timestamp=st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - a zone is added
    zone=st.sampled_from(ZONES),
)
def test_timestamps_survive(timestamp, zone):
    there = timestamp.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    written = there.isoformat().replace("+00:00", "Z")
    found = read(f"Nullable(DateTime64(6, '{zone}'))", json.loads(json.dumps(written)))
    assert found == there
    assert found.utcoffset() == there.utcoffset()


@given(number=st.integers(min_value=-(2**255), max_value=2**256 - 1))
def test_whole_numbers_survive(number):
    assert read("Int256", json.loads(json.dumps(number))) == number
    assert read("UInt64", json.loads(json.dumps(str(number)))) == number


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimals_survive(number):
    assert read("Decimal(76, 6)", json.loads(json.dumps(format(number, "f")))) == number


@given(day=st.dates())
def test_dates_survive_inside_of_anything(day):
    text = day.isoformat()
    assert read("Array(Tuple(Date, Map(String, Nullable(Date))))", [[text, {"a": text, "b": None}]]) == [
        [day, {"a": day, "b": None}]
    ]
