"""Rows and the answers of insights, as table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.cli.rows import as_json, comma_separated, document, items, table
from endpoints_gitops.errors import UsageError
from endpoints_gitops.operations.run import RunResult

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(st.text(min_size=1), min_size=width, max_size=width),
        st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=5),
    )
)
SERIES = [
    {"label": "$pageview", "data": [3, 4], "days": ["2026-06-01", "2026-06-02"], "labels": ["1-Jun", "2-Jun"]},
    {"label": "signup", "data": [1, 0], "days": ["2026-06-01", "2026-06-02"], "labels": ["1-Jun", "2-Jun"]},
]
STEPS = [{"name": "seen", "order": 0, "count": 9, "people": []}, {"name": "paid", "order": 1, "count": 2, "people": []}]
PERIODS = [
    {"label": "signup", "compare_label": "current", "data": [1, 0], "days": ["2026-06-03", "2026-06-04"]},
    {"label": "signup", "compare_label": "previous", "data": [3, 4], "days": ["2026-06-01", "2026-06-02"]},
]
RATES = [
    {"count": 3, "data": [50.0], "days": ["2026-06-01"], "breakdown_value": ["pro", "ff"]},
    {"count": 3, "data": [25.0], "days": ["2026-06-01"], "breakdown_value": ["free", None]},
]
TOTALS = [
    {"label": "pro", "data": [], "action": {"id": "buy"}, "aggregated_value": 3, "breakdown_value": ["pro", "ff"]},
    {"label": "free", "data": [], "action": {"id": "buy"}, "aggregated_value": 1, "breakdown_value": ["free", None]},
]
RETENTION = [
    {
        "values": [{"count": 5, "label": "Day 0"}, {"count": 2, "label": "Day 1"}],
        "label": "Day 0",
        "date": "2026-06-01",
    },
    {
        "values": [{"count": 7, "label": "Day 0"}, {"count": 0, "label": "Day 1"}],
        "label": "Day 1",
        "date": "2026-06-02",
    },
]
SUMS = [
    {"values": [{"count": 5, "aggregation_value": 1.5, "label": "Day 0"}], "label": "Day 0", "breakdown_value": ["a"]}
]
FUNNELS = [[STEPS[0] | {"breakdown_value": ["pro"]}]]
BINS = [{"bins": [[60, 2], [90, 0]], "average_conversion_time": 61.5}]


def test_table_aligns_columns():
    assert table(["name", "n"], [["a\tb\n", 1], [None, 22.5], ["x", None]]).splitlines() == [
        "name       n",
        "------  ----",
        "a\\tb\\n     1",
        "∅       22.5",
        "x          ∅",
    ]


def test_wide_letters_take_two_columns():
    rows = [["漢字", 1], ["e\u0301te", 2], ["x", 3]]
    assert table(["w", "n"], rows).splitlines()[2:] == ["漢字  1", "e\u0301te   2", "x     3"]


@given(TABLES)
def test_a_table_has_one_line_per_row_without_control_characters(drawn):
    columns, rows = drawn
    text = table(columns, rows)
    assert text.count("\n") == len(rows) + 2
    assert {unicodedata.category(char) for char in text.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()


@given(TABLES)
def test_csv_round_trips(drawn):
    columns, rows = drawn
    text = comma_separated(columns, rows)
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0] == columns
    for fields, row in zip(read[1:], rows, strict=True):
        for field, value in zip(fields, row, strict=True):
            assert field == value or field == ("" if value is None else json.dumps(value, ensure_ascii=False))


@given(TABLES)
def test_json_loses_nothing(drawn):
    columns, rows = drawn
    doubled = len(set(columns)) < len(columns)
    want = rows if doubled else [dict(zip(columns, row, strict=True)) for row in rows]
    assert json.loads(as_json(columns, rows)) == want
    assert len(items(RunResult(columns=tuple(columns), rows=tuple(rows)))) == len(rows)


@pytest.mark.parametrize(
    ("results", "output", "want"),
    [
        (SERIES, "csv", "day,$pageview,signup\r\n2026-06-01,3,1\r\n2026-06-02,4,0\r\n"),
        (STEPS, "csv", "name,order,count\r\nseen,0,9\r\npaid,1,2\r\n"),
        (SERIES, "table", "day         $pageview  signup\n----------  ---------  ------\n"),
        (PERIODS, "csv", "day,signup (current),day,signup (previous)\r\n2026-06-03,1,2026-06-01,3\r\n"),
        (RATES, "csv", "day,pro::ff,free\r\n2026-06-01,50.0,25.0\r\n"),
        (
            TOTALS,
            "csv",
            'label,aggregated_value,breakdown_value\r\npro,3,"[""pro"", ""ff""]"\r\nfree,1,"[""free"", null]"',
        ),
        (RETENTION, "csv", "cohort,date,Day 0,Day 1\r\nDay 0,2026-06-01,5,2\r\nDay 1,2026-06-02,7,0\r\n"),
        (SUMS, "csv", 'cohort,breakdown_value,Day 0,Day 0 aggregation_value\r\nDay 0,"[""a""]",5,1.5\r\n'),
        (FUNNELS, "table", "[\n  [\n    {\n"),
        (BINS, "table", '[\n  {\n    "bins": [\n'),
        (SERIES, "json", '[\n  {\n    "label": "$pageview",\n'),
        ([], "table", "[]\n"),
        ([[1], "x"], "table", "[\n  [\n    1\n"),
    ],
)
def test_insights_as_tables(results, output, want):
    assert document(RunResult(columns=None, rows=tuple(results)), output).startswith(want)


@pytest.mark.parametrize("results", [SERIES, PERIODS, STEPS, RETENTION, [], [1, "x"]])
def test_insights_as_json_are_unchanged(results):
    assert json.loads(document(RunResult(columns=None, rows=tuple(results)), "json")) == results


@pytest.mark.parametrize(
    "results", [FUNNELS, BINS, [], [SERIES[0], {**SERIES[1], "data": [1]}], [RETENTION[0], {"values": 1}], [1]]
)
def test_csv_of_a_result_without_a_table_is_refused(results):
    with pytest.raises(UsageError, match="not a table"):
        document(RunResult(columns=None, rows=tuple(results)), "csv")


WIDE = (
    ["name", "version", "description"],
    [["signups_by_source", 3, "every signup of the last month, by source, 日本語" * 3], ["x", 12345678, "s"]],
)


@pytest.mark.parametrize("width", [120, 80, 60, 40, 31])
def test_a_table_fits_the_terminal(width):
    lines = table(*WIDE, width).splitlines()
    assert max(map(_columns, lines)) <= width
    assert "12345678" in lines[3], "a number is never cut"
    assert lines[2].endswith("…")
    assert all(len(line.split()) >= 3 for line in lines)


@pytest.mark.parametrize("width", [27, 20])
def test_columns_that_do_not_fit_are_counted(width):
    lines = table(*WIDE, width).splitlines()
    assert max(map(_columns, lines)) <= width
    assert re.search(r"… [12] more$", lines[0])


def test_a_table_that_fits_is_not_cut():
    assert table(*WIDE, 1000) == table(*WIDE) == table(*WIDE, None)
    assert "…" not in table(*WIDE)


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)
