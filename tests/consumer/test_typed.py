"""Generated Python code runs against the local server: what it returns is what it says."""

from __future__ import annotations

import itertools
import sys
import types
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal

import pytest

import endpoints_gitops as library
from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.model.target import GenerationTarget

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


def test_a_pin_that_is_not_in_the_lock(app, revenue, generated, create):
    other = create("other")
    with pytest.raises(library.PinMissing):
        app(other).run(generated(revenue).revenue_by_plan())
