"""`endpoint_case`: a whole contract suite in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.model.pin import PinnedExample, PinnedVariable

SUITE = "def test_contract(endpoint_case):\n    endpoint_case.check()\n"
REQUIRED = PinnedVariable(name="month", type="String", required=True)


def example(name=None, rows=None, **variables):
    return PinnedExample(name=name, variables=variables, rows=rows)


def test_a_case_for_each_pin_and_example(app):
    first = replace(app.PIN, examples=(example("july", month="2026-07"), example(month="2026-06")))
    second = replace(app.PIN, name="signups")
    app.locks(first, second)
    app.has_recorded(first, month="2026-07")
    app.has_recorded(first, ["pro", 9, "2026-06"], month="2026-06")
    app.has_recorded(second)
    app.suite(SUITE)
    result = app.pytest("-v")
    result.assert_outcomes(passed=3)
    for case in ("revenue@1-july", "revenue@1-month-2026-06", "signups@1"):
        assert f"test_contract[{case}]" in app.output(result)


def test_the_marker_selects_the_cases(app_once):
    app = app_once
    app.locks(app.PIN, replace(app.PIN, name="signups"))
    app.has_recorded(replace(app.PIN, name="signups"))
    app.suite("import pytest\n@pytest.mark.endpoints('signups')\n" + SUITE)
    app.pytest().assert_outcomes(passed=1)


def test_a_required_variable_without_example_says_where_to_add_one(app):
    app.locks(replace(app.PIN, variables=(REQUIRED,)))
    app.suite(SUITE)
    assert (
        app.failure(app.pytest())
        == """\
revenue@1: variable 'month' is required, and there is no example
  expected   an example of month to call it with
  defined    endpoints.lock:5
  fix        add one to the definition, or to the endpoint's entry in `uses`:
             examples = [{ month = … }]
             then
  next       endpoints-gitops lock --env test"""
    )


def test_a_default_of_the_suite_replaces_an_example(app_once):
    app = app_once
    pin = replace(app.PIN, variables=(REQUIRED,))
    app.locks(pin)
    app.has_recorded(pin, month="2026-07")
    app.write(
        "conftest.py",
        "import pytest\nfrom pytest_endpoints_gitops import EndpointsConfig\n@pytest.fixture(scope='session')\n"
        "def endpoints_config():\n    return EndpointsConfig(variables={'month': '2026-07', 'unknown': 1})\n",
    )
    app.suite(SUITE)
    app.pytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("names", ["", "@pytest.mark.endpoints('revenue')\n"])
def test_a_broken_lock_fails_the_case_and_other_tests_still_run(app_once, names):
    app = app_once
    app.write("endpoints.lock", "<<<<<<< ours\n")
    app.suite(f"import pytest\n{names}{SUITE}def test_other():\n    pass\n")
    result = app.pytest()
    assert result.parseoutcomes() == {"errors": 1, "passed": 1}
    assert app.failure(result, "endpoints.lock").startswith("endpoints.lock: the lock cannot be used")


def test_a_name_that_is_not_pinned_fails_its_case(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite(f"import pytest\n@pytest.mark.endpoints('revenu')\n{SUITE}")
    assert "did you mean 'revenue'?" in app.failure(app.pytest(), "revenu")


def test_a_lock_without_pins_fails(app_once):
    app = app_once
    app.locks()
    app.suite(SUITE)
    output = app.failure(app.pytest(), "endpoint_case")
    assert output.startswith("endpoint_case: the lock pins nothing")


ROWS = {
    "the same": (([["pro", 120, "2026-07"]]), None),
    "by name": ([{"mrr": 120}], None),
    "another value": (
        [["pro", 121, "2026-07"]],
        ('column "mrr" differs in 1 of 1 rows', "row 0: 121", "row 0: 120"),
    ),
    "alike in print": (
        [["pro", "120", "2026-07"]],
        ('column "mrr" differs in 1 of 1 rows', 'row 0: "120" (string)', "row 0: 120 (integer)"),
    ),
    "more rows": ([["pro", 120, "2026-07"]] * 2, ("the number of rows differs", "2 rows", "1 rows")),
    "no such column": ([{"arr": 1}], ("arr differs", "row 0: 1", "row 0: nothing")),
}


@pytest.mark.parametrize(("rows", "failure"), ROWS.values(), ids=ROWS)
def test_rows_of_an_example(app_once, rows, failure):
    pin = replace(app_once.PIN, examples=(example("july", tuple(rows), month="2026-07"),))
    app_once.locks(pin)
    path = app_once.has_recorded(pin, month="2026-07").relative_to(app_once.folder)
    app_once.suite(SUITE)
    result = app_once.pytest()
    if failure is None:
        result.assert_outcomes(passed=1)
        return
    what, expected, received = failure
    assert (
        app_once.failure(result)
        == f"""\
revenue@1: {what}
  expected   {expected}     the example in the lock
  received   {received}     {path}, TODAY
  read by    test_app.py::test_contract[revenue@1-july]
  defined    endpoints.lock:5
  next       endpoints-gitops run revenue --version 1 --var 'month:="2026-07"'"""
    )


LENIENT = {
    "in order": ("", 2, 1, "failed"),
    "in any order": ("unordered=True", 2, 1, "passed"),
    "within tolerance": ("unordered=True, tolerance=0.5", 2.4, 1, "passed"),
    "beyond tolerance": ("unordered=True, tolerance=0.5", 2.6, 1, "failed"),
}


@pytest.mark.parametrize(("mark", "one", "other", "outcome"), LENIENT.values(), ids=LENIENT)
def test_the_marker_sets_order_and_tolerance(app_once, mark, one, other, outcome):
    rows = (["a", other, "x"], ["b", 2, "x"])
    pin = replace(app_once.PIN, examples=(example(rows=rows),))
    app_once.locks(pin)
    app_once.has_recorded(pin, ["b", one, "x"], ["a", other, "x"])
    app_once.suite(f"import pytest\n@pytest.mark.endpoints({mark})\n" + SUITE)
    assert app_once.pytest().parseoutcomes() == {outcome: 1}


def test_rows_without_order_by_are_compared_in_any_order(app_once):
    query = {"kind": "HogQLQuery", "query": "SELECT plan, mrr, month FROM t LIMIT 10"}
    pin = replace(app_once.PIN, query=query, examples=(example(rows=(["a", 1, "x"], ["b", 2, "x"])),))
    app_once.locks(pin)
    app_once.has_recorded(pin, ["b", 2, "x"], ["a", 1, "x"])
    app_once.suite(SUITE)
    app_once.pytest().assert_outcomes(passed=1)


def test_examples_of_definitions_are_cases(app):
    app.pinned(
        app.REVENUE + "examples:\n  - name: july\n    variables: {month: 2026-07}\n    rows: [[pro, 120, 2026-07]]\n"
    )
    app.suite(SUITE)
    result = app.pytest("--endpoints=record", "-v", key=app.server.key)
    result.assert_outcomes(passed=1)
    assert "test_contract[revenue@1-july]" in app.output(result)
