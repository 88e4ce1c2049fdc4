"""Strategies of rows and of variables: what they make is what the pin allows, and all of it can be met."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from pytest_endpoints_gitops import endpoint_rows, endpoint_variables
from pytest_endpoints_gitops.stub_rows import stub_answer

from endpoints_gitops.consumer.checking import check_answer, check_variables
from endpoints_gitops.consumer.rows import rows_of
from endpoints_gitops.errors import UsageError
from endpoints_gitops.extras import install_advice
from endpoints_gitops.model.pin import Lock, PinnedColumn, PinnedVariable
from endpoints_gitops.workspace.manifest import write_lock_file
from tests.plugin.conftest import PIN
from tests.plugin.test_stubs import EVERY_TYPE

NULLABLE = {True: "maybe", False: "never", None: "unknown"}
COLUMNS = tuple(
    replace(column, name=f"{column.name}_{word}", nullable=nullable)
    for column in EVERY_TYPE
    for nullable, word in NULLABLE.items()
)
FEW = ("i", "s", "d", "day", "t", "a", "f", "n")
VARIABLES = tuple(
    PinnedVariable(
        name=f"{kind}_{required}_{has_default}",
        type=kind,
        required=required,
        has_default=has_default,
        default=["a"] if kind == "String" and has_default else None,
    )
    for kind in ("String", "Number", "Boolean", "List", "Date", "Other")
    for required, has_default in ((True, False), (False, True), (False, False))
)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A lock with a pin that has a column and a variable of every kind."""
    path = tmp_path_factory.mktemp("app") / "endpoints.lock"
    pin = replace(PIN, columns=COLUMNS, variables=VARIABLES)
    insight = replace(PIN, name="trend", query={"kind": "TrendsQuery"}, columns=None)
    columns = {column.name: replace(column, nullable=False) for column in EVERY_TYPE}
    columns["n"] = PinnedColumn(name="n", type="string")
    edges = replace(pin, name="few", columns=tuple(columns[name] for name in FEW))
    write_lock_file(path, Lock(pins=(edges, pin, insight, replace(PIN, name="unlisted", columns=None))))
    return pin, path


def test_every_row_keeps_the_contract_and_is_a_stub(everything):
    pin, path = everything

    @given(rows=endpoint_rows("revenue", lock=path, max_size=3))
    def law(rows):
        answer = stub_answer(pin, rows)
        check_answer(pin, answer)
        arrived = rows_of(pin, answer).as_dicts()
        assert arrived == rows, "a row arrives as it was drawn"
        for row in rows:
            assert all(row[column.name] is not None for column in COLUMNS if column.nullable is False)

    law()


def test_every_set_of_variables_can_be_sent(everything):
    pin, path = everything

    @given(variables=endpoint_variables("revenue", lock=path))
    def law(variables):
        assert check_variables(pin, variables).keys() == variables.keys()
        assert {variable.name for variable in VARIABLES if variable.required} <= variables.keys()

    law()


EDGES = {
    "null where the lock says nothing": ("n", lambda value: value is None),
    "beyond 64 bits": ("i", lambda value: value > 2**64),
    "empty text": ("s", lambda value: value == ""),
    "emoji": ("s", lambda value: "🧾" in value),
    "many digits": ("d", lambda value: len(value.as_tuple().digits) > 28),
    "small decimal": ("d", lambda value: 0 < abs(value) < Decimal("1e-20")),
    "first day": ("day", lambda value: value == date(1900, 1, 1)),
    "last moment": ("t", lambda value: value == datetime(2299, 12, 31, 23, 59, 59, 999_999, UTC)),
    "null in an array": ("a", lambda value: None in value),
    "negative zero": ("f", lambda value: math.copysign(1, value) == -1 and value == 0),
}
FOUND = settings(max_examples=2_000, phases=[Phase.generate], deadline=None)


@pytest.mark.parametrize(("column", "is_met"), EDGES.values(), ids=EDGES)
def test_edges_can_be_met(everything, column, is_met):
    """`find` raises where no example is found."""
    _, path = everything
    others = {name: st.just(None) for name in FEW if name != column}
    rows = endpoint_rows("few", lock=path, columns=others, min_size=1, max_size=1)
    assert is_met(find(rows, lambda rows: is_met(rows[0][column]), settings=FOUND)[0][column])


def test_sizes_and_columns_and_variables_of_ones_own(everything):
    _, path = everything
    values = dict.fromkeys(FEW, st.just(7))
    assert find(endpoint_rows("few", lock=path, columns=values), lambda rows: rows == []) == []
    assert find(endpoint_rows("few", lock=path, columns=values, min_size=2), bool) == [dict.fromkeys(FEW, 7)] * 2
    dates = endpoint_variables("few", lock=path, variables={"Date_True_False": st.just("2026-07-01")})
    assert find(dates, bool, settings=FOUND)["Date_True_False"] == "2026-07-01"


REFUSED = [
    (
        lambda path: endpoint_rows("revenue", lock=path, columns={"i_nevr": st.none()}),
        "has no column 'i_nevr'; did you",
    ),
    (
        lambda path: endpoint_variables("revenue", lock=path, variables={"x": st.none()}),
        "revenue@1 has no variable 'x'",
    ),
    (lambda path: endpoint_rows("trend", lock=path), "trend@1 is a TrendsQuery: endpoint_rows is for HogQL"),
    (lambda path: endpoint_rows("unlisted", lock=path), "the lock lists no columns of unlisted@1"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_made_is_refused(everything, make, message):
    _, path = everything
    strategy = make(path)  # nothing is read yet
    with pytest.raises(UsageError, match=message):
        find(strategy, lambda _: True)


SUITE = """
import pytest
from hypothesis import HealthCheck, given, settings
from pytest_endpoints_gitops import NotPinned, VariableMissing, endpoint_rows, endpoint_variables

anything = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

@anything
@given(rows=endpoint_rows("revenue"), variables=endpoint_variables("revenue"))
def test_it(endpoints, rows, variables):
    stub = endpoints.stub("revenue", rows=rows)
    assert endpoints("revenue", variables=variables).as_dicts() == rows
    assert stub.calls == [variables]

@anything
@given(rows=endpoint_rows("revenu"))
def test_no_such_pin(rows):
    assert rows is None
"""


def test_a_test_draws_from_its_own_lock(app_once):
    """Made at import, when no lock is known; and an example that fails is an ordinary failure of the plugin."""
    app = app_once
    app.locks(app.PIN)
    app.suite(SUITE)
    result = app.pytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    assert any(line.startswith("revenu: not pinned in environment test; did you") for line in result.outlines)


def test_values_of_a_definition_in_the_checkout(app_once):
    app = app_once
    app.write(
        "endpoints/revenue.yaml",
        "name: revenue\nquery: SELECT {variables.plan} AS plan\n"
        "variables:\n  - {name: plan, type: List, default: pro, values: [pro, team]}\n",
    )
    plan = PinnedVariable(name="plan", type="List", required=True)
    app.locks(replace(app.PIN, variables=(plan,), columns=(PinnedColumn(name="plan", type="string"),)))
    app.suite(
        """
from hypothesis import given, settings
from pytest_endpoints_gitops import endpoint_variables

met = set()

@settings(deadline=None)
@given(variables=endpoint_variables("revenue"))
def test_it(variables):
    plan = variables["plan"]
    met.update(plan if isinstance(plan, list) else [plan])

def test_met():
    assert met == {"pro", "team"}
"""
    )
    app.pytest("-p", "no:xdist").assert_outcomes(passed=2)


def test_without_a_lock_it_says_so(app_once):
    app = app_once
    app.suite(
        """
from hypothesis import given
from pytest_endpoints_gitops import endpoint_rows

@given(rows=endpoint_rows("revenue"))
def test_it(rows):
    assert rows is None
"""
    )
    result = app.pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["endpoints.lock: not found", "  next       endpoints-gitops lock"])


def test_without_hypothesis_it_names_the_command(tmp_path):
    """In an interpreter that cannot import it."""
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from endpoints_gitops.errors import UsageError\n"
        "import pytest_endpoints_gitops\n"
        "try:\n"
        "    from pytest_endpoints_gitops import endpoint_rows\n"
        "except UsageError as error:\n"
        "    print(error.message, '/', error.fix)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    advice = install_advice("hypothesis", "pytest-endpoints-gitops")
    assert "pytest-endpoints-gitops[hypothesis]" in advice
    assert result.stdout == f"endpoint_rows needs hypothesis, which is not installed / {advice}\n"
