"""The comparison of two lists of rows: which columns differ, in how many rows, and the first pair."""

from __future__ import annotations

import pytest
from pytest_endpoints_gitops.row_comparison import compare_rows, filled, named_rows

ROWS = [{"plan": "free", "mrr": 0}, {"plan": "pro", "mrr": 120}]

CASES = {
    "the same": (ROWS, ROWS, {}, ""),
    "another count": (ROWS, ROWS[:1], {}, "2 rows became 1 row"),
    "a value": (ROWS, [ROWS[0], {"plan": "pro", "mrr": 121}], {}, "mrr differs in 1 row: 120 → 121"),
    "every row": (
        ROWS,
        [{"plan": "x", "mrr": 0}] * 2,
        {},
        'plan differs in 2 rows: "free" → "x"; mrr differs in 1 row: 120 → 0',
    ),
    "within tolerance": (ROWS, [ROWS[0], {"plan": "pro", "mrr": 120.4}], {"tolerance": 0.5}, ""),
    "beyond tolerance": (
        ROWS,
        [ROWS[0], {"plan": "pro", "mrr": 120.6}],
        {"tolerance": 0.5},
        "mrr differs in 1 row: 120 → 120.6",
    ),
    "nested, within tolerance": ([{"a": [1, {"b": 2}]}], [{"a": [1.1, {"b": 2}]}], {"tolerance": 0.5}, ""),
    "a number and a text": ([{"mrr": 1}], [{"mrr": "1"}], {}, 'mrr differs in 1 row: 1 (integer) → "1" (string)'),
    "a number and a boolean": ([{"mrr": 1}], [{"mrr": True}], {}, "mrr differs in 1 row: 1 → true"),
    "a whole and a decimal number": ([{"mrr": 1}], [{"mrr": 1.0}], {}, ""),
    "null": ([{"mrr": None}], [{"mrr": 0}], {}, "mrr differs in 1 row: null → 0"),
    "no value": ([{"mrr": 1}], [{}], {}, "mrr differs in 1 row: 1 → nothing"),
    "more columns": ([{"mrr": 1}], [{"mrr": 1, "arr": 2}], {}, ""),
    "another order": (ROWS, ROWS[::-1], {}, 'plan differs in 2 rows: "free" → "pro"; mrr differs in 2 rows: 0 → 120'),
    "any order": (ROWS, ROWS[::-1], {"is_unordered": True}, ""),
    "any order, a value": (
        ROWS,
        [{"plan": "pro", "mrr": 121}, ROWS[0]],
        {"is_unordered": True},
        "mrr differs in 1 row: 120 → 121",
    ),
    "any order, another text": (
        ROWS,
        [{"plan": "team", "mrr": 120}, ROWS[0]],
        {"is_unordered": True},
        'plan differs in 1 row: "pro" → "team"',
    ),
    "any order, within tolerance, where sorting by numbers pairs wrongly": (
        [{"a": 1.0, "b": 5}, {"a": 1.01, "b": 3}],
        [{"a": 1.01, "b": 5}, {"a": 1.0, "b": 3}],
        {"is_unordered": True, "tolerance": 0.1},
        "",
    ),
    "any order, rows that name different columns": (
        [{"plan": "pro"}, {"mrr": 0}],
        [{"plan": "free", "mrr": 0}, {"plan": "pro", "mrr": 120}],
        {"is_unordered": True},
        "",
    ),
    "any order, one row twice": (
        [{"a": 1}, {"a": 1}],
        [{"a": 1}, {"a": 2}],
        {"is_unordered": True},
        "a differs in 1 row: 1 → 2",
    ),
}


@pytest.mark.parametrize(("before", "after", "how", "shown"), CASES.values(), ids=CASES)
def test_differences_are_named_by_column(before, after, how, shown):
    comparison = compare_rows(before, after, **{"is_unordered": False, "tolerance": 0.0, **how})
    assert str(comparison) == shown
    assert bool(comparison) is bool(shown)


def test_rows_have_the_names_of_columns():
    rows = named_rows([[1, 2, 3], {"a": 1}, [1]], ["a", "b", "a"])
    assert rows == [{"a": 1, "b": 2, "a (column 2)": 3}, {"a": 1}, {"the row": [1]}]


def test_filled_rows_name_the_same_columns():
    comparison = compare_rows(
        filled([{"a": 1}], ["a", "b"]), filled([{"a": 1, "b": 2}], ["a", "b"]), is_unordered=False, tolerance=0.0
    )
    assert str(comparison) == "b differs in 1 row: nothing → 2"
