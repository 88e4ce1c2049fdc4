"""Calls and answers against their pin: tables of matches and mismatches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

import endpoints_gitops as library
from endpoints_gitops import check_answer, check_variables
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.model.pin import PinnedColumn, PinnedVariable, Use


class Plan(StrEnum):
    PRO = "pro"


def variable(word, **more):
    return PinnedVariable(**{"name": "v", "type": word, "required": False} | more)


def answer(*columns, rows=(), version=3, materialized=False, **raw):
    pairs = tuple(each.split(":") for each in columns)
    return RunAnswer(
        columns=tuple(name for name, _ in pairs),
        types=tuple((name, written) for name, written in pairs),
        results=list(rows),
        has_more=False,
        version=version,
        execution_id=None,
        materialized=materialized,
        raw=raw,
    )


@pytest.mark.parametrize(
    ("one", "value", "sent"),
    [
        (variable("String"), "pro", "pro"),
        (variable("String"), "", ""),
        (variable("String"), Plan.PRO, "pro"),
        (variable("String"), UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (variable("String"), None, None),
        (variable("String", has_default=True, default=["a"]), ("a", "b"), ["a", "b"]),
        (variable("Number"), 7, 7),
        (variable("Number"), 2**63, 2**63),
        (variable("Number"), 1.5, 1.5),
        (variable("Number"), Decimal("1.5"), 1.5),
        (variable("Number"), Decimal(12345678901234567890), 12345678901234567890),
        (variable("Boolean"), False, False),
        (variable("List"), ["a"], ["a"]),
        (variable("List"), {"b", "a"}, ["a", "b"]),
        (variable("List"), "a", "a"),
        (variable("Date"), date(2026, 7, 1), "2026-07-01"),
        (variable("Date"), datetime(2026, 7, 1, 12, tzinfo=UTC), "2026-07-01T12:00:00+00:00"),
        (variable("Date"), "2026-07-01", "2026-07-01"),
        (variable("Date", has_default=True, default="-7d"), "-30d", "-30d"),
        (variable("unknown"), {"a": date(2026, 7, 1)}, {"a": "2026-07-01"}),
    ],
)
def test_values_that_are_sent(pin, one, value, sent):
    assert check_variables(pin(variables=(one,)), {"v": value}) == {"v": sent}


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("String", 1, "variable 'v' must be a string (String), not 1"),
        ("String", ["a"], "variable 'v' must be a string (String), not ['a']"),
        ("Number", "1", "variable 'v' must be a number (Number), not '1'"),
        ("Number", True, "variable 'v' must be a number (Number), not True"),
        ("Number", float("nan"), "variable 'v': nan is not a JSON number"),
        ("Number", Decimal("0.1234567890123456789"), "has more digits than a JSON number keeps"),
        ("Boolean", 1, "variable 'v' must be true or false (Boolean), not 1"),
        ("Boolean", "true", "variable 'v' must be true or false (Boolean), not 'true'"),
        ("List", 1, "variable 'v' must be a string or a list of strings (List), not 1"),
        ("List", [1], "not [1]"),
        ("Date", "last week", "variable 'v' must be a date, or an ISO 8601 string such as 2026-07-01 (Date)"),
        ("Date", 20260701, "not 20260701"),
        ("String", b"x", "variable 'v': bytes cannot be sent as JSON"),
        ("unknown", object(), "variable 'v': object cannot be sent as JSON"),
        ("String", "x" * 200 + "y", None),
    ],
)
def test_values_of_another_type(pin, word, value, message):
    if message is None:
        assert check_variables(pin(variables=(variable(word),)), {"v": value})
        return
    with pytest.raises(library.WrongVariableType) as raised:
        check_variables(pin(variables=(variable(word),)), {"v": value})
    assert message in raised.value.message
    assert raised.value.mistakes[0].expected == word


def test_insights_take_relative_dates_and_any_of_several_values(pin):
    trend = pin(query={"kind": "TrendsQuery"}, variables=(variable("Date", name="date_from"), variable("String")))
    assert check_variables(trend, {"date_from": "-30d", "v": ["Chrome", ""]})


def test_every_mistake_at_once(pin):
    of = pin(variables=(variable("Number", name="days"), variable("String", name="plan", required=True)))
    with pytest.raises(library.UnknownVariable) as raised:
        check_variables(of, {"dayz": 1, "days": "x"})
    error = raised.value
    assert error.message == (
        "revenue@3: unknown variable 'dayz'; did you mean 'days'?; variable 'plan' is missing: it has no default; "
        "variable 'days' must be a number (Number), not 'x'"
    )
    assert error.fix == "the variables of revenue@3 are days: Number (optional), plan: String"
    assert [(one.name, one.near) for one in error.mistakes] == [("dayz", "days"), ("plan", None), ("days", None)]
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("required", "materialized", "sent", "is_missing"),
    [
        (True, False, {}, True),
        (True, False, {"v": None}, False),
        (True, True, {"v": None}, True),
        (True, True, {"v": "x"}, False),
        (False, True, {}, False),
    ],
)
def test_what_is_missing(pin, required, materialized, sent, is_missing):
    of = pin(variables=(variable("String", required=required),), materialized=materialized)
    if not is_missing:
        assert check_variables(of, sent) == sent
        return
    with pytest.raises(library.MissingVariable, match="version 3 is materialized" if materialized else "no default"):
        check_variables(of, sent)


PINNED = {"plan": "string", "mrr": "decimal", "month": "date"}
WHOLE = ("plan:String", "mrr:Decimal(18, 2)", "month:Date")


@pytest.mark.parametrize(
    ("columns", "name", "position"),
    [
        (WHOLE, [], []),
        ((*WHOLE, "more:UInt8"), [], []),
        (("plan:Nullable(String)", "mrr:Nullable(Decimal(18, 2))", "month:LowCardinality(Date)"), [], []),
        (("month:Date", "mrr:Decimal(18, 2)", "plan:String"), [], [("moved", "plan"), ("moved", "month")]),
        (
            ("plan:String", "arr:Decimal(18, 2)", "mrr:Decimal(18, 2)", "month:Date"),
            [],
            [("moved", "mrr"), ("moved", "month")],
        ),
        (("plan:String", "arr:Decimal(18, 2)", "month:Date"), [("gone", "mrr")], [("gone", "mrr")]),
        (("plan:String", "mrr:Float64", "month:Date"), [("type", "mrr")], [("type", "mrr")]),
        (("plan:String", "mrr:Dynamic", "month:"), [], []),
        ((), [("gone", "plan"), ("gone", "mrr"), ("gone", "month")], [("gone", each) for each in PINNED]),
    ],
)
def test_columns_by_name_and_by_position(pin, columns, name, position):
    for reads, expected in (("name", name), ("position", position), ("call", [])):
        found = []
        try:
            check_answer(pin(columns=PINNED), answer(*columns), Use(name="revenue", reads=reads))
        except library.ColumnsBroken as broken:
            found = [(one.kind, one.column) for one in broken.mistakes]
        assert found == expected, reads


def test_only_columns_that_the_app_reads_count(pin):
    of, without = pin(columns=PINNED), answer("plan:String", "mrr:Decimal(18, 2)")
    check_answer(of, without, Use(name="revenue", columns=("plan", "mrr")))
    with pytest.raises(library.ColumnsBroken, match="column 'month' is missing"):
        check_answer(of, without, Use(name="revenue", columns=("month",)))


def test_null_where_none_was_promised(pin):
    of = replace(pin(), columns=(PinnedColumn(name="n", type="integer", nullable=False),))
    check_answer(of, answer("n:UInt64"))
    check_answer(of, answer("n:Nullable(UInt64)", materialized=True))
    with pytest.raises(library.ColumnsBroken, match="column 'n' became nullable"):
        check_answer(of, answer("n:Nullable(UInt64)"))


def test_a_type_that_depends_on_a_variable_is_not_checked(pin):
    """The server finds types with '' for each variable."""
    check_answer(pin(columns={"v": "string"}, variables=(variable("Number"),)), answer("v:UInt8"))
    with pytest.raises(library.ColumnsBroken, match="the type of column 'v' changed: UInt8; it was string"):
        check_answer(pin(columns={"v": "string"}), answer("v:UInt8"))


@pytest.mark.parametrize(("version", "message"), [(4, "is from version 4"), (None, "does not name its version")])
def test_another_version(pin, version, message):
    with pytest.raises(library.WrongVersion, match=f"revenue@3: the answer {message}") as raised:
        check_answer(pin(), answer(version=version))
    assert raised.value.answered == version
    assert raised.value.exit_code == 1


MADE = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "later", "is_another"),
    [
        (1, timedelta(seconds=2), False),
        (1, timedelta(hours=1), True),
        (3, timedelta(days=90), False),
        (3, timedelta(hours=-1), True),
    ],
)
def test_a_recreated_endpoint(pin, version, later, is_another):
    of = pin(version=version, created_at=MADE)
    said = answer(version=version, endpoint_version_created_at=(MADE + later).isoformat())
    if not is_another:
        check_answer(of, said)
        return
    with pytest.raises(library.EndpointRecreated):
        check_answer(of, said)


@pytest.mark.parametrize("row", [[1], [1, 2, 3], {"a": 1}, None])
def test_rows_of_another_width(pin, row):
    with pytest.raises(library.RowsBroken, match=r"row 1 (has \d values for 2 columns|is not a list)"):
        check_answer(pin(), answer("a:UInt8", "b:UInt8", rows=[[1, 2], row]))


def test_rows_without_columns(pin):
    bare = answer()
    with pytest.raises(library.ColumnsBroken, match="the answer has no columns"):
        check_answer(pin(), RunAnswer(**{each: getattr(bare, each) for each in bare.__slots__} | {"columns": None}))
