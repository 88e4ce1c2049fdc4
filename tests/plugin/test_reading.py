"""Rows remember which columns were read, and a class in place of a name gives rows of that class."""

from __future__ import annotations

import pytest

READS = {
    "nothing": ("len(rows)", [], False),
    "a column": ("rows.column('mrr')", ["mrr"], False),
    "an attribute": ("[row.mrr for row in rows]", ["mrr"], False),
    "a key": ("rows[0]['plan'], rows[0]['mrr']", ["mrr", "plan"], False),
    "a place": ("rows[0][2], rows[0][-3]", ["month", "plan"], False),
    "taking apart": ("[(plan, mrr, month) for plan, mrr, month in rows]", [], True),
    "dictionaries": ("rows.as_dicts()", [], True),
    "a table of arrow": ("rows.to_arrow()", [], True),
    "a notebook": ("rows._repr_html_()", [], False),
    "comparing": ("rows[0] == ('pro', 120, '2026-07')", [], True),
    "printing": ("repr(rows[0]), repr(rows), str(rows)", [], False),
    "looking whether": ("hasattr(rows[0], 'arr'), len(rows[0])", [], False),
}


@pytest.mark.parametrize(("reads", "columns", "is_whole"), READS.values(), ids=READS)
def test_columns_that_a_test_reads_are_noted(app_once, reads, columns, is_whole):
    app_once.locks(app_once.PIN)
    app_once.has_recorded(app_once.PIN, month="2026-07")
    app_once.write(
        "conftest.py",
        "import json, pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'teardown':\n"
        "        print('FACTS', json.dumps(report._endpoints['calls'][0]))\n",
    )
    app_once.suite(f"def test_it(endpoints):\n    rows = endpoints('revenue', month='2026-07')\n    {reads}\n")
    result = app_once.pytest("-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f'*FACTS*"read": {json_list(columns)}, "is_whole": {str(is_whole).lower()}*'])


def json_list(names):
    import json

    return json.dumps(names).replace("[", "[[]")


CLASSES = """
import dataclasses, pydantic, pytest
from pytest_endpoints_gitops import NotPinned

@dataclasses.dataclass
class Revenue:
    plan: str
    mrr: int

class Paid(pydantic.BaseModel):
    __endpoint__ = "revenue"
    plan: str
    mrr: float

class Other:
    pass

def test_of_its_name(endpoints):
    assert endpoints(Revenue, month="2026-07") == [Revenue("pro", 120)]

def test_of_what_it_says(endpoints):
    assert endpoints(Paid, month="2026-07")[0].mrr == 120.0

def test_unknown(endpoints):
    with pytest.raises(NotPinned, match="Other: no pinned endpoint has a name like that"):
        endpoints(Other)

def test_names_that_are_no_words(endpoints):
    assert endpoints("revenue", variables={"month": "2026-07"}).column("plan") == ["pro"]

def test_pins(endpoints, endpoints_lock):
    assert list(endpoints.pins) == ["revenue"]
    assert endpoints_lock.pins[0].version == endpoints.version("revenue") == 1
"""


def test_a_class_in_place_of_a_name(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(CLASSES)
    app.pytest().assert_outcomes(passed=5)


def test_changes_that_a_test_makes_to_rows_stay_in_it(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(
        "import pytest\n"
        "@pytest.mark.parametrize('again', range(3))\n"
        "def test_it(endpoints, again):\n"
        "    rows = endpoints('revenue', month='2026-07')\n"
        "    assert rows.raw['results'] == [['pro', 120, '2026-07']]\n"
        "    rows.raw['results'].clear()\n"
    )
    app.pytest().assert_outcomes(passed=3)
