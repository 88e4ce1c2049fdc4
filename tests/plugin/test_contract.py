"""Failures of the contract as data, without an app, a server or a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import ALL_ROWS, AnswerOrigin, PinnedCall, SourceAnswer, run_of
from pytest_endpoints_gitops.contract import ContractEnforcer, Readers, refreshing
from pytest_endpoints_gitops.failures import ContractViolated, EndpointsWarning, Failure

from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable, Use

PIN = Pin(
    environment="prod",
    name="revenue",
    endpoint_id="A",
    version=3,
    version_id="A3",
    created_at=datetime(2026, 7, 1, tzinfo=UTC),
    query={"kind": "HogQLQuery", "query": "SELECT 1"},
    variables=(
        PinnedVariable(name="year", type="Number", required=True, has_default=False),
        PinnedVariable(name="plan", type="List", required=False, has_default=True, default="pro"),
    ),
    columns=(PinnedColumn(name="plan", type="date"), PinnedColumn(name="mrr", type="integer", nullable=False)),
)
CALL = PinnedCall.of(PIN, {"year": 2026}, {"year": 2026}, query_hash="hash", page=ALL_ROWS, folder="")
TEST = RunningTest("tests/test_app.py::test_it", "tests/test_app.py::test_it")
READERS: Readers = {
    "revenue": {
        "tests/test_app.py::test_mrr": ["mrr"],
        "tests/test_app.py::test_plan": ["plan"],
        "tests/test_app.py::test_it": ["plan"],
        **{f"tests/test_other.py::test_{letter}": ["mrr", "plan"] for letter in "abc"},
    }
}


def enforcer(
    mode: str = "strict", *, uses: Mapping[str, Use] | None = None, readers: Readers = READERS
) -> ContractEnforcer:
    environment = SimpleNamespace(
        location=lambda pin: f"endpoints/{pin.name}.yaml:1",
        project=SimpleNamespace(lock_path=Path("endpoints.lock")),
        uses=uses or {},
    )
    return ContractEnforcer(environment, mode, {"plan": "hidden"}, lambda: readers)


def answer(
    *columns: tuple[str, str],
    origin: AnswerOrigin = AnswerOrigin.RECORDING,
    content: object = None,
    rows: Sequence[list[object]] = (),
    **raw: object,
) -> SourceAnswer:
    run = run_of(PIN, tuple(name for name, _ in columns), columns, list(rows))
    run.raw.update(raw)
    return SourceAnswer(run, origin, "recordings/revenue.json", content)


def without_columns(received: SourceAnswer) -> SourceAnswer:
    return replace(received, run=replace(received.run, columns=None))


RIGHT = (("plan", "Date"), ("mrr", "Int64"))
CALLS = {
    "another type": (
        {"year": "x"},
        """\
VariableMistyped revenue@3: variable 'year' must be a number (Number), not 'x'
  expected   year: Number · plan: List (optional)     endpoints.lock
  received   year='x'
  read by    tests/test_app.py::test_it
  defined    endpoints/revenue.yaml:1
  fix        change the call, then
  next       pytest tests/test_app.py::test_it""",
    ),
    "a name that is not declared, and one that is missing": (
        {"yeer": 1},
        """\
VariableUndeclared revenue@3: unknown variable 'yeer'; did you mean 'year'?
  expected   year: Number · plan: List (optional)     endpoints.lock
  received   yeer=1
  also       variable 'year' is missing: it has no default
  read by    tests/test_app.py::test_it
  defined    endpoints/revenue.yaml:1
  fix        change the call, then
  next       pytest tests/test_app.py::test_it""",
    ),
    "no variables": (
        {},
        """\
VariableMissing revenue@3: variable 'year' is missing: it has no default
  expected   year: Number · plan: List (optional)     endpoints.lock
  received   no variables
  read by    tests/test_app.py::test_it
  defined    endpoints/revenue.yaml:1
  fix        change the call, then
  next       pytest tests/test_app.py::test_it""",
    ),
    "two mistakes, and one value that is redacted": (
        {"month": 1, "plan": 3},
        """\
VariableUndeclared revenue@3: unknown variable 'month'
  expected   year: Number · plan: List (optional)     endpoints.lock
  received   month=1 · plan='hidden'
  also       variable 'year' is missing: it has no default
             variable 'plan' must be a string or a list of strings (List), not 3
  read by    tests/test_app.py::test_it
  defined    endpoints/revenue.yaml:1
  fix        change the call, then
  next       pytest tests/test_app.py::test_it""",
    ),
}
ANSWERS = {
    "a column is gone": (
        answer(("plan", "Date")),
        """\
ContractViolated revenue@3: column "mrr" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: date     recordings/revenue.json
             - mrr: integer
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a column is gone from the server": (
        answer(("plan", "Date"), origin=AnswerOrigin.LIVE),
        """\
ContractViolated revenue@3: column "mrr" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: date     recordings/revenue.json
             - mrr: integer
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       endpoints-gitops lock --verify --env prod""",
    ),
    "a column has another name": (
        answer(("plan", "Date"), ("total", "Int64")),
        """\
ContractViolated revenue@3: column "mrr" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: date · total: integer     recordings/revenue.json
             - mrr: integer
             + total: integer       same type, same place: renamed?
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a column has another type": (
        answer(("plan", "Date"), ("mrr", "String")),
        """\
ContractViolated revenue@3: column "mrr" was integer, and is String
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: date · mrr: string     recordings/revenue.json
             - mrr: integer
             + mrr: string
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a column can be null": (
        answer(("plan", "Date"), ("mrr", "Nullable(Int64)")),
        """\
ContractViolated revenue@3: column "mrr" can be null now: it is Nullable(Int64)
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: date · mrr: integer     recordings/revenue.json
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a type is not stated, and a column is gone": (
        answer(("plan", "")),
        """\
ContractViolated revenue@3: column "mrr" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   plan: unknown     recordings/revenue.json
             - plan: date
             - mrr: integer
             + plan: unknown
  read by    tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "both columns changed": (
        answer(("a", "Date"), ("b", "String"), ("c", "String")),
        """\
ContractViolated revenue@3: column "plan" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   a: date · b: string · c: string     recordings/revenue.json
             - plan: date
             - mrr: integer
             + a: date       same type, same place: renamed?
             + b: string
             + c: string
  read by    tests/test_app.py::test_it, ::test_mrr, ::test_plan, tests/test_other.py::test_a and 2 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "empty columns": (
        answer(),
        """\
ContractViolated revenue@3: column "plan" is gone
  expected   plan: date · mrr: integer     endpoints.lock
  received   no columns     recordings/revenue.json
             - plan: date
             - mrr: integer
  read by    tests/test_app.py::test_it, ::test_mrr, ::test_plan, tests/test_other.py::test_a and 2 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "no columns": (
        without_columns(answer()),
        """\
ContractViolated revenue@3: the answer has no columns
  expected   plan: date · mrr: integer     endpoints.lock
  received   no columns     recordings/revenue.json
             - plan: date
             - mrr: integer
  read by    tests/test_app.py::test_it
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a row of another width": (
        answer(*RIGHT, rows=[["2026-07-01"]]),
        """\
ContractViolated revenue@3: row 0 has 1 values for 2 columns
  received   recordings/revenue.json
  read by    tests/test_app.py::test_it, ::test_mrr, ::test_plan, tests/test_other.py::test_a and 2 more
  defined    endpoints/revenue.yaml:1
  next       pytest --endpoints=refresh tests/test_app.py::test_it""",
    ),
    "a row of another width from the server": (
        answer(*RIGHT, rows=[["2026-07-01"]], origin=AnswerOrigin.LIVE),
        """\
ContractViolated revenue@3: row 0 has 1 values for 2 columns
  received   recordings/revenue.json
  read by    tests/test_app.py::test_it, ::test_mrr, ::test_plan, tests/test_other.py::test_a and 2 more
  defined    endpoints/revenue.yaml:1
  next       endpoints-gitops lock --verify --env prod""",
    ),
    "recreated": (
        answer(*RIGHT, endpoint_version_created_at="2026-06-01T00:00:00Z"),
        """\
RecreatedEndpoint revenue@3: the endpoint was recreated; this is not the pinned version
  expected   created 2026-07-01T00:00:00+00:00     endpoints.lock
  received   created 2026-06-01T00:00:00Z     recordings/revenue.json
  defined    endpoints/revenue.yaml:1
  next       endpoints-gitops upgrade revenue@3 --env prod""",
    ),
}


@pytest.mark.parametrize(("given", "expected"), CALLS.values(), ids=CALLS)
def test_a_call_that_does_not_fit(given, expected):
    with pytest.raises(Failure) as failed:
        enforcer().variables(PIN, given, TEST)
    assert f"{failed.value.kind} {failed.value}" == expected


def test_a_call_that_fits_is_sent_as_json():
    assert enforcer().variables(PIN, {"year": 2026, "plan": ["a"]}, TEST) == {"year": 2026, "plan": ["a"]}


@pytest.mark.parametrize(("received", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_does_not_fit(received, expected):
    with pytest.raises(Failure) as failed:
        enforcer().check(CALL, received, TEST)
    assert f"{failed.value.kind} {failed.value}" == expected
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        enforcer("warn").check(CALL, received, TEST, is_quiet=True)
        assert caught == []
        enforcer("warn").check(CALL, received, TEST)
        enforcer("off").check(CALL, received, TEST)
    (warning,) = caught
    assert (warning.category, str(warning.message), warning.filename) == (
        EndpointsWarning,
        expected.partition(" ")[2],
        __file__,
    )


def test_the_way_of_reading_counts():
    turned = answer(("mrr", "Int64"), ("plan", "Date"))
    enforcer().check(CALL, turned, TEST)
    enforcer(uses={"revenue": Use(name="revenue", columns=("plan",))}).check(CALL, answer(("plan", "Date")), TEST)
    by_position = enforcer(uses={"revenue": Use(name="revenue", reads="position")})
    with pytest.raises(ContractViolated) as failed:
        by_position.check(CALL, turned, TEST)
    assert failed.value.problem == "column 'plan' moved from position 0 to 1"
    assert ("also", "column 'mrr' moved from position 1 to 0") in failed.value.details


def test_every_mistake_but_the_first_has_a_line():
    typed = replace(PIN, columns=tuple(PinnedColumn(name=name, type="integer") for name in "abc"))
    call = PinnedCall.of(typed, {}, {}, query_hash="hash", page=ALL_ROWS, folder="")
    with pytest.raises(ContractViolated) as failed:
        enforcer().check(call, answer(("a", "Date"), ("b", "Date"), ("c", "Date")), TEST)
    also = "the type of column 'b' changed: Date; it was integer\nthe type of column 'c' changed: Date; it was integer"
    assert dict(failed.value.details)["also"] == also


def test_a_method_of_a_class_reads():
    readers = {"revenue": {"t.py::TestIt::test_a": [], "t.py::TestIt::test_b": []}}
    text = f"{TEST.nodeid}, t.py::TestIt::test_a, ::TestIt::test_b"
    assert enforcer(readers=readers).readers_of(CALL, (), TEST) == text


def test_what_fitted_is_not_checked_again_and_what_did_not_is():
    checked = enforcer()
    checked.check(CALL, answer(*RIGHT, content="same"), TEST)
    checked.check(CALL, answer(content="same"), TEST)
    for content in ("other", "other", None):
        with pytest.raises(ContractViolated):
            checked.check(CALL, answer(content=content), TEST)
    checked.check(CALL, answer(*RIGHT), TEST)
    with pytest.raises(ContractViolated):
        checked.check(CALL, answer(), TEST)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((), "tests/test_app.py::test_it, ::test_mrr, ::test_plan, tests/test_other.py::test_a and 2 more"),
        (("mrr",), "tests/test_app.py::test_it, ::test_mrr, tests/test_other.py::test_a, ::test_b and 1 more"),
        (("none",), "tests/test_app.py::test_it"),
    ],
)
def test_who_reads_a_column(columns, expected):
    assert enforcer().readers_of(CALL, columns, TEST) == expected


def test_four_readers_are_all_of_them_and_another_endpoint_has_none():
    four = {"revenue": {f"t.py::test_{letter}": ["mrr"] for letter in "abc"}}
    assert enforcer(readers=four).readers_of(CALL, (), TEST) == f"{TEST.nodeid}, t.py::test_a, ::test_b, ::test_c"
    assert enforcer(readers={"other": four["revenue"]}).readers_of(CALL, (), TEST) == TEST.nodeid


def test_the_command_that_gets_a_right_answer():
    assert refreshing(CALL, answer(origin=AnswerOrigin.LIVE), TEST) == (
        ("endpoints-gitops", "lock", "--verify", "--env", "prod")
    )
    for origin in (AnswerOrigin.RECORDING, AnswerOrigin.LOCAL):
        assert refreshing(CALL, answer(origin=origin), TEST) == ("pytest", "--endpoints=refresh", TEST.target)
