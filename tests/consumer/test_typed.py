"""Generated Python code runs against the local server: what it returns is what it says."""

from __future__ import annotations

import datetime as dt
import itertools
import pickle
import sys
import types
import typing
from dataclasses import FrozenInstanceError, fields, replace
from decimal import Decimal

import pytest

import endpoints_gitops as library
from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.contract.build import from_version
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import PinnedColumn, PinnedExample
from endpoints_gitops.model.target import GenerationTarget
from endpoints_gitops.operations.lock.resolve import pin_of

TARGET = GenerationTarget(lang="python", generator="native", out="app")
_NUMBERS = itertools.count()


@pytest.fixture
def generated():
    """Imports the client of pins as a module."""
    names = []

    def load(*pins):
        (file,) = generated_files([interface_of(pin) for pin in pins], TARGET)
        module = types.ModuleType(f"generated_client_{next(_NUMBERS)}")
        names.append(module.__name__)
        sys.modules[module.__name__] = module
        exec(compile(file.text, module.__name__, "exec"), module.__dict__)
        return module

    yield load
    for name in names:
        del sys.modules[name]


REVENUE = """
SELECT plan, mrr FROM (SELECT 'pro' AS plan, toDecimal(12.5, 2) AS mrr UNION ALL SELECT 'team', toDecimal(7, 2))
WHERE plan IN ({variables.plan}, 'team') ORDER BY plan LIMIT 10
"""


@pytest.fixture
def revenue(create):
    return create("revenue-by-plan", REVENUE, variables={"plan": ("String", "pro")})


def test_a_typed_call_returns_rows_of_the_generated_class(app, revenue, generated):
    module, endpoints = generated(revenue), app(revenue)

    rows = endpoints.run(module.revenue_by_plan())

    expected = [
        module.RevenueByPlan(plan="pro", mrr=Decimal("12.5")),
        module.RevenueByPlan(plan="team", mrr=Decimal(7)),
    ]
    assert list(rows) == expected
    assert (rows[0], rows[-1:], list(reversed(rows)), len(rows)) == (expected[0], expected[1:], expected[::-1], 2)
    assert (type(rows), rows.columns, rows.has_more, rows.version) == (library.TypedRows, ("plan", "mrr"), False, 1)
    assert rows.column("plan") == ["pro", "team"]
    assert rows.of(module.RevenueByPlan) == tuple(expected)
    with pytest.raises(FrozenInstanceError):
        rows[0].plan = "other"


def test_variables_options_and_pages_of_a_typed_call(app, revenue, generated, server):
    module, endpoints = generated(revenue), app(revenue)
    server.requests.clear()
    assert [row.plan for row in endpoints.run(module.revenue_by_plan(plan="other"), _limit=1)] == ["team"]
    assert [row.plan for row in endpoints.run(module.revenue_by_plan(), _limit=1, _offset=1)] == ["team"]
    with pytest.warns(library.PagingWarning):
        values = [row.mrr for row in endpoints.iterate(module.revenue_by_plan(), page_size=1)]
    assert values == [Decimal("12.5"), Decimal(7)]
    assert len(server.requests.entries()) == 4, "two pages"


def test_a_typed_call_has_its_variables_already(app, revenue, generated):
    with pytest.raises(library.UsageError, match="a typed call has its variables already"):
        app(revenue).run(generated(revenue).revenue_by_plan(), plan="pro")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "was generated for revenue-by-plan@1, but the lock pins revenue-by-plan@2"),
        ({"materialized": True}, "was generated for another contract of revenue-by-plan@1 than the lock has"),
        ({"environment": "other"}, "was generated for revenue-by-plan of default; the pin of environment other"),
    ],
)
def test_code_for_another_pin_is_refused_before_anything_is_sent(app, revenue, generated, server, change, message):
    module, endpoints = generated(revenue), app(replace(revenue, **change))
    server.requests.clear()
    with pytest.raises(library.ClientOutdated, match=message) as caught:
        endpoints.run(module.revenue_by_plan())
    with pytest.raises(library.ClientOutdated, match=message):
        endpoints.iterate(module.revenue_by_plan())
    assert (caught.value.fix, caught.value.module) == ("endpoints-gitops generate", module.__name__)
    assert server.requests.entries() == ()


def test_a_pin_of_another_environment_with_the_same_interface_is_called(app, revenue):
    twin = replace(revenue, environment="staging", examples=(PinnedExample(variables={"plan": "pro"}),))
    interface = replace(interface_of(revenue), twins=(twin,))
    (file,) = generated_files([interface], TARGET)
    module = types.ModuleType("generated_for_two")
    sys.modules[module.__name__] = module
    exec(compile(file.text, module.__name__, "exec"), module.__dict__)
    del sys.modules[module.__name__]
    assert [row.plan for row in app(twin).run(module.revenue_by_plan())] == ["pro", "team"]
    with pytest.raises(library.ClientOutdated):
        app(replace(twin, examples=())).run(module.revenue_by_plan())


def test_a_pin_that_is_not_in_the_lock(app, revenue, generated, create):
    other = create("other")
    with pytest.raises(library.PinMissing):
        app(other).run(generated(revenue).revenue_by_plan())


KINDS = """
SELECT 42 AS integer_, toInt(null) AS integer_or_null, 0.5 AS float_, 1 / {variables.zero} AS not_a_number,
  toDecimal(12.5, 2) AS decimal_,
  'a' AS string_, true AS boolean_, toDate('2026-07-01') AS date_, toDateTime('2026-07-01 12:00:00') AS datetime_,
  [1, 2] AS integers, ['a'] AS strings, [0.5] AS floats, [[1], [2]] AS nested, [toDate('2026-07-01')] AS dates,
  tuple(1, 'a') AS tuple_, map('a', 1) AS map_, toUUID('6e0c2a3e-0000-4000-8000-000000000001') AS uuid_,
  pow(2, 100) AS large, 9007199254740993 AS exact,
  {variables.word} AS word, {variables.number} AS number, {variables.flag} AS flag, {variables.day} AS some_day,
  properties.plan AS plan, event
FROM events WHERE event = 'user signed up' LIMIT 3
"""
KINDS_VARIABLES = {
    "zero": ("Number", 0),
    "word": ("String", "w"), "number": ("Number", 7), "flag": ("Boolean", True), "day": ("Date", "2026-07-02"),
}  # fmt: skip


def fits(value, annotation):
    """Whether a value has a type, including the types of its items."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is typing.Any:
        return True
    if origin is types.UnionType:
        return any(fits(value, part) for part in arguments)
    if origin is list:
        return type(value) is list and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return type(value) is dict and all(fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items())
    return type(value) is annotation


@pytest.fixture
def locked(client):
    """The pin of an endpoint as `lock` writes it."""

    def pinned(name):
        endpoint = client.get_endpoint(name)
        shared = {variable.id: variable for variable in client.list_variables()}
        return pin_of("default", endpoint, from_version(endpoint, shared))

    return pinned


def test_every_type_of_a_column_is_that_of_the_annotation(app, create, generated, locked):
    create("kinds", KINDS, variables=KINDS_VARIABLES)
    pin = locked("kinds")
    module = generated(pin)
    hints = typing.get_type_hints(module.Kinds)
    del hints["__endpoint__"]

    rows = app(pin).run(module.kinds(zero=0, word="x", number=3, flag=False, day=dt.date(2026, 7, 3)))

    assert len(rows) == 3
    for row in rows:
        wrong = {name: (getattr(row, name), hint) for name, hint in hints.items() if not fits(getattr(row, name), hint)}
        assert wrong == {}
    assert (rows[0].large, rows[0].exact, rows[0].number, rows[0].not_a_number) == (2.0**100, 2**53 + 1, 3, None)
    assert hints == {
        "integer_": int,
        "integer_or_null": int | None,
        "float_": float | None,
        "not_a_number": typing.Any,
        "decimal_": Decimal | None,
        "string_": str,
        "boolean_": int,
        "date_": dt.date | None,
        "datetime_": dt.datetime,
        "integers": list[int],
        "strings": list[str],
        "floats": list[float | None],
        "nested": list[list[int]],
        "dates": list[dt.date | None],
        "tuple_": list[int | str],
        "map_": dict[str, int],
        "uuid_": str | None,
        "large": float | None,
        "exact": int,
        "word": typing.Any,
        "number": typing.Any,
        "flag": typing.Any,
        "some_day": typing.Any,
        "plan": typing.Any,
        "event": str,
    }


def test_what_the_server_says_of_a_property_counts(app, create, generated, locked):
    """The type of a property belongs to the project; a query without a description has no types of properties."""
    sql = (
        "SELECT properties.plan AS plan, {variables.event} AS asked FROM events WHERE event = {variables.event} LIMIT 1"
    )
    create("plans", sql, variables={"event": ("String", "user signed up")})
    pin = locked("plans")
    assert [(column.name, column.type, column.varies) for column in pin.columns] == [
        ("plan", "string", False),
        ("asked", "string", True),
    ]
    module = generated(pin)
    assert typing.get_type_hints(module.Plans)["plan"] == str | None
    (row,) = app(pin).run(module.plans())
    assert row == module.Plans(plan=row.plan, asked="user signed up")


def test_a_column_of_another_type_is_never_returned_as_the_annotated_one(app, create, generated):
    """Whatever `contract` says: the annotation would be wrong."""
    pin = create("revenue", "SELECT 1 AS mrr")
    wrong = replace(pin, columns=(PinnedColumn(name="mrr", type="decimal"),))
    module = generated(wrong)
    with pytest.raises(library.ColumnsBroken, match="the type of column 'mrr' changed: UInt8; it was decimal"):
        app(wrong, contract="off").run(module.revenue())


@pytest.mark.parametrize("reads", ["as pinned", "moved", "more"])
def test_columns_are_found_by_name(app, create, generated, reads):
    sqls = {
        "as pinned": "SELECT 'pro' AS plan, 1 AS n",
        "moved": "SELECT 1 AS n, 'pro' AS plan",
        "more": "SELECT 0 AS first, 'pro' AS plan, 1 AS n",
    }
    columns = (PinnedColumn(name="plan", type="string"), PinnedColumn(name="n", type="integer"))
    pin = replace(create("plans", sqls[reads]), columns=columns)
    module = generated(pin)
    assert list(app(pin).run(module.plans())) == [module.Plans(plan="pro", n=1)]


def test_columns_of_the_same_name_are_found_by_position(app, create, generated):
    sql = "SELECT a.n, b.n, 3 AS n_2 FROM (SELECT 1 AS n) AS a CROSS JOIN (SELECT 'x' AS n) AS b"
    pin = create("twice", sql)
    module = generated(pin)
    assert list(app(pin).run(module.twice())) == [module.Twice(n=1, n_3="x", n_2=3)]
    more = replace(pin, columns=(*pin.columns, pin.columns[0]))
    with pytest.raises(library.ColumnsBroken, match="column 'n' is missing"):
        app(more, contract="off").run(generated(more).twice())


ODD = """
SELECT 1 AS `from`, 2 AS `self`, 3 AS `größe`, 4 AS `7d`, 5 AS `int`, 6 AS `_hidden`, 7 AS `__endpoint__`, 8 AS `a b`,
  9 AS `a-b`, 10 AS `Decimal`, 11 AS `日本`, 12 AS `None`, 13 AS `class`, 14 AS `match`, 15 AS `date`, 16 AS `ﬁ`
"""


def test_odd_names_of_columns_and_variables(app, create, generated):
    names = ("from", "self", "int", "none", "lambda", "month")
    pin = create(
        "class",
        f"{ODD}, concat({', '.join(f'toString({{variables.{name}}})' for name in names)}) AS total",
        variables=dict.fromkeys(names, ("Number", 1)),
    )
    module = generated(pin)
    rows = app(pin).run(module.class_(from_=1, self_=2, int=3, none=4, lambda_=5, month=6))
    (row,) = rows
    assert [getattr(row, field.name) for field in fields(row)] == [*range(1, 17), "123456"]
    assert [field.name for field in fields(row)] == [
        "from_", "self_", "größe", "x7d", "int_", "hidden", "endpoint", "a_b", "a_b_2", "Decimal_", "日本", "None_",
        "class_", "match", "date", "x", "total",
    ]  # fmt: skip


def test_insights_and_rows_without_known_columns(app, create, generated):
    trend = {
        "kind": "TrendsQuery",
        "series": [{"kind": "EventsNode", "event": "user signed up"}],
        "dateRange": {"date_from": "2026-06-01", "date_to": "2026-06-30"},
    }
    visits = create("visits", query=trend)
    bare = replace(create("bare", "SELECT 1 AS one"), columns=None)
    module = generated(visits, bare)
    endpoints = app(visits, bare)
    (series,) = endpoints.run(module.visits())
    assert (type(series), len(series.days)) == (library.TrendSeries, 30)
    rows = endpoints.run(module.bare())
    assert (isinstance(rows, library.Rows), type(rows[0]), rows[0].one) == (True, library.Row, 1)


def test_typed_rows_survive_pickling(app, revenue, generated):
    module = generated(revenue)
    rows = app(revenue).run(module.revenue_by_plan())
    assert list(pickle.loads(pickle.dumps(rows))) == list(rows)


def test_errors_of_the_server_are_those_of_the_library(app, revenue, generated, server, client):
    module = generated(revenue)
    limited = Fault(effect=Effect.ERROR, status=429, retry_after=9)
    with pytest.raises(library.Unauthenticated):
        app(revenue, key="phx_wrong").run(module.revenue_by_plan())
    with pytest.raises(library.WrongVariableType):
        app(revenue).run(module.revenue_by_plan(plan=3))
    server.faults.add(limited)
    with pytest.raises(library.Throttled):
        app(revenue, max_wait=0.1).run(module.revenue_by_plan())
    server.faults.clear()
    client.delete_endpoint("revenue-by-plan")
    with pytest.raises(library.EndpointNotFound):
        app(revenue).run(module.revenue_by_plan())
